//! A JSON file in the data directory that several processes share: `token create` writes while `serve` reads.
//!
//! Writers hold an exclusive lock on a file beside it, and replace the file by an atomic rename, so that a reader needs
//! no lock and never sees half a file. Readers keep what they read until the file on disk is another one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};

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

/// One version of a file on disk; an atomic rename always changes the inode or the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// A shared file that holds one `T`; a file that is not there holds `T::default()`.
#[derive(Debug)]
pub struct DataFile<T> {
    path: PathBuf,
    lock: PathBuf,
    read: Mutex<Option<(Option<Stamp>, Arc<T>)>>,
}

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> DataFile<T> {
    /// Names the file; nothing is touched yet.
    pub fn new(dir: &Path, name: &str) -> Self {
        Self {
            path: dir.join(name),
            lock: dir.join(format!("{name}.lock")),
            read: Mutex::new(None),
        }
    }

    /// What the file holds now; reads it only when it is not the one read last.
    pub fn current(&self) -> Result<Arc<T>, DataError> {
        let stamp = self.stamp()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = &*read
            && *known == stamp
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(self.load()?);
        *read = Some((stamp, Arc::clone(&value)));
        Ok(value)
    }

    /// Changes the file under its lock; waits for other writers, and writes only what is different.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R, DataError> {
        let lock = lock_file(&self.lock)?;
        let before = self.load()?;
        let mut after = before.clone();
        let result = change(&mut after);
        if after != before {
            let mut text =
                serde_json::to_vec_pretty(&after).map_err(|source| DataError::Damaged {
                    path: self.path.display().to_string(),
                    source,
                })?;
            text.push(b'\n');
            replace(&self.path, &text)?;
        }
        drop(lock);
        Ok(result)
    }

    fn stamp(&self) -> Result<Option<Stamp>, DataError> {
        match fs::metadata(&self.path) {
            Ok(data) => Ok(Some(Stamp {
                inode: data.ino(),
                size: data.len(),
                modified: (data.mtime(), data.mtime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataError::io("look at", &self.path)(error)),
        }
    }

    fn load(&self) -> Result<T, DataError> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| DataError::Damaged {
                path: self.path.display().to_string(),
                source,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(DataError::io("read", &self.path)(error)),
        }
    }
}

/// Holds the lock until the file is dropped; the kernel gives it back when the process dies.
pub(crate) fn lock_file(path: &Path) -> Result<File, DataError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(DataError::io("open", path))?;
    file.lock().map_err(DataError::io("lock", path))?;
    Ok(file)
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
    fs::rename(&temporary, path).map_err(DataError::io("replace", path))?;
    // The rename itself is on disk only when the directory is.
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(DataError::io("write", dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_reader_sees_what_another_process_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let (serving, creating) = (
            DataFile::<Vec<u32>>::new(dir.path(), "x.json"),
            DataFile::<Vec<u32>>::new(dir.path(), "x.json"),
        );
        assert_eq!(*serving.current().unwrap(), Vec::<u32>::new());
        for n in 0..20 {
            creating.update(|list| list.push(n)).unwrap();
            assert_eq!(serving.current().unwrap().last(), Some(&n));
        }
        let mode = fs::metadata(dir.path().join("x.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let path = dir.path();
                scope.spawn(move || {
                    let file = DataFile::<Vec<u32>>::new(path, "x.json");
                    for n in 0..10 {
                        file.update(|list| list.push(worker * 100 + n)).unwrap();
                    }
                });
            }
        });
        let all = DataFile::<Vec<u32>>::new(dir.path(), "x.json")
            .current()
            .unwrap();
        assert_eq!(all.len(), 40);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.json"), "{").unwrap();
        let error = DataFile::<Vec<u32>>::new(dir.path(), "x.json")
            .current()
            .unwrap_err();
        assert!(
            error.to_string().contains("x.json does not hold"),
            "{error}"
        );
    }
}
