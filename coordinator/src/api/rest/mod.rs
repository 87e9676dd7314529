//! Plain HTTP beside gRPC, for whoever has no program of ours: checks, reports and vantages as JSON, health for load
//! balancers. Errors are RFC 9457 problem documents.

mod ask;
mod checks;
mod events;
mod vantages;

use axum::{
    Router,
    extract::State,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE};

use crate::{
    api::{
        Api,
        access::{Access, Takes, guard_grpc, guard_http},
        problem::Problem,
    },
    store::StoreError,
    tokens::Scope,
};

/// One HTTP route.
#[derive(Debug, Clone)]
pub struct Route {
    /// GET also answers HEAD.
    pub method: Method,
    /// As axum writes it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Room for its answer.
    pub takes: Takes,
    serve: fn(MethodFilter) -> MethodRouter<Api>,
}

/// Every HTTP route.
pub const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/healthz",
        access: Access::Open,
        takes: Takes::Nothing,
        serve: |get| on(get, async || "ok\n"),
    },
    Route {
        method: Method::GET,
        path: "/readyz",
        access: Access::Open,
        takes: Takes::Nothing,
        serve: |get| on(get, ready),
    },
    Route {
        method: Method::GET,
        path: "/v1/vantages",
        access: Access::Token(Scope::Vantages),
        takes: Takes::Answer,
        serve: |get| on(get, vantages::list),
    },
    Route {
        method: Method::POST,
        path: "/v1/checks",
        access: Access::Token(Scope::Check),
        takes: Takes::Nothing,
        serve: |post| on(post, ask::ask),
    },
    Route {
        method: Method::GET,
        path: "/v1/checks/{id}",
        access: Access::Token(Scope::Read),
        takes: Takes::Answer,
        serve: |get| on(get, checks::read),
    },
    Route {
        method: Method::GET,
        path: "/v1/checks/{id}/events",
        access: Access::Token(Scope::Read),
        takes: Takes::Stream,
        serve: |get| on(get, events::follow),
    },
];

/// Puts the routes beside those of gRPC, each behind its guard.
pub fn routes(grpc: Router, api: Api) -> Router {
    let guarded = |route: &Route| {
        let guard = from_fn_with_state((api.clone(), route.access, route.takes), guard_http);
        let method = MethodFilter::try_from(route.method.clone());
        (route.serve)(method.expect("routes have methods that axum knows")).route_layer(guard)
    };
    let http = ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, guarded(route))
    });
    let grpc = grpc.route_layer(from_fn_with_state(api.clone(), guard_grpc));
    let http = http.method_not_allowed_fallback(not_allowed);
    grpc.merge(http.with_state(api)).fallback(not_found)
}

async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

fn unreadable(error: StoreError) -> Problem {
    tracing::error!(%error, "the store cannot be read");
    let says = "the coordinator cannot read its store; its log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, says.into())
}

async fn not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address is there, but not for this method; `Allow` names those that are".into(),
    )
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
