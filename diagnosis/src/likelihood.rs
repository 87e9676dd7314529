//! Likelihood tables as data, and the probability of one piece of an observation under a row.
//!
//! A row is a distribution over kinds together with one over places (where a refusal is made). Every row is mixed with
//! [`NOISE`], so no single observation can rule a hypothesis out.

use onlyhere_proto::Stage;

use crate::resolution::{RESOLUTIONS, Resolution};
use crate::sign::{ALL_KINDS, KINDS, Kind, Origin, PLACES, Place, REACHES, Sign};

/// How often something else than any row happens.
pub(crate) const NOISE: f64 = 0.05;

/// What then happens.
const NOISE_ROW: [f64; KINDS] = weights(&[
    (Kind::Timeout, 0.40),
    (Kind::Stalled, 0.08),
    (Kind::Ok, 0.18),
    (Kind::Rst, 0.09),
    (Kind::Reset, 0.08),
    (Kind::HttpServer, 0.03),
    (Kind::HttpDenied, 0.014),
    (Kind::HttpUnlawful, 0.001),
    (Kind::HttpLimited, 0.01),
    (Kind::HttpOther, 0.01),
    (Kind::PortUnreachable, 0.01),
    (Kind::Prohibited, 0.01),
    (Kind::Unreachable, 0.04),
    (Kind::TlsOther, 0.03),
    (Kind::TlsExpired, 0.005),
    (Kind::TlsName, 0.005),
    (Kind::TlsUntrusted, 0.005),
]);

/// A distribution over kinds and, for refusals, over places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    kinds: [f64; KINDS],
    places: [f64; PLACES],
}

impl Row {
    /// From weights that add up to one.
    pub(crate) const fn new(kinds: &[(Kind, f64)], places: &[(Place, f64)]) -> Self {
        let mut row = [0.0; PLACES];
        let mut i = 0;
        while i < places.len() {
            row[places[i].0 as usize] += places[i].1;
            i += 1;
        }
        Self {
            kinds: weights(kinds),
            places: row,
        }
    }

    /// `share` of this row, the rest healthy: a fault that strikes some attempts only.
    pub(crate) fn diluted(mut self, share: f64) -> Self {
        for weight in &mut self.kinds {
            *weight *= share;
        }
        self.kinds[Kind::Ok as usize] += 1.0 - share;
        self
    }

    /// Probability of a sign at an attempt of this depth, noise included.
    pub(crate) fn probability(&self, sign: Sign, depth: Stage) -> f64 {
        (1.0 - NOISE) * at_depth(&self.kinds, sign.kind, depth) * origin(sign.origin, &self.places)
            + NOISE * at_depth(&NOISE_ROW, sign.kind, depth) * origin(sign.origin, &ANYWHERE)
    }

    /// Probability of a kind alone, wherever and however deep.
    pub(crate) fn kind(&self, kind: Kind) -> f64 {
        let sign = Sign {
            kind,
            origin: Origin::Unknown,
        };
        self.probability(sign, Stage::Http)
    }

    /// Probability that an attempt of this depth works, noise included.
    pub(crate) fn ok(&self, depth: Stage) -> f64 {
        let sign = Sign {
            kind: Kind::Ok,
            origin: Origin::Unknown,
        };
        self.probability(sign, depth)
    }
}

const ANYWHERE: [f64; PLACES] = [1.0 / PLACES as f64; PLACES];

const fn weights(list: &[(Kind, f64)]) -> [f64; KINDS] {
    let mut row = [0.0; KINDS];
    let mut i = 0;
    while i < list.len() {
        row[list[i].0 as usize] += list[i].1;
        i += 1;
    }
    row
}

/// An attempt that stops early cannot meet a fault that lies deeper: that mass belongs to `Ok`.
fn at_depth(row: &[f64; KINDS], kind: Kind, depth: Stage) -> f64 {
    if kind != Kind::Ok {
        return row[kind as usize];
    }
    ALL_KINDS
        .iter()
        .filter(|k| **k == Kind::Ok || (depth < k.stage() && depth != Stage::Icmp))
        .map(|k| row[*k as usize])
        .sum()
}

