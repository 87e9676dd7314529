//! `onlyhere vantages`: who is attached to the coordinator now.

use std::{process::ExitCode, time::Duration};

use onlyhere_proto::Vantage;
use serde::Serialize;

use crate::{
    args::{ListFormat, VantagesArgs},
    error::CliError,
    remote::{self, RemoteError},
    render,
    settings::Settings,
};

/// Longest wait for the coordinator.
const WITHIN: Duration = Duration::from_secs(10);

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    vantages: &'a [Vantage],
}

/// Lists the vantages on stdout.
pub async fn run(args: VantagesArgs) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.coordinator)?;
    let url = settings.coordinator.as_ref().ok_or(RemoteError::NotSet)?;
    let token = settings
        .token
        .as_ref()
        .ok_or_else(|| RemoteError::NoToken { url: url.clone() })?;
    let listing = remote::list_vantages(url, token, args.selector.as_ref());
    let vantages = tokio::select! {
        listed = tokio::time::timeout(WITHIN, listing) => {
            listed.unwrap_or_else(|_| Err(RemoteError::TooSlow { url: url.clone(), within: WITHIN }))?
        }
        _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
    };
    match args.format {
        ListFormat::Text => render::print(|width| render::vantages::list(&vantages, width)),
        ListFormat::Json => render::print_json(&Listed {
            vantages: &vantages,
        }),
    }
    .map_err(|error| CliError::own("the list cannot be printed", error))?;
    Ok(ExitCode::SUCCESS)
}
