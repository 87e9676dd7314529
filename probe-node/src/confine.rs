//! What the daemon gives up before it attaches (`onlyhere_sandbox`), and what it keeps.
//!
//! To read: the system's settings (hosts, resolvers, certificate authorities; whole folders, because their files are
//! replaced by new ones) and libraries, for the C library loads some when it resolves the coordinator's name. To write:
//! the data directory alone.

use std::{
    env,
    path::{Path, PathBuf},
};

use onlyhere_sandbox::{Rights, SandboxError, confine};

const READ: [&str; 6] = [
    "/etc",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/share/ca-certificates",
];
/// What `/etc/resolv.conf` is a link into.
const RESOLVERS: [&str; 3] = [
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];
/// Where other certificate authorities may be named; see [`crate::trust::roots`].
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Gives up the rest, for this thread and those that it starts; says in the log what holds.
///
/// # Errors
/// What a kernel that knows the mechanisms should not refuse.
pub fn daemon(data_dir: &Path, config: Option<&Path>) -> Result<(), SandboxError> {
    let named = AUTHORITIES
        .into_iter()
        .filter_map(env::var_os)
        .map(PathBuf::from);
    let always = READ.into_iter().chain(RESOLVERS).map(PathBuf::from);
    let rights = Rights {
        read: always
            .chain(named)
            .chain(config.map(Path::to_owned))
            .collect(),
        write: vec![data_dir.to_owned()],
    };
    let confined = confine(&rights)?;
    tracing::info!(files = %confined.files, calls = %confined.calls, "confined itself");
    Ok(())
}
