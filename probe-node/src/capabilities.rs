//! What this vantage can measure.

use std::net::{IpAddr, UdpSocket};

use onlyhere_proto::Family;
use socket2::{Domain, Protocol, Socket, Type};

use crate::kernel;

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
}

impl Capabilities {
    /// Tries it out; nothing leaves this machine.
    pub fn of_this_machine() -> Self {
        let echo = |domain, protocol| Socket::new(domain, Type::DGRAM, Some(protocol)).is_ok();
        Self {
            ipv4: kernel::has_global_address(Family::V4),
            ipv6: kernel::has_global_address(Family::V6),
            icmp: echo(Domain::IPV4, Protocol::ICMPV4) || echo(Domain::IPV6, Protocol::ICMPV6),
            error_queue: error_queue_works([127, 0, 0, 1].into(), Family::V4)
                || error_queue_works([0, 0, 0, 0, 0, 0, 0, 1u16].into(), Family::V6),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_queue_works_on_linux() {
        assert!(Capabilities::of_this_machine().error_queue);
        assert!(labels().contains(&"error_queue".to_owned()));
    }
}
