//! Forgetting. The room of what is forgotten is used again; the file does not shrink.

use onlyhere_proto::Timestamp;
use sqlx::SqlitePool;

use super::{Pruned, Retention};

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Rows of one statement, so that nobody waits long for the turn to write.
const BATCH: i64 = 500;

pub(super) async fn prune(
    writer: &SqlitePool,
    keep: &Retention,
    now: Timestamp,
) -> Result<Pruned, sqlx::Error> {
    let before = |days: u32| now.0.saturating_sub(i64::from(days) * DAY_US);
    let too_old =
        "DELETE FROM reports WHERE seq IN (SELECT seq FROM reports WHERE started_us < ? LIMIT ?)";
    let mut reports = repeat(writer, too_old, before(keep.reports_days)).await?;
    let too_many = "DELETE FROM reports WHERE seq IN (SELECT seq FROM reports WHERE seq <= \
                    (SELECT seq FROM reports ORDER BY seq DESC LIMIT 1 OFFSET ?) LIMIT ?)";
    reports += repeat(writer, too_many, keep.reports.into()).await?;
    let too_large = "DELETE FROM reports WHERE seq IN (SELECT seq FROM \
                     (SELECT seq, SUM(bytes) OVER (ORDER BY seq DESC) AS total FROM reports) \
                     WHERE total > ? LIMIT ?)";
    reports += repeat(writer, too_large, i64::from(keep.reports_mib) << 20).await?;
    let too_old = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at_us < ? LIMIT ?)";
    let mut audit = repeat(writer, too_old, before(keep.audit_days)).await?;
    let too_many = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE seq <= \
                    (SELECT seq FROM audit ORDER BY seq DESC LIMIT 1 OFFSET ?) LIMIT ?)";
    audit += repeat(writer, too_many, keep.audit.into()).await?;
    Ok(Pruned { reports, audit })
}

/// Until nothing is left that is to go.
async fn repeat(
    writer: &SqlitePool,
    statement: &'static str,
    bound: i64,
) -> Result<u64, sqlx::Error> {
    let mut gone = 0;
    loop {
        let done = sqlx::query(statement)
            .bind(bound)
            .bind(BATCH)
            .execute(writer)
            .await?;
        gone += done.rows_affected();
        if done.rows_affected() < BATCH.unsigned_abs() {
            return Ok(gone);
        }
    }
}
