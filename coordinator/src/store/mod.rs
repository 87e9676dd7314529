//! State that lasts: tokens, the roll of probes, revocations, reports and the audit log.
//!
//! The interface is as narrow as what is asked of it, so that other engines fit behind it. Whoever changes something
//! says what it was and what it becomes ([`Change`]); all changes of one [`Store::commit`] are kept together or not at
//! all, and they are on disk when it returns. The rules (who may have which name, when a token is spent) stay with their
//! subjects, [`crate::tokens`] and [`crate::fleet::roll`].

mod error;
mod question;
pub mod restore;
pub mod sqlite;
mod takeover;

use std::{path::Path, sync::Arc};

use onlyhere_proto::{CheckId, History, Report, Subject, Target, Timestamp, VantageName};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{Event, Filter},
    fleet::roll::{Enrolled, Names},
    tokens::Token,
};

pub use error::StoreError;
pub use sqlite::Sqlite;

/// One change, with what it rests on: whoever changed it in between makes the whole commit a [`Committed::Conflict`].
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a commit has a handful of them, for as long as it takes"
)]
pub enum Change {
    /// A token comes, changes or goes.
    Token {
        /// None: it was not there.
        was: Option<Box<Token>>,
        /// None: it is no longer there.
        now: Option<Box<Token>>,
    },
    /// A probe comes onto the roll, changes or leaves it.
    Probe {
        /// Its name.
        name: VantageName,
        /// None: the name was free.
        was: Option<Enrolled>,
        /// None: the name is free.
        now: Option<Enrolled>,
    },
    /// A key never to be taken again. Twice is as good as once.
    Revocation(Revocation),
    /// A finished check.
    Report {
        /// Id of the token it was made for.
        owner: String,
        /// What it came to.
        report: Box<Report>,
    },
    /// A line of the audit log; of a check the earlier line of the same check is replaced.
    Audit(Event),
}

/// A key that was struck off the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// SHA-256 of the public key, hexadecimal.
    pub key_sha256: String,
    /// Whose it was.
    pub probe: VantageName,
    /// When.
    pub at: Timestamp,
}

/// What came of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Everything is on disk.
    Done,
    /// Something was not what it was said to be: nothing is changed.
    Conflict,
}

/// How much is kept. What is older or more is forgotten, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Reports, by number.
    pub reports: u32,
    /// Reports, by age in days.
    pub reports_days: u32,
    /// Reports, by their size together in MiB.
    pub reports_mib: u32,
    /// Lines of the audit log, by number.
    pub audit: u32,
    /// Lines of the audit log, by age in days.
    pub audit_days: u32,
}

/// How much was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Reports.
    pub reports: u64,
    /// Lines of the audit log.
    pub audit: u64,
}

/// Keeps what must outlive the process.
#[tonic::async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Keeps all of it or nothing. When it returns `Done`, a crash of the process or the machine takes nothing away.
    async fn commit(&self, changes: Vec<Change>) -> Result<Committed, StoreError>;

    /// Every token, the oldest first.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// The token of an id.
    async fn token(&self, id: &str) -> Result<Option<Token>, StoreError>;

    /// Every enrolled probe.
    async fn probes(&self) -> Result<Names, StoreError>;

    /// The probe of a name.
    async fn probe(&self, name: &VantageName) -> Result<Option<Enrolled>, StoreError>;

    /// A number that is another one after every change of the roll, whoever made it.
    async fn roll_version(&self) -> Result<i64, StoreError>;

    /// Every key that was struck off.
    async fn revocations(&self) -> Result<Vec<Revocation>, StoreError>;

    /// Whether this key was struck off.
    async fn is_revoked(&self, key_sha256: &str) -> Result<bool, StoreError>;

    /// The report of a check, and the id of the token it was made for.
    async fn report(&self, check: &CheckId) -> Result<Option<(String, Report)>, StoreError>;

    /// What the reports kept for `owner` tell of earlier checks of this target by this subject.
    async fn history(
        &self,
        owner: &str,
        target: &Target,
        subject: &Subject,
    ) -> Result<History, StoreError>;

    /// Lines of the audit log, the latest first.
    async fn audit(&self, filter: &Filter) -> Result<Vec<Event>, StoreError>;

    /// Reads everything, and sees whether it can be written; an error names what is wrong.
    async fn check(&self) -> Result<(), StoreError>;

    /// Forgets what is too old or too much.
    async fn prune(&self, keep: &Retention, now: Timestamp) -> Result<Pruned, StoreError>;

    /// Ends; waits for what is under way.
    async fn close(&self);
}

/// Opens the store that `store.url` names, brings it to this version's schema, and takes over what earlier versions
/// kept in files of the data directory.
pub async fn open(url: &str, data_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let path = sqlite::path_of(url, data_dir).unwrap_or_else(|| data_dir.join(sqlite::FILE));
    let store = Sqlite::open(&path).await?;
    takeover::take_over(&store, data_dir).await?;
    Ok(Arc::new(store))
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            reports: 100_000,
            reports_days: 90,
            reports_mib: 512,
            audit: 1_000_000,
            audit_days: 365,
        }
    }
}
