//! A tunnel through an HTTP proxy (RFC 9110, 9.3.6 CONNECT). Where it stands, the stages behind it find a connection that
//! leads to the target; where it does not, what the proxy said instead is an HTTP exchange like any other.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use onlyhere_proto::{Facts, Outcome};
use tokio::{net::TcpStream, time};

use super::{
    Attempt, Connection, Seen,
    http::{self as exchange, Exchanged},
};
use crate::classify::{self, Failure};

/// Asks the proxy that the attempt is connected to for a tunnel to the target.
pub(super) async fn open(attempt: &mut Attempt<'_>) -> Seen {
    let start = Instant::now();
    let until = start + attempt.timeout;
    let Connection::Plain(stream) = std::mem::take(&mut attempt.connection) else {
        return Seen::not_measured("there is no connection to the proxy");
    };
    let source = stream.local_addr().ok().map(|local| local.ip());
    let request = match request(attempt) {
        Ok(request) => request,
        Err(error) => return Seen::not_measured(error.to_string()),
    };
    let asked = time::timeout_at(until.into(), connect(stream, request, until));
    let asked = asked
        .await
        .unwrap_or_else(|_| Err(failed(Failure::of(Outcome::Timeout))));
    let elapsed = start.elapsed();
    let seen = match asked {
        Ok(stream) => {
            attempt.connection = Connection::Plain(stream);
            attempt.proxied = false;
            Seen::ok(elapsed)
        }
        Err(exchanged) => refused(*exchanged, elapsed),
    };
    seen.from(source)
}

fn failed(failure: Failure) -> Box<Exchanged> {
    Box::new(Exchanged::failed(failure))
}

fn refused(exchanged: Exchanged, elapsed: Duration) -> Seen {
    let failure = exchanged.failure.unwrap_or_else(|| {
        // Neither a tunnel (2xx) nor an error.
        Failure::of(Outcome::Closed).because("no tunnel was opened")
    });
    let why = failure.detail.clone().unwrap_or_default();
    let why = format!("the proxy opened no tunnel {why}");
    let mut seen = Seen::failed(failure.because(why.trim_end()), elapsed);
    seen.facts = exchanged.facts.map(Facts::Http);
    seen
}

async fn connect(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    until: Instant,
) -> Result<TcpStream, Box<Exchanged>> {
    let handshake = exchange::http1_client().handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake
        .await
        .map_err(|error| failed(classify::exchange(&error)))?;
    let ask = async move {
        match sender.send_request(request).await {
            Ok(answer) if answer.status().is_success() => {
                let upgraded = hyper::upgrade::on(answer).await;
                upgraded.map_err(|error| failed(classify::exchange(&error)))
            }
            other => Err(Box::new(exchange::exchange(other, until).await)),
        }
    };
    let connection = async {
        // How it ended is told to whoever asks over it.
        let _ = connection.with_upgrades().await;
        std::future::pending::<Infallible>().await
    };
    let upgraded = tokio::select! {
        biased;
        asked = ask => asked?,
        never = connection => match never {},
    };
    tunnel(upgraded)
}

fn tunnel(upgraded: Upgraded) -> Result<TcpStream, Box<Exchanged>> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        // TLS and HTTP are protocols whose client speaks first: what came already is not theirs.
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        Ok(_) => Err(failed(
            Failure::of(Outcome::Closed).because("and sent something that nobody asked for"),
        )),
        Err(_) => Err(failed(Failure::not_measured(
            "the tunnel is not the connection it was asked for over",
        ))),
    }
}

fn request(attempt: &Attempt<'_>) -> Result<Request<Empty<Bytes>>, http::Error> {
    let target = attempt.target;
    let host = exchange::host(target);
    let authority = format!("{host}:{}", target.port.unwrap_or_default());
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(Uri::builder().authority(authority.as_str()).build()?)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, attempt.user_agent)
        .body(Empty::new())?;
    Ok(match &attempt.authorization {
        Some(authorization) => exchange::with_authorization(request, authorization),
        None => request,
    })
}
