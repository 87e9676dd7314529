//! Signs: what one attempt came to, reduced to the alphabet that the likelihood tables are written in.
//!
//! A sign has a [`Kind`] (what happened) and, for refusals, an [`Origin`] (where on the way it was made). The origin
//! of an ICMP error is its sender's address, and exact; that of a TCP reset is guessed from its time relative to the
//! host's round trip, because a reset carries the target's address whoever made it.

use std::net::IpAddr;

use crate::case::is_private_address;
use onlyhere_proto::{
    CertificateError, Facts, Mechanism, Observation, Outcome, SaidBy, Stage, special_range,
};

/// What happened to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// It worked as deep as it was asked.
    Ok,
    /// A reset answered the SYN.
    Rst,
    /// ICMP port-unreachable: a rule, for no kernel answers a closed TCP port so.
    PortUnreachable,
    /// ICMP prohibited, or an own rule.
    Prohibited,
    /// ICMP net- or host-unreachable.
    Unreachable,
    /// Silence.
    Timeout,
    /// Opened, then silence.
    Stalled,
    /// Opened, then reset or closed.
    Reset,
    /// A certificate outside its days.
    TlsExpired,
    /// A certificate for other names.
    TlsName,
    /// A certificate signed by nobody trusted.
    TlsUntrusted,
    /// Any other failure of the handshake.
    TlsOther,
    /// HTTP 401, 403 and the like: somebody does not want this caller.
    HttpDenied,
    /// HTTP 451: for legal reasons, which are those of a country.
    HttpUnlawful,
    /// HTTP 429.
    HttpLimited,
    /// HTTP 5xx.
    HttpServer,
    /// Any other HTTP status of 400 or more.
    HttpOther,
}

/// How many kinds there are.
pub(crate) const KINDS: usize = 17;

/// Every kind, in declaration order.
pub(crate) const ALL_KINDS: [Kind; KINDS] = [
    Kind::Ok,
    Kind::Rst,
    Kind::PortUnreachable,
    Kind::Prohibited,
    Kind::Unreachable,
    Kind::Timeout,
    Kind::Stalled,
    Kind::Reset,
    Kind::TlsExpired,
    Kind::TlsName,
    Kind::TlsUntrusted,
    Kind::TlsOther,
    Kind::HttpDenied,
    Kind::HttpUnlawful,
    Kind::HttpLimited,
    Kind::HttpServer,
    Kind::HttpOther,
];

impl Kind {
    /// The shallowest depth at which an attempt can meet this.
    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::Ok
            | Self::Rst
            | Self::PortUnreachable
            | Self::Prohibited
            | Self::Unreachable
            | Self::Timeout => Stage::Tcp,
            Self::TlsExpired | Self::TlsName | Self::TlsUntrusted | Self::TlsOther => Stage::Tls,
            Self::Stalled | Self::Reset => Stage::Tls,
            Self::HttpDenied
            | Self::HttpUnlawful
            | Self::HttpLimited
            | Self::HttpServer
            | Self::HttpOther => Stage::Http,
        }
    }

    /// How it shows in a report.
    pub(crate) const fn mechanism(self) -> Mechanism {
        match self {
            Self::Ok => Mechanism::None,
            Self::Rst | Self::PortUnreachable => Mechanism::Refused,
            Self::Prohibited | Self::Unreachable => Mechanism::Unreachable,
            Self::Timeout | Self::Stalled => Mechanism::Timeout,
            Self::Reset => Mechanism::Reset,
            Self::TlsExpired | Self::TlsName | Self::TlsUntrusted | Self::TlsOther => {
                Mechanism::Tls
            }
            Self::HttpDenied
            | Self::HttpUnlawful
            | Self::HttpLimited
            | Self::HttpServer
            | Self::HttpOther => Mechanism::Http,
        }
    }

    /// Whether an ICMP error, or the own kernel in its stead, said so.
    pub(crate) const fn is_icmp(self) -> bool {
        matches!(
            self,
            Self::PortUnreachable | Self::Prohibited | Self::Unreachable
        )
    }
}

