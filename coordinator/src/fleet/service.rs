//! The probe port's gRPC service: enrolment, and the stream of an attached probe.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use onlyhere_proto::{Vantage, VantageName, limits, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::{
    attach_request::Message as FromProbe, attach_response::Message as ToProbe,
    probe_service_server::ProbeService,
};

use super::{
    Answers, End, Event, Fleet, Line, Offence, Order,
    roll::{Enrolled, Roll, grant},
};
use crate::{
    audit::{Act, Audit, By, Event as Entry},
    clock,
    identity::{Authority, IdentityError, Peer},
    listen::Connection,
    store::StoreError,
    tokens::{Refused, SecretHash, Token, TokenKind, Tokens},
};

/// Orders that may wait for one probe.
const ORDERS: usize = 256;
/// From the opening of the stream to the probe's greeting.
const HELLO: Duration = Duration::from_secs(10);
/// Before the end of a probe's certificate the log says so.
const ENDS_SOON_S: i64 = 30 * 24 * 60 * 60;

/// What the probe port needs.
#[derive(Clone)]
pub struct ProbePort {
    /// Who is attached.
    pub fleet: Arc<Fleet>,
    /// Signs probes' keys.
    pub authority: Arc<Authority>,
    /// Join tokens.
    pub tokens: Arc<Tokens>,
    /// Who is enrolled.
    pub roll: Arc<Roll>,
    /// Who was turned away.
    pub audit: Arc<Audit>,
}

#[tonic::async_trait]
impl ProbeService for ProbePort {
    async fn enrol(
        &self,
        request: Request<wire::EnrolRequest>,
    ) -> Result<Response<wire::EnrolResponse>, Status> {
        let remote = connection(&request)?.remote;
        let by = By::stranger(remote);
        let request = request.into_inner();
        let enrolled = self.enrol_now(&request, &by).await;
        match &enrolled {
            Ok(response) => tracing::info!(%remote, probe = response.name, "enrolled"),
            Err(status) => {
                tracing::warn!(%remote, why = status.message(), "enrolment refused");
                let subject = shown_token(&request.secret);
                let entry = Entry::new(Act::JoinRefused, by, &subject, status.message());
                self.audit.record(entry).await;
            }
        }
        enrolled.map(Response::new)
    }

    type AttachStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<wire::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let connection = connection(&request)?;
        let peer = connection.probe.as_ref().ok_or_else(|| {
            Status::unauthenticated("attaching needs the certificate that enrolment gave")
        })?;
        let vantage = self.vantage(peer, connection.remote).await?;
        warn_of_end(peer);
        let (orders, waiting) = mpsc::channel(ORDERS);
        let line = Line::new(vantage, {
            let orders = orders.clone();
            move |order| orders.try_send(Ok(to_wire(order))).is_ok()
        });
        let line = Arc::new(line.with_key(peer.key_sha256.clone()));
        let session = Session {
            fleet: Arc::clone(&self.fleet),
            roll: Arc::clone(&self.roll),
            line: Arc::clone(&line),
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

fn warn_of_end(peer: &Peer) {
    if peer.not_after_s - clock::now().0 / 1_000_000 < ENDS_SOON_S {
        tracing::warn!(probe = %peer.name, "its certificate ends within 30 days: enrol it again");
    }
}

impl ProbePort {
    async fn enrol_now(
        &self,
        request: &wire::EnrolRequest,
        by: &By,
    ) -> Result<wire::EnrolResponse, Status> {
        let wish: Option<VantageName> = match request.name.as_str() {
            "" => None,
            name => Some(
                name.parse()
                    .map_err(|e| Status::invalid_argument(format!("{e}")))?,
            ),
        };
        let now = clock::now();
        let token = self.tokens.find(&request.secret, &[TokenKind::Probe], now);
        let token = token.await.map_err(unreadable)?.map_err(refused)?;
        let names = self.roll.all().await.map_err(unreadable)?;
        let name = grant(&names, &token, wish.as_ref()).map_err(name_refused)?;
        let signed = self
            .authority
            .sign_probe(&request.signing_request, &name)
            .map_err(not_signed)?;
        // Everything else is in order: only now a use is spent.
        let token: Token = self
            .tokens
            .spend(&request.secret, &[TokenKind::Probe], now)
            .await
            .map_err(unreadable)?
            .map_err(refused)?;
        let enrolled = Enrolled {
            place: token.place.clone(),
            key_sha256: signed.key_sha256,
            enrolled_at: now,
            token: token.id.clone(),
        };
        let entered = self
            .roll
            .enter(&name, &token, enrolled, by)
            .await
            .map_err(unreadable)?;
        entered.map_err(name_refused)?;
        Ok(wire::EnrolResponse {
            name: name.to_string(),
            certificate_chain: signed.chain.iter().map(|der| der.to_vec()).collect(),
        })
    }

    /// Who the roll says that this is.
    async fn vantage(&self, peer: &Peer, remote: std::net::IpAddr) -> Result<Vantage, Status> {
        let enrolled = self.roll.get(&peer.name).await.map_err(unreadable)?;
        let enrolled = enrolled.filter(|e| e.key_sha256 == peer.key_sha256);
        let Some(enrolled) = enrolled else {
            tracing::warn!(probe = %peer.name, %remote, "attach refused: not on the roll with this key");
            return Err(Status::permission_denied(
                "this probe is not enrolled here any more; join again with a new token",
            ));
        };
        Ok(enrolled.place.vantage(peer.name.clone(), Some(remote)))
    }
}

/// What is known of a token that was presented in vain: its short name, which tells nothing of the secret.
fn shown_token(secret: &str) -> String {
    SecretHash::of_presented(secret)
        .map_or("no token".into(), |hash| format!("token {}", hash.id()))
}

fn unreadable(error: StoreError) -> Status {
    tracing::error!(%error, "the store cannot be used");
    Status::internal("the coordinator cannot use its store; its log says why")
}

fn refused(refused: Refused) -> Status {
    Status::unauthenticated(refused.to_string())
}

fn name_refused(refused: super::roll::NameRefused) -> Status {
    Status::already_exists(refused.to_string())
}

fn not_signed(error: IdentityError) -> Status {
    Status::invalid_argument(format!("the signing request cannot be signed: {error}"))
}

fn to_wire(order: Order) -> wire::AttachResponse {
    let message = match order {
        Order::Check(request) => ToProbe::Check((&*request).into()),
        Order::Cancel(check, request) => ToProbe::Cancel(wire::CancelRequest {
            check_id: check.to_string(),
            request,
        }),
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
            End::StruckOff => Status::permission_denied(end.to_string()),
            End::Closed => Status::cancelled(end.to_string()),
            End::Stopping => Status::unavailable(end.to_string()),
        })
    }))
}

