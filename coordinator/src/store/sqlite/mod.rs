//! The store in one SQLite file.
//!
//! One connection writes, in transactions that begin `IMMEDIATE`, so that commands of other processes and the server
//! take turns; a few others read. The journal is a write-ahead log and `synchronous` is `FULL`: a commit that returned
//! is on disk. The file and its companions (`-wal`, `-shm`) are its owner's alone.

pub mod backup;
mod error;
pub(in crate::store) mod open;
mod prune;
mod rows;
mod write;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use onlyhere_proto::{CheckId, History, Report, Subject, Target, Timestamp, VantageName};
use sqlx::SqlitePool;

use super::{
    Change, Committed, Pruned, Retention, Revocation, Store, StoreError, question::question,
};
use crate::{
    audit::{Act, Event, Filter},
    fleet::roll::{Enrolled, Names},
    tokens::Token,
};

use error::Explain;

#[cfg(test)]
mod tests;

/// The file's name unless `store.url` gives another.
pub const FILE: &str = "coordinator.db";
/// Writers of other processes are waited for this long.
const BUSY: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// State in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
    /// Held, shared, as long as the file is in use: what replaces it needs it alone.
    _in_use: Option<File>,
}

/// The file of a `sqlite://` address; a relative one lies in the data directory. None: another kind of address.
pub fn path_of(url: &str, data_dir: &Path) -> Option<PathBuf> {
    let file = url.strip_prefix("sqlite://")?;
    let plain = !file.is_empty() && !file.contains(['?', '#', '\0']) && !file.ends_with('/');
    plain.then(|| data_dir.join(file))
}

