//! What can go wrong with a command, each with its exit code and one sentence for the person.

use onlyhere_proto::InvalidTarget;

use crate::{remote::RemoteError, settings::SettingsError};

/// Why a command ended without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrong usage; the sentence says what would be right.
    #[error("{0}")]
    Usage(String),
    /// What was given is no target.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The coordinator is needed and does not help.
    #[error(transparent)]
    Coordinator(#[from] RemoteError),
    /// Our own failure.
    #[error("{what}: {source}")]
    Own {
        /// What was being done.
        what: &'static str,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// Wraps a failure of our own.
    pub fn own(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Own {
            what,
            source: source.into(),
        }
    }

    /// The process's exit code for it (INTERFACE: 1 own failure, 2 usage, 3 coordinator; 130 as shells report SIGINT).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Own { .. } => 1,
            Self::Usage(_) | Self::Target(_) | Self::Settings(_) => 2,
            Self::Coordinator(_) => 3,
            Self::Interrupted => 130,
        }
    }
}
