//! `onlyhere-probe status`: is the daemon of this machine attached? It asks the daemon's data directory and nobody else.

use std::time::Duration;

use clap::Args;

use super::{CommandError, DataDir};
use crate::standing;

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Wait so long for it to be attached.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3_600))]
    wait: u64,
    #[command(flatten)]
    data_dir: DataDir,
}

impl Status {
    /// Ends well when it is attached.
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let dir = self.data_dir.path()?;
        let found = standing::wait(&dir, Duration::from_secs(self.wait), |_| true).await;
        let found = found.map_err(|error| CommandError::Standing(dir.clone(), error))?;
        let attached = found.ok_or(CommandError::NotAttached(dir))?;
        println!(
            "attached to {} as {} since {:.0}, version {}, process {}",
            attached.coordinator, attached.name, attached.since, attached.version, attached.process
        );
        Ok(())
    }
}
