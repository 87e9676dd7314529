//! Replacing the program by a newer release, asked for by the owner: nothing here happens by itself.
//!
//! The signed list of the release is checked, then the program by the list, then it is put in place by one rename and the
//! service is started again. Where the new program has not attached in time the old one comes back by another rename.

pub mod release;
pub mod source;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use self::{
    release::{Offer, SIGNATURE, SUMS, UntrustedRelease, Version},
    source::{Source, SourceError},
};
use crate::standing::{self, Attached};

/// Bytes of the list and its signature, and of a program.
const LIST: usize = 65_536;
const PROGRAM: usize = 128 << 20;
/// For `--version` of the new program, and for the command that starts the service again.
const SAYS: Duration = Duration::from_secs(10);
const RESTART: Duration = Duration::from_secs(120);
/// Between two attempts to run a program that somebody still writes to.
const BUSY: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The program that is replaced.
    pub program: PathBuf,
    /// Its version.
    pub running: Version,
    /// Of the daemon.
    pub data_dir: PathBuf,
    /// Of the release.
    pub source: Source,
    /// With the public key of whoever builds releases.
    pub key_file: PathBuf,
    /// Program and arguments that start the service again.
    pub restart: Vec<String>,
    /// The new program attaches within this time, or the old one comes back.
    pub within: Duration,
    /// Take one that is not newer.
    pub older: bool,
}

/// How it ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgraded {
    /// There is nothing newer; nothing was changed.
    AlreadyThere(Version),
    /// It is attached.
    To(Version, Attached),
}

/// Why the program is the old one still.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The key.
    #[error("cannot read the key of releases, {0}: {1}")]
    Key(PathBuf, io::Error),
    /// The release cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The release is not taken.
    #[error(transparent)]
    Untrusted(#[from] UntrustedRelease),
    /// Against going back by a release that was signed long ago.
    #[error(
        "the release is {offered}, older than this program ({running}): --allow-older takes it all the same"
    )]
    Older {
        /// By the release.
        offered: Version,
        /// Here.
        running: Version,
    },
    /// Nobody could tell whether the new one works.
    #[error(
        "the probe is not attached now, so that nothing would tell whether the new program works: mend that first, or run \
         the installer"
    )]
    NotAttached,
    /// Not a program for this machine, whatever its name says.
    #[error("the new program does not run here ({0}); nothing was changed")]
    DoesNotRun(String),
    /// A file.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// Write, replace.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// It was tried.
    #[error("{offered} did not attach ({why}): {running} is in place again, and {state}")]
    RolledBack {
        /// The new version.
        offered: Version,
        /// The old version.
        running: Version,
        /// What went wrong.
        why: String,
        /// Of the old program.
        state: &'static str,
    },
}

impl Upgrade {
    /// Does it.
    pub async fn run(&self) -> Result<Upgraded, UpgradeError> {
        let offer = self.offer().await?;
        if offer.version < self.running && !self.older {
            return Err(UpgradeError::Older {
                offered: offer.version,
                running: self.running,
            });
        }
        if offer.version == self.running && !self.older {
            return Ok(Upgraded::AlreadyThere(offer.version));
        }
        let before = self.attached(Duration::ZERO, None).await;
        let before = before.ok_or(UpgradeError::NotAttached)?;
        let content = self.source.read(&offer.name, PROGRAM).await?;
        offer.check(&content)?;
        let new = self.beside("new");
        write(&new, &content)?;
        if let Err(why) = says_its_version(&new, offer.version).await {
            let _ = fs::remove_file(&new);
            return Err(UpgradeError::DoesNotRun(why));
        }
        let old = self.beside("old");
        self.keep_as(&old)?;
        self.put_in_place(&new)?;
        match self.start(self.within, &before).await {
            Ok(attached) => {
                // It works: what could not be deleted does no harm.
                let _ = fs::remove_file(&old);
                Ok(Upgraded::To(offer.version, attached))
            }
            Err(why) => {
                self.put_in_place(&old)?;
                let state = match self.start(self.within, &before).await {
                    Ok(_) => "attached",
                    Err(_) => "not attached yet",
                };
                Err(UpgradeError::RolledBack {
                    offered: offer.version,
                    running: self.running,
                    why,
                    state,
                })
            }
        }
    }

    async fn offer(&self) -> Result<Offer, UpgradeError> {
        let key = fs::read_to_string(&self.key_file)
            .map_err(|error| UpgradeError::Key(self.key_file.clone(), error))?;
        let sums = self.source.read(SUMS, LIST).await?;
        let signature = self.source.read(SIGNATURE, LIST).await?;
        let signature = String::from_utf8_lossy(&signature);
        let key_file = self.key_file.display().to_string();
        let machine = std::env::consts::ARCH;
        Ok(Offer::of(&sums, &signature, (&key, &key_file), machine)?)
    }

    /// In the same folder, so that a rename is enough.
    fn beside(&self, what: &str) -> PathBuf {
        let name = self.program.file_name().unwrap_or_default();
        self.program
            .with_file_name(format!(".{}.{what}", name.to_string_lossy()))
    }

    /// A second name for the program that is there.
    fn keep_as(&self, old: &Path) -> Result<(), UpgradeError> {
        let keep = || {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::hard_link(&self.program, old)
        };
        keep().map_err(failed("keep the old program as", old))
    }

    fn put_in_place(&self, from: &Path) -> Result<(), UpgradeError> {
        let place = || {
            fs::rename(from, &self.program)?;
            // The rename itself is on disk only when the folder is.
            File::open(self.program.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        place().map_err(failed("replace", &self.program))
    }

    /// Starts the service again, and waits for another process than before.
    async fn start(&self, within: Duration, before: &Attached) -> Result<Attached, String> {
        restart(&self.restart).await?;
        let attached = self.attached(within, Some(before)).await;
        attached.ok_or_else(|| format!("not within {} seconds", within.as_secs()))
    }

    async fn attached(&self, within: Duration, before: Option<&Attached>) -> Option<Attached> {
        let is_another = |now: &Attached| {
            before.is_none_or(|before| (now.process, now.since) != (before.process, before.since))
        };
        let found = standing::wait(&self.data_dir, within, is_another).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, dir = %self.data_dir.display(), "cannot be looked into");
            None
        })
    }
}

/// Executable by everybody, on disk before it is used.
fn write(path: &Path, content: &[u8]) -> Result<(), UpgradeError> {
    let write = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(failed("write", path))
}

/// Runs it once, for its version alone.
async fn says_its_version(program: &Path, version: Version) -> Result<(), String> {
    let run = async {
        loop {
            let mut command = Command::new(program);
            command.arg("--version").stdin(Stdio::null());
            match command.kill_on_drop(true).output().await {
                // A child that another thread is just starting holds the file open for writing an instant longer.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    tokio::time::sleep(BUSY).await;
                }
                done => return done,
            }
        }
    };
    let output = timeout(SAYS, run).await.map_err(|_| "it does not end")?;
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim() == format!("onlyhere-probe {version}") {
        true => Ok(()),
        false => Err(format!(
            "it should say that it is onlyhere-probe {version}, and ended with {}",
            output.status
        )),
    }
}

async fn restart(command: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Err("there is no command that starts the service again".to_owned());
    };
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status();
    let failed = |why: String| format!("`{}` {why}", command.join(" "));
    let status = timeout(RESTART, run)
        .await
        .map_err(|_| failed("does not end".to_owned()))?
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(format!("ended with {status}"))),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UpgradeError {
    let path = path.to_owned();
    move |source| UpgradeError::File { what, path, source }
}
