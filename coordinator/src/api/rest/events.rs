//! `GET /v1/checks/{id}/events`: what happens in a check, as server-sent events (HTML standard, 9.2).
//!
//! | event | data |
//! |---|---|
//! | `observation` | one observation of a vantage other than a gRPC caller's own; its id counts them |
//! | `left_out` | `{"observations": N}`: so many are not told here, and stand in the report |
//! | `verdict` | the provisional verdict, whenever it has changed |
//! | `report` | the report; its id is `end` |
//! | `failed` | `{"detail": "…"}`: there will be no report; its id is `end` too |
//!
//! Whoever comes late is told what has been, from the observation after `Last-Event-ID` on. Who has been told the end and
//! comes again, as browsers do, gets 204 and stays away.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::checks::{Found, find};
use crate::{
    api::{
        Api,
        check::{End, Fresh, Reader},
        problem::Problem,
    },
    tokens::Token,
};

/// The id of the last event.
const END: &str = "end";
/// Between two signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(super) async fn follow(
    State(api): State<Api>,
    Extension(token): Extension<Token>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let found = find(&api, &token, id).await?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    if seen == Some(END) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let seen = seen.and_then(|id| id.parse().ok()).unwrap_or(0);
    Ok(match found {
        Found::Kept(report) => Sse::new(stream::iter([Ok::<_, Infallible>(last(
            "report",
            serde_json::to_string(&*report),
        ))]))
        .into_response(),
        Found::Live(check) => {
            let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
            Sse::new(events(Reader::new(check, seen)))
                .keep_alive(keep_alive)
                .into_response()
        }
    })
}

/// Until the end has been told.
fn events(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    let fresh = stream::unfold(reader, async |mut reader| {
        let fresh = reader.next().await?;
        Some((stream::iter(told(fresh)), reader))
    });
    fresh.flatten().map(Ok)
}

fn told(fresh: Fresh) -> Vec<Event> {
    let numbers = fresh.first + 1..;
    let observations = numbers.zip(fresh.observations).map(|(number, json)| {
        Event::default()
            .event("observation")
            .id(number.to_string())
            .data(&*json)
    });
    let mut told: Vec<Event> = observations.collect();
    if let Some(count) = fresh.left_out {
        let says = json!({ "observations": count });
        told.push(Event::default().event("left_out").data(says.to_string()));
    }
    if let Some(verdict) = fresh.verdict {
        let json = serde_json::to_string(&*verdict).unwrap_or_default();
        told.push(Event::default().event("verdict").data(json));
    }
    match fresh.end {
        Some(End::Report(report)) => told.push(last("report", serde_json::to_string(&*report))),
        Some(End::Failed(why)) => {
            told.push(last("failed", Ok(json!({ "detail": *why }).to_string())))
        }
        None => {}
    }
    told
}

fn last(name: &str, json: serde_json::Result<String>) -> Event {
    Event::default()
        .event(name)
        .id(END)
        .data(json.unwrap_or_default())
}
