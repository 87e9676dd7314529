//! Who may call what on the people's port. Nothing is served that has no row here: the HTTP routes are built from
//! [`super::ROUTES`], and a gRPC method without a row in [`METHODS`] is refused for everybody.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tonic::Status;

use super::{
    Admitted, Api,
    auth::{Refusal, Use, authorize},
    problem::Problem,
};
use crate::tokens::Scope;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody: it tells nothing but that the coordinator is there, and what it speaks.
    Open,
    /// Whose token has this scope.
    Token(Scope),
}

/// What an answer takes up until its last byte is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing worth counting; a check waits for its turn once it has been read.
    Nothing,
    /// Room for an answer.
    Answer,
    /// Room for a stream of events.
    Stream,
}

/// A gRPC method.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// As in the request: `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Room for its answer.
    pub takes: Takes,
}

/// Every gRPC method that is served to people.
pub const METHODS: &[Method] = &[
    Method {
        path: "/onlyhere.v1.PublicService/Check",
        access: Access::Token(Scope::Check),
        takes: Takes::Nothing,
    },
    Method {
        path: "/onlyhere.v1.PublicService/ListVantages",
        access: Access::Token(Scope::Vantages),
        takes: Takes::Answer,
    },
    Method {
        path: "/grpc.health.v1.Health/Check",
        access: Access::Open,
        takes: Takes::Nothing,
    },
    Method {
        path: "/grpc.health.v1.Health/Watch",
        access: Access::Open,
        takes: Takes::Nothing,
    },
    Method {
        path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        access: Access::Open,
        takes: Takes::Nothing,
    },
];

/// Before every gRPC method.
pub(super) async fn guard_grpc(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Some(method) = METHODS.iter().find(|method| method.path == path) else {
        return Status::unimplemented("no such method").into_http::<Body>();
    };
    match guard(&api, method.access, method.takes, request, next).await {
        Ok(response) => response,
        Err(refusal) => Status::from(refusal).into_http::<Body>(),
    }
}

/// Before every HTTP route.
pub(super) async fn guard_http(
    State((api, access, takes)): State<(Api, Access, Takes)>,
    request: Request,
    next: Next,
) -> Response {
    match guard(&api, access, takes, request, next).await {
        Ok(response) => response,
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

/// Lets a request through with its token as an extension.
async fn guard(
    api: &Api,
    access: Access,
    takes: Takes,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let Access::Token(scope) = access else {
        return Ok(next.run(request).await);
    };
    let token = authorize(api, request.headers(), Use::Look).await?;
    if !token.may(scope) {
        return Err(Refusal::Scope(scope));
    }
    let room = match takes {
        Takes::Nothing => None,
        Takes::Answer => Some(&api.reads),
        Takes::Stream => Some(&api.streams),
    };
    let turn = match room {
        Some(room) => Some(room.enter(&token.id, None).await?),
        None => None,
    };
    request.extensions_mut().insert(token);
    let response = next.run(request).await;
    Ok(match turn {
        Some(turn) => hold(response, turn),
        None => response,
    })
}

/// Holds the room for an answer until its last byte is taken.
fn hold(response: Response, turn: Admitted) -> Response {
    response.map(|body| Body::new(Held { body, _turn: turn }))
}

struct Held {
    body: Body,
    _turn: Admitted,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
