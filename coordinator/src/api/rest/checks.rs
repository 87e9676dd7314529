//! `GET /v1/checks/{id}`: the report, or how far the check is.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, header::RETRY_AFTER};
use onlyhere_proto::{CheckId, Report, Target, Timestamp, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use super::unreadable;
use crate::{
    api::{
        Api,
        check::{End, Running},
        problem::Problem,
    },
    tokens::{Scope, Token},
};

/// The value of a status's `schema`, by which it is told from a report.
pub(super) const STATUS_SCHEMA: &str = "onlyhere.check/1";
/// When it is worth looking again, seconds.
const SOON: (HeaderName, &str) = (RETRY_AFTER, "1");

/// A check that has no report, or none yet.
#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    /// Always `onlyhere.check/1`.
    #[schemars(extend("const" = STATUS_SCHEMA))]
    schema: &'static str,
    /// The check's id.
    id: CheckId,
    /// How far it is.
    status: Stage,
    /// When it began.
    started_at: Timestamp,
    /// What is checked.
    target: Target,
    /// The verdict as of now; it may still change.
    #[serde(skip_serializing_if = "Option::is_none")]
    provisional: Option<Verdict>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Where more is told.
    links: Links,
}

/// How far a check is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// It goes on, and a report will follow.
    Running,
    /// It has come to no report, and will not.
    Failed,
}

/// Addresses on this coordinator.
#[derive(Serialize, JsonSchema)]
struct Links {
    /// This check: its report, once there is one.
    #[serde(rename = "self")]
    itself: String,
    /// What happens, as it happens.
    events: String,
}

/// Where a check is found.
pub(super) fn address(id: &CheckId) -> String {
    format!("/v1/checks/{id}")
}

/// How far it is, unless it has a report.
pub(super) fn status(check: &Running) -> Result<Status, Arc<Report>> {
    let (provisional, end) = check.state();
    let (state, detail) = match end {
        None => (Stage::Running, None),
        Some(End::Failed(why)) => (Stage::Failed, Some(why)),
        Some(End::Report(report)) => return Err(report),
    };
    let itself = address(&check.id);
    Ok(Status {
        schema: STATUS_SCHEMA,
        id: check.id.clone(),
        status: state,
        started_at: check.started_at,
        target: check.target.clone(),
        provisional: provisional
            .filter(|_| state == Stage::Running)
            .map(|verdict| (*verdict).clone()),
        detail: detail.map(|why| why.to_string()),
        links: Links {
            events: format!("{itself}/events"),
            itself,
        },
    })
}

/// A check that a token may read.
pub(super) enum Found {
    /// Under way, or over and in no store.
    Live(Arc<Running>),
    /// Over.
    Kept(Box<Report>),
}

/// Looks for a check as this token may see it: whether another client's check exists is nobody's business.
pub(super) async fn find(
    api: &Api,
    token: &Token,
    id: Result<Path<String>, PathRejection>,
) -> Result<Found, Problem> {
    let Path(id) = id.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let id: CheckId = id
        .parse()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let may_read = |owner: &str| token.may(Scope::ReadAll) || token.id == owner;
    if let Some(check) = api.live.find(&id).filter(|check| may_read(&check.owner)) {
        return Ok(Found::Live(check));
    }
    match api.store.report(&id).await.map_err(unreadable)? {
        Some((owner, report)) if may_read(&owner) => Ok(Found::Kept(Box::new(report))),
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no check {id} is known"),
        )),
    }
}

pub(super) async fn read(
    State(api): State<Api>,
    Extension(token): Extension<Token>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    Ok(match find(&api, &token, id).await? {
        Found::Kept(report) => Json(report).into_response(),
        Found::Live(check) => match status(&check) {
            Ok(status) if status.status == Stage::Running => ([SOON], Json(status)).into_response(),
            Ok(status) => Json(status).into_response(),
            Err(report) => Json(&*report).into_response(),
        },
    })
}
