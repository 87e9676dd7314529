//! Whether the daemon is attached, for other processes of this machine: a file of the data directory that the daemon holds
//! locked for as long as it is. The kernel lets go of the lock together with the process, so that what was left behind by
//! one that was killed is never believed.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use nix::fcntl::OFlag;
use onlyhere_proto::{VantageName, limits::plain_text};
use serde::{Deserialize, Serialize};

const FILE: &str = "attached";
/// Bytes of the file that are read.
const MOST: u64 = 4_096;
/// Who looks holds the lock for an instant; so often, and so far apart, the daemon tries again.
const TRIES: (u32, Duration) = (20, Duration::from_millis(5));

/// Who waits looks so often.
const AGAIN: Duration = Duration::from_millis(200);

/// One attachment, as the daemon writes it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// As whom.
    pub name: VantageName,
    /// To whom: `HOST:PORT`.
    pub coordinator: String,
    /// Of the program that runs.
    pub version: String,
    /// Its process.
    pub process: u32,
    /// Since when.
    pub since: jiff::Timestamp,
}

/// The daemon's end.
pub(crate) struct Standing {
    file: File,
}

impl Standing {
    /// In a data directory.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(dir.join(FILE))?;
        Ok(Self { file })
    }

    /// From now on, until [`Standing::end`] or the end of the process.
    pub(crate) fn begin(&self, attached: &Attached) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&serde_json::to_vec(attached)?)?;
        for _ in 0..TRIES.0 {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRIES.1),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(io::Error::other(
            "another process holds its lock: does a second one use this data directory?",
        ))
    }

    /// Not attached any more.
    pub(crate) fn end(&self) {
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the mark of being attached cannot be taken back");
        }
    }
}

/// Whether a daemon that uses this data directory is attached now.
///
/// # Errors
/// A file that may not be read, or holds something else.
pub fn look(dir: &Path) -> io::Result<Option<Attached>> {
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(dir.join(FILE));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    let attached: Attached = serde_json::from_str(&text)?;
    Ok(Some(Attached {
        coordinator: plain_text(&attached.coordinator, 256),
        version: plain_text(&attached.version, 64),
        ..attached
    }))
}

/// Looks again and again until there is an attachment that is the right one, or the time is over.
///
/// # Errors
/// As for [`look`].
pub async fn wait(
    dir: &Path,
    at_most: Duration,
    is_right: impl Fn(&Attached) -> bool,
) -> io::Result<Option<Attached>> {
    let end = tokio::time::Instant::now() + at_most;
    loop {
        match look(dir)? {
            Some(attached) if is_right(&attached) => return Ok(Some(attached)),
            _ if tokio::time::Instant::now() >= end => return Ok(None),
            _ => tokio::time::sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a daemon that runs as this process writes down.
    pub(crate) fn attached(process: u32) -> Attached {
        Attached {
            name: "fra1".parse().unwrap(),
            coordinator: "c.example:7443".into(),
            version: "0.1.0".into(),
            process,
            since: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_attachment_is_seen_while_it_lasts_and_not_after_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(look(dir).unwrap(), None);
        let attached = attached(7);
        let standing = Standing::open(dir).unwrap();
        assert_eq!(look(dir).unwrap(), None);
        standing.begin(&attached).unwrap();
        assert_eq!(look(dir).unwrap().as_ref(), Some(&attached));
        standing.end();
        assert_eq!(look(dir).unwrap(), None);
        standing.begin(&attached).unwrap();
        // As when a process is killed: the file stays, the lock does not.
        drop(standing);
        assert!(dir.join(FILE).exists());
        assert_eq!(look(dir).unwrap(), None);
    }

    #[test]
    fn a_second_daemon_in_the_same_directory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let attached = attached(7);
        let first = Standing::open(dir.path()).unwrap();
        first.begin(&attached).unwrap();
        let second = Standing::open(dir.path()).unwrap();
        let said = second.begin(&attached).unwrap_err().to_string();
        assert!(said.contains("another process"), "{said}");
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(FILE)).unwrap();
        assert!(look(dir.path()).is_err());
        assert!(Standing::open(dir.path()).is_err());
    }
}
