//! An ICMP echo request through an unprivileged datagram socket (icmp(7): `ping_group_range`).
//!
//! A single lost packet must not read as a silent host: the request is repeated twice within the attempt's time, and
//! the time counts from the request that was answered.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use onlyhere_proto::{Family, Outcome};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{io::Interest, net::UdpSocket, time};

use super::{Attempt, Seen, tcp::own_lack};
use crate::{
    classify::{self, Failure},
    kernel,
    timing::forget_readiness,
    way::SocketWay,
};

/// Echo requests within one attempt.
const REQUESTS: u8 = 3;
/// Header (8) and payload, bytes.
const LENGTH: usize = 24;

pub(super) async fn probe(attempt: &mut Attempt<'_>) -> Seen {
    let (address, timeout) = (attempt.to.ip(), attempt.timeout);
    let way = attempt.way.clone();
    attempt
        .timing
        .run(echo(address, way, timeout))
        .await
        .unwrap_or_else(|| Seen::not_measured("the timing thread is gone"))
}

async fn echo(address: IpAddr, way: SocketWay, timeout: Duration) -> Seen {
    let family = Family::of(address);
    let socket = match open(address, &way) {
        Ok(socket) => socket,
        Err(failure) => {
            let failure = way.own_lack(own_lack(failure, family));
            return Seen::failed(failure, Duration::ZERO);
        }
    };
    let source = socket.local_addr().ok().map(|local| local.ip());
    let start = Instant::now();
    let mut sent = Vec::new();
    let until = start + timeout;
    let seen = loop {
        if sent.len() < REQUESTS.into() {
            let request = echo_request(family, sent.len() as u8);
            sent.push(Instant::now());
            if let Err(error) = SockRef::from(&socket).send(&request) {
                let queued = kernel::queued_error(&socket);
                break Seen::failed(classify::unconnected(&error, queued), start.elapsed());
            }
        }
        let next = start + timeout * sent.len() as u32 / u32::from(REQUESTS);
        match time::timeout_at(next.min(until).into(), reply(&socket, family)).await {
            Ok((Ok(sequence), at)) => {
                let asked = sent.get(usize::from(sequence)).copied().unwrap_or(start);
                break Seen::ok(at.duration_since(asked));
            }
            Ok((Err(failure), at)) => break Seen::failed(failure, at.duration_since(start)),
            Err(_) if next >= until => {
                break Seen::failed(Failure::of(Outcome::Timeout), start.elapsed());
            }
            Err(_) => {}
        }
    };
    seen.from(source)
}

/// An echo socket is a datagram socket like UDP's, connected so that only the address's own packets are read.
fn open(address: IpAddr, way: &SocketWay) -> Result<UdpSocket, Failure> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = match Socket::new(domain, kind, Some(protocol)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::not_measured(
                "this machine lets nobody send echo requests (net.ipv4.ping_group_range)",
            ));
        }
        opened => opened.map_err(|error| classify::unconnected(&error, None))?,
    };
    way.prepare(&socket, address)?;
    let prepare = || {
        kernel::report_errors(&socket, Family::of(address), true)?;
        socket.connect(&SocketAddr::new(address, 0).into())
    };
    prepare().map_err(|error| classify::unconnected(&error, None))?;
    UdpSocket::from_std(socket.into()).map_err(|error| Failure::not_measured(error.to_string()))
}

/// RFC 792 and RFC 4443, 4.1. The kernel fills in identifier and checksum.
fn echo_request(family: Family, sequence: u8) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = match family {
        Family::V4 => 8,
        Family::V6 => 128,
    };
    packet[7] = sequence;
    packet[8..].copy_from_slice(b"onlyhere checks.");
    packet
}

/// The sequence number of the next reply, or why there is none, and when.
async fn reply(socket: &UdpSocket, family: Family) -> (Result<u8, Failure>, Instant) {
    let expected = match family {
        Family::V4 => 0,
        Family::V6 => 129,
    };
    let interest = Interest::READABLE | Interest::ERROR;
    loop {
        let ready = socket.ready(interest).await;
        let now = Instant::now();
        if let Err(error) = ready {
            return (Err(Failure::not_measured(error.to_string())), now);
        }
        let mut packet = [0; 128];
        match kernel::receive(socket, &mut packet) {
            Ok(Ok(length)) if length >= 8 && packet[0] == expected => return (Ok(packet[7]), now),
            Ok(Ok(_)) => {}
            Ok(Err(queued)) => {
                let error = io::Error::from_raw_os_error(queued.errno);
                return (Err(classify::unconnected(&error, Some(queued))), now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                forget_readiness(Interest::READABLE, |one, nothing| {
                    socket.try_io(one, nothing)
                });
            }
            Err(error) => return (Err(classify::unconnected(&error, None)), now),
        }
    }
}
