//! Plain HTTP beside gRPC: health for load balancers, vantages and reports as JSON. Errors are RFC 9457 problem documents.

use std::collections::BTreeMap;

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use onlyhere_proto::{CheckId, Report, Vantage, VantageName};
use serde::Serialize;

use super::{
    Api,
    access::{Access, guard_grpc, guard_http},
    problem::Problem,
};
use crate::{
    clock,
    fleet::sighting::remarks_of_all,
    store::StoreError,
    tokens::{Scope, Token},
};

/// One HTTP route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// As axum writes it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    get: fn(MethodFilter) -> MethodRouter<Api>,
}

/// Every HTTP route; all are read with GET.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/healthz",
        access: Access::Open,
        get: |get| on(get, async || "ok\n"),
    },
    Route {
        path: "/readyz",
        access: Access::Open,
        get: |get| on(get, ready),
    },
    Route {
        path: "/v1/vantages",
        access: Access::Token(Scope::Vantages),
        get: |get| on(get, vantages),
    },
    Route {
        path: "/v1/checks/{id}",
        access: Access::Token(Scope::Read),
        get: |get| on(get, report),
    },
];

/// Puts the routes beside those of gRPC, each behind its guard.
pub fn routes(grpc: Router, api: Api) -> Router {
    let guarded = |route: &Route| {
        let guard = from_fn_with_state((api.clone(), route.access), guard_http);
        (route.get)(MethodFilter::GET).route_layer(guard)
    };
    let http = ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, guarded(route))
    });
    let grpc = grpc.route_layer(from_fn_with_state(api.clone(), guard_grpc));
    grpc.merge(http.with_state(api)).fallback(not_found)
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
    /// What is odd about enrolled probes, for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    remarks: Option<BTreeMap<VantageName, Vec<String>>>,
}

async fn vantages(
    State(api): State<Api>,
    Extension(token): Extension<Token>,
) -> Result<Json<Vantages>, Problem> {
    let remarks = if token.may(Scope::ReadAll) {
        let names = api.store.probes().await.map_err(unreadable)?;
        let mut remarks = remarks_of_all(&names, clock::now());
        remarks.retain(|_, remarks| !remarks.is_empty());
        Some(remarks)
    } else {
        None
    };
    Ok(Json(Vantages {
        vantages: api.fleet.vantages(),
        remarks,
    }))
}

async fn report(
    State(api): State<Api>,
    Extension(token): Extension<Token>,
    Path(id): Path<String>,
) -> Result<Json<Report>, Problem> {
    let check: CheckId = id
        .parse()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let may_read = |token: &Token, owner: &str| token.may(Scope::ReadAll) || token.id == owner;
    let found = api.store.report(&check).await.map_err(unreadable)?;
    match found {
        Some((owner, report)) if may_read(&token, &owner) => Ok(Json(report)),
        // Whether another client's check exists is nobody's business.
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no finished check {check} is known"),
        )),
    }
}

fn unreadable(error: StoreError) -> Problem {
    tracing::error!(%error, "the store cannot be read");
    let says = "the coordinator cannot read its store; its log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, says.into())
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
