//! What the server gives up before it serves (`onlyhere_sandbox`), and what it keeps: to write the data directory and
//! the folder of the database, to read the system's settings and libraries, and the files that the settings name.
//!
//! Of a named file its folder is kept, and of a link the folder that it leads to: whoever renews a certificate puts a new
//! file in its place.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use onlyhere_sandbox::{Rights, SandboxError, confine};

use crate::{
    config::{ApiTls, Config},
    store::sqlite,
};

/// Settings, libraries, and what SQLite takes its random numbers from.
const READ: [&str; 6] = [
    "/etc",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/dev/urandom",
];

/// Gives up the rest, for this thread and those that it starts; says in the log what holds. Ports must be bound before.
///
/// # Errors
/// What a kernel that knows the mechanisms should not refuse.
pub fn server(data_dir: &Path, config: &Config) -> Result<(), SandboxError> {
    let confined = confine(&rights(data_dir, config))?;
    tracing::info!(files = %confined.files, calls = %confined.calls, "confined itself");
    Ok(())
}

fn rights(data_dir: &Path, config: &Config) -> Rights {
    let mut read: Vec<PathBuf> = READ.into_iter().map(PathBuf::from).collect();
    let mut write = vec![data_dir.to_owned()];
    // Beside its file SQLite makes others.
    if let Some(database) = sqlite::path_of(&config.store.url, data_dir) {
        write.extend(folders(&database));
    }
    read.extend(config.geo.mmdb.iter().flat_map(|file| folders(file)));
    match &config.api.tls {
        Some(ApiTls::Files { cert, key }) => {
            read.extend(folders(cert).chain(folders(key)));
        }
        Some(ApiTls::Acme(acme)) => {
            read.extend(acme.ca.as_deref().into_iter().flat_map(folders));
            if let Some(cache) = &acme.cache {
                // What is not there cannot be kept. If it cannot be made, whoever uses it says so.
                let _ = DirBuilder::new().recursive(true).mode(0o700).create(cache);
                write.push(cache.clone());
            }
        }
        None => {}
    }
    Rights { read, write }
}

fn folders(file: &Path) -> impl Iterator<Item = PathBuf> {
    let real = file.canonicalize().ok();
    [Some(file.to_owned()), real]
        .into_iter()
        .flatten()
        .filter_map(|file| match file.parent()? {
            here if here.as_os_str().is_empty() => Some(PathBuf::from(".")),
            folder => Some(folder.to_owned()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_both_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["live", "archive"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("archive/cert1.pem"), "").unwrap();
        std::os::unix::fs::symlink("../archive/cert1.pem", root.join("live/cert.pem")).unwrap();
        let kept: Vec<_> = folders(&root.join("live/cert.pem")).collect();
        assert_eq!(kept, [root.join("live"), root.join("archive")]);
        let kept: Vec<_> = folders(Path::new("cert.pem")).collect();
        assert_eq!(kept, [PathBuf::from(".")]);
    }
}