/// A place on the way where a refusal can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// The vantage's own machine.
    Own,
    /// Its own network: the gateway, the office's filter.
    Near,
    /// A network in between.
    Middle,
    /// In front of the target, in its network.
    Edge,
    /// The target itself.
    Server,
}

/// How far a ladder's packets come, by who stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reach {
    /// No hop answers.
    Nowhere,
    /// The own network's.
    Home,
    /// The own provider's.
    Provider,
    /// Another network's, or nobody can tell whose.
    Between,
    /// The target's edge.
    Edge,
    /// The target.
    Target,
}

/// How many there are.
pub(crate) const REACHES: usize = 6;

/// How many places there are.
pub(crate) const PLACES: usize = 5;

/// Where a refusal was made, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    /// The ICMP error's sender is known.
    Exact(Place),
    /// Much faster than the host can answer, and under 0.2 ms.
    AtOnce,
    /// Much faster than the host can answer.
    Close,
    /// Faster than the host can answer.
    Between,
    /// As slow as the host's own answer.
    Far,
    /// Much faster than anything outside answers; the host's own round trip is not known.
    PerhapsClose,
    /// About as slow as things outside answer; the host's own round trip is not known.
    PerhapsFar,
    /// Not known, or not applicable.
    Unknown,
}

/// Kind and origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sign {
    /// What happened.
    pub(crate) kind: Kind,
    /// Where it was made.
    pub(crate) origin: Origin,
}

/// The kind of an observation; `None` when it says nothing about the target.
pub(crate) fn kind_of(observation: &Observation) -> Option<Kind> {
    Some(match (observation.stage, observation.outcome) {
        (_, Outcome::NotMeasured) | (Stage::Dns, _) => return None,
        (_, Outcome::Ok) => Kind::Ok,
        (Stage::Tls | Stage::Http, Outcome::Timeout) => Kind::Stalled,
        (_, Outcome::Timeout) => Kind::Timeout,
        (_, Outcome::Unreachable) => Kind::Unreachable,
        (_, Outcome::Denied) => Kind::Prohibited,
        (Stage::Tcp, Outcome::Refused) => match observation.said_by {
            Some(SaidBy::Icmp { .. }) => Kind::PortUnreachable,
            _ => Kind::Rst,
        },
        (Stage::Icmp, Outcome::Refused) => Kind::PortUnreachable,
        (_, Outcome::Refused | Outcome::Reset | Outcome::Closed) => Kind::Reset,
        (_, Outcome::BadCertificate) => certificate_kind(observation),
        (_, Outcome::TlsAlert) => Kind::TlsOther,
        (_, Outcome::HttpStatus) => http_kind(observation),
        (_, Outcome::Nxdomain | Outcome::Servfail | Outcome::NoAnswer) => return None,
    })
}

fn certificate_kind(observation: &Observation) -> Kind {
    let error = match &observation.facts {
        Some(Facts::Tls(tls)) => tls.error,
        _ => None,
    };
    match error {
        Some(CertificateError::Expired | CertificateError::NotYetValid) => Kind::TlsExpired,
        Some(CertificateError::NameMismatch) => Kind::TlsName,
        Some(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Kind::TlsUntrusted
        }
        _ => Kind::TlsOther,
    }
}

fn http_kind(observation: &Observation) -> Kind {
    let status = match &observation.facts {
        Some(Facts::Http(http)) => http.status,
        _ => 0,
    };
    match status {
        401 | 403 | 406 => Kind::HttpDenied,
        451 => Kind::HttpUnlawful,
        429 => Kind::HttpLimited,
        500.. => Kind::HttpServer,
        _ => Kind::HttpOther,
    }
}

/// Fractions of the host's round trip below which a reset was made nearby, and on the way.
const CLOSE: f64 = 0.25;
const BETWEEN: f64 = 0.75;
/// Round trips shorter than this tell nothing about distance, microseconds.
const SHORTEST_TRIP: f64 = 1_500.0;
/// Faster than any gateway behind a real wire, microseconds.
const AT_ONCE: f64 = 200.0;

/// Round trips that a refusal's time is compared with, microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Distance {
    /// To the host.
    pub(crate) host: Option<f64>,
    /// The shortest to anything outside: what the own line takes at least.
    pub(crate) outside: Option<f64>,
}

