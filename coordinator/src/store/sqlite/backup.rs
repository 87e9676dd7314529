//! Backups: one SQLite file that holds the state as it was at one moment, the files beside it (the certificate
//! authority), and a digest over everything.
//!
//! A backup is made while the coordinator serves. It counts only when its last row, the digest, is in it: what was
//! interrupted is no backup. [`crate::store::restore`] reads it again.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use futures::TryStreamExt;
use onlyhere_proto::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{
    StoreError,
    error::Explain,
    open::{plain, version},
};
use crate::{clock, data_file::DataError};

/// A file that a backup holds beside the state: its name in the data directory, and what is in it.
pub type Beside = (String, Vec<u8>);

/// Why there is no backup, or no way back to one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It would overwrite something.
    #[error("{0} exists: a backup overwrites nothing; give another name")]
    Exists(String),
    /// Not ours, or not finished.
    #[error("{path} is no whole backup of a coordinator ({why}); nothing was changed")]
    NotABackup {
        /// Which file.
        path: String,
        /// What is missing or wrong.
        why: String,
    },
    /// Somebody uses the state.
    #[error(
        "{0} is in use: stop the coordinator, and whatever else uses its data directory, and try again; nothing was \
         changed"
    )]
    InUse(String),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] DataError),
}

/// Writes a backup of the state at `from` to a new file of its owner alone.
pub async fn backup(from: &Path, beside: &[Beside], to: &Path) -> Result<(), BackupError> {
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(to);
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(to.display().to_string()));
        }
        Err(error) => return Err(DataError::io("create", to)(error).into()),
    }
    let written = write(from, beside, to).await;
    if written.is_err() {
        let _ = fs::remove_file(to);
    }
    written
}

async fn write(from: &Path, beside: &[Beside], to: &Path) -> Result<(), BackupError> {
    let mut source = plain(from).connect().await.explain(from)?;
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(to.display().to_string())
        .execute(&mut source)
        .await;
    source.close().await.explain(from)?;
    copied.explain(to)?;
    let mut copy = plain(to).connect().await.explain(to)?;
    let mut transaction = copy.begin().await.explain(to)?;
    let tables = "CREATE TABLE backup_files (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT; \
                  CREATE TABLE backup (made_us INTEGER NOT NULL, digest BLOB NOT NULL) STRICT";
    sqlx::raw_sql(tables)
        .execute(&mut *transaction)
        .await
        .explain(to)?;
    for (name, content) in beside {
        sqlx::query("INSERT INTO backup_files (name, content) VALUES (?, ?)")
            .bind(name)
            .bind(content)
            .execute(&mut *transaction)
            .await
            .explain(to)?;
    }
    let digest = digest(&mut transaction).await.explain(to)?;
    sqlx::query("INSERT INTO backup (made_us, digest) VALUES (?, ?)")
        .bind(clock::now().0)
        .bind(digest)
        .execute(&mut *transaction)
        .await
        .explain(to)?;
    transaction.commit().await.explain(to)?;
    copy.close().await.explain(to)?;
    sync(to)?;
    Ok(())
}

/// What VACUUM wrote is on disk only now.
fn sync(path: &Path) -> Result<(), DataError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(DataError::io("write", path))
}

/// Reads a copy of a backup: checks all of it, takes out what only a backup has, and leaves the state alone in the file.
/// Errors speak of `name`, which the operator gave.
pub(in crate::store) async fn unpack(
    copy: &Path,
    name: &Path,
) -> Result<(Timestamp, Vec<Beside>), BackupError> {
    // A file that is no database of ours says so in different ways; all of them mean that it is no backup.
    unpack_unexplained(copy, name)
        .await
        .map_err(|error| match error {
            BackupError::Store(StoreError::Damaged { why, .. }) => not_a_backup(name, why),
            BackupError::Store(StoreError::Foreign { .. }) => {
                not_a_backup(name, "it is a database of another program".into())
            }
            other => other,
        })
}

fn not_a_backup(name: &Path, why: String) -> BackupError {
    BackupError::NotABackup {
        path: name.display().to_string(),
        why,
    }
}

async fn unpack_unexplained(
    copy: &Path,
    name: &Path,
) -> Result<(Timestamp, Vec<Beside>), BackupError> {
    // What is dropped is overwritten: it holds a private key.
    let options = plain(copy).pragma("secure_delete", "ON");
    let mut connection = options.connect().await.explain(name)?;
    let unpacked = unpack_open(&mut connection, name).await;
    let closed = connection.close().await.explain(name);
    let unpacked = unpacked?;
    closed?;
    Ok(unpacked)
}

async fn unpack_open(
    connection: &mut SqliteConnection,
    name: &Path,
) -> Result<(Timestamp, Vec<Beside>), BackupError> {
    let no_backup = |why: String| not_a_backup(name, why);
    let mut transaction = connection.begin().await.explain(name)?;
    let has = version(&mut transaction, name).await?;
    if has == 0 {
        return Err(no_backup("it is empty".into()));
    }
    let says: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_all(&mut *transaction)
        .await
        .explain(name)?;
    if says != ["ok"] {
        return Err(no_backup(says.join("; ").replace('\n', " ")));
    }
    let mark: Result<Option<(i64, Vec<u8>)>, _> =
        sqlx::query_as("SELECT made_us, digest FROM backup")
            .fetch_optional(&mut *transaction)
            .await;
    let Ok(Some((made, digest_then))) = mark else {
        return Err(no_backup("it was never finished".into()));
    };
    let digest_now = digest(&mut transaction)
        .await
        .map_err(|error| no_backup(error.to_string()))?;
    if digest_now != digest_then {
        return Err(no_backup("its content is not what was written".into()));
    }
    let beside = sqlx::query_as("SELECT name, content FROM backup_files ORDER BY name")
        .fetch_all(&mut *transaction)
        .await
        .explain(name)?;
    sqlx::raw_sql("DROP TABLE backup_files; DROP TABLE backup")
        .execute(&mut *transaction)
        .await
        .explain(name)?;
    transaction.commit().await.explain(name)?;
    Ok((Timestamp(made), beside))
}

/// SHA-256 over every row of every table but `backup` itself. SQLite's own check sees broken structure, not a changed
/// byte within a row.
async fn digest(connection: &mut SqliteConnection) -> Result<Vec<u8>, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' \
         AND name <> 'backup' ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut hash = Sha256::new();
    for table in tables {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT format('quote(\"%w\")', name) FROM pragma_table_info(?)")
                .bind(&table)
                .fetch_all(&mut *connection)
                .await?;
        let row = columns.join(" || ',' || ");
        let select = format!(
            "SELECT {row} FROM \"{}\" ORDER BY rowid",
            table.replace('"', "\"\"")
        );
        hash.update(format!("{table}\n"));
        let mut rows =
            sqlx::query_scalar::<_, String>(AssertSqlSafe(select)).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            hash.update(row);
            hash.update("\n");
        }
    }
    Ok(hash.finalize().to_vec())
}
