//! Plain HTTP beside gRPC: health for load balancers, vantages and reports as JSON. Errors are RFC 9457 problem documents.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use onlyhere_proto::{CheckId, Report, Vantage};
use serde::Serialize;

use super::{
    Api,
    auth::{Unauthorized, Use, authorize},
};
use crate::tokens::{Token, TokenKind};

/// Adds the routes to those of gRPC.
pub fn routes(grpc: Router, api: Api) -> Router {
    let http = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/vantages", get(vantages))
        .route("/v1/checks/{id}", get(report))
        .with_state(api);
    grpc.merge(http).fallback(not_found)
}

async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

#[derive(Serialize)]
struct Vantages {
    vantages: Vec<Vantage>,
}

async fn vantages(State(api): State<Api>, headers: HeaderMap) -> Result<Json<Vantages>, Problem> {
    authorize(&api, &headers, Use::Look).await?;
    Ok(Json(Vantages {
        vantages: api.fleet.vantages(),
    }))
}

async fn report(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Report>, Problem> {
    let token = authorize(&api, &headers, Use::Look).await?;
    let check: CheckId = id
        .parse()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let may_read = |token: &Token, owner: &str| token.kind == TokenKind::Admin || token.id == owner;
    match api.store.get(&check) {
        Some((owner, report)) if may_read(&token, &owner) => Ok(Json(report)),
        // Whether another client's check exists is nobody's business.
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no finished check {check} is known"),
        )),
    }
}

async fn not_found(headers: HeaderMap) -> Response {
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return tonic::Status::unimplemented("no such method").into_http::<axum::body::Body>();
    }
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this address".into(),
    )
    .into_response()
}

/// RFC 9457; `type` is left out, which means `about:blank`.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(serialize_with = "number")]
    status: StatusCode,
    title: &'static str,
    detail: String,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, detail: String) -> Self {
        Self {
            status,
            title: status.canonical_reason().unwrap_or("error"),
            detail,
        }
    }
}

impl From<Unauthorized> for Problem {
    fn from(why: Unauthorized) -> Self {
        let status = match why {
            Unauthorized::NoToken | Unauthorized::Refused(_) => StatusCode::UNAUTHORIZED,
            Unauthorized::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, why.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut headers = vec![("content-type", "application/problem+json")];
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 15.5.2: a 401 says how to do better.
            headers.push(("www-authenticate", "Bearer"));
        }
        let mut response = (status, body).into_response();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(name, http::HeaderValue::from_static(value));
        }
        response
    }
}
