//! `onlyhere ticket`: what a hosting provider's support needs to know, of an earlier check, of a saved report, or of a
//! check made for it.

use std::{path::Path, process::ExitCode, time::Duration};

use onlyhere_proto::{CheckId, Report};

use crate::{
    args::{QuestionArgs, TicketArgs},
    check::Checker,
    error::CliError,
    remote::{self, RemoteError},
    render::{self, ticket},
    replay::recorded,
    settings::Settings,
};

/// Longest wait for the coordinator to hand a report out.
const WITHIN: Duration = Duration::from_secs(10);

/// Prints the ticket on stdout. Without a fault there is nothing to write, and that is no failure.
pub async fn run(args: TicketArgs) -> Result<ExitCode, CliError> {
    let report = report(&args).await?;
    let text = ticket::markdown(&report, args.redact);
    render::print_plain(&text)
        .map_err(|error| CliError::own("the ticket cannot be printed", error))?;
    Ok(ExitCode::SUCCESS)
}

/// An id is 26 characters that no target looks like; a file is what exists.
async fn report(args: &TicketArgs) -> Result<Report, CliError> {
    let file = Path::new(&args.of);
    if args.of == "-" || file.is_file() {
        return recorded::judge(recorded::load(file)?).map_err(CliError::Usage);
    }
    match args.of.parse::<CheckId>() {
        Ok(id) => earlier(args, &id).await,
        Err(_) => {
            let question = QuestionArgs {
                target: args.of.clone(),
                from: Vec::new(),
                seen: None,
                expect_address: Vec::new(),
                timeout: args.timeout,
                require_coordinator: false,
                coordinator: args.coordinator.clone(),
            };
            Ok(Checker::new(question, false)?.check().await?.report)
        }
    }
}

async fn earlier(args: &TicketArgs, id: &CheckId) -> Result<Report, CliError> {
    let settings = Settings::load(&args.coordinator)?;
    let url = settings.coordinator.as_ref().ok_or(RemoteError::NotSet)?;
    let missing = || RemoteError::NoToken { url: url.clone() };
    let token = settings.token.as_ref().ok_or_else(missing)?;
    let fetching = remote::fetch_report(url, token, id);
    let bytes = tokio::select! {
        fetched = tokio::time::timeout(WITHIN, fetching) => {
            fetched.unwrap_or_else(|_| Err(RemoteError::TooSlow { url: url.clone(), within: WITHIN }))?
        }
        _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
    };
    recorded::parse(&bytes)
        .and_then(recorded::judge)
        .map_err(|why| CliError::own("the coordinator's report cannot be used", why))
}
