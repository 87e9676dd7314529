//! What a shell and `man` are told of the command line, made from the same description that reads it.

use std::{io, process::ExitCode};

use crate::{
    args::{self, CompletionsArgs, ManualArgs},
    error::CliError,
    render,
};

/// Prints a completion script on stdout.
pub fn completions(wanted: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(
        wanted.shell,
        &mut args::description(),
        "onlyhere",
        &mut script,
    );
    String::from_utf8(script)
        .map_err(io::Error::other)
        .and_then(|script| render::print_plain(&script))
        .map_err(|error| CliError::own("the completions cannot be printed", error))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and one for each command.
pub fn pages(wanted: &ManualArgs) -> Result<ExitCode, CliError> {
    if !wanted.out.is_dir() {
        return Err(CliError::Usage(format!(
            "--out {}: there is no such folder; make it first, as in `mkdir -p {0}`",
            wanted.out.display()
        )));
    }
    clap_mangen::generate_to(args::description(), &wanted.out)
        .map_err(|error| CliError::own("the manual pages cannot be written", error))?;
    Ok(ExitCode::SUCCESS)
}
