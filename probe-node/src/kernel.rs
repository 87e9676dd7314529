//! What Linux tells an unprivileged client beyond an errno: the socket's error queue (ip(7), `IP_RECVERR`), the
//! handshake's figures (tcp(7), `TCP_INFO`), and which addresses this machine has.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use nix::{
    cmsg_space, getsockopt_impl,
    libc::{self, sock_extended_err},
    sockopt_impl,
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recv, recvmsg, setsockopt,
        sockopt,
    },
};
use onlyhere_proto::{Family, IcmpError, Micros, TcpFacts};

/// Turns the error queue of a socket on or off. It is turned off once a connection stands: afterwards an ICMP error
/// would break it that the kernel otherwise takes as a hint only.
pub(crate) fn report_errors(socket: &impl AsFd, family: Family, on: bool) -> io::Result<()> {
    match family {
        Family::V4 => setsockopt(socket, sockopt::Ipv4RecvErr, &on)?,
        Family::V6 => setsockopt(socket, sockopt::Ipv6RecvErr, &on)?,
    }
    Ok(())
}

/// One entry of an error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuedError {
    /// What the kernel made of it.
    pub(crate) errno: i32,
    /// The ICMP error behind it; none when this machine's kernel itself put it there.
    pub(crate) icmp: Option<IcmpError>,
}

/// Takes the oldest error off a socket's queue; `None` when it is empty.
pub(crate) fn queued_error(socket: &(impl AsFd + ?Sized)) -> Option<QueuedError> {
    let mut control = cmsg_space!(sock_extended_err, libc::sockaddr_in6);
    let mut payload = [0u8; 256];
    let mut slices = [IoSliceMut::new(&mut payload)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags).ok()?;
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, from) => {
            let from = from.map(|a| IpAddr::from(u32::from_be(a.sin_addr.s_addr).to_be_bytes()));
            Some(queued(&error, from))
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) => {
            let from = from.map(|a| IpAddr::from(a.sin6_addr.s6_addr).to_canonical());
            Some(queued(&error, from))
        }
        _ => None,
    })
}

/// Reads a datagram, or the error that lies in the queue instead.
///
/// # Errors
/// `WouldBlock` when there is neither, and whatever else the socket reports.
pub(crate) fn receive(
    socket: &impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Result<usize, QueuedError>> {
    let received = recv(socket.as_fd().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT);
    match (received, received.err().and_then(|_| queued_error(socket))) {
        (Ok(length), _) => Ok(Ok(length)),
        (Err(_), Some(queued)) => Ok(Err(queued)),
        (Err(errno), None) => Err(errno.into()),
    }
}

fn queued(error: &sock_extended_err, from: Option<IpAddr>) -> QueuedError {
    let by_icmp = matches!(
        error.ee_origin,
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6
    );
    let icmp = from.filter(|_| by_icmp).map(|from| IcmpError {
        icmp_type: error.ee_type,
        code: error.ee_code,
        from,
    });
    QueuedError {
        errno: error.ee_errno as i32,
        icmp,
    }
}

/// Length of the part of `struct tcp_info` that every kernel since 2.6 fills in; a longer structure would be cut short
/// by an older kernel.
const TCP_INFO_LENGTH: usize = 104;
/// Offsets in `struct tcp_info` (linux/tcp.h), bytes.
const TCPI_RTT: usize = 68;
const TCPI_TOTAL_RETRANS: usize = 100;

sockopt_impl!(
    #[doc = "The first fields of `struct tcp_info`, as bytes."]
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u8; TCP_INFO_LENGTH]
);

sockopt_impl!(
    #[doc = "The MTU of the path of a connected socket (ipv6(7))."]
    Ipv6Mtu,
    GetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU,
    libc::c_int
);

/// The MTU of the path to the peer as far as this kernel has learned it: that of the first link, or less where a router
/// has asked for less. None before a connection stands.
fn path_mtu(socket: &impl AsFd, family: Family) -> Option<u32> {
    let mtu = match family {
        Family::V4 => getsockopt(socket, sockopt::IpMtu),
        Family::V6 => getsockopt(socket, Ipv6Mtu),
    };
    u32::try_from(mtu.ok()?).ok().filter(|mtu| *mtu > 0)
}

