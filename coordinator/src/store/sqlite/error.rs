//! SQLite's result codes as sentences: <https://www.sqlite.org/rescode.html>.

use std::path::Path;

use super::{BUSY, StoreError};

/// Adds which file it was.
pub(super) trait Explain<T> {
    /// The engine's error as ours.
    fn explain(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> Explain<T> for Result<T, sqlx::Error> {
    fn explain(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| explain(&error, path))
    }
}

fn explain(error: &sqlx::Error, path: &Path) -> StoreError {
    let path = path.display().to_string();
    let why = error.to_string().replace('\n', " ");
    let locked = |path| StoreError::Locked {
        path,
        waited_s: BUSY.as_secs(),
    };
    let database = match error {
        sqlx::Error::Database(database) => database,
        // Our own writers wait in line for one connection; whoever holds it waits for another process.
        sqlx::Error::PoolTimedOut => return locked(path),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            return StoreError::Damaged { path, why };
        }
        _ => return StoreError::Other { path, why },
    };
    let code = database.code().and_then(|code| code.parse::<i32>().ok());
    // The low byte is the primary code, the rest says more.
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => locked(path),
        Some(8) => StoreError::ReadOnly { path },
        Some(11 | 26) => StoreError::Damaged {
            path,
            why: database.message().replace('\n', " "),
        },
        Some(13) => StoreError::Full { path },
        // SQLITE_IOERR_WRITE, _FSYNC, _DIR_FSYNC, _TRUNCATE, _SHMSIZE: any error of the system but a full disk.
        Some(10) if matches!(code, Some(778 | 1_034 | 1_290 | 1_546 | 4_874)) => {
            StoreError::NotWritten { path, why }
        }
        Some(14) => StoreError::CannotOpen {
            path,
            why: database.message().into(),
        },
        _ => StoreError::Other { path, why },
    }
}
