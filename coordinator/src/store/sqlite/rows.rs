//! Rows as the domain's types. What cannot be read is damage, and is said to be.

use std::path::Path;

use onlyhere_proto::{Report, Timestamp, VantageName, wire};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::StoreError;
use crate::audit::{Act, By, Event, Who};

/// A JSON document of one row.
pub(super) fn read<T: DeserializeOwned>(
    record: &str,
    path: &Path,
    table: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(record).map_err(|error| damaged(path, format!("{table}: {error}")))
}

pub(super) fn write<T: Serialize>(record: &T) -> String {
    serde_json::to_string(record).expect("tokens and probes are always JSON")
}

pub(super) fn name(text: &str, path: &Path) -> Result<VantageName, StoreError> {
    text.parse()
        .map_err(|error| damaged(path, format!("probes: {error}")))
}

pub(super) fn report(body: &[u8], path: &Path) -> Result<Report, StoreError> {
    let message = wire::Report::decode(body).map_err(|error| error.to_string());
    let report = message.and_then(|message| Report::try_from(message).map_err(|e| e.to_string()));
    report.map_err(|error| damaged(path, format!("reports: {error}")))
}

fn damaged(path: &Path, why: String) -> StoreError {
    StoreError::Damaged {
        path: path.display().to_string(),
        why,
    }
}

/// As the audit table has its columns.
pub(super) struct AuditRow {
    at_us: i64,
    act: String,
    who: String,
    who_id: Option<String>,
    who_name: Option<String>,
    from_address: Option<String>,
    subject: String,
    outcome: String,
    check_id: Option<String>,
}

impl FromRow<'_, SqliteRow> for AuditRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at_us: row.try_get("at_us")?,
            act: row.try_get("act")?,
            who: row.try_get("who")?,
            who_id: row.try_get("who_id")?,
            who_name: row.try_get("who_name")?,
            from_address: row.try_get("from_address")?,
            subject: row.try_get("subject")?,
            outcome: row.try_get("outcome")?,
            check_id: row.try_get("check_id")?,
        })
    }
}

pub(super) fn event(row: AuditRow) -> Event {
    Event {
        at: Timestamp(row.at_us),
        act: Act::of_label(&row.act),
        by: By {
            who: Who::of_parts(&row.who, row.who_id, row.who_name),
            from: row.from_address.and_then(|address| address.parse().ok()),
        },
        subject: row.subject,
        outcome: row.outcome,
        check: row.check_id.and_then(|id| id.parse().ok()),
    }
}
