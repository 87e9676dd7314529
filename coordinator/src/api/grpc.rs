//! The gRPC service of the people's port.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use onlyhere_proto::{Selector, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::public_service_server::PublicService;

use super::{
    Api,
    auth::{Unauthorized, Use, authorize, public_address},
    check::{Outbox, Session},
};
use crate::listen::Connection;

/// Messages that may wait for one caller.
const WAITING: usize = 1_024;

/// The people's gRPC service.
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
        // Looked at first, so that who is turned away keeps his use of the token.
        let token = authorize(api, headers, Use::Look)
            .await
            .map_err(unauthorized)?;
        if api.draining.is_cancelled() {
            return Err(Status::unavailable("the coordinator is stopping"));
        }
        let admitted = api.admission.enter(&token.id).map_err(|busy| {
            tracing::warn!(token = token.id, name = %token.name, %busy, "check refused");
            Status::resource_exhausted(busy.to_string())
        })?;
        let token = authorize(api, headers, Use::Spend)
            .await
            .map_err(unauthorized)?;
        let connection = request.extensions().get::<Connection>();
        let address =
            connection.and_then(|c| public_address(c.remote, headers, api.config.api.behind_proxy));
        let (sender, waiting) = mpsc::channel(WAITING);
        let session = Session {
            api: api.clone(),
            token,
            address,
            outbox: Outbox(sender),
            admitted,
        };
        api.checks.spawn(session.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(waiting).boxed()))
    }

    async fn list_vantages(
        &self,
        request: Request<wire::ListVantagesRequest>,
    ) -> Result<Response<wire::ListVantagesResponse>, Status> {
        let Self(api) = self;
        authorize(api, request.metadata().as_ref(), Use::Look)
            .await
            .map_err(unauthorized)?;
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

fn unauthorized(why: Unauthorized) -> Status {
    match why {
        Unauthorized::NoToken | Unauthorized::Refused(_) => {
            Status::unauthenticated(why.to_string())
        }
        Unauthorized::Unreadable(_) => Status::internal(why.to_string()),
    }
}