/// Probability of an origin given where refusals are made.
///
/// The sender of an ICMP error is exact (2 % are set aside for routers that answer from an odd address). A reset's
/// time is a guess: a loaded machine is late, a short way looks like none. Columns: own, near, middle, edge, server.
fn origin(origin: Origin, places: &[f64; PLACES]) -> f64 {
    const AT_ONCE: [f64; PLACES] = [0.80, 0.25, 0.005, 0.0005, 0.0005];
    const CLOSE: [f64; PLACES] = [0.17, 0.70, 0.10, 0.0045, 0.0045];
    const BETWEEN: [f64; PLACES] = [0.02, 0.04, 0.745, 0.10, 0.06];
    const FAR: [f64; PLACES] = [0.01, 0.01, 0.15, 0.895, 0.935];
    // A host may be nearer than anything else that was timed, so these say less.
    const PERHAPS_CLOSE: [f64; PLACES] = [0.90, 0.85, 0.25, 0.08, 0.08];
    const PERHAPS_FAR: [f64; PLACES] = [0.10, 0.15, 0.75, 0.92, 0.92];
    let table = match origin {
        Origin::Unknown => return 1.0,
        Origin::Exact(place) => return 0.98 * places[place as usize] + 0.02 / PLACES as f64,
        Origin::AtOnce => &AT_ONCE,
        Origin::Close => &CLOSE,
        Origin::Between => &BETWEEN,
        Origin::Far => &FAR,
        Origin::PerhapsClose => &PERHAPS_CLOSE,
        Origin::PerhapsFar => &PERHAPS_FAR,
    };
    table.iter().zip(places).map(|(a, b)| a * b).sum()
}

/// What a resolver says of a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DnsRow([f64; RESOLUTIONS]);

impl DnsRow {
    /// Weights in the order answer, missing, empty, failed, refused, silent; they add up to one.
    pub(crate) const fn new(weights: [f64; RESOLUTIONS]) -> Self {
        Self(weights)
    }

    /// Probability of a resolution.
    pub(crate) fn probability(&self, resolution: Resolution) -> f64 {
        const ODD: [f64; RESOLUTIONS] = [0.3, 0.1, 0.05, 0.2, 0.1, 0.25];
        0.99 * self.0[resolution as usize] + 0.01 * ODD[resolution as usize]
    }
}

/// Nothing is wrong with the name.
pub(crate) const RESOLVES: DnsRow = DnsRow::new([0.988, 0.002, 0.001, 0.004, 0.002, 0.003]);
/// The name is not there.
pub(crate) const NAME_MISSING: DnsRow = DnsRow::new([0.01, 0.84, 0.14, 0.005, 0.0, 0.005]);
/// The zone's servers fail.
pub(crate) const ZONE_BROKEN: DnsRow = DnsRow::new([0.02, 0.0, 0.0, 0.72, 0.06, 0.20]);
/// The vantage's own resolver does not answer, or not usefully.
pub(crate) const RESOLVER_DEAD: DnsRow = DnsRow::new([0.02, 0.03, 0.01, 0.30, 0.14, 0.50]);
/// The vantage's own resolver filters the name.
pub(crate) const RESOLVER_FILTERS: DnsRow = DnsRow::new([0.02, 0.56, 0.08, 0.16, 0.16, 0.02]);
/// No packet leaves the place.
pub(crate) const NO_NETWORK: DnsRow = DnsRow::new([0.04, 0.0, 0.0, 0.16, 0.10, 0.70]);

/// A remote vantage that is itself broken.
pub(crate) const BROKEN_RESOLVES: DnsRow = DnsRow::new([0.40, 0.02, 0.0, 0.13, 0.10, 0.35]);

/// What a host in order lets the world see: answers echo requests, answers on some other well-known port, how often.
/// The two go together: who filters one is likelier to filter the other.
pub(crate) const HOST_HABITS: [(bool, bool, f64); 4] = [
    (true, true, 0.62),
    (true, false, 0.13),
    (false, true, 0.12),
    (false, false, 0.13),
];
/// How often some well-known port answers.
pub(crate) const PORTS_ANSWER: f64 = 0.74;
/// How often a ban, or a rule like one, cuts off everything; and all ports but not the echo.
pub(crate) const CUT_OFF_BY_BAN: (f64, f64) = (0.25, 0.25);
/// How often an echo is lost though it would be answered, or answered though it should not.
pub(crate) const ECHO_ERROR: f64 = 0.04;
/// How far a ladder's packets come when they get lost: nowhere, home, provider, between, edge, target.
pub(crate) type LastHop = [f64; REACHES];
/// On the own machine: nobody answers.
pub(crate) const LOST_HERE: LastHop = [0.90, 0.05, 0.02, 0.01, 0.01, 0.01];
/// In the own network: the gateway answers, or not even that.
pub(crate) const LOST_NEARBY: LastHop = [0.27, 0.62, 0.06, 0.03, 0.01, 0.01];
/// In the own provider's network: the gateway, or the first of its routers.
pub(crate) const LOST_AT_PROVIDER: LastHop = [0.03, 0.33, 0.46, 0.13, 0.04, 0.01];
/// Between the networks.
pub(crate) const LOST_IN_TRANSIT: LastHop = [0.02, 0.08, 0.20, 0.62, 0.07, 0.01];
/// At the target or right before it. Its edge is not always known for one, and some routers are silent.
pub(crate) const LOST_AT_SITE: LastHop = [0.02, 0.03, 0.05, 0.26, 0.58, 0.06];
/// No telling.
pub(crate) const LOST_ANYWHERE: LastHop = [0.10, 0.15, 0.15, 0.25, 0.30, 0.05];
/// How often a ladder misleads.
pub(crate) const LADDER_ERROR: f64 = 0.05;

