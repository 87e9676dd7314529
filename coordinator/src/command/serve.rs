//! `serve`: binds both ports, serves, and tells the terminal and systemd when it does.

use std::net::SocketAddr;

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{CommandError, Settings};
use crate::{
    config::Sandbox,
    confine,
    serve::{Listeners, serve},
};

pub(super) fn run(settings: &Settings) -> Result<(), CommandError> {
    let config = settings.load()?;
    let data_dir = settings.data_dir()?;
    let probes = bind("probes.listen", config.probes.listen)?;
    let api = bind("api.listen", config.api.listen)?;
    if config.sandbox == Sandbox::On {
        // Before there are threads, since what a thread gives up no other does.
        confine::server(&data_dir, &config)?;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Start)?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).map_err(CommandError::Start)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandError::Start)?;
        let listeners = Listeners {
            probes: TcpListener::from_std(probes).map_err(CommandError::Start)?,
            api: TcpListener::from_std(api).map_err(CommandError::Start)?,
        };
        tracing::info!(probes = %config.probes.listen, api = %config.api.listen,
            tls = config.api.tls.is_some(), data = %data_dir.display(), "serving");
        let shutdown = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            tracing::info!("stopping");
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        };
        serve(listeners, config, &data_dir, ready, shutdown).await?;
        tracing::info!("stopped");
        Ok(())
    })
}

/// On a runtime without threads: nothing may run yet that would keep its rights.
fn bind(key: &'static str, address: SocketAddr) -> Result<std::net::TcpListener, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(CommandError::Start)?;
    let bound = runtime.block_on(async { TcpListener::bind(address).await?.into_std() });
    bound.map_err(|source| CommandError::Listen {
        key,
        address,
        source,
    })
}

/// A contract with scripts: this very line, and systemd's message.
fn ready() {
    eprintln!("ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}
