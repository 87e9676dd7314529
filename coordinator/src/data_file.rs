//! Files of the data directory that are replaced as a whole: an atomic rename under a lock that other processes heed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Why a file of the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refuses.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: String,
        /// The system's word.
        source: io::Error,
    },
    /// Not ours, or damaged.
    #[error("{path} does not hold what it should: {source}")]
    Damaged {
        /// Which file.
        path: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
}

impl DataError {
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io {
            what,
            path: path.display().to_string(),
            source,
        }
    }
}

/// Holds the lock until the file is dropped; the kernel gives it back when the process dies.
pub(crate) fn lock_file(path: &Path) -> Result<File, DataError> {
    let file = open_lock(path)?;
    file.lock().map_err(DataError::io("lock", path))?;
    Ok(file)
}

/// The file that stands for a lock, made if it is not there.
pub(crate) fn open_lock(path: &Path) -> Result<File, DataError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(DataError::io("open", path))
}

/// Replaces a file at once and for its owner's eyes only. The caller holds the lock, so one temporary name is enough.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), DataError> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(DataError::io("create", &temporary))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(DataError::io("write", &temporary))?;
    rename(&temporary, path)
}

/// Renames a file over another and has the rename on disk.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), DataError> {
    fs::rename(from, to).map_err(DataError::io("replace", to))?;
    // The rename itself is on disk only when the directory is.
    let dir = to.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(DataError::io("write", dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pem");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.path().join("x.new").exists());
    }
}
