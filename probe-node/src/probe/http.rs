//! One GET over the connection that TCP or TLS left behind; HTTP/2 where TLS agreed on it, HTTP/1.1 otherwise.
//!
//! The status decides the outcome. At most 64 KiB of the body are read and kept as a digest. A body that stalls is a
//! timeout if its length was announced or nothing of it came; a stream without announced end that has begun is no fault.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use onlyhere_proto::{
    Facts, Host, HttpFacts, HttpHeader, Layer, Outcome, Target, limits, limits::plain_text,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time,
};

use super::{Attempt, Connection, Seen, bounded::Bounded};
use crate::classify::{self, Failure};

/// Headers that are kept: they name the server, a redirect, a cache, a limit, or a firewall.
const KEPT: [&str; 16] = [
    "server",
    "location",
    "retry-after",
    "via",
    "www-authenticate",
    "content-type",
    "content-length",
    "date",
    "x-cache",
    "x-served-by",
    "x-amz-cf-id",
    "cf-ray",
    "cf-mitigated",
    "x-sucuri-id",
    "x-iinfo",
    "x-akamai-request-id",
];

/// Bytes of header lines that are read.
const HEADER_BYTES: usize = 64 * 1024;

pub(super) async fn probe(attempt: &mut Attempt<'_>) -> Seen {
    let start = Instant::now();
    let until = start + attempt.timeout;
    let (source, exchanged) = match std::mem::take(&mut attempt.connection) {
        Connection::Plain(stream) => {
            let source = stream.local_addr().ok();
            (
                source,
                http1(
                    Bounded::new(stream),
                    asked(attempt, Version::HTTP_11),
                    until,
                )
                .await,
            )
        }
        Connection::Tls(stream) => {
            let source = stream.get_ref().0.get_ref().local_addr().ok();
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let exchanged = if h2 {
                http2(*stream, asked(attempt, Version::HTTP_2), until).await
            } else {
                http1(*stream, asked(attempt, Version::HTTP_11), until).await
            };
            (source, exchanged)
        }
        Connection::None => return Seen::not_measured("there is no connection to ask over"),
    };
    let elapsed = start.elapsed();
    let mut seen = match exchanged.failure {
        Some(failure) => Seen::failed(failure, elapsed),
        None => Seen::ok(elapsed),
    };
    seen.facts = exchanged.facts.map(Facts::Http);
    seen.from(source.map(|local| local.ip()))
}

/// What an exchange gave: facts once the header lines were read, and a failure if it did not end well.
pub(crate) struct Exchanged {
    pub(crate) facts: Option<HttpFacts>,
    pub(crate) failure: Option<Failure>,
}

impl Exchanged {
    pub(super) fn failed(failure: Failure) -> Self {
        Self {
            facts: None,
            failure: Some(failure),
        }
    }
}

type Asked = Result<Request<Empty<Bytes>>, http::Error>;

/// The request of an attempt.
fn asked(attempt: &Attempt<'_>, version: Version) -> Asked {
    let request = request(attempt.target, attempt.user_agent, version, attempt.proxied)?;
    Ok(match &attempt.authorization {
        Some(authorization) if attempt.proxied => with_authorization(request, authorization),
        _ => request,
    })
}

/// One exchange over any stream that behaves like a connection, in the protocol that was agreed on.
pub(crate) async fn get<S>(
    stream: S,
    target: &Target,
    user_agent: &HeaderValue,
    h2: bool,
    until: Instant,
) -> Exchanged
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if h2 {
        let request = request(target, user_agent, Version::HTTP_2, false);
        http2(stream, request, until).await
    } else {
        let request = request(target, user_agent, Version::HTTP_11, false);
        http1(stream, request, until).await
    }
}

async fn http1<S>(stream: S, request: Asked, until: Instant) -> Exchanged
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = match request {
        Ok(request) => request,
        Err(error) => return Exchanged::failed(Failure::not_measured(error.to_string())),
    };
    let (mut sender, connection) = match http1_client().handshake(TokioIo::new(stream)).await {
        Ok(both) => both,
        Err(error) => return Exchanged::failed(classify::exchange(&error)),
    };
    // The connection is driven by this very task, so that it ends with the attempt.
    let exchange = async move { exchange(sender.send_request(request).await, until).await };
    drive(connection, exchange, until).await
}

/// Tells the proxy who asks.
pub(super) fn with_authorization<B>(
    mut request: Request<B>,
    authorization: &HeaderValue,
) -> Request<B> {
    let headers = request.headers_mut();
    headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
    request
}

pub(super) fn http1_client() -> hyper::client::conn::http1::Builder {
    hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADER_BYTES)
        .clone()
}

async fn http2<S>(stream: S, request: Asked, until: Instant) -> Exchanged
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = match request {
        Ok(request) => request,
        Err(error) => return Exchanged::failed(Failure::not_measured(error.to_string())),
    };
    // The protocol's own tasks end with the attempt, however long the server would like to keep them.
    let tasks = Tasks::default();
    let _ends_with_the_attempt = Ends(tasks.clone());
    let mut builder = hyper::client::conn::http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .initial_stream_window_size(limits::HTTP_BODY as u32)
        .initial_connection_window_size(limits::HTTP_BODY as u32);
    let handshake = time::timeout_at(until.into(), builder.handshake(TokioIo::new(stream)));
    let (mut sender, connection) = match handshake.await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return Exchanged::failed(classify::exchange(&error)),
        Err(_) => return Exchanged::failed(Failure::of(Outcome::Timeout)),
    };
    let exchange = async move { exchange(sender.send_request(request).await, until).await };
    drive(connection, exchange, until).await
}

