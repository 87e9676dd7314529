//! Likelihood tables as data, and the probability of one piece of an observation under a row.
//!
//! A row is a distribution over kinds together with one over places (where a refusal is made). Every row is mixed with
//! noise ([`NOISE`] on a calm day), so no single observation can rule a hypothesis out.

use onlyhere_proto::Stage;

use crate::resolution::{RESOLUTIONS, Resolution};
use crate::sign::{ALL_KINDS, KINDS, Kind, Origin, PLACES, Place, REACHES, Sign};

/// How often something else than any row happens, on a calm day.
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

    /// Probability of a sign at an attempt of this depth, with so much noise.
    pub(crate) fn probability(&self, sign: Sign, depth: Stage, noise: f64) -> f64 {
        (1.0 - noise) * at_depth(&self.kinds, sign.kind, depth) * origin(sign.origin, &self.places)
            + noise * at_depth(&NOISE_ROW, sign.kind, depth) * origin(sign.origin, &ANYWHERE)
    }

    /// Probability of a kind alone, wherever and however deep, on a calm day.
    pub(crate) fn kind(&self, kind: Kind) -> f64 {
        let sign = Sign {
            kind,
            origin: Origin::Unknown,
        };
        self.probability(sign, Stage::Http, NOISE)
    }

    /// Probability that an attempt of this depth works, on a calm day.
    pub(crate) fn ok(&self, depth: Stage) -> f64 {
        let sign = Sign {
            kind: Kind::Ok,
            origin: Origin::Unknown,
        };
        self.probability(sign, depth, NOISE)
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
        const ODD: [f64; RESOLUTIONS] = [0.37, 0.005, 0.005, 0.23, 0.12, 0.27];
        0.99 * self.0[resolution as usize] + 0.01 * ODD[resolution as usize]
    }
}

/// Nothing is wrong with the name.
pub(crate) const RESOLVES: DnsRow = DnsRow::new([0.9903, 0.0001, 0.0001, 0.0045, 0.002, 0.003]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::*;

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
                            NOISE,
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
