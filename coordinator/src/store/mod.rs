//! Where reports are kept. The interface is as narrow as what is asked of it; other engines fit behind it.

mod history;
mod memory;

use onlyhere_proto::{CheckId, History, Report, Subject, Target};

pub use memory::Memory;

/// Keeps reports.
pub trait ReportStore: Send + Sync {
    /// Keeps one of about `bytes` bytes, made for the bearer of the token `owner`.
    fn put(&self, owner: &str, report: Report, bytes: usize);

    /// The report of a check, and whose it is.
    fn get(&self, check: &CheckId) -> Option<(String, Report)>;

    /// What the reports kept for `owner` tell of earlier checks of this target by this subject.
    fn history(&self, owner: &str, target: &Target, subject: &Subject) -> History;
}
