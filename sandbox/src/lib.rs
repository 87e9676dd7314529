//! What a daemon gives up before it listens to strangers, so that a bug in it is no way into the machine.
//!
//! Files by Landlock (landlock(7), Linux 5.13 and later): what is not named cannot be opened, listed, written or made, and
//! nothing is executed. System calls by seccomp (seccomp(2)): those that start programs, look into other processes, mount,
//! load code into the kernel or set the clock are refused. Both hold without privilege, cannot be taken back, and pass to
//! threads that are started afterwards: [`confine`] belongs before the first of them.
//!
//! A kernel without one of the two is no reason not to serve: [`Confined`] says what holds.

mod calls;
mod files;

use std::{fmt, path::PathBuf};

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Files, and folders with all below them, that are read. What does not exist is skipped.
    pub read: Vec<PathBuf>,
    /// Folders in which everything may be done, except executing. What does not exist is skipped.
    pub write: Vec<PathBuf>,
}

/// How far a restriction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// As asked for.
    Wholly,
    /// As far as this kernel knows it.
    Partly,
    /// This kernel does not know it, or a sandbox around this process does not let it through.
    Not,
}

/// What was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confined {
    /// All files but those named, and ports to listen on (Landlock).
    pub files: Holds,
    /// Dangerous system calls (seccomp).
    pub calls: Holds,
}

/// Why the rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Landlock refuses the rules.
    #[error("Landlock: {0}")]
    Files(#[from] landlock::RulesetError),
    /// The filter cannot be built or is refused.
    #[error("seccomp: {0}")]
    Calls(#[from] calls::FilterError),
}

/// Gives up everything but `rights`, for this thread and all that it starts from now on.
///
/// # Errors
/// What a kernel that knows the mechanism should not refuse. One that does not know it is no error.
pub fn confine(rights: &Rights) -> Result<Confined, SandboxError> {
    let files = files::confine(rights)?;
    // Afterwards, so that the filter need not let through what makes the rules.
    let calls = calls::confine()?;
    Ok(Confined { files, calls })
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wholly => "wholly",
            Self::Partly => "as far as the kernel can",
            Self::Not => "not at all",
        })
    }
}