/// One attached probe.
struct Session {
    fleet: Arc<Fleet>,
    roll: Arc<Roll>,
    line: Arc<Line>,
    orders: mpsc::Sender<Result<wire::AttachResponse, Status>>,
}

impl Session {
    async fn run(self, mut inbound: Streaming<wire::AttachRequest>) {
        let probe = self.line.name().clone();
        let hello = match tokio::time::timeout(HELLO, inbound.message()).await {
            Ok(Ok(Some(wire::AttachRequest {
                message: Some(FromProbe::Hello(hello)),
            }))) => hello,
            _ => return self.line.end(Offence::OutOfTurn("first").into()),
        };
        match Answers(&self.line).source_addresses(&hello) {
            Ok(addresses) => self.line.can_try_from(addresses),
            Err(offence) => return self.line.end(offence.into()),
        }
        let welcome = wire::Welcome {
            name: probe.to_string(),
            now_us: clock::now().0,
        };
        let _ = self.orders.try_send(Ok(wire::AttachResponse {
            message: Some(ToProbe::Welcome(welcome)),
        }));
        self.fleet.attach(&self.line);
        // Who was struck off between the look at the roll and this moment is not seen by the watch.
        if !self.is_on_the_roll().await {
            self.line.end(End::StruckOff);
        }
        tracing::info!(%probe, remote = ?self.line.vantage().public_address,
            version = limits::plain_text(&hello.version, 64), "attached");
        tokio::select! {
            end = self.line.ended() => tracing::info!(%probe, why = %end, "detached"),
            read = self.read(&mut inbound) => match read {
                Ok(()) => tracing::info!(%probe, "detached by itself"),
                Err(offence) => {
                    tracing::warn!(%probe, why = %offence, "cut off");
                    self.line.end(offence.into());
                }
            },
            // The response stream is gone: the connection has broken.
            () = self.orders.closed() => tracing::info!(%probe, "connection lost"),
        }
        // Whatever the reason: nobody may be asked over this line again.
        self.line.end(End::Closed);
        self.fleet.detach(&self.line);
    }

    async fn is_on_the_roll(&self) -> bool {
        match self.roll.get(self.line.name()).await {
            Ok(enrolled) => enrolled
                .is_some_and(|enrolled| self.line.key_sha256() == Some(&enrolled.key_sha256)),
            Err(error) => {
                tracing::error!(%error, "the roll of probes cannot be read");
                false
            }
        }
    }

    async fn read(&self, inbound: &mut Streaming<wire::AttachRequest>) -> Result<(), Offence> {
        let answers = Answers(&self.line);
        loop {
            let message = match inbound.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(status) => {
                    tracing::debug!(probe = %self.line.name(), %status, "the stream has failed");
                    return Ok(());
                }
            };
            match message.message {
                Some(FromProbe::Observations(batch)) => {
                    self.fleet.deliver(&self.line, answers.observations(batch)?);
                }
                Some(FromProbe::Done(done)) => {
                    if let Some((check, request)) = answers.done(done)? {
                        self.fleet
                            .tell(&check, Event::Done(self.line.name().clone(), request));
                    }
                }
                Some(FromProbe::Hello(_)) => return Err(Offence::OutOfTurn("second hello")),
                // A message of a newer probe.
                None => {}
            }
        }
    }
}

/// Ends the lines of probes that are not on the roll any more, or with another key. Whoever changes the roll, be it
/// another process, is noticed at the next tick; the roll itself is read only when it has changed.
pub async fn watch_roll(port: ProbePort, every: Duration) -> Infallible {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut seen, mut failing) = (None, false);
    loop {
        ticks.tick().await;
        match end_struck_off(&port, seen).await {
            Ok(version) => (seen, failing) = (Some(version), false),
            // Said once, not five times a second.
            Err(_) if failing => {}
            Err(error) => {
                failing = true;
                tracing::error!(%error, "the roll of probes cannot be read: who is struck off stays until it can");
            }
        }
    }
}

/// The version of the roll that the lines now agree with.
async fn end_struck_off(port: &ProbePort, seen: Option<i64>) -> Result<i64, StoreError> {
    // The version first: what changes after that is seen the next time.
    let version = port.roll.version().await?;
    if seen != Some(version) {
        let names = port.roll.all().await?;
        port.fleet.retain(End::StruckOff, |line| {
            let enrolled = names.get(line.name());
            enrolled.is_some_and(|e| line.key_sha256() == Some(&e.key_sha256))
        });
    }
    Ok(version)
}