/// How often an attempt is slow without a reason.
pub(crate) const SLOW: f64 = 0.03;

/// How often a resolver in order gives addresses that no other voice confirms (geo-DNS).
pub(crate) const ODD_ANSWER: f64 = 0.06;
/// How often such an address means something inside one network only.
pub(crate) const ODD_INSIDE: f64 = 0.002;

/// How often a control answers though it should not, or does not though it should.
pub(crate) const CONTROL_ERROR: f64 = 0.015;

/// Everything in order.
pub(crate) const HEALTHY: Row = Row::new(&[(Kind::Ok, 1.0)], &[]);

/// The server's kernel has nobody listening.
pub(crate) const RESET_BY_SERVER: Row = Row::new(
    &[(Kind::Rst, 1.0)],
    &[(Place::Server, 0.97), (Place::Edge, 0.03)],
);
/// A rule on the server or before it.
pub(crate) const PORT_UNREACHABLE_BY_SERVER: Row = Row::new(
    &[(Kind::PortUnreachable, 1.0)],
    &[(Place::Server, 0.9), (Place::Edge, 0.1)],
);
/// A rule on the server or before it.
pub(crate) const PROHIBITED_BY_SERVER: Row = Row::new(
    &[(Kind::Prohibited, 1.0)],
    &[(Place::Server, 0.8), (Place::Edge, 0.2)],
);
/// The last router finds no host.
pub(crate) const UNREACHABLE_AT_EDGE: Row = Row::new(
    &[(Kind::Unreachable, 0.7), (Kind::Timeout, 0.3)],
    &[
        (Place::Edge, 0.65),
        (Place::Middle, 0.3),
        (Place::Server, 0.05),
    ],
);
/// Silence.
pub(crate) const SILENCE: Row = Row::new(&[(Kind::Timeout, 1.0)], &[]);
/// Somebody on the way resets.
pub(crate) const RESET_ON_THE_WAY: Row = Row::new(
    &[(Kind::Rst, 0.85), (Kind::Reset, 0.15)],
    &[
        (Place::Middle, 0.9),
        (Place::Near, 0.05),
        (Place::Edge, 0.05),
    ],
);
/// Somebody on the way says no.
pub(crate) const PROHIBITED_ON_THE_WAY: Row = Row::new(
    &[(Kind::Prohibited, 0.75), (Kind::PortUnreachable, 0.25)],
    &[
        (Place::Middle, 0.92),
        (Place::Near, 0.03),
        (Place::Edge, 0.05),
    ],
);
/// A router on the way knows no route.
pub(crate) const NO_ROUTE_ON_THE_WAY: Row = Row::new(
    &[(Kind::Unreachable, 1.0)],
    &[
        (Place::Middle, 0.9),
        (Place::Near, 0.05),
        (Place::Edge, 0.05),
    ],
);
/// The own machine refuses.
pub(crate) const REJECTED_BY_OWN_MACHINE: Row = Row::new(
    &[
        (Kind::Rst, 0.4),
        (Kind::PortUnreachable, 0.35),
        (Kind::Prohibited, 0.25),
    ],
    &[(Place::Own, 1.0)],
);
/// The own network refuses.
pub(crate) const REJECTED_BY_OWN_NETWORK: Row = Row::new(
    &[
        (Kind::Rst, 0.4),
        (Kind::PortUnreachable, 0.3),
        (Kind::Prohibited, 0.3),
    ],
    &[(Place::Near, 0.97), (Place::Middle, 0.03)],
);
/// No packet leaves the place.
pub(crate) const OFFLINE: Row = Row::new(
    &[(Kind::Timeout, 0.55), (Kind::Unreachable, 0.45)],
    &[(Place::Near, 0.5), (Place::Own, 0.4), (Place::Middle, 0.1)],
);
/// One family leads nowhere from here.
pub(crate) const FAMILY_LEADS_NOWHERE: Row = Row::new(
    &[(Kind::Timeout, 0.65), (Kind::Unreachable, 0.35)],
    &[(Place::Near, 0.5), (Place::Own, 0.2), (Place::Middle, 0.3)],
);
/// What an address answers that a lying resolver gave: a block page, a sinkhole, nothing.
pub(crate) const LIED: Row = Row::new(
    &[
        (Kind::Timeout, 0.22),
        (Kind::Rst, 0.2),
        (Kind::TlsName, 0.2),
        (Kind::TlsUntrusted, 0.2),
        (Kind::TlsOther, 0.04),
        (Kind::Unreachable, 0.05),
        (Kind::HttpDenied, 0.04),
        (Kind::HttpOther, 0.02),
        (Kind::Ok, 0.03),
    ],
    &[
        (Place::Own, 0.2),
        (Place::Near, 0.2),
        (Place::Middle, 0.3),
        (Place::Server, 0.3),
    ],
);
/// The provider breaks connections to a name.
pub(crate) const KILLED_ON_THE_WAY: Row =
    Row::new(&[(Kind::Reset, 0.85), (Kind::Stalled, 0.15)], &[]);
