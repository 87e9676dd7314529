//! `onlyhere-probe`: parse, log, run, say what went wrong.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use onlyhere_probe_node::command::{Arguments, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = start_log(arguments.log_format) {
        eprintln!("onlyhere-probe: {error}");
        return ExitCode::from(2);
    }
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onlyhere-probe: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start_log(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("ONLYHERE_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|error| anyhow::anyhow!("ONLYHERE_LOG is `{filter}`: {error}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
