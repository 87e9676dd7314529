//! The probe port's gRPC service. What is behind each call: [`super::enrolment`] for joining and renewing,
//! [`super::session`] for the stream of an attached probe.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use onlyhere_proto::wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::{attach_response::Message as ToProbe, probe_service_server::ProbeService};

use super::{End, Fleet, Line, Order, notices::Notices, roll::Roll, session::Session};
use crate::{
    audit::{Audit, By},
    geo::Geo,
    identity::{LiveAuthority, Peer},
    listen::Connection,
    tokens::Tokens,
};

/// Orders that may wait for one probe.
const ORDERS: usize = 256;

/// What the probe port needs.
#[derive(Clone)]
pub struct ProbePort {
    /// Who is attached.
    pub fleet: Arc<Fleet>,
    /// Signs probes' keys.
    pub authority: Arc<LiveAuthority>,
    /// How long what it signs holds.
    pub certificate_life: Duration,
    /// Join tokens.
    pub tokens: Arc<Tokens>,
    /// Who is enrolled.
    pub roll: Arc<Roll>,
    /// Where addresses are.
    pub geo: Arc<Geo>,
    /// Who was turned away.
    pub audit: Arc<Audit>,
    /// What was noticed of probes that look like two.
    pub notices: Arc<Notices>,
}

#[tonic::async_trait]
impl ProbeService for ProbePort {
    async fn enrol(
        &self,
        request: Request<wire::EnrolRequest>,
    ) -> Result<Response<wire::EnrolResponse>, Status> {
        let remote = connection(&request)?.remote;
        let request = request.into_inner();
        match self.enrol_now(&request, &By::stranger(remote)).await {
            Ok(response) => {
                tracing::info!(%remote, probe = response.name, "enrolled");
                Ok(Response::new(response))
            }
            Err(status) => {
                self.tell_refused_join(&request, remote, &status).await;
                Err(status)
            }
        }
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let connection = connection(&request)?;
        let peer = enrolled(&connection)?;
        let renewed = self
            .renew_now(&request.get_ref().signing_request, peer, connection.remote)
            .await;
        if let Err(status) = &renewed {
            tracing::warn!(probe = %peer.name, remote = %connection.remote, why = status.message(), "renewal refused");
        }
        renewed.map(Response::new)
    }

    type AttachStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<wire::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let connection = connection(&request)?;
        let peer = enrolled(&connection)?.clone();
        let enrolled = self.admit(&peer, connection.remote).await?;
        let place = enrolled.place.or(&self.geo.locate(connection.remote));
        let vantage = place.vantage(peer.name.clone(), Some(connection.remote));
        let (orders, waiting) = mpsc::channel(ORDERS);
        let line = Line::new(vantage, {
            let orders = orders.clone();
            move |order| orders.try_send(Ok(to_wire(order))).is_ok()
        });
        let line = Arc::new(line.of_probe(peer.clone()));
        let session = Session {
            port: self.clone(),
            line: Arc::clone(&line),
            peer,
            remote: connection.remote,
            orders,
        };
        tokio::spawn(session.run(request.into_inner()));
        Ok(Response::new(
            until_ended(line, ReceiverStream::new(waiting)).boxed(),
        ))
    }
}

fn connection<T>(request: &Request<T>) -> Result<Connection, Status> {
    let connection = request.extensions().get::<Connection>().cloned();
    connection.ok_or_else(|| Status::internal("the connection is not known"))
}

fn enrolled(connection: &Connection) -> Result<&Peer, Status> {
    let none = || Status::unauthenticated("this needs the certificate that enrolment gave");
    connection.probe.as_ref().ok_or_else(none)
}

fn to_wire(order: Order) -> wire::AttachResponse {
    let message = match order {
        Order::Check(request) => ToProbe::Check((&*request).into()),
        Order::Cancel(check, request) => ToProbe::Cancel(wire::CancelRequest {
            check_id: check.to_string(),
            request,
        }),
        Order::Renew => ToProbe::Renew(wire::RenewOrder {}),
    };
    wire::AttachResponse {
        message: Some(message),
    }
}

/// The orders until the line is ended from our side, then why it was.
fn until_ended(
    line: Arc<Line>,
    orders: ReceiverStream<Result<wire::AttachResponse, Status>>,
) -> impl Stream<Item = Result<wire::AttachResponse, Status>> {
    let ended = Arc::clone(&line);
    let orders = orders.take_until(async move { ended.ended().await });
    orders.chain(stream::once(async move {
        let end = line.ended().await;
        Err(match end {
            End::Replaced => Status::aborted(end.to_string()),
            End::Offence(_) => Status::invalid_argument(end.to_string()),
            End::StruckOff | End::OtherKey | End::Retired | End::Expired => {
                Status::permission_denied(end.to_string())
            }
            End::Closed => Status::cancelled(end.to_string()),
            End::Stopping => Status::unavailable(end.to_string()),
        })
    }))
}