/// What a tunnel's far end meets that the target does not want.
pub(crate) const EXIT_UNWANTED: Row = Row::new(
    &[
        (Kind::Timeout, 0.4),
        (Kind::Rst, 0.2),
        (Kind::Reset, 0.1),
        (Kind::Unreachable, 0.1),
        (Kind::PortUnreachable, 0.05),
        (Kind::Prohibited, 0.05),
        (Kind::HttpDenied, 0.1),
    ],
    &[
        (Place::Middle, 0.4),
        (Place::Server, 0.4),
        (Place::Edge, 0.2),
    ],
);
/// One of a CDN's edges fails.
pub(crate) const EDGE_FAILS: Row = Row::new(
    &[
        (Kind::Timeout, 0.5),
        (Kind::Rst, 0.2),
        (Kind::HttpServer, 0.25),
        (Kind::Reset, 0.05),
    ],
    &[(Place::Server, 0.7), (Place::Edge, 0.3)],
);
/// A rule that answers so many a second, and is silent to the rest.
pub(crate) const REJECTED_NOW_AND_THEN: Row = Row::new(
    &[
        (Kind::PortUnreachable, 0.45),
        (Kind::Prohibited, 0.2),
        (Kind::Timeout, 0.35),
    ],
    &[(Place::Server, 0.9), (Place::Edge, 0.1)],
);
/// A web shield that does not let TLS through.
pub(crate) const SHIELDED: Row = Row::new(
    &[
        (Kind::Reset, 0.5),
        (Kind::TlsOther, 0.35),
        (Kind::Stalled, 0.15),
    ],
    &[],
);
/// The connection opens and dies.
pub(crate) const KILLED: Row = Row::new(&[(Kind::Reset, 1.0)], &[]);
/// The handshake is swallowed: full-size packets do not come through.
pub(crate) const SWALLOWED: Row = Row::new(&[(Kind::Stalled, 0.9), (Kind::Reset, 0.1)], &[]);
/// A certificate out of its days.
pub(crate) const EXPIRED: Row = Row::new(&[(Kind::TlsExpired, 1.0)], &[]);
/// A certificate for another name.
pub(crate) const WRONG_NAME: Row = Row::new(&[(Kind::TlsName, 1.0)], &[]);
/// A certificate nobody signed.
pub(crate) const UNTRUSTED: Row = Row::new(&[(Kind::TlsUntrusted, 1.0)], &[]);
/// Somebody else's certificate.
pub(crate) const INTERCEPTED: Row = Row::new(
    &[
        (Kind::TlsUntrusted, 0.85),
        (Kind::TlsName, 0.08),
        (Kind::TlsOther, 0.07),
    ],
    &[],
);
/// A portal in place of the site.
pub(crate) const PORTAL: Row = Row::new(
    &[
        (Kind::TlsName, 0.4),
        (Kind::TlsUntrusted, 0.3),
        (Kind::Timeout, 0.15),
        (Kind::Rst, 0.15),
    ],
    &[(Place::Near, 0.9), (Place::Middle, 0.1)],
);
/// The handshake fails otherwise.
pub(crate) const HANDSHAKE_FAILS: Row = Row::new(&[(Kind::TlsOther, 0.8), (Kind::Reset, 0.2)], &[]);
/// The application fails.
pub(crate) const SERVER_ERROR: Row = Row::new(&[(Kind::HttpServer, 1.0)], &[]);
/// The page is not there, or not for everybody.
pub(crate) const CLIENT_ERROR: Row = Row::new(
    &[
        (Kind::HttpOther, 0.54),
        (Kind::HttpDenied, 0.42),
        (Kind::HttpUnlawful, 0.01),
        (Kind::HttpLimited, 0.03),
    ],
    &[],
);
/// A web application firewall does not want this caller.
pub(crate) const DENIED_BY_WAF: Row = Row::new(
    &[
        (Kind::HttpDenied, 0.71),
        (Kind::HttpUnlawful, 0.01),
        (Kind::HttpLimited, 0.06),
        (Kind::HttpServer, 0.12),
        (Kind::Reset, 0.07),
        (Kind::HttpOther, 0.03),
    ],
    &[],
);
/// The same, of datacenters as such.
pub(crate) const DATACENTERS_DENIED: Row = Row::new(
    &[
        (Kind::HttpDenied, 0.50),
        (Kind::HttpLimited, 0.12),
        (Kind::Timeout, 0.05),
        (Kind::Reset, 0.18),
        (Kind::Rst, 0.09),
        (Kind::HttpServer, 0.06),
    ],
    &[(Place::Server, 0.6), (Place::Edge, 0.4)],
);
/// An address of somebody's inside network, tried from outside it.
pub(crate) const LEADS_INSIDE: Row = Row::new(
    &[
        (Kind::Timeout, 0.5),
        (Kind::Rst, 0.2),
        (Kind::Unreachable, 0.2),
        (Kind::TlsName, 0.05),
        (Kind::TlsUntrusted, 0.03),
        (Kind::Ok, 0.02),
    ],
    &[
        (Place::Server, 0.5),
        (Place::Near, 0.3),
        (Place::Middle, 0.2),
    ],
);
/// Too many requests.
pub(crate) const LIMITED: Row =
    Row::new(&[(Kind::HttpLimited, 0.95), (Kind::HttpServer, 0.05)], &[]);
