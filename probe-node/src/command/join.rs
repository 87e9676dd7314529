//! `onlyhere-probe join TOKEN`.

use std::io::Read;

use clap::Args;
use onlyhere_proto::VantageName;

use super::{CommandError, DataDir};
use crate::{enrol, identity::Existing, join_token::JoinToken};

#[derive(Debug, Args)]
pub(super) struct Join {
    /// The line that `onlyhere-coordinator token create --kind probe` printed; `-` reads it from stdin, where no other
    /// user of this machine sees it.
    token: String,
    /// The name this probe would like; the coordinator decides.
    #[arg(long)]
    name: Option<String>,
    /// Give up the identity that the data directory holds; one whose certificate has expired is given up anyway.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    data_dir: DataDir,
}

impl Join {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let usage = |error: &dyn std::fmt::Display| CommandError::Usage(error.to_string());
        let mut text = self.token;
        if text == "-" {
            text.clear();
            let read = std::io::stdin().take(4_096).read_to_string(&mut text);
            read.map_err(|error| usage(&format!("cannot read the token from stdin: {error}")))?;
        }
        let token: JoinToken = text.parse().map_err(|error| usage(&error))?;
        let name = self.name.map(|name| name.parse::<VantageName>());
        let name = name.transpose().map_err(|error| usage(&error))?;
        let dir = self.data_dir.path()?;
        let existing = match self.replace {
            true => Existing::Replace,
            false => Existing::Keep,
        };
        let identity = enrol::join(&token, name.as_ref(), &dir, existing).await?;
        println!("joined {} as {}", identity.coordinator, identity.name);
        Ok(())
    }
}