/// Where a refusal was made. `gateway` is an address known to be the vantage's own network's.
pub(crate) fn origin_of(
    observation: &Observation,
    kind: Kind,
    distance: Distance,
    gateway: Option<IpAddr>,
) -> Origin {
    match observation.said_by {
        Some(SaidBy::Icmp { icmp }) if kind.is_icmp() => {
            Origin::Exact(place_of(icmp.from, observation, distance.host, gateway))
        }
        Some(SaidBy::Kernel) if kind.is_icmp() => Origin::Exact(Place::Own),
        _ if kind == Kind::Rst => origin_by_time(observation.elapsed_ms.0 as f64, distance),
        _ => Origin::Unknown,
    }
}

fn origin_by_time(elapsed: f64, distance: Distance) -> Origin {
    let Some(trip) = distance.host.filter(|trip| *trip >= SHORTEST_TRIP) else {
        return match distance.outside.filter(|trip| *trip >= SHORTEST_TRIP) {
            Some(trip) if elapsed / trip < CLOSE => Origin::PerhapsClose,
            Some(_) => Origin::PerhapsFar,
            None => Origin::Unknown,
        };
    };
    match elapsed / trip {
        ratio if ratio >= BETWEEN => Origin::Far,
        ratio if ratio >= CLOSE => Origin::Between,
        _ if elapsed < AT_ONCE => Origin::AtOnce,
        _ => Origin::Close,
    }
}

/// Who an ICMP sender is, seen from the vantage.
///
/// A router of the same public IPv4 /24 is the provider's, not the vantage's own; one of the same IPv6 /64 is the
/// vantage's own, because a home's prefix is not shared.
fn place_of(
    sender: IpAddr,
    observation: &Observation,
    round_trip: Option<f64>,
    gateway: Option<IpAddr>,
) -> Place {
    let Some(source) = observation.source else {
        return match observation.address {
            Some(address) if address == sender => Place::Server,
            _ if is_private_address(sender) => Place::Near,
            _ => Place::Middle,
        };
    };
    if sender == source || sender.is_loopback() {
        return Place::Own;
    }
    if Some(sender) == observation.address {
        return Place::Server;
    }
    let early = round_trip.is_none_or(|trip| (observation.elapsed_ms.0 as f64) < trip * CLOSE);
    let own_range = same_lan(source, sender) && (sender.is_ipv6() || is_private_address(sender));
    if Some(sender) == gateway || own_range || (is_private_address(sender) && early) {
        Place::Near
    } else if observation
        .address
        .is_some_and(|address| same_site(address, sender))
    {
        Place::Edge
    } else {
        Place::Middle
    }
}

/// Where a router stands that answered a rung of the ladder. `own` is the vantage's public address: routers of the same
/// IPv4 /16 or IPv6 /32 are its provider's, as prefixes are commonly given out.
pub(crate) fn reach_of_hop(hop: IpAddr, target: IpAddr, own: Option<IpAddr>) -> Reach {
    let own_line = own.is_some_and(|own| own == hop || (own.is_ipv6() && same_lan(own, hop)));
    let shared = special_range(hop) == Some("carrier-grade NAT");
    if hop == target {
        Reach::Target
    } else if own_line || (is_private_address(hop) && !shared) {
        Reach::Home
    } else if same_site(hop, target) {
        Reach::Edge
    } else if shared || own.is_some_and(|own| same_provider(own, hop)) {
        Reach::Provider
    } else {
        Reach::Between
    }
}

/// One IPv4 /16, or one IPv6 /32.
fn same_provider(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..2] == b.octets()[..2],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..2] == b.segments()[..2],
        _ => false,
    }
}

/// One IPv4 /24, or one IPv6 /64.
fn same_lan(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..4] == b.segments()[..4],
        _ => false,
    }
}

