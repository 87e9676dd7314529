//! The CA of a running server: `ca rotate` and `ca retire` are run by another process, and nobody restarts for that.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::ServerConfig;

use super::{Authority, IdentityError, file::key_path, tls};
use crate::data_file::DataError;

/// The CA in force, and the probe port's TLS under it.
pub struct LiveAuthority {
    dir: PathBuf,
    current: RwLock<Current>,
}

struct Current {
    stamp: Stamp,
    authority: Arc<Authority>,
    tls: Arc<ServerConfig>,
}

/// One version of the file; an atomic rename always changes the inode or the time.
type Stamp = (u64, i64, i64);

impl LiveAuthority {
    /// Reads the CA of a data directory, or makes it.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        // It must be there to be looked at.
        Authority::load_or_create(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            current: RwLock::new(Current::read(dir)?),
        })
    }

    /// The CA in force.
    pub fn authority(&self) -> Arc<Authority> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.authority)
    }

    /// TLS of the probe port.
    pub fn tls(&self) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.tls)
    }

    /// The CA as its file has it now, before [`refresh`](Self::refresh) has put it in force.
    pub fn newest(&self) -> Result<Arc<Authority>, IdentityError> {
        if self.is_in_force()? {
            return Ok(self.authority());
        }
        Ok(Current::read(&self.dir)?.authority)
    }

    /// Reads the CA again if its file was replaced; says whether it was. What cannot be used leaves the old one in force.
    pub fn refresh(&self) -> Result<bool, IdentityError> {
        if self.is_in_force()? {
            return Ok(false);
        }
        // With it come new keys for resumption: no session of a CA that was retired goes on.
        let new = Current::read(&self.dir)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    fn is_in_force(&self) -> Result<bool, IdentityError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Ok(stamp(&self.dir)? == current.stamp)
    }
}

impl Current {
    fn read(dir: &Path) -> Result<Self, IdentityError> {
        // The stamp first: what is replaced in between is then read once more.
        let stamp = stamp(dir)?;
        let authority = Authority::load_or_create(dir)?;
        Ok(Self {
            stamp,
            tls: tls::probe_port(&authority)?,
            authority: Arc::new(authority),
        })
    }
}

fn stamp(dir: &Path) -> Result<Stamp, DataError> {
    let path = key_path(dir);
    let data = fs::metadata(&path).map_err(DataError::io("look at", &path))?;
    Ok((data.ino(), data.mtime(), data.mtime_nsec()))
}
