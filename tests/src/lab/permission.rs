//! Getting the right to make namespaces: as root it is there; as anybody else a user namespace gives it; and in a chroot,
//! where the kernel lets nobody make the root mount private, it takes a root mount of one's own.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::LabError;

/// The exit code that says "not run", distinct from every verdict and from failure (automake's convention).
pub const SKIPPED: u8 = 77;

/// How namespaces can be had here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As this process is.
    AsIs,
    /// Inside a user namespace, where anybody plays root.
    UserNamespace,
    /// Under a root directory that is a mount point: in a chroot it is none, and nothing could be kept from spreading
    /// to the machine around it.
    OwnRoot,
}

/// Returns when this process may build an internet. Where it may not as it is, it starts itself over where it may, with
/// the same arguments, and then returns only on failure.
pub fn obtain() -> Result<(), LabError> {
    let way = check()?;
    if way == Way::AsIs {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(LabError::io("find my own program"))?;
    let failure = way
        .command(program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(LabError::Io {
        what: "start over where namespaces are allowed".into(),
        source: failure,
    })
}

/// How an internet can be built on this machine; the error says what is missing.
pub fn check() -> Result<Way, LabError> {
    let ways: &[Way] = if is_root() {
        &[Way::AsIs, Way::OwnRoot]
    } else {
        &[Way::UserNamespace]
    };
    let mut reasons = Vec::new();
    let mut found = None;
    for &way in ways {
        let mut trial = way.command("unshare");
        let output = trial
            .args(["--net", "--mount", "true"])
            .output()
            .map_err(LabError::io("run unshare"))?;
        if output.status.success() {
            found = Some(way);
            break;
        }
        reasons.push(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let way = found.ok_or_else(|| LabError::NoNamespaces {
        reason: reasons.join("; "),
    })?;
    let device = "/dev/net/tun";
    let tun = OpenOptions::new().read(true).write(true).open(device);
    tun.map(|_| way).map_err(|error| LabError::NoNamespaces {
        reason: format!("{device}: {error}"),
    })
}

/// Binds the root directory to a place on a private mount and moves there. `/proc` is a mount point in every usable
/// chroot, so that making it private first keeps each further mount from the machine around.
const OWN_ROOT: &str = r#"
mount --make-rprivate /proc
mount -t tmpfs room /proc/fs
mkdir /proc/fs/root
mount --rbind / /proc/fs/root
mount --make-rprivate /proc/fs/root
exec chroot /proc/fs/root sh -ec 'cd "$0"; exec "$@"' "$PWD" "$@"
"#;

impl Way {
    /// A command that runs `program` this way.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::AsIs => Command::new(program),
            Self::UserNamespace => {
                let mut command = Command::new("unshare");
                command
                    .args(["--user", "--map-root-user", "--net", "--mount", "--"])
                    .arg(program);
                command
            }
            Self::OwnRoot => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--propagation", "unchanged", "--"])
                    .args(["sh", "-ec", OWN_ROOT, "sh"])
                    .arg(program);
                command
            }
        }
    }
}

/// Whether this process is root, or plays root in a user namespace.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
