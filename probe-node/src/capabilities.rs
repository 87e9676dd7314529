//! What this vantage can measure.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    time::Duration,
};

use onlyhere_proto::{Family, Way, limits};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{kernel, way::SocketWay};

/// Nobody is nearer.
const LOOPBACK_WAIT: Duration = Duration::from_millis(500);

/// What can be measured here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// An IPv4 address that reaches beyond this machine.
    pub ipv4: bool,
    /// An IPv6 address that does.
    pub ipv6: bool,
    /// Echo requests without privilege.
    pub icmp: bool,
    /// The kernel tells who rejected a connection.
    pub error_queue: bool,
    /// A packet's time to live can be limited, and the kernel tells where it ended: a TTL ladder. Whether routers tell,
    /// only a ladder shows.
    pub ladder: bool,
    /// Segments can be kept small.
    pub small_segments: bool,
    /// A socket can be bound to a device, past the routing table.
    pub device: bool,
}

impl Capabilities {
    /// Tries it out; nothing leaves this machine.
    pub fn of_this_machine() -> Self {
        let echo = |domain, protocol| Socket::new(domain, Type::DGRAM, Some(protocol)).is_ok();
        let error_queue = error_queue_works([127, 0, 0, 1].into(), Family::V4)
            || error_queue_works([0, 0, 0, 0, 0, 0, 0, 1u16].into(), Family::V6);
        let connects = |way: SocketWay| connects_by(&way).is_some();
        Self {
            ipv4: kernel::has_global_address(Family::V4),
            ipv6: kernel::has_global_address(Family::V6),
            icmp: echo(Domain::IPV4, Protocol::ICMPV4) || echo(Domain::IPV6, Protocol::ICMPV6),
            error_queue,
            ladder: error_queue && connects(SocketWay::default().with_time_to_live(1)),
            small_segments: small_segments_work(),
            device: connects(SocketWay::of(&Way {
                interface: Some("lo".to_owned()),
                ..Way::default()
            })),
        }
    }
}

/// The labels of the greeting.
pub(crate) fn labels() -> Vec<String> {
    let can = Capabilities::of_this_machine();
    [
        ("ipv4", can.ipv4),
        ("ipv6", can.ipv6),
        ("icmp", can.icmp),
        ("error_queue", can.error_queue),
    ]
    .into_iter()
    .filter(|(_, can)| *can)
    .map(|(label, _)| label.to_owned())
    .collect()
}

/// Sends a datagram to a loopback port that was just closed, and looks whether the ICMP error comes back with its
/// sender.
fn error_queue_works(loopback: IpAddr, family: Family) -> bool {
    let rejected = || {
        let closed = UdpSocket::bind((loopback, 0)).ok()?.local_addr().ok()?;
        let socket = UdpSocket::bind((loopback, 0)).ok()?;
        kernel::report_errors(&socket, family, true).ok()?;
        socket.connect(closed).ok()?;
        socket.send(b"anybody?").ok()?;
        kernel::queued_error(&socket)?.icmp
    };
    rejected().is_some_and(|icmp| icmp.from == loopback)
}

/// A connection over loopback that gets on its way so, with the far end of it.
fn connects_by(way: &SocketWay) -> Option<(Socket, Socket)> {
    let loopback = Ipv4Addr::LOCALHOST;
    let listener = TcpListener::bind((loopback, 0)).ok()?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).ok()?;
    way.prepare(&socket, loopback.into()).ok()?;
    let to = listener.local_addr().ok()?;
    socket.connect_timeout(&to.into(), LOOPBACK_WAIT).ok()?;
    let (far, _) = listener.accept().ok()?;
    Some((socket, far.into()))
}

/// Whether a limit that one end sets is kept by both.
fn small_segments_work() -> bool {
    let smallest = limits::SMALLEST_SEGMENT;
    let way = SocketWay::of(&Way {
        max_segment: Some(smallest),
        ..Way::default()
    });
    connects_by(&way).is_some_and(|(near, far)| {
        let small = |end: &Socket| end.tcp_mss().is_ok_and(|bytes| bytes <= smallest.into());
        small(&near) && small(&far)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_queue_works_on_linux() {
        let can = Capabilities::of_this_machine();
        assert!(can.error_queue && can.ladder && can.small_segments && can.device);
        let (_, far) = connects_by(&SocketWay::default()).unwrap();
        assert!(far.tcp_mss().unwrap() > 1_000, "nothing is small by itself");
        assert!(labels().contains(&"error_queue".to_owned()));
    }
}
