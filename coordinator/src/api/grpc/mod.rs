//! The gRPC service of the people's port.

mod inbound;
mod outbox;
mod session;

use std::pin::Pin;

use futures::{Stream, StreamExt};
use onlyhere_proto::{Selector, wire};
use tonic::{Request, Response, Status, Streaming};
use wire::public_service_server::PublicService;

use self::{inbound::Inbound, outbox::outbox, session::Session};
use super::{Api, auth::Refusal, check::Inquiry};
use crate::{listen::Connection, tokens::Token};

/// The people's gRPC service; `super::access` has let the call through.
#[derive(Clone)]
pub struct PublicPort(pub Api);

#[tonic::async_trait]
impl PublicService for PublicPort {
    type CheckStream =
        Pin<Box<dyn Stream<Item = Result<wire::PublicServiceCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<Streaming<wire::PublicServiceCheckRequest>>,
    ) -> Result<Response<Self::CheckStream>, Status> {
        let Self(api) = self;
        let headers = request.metadata().as_ref();
        let connection = request.extensions().get::<Connection>();
        let opened = Inquiry::open(api, token(&request)?, headers, connection).await;
        let (inquiry, opening) = opened?;
        let (outbox, waiting) = outbox();
        let session = Session { inquiry, outbox };
        let inbound = Inbound::new(request.into_inner());
        api.checks.spawn(session.run(inbound, opening));
        Ok(Response::new(waiting.boxed()))
    }

    async fn list_vantages(
        &self,
        request: Request<wire::ListVantagesRequest>,
    ) -> Result<Response<wire::ListVantagesResponse>, Status> {
        let Self(api) = self;
        let mut vantages = api.fleet.vantages();
        let selector = &request.get_ref().selector;
        if !selector.is_empty() {
            let selector: Selector = selector
                .parse()
                .map_err(|e| Status::invalid_argument(format!("{e}")))?;
            vantages.retain(|vantage| selector.matches(vantage));
        }
        let vantages = vantages.iter().map(Into::into).collect();
        Ok(Response::new(wire::ListVantagesResponse { vantages }))
    }
}

/// Put there by the guard; without it nobody is let in.
fn token<T>(request: &Request<T>) -> Result<Token, Status> {
    let token = request.extensions().get::<Token>().cloned();
    token.ok_or_else(|| Refusal::NoToken.into())
}
