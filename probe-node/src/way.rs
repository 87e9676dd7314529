//! Ways to a target that differ from the ordinary one: another source address, a device past the routing table, small
//! segments, a short time to live.
//!
//! What this machine cannot do is its own lack: it is said with its reason, and never counts against the target.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::errno::Errno;
use onlyhere_proto::{CheckRequest, Family, Outcome, Purpose, SaidBy, Way};
use socket2::{SockAddr, Socket, Type};

use crate::{classify::Failure, kernel, prober::ProberSettings};

/// May this request's way be gone from here at all? Asked before anything is resolved or sent.
///
/// Proxies and devices are those of a caller's own machine; a vantage that works for others goes through neither. It
/// tries from no address but those that its owner names.
///
/// # Errors
/// The reason, in one sentence.
pub(crate) fn judge(request: &CheckRequest, settings: &ProberSettings) -> Result<(), String> {
    let (way, for_others) = (&request.way, !settings.guard.is_open());
    let missing = |what| Err(format!("the request names no {what}"));
    match request.purpose {
        Purpose::Ladder if way.hops.is_none() => return missing("number of hops"),
        Purpose::Source if way.source.is_none() => return missing("source address"),
        Purpose::SmallSegments if way.max_segment.is_none() => return missing("segment size"),
        Purpose::ThroughProxy if way.proxy.is_none() => return missing("proxy"),
        _ => {}
    }
    if for_others && (way.proxy.is_some() || request.purpose == Purpose::ThroughProxy) {
        return Err("only a caller's own machine goes through its proxy".to_owned());
    }
    if for_others && (way.interface.is_some() || request.purpose == Purpose::Direct) {
        return Err("only a caller's own machine goes past its tunnel or proxy".to_owned());
    }
    match way.source {
        Some(source) if for_others && !settings.source_addresses.contains(&source) => Err(format!(
            "{source} is not among the addresses that this vantage's owner lets it try from"
        )),
        _ => Ok(()),
    }
}

/// Whether an address is one of this machine's, so that a socket can be bound to it.
pub(crate) fn is_own(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && UdpSocket::bind((address, 0)).is_ok()
}

/// How one socket gets on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SocketWay {
    source: Option<IpAddr>,
    interface: Option<String>,
    max_segment: Option<u16>,
    /// Of every packet sent.
    time_to_live: Option<u8>,
}

impl SocketWay {
    /// What of a request's way concerns a socket.
    pub(crate) fn of(way: &Way) -> Self {
        Self {
            source: way.source,
            interface: way.interface.clone(),
            max_segment: way.max_segment,
            time_to_live: None,
        }
    }

    /// The same, for a rung of the ladder.
    pub(crate) fn with_time_to_live(mut self, hops: u8) -> Self {
        self.time_to_live = Some(hops);
        self
    }

    /// The time to live, where it is limited.
    pub(crate) fn hop(&self) -> Option<u8> {
        self.time_to_live
    }

    /// The source address, where one is named.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Prepares a socket that is not connected yet.
    ///
    /// # Errors
    /// What this machine, its kernel or this user's rights do not allow: [`Outcome::NotMeasured`].
    pub(crate) fn prepare(&self, socket: &Socket, to: IpAddr) -> Result<(), Failure> {
        if let Some(device) = &self.interface {
            bind_device(socket, device, to)?;
        }
        if let Some(source) = self.source {
            bind_source(socket, source, to)?;
        }
        let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
        if let Some(bytes) = self.max_segment.filter(|_| is_stream) {
            // Before `connect`: our SYN then tells the peer as well (tcp(7), `TCP_MAXSEG`).
            let set = socket.set_tcp_mss(bytes.into());
            set.map_err(|error| {
                Failure::not_measured(format!(
                    "this kernel refuses segments of {bytes} bytes: {error}"
                ))
            })?;
        }
        if let Some(hops) = self.time_to_live {
            let set = match to {
                IpAddr::V4(_) => socket.set_ttl_v4(hops.into()),
                IpAddr::V6(_) => socket.set_unicast_hops_v6(hops.into()),
            };
            set.map_err(|error| {
                Failure::not_measured(format!(
                    "this kernel refuses a time to live of {hops}: {error}"
                ))
            })?;
        }
        Ok(())
    }

    /// Where the way itself leads nowhere, that says nothing about the target.
    pub(crate) fn own_lack(&self, failure: Failure) -> Failure {
        let by_kernel = failure.said_by == Some(SaidBy::Kernel);
        if !by_kernel || failure.outcome != Outcome::Unreachable {
            return failure;
        }
        let why = failure.detail.unwrap_or_default();
        match (&self.interface, self.source) {
            (Some(device), _) => {
                Failure::not_measured(format!("no way leads there through {device}: {why}"))
            }
            (None, Some(source)) => {
                Failure::not_measured(format!("no way leads there from {source}: {why}"))
            }
            (None, None) => Failure {
                detail: Some(why),
                ..failure
            },
        }
    }
}

fn bind_device(socket: &Socket, device: &str, to: IpAddr) -> Result<(), Failure> {
    let bound = socket.bind_device(Some(device.as_bytes()));
    bound.map_err(|error| {
        Failure::not_measured(match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM | Errno::EACCES) => {
                format!("this user may not send through a device of its choice ({device})")
            }
            Some(Errno::ENODEV) => format!("there is no device {device} here"),
            _ => format!("it cannot be sent through the device {device}: {error}"),
        })
    })?;
    let family = Family::of(to);
    if to.is_loopback() || kernel::device_can_send(device, family) {
        Ok(())
    } else {
        Err(Failure::not_measured(format!(
            "the device {device} has no {family} address to send from"
        )))
    }
}