impl Sqlite {
    /// Opens the file, makes it if it is not there, and brings it to this version's schema.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let in_use = open::in_use(path)?;
        open::open(path, Some(in_use)).await
    }

    /// The same for who holds the file alone.
    pub(in crate::store) async fn open_locked(path: &Path) -> Result<Self, StoreError> {
        open::open(path, None).await
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[tonic::async_trait]
impl Store for Sqlite {
    async fn commit(&self, changes: Vec<Change>) -> Result<Committed, StoreError> {
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .explain(&self.path)?;
        for change in &changes {
            if !write::change(&mut transaction, change, &self.path).await? {
                transaction.rollback().await.explain(&self.path)?;
                return Ok(Committed::Conflict);
            }
        }
        transaction.commit().await.explain(&self.path)?;
        Ok(Committed::Done)
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let records: Vec<String> = sqlx::query_scalar("SELECT record FROM tokens ORDER BY rowid")
            .fetch_all(&self.readers)
            .await
            .explain(&self.path)?;
        let read = |record: &String| rows::read(record, &self.path, "tokens");
        records.iter().map(read).collect()
    }

    async fn token(&self, id: &str) -> Result<Option<Token>, StoreError> {
        let record: Option<String> = sqlx::query_scalar("SELECT record FROM tokens WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.readers)
            .await
            .explain(&self.path)?;
        record
            .map(|record| rows::read(&record, &self.path, "tokens"))
            .transpose()
    }

    async fn probes(&self) -> Result<Names, StoreError> {
        let records: Vec<(String, String)> = sqlx::query_as("SELECT name, record FROM probes")
            .fetch_all(&self.readers)
            .await
            .explain(&self.path)?;
        let read = |(name, record): &(String, String)| {
            let name = rows::name(name, &self.path)?;
            Ok((name, rows::read(record, &self.path, "probes")?))
        };
        records.iter().map(read).collect()
    }

    async fn probe(&self, name: &VantageName) -> Result<Option<Enrolled>, StoreError> {
        let record: Option<String> = sqlx::query_scalar("SELECT record FROM probes WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .explain(&self.path)?;
        record
            .map(|record| rows::read(&record, &self.path, "probes"))
            .transpose()
    }

    async fn roll_version(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT version FROM roll_version")
            .fetch_one(&self.readers)
            .await
            .explain(&self.path)
    }

    async fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        let select = "SELECT key_sha256, probe, revoked_us FROM revocations ORDER BY revoked_us";
        let found: Vec<(String, String, i64)> = sqlx::query_as(select)
            .fetch_all(&self.readers)
            .await
            .explain(&self.path)?;
        let read = |(key_sha256, probe, at): (String, String, i64)| {
            Ok(Revocation {
                key_sha256,
                probe: rows::name(&probe, &self.path)?,
                at: Timestamp(at),
            })
        };
        found.into_iter().map(read).collect()
    }

    async fn is_revoked(&self, key_sha256: &str) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM revocations WHERE key_sha256 = ?)")
            .bind(key_sha256)
            .fetch_one(&self.readers)
            .await
            .explain(&self.path)
    }

    async fn report(&self, check: &CheckId) -> Result<Option<(String, Report)>, StoreError> {
        let found: Option<(String, Vec<u8>)> =
            sqlx::query_as("SELECT owner, body FROM reports WHERE check_id = ?")
                .bind(check.as_str())
                .fetch_optional(&self.readers)
                .await
                .explain(&self.path)?;
        let read = |(owner, body): (String, Vec<u8>)| Ok((owner, rows::report(&body, &self.path)?));
        found.map(read).transpose()
    }

    async fn history(
        &self,
        owner: &str,
        target: &Target,
        subject: &Subject,
    ) -> Result<History, StoreError> {
        let Some(question) = question(target, subject) else {
            return Ok(History::default());
        };
        let select = "WITH asked AS (SELECT started_us, reached FROM reports WHERE owner = ? AND question = ?), \
                      good AS (SELECT MAX(started_us) AS last FROM asked WHERE reached = 1) \
                      SELECT good.last, (SELECT MIN(started_us) FROM asked WHERE reached = 0 \
                      AND (good.last IS NULL OR started_us > good.last)) FROM good";
        let (last_ok, failing_since): (Option<i64>, Option<i64>) = sqlx::query_as(select)
            .bind(owner)
            .bind(question)
            .fetch_one(&self.readers)
            .await
            .explain(&self.path)?;
        Ok(History {
            last_ok: last_ok.map(Timestamp),
            failing_since: failing_since.map(Timestamp),
        })
    }

    async fn audit(&self, filter: &Filter) -> Result<Vec<Event>, StoreError> {
        let select = "SELECT at_us, act, who, who_id, who_name, from_address, subject, outcome, check_id \
                      FROM audit WHERE at_us >= ?1 AND (?2 IS NULL OR act = ?2) ORDER BY seq DESC LIMIT ?3";
        let lines: Vec<rows::AuditRow> = sqlx::query_as(select)
            .bind(filter.since.map_or(i64::MIN, |since| since.0))
            .bind(filter.act.as_ref().map(Act::label))
            .bind(filter.limit)
            .fetch_all(&self.readers)
            .await
            .explain(&self.path)?;
        Ok(lines.into_iter().map(rows::event).collect())
    }

    async fn check(&self) -> Result<(), StoreError> {
        // Where writing is forbidden SQLite opens for reading, and says so at the first change only.
        match self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .explain(&self.path)
        {
            Ok(mut transaction) => {
                sqlx::query("UPDATE roll_version SET version = version")
                    .execute(&mut *transaction)
                    .await
                    .explain(&self.path)?;
                transaction.rollback().await.explain(&self.path)?;
            }
            // That ends, and is none of this file's faults.
            Err(StoreError::Locked { .. }) => {}
            Err(error) => return Err(error),
        }
        let says: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_all(&self.readers)
            .await
            .explain(&self.path)?;
        match says.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok"] => Ok(()),
            _ => Err(StoreError::Damaged {
                path: self.path.display().to_string(),
                why: says.join("; ").replace('\n', " "),
            }),
        }
    }

    async fn prune(&self, keep: &Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        prune::prune(&self.writer, keep, now)
            .await
            .explain(&self.path)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
