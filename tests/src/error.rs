//! What can go wrong in the lab itself. A wrong verdict is not an error here: it is a result of a scenario.

use std::path::Path;
use std::process::ExitStatus;

/// A fault of the lab or of its files, never of the programs under test.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This machine forbids what the lab is made of. The caller reports a skip, never a pass.
    #[error("skipped: needs user namespaces ({reason})")]
    NoNamespaces {
        /// What was tried and what the system said.
        reason: String,
    },
    /// A system call or file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command inside a host failed.
    #[error("on {host}: {command}: {status}: {output}")]
    Command {
        /// The host it ran on.
        host: String,
        /// What ran, shortened.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        output: String,
    },
    /// A topology or scenario file is wrong.
    #[error("{file}: {problem}")]
    BadFile {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something that had to happen did not happen in time.
    #[error("{what} did not happen within {seconds} s{tail}")]
    Late {
        /// What was awaited.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The tail of a log that may tell why, or nothing.
        tail: String,
    },
    /// The scenario asks for something its topology does not have.
    #[error("no {kind} named {name:?} in this internet")]
    Unknown {
        /// `host`, `wire`, `probe` …
        kind: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A program that everything after it needs has ended by itself.
    #[error("{program} has ended: {tail}")]
    Ended {
        /// The program's name.
        program: String,
        /// What it said last.
        tail: String,
    },
    /// A program that must have been built before is missing.
    #[error("{program} is not built: expected it at {path}")]
    NotBuilt {
        /// The program's name.
        program: String,
        /// Where it was looked for.
        path: String,
    },
}

impl LabError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn panicked(what: impl Into<String>) -> Self {
        Self::Io {
            what: what.into(),
            source: std::io::Error::other("its thread panicked"),
        }
    }

    pub(crate) fn errno(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |errno| Self::Io {
            what,
            source: errno.into(),
        }
    }

    pub(crate) fn bad_file(file: &Path, problem: impl ToString) -> Self {
        Self::BadFile {
            file: file.display().to_string(),
            problem: problem.to_string(),
        }
    }
}

/// Writes a file and names it in the error.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), LabError> {
    std::fs::write(path, content).map_err(LabError::io(format!("write {}", path.display())))
}

/// Makes a directory with its parents and names it in the error.
pub(crate) fn make_dir(path: &Path) -> Result<(), LabError> {
    std::fs::create_dir_all(path)
        .map_err(LabError::io(format!("make directory {}", path.display())))
}