fn bind_source(socket: &Socket, source: IpAddr, to: IpAddr) -> Result<(), Failure> {
    if source.is_ipv4() != to.is_ipv4() {
        return Err(Failure::not_measured(format!(
            "{source} and {to} are not of one family"
        )));
    }
    if source.is_loopback() && !to.is_loopback() {
        return Err(Failure::not_measured(format!(
            "from {source} nobody but this machine is reached"
        )));
    }
    kernel::choose_port_at_connect(socket);
    let at = SockAddr::from(SocketAddr::new(source, 0));
    socket.bind(&at).map_err(|error| {
        Failure::not_measured(match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EADDRNOTAVAIL) => format!("{source} is none of this machine's addresses"),
            _ => format!("it cannot be tried from {source}: {error}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::{Stage, Target};
    use socket2::{Domain, Protocol};

    use super::*;
    use crate::Guard;

    fn settings(guard: Guard) -> ProberSettings {
        ProberSettings {
            source_addresses: vec![[192, 0, 2, 7].into()],
            ..ProberSettings::of_this_system(guard)
        }
    }

    fn request(purpose: Purpose, way: Way) -> CheckRequest {
        let target = Target::parse("https://shop.example").unwrap();
        CheckRequest {
            check: "01JD0000000000000000000000".parse().unwrap(),
            request: 1,
            purpose,
            target,
            addresses: Vec::new(),
            depth: Stage::Tls,
            ping: false,
            resolvers: Vec::new(),
            deadline: onlyhere_proto::limits::DEADLINE,
            attempt_timeout: onlyhere_proto::limits::ATTEMPT_TIMEOUT,
            max_connections: 1,
            slot: 0,
            way,
            authoritative: false,
        }
    }

    #[test]
    fn a_vantage_of_others_goes_neither_through_proxies_nor_devices_nor_from_anywhere() {
        let (others, own) = (
            settings(Guard::for_probe(Vec::new(), Vec::new())),
            settings(Guard::open()),
        );
        let proxy = Way {
            proxy: Some("http://192.0.2.1:3128".to_owned()),
            ..Way::default()
        };
        let device = Way {
            interface: Some("eth0".to_owned()),
            ..Way::default()
        };
        let from = |source: [u8; 4]| Way {
            source: Some(source.into()),
            ..Way::default()
        };
        for (purpose, way, says) in [
            (Purpose::ThroughProxy, proxy.clone(), Some("its proxy")),
            // Whatever it is called.
            (Purpose::Target, proxy, Some("its proxy")),
            (Purpose::Direct, device.clone(), Some("its tunnel")),
            (Purpose::Target, device, Some("its tunnel")),
            (Purpose::Direct, Way::default(), Some("its tunnel")),
            (Purpose::Source, from([192, 0, 2, 8]), Some("owner lets it")),
            (Purpose::Source, from([192, 0, 2, 7]), None),
            (Purpose::Target, Way::default(), None),
        ] {
            let request = request(purpose, way);
            let judged = judge(&request, &others).err();
            match says {
                Some(says) => assert!(judged.unwrap().contains(says), "{purpose}"),
                None => assert_eq!(judged, None, "{purpose}"),
            }
            assert_eq!(judge(&request, &own), Ok(()), "{purpose}");
        }
    }

    #[test]
    fn a_way_that_is_not_named_cannot_be_gone() {
        for purpose in [
            Purpose::Ladder,
            Purpose::Source,
            Purpose::SmallSegments,
            Purpose::ThroughProxy,
        ] {
            let request = request(purpose, Way::default());
            let why = judge(&request, &settings(Guard::open())).unwrap_err();
            assert!(why.starts_with("the request names no "), "{why}");
        }
    }

    #[test]
    fn what_this_machine_does_not_have_is_its_own_lack() {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let to: IpAddr = [192, 0, 2, 1].into();
        let of = |way: Way| SocketWay::of(&way);
        for (way, says) in [
            (
                of(Way {
                    source: Some([192, 0, 2, 250].into()),
                    ..Way::default()
                }),
                "192.0.2.250 is none of this machine's addresses",
            ),
            (
                of(Way {
                    source: Some("2001:db8::1".parse().unwrap()),
                    ..Way::default()
                }),
                "not of one family",
            ),
            (
                of(Way {
                    source: Some([127, 0, 0, 1].into()),
                    ..Way::default()
                }),
                "nobody but this machine",
            ),
            (
                of(Way {
                    interface: Some("nowhere0".to_owned()),
                    ..Way::default()
                }),
                "there is no device nowhere0 here",
            ),
        ] {
            let failure = way.prepare(&socket(), to).unwrap_err();
            assert_eq!(failure.outcome, Outcome::NotMeasured);
            assert!(
                failure.detail.as_ref().unwrap().contains(says),
                "{failure:?}"
            );
        }
        assert!(is_own([127, 0, 0, 1].into()));
        assert!(!is_own([192, 0, 2, 250].into()));
        assert!(!is_own([0, 0, 0, 0].into()) && !is_own([224, 0, 0, 1].into()));
    }
}
