//! The program `onlyhere`.

use std::process::ExitCode;

fn main() -> ExitCode {
    onlyhere_cli::main(std::env::args_os().collect())
}
