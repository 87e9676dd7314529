//! `onlyhere-probe run`: read, build, attach, drain.

use std::path::PathBuf;

use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{CommandError, DataDir, environment};
use crate::{
    Prober, ProberSettings,
    attach::Worker,
    config::{Config, Sandbox},
    confine,
    daemon::Attachment,
    identity::Identity,
};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Settings, as TOML; variables such as ONLYHERE_GUARD__DENY win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
}

impl Run {
    /// Gives up what the daemon does not need, unless the settings say otherwise.
    pub(super) fn confine(&self) -> Result<(), CommandError> {
        let config = Config::load(self.config.as_deref(), environment())?;
        match config.sandbox {
            Sandbox::On => Ok(confine::daemon(
                &self.data_dir.path()?,
                self.config.as_deref(),
            )?),
            Sandbox::Off => Ok(()),
        }
    }

    pub(super) async fn run(self) -> Result<(), CommandError> {
        let config = Config::load(self.config.as_deref(), environment())?;
        let dir = self.data_dir.path()?;
        let identity = Identity::load(&dir)?;
        let journal = config.journal(&dir, &identity.coordinator);
        let prober = Prober::new(ProberSettings {
            journal: journal.map_err(|error| CommandError::Journal(dir.clone(), error))?,
            ..config.prober_settings()?
        })?;
        let worker = Worker {
            prober,
            name: identity.name.clone(),
            requests: config.limits.requests,
            instance: ulid::Ulid::generate().to_string(),
        };
        let attachment = Attachment::new(dir, identity, worker)?;
        let stop = stop_on_signal()?;
        Ok(attachment.keep(&stop, ready).await?)
    }
}

fn ready() {
    eprintln!("ready");
    tell_systemd(NotifyState::Ready);
}

fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// Cancelled by the first SIGTERM or SIGINT.
fn stop_on_signal() -> Result<CancellationToken, CommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Start)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        tell_systemd(NotifyState::Stopping);
        stopped.cancel();
    });
    Ok(stop)
}
