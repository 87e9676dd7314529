//! `POST /v1/checks`: begins a check for a caller that is no vantage itself.
//!
//! It is answered once the check has begun, so that whoever has a `Location` has a check: a wrong question, a token that
//! may not ask, and a turn that does not come in time are told before that. With `?wait=true` the answer's body is the
//! report, and comes when that does; who hangs up before has the check withdrawn. Without, the check goes on by itself.

use std::{error::Error as _, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, stream};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use http_body_util::LengthLimitError;
use onlyhere_proto::limits;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::checks::{address, status};
use crate::{
    api::{
        Admitted, Api,
        check::{Asked, CheckError, End, Following, Inquiry, Question, Running, SHORTEST, TIMEOUT},
        problem::Problem,
    },
    engine,
    listen::Connection,
    tokens::Token,
};

/// Bytes of a question; the longest target, 16 selectors and 16 addresses are fewer.
const BODY: usize = 8 * 1024;
/// What every error of a question's form ends with.
const LOOKS: &str = "one looks like {\"target\": \"https://shop.example\"}";
/// For the question to come.
const START: Duration = Duration::from_secs(10);

/// What is to be checked, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// What to check: `https://…`, `http://…`, `HOST`, `HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT`, `ssh://HOST`,
    /// `smtp://HOST`, `dns://NAME?type=A` or `ping://HOST`.
    #[schemars(length(min = 1, max = limits::TARGET_INPUT))]
    target: String,
    /// Selectors of the vantages that are to try: terms joined by `+` must all hold, `@N` asks for N, as in
    /// `eu+residential@3`. Empty: those that tell most.
    #[serde(default)]
    #[schemars(length(max = limits::SELECTORS))]
    from: Vec<String>,
    /// What the person's browser showed: `refused`, `timeout`, `reset`, `dns`, `tls`, `http`, or a code of Chrome or Firefox.
    #[serde(default)]
    seen: Option<String>,
    /// For the whole check, milliseconds.
    #[serde(default)]
    #[schemars(extend("default" = TIMEOUT.as_millis() as u64))]
    #[schemars(range(min = SHORTEST.as_millis() as u64, max = limits::DEADLINE.as_millis() as u64))]
    timeout_ms: Option<u64>,
    /// Addresses that the target's owner expects its name to have.
    #[serde(default)]
    #[schemars(length(max = limits::ADDRESSES))]
    expected_addresses: Vec<String>,
}

pub(super) async fn ask(
    State(api): State<Api>,
    Extension(token): Extension<Token>,
    connection: Option<Extension<Connection>>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let waits = waits(head.uri.query())?;
    let connection = connection.map(|Extension(connection)| connection);
    let opened = Inquiry::open(&api, token, &head.headers, connection.as_ref()).await;
    let (inquiry, opening) = opened?;
    let asked = read(&head.headers, body).await?.asked()?;
    let question = inquiry.read(asked)?;
    // Whoever drops the guard has gone.
    let left = CancellationToken::new();
    let attends = left.clone().drop_guard();
    let (begun, has_begun) = oneshot::channel();
    let checks = api.checks.clone();
    checks.spawn(carry_out(inquiry, question, opening, begun, left));
    let running = has_begun.await.map_err(|_| CheckError::Fault)??;
    let location = [(LOCATION, address(&running.id))];
    if waits {
        return Ok((location, report_when_ready(running, attends)).into_response());
    }
    attends.disarm();
    // A check may be over before anybody has been told that it began.
    Ok(match status(&running) {
        Ok(status) => (StatusCode::ACCEPTED, location, Json(status)).into_response(),
        Err(report) => (location, Json(&*report)).into_response(),
    })
}

/// Whether the report is waited for.
fn waits(query: Option<&str>) -> Result<bool, Problem> {
    match query {
        None | Some("" | "wait=false") => Ok(false),
        Some("wait=true") => Ok(true),
        Some(other) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!(
                "`{}` is no query of this address; the only one is `wait=true`",
                limits::plain_text(other, 64)
            ),
        )),
    }
}

