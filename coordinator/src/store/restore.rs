//! The way back to a backup, whole or not at all.
//!
//! The backup is copied beside the state and the copy is checked; what was revoked since stays revoked; then one rename
//! puts it in the place of the state, whose file was given a second name before. A crash leaves the old state or the new.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use onlyhere_proto::Timestamp;

use super::{
    Change, Committed, Revocation, Sqlite, Store, StoreError,
    sqlite::{
        backup::{BackupError, Beside, unpack},
        open::lock_path,
    },
};
use crate::{
    audit::{Act, By, Event},
    clock,
    data_file::{self, DataError, open_lock},
    tokens::{Token, Tokens},
};

/// What came back.
#[derive(Debug)]
pub struct Restored {
    /// When the backup was made.
    pub made_at: Timestamp,
    /// Files that hold what was there before.
    pub aside: Vec<PathBuf>,
    /// How many tokens and keys were revoked since, and stay so; none: the old state could not be read.
    pub still_revoked: Option<usize>,
}

/// Puts a backup in the place of the state at `database`, and its other files into `data_dir`.
pub async fn restore(
    backup: &Path,
    database: &Path,
    data_dir: &Path,
    by: &By,
) -> Result<Restored, BackupError> {
    let lock = open_lock(&lock_path(database))?;
    if lock.try_lock().is_err() {
        return Err(BackupError::InUse(database.display().to_string()));
    }
    let copy = with_ending(database, ".restoring");
    let prepared = prepare(backup, &copy, database, by).await;
    for leftover in ["-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(with_ending(&copy, leftover));
    }
    let (made_at, beside, still_revoked) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = fs::remove_file(&copy);
            return Err(error);
        }
    };
    let stamp = format!(".before-{}", clock::now().0);
    let mut aside = set_aside(database, &stamp)?;
    for (name, content) in &beside {
        let path = data_dir.join(name);
        if fs::read(&path).is_ok_and(|current| current == *content) {
            continue;
        }
        aside.extend(second_name(&path, &with_ending(&path, &stamp))?);
        data_file::replace(&path, content)?;
    }
    data_file::rename(&copy, database)?;
    Ok(Restored {
        made_at,
        aside,
        still_revoked,
    })
}

/// Makes of the backup, in a copy of its own, the state that is to be.
async fn prepare(
    backup: &Path,
    copy: &Path,
    database: &Path,
    by: &By,
) -> Result<(Timestamp, Vec<Beside>, Option<usize>), BackupError> {
    copy_private(backup, copy)?;
    let (made_at, beside) = unpack(copy, backup).await?;
    for (name, _) in &beside {
        // The name is only ever written by `backup`; that it leads nowhere else is looked at all the same.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(BackupError::NotABackup {
                path: backup.display().to_string(),
                why: "it holds a file with a strange name".into(),
            });
        }
    }
    let revoked = revoked_now(database).await;
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(copy).await?);
    let still_revoked = match &revoked {
        Some(revoked) => Some(carry_over(&store, revoked, by).await?),
        None => None,
    };
    let says = format!("as of {made_at}");
    let line = Event::new(
        Act::Restored,
        by.clone(),
        &backup.display().to_string(),
        &says,
    );
    store.commit(vec![Change::Audit(line)]).await?;
    store.close().await;
    Ok((made_at, beside, still_revoked))
}

fn copy_private(from: &Path, to: &Path) -> Result<(), DataError> {
    let mut source = File::open(from).map_err(DataError::io("read", from))?;
    let _ = fs::remove_file(to);
    let mut target = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(to)
        .map_err(DataError::io("create", to))?;
    io::copy(&mut source, &mut target)
        .and_then(|_| target.sync_all())
        .map_err(DataError::io("write", to))
}

/// What the state that goes away says was withdrawn.
struct Revoked {
    keys: Vec<Revocation>,
    tokens: Vec<Token>,
}

/// None: there is no state, or it cannot be read, which may be why it is restored.
async fn revoked_now(database: &Path) -> Option<Revoked> {
    if !database.exists() {
        return Some(Revoked {
            keys: Vec::new(),
            tokens: Vec::new(),
        });
    }
    let store = Sqlite::open_locked(database).await.ok()?;
    let read = async {
        let mut tokens = store.tokens().await?;
        tokens.retain(|token| token.revoked);
        let keys = store.revocations().await?;
        Ok::<_, StoreError>(Revoked { keys, tokens })
    };
    let read = read.await.ok();
    store.close().await;
    read
}

/// Withdraws again what was withdrawn since; says how many.
async fn carry_over(
    store: &Arc<dyn Store>,
    revoked: &Revoked,
    by: &By,
) -> Result<usize, StoreError> {
    let tokens = Tokens::new(Arc::clone(store));
    let mut count = 0;
    for token in &revoked.tokens {
        count += tokens.revoke(&token.id, by).await?;
    }
    let names = store.probes().await?;
    for revocation in &revoked.keys {
        if store.is_revoked(&revocation.key_sha256).await? {
            continue;
        }
        let mut changes = vec![Change::Revocation(revocation.clone())];
        let held = names
            .iter()
            .filter(|(_, enrolled)| enrolled.key_sha256 == revocation.key_sha256);
        for (name, enrolled) in held {
            count += 1;
            changes.push(Change::Probe {
                name: name.clone(),
                was: Some(enrolled.clone()),
                now: None,
            });
            let line = Event::new(
                Act::ProbeRevoked,
                by.clone(),
                name.as_str(),
                "revoked before",
            );
            changes.push(Change::Audit(line));
        }
        if store.commit(changes).await? == Committed::Conflict {
            return Err(StoreError::Contended);
        }
    }
    Ok(count)
}

/// Gives the state's files a second name, and leaves of them only the one file that a rename replaces.
fn set_aside(database: &Path, stamp: &str) -> Result<Vec<PathBuf>, DataError> {
    let kept = with_ending(database, stamp);
    let mut aside: Vec<PathBuf> = second_name(database, &kept)?.into_iter().collect();
    // Left over only where the state could not be opened: a journal must not meet another database.
    for companion in ["-wal", "-shm"] {
        let path = with_ending(database, companion);
        aside.extend(second_name(&path, &with_ending(&kept, companion))?);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DataError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// The second name, if there was a file.
fn second_name(path: &Path, name: &Path) -> Result<Option<PathBuf>, DataError> {
    match fs::hard_link(path, name) {
        Ok(()) => Ok(Some(name.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataError::io("keep a second name of", path)(error)),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