/// A site that is not for this country.
pub(crate) const GEO_DENIED: Row = Row::new(
    &[
        (Kind::HttpDenied, 0.25),
        (Kind::HttpUnlawful, 0.15),
        (Kind::Timeout, 0.4),
        (Kind::Rst, 0.1),
        (Kind::Reset, 0.1),
    ],
    &[(Place::Server, 0.6), (Place::Edge, 0.4)],
);
/// The same, said in so many words.
pub(crate) const GEO_PAGE: Row =
    Row::new(&[(Kind::HttpDenied, 0.65), (Kind::HttpUnlawful, 0.35)], &[]);
/// A server out of breath.
pub(crate) const OVERLOAD: Row = Row::new(
    &[
        (Kind::Timeout, 0.42),
        (Kind::Stalled, 0.16),
        (Kind::HttpServer, 0.25),
        (Kind::Reset, 0.15),
        (Kind::Rst, 0.02),
    ],
    &[],
);
/// Anything.
pub(crate) const ANYTHING: Row = Row::new(
    &[
        (Kind::Ok, 0.3),
        (Kind::Timeout, 0.18),
        (Kind::Stalled, 0.04),
        (Kind::Rst, 0.13),
        (Kind::Unreachable, 0.05),
        (Kind::Prohibited, 0.03),
        (Kind::PortUnreachable, 0.03),
        (Kind::Reset, 0.08),
        (Kind::TlsOther, 0.03),
        (Kind::TlsName, 0.02),
        (Kind::TlsUntrusted, 0.02),
        (Kind::TlsExpired, 0.01),
        (Kind::HttpServer, 0.04),
        (Kind::HttpDenied, 0.02),
        (Kind::HttpLimited, 0.01),
        (Kind::HttpOther, 0.01),
    ],
    &[
        (Place::Own, 0.2),
        (Place::Near, 0.2),
        (Place::Middle, 0.2),
        (Place::Edge, 0.2),
        (Place::Server, 0.2),
    ],
);
/// A remote vantage that is itself broken.
pub(crate) const BROKEN_VANTAGE: Row = Row::new(
    &[
        (Kind::Timeout, 0.58),
        (Kind::Unreachable, 0.18),
        (Kind::Prohibited, 0.05),
        (Kind::PortUnreachable, 0.04),
        (Kind::Rst, 0.05),
        (Kind::Ok, 0.1),
    ],
    &[
        (Place::Own, 0.45),
        (Place::Near, 0.35),
        (Place::Middle, 0.2),
    ],
);
/// A remote vantage that only does not get to this target.
pub(crate) const BAD_PATH: Row = Row::new(
    &[
        (Kind::Timeout, 0.65),
        (Kind::Unreachable, 0.12),
        (Kind::Prohibited, 0.08),
        (Kind::Rst, 0.1),
        (Kind::Reset, 0.05),
    ],
    &[
        (Place::Middle, 0.85),
        (Place::Near, 0.1),
        (Place::Edge, 0.05),
    ],
);
/// A vantage that the target has banned.
pub(crate) const BANNED: Row = Row::new(
    &[
        (Kind::PortUnreachable, 0.38),
        (Kind::Prohibited, 0.07),
        (Kind::Timeout, 0.35),
        (Kind::Rst, 0.2),
    ],
    &[(Place::Server, 0.85), (Place::Edge, 0.15)],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_distribution_at_every_depth() {
        for row in [
            &HEALTHY,
            &RESET_BY_SERVER,
            &PORT_UNREACHABLE_BY_SERVER,
            &PROHIBITED_BY_SERVER,
            &UNREACHABLE_AT_EDGE,
            &SILENCE,
            &RESET_ON_THE_WAY,
            &PROHIBITED_ON_THE_WAY,
            &NO_ROUTE_ON_THE_WAY,
            &REJECTED_BY_OWN_MACHINE,
            &REJECTED_BY_OWN_NETWORK,
            &OFFLINE,
            &FAMILY_LEADS_NOWHERE,
            &KILLED,
            &SWALLOWED,
            &EXPIRED,
            &WRONG_NAME,
            &UNTRUSTED,
            &INTERCEPTED,
            &PORTAL,
            &HANDSHAKE_FAILS,
            &SERVER_ERROR,
            &CLIENT_ERROR,
            &DENIED_BY_WAF,
            &DATACENTERS_DENIED,
            &LIMITED,
            &LEADS_INSIDE,
            &GEO_DENIED,
            &GEO_PAGE,
            &OVERLOAD,
            &LIED,
            &KILLED_ON_THE_WAY,
            &EXIT_UNWANTED,
            &EDGE_FAILS,
            &REJECTED_NOW_AND_THEN,
            &SHIELDED,
            &ANYTHING,
            &BROKEN_VANTAGE,
            &BAD_PATH,
            &BANNED,
        ] {
            let places: f64 = row.places.iter().sum();
            assert!(places < 1e-9 || (places - 1.0).abs() < 1e-9, "{row:?}");
            for depth in [Stage::Tcp, Stage::Tls, Stage::Http] {
                let all: f64 = ALL_KINDS
                    .iter()
                    .filter(|kind| kind.stage() <= depth)
                    .map(|kind| {
                        row.probability(
                            Sign {
                                kind: *kind,
                                origin: Origin::Unknown,
                            },
                            depth,
                        )
                    })
                    .sum();
                assert!((all - 1.0).abs() < 1e-9, "{depth}: {all} {row:?}");
            }
        }
        for row in [
            RESOLVES,
            NAME_MISSING,
            ZONE_BROKEN,
            RESOLVER_DEAD,
            RESOLVER_FILTERS,
            NO_NETWORK,
        ] {
            assert!((row.0.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{row:?}");
        }
    }

    #[test]
    fn origins_of_a_reset_are_a_distribution_for_every_place() {
        for place in 0..PLACES {
            let mut places = [0.0; PLACES];
            places[place] = 1.0;
            for known in [
                &[Origin::AtOnce, Origin::Close, Origin::Between, Origin::Far][..],
                &[Origin::PerhapsClose, Origin::PerhapsFar][..],
            ] {
                let all: f64 = known.iter().map(|o| origin(*o, &places)).sum();
                assert!((all - 1.0).abs() < 1e-9, "{place}: {all}");
            }
        }
    }
}
