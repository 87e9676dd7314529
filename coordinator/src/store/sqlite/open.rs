//! Opening: the lock that says it is in use, the pragmas, the schema.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{BUSY, READERS, Sqlite, StoreError, error::Explain};
use crate::data_file::{DataError, open_lock};

/// Between two attempts to open.
const AGAIN: Duration = Duration::from_millis(20);
/// In the file's header: a database of ours. "OnHr".
pub(super) const APPLICATION: i64 = 0x4f6e_4872;
/// Schemas in their order; `PRAGMA user_version` says how many of them a file has.
const SCHEMA: &[&str] = &[include_str!("schema/0001.sql")];
/// The schema of this version.
pub(super) const VERSION: i64 = SCHEMA.len() as i64;

/// Says that the file is in use, until it is dropped.
pub(super) fn in_use(path: &Path) -> Result<File, StoreError> {
    let lock = open_lock(&lock_path(path))?;
    match lock.try_lock_shared() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Other {
            path: path.display().to_string(),
            why: "it is being restored from a backup; try again when that has ended".into(),
        }),
        Err(TryLockError::Error(source)) => Err(DataError::io("lock", path)(source).into()),
    }
}

/// Opens it, and makes it where there is none.
///
/// SQLite waits for others everywhere but where the kind of the journal is changed: of two that open a new file at the same
/// moment one is told at once that it is locked. So that is tried again here, for as long as SQLite would have waited.
pub(super) async fn open(path: &Path, in_use: Option<File>) -> Result<Sqlite, StoreError> {
    create_private(path)?;
    let until = Instant::now() + BUSY;
    let (writer, options) = loop {
        match writer(path).await {
            Err(StoreError::Locked { .. }) if Instant::now() < until => {
                tokio::time::sleep(AGAIN).await;
            }
            opened => break opened?,
        }
    };
    let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Sqlite {
        writer,
        readers,
        path: path.to_owned(),
        _in_use: in_use,
    })
}

/// One writer, and not for each statement a look whether the connection still lives: it is a file.
fn pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(BUSY * 2)
        .test_before_acquire(false)
}

/// The one connection that writes, to a file of the present schema.
async fn writer(path: &Path) -> Result<(SqlitePool, SqliteConnectOptions), StoreError> {
    // Looked at before anything of it is changed, the kind of its journal included.
    let mut connection = plain(path).connect().await.explain(path)?;
    let mut looking = connection.begin().await.explain(path)?;
    let has = version(&mut looking, path).await?;
    looking.rollback().await.explain(path)?;
    connection.close().await.explain(path)?;
    let options = plain(path).journal_mode(SqliteJournalMode::Wal);
    let writer = pool(1).connect_with(options.clone()).await.explain(path)?;
    if has < VERSION {
        let mut connection = writer.acquire().await.explain(path)?;
        migrate(&mut connection, path).await?;
    }
    Ok((writer, options))
}

/// The file whose lock says that the database is in use.
pub(in crate::store) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Every connection's settings; the kind of journal is the file's own.
pub(super) fn plain(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What is damaged is said to be damaged, not read as far as it goes.
        .pragma("cell_size_check", "ON")
        .pragma("trusted_schema", "OFF")
        // The server may write nowhere but in its data directory (`crate::confine`).
        .pragma("temp_store", "MEMORY")
}

/// SQLite would make the file as the umask says; its companions get the mode that it has.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(DataError::io("create", path)(error).into()),
    }
}

/// All steps in one transaction: a crash leaves the old schema or the new one, and two that start at once take turns.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), StoreError> {
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .explain(path)?;
    let has = version(&mut transaction, path).await?;
    if has == VERSION {
        return transaction.rollback().await.explain(path);
    }
    for step in &SCHEMA[usize::try_from(has).unwrap_or(0)..] {
        sqlx::raw_sql(*step)
            .execute(&mut *transaction)
            .await
            .explain(path)?;
    }
    let mark = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
        .execute(&mut *transaction)
        .await
        .explain(path)?;
    transaction.commit().await.explain(path)
}

/// The schema that a file has; refuses a file of others, or of a later version. Within a transaction, so that all that
/// is read is of one moment.
pub(super) async fn version(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<i64, StoreError> {
    let shown = || path.display().to_string();
    let mut number = async |pragma: &'static str| -> Result<i64, StoreError> {
        sqlx::query_scalar(pragma)
            .fetch_one(&mut *connection)
            .await
            .explain(path)
    };
    let application = number("PRAGMA application_id").await?;
    let has = number("PRAGMA user_version").await?;
    let tables = number("SELECT count(*) FROM sqlite_schema").await?;
    let is_new = application == 0 && has == 0 && tables == 0;
    if application != APPLICATION && !is_new {
        return Err(StoreError::Foreign { path: shown() });
    }
    if has > VERSION {
        return Err(StoreError::Newer {
            path: shown(),
            has,
            knows: VERSION,
        });
    }
    Ok(has)
}