/// Runs tasks that can be ended together.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.lock().spawn(async move { drop(task.await) });
    }
}

struct Ends(Tasks);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.lock().abort_all();
    }
}

/// Runs the connection beside the exchange until the exchange is over.
async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Exchanged>,
    until: Instant,
) -> Exchanged {
    let connection = async {
        // The exchange learns by itself that the connection ended; why it ended is told there as well.
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        exchanged = exchange => exchanged,
        never = connection => match never {},
        () = time::sleep_until(until.into()) => Exchanged::failed(Failure::of(Outcome::Timeout)),
    }
}

/// To a proxy the request names the whole URL (RFC 9112, 3.2.2).
fn request(target: &Target, user_agent: &HeaderValue, version: Version, proxied: bool) -> Asked {
    let authority = authority(target);
    let path = if target.path.is_empty() {
        "/"
    } else {
        &target.path
    };
    let uri = Uri::builder().path_and_query(path);
    let uri = match (version, proxied) {
        (Version::HTTP_2, _) => uri.scheme("https").authority(authority.as_str()),
        (_, true) => uri.scheme("http").authority(authority.as_str()),
        _ => uri,
    };
    let request = Request::get(uri.build()?);
    let request = match version {
        Version::HTTP_2 => request.version(version),
        _ => request.header(header::HOST, authority),
    };
    request
        .header(header::USER_AGENT, user_agent)
        .header(header::ACCEPT, "*/*")
        .body(Empty::new())
}

/// Host and port, the port only where it is not the scheme's own (RFC 9110, 4.2.3).
fn authority(target: &Target) -> String {
    let host = host(target);
    match (target.layer, target.port) {
        (Layer::Https, Some(443)) | (Layer::Http, Some(80)) | (_, None) => host,
        (_, Some(port)) => format!("{host}:{port}"),
    }
}

/// The host as it stands in a URL.
pub(super) fn host(target: &Target) -> String {
    match &target.host {
        Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        host => host.to_string(),
    }
}

pub(super) async fn exchange(
    answer: hyper::Result<Response<Incoming>>,
    until: Instant,
) -> Exchanged {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Exchanged::failed(classify::exchange(&error)),
    };
    let (parts, body) = answer.into_parts();
    let announced = body.size_hint().exact();
    let read = read(body, until).await;
    let status = parts.status.as_u16();
    let failure = failure(parts.status, read.ended, announced.is_some(), read.length);
    Exchanged {
        facts: Some(HttpFacts {
            version: version(parts.version).to_owned(),
            status,
            headers: headers(&parts.headers),
            location: location(status, &parts.headers),
            body_length: read.length,
            body_sha256: (read.length > 0).then_some(read.sha256),
        }),
        failure,
    }
}

fn failure(status: StatusCode, ended: Ended, announced: bool, length: u64) -> Option<Failure> {
    let detail =
        |what| format!("the header lines came ({status}), the body {what} after {length} bytes");
    match ended {
        // An answer that is none: nobody has asked for another protocol (RFC 9110, 15.2.2).
        _ if status.as_u16() >= 400 || status.is_informational() => {
            Some(Failure::of(Outcome::HttpStatus).because(format!("status {status}")))
        }
        Ended::Whole | Ended::Enough => None,
        // Whoever streams without an announced end has answered.
        Ended::Stalled if !announced && length > 0 => None,
        Ended::Stalled => Some(Failure::of(Outcome::Timeout).because(detail("stalled"))),
        Ended::Broken(failure) => Some(failure.because(detail("broke off"))),
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn headers(all: &HeaderMap) -> Vec<HttpHeader> {
    let keep = |name: &&'static str| {
        let value = String::from_utf8_lossy(all.get(*name)?.as_bytes());
        Some(HttpHeader {
            name: (*name).to_owned(),
            value: plain_text(&value, limits::TEXT),
        })
    };
    KEPT.iter()
        .filter_map(keep)
        .take(limits::HTTP_HEADERS)
        .collect()
}

/// Only the statuses that send a client elsewhere (RFC 9110, 15.4).
fn location(status: u16, all: &HeaderMap) -> Option<String> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let value = all.get(header::LOCATION)?.to_str().ok()?;
    Some(plain_text(value, limits::TARGET_INPUT))
}

struct Read {
    length: u64,
    sha256: String,
    ended: Ended,
}

enum Ended {
    Whole,
    Enough,
    Stalled,
    Broken(Failure),
}

async fn read(mut body: Incoming, until: Instant) -> Read {
    // A little earlier than the attempt, so that a stalled body still tells its header lines.
    let left = until.saturating_duration_since(Instant::now());
    let until = until - (left / 10).min(Duration::from_millis(100));
    let mut digest = Sha256::new();
    let mut length = 0;
    let ended = loop {
        let frame = match time::timeout_at(until.into(), body.frame()).await {
            Err(_) => break Ended::Stalled,
            Ok(None) => break Ended::Whole,
            Ok(Some(Err(error))) => break Ended::Broken(classify::exchange(&error)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = limits::HTTP_BODY - length;
        let data = &data[..data.len().min(room)];
        digest.update(data);
        length += data.len();
        if length >= limits::HTTP_BODY {
            break Ended::Enough;
        }
    };
    Read {
        length: length as u64,
        sha256: hex::encode(digest.finalize()),
        ended,
    }
}