/// Reads the body as JSON of at most [`BODY`] bytes.
async fn read(headers: &HeaderMap, body: Body) -> Result<Ask, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a check is asked for in JSON: send `content-type: application/json`".into(),
        ));
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > BODY as u64) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(START, to_bytes(body, BODY)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_long(&error) => return Err(too_large()),
        Ok(Err(_)) => {
            let says = "the question broke off".into();
            return Err(Problem::new(StatusCode::BAD_REQUEST, says));
        }
        Err(_) => {
            let says = format!(
                "the question did not come within {} seconds",
                START.as_secs()
            );
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, says));
        }
    };
    // A list would be read as an object without names.
    if bytes.trim_ascii_start().first().is_some_and(|b| *b != b'{') {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("a question is a JSON object; {LOOKS}"),
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let status = match error.is_data() {
            true => StatusCode::UNPROCESSABLE_ENTITY,
            false => StatusCode::BAD_REQUEST,
        };
        let says = limits::plain_text(&error.to_string(), 400);
        Problem::new(status, format!("{says}; {LOOKS}"))
    })
}

fn is_too_long(error: &axum::Error) -> bool {
    error
        .source()
        .is_some_and(|source| source.is::<LengthLimitError>())
}

fn too_large() -> Problem {
    let says = format!("a question has at most {BODY} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, says)
}

impl Ask {
    fn asked(self) -> Result<Asked, CheckError> {
        let (shortest, longest) = (
            SHORTEST.as_millis() as u64,
            limits::DEADLINE.as_millis() as u64,
        );
        if let Some(ms) = self.timeout_ms
            && !(shortest..=longest).contains(&ms)
        {
            return Err(CheckError::Question(format!(
                "`timeout_ms` is from {shortest} to {longest}, not {ms}"
            )));
        }
        Ok(Asked {
            target: self.target,
            from: self.from,
            seen: self.seen.unwrap_or_default(),
            expected_addresses: self.expected_addresses,
            timeout: self.timeout_ms.map(Duration::from_millis),
            local: None,
        })
    }
}

type Begun = Result<Arc<Running>, CheckError>;

/// From the turn to the kept report, or until whoever waits has left.
async fn carry_out(
    inquiry: Inquiry,
    question: Question,
    opening: Admitted,
    begun: oneshot::Sender<Begun>,
    left: CancellationToken,
) {
    let mut begun = Some(begun);
    let work = conclude(&inquiry, question, opening, &mut begun);
    let done = tokio::select! {
        // A fault of ours in one check ends that check, and tells its caller so.
        done = AssertUnwindSafe(work).catch_unwind() => done.unwrap_or(Err(CheckError::Fault)),
        () = left.cancelled() => return inquiry.leave().await,
    };
    if let Err(error) = done {
        inquiry.fail(&error).await;
        if let Some(begun) = begun {
            let _ = begun.send(Err(error));
        }
    }
}

async fn conclude(
    inquiry: &Inquiry,
    question: Question,
    opening: Admitted,
    begun: &mut Option<oneshot::Sender<Begun>>,
) -> Result<(), CheckError> {
    let turn = inquiry.turn(opening).await?;
    let ready = inquiry.begin(question, |_| None).await?;
    if let Some(begun) = begun.take() {
        let _ = begun.send(Ok(Arc::clone(&ready.running)));
    }
    let audience = Following {
        running: &ready.running,
        caller: None,
    };
    let report = engine::conclude(ready.check, ready.ear, &audience).await;
    drop(turn);
    inquiry.keep(report).await;
    Ok(())
}

/// A body that is the report once there is one, and breaks off if there will be none.
fn report_when_ready(running: Arc<Running>, attends: DropGuard) -> Response {
    let report = async move {
        let end = running.ended().await;
        attends.disarm();
        match end {
            End::Report(report) => serde_json::to_vec(&*report)
                .map(Bytes::from)
                .map_err(std::io::Error::other),
            End::Failed(why) => Err(std::io::Error::other(why.to_string())),
        }
    };
    let body = Body::from_stream(stream::once(report));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
