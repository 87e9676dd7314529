//! Getting the right to make namespaces: as root it is there; as anybody else a user namespace gives it.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::LabError;

/// The exit code that says "not run", distinct from every verdict and from failure (automake's convention).
pub const SKIPPED: u8 = 77;

/// Returns when this process may build an internet. Not being root it starts itself over inside a user namespace,
/// with the same arguments, and then returns only on failure.
pub fn obtain() -> Result<(), LabError> {
    check()?;
    if is_root() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(LabError::io("find my own program"))?;
    let failure = over_in_namespace(program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(LabError::Io {
        what: "start over in a user namespace".into(),
        source: failure,
    })
}

/// Whether an internet can be built on this machine; the error says what is missing.
pub fn check() -> Result<(), LabError> {
    let mut trial = if is_root() {
        let mut trial = Command::new("unshare");
        trial.args(["--net", "--mount", "true"]);
        trial
    } else {
        over_in_namespace("true")
    };
    let output = trial.output().map_err(LabError::io("run unshare"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(LabError::NoNamespaces { reason });
    }
    let device = "/dev/net/tun";
    let tun = OpenOptions::new().read(true).write(true).open(device);
    tun.map(drop).map_err(|error| LabError::NoNamespaces {
        reason: format!("{device}: {error}"),
    })
}

/// Whether this process is root, or plays root in a user namespace.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A command that runs `program` as root of a user namespace of its own.
pub fn over_in_namespace(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(program);
    command
}
