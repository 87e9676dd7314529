//! `onlyhere replay`: the diagnosis without a network. Judges the observations of a report again ([`recorded`]), or lets
//! another program play the vantages, line by line ([`stdio`]).
//!
//! `docs/replay.md` is the description for those who write the other program.

mod answer;
mod case;
mod line;
mod observation;
pub mod recorded;
pub mod session;
pub mod stdio;

use std::{io, process::ExitCode};

use crate::{args::ReplayArgs, error::CliError};

/// Vantages of one case: more than a check over the network may have, so that large fleets can be played.
pub const VANTAGES: usize = 1_024;

/// Carries out `onlyhere replay`, and gives the exit code.
pub fn run(args: ReplayArgs) -> Result<ExitCode, CliError> {
    match args.report {
        Some(path) => recorded::run(&path, &args.show, &args.demands),
        // The command line demands one of the two.
        None => stdio::serve(&mut io::stdin().lock(), &mut io::stdout().lock())
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| CliError::own("the session ended", error)),
    }
}
