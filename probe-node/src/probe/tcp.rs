//! A TCP connection, opened by a non-blocking `connect` whose error queue is read (see [`crate::classify`]).
//!
//! The time of a refusal says where it was made, so the clock starts right before `connect` and stops when the socket
//! becomes ready, on a thread that does nothing else. The deadline is ours: the kernel's own timeouts are too long and
//! its retry counter is no count.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream as StdStream},
    time::{Duration, Instant},
};

use nix::libc;
use onlyhere_proto::{Facts, Family, Outcome, TcpFacts};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::TcpStream, time};

use super::{Attempt, Connection, Seen};
use crate::{
    classify::{self, Failure},
    kernel,
    timing::forget_readiness,
    way::SocketWay,
};

pub(super) async fn probe(attempt: &mut Attempt<'_>) -> Seen {
    let (to, way, timeout) = (attempt.to, attempt.way.clone(), attempt.timeout);
    let Some(dialled) = attempt.timing.run(connect(to, way, timeout)).await else {
        return Seen::not_measured("the timing thread is gone");
    };
    let adopted = dialled.result.and_then(|stream| {
        TcpStream::from_std(stream).map_err(|error| Failure::not_measured(error.to_string()))
    });
    let seen = match adopted {
        Ok(stream) if stream.peer_addr().ok() != Some(to) => {
            // Checked once more on the socket itself: what was permitted is what is spoken to.
            Seen::not_measured("the connection leads to another address than was asked for")
        }
        Ok(stream) => {
            attempt.connection = Connection::Plain(stream);
            Seen::ok(dialled.elapsed)
        }
        Err(failure) => Seen::failed(failure, dialled.elapsed),
    };
    seen.from(dialled.source)
        .with_facts(Facts::Tcp(dialled.facts))
}

/// What came of one `connect`.
pub(super) struct Dialled {
    pub(super) result: Result<StdStream, Failure>,
    pub(super) elapsed: Duration,
    pub(super) source: Option<IpAddr>,
    pub(super) facts: TcpFacts,
}

impl Dialled {
    fn failed(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            elapsed: Duration::ZERO,
            source: None,
            facts: TcpFacts::default(),
        }
    }
}

/// Connects within `timeout`; to be run where nothing delays the stamp.
pub(super) async fn connect(to: SocketAddr, way: SocketWay, timeout: Duration) -> Dialled {
    let family = Family::of(to.ip());
    let socket = match open(to) {
        Ok(socket) => socket,
        Err(error) => return Dialled::failed(classify::unconnected(&error, None)),
    };
    if let Err(lack) = way.prepare(&socket, to.ip()) {
        let mut dialled = Dialled::failed(lack);
        dialled.source = way.source();
        dialled.facts.hop = way.hop();
        return dialled;
    }
    let recorded = kernel::report_errors(&socket, family, true).is_ok();
    let start = Instant::now();
    let begun = socket.connect(&to.into());
    // Registered after `connect`: an unconnected socket counts as hung up, and the runtime would never forget that.
    let stream = match TcpStream::from_std(socket.into()) {
        Ok(stream) => stream,
        Err(error) => return Dialled::failed(Failure::not_measured(error.to_string())),
    };
    let (answer, answered) = match begun {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            match time::timeout_at((start + timeout).into(), answer(&stream)).await {
                Ok(answer) => answer,
                Err(_) => (Err(Failure::of(Outcome::Timeout)), Instant::now()),
            }
        }
        Err(error) => {
            let now = Instant::now();
            let failure = classify::unconnected(&error, kernel::queued_error(&stream));
            (Err(failure), now)
        }
        Ok(()) => (Ok(()), Instant::now()),
    };
    if recorded {
        // Only a hint from here on: the kernel decides whether an ICMP error ends a connection.
        let _ = kernel::report_errors(&stream, family, false);
    }
    Dialled {
        elapsed: answered.duration_since(start),
        source: local_address(&stream).or_else(|| kernel::source_towards(to)),
        facts: TcpFacts {
            hop: way.hop(),
            ..kernel::tcp_facts(&stream, family)
        },
        result: answer
            .map_err(|failure| way.own_lack(own_lack(failure, family)))
            .and_then(|()| {
                let release = stream.set_nodelay(true).and_then(|()| stream.into_std());
                release.map_err(|error| Failure::not_measured(error.to_string()))
            }),
    }
}

fn open(to: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))
}

/// Waits until the handshake is over, and stamps that moment.
async fn answer(stream: &TcpStream) -> (Result<(), Failure>, Instant) {
    // On this machine itself the answer is often there before `connect` returns.
    if let Some(state) = state(stream) {
        return (state, Instant::now());
    }
    let interest = Interest::WRITABLE | Interest::ERROR;
    loop {
        let ready = stream.ready(interest).await;
        let now = Instant::now();
        if let Err(error) = ready {
            return (Err(Failure::not_measured(error.to_string())), now);
        }
        if let Some(state) = state(stream) {
            return (state, now);
        }
        forget_readiness(Interest::WRITABLE, |one, nothing| {
            stream.try_io(one, nothing)
        });
    }
}

/// How the handshake ended; `None` while it goes on.
///
/// An ICMP error may lie in the queue while the socket itself has no error yet: it arrived while `connect` still held
/// the socket, and the kernel would send the next SYN a second later. It is an answer all the same.
fn state(stream: &TcpStream) -> Option<Result<(), Failure>> {
    let error = stream.take_error();
    let queued = kernel::queued_error(stream);
    match (error, queued) {
        (Ok(None), None) => stream.peer_addr().is_ok().then_some(Ok(())),
        (Ok(Some(error)) | Err(error), queued) => Some(Err(classify::unconnected(&error, queued))),
        (Ok(None), Some(queued)) => {
            let error = io::Error::from_raw_os_error(queued.errno);
            Some(Err(classify::unconnected(&error, Some(queued))))
        }
    }
}

fn local_address(stream: &TcpStream) -> Option<IpAddr> {
    let address = stream.local_addr().ok()?.ip();
    Some(address).filter(|ip| !ip.is_unspecified())
}

/// A family that this machine does not have while it has the other is its own lack, not the target's failure.
pub(super) fn own_lack(failure: Failure, family: Family) -> Failure {
    let by_own_kernel = failure.outcome == Outcome::Unreachable
        && failure.said_by == Some(onlyhere_proto::SaidBy::Kernel);
    if !by_own_kernel && failure.outcome != Outcome::NotMeasured {
        return failure;
    }
    let (name, other) = match family {
        Family::V4 => ("IPv4", Family::V6),
        Family::V6 => ("IPv6", Family::V4),
    };
    if !kernel::has_global_address(family) && kernel::has_global_address(other) {
        Failure::not_measured(format!("no {name} here"))
    } else {
        failure
    }
}