/// Lets the port of a socket that is bound to an address be chosen at `connect`, so that as many connections leave from
/// the address as there are peers (ip(7), `IP_BIND_ADDRESS_NO_PORT`). Where that is not known, there are fewer.
pub(crate) fn choose_port_at_connect(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::IpBindAddressNoPort, &true);
}

/// The handshake's figures. Before an answer came, the round trip is unknown.
pub(crate) fn tcp_facts(socket: &impl AsFd, family: Family) -> TcpFacts {
    let Ok(info) = getsockopt(socket, TcpInfo) else {
        return TcpFacts::default();
    };
    let number = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&info[at..at + 4]);
        u32::from_ne_bytes(bytes)
    };
    let round_trip = Duration::from_micros(number(TCPI_RTT).into());
    TcpFacts {
        syn_retransmits: Some(number(TCPI_TOTAL_RETRANS).try_into().unwrap_or(u8::MAX)),
        round_trip_ms: (!round_trip.is_zero()).then(|| Micros::from(round_trip)),
        path_mtu: path_mtu(socket, family),
        ..TcpFacts::default()
    }
}

/// The local address from which packets to `to` leave; no packet is sent.
pub(crate) fn source_towards(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    // Port 0 cannot be connected to; any other does.
    let port = if to.port() == 0 { 9 } else { to.port() };
    socket.connect((to.ip(), port)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

/// Whether some interface has an address of the family that reaches beyond this machine and its link.
pub(crate) fn has_global_address(family: Family) -> bool {
    addresses(None).any(|address| Family::of(address) == family && reaches_beyond_the_link(address))
}

/// Whether a device has an address of the family to send from. Where it has none, the kernel would send with that of
/// another device, and nobody could answer.
pub(crate) fn device_can_send(device: &str, family: Family) -> bool {
    let beyond = |address: IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    addresses(Some(device)).any(|address| Family::of(address) == family && beyond(address))
}

/// Addresses of this machine, or of one of its devices.
fn addresses(device: Option<&str>) -> impl Iterator<Item = IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().ok();
    interfaces
        .into_iter()
        .flatten()
        .filter(move |interface| device.is_none_or(|device| interface.interface_name == device))
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            address
                .as_sockaddr_in()
                .map(|v4| IpAddr::V4(v4.ip()))
                .or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
}

fn reaches_beyond_the_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => {
            !v6.is_loopback()
                && !v6.is_unicast_link_local()
                && !v6.is_unique_local()
                && !v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn an_icmp_error_comes_with_type_code_and_sender() {
        // A port that was just closed: the loopback interface answers a datagram with ICMP port-unreachable.
        for (any, family, kind) in [
            ("127.0.0.1:0", Family::V4, (3, 3)),
            ("[::1]:0", Family::V6, (1, 4)),
        ] {
            let closed = UdpSocket::bind(any).unwrap().local_addr().unwrap();
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(closed).unwrap();
            assert_eq!(queued_error(&socket), None);
            report_errors(&socket, family, true).unwrap();
            socket.send(b"anybody?").unwrap();
            let error = queued_error(&socket).expect("an entry in the queue");
            assert_eq!(error.errno, libc::ECONNREFUSED);
            let icmp = error.icmp.unwrap();
            assert_eq!((icmp.icmp_type, icmp.code), kind);
            assert_eq!(icmp.from, closed.ip());
            assert_eq!(queued_error(&socket), None);
        }
    }

    #[test]
    fn a_connection_has_a_round_trip_and_no_retransmits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let facts = tcp_facts(&stream, Family::V4);
        assert_eq!(facts.syn_retransmits, Some(0));
        let round_trip = facts.round_trip_ms.expect("a round trip").0;
        assert!((1..1_000_000).contains(&round_trip), "{round_trip}");
        // What the loopback device is set to, and no more than IPv4 can say.
        let device = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap();
        let device: u32 = device.trim().parse().unwrap();
        assert_eq!(facts.path_mtu, Some(device.min(65_535)));
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let facts = tcp_facts(&stream, Family::V6);
        assert_eq!(facts.path_mtu, Some(device));
    }

    #[test]
    fn the_source_of_loopback_is_loopback() {
        let source = source_towards("127.0.0.1:0".parse().unwrap());
        assert_eq!(source, Some("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn addresses_of_the_link_reach_nobody_else() {
        for (text, beyond) in [
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("192.168.1.2", true),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(
                reaches_beyond_the_link(text.parse().unwrap()),
                beyond,
                "{text}"
            );
        }
    }
}