/// One IPv4 /24, or one IPv6 /48: what one site is commonly given.
fn same_site(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(_), IpAddr::V4(_)) => same_lan(a, b),
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..3] == b.segments()[..3],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::{
        Family, IcmpError, Micros, Observation, Outcome, Purpose, SaidBy, Stage, Timestamp,
    };

    use super::*;

    fn refused(elapsed_ms: f64, said_by: SaidBy, v4: bool) -> Observation {
        let (source, address): (IpAddr, IpAddr) = if v4 {
            (
                "192.168.77.10".parse().unwrap(),
                "198.18.1.10".parse().unwrap(),
            )
        } else {
            (
                "2001:db8:3:101::10".parse().unwrap(),
                "2001:db8:1::10".parse().unwrap(),
            )
        };
        Observation {
            check: "01JD0000000000000000000000".parse().unwrap(),
            request: 1,
            sequence: 0,
            vantage: "you".parse().unwrap(),
            purpose: Purpose::Target,
            stage: Stage::Tcp,
            host: "shop.example".into(),
            source: Some(source),
            address: Some(address),
            port: Some(443),
            family: Some(Family::of(address)),
            started_at: Timestamp(0),
            elapsed_ms: Micros((elapsed_ms * 1_000.0) as u64),
            slot: 0,
            outcome: Outcome::Refused,
            said_by: Some(said_by),
            detail: None,
            facts: None,
        }
    }

    fn icmp(from: &str) -> SaidBy {
        let from: IpAddr = from.parse().unwrap();
        let (icmp_type, code) = if from.is_ipv4() { (3, 3) } else { (1, 4) };
        SaidBy::Icmp {
            icmp: IcmpError {
                icmp_type,
                code,
                from,
            },
        }
    }

    #[test]
    fn the_sender_of_an_icmp_error_is_placed() {
        for (from, ms, place) in [
            ("192.168.77.10", 0.1, Place::Own),
            ("127.0.0.1", 0.1, Place::Own),
            ("192.168.77.1", 0.4, Place::Near),
            ("10.3.0.1", 0.9, Place::Near),
            ("10.3.0.1", 12.0, Place::Middle),
            ("198.18.3.20", 0.5, Place::Near),
            ("198.18.3.1", 12.0, Place::Middle),
            ("198.18.1.1", 33.0, Place::Edge),
            ("198.18.1.10", 34.0, Place::Server),
            ("2001:db8:3:101::10", 0.1, Place::Own),
            ("2001:db8:3:101::1", 0.4, Place::Near),
            ("fe80::1", 0.4, Place::Near),
            ("2001:db8:3::1", 12.0, Place::Middle),
            ("2001:db8:1::1", 33.0, Place::Edge),
            ("2001:db8:1::10", 34.0, Place::Server),
        ] {
            let observation = refused(ms, icmp(from), !from.contains(':'));
            let distance = Distance {
                host: Some(34_000.0),
                outside: None,
            };
            let kind = kind_of(&observation).unwrap();
            assert_eq!(kind, Kind::PortUnreachable);
            assert_eq!(
                origin_of(
                    &observation,
                    kind,
                    distance,
                    Some("198.18.3.20".parse().unwrap())
                ),
                Origin::Exact(place),
                "{from}"
            );
        }
    }

    #[test]
    fn the_time_of_a_reset_places_it() {
        let at = |ms: f64, host: Option<f64>, outside: Option<f64>| {
            let observation = refused(ms, SaidBy::Rst, true);
            let distance = Distance {
                host: host.map(|ms| ms * 1_000.0),
                outside: outside.map(|ms| ms * 1_000.0),
            };
            origin_of(&observation, Kind::Rst, distance, None)
        };
        assert_eq!(at(0.08, Some(71.0), None), Origin::AtOnce);
        assert_eq!(at(0.9, Some(34.0), None), Origin::Close);
        assert_eq!(at(12.0, Some(34.0), None), Origin::Between);
        assert_eq!(at(33.0, Some(34.0), None), Origin::Far);
        // A loaded machine is late, and so is its echo: only the ratio counts.
        assert_eq!(at(45.0, Some(34.0), None), Origin::Far);
        assert_eq!(
            at(0.08, Some(0.4), None),
            Origin::Unknown,
            "too near to tell"
        );
        assert_eq!(at(0.9, None, Some(20.0)), Origin::PerhapsClose);
        assert_eq!(at(30.0, None, Some(20.0)), Origin::PerhapsFar);
        assert_eq!(at(30.0, None, None), Origin::Unknown);
    }
}
