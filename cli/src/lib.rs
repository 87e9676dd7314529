//! What a person or a CI job runs: says what is asked, tries the target itself, and says what is concluded.
//!
//! The way of a check: [`args`] and [`settings`] -> [`check`], which has two at work side by side: [`remote`] (the
//! coordinator, with vantages in other networks) and [`alone`] (the same diagnosis over what this machine sees).
//! Both ask [`caller`], this machine's own vantage, and each thing is tried once. [`render`] prints the report. [`replay`]
//! is the same diagnosis without a network.

pub mod alone;
pub mod answer;
pub mod args;
pub mod caller;
pub mod check;
pub mod credentials;
pub mod demo;
pub mod error;
pub mod local;
pub mod login;
pub mod manual;
pub mod remote;
pub mod render;
pub mod replay;
pub mod settings;
pub mod standing;
pub mod ticket;
pub mod vantages;
pub mod watch;

use std::{ffi::OsString, future::Future, io, panic, process::ExitCode};

use args::{Command, CoordinatorArgs, LogFormat, Parsed};
use error::CliError;
use tracing_subscriber::EnvFilter;

/// Carries out a command line, program name first, and gives the exit code. Failures are told on stderr.
pub fn main(args: Vec<OsString>) -> ExitCode {
    // A panic is our own failure like any other; the hook has told it on stderr.
    let outcome = panic::catch_unwind(|| run(args)).unwrap_or(Ok(ExitCode::FAILURE));
    match outcome {
        Ok(code) => code,
        Err(CliError::Interrupted) => ExitCode::from(CliError::Interrupted.exit_code()),
        Err(error) => {
            render::complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Vec<OsString>) -> Result<ExitCode, CliError> {
    let command = match args::parse(args)? {
        Parsed::Print(text) => {
            render::print(|_| text)
                .map_err(|error| CliError::own("help cannot be printed", error))?;
            return Ok(ExitCode::SUCCESS);
        }
        Parsed::Run(command) => *command,
    };
    match command {
        Command::Demo(args) => demo::run(args).map(|never| match never {}),
        Command::Replay(args) => replay::run(args),
        Command::Check(args) => {
            log_to_stderr(&args.question.coordinator);
            on_runtime(check::run(args))
        }
        Command::Watch(args) => {
            log_to_stderr(&args.question.coordinator);
            on_runtime(watch::run(args))
        }
        Command::Ticket(args) => {
            log_to_stderr(&args.coordinator);
            on_runtime(ticket::run(args))
        }
        Command::Login(args) => on_runtime(login::run(args)),
        Command::Logout(args) => login::forget(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Manual(args) => manual::pages(&args),
        Command::Vantages(args) => {
            log_to_stderr(&args.coordinator);
            on_runtime(vantages::run(args))
        }
    }
}

fn on_runtime(
    work: impl Future<Output = Result<ExitCode, CliError>>,
) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::own("no threads can be started", error))?;
    let outcome = runtime.block_on(work);
    // A name lookup of the C library cannot be cancelled; nobody waits for it here.
    runtime.shutdown_background();
    outcome
}

/// Logs are for operators: nothing unless `ONLYHERE_LOG` asks for it.
fn log_to_stderr(args: &CoordinatorArgs) {
    let filter = EnvFilter::try_from_env("ONLYHERE_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
