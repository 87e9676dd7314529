//! The lab's directory: made anew for every internet, removed with it.
//!
//! A lab that was killed cannot clean up. So every directory holds a lock file that its owner keeps locked; one whose
//! lock is free belongs to nobody and is removed the next time a lab starts. A directory that is to stay has no lock
//! file.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::LabError;

const PREFIX: &str = "onlyhere-lab-";
const LOCK: &str = "lock";

/// A directory of its own. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub(crate) struct Directory {
    _lock: File,
    dir: TempDir,
}

impl Directory {
    pub(crate) fn make() -> Result<Self, LabError> {
        remove_what_others_left();
        // No capitals in the name: the services' configurations have words such as KEY in them that stand for a path.
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{:016x}", rand::random::<u64>()))
            .rand_bytes(0)
            .tempdir()
            .map_err(LabError::io("make a temporary directory"))?;
        let what = "lock the temporary directory";
        let lock = File::create(dir.path().join(LOCK)).map_err(LabError::io(what))?;
        lock.lock().map_err(LabError::io(what))?;
        Ok(Self { _lock: lock, dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory stays when this is dropped.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        let _ = std::fs::remove_file(self.dir.path().join(LOCK));
        self.dir.path().into()
    }
}

/// Best effort: what cannot be read, locked or removed is somebody else's.
fn remove_what_others_left() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
