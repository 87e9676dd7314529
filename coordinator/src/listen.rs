//! One port: accepts connections, shakes hands, serves a router over each. HTTP/2 carries gRPC; the people's port speaks
//! HTTP/1.1 as well.
//!
//! Everything a stranger can hold is bounded: connections, the time of a handshake, headers, streams. On the probe port
//! strangers (who may only enrol) and enrolled probes are counted apart, so that strangers cannot keep probes out.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::identity::Peer;

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(10);
const HEADER_BYTES: u32 = 16 * 1024;
/// A peer that does not answer a ping for this long is gone; so a dead probe is noticed within 20 s.
const PING: Duration = Duration::from_secs(10);
/// Who has no certificate is done with enrolling by then.
const STRANGER: Duration = Duration::from_secs(60);
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
    pub tls: Option<Arc<ServerConfig>>,
    /// For connections without a client certificate.
    pub router: Router,
    /// Connections without a client certificate at most.
    pub strangers: usize,
    /// For connections of enrolled probes, and how many of them at most.
    pub probes: Option<(Router, usize)>,
    /// Streams of one connection at most.
    pub streams: u32,
}

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
    tls: Option<TlsAcceptor>,
    router: Router,
    probes: Option<(Router, Arc<Semaphore>)>,
    http: auto::Builder<TokioExecutor>,
    stop: Stop,
}

/// Serves until told to stop accepting; connections may outlive this.
pub async fn serve(port: Port, stop: Stop) {
    let strangers = Arc::new(Semaphore::new(port.strangers));
    let shared = Arc::new(Shared {
        name: port.name,
        tls: port.tls.map(TlsAcceptor::from),
        router: port.router,
        probes: port
            .probes
            .map(|(router, most)| (router, Arc::new(Semaphore::new(most)))),
        http: http(port.streams),
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
        let Ok(permit) = Arc::clone(&strangers).try_acquire_owned() else {
            tracing::debug!(port = port.name, %remote, "too many connections: closed");
            continue;
        };
        stop.connections
            .spawn(Arc::clone(&shared).connection(stream, remote, permit));
    }
}

fn http(streams: u32) -> auto::Builder<TokioExecutor> {
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
        .max_concurrent_streams(streams);
    http
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        let remote = remote.ip().to_canonical();
        let Some(tls) = &self.tls else {
            let connection = Connection {
                remote,
                probe: None,
            };
            return self.requests(stream, connection, self.router.clone()).await;
        };
        let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(port = self.name, %remote, %error, "handshake failed");
                return;
            }
            Err(_) => return,
        };
        match &self.probes {
            None => {
                let connection = Connection {
                    remote,
                    probe: None,
                };
                self.requests(stream, connection, self.router.clone()).await;
            }
            Some((router, most)) => {
                self.probe_or_stranger(stream, remote, permit, router, most)
                    .await
            }
        }
    }

    async fn probe_or_stranger(
        &self,
        stream: TlsStream<TcpStream>,
        remote: IpAddr,
        permit: OwnedSemaphorePermit,
        router: &Router,
        most: &Arc<Semaphore>,
    ) {
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        match certificate.map(Peer::read) {
            None => {
                let connection = Connection {
                    remote,
                    probe: None,
                };
                let serve = self.requests(stream, connection, self.router.clone());
                let _ = tokio::time::timeout(STRANGER, serve).await;
            }
            Some(Ok(peer)) => {
                let Ok(_permit) = Arc::clone(most).try_acquire_owned() else {
                    tracing::warn!(port = self.name, probe = %peer.name, "too many probes: closed");
                    return;
                };
                drop(permit);
                let connection = Connection {
                    remote,
                    probe: Some(peer),
                };
                self.requests(stream, connection, router.clone()).await;
            }
            Some(Err(error)) => tracing::warn!(port = self.name, %remote, %error, "closed"),
        }
    }

    async fn requests<S>(&self, stream: S, connection: Connection, router: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            let answer = router.clone().oneshot(request);
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let serving = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
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
