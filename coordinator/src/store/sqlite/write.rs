//! One change within a transaction.

use std::path::Path;

use onlyhere_proto::{Report, VantageName, wire};
use prost::Message;
use sqlx::SqliteConnection;

use super::{Change, Revocation, StoreError, error::Explain, rows};
use crate::{
    audit::Event,
    fleet::roll::Enrolled,
    store::question::{question, was_reachable},
    tokens::Token,
};

/// Makes the change; false when what it rests on is not so.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    change: &Change,
    path: &Path,
) -> Result<bool, StoreError> {
    let done = match change {
        Change::Token { was, now } => {
            return put_token(connection, was.as_deref(), now.as_deref(), path).await;
        }
        Change::Probe { name, was, now } => {
            return put_probe(connection, name, was, now, path).await;
        }
        Change::Revocation(revoked) => put_revocation(connection, revoked).await,
        Change::Report { owner, report } => put_report(connection, owner, report).await,
        Change::Audit(event) => put_event(connection, event).await,
    };
    done.map(|()| true).explain(path)
}

async fn put_token(
    connection: &mut SqliteConnection,
    was: Option<&Token>,
    now: Option<&Token>,
    path: &Path,
) -> Result<bool, StoreError> {
    let Some(id) = was.or(now).map(|token| &token.id) else {
        return Ok(true);
    };
    let found: Option<String> = sqlx::query_scalar("SELECT record FROM tokens WHERE id = ?")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .explain(path)?;
    let found = found.map(|record| rows::read(&record, path, "tokens"));
    let found: Option<Token> = found.transpose()?;
    if found.as_ref() != was {
        return Ok(false);
    }
    let statement = match now {
        Some(now) => sqlx::query(
            "INSERT INTO tokens (id, record) VALUES (?, ?) \
             ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        )
        .bind(id)
        .bind(rows::write(now)),
        None => sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id),
    };
    statement.execute(connection).await.explain(path)?;
    Ok(true)
}

async fn put_probe(
    connection: &mut SqliteConnection,
    name: &VantageName,
    was: &Option<Enrolled>,
    now: &Option<Enrolled>,
    path: &Path,
) -> Result<bool, StoreError> {
    let found: Option<String> = sqlx::query_scalar("SELECT record FROM probes WHERE name = ?")
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await
        .explain(path)?;
    let found = found.map(|record| rows::read(&record, path, "probes"));
    if found.transpose()? != *was {
        return Ok(false);
    }
    let statement = match now {
        Some(now) => sqlx::query(
            "INSERT INTO probes (name, record) VALUES (?, ?) \
             ON CONFLICT (name) DO UPDATE SET record = excluded.record",
        )
        .bind(name.as_str())
        .bind(rows::write(now)),
        None => sqlx::query("DELETE FROM probes WHERE name = ?").bind(name.as_str()),
    };
    statement.execute(connection).await.explain(path)?;
    Ok(true)
}

async fn put_revocation(
    connection: &mut SqliteConnection,
    revoked: &Revocation,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO revocations (key_sha256, probe, revoked_us) VALUES (?, ?, ?) \
         ON CONFLICT (key_sha256) DO NOTHING",
    )
    .bind(&revoked.key_sha256)
    .bind(revoked.probe.as_str())
    .bind(revoked.at.0)
    .execute(connection)
    .await
    .map(|_| ())
}

async fn put_report(
    connection: &mut SqliteConnection,
    owner: &str,
    report: &Report,
) -> Result<(), sqlx::Error> {
    let body = wire::Report::from(report).encode_to_vec();
    sqlx::query(
        "INSERT INTO reports (check_id, owner, started_us, question, reached, bytes, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(report.id.as_str())
    .bind(owner)
    .bind(report.started_at.0)
    .bind(question(&report.target, &report.subject))
    .bind(was_reachable(report))
    .bind(i64::try_from(body.len()).unwrap_or(i64::MAX))
    .bind(body)
    .execute(connection)
    .await
    .map(|_| ())
}

async fn put_event(connection: &mut SqliteConnection, event: &Event) -> Result<(), sqlx::Error> {
    let (who, id, name) = event.by.who.parts();
    sqlx::query(
        "INSERT INTO audit (at_us, act, who, who_id, who_name, from_address, subject, outcome, check_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (check_id) DO UPDATE SET outcome = excluded.outcome WHERE audit.outcome = ?",
    )
    .bind(event.at.0)
    .bind(event.act.label())
    .bind(who)
    .bind(id)
    .bind(name)
    .bind(event.by.from.map(|address| address.to_string()))
    .bind(&event.subject)
    .bind(&event.outcome)
    .bind(event.check.as_ref().map(|check| check.as_str()))
    // That a check began may be written after how it ended, and how it ended is said once.
    .bind(Event::BEGUN)
    .execute(connection)
    .await
    .map(|_| ())
}
