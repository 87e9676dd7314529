//! One port: accepts connections, shakes hands, serves a router over each. HTTP/2 carries gRPC; the people's port speaks
//! HTTP/1.1 as well.
//!
//! Everything a stranger can hold is bounded: connections, overall and of one address (`doors`), the time of a handshake,
//! headers, streams, requests per second, and how long a peer may say or read nothing (`activity`). On the probe port
//! strangers (who may only enrol) and enrolled probes are counted apart, so that strangers cannot keep probes out.

mod activity;
mod call;
mod doors;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, response::IntoResponse};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use onlyhere_proto::VantageName;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

pub use activity::Patience;

use self::{
    activity::{Activity, Overdue},
    call::{Shared as SharedActivity, Watched},
    doors::{Doors, Entered, one_owner},
};
use crate::identity::{Peer, Refusals, acme::CHALLENGE};

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(10);
const HEADER_BYTES: u32 = 16 * 1024;
/// A peer that does not answer a ping for this long is gone; so a dead probe is noticed within 20 s.
const PING: Duration = Duration::from_secs(10);
/// Connections of one probe: the one it works over, and some that it has lost and that are not known to be gone yet.
const PER_PROBE: usize = 4;
/// Who has no certificate is done with enrolling by then.
const STRANGER: Duration = Duration::from_secs(60);
/// From a request to the head of its answer; what follows of a stream is not bounded by this.
const ANSWER: Duration = Duration::from_secs(30);
/// For a connection that is closed in order.
const GOODBYE: Duration = Duration::from_secs(5);
/// Bytes that one HTTP/2 stream may hold in our memory on their way out.
const SEND_BUFFER: usize = 64 * 1024;
const TWO: NonZeroU32 = NonZeroU32::new(2).expect("it is not zero");
/// After a failed accept (no file descriptors left) others must get the chance to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end; every request carries it as an extension.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Address of the peer; IPv4 in IPv6 disguise is IPv4 again.
    pub remote: IpAddr,
    /// The enrolled probe whose certificate was verified.
    pub probe: Option<Peer>,
}

/// What is served on a port, and how much of it.
pub struct Port {
    /// For logs.
    pub name: &'static str,
    /// Bound already.
    pub listener: TcpListener,
    /// None: plain.
    pub tls: Option<TlsSource>,
    /// For connections without a client certificate.
    pub router: Router,
    /// For connections of enrolled probes, and how many of them at most.
    pub probes: Option<(Router, usize)>,
    /// How much of everything.
    pub bounds: Bounds,
}

/// How much a port's peers may have at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections without a client certificate.
    pub strangers: usize,
    /// Those of one address among them; of one /64 for IPv6.
    pub per_address: usize,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// Requests of one connection in a second, and twice as many at once.
    pub requests_per_second: NonZeroU32,
    /// Bytes sent to us and not yet read: of one HTTP/2 stream, and of its connection.
    pub windows: (u32, u32),
    /// How long a peer may take.
    pub patience: Patience,
}

/// TLS as it is to be at the next handshake: certificates are replaced while a port serves.
pub type TlsSource = Box<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// When a port stops.
#[derive(Clone, Default)]
pub struct Stop {
    /// No new connections.
    pub accepting: CancellationToken,
    /// Connections finish what they are at, and close.
    pub serving: CancellationToken,
    /// Every connection is counted here.
    pub connections: TaskTracker,
}

struct Shared {
    name: &'static str,
    tls: Option<TlsSource>,
    refusals: Refusals,
    router: Router,
    probes: Option<(Router, Arc<Doors<VantageName>>)>,
    bounds: Bounds,
    http: auto::Builder<TokioExecutor>,
    stop: Stop,
}

