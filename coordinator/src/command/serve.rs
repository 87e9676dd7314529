//! `serve`: binds both ports, serves, and tells the terminal and systemd when it does.

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{CommandError, Settings};
use crate::serve::{Listeners, serve};

pub(super) fn run(settings: &Settings) -> Result<(), CommandError> {
    let config = settings.load()?;
    let data_dir = settings.data_dir()?;
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Start)?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).map_err(CommandError::Start)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandError::Start)?;
        let listeners = Listeners {
            probes: bind("probes.listen", config.probes.listen).await?,
            api: bind("api.listen", config.api.listen).await?,
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

async fn bind(
    key: &'static str,
    address: std::net::SocketAddr,
) -> Result<TcpListener, CommandError> {
    let bound = TcpListener::bind(address).await;
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