/// Serves until told to stop accepting; connections may outlive this.
pub async fn serve(port: Port, stop: Stop) {
    let doors = Doors::new(port.bounds.strangers, port.bounds.per_address);
    let shared = Arc::new(Shared {
        name: port.name,
        tls: port.tls,
        refusals: Refusals::default(),
        router: port.router,
        probes: port
            .probes
            .map(|(router, most)| (router, Doors::new(most, PER_PROBE))),
        bounds: port.bounds,
        http: http(&port.bounds),
        stop: stop.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = stop.accepting.cancelled() => return,
            accepted = port.listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(port = port.name, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(entered) = doors.enter(one_owner(remote.ip())) else {
            tracing::debug!(port = port.name, %remote, "too many connections: closed");
            continue;
        };
        stop.connections
            .spawn(Arc::clone(&shared).connection(stream, remote, entered));
    }
}

fn http(bounds: &Bounds) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(bounds.streams)
        .initial_stream_window_size(bounds.windows.0)
        .initial_connection_window_size(bounds.windows.1)
        .max_send_buf_size(SEND_BUFFER);
    http
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        entered: Entered<IpAddr>,
    ) {
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            remote: remote.ip().to_canonical(),
            probe: None,
        };
        let Some(tls) = &self.tls else {
            return self.requests(stream, connection, &self.router).await;
        };
        let tls = TlsAcceptor::from(tls());
        let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.refusals.note(connection.remote, &error),
            Err(_) => return,
        };
        // The authority wanted no more than this handshake (RFC 8737, 3).
        if stream.get_ref().1.alpn_protocol() == Some(CHALLENGE) {
            return;
        }
        match &self.probes {
            None => self.requests(stream, connection, &self.router).await,
            Some((router, doors)) => {
                self.probe_or_stranger(stream, connection, entered, router, doors)
                    .await
            }
        }
    }

    async fn probe_or_stranger(
        &self,
        stream: TlsStream<TcpStream>,
        connection: Connection,
        entered: Entered<IpAddr>,
        router: &Router,
        doors: &Arc<Doors<VantageName>>,
    ) {
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        match certificate.map(Peer::read) {
            None => {
                let serve = self.requests(stream, connection, &self.router);
                let _ = tokio::time::timeout(STRANGER, serve).await;
            }
            Some(Ok(peer)) => {
                let Some(_entered) = doors.enter(peer.name.clone()) else {
                    tracing::warn!(port = self.name, probe = %peer.name, "too many connections: closed");
                    return;
                };
                drop(entered);
                let connection = Connection {
                    probe: Some(peer),
                    ..connection
                };
                self.requests(stream, connection, router).await;
            }
            Some(Err(error)) => {
                tracing::warn!(port = self.name, remote = %connection.remote, %error, "closed");
            }
        }
    }

    /// Serves one connection until its peer closes it, tries our patience, or the port stops.
    async fn requests<S>(&self, stream: S, connection: Connection, router: &Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let remote = connection.remote;
        let peer = Arc::new(Requests::new(&self.bounds, connection, router.clone()));
        let service = hyper::service::service_fn({
            let peer = Arc::clone(&peer);
            move |request| Arc::clone(&peer).answer(request)
        });
        let serving = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
            overdue = peer.overdue() => {
                tracing::debug!(port = self.name, %remote, why = %overdue, "closed");
                if overdue == Overdue::Idle {
                    serving.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(GOODBYE, serving).await;
                }
                return;
            }
            () = peer.flooded.cancelled() => {
                return tracing::warn!(port = self.name, %remote, "too many requests over one connection: closed");
            }
            () = self.stop.serving.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(port = self.name, %error, "connection failed");
        }
    }
}

/// The requests of one connection.
struct Requests {
    connection: Connection,
    router: Router,
    activity: SharedActivity,
    rate: DefaultDirectRateLimiter,
    flooded: CancellationToken,
}

impl Requests {
    fn new(bounds: &Bounds, connection: Connection, router: Router) -> Self {
        let rate = bounds.requests_per_second;
        let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(TWO));
        Self {
            connection,
            router,
            activity: SharedActivity::new(Activity::new(bounds.patience, Instant::now())),
            rate: RateLimiter::direct(quota),
            flooded: CancellationToken::new(),
        }
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Watched>, Infallible> {
        let call = self.activity.begin();
        // A stream that is opened and reset at once costs us more than its peer: nobody needs so many.
        if self.rate.check().is_err() {
            self.flooded.cancel();
        }
        request.extensions_mut().insert(self.connection.clone());
        let answer = tokio::time::timeout(ANSWER, self.router.clone().oneshot(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        };
        Ok(response.map(|body| call.answer(body)))
    }

    /// Waits until the peer has tried our patience.
    async fn overdue(&self) -> Overdue {
        loop {
            let now = Instant::now();
            let looked = self.activity.lock().poll(now);
            match looked {
                Err(overdue) => return overdue,
                Ok(next) => tokio::time::sleep_until(next.into()).await,
            }
        }
    }
}
