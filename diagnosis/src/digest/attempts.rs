//! Attempts: all stages of one try at one address, read as one sign.

use std::collections::BTreeMap;
use std::net::IpAddr;

use onlyhere_proto::{
    Certificate, CheckRequest, Facts, IcmpError, Layer, Observation, Outcome, SaidBy, Stage,
};

use super::{Attempt, Digest, Seen};
use crate::addresses::is_host;
use crate::case::{Case, is_private_address};
use crate::sign::{Distance, Kind, Sign, kind_of, origin_of};

/// A stage that takes longer than this and many round trips is slow, microseconds.
const SLOW: u64 = 900_000;
/// So many round trips a stage may take before it is slow.
const SLOW_TRIPS: f64 = 6.0;

impl Digest {
    /// The attempts of one request at addresses that are the target's.
    pub(super) fn attempts(
        &self,
        case: &Case,
        asked: &CheckRequest,
        group: &[&Observation],
        gateway: Option<IpAddr>,
        seen: &Seen,
    ) -> Vec<Attempt> {
        let redirect = failed_redirect(asked, group);
        by_address(case, asked, group)
            .into_iter()
            .filter_map(|(ip, stages)| {
                let address = self.address_index(ip)?;
                let (deciding, kind) = outcome(&stages, redirect)?;
                let distance = Distance {
                    // In a LAN the way is too short to tell by time who answered.
                    host: Self::round_trip(seen, address).filter(|_| !is_private_address(ip)),
                    // The own line's length says nothing of what stands on this side of it.
                    outside: seen.outside.filter(|_| !is_private_address(ip)),
                };
                let origin = origin_of(deciding, kind, distance, gateway);
                let trip = distance.host.or(distance.outside);
                Some(Attempt {
                    slow: kind == Kind::Ok && is_slow(&stages, trip),
                    ..attempt(address, asked, deciding, &stages, Sign { kind, origin })
                })
            })
            .collect()
    }

    /// Attempts at addresses that are this vantage's own idea.
    pub(super) fn read_odd_attempts(
        &self,
        case: &Case,
        asked: &CheckRequest,
        group: &[&Observation],
        seen: &mut Seen,
    ) {
        let redirect = failed_redirect(asked, group);
        for (ip, stages) in by_address(case, asked, group) {
            if let (None, Some((_, kind))) = (self.address_index(ip), outcome(&stages, redirect)) {
                seen.odd_attempts.push((ip, kind));
            }
        }
    }

    /// Echo requests beside the attempts.
    pub(super) fn read_echoes(
        &self,
        case: &Case,
        asked: &CheckRequest,
        group: &[&Observation],
        seen: &mut Seen,
    ) {
        let echoes = group.iter().filter(|o| {
            o.stage == Stage::Icmp
                && case.target.layer != Layer::Ping
                && is_host(&asked.target.host, &o.host)
        });
        for observation in echoes {
            let index = observation.address.and_then(|ip| self.address_index(ip));
            if let (Some(index), Some(kind)) = (index, kind_of(observation)) {
                seen.pings.push((index, kind == Kind::Ok));
            }
        }
    }
}

type Stages<'a> = Vec<&'a Observation>;

/// The stages of each address in order, echoes apart unless they are what is asked.
fn by_address<'a>(
    case: &Case,
    asked: &CheckRequest,
    group: &[&'a Observation],
) -> BTreeMap<IpAddr, Stages<'a>> {
    let is_ping = case.target.layer == Layer::Ping;
    let mut by_address: BTreeMap<IpAddr, Stages<'a>> = BTreeMap::new();
    for observation in group
        .iter()
        .filter(|o| is_host(&asked.target.host, &o.host) && (is_ping || o.stage != Stage::Icmp))
    {
        if let Some(ip) = observation.address {
            by_address.entry(ip).or_default().push(observation);
        }
    }
    for stages in by_address.values_mut() {
        stages.sort_by_key(|o| (o.stage, o.sequence));
    }
    by_address
}

/// The stage that decides, and what the attempt came to.
fn outcome<'a>(
    stages: &[&'a Observation],
    redirect: Option<Kind>,
) -> Option<(&'a Observation, Kind)> {
    let deciding = deciding(stages)?;
    let kind = kind_of(deciding).unwrap_or(Kind::Ok);
    match (kind, deciding.stage, redirect) {
        (Kind::Ok, Stage::Http, Some(failed)) => Some((deciding, failed)),
        _ => Some((deciding, kind)),
    }
}

/// Whether some stage took far longer than the way explains.
fn is_slow(stages: &[&Observation], trip: Option<f64>) -> bool {
    stages.iter().any(|o| {
        o.outcome == Outcome::Ok
            && o.elapsed_ms.0 >= SLOW
            && trip.is_none_or(|trip| o.elapsed_ms.0 as f64 >= trip * SLOW_TRIPS)
    })
}

fn attempt(
    address: usize,
    asked: &CheckRequest,
    deciding: &Observation,
    stages: &[&Observation],
    sign: Sign,
) -> Attempt {
    Attempt {
        address,
        slot: asked.slot,
        depth: match sign.kind {
            Kind::Ok => deciding.stage,
            _ => asked.depth.max(deciding.stage),
        },
        shook_hands: stages
            .iter()
            .any(|o| o.stage == Stage::Tls && o.outcome == Outcome::Ok),
        sign,
        elapsed: deciding.elapsed_ms.0,
        connect: connect_time(stages),
        icmp: icmp_of(deciding),
        status: status_of(deciding),
        certificate: certificate_of(stages).map(|c| c.sha256.clone()),
        issuer: certificate_of(stages).map(|c| c.issuer.clone()),
        slow: false,
    }
}

/// The stage that failed, or else the deepest that worked.
fn deciding<'a>(stages: &[&'a Observation]) -> Option<&'a Observation> {
    let measured = || stages.iter().filter(|o| kind_of(o).is_some());
    measured()
        .find(|o| o.outcome != Outcome::Ok)
        .or_else(|| measured().next_back())
        .copied()
}

fn connect_time(stages: &[&Observation]) -> Option<u64> {
    stages
        .iter()
        .find(|o| o.stage == Stage::Tcp && o.outcome == Outcome::Ok)
        .map(|o| o.elapsed_ms.0)
}

fn icmp_of(observation: &Observation) -> Option<IcmpError> {
    match observation.said_by {
        Some(SaidBy::Icmp { icmp }) => Some(icmp),
        _ => None,
    }
}

fn status_of(observation: &Observation) -> Option<u16> {
    match &observation.facts {
        Some(Facts::Http(http)) => Some(http.status),
        _ => None,
    }
}

fn certificate_of<'a>(stages: &[&'a Observation]) -> Option<&'a Certificate> {
    stages.iter().find_map(|o| match &o.facts {
        Some(Facts::Tls(tls)) => tls.certificates.first(),
        _ => None,
    })
}

/// How the page that a redirect leads to on another host failed, when no address of that host gave it; a name that
/// leads nowhere is a page that is not there.
fn failed_redirect(asked: &CheckRequest, group: &[&Observation]) -> Option<Kind> {
    let elsewhere: Vec<&&Observation> = group
        .iter()
        .filter(|o| !is_host(&asked.target.host, &o.host) && o.stage != Stage::Icmp)
        .collect();
    let kinds = || {
        elsewhere
            .iter()
            .filter_map(|o| Some((o.stage, kind_of(o)?)))
    };
    if kinds().any(|(stage, kind)| stage == Stage::Http && kind == Kind::Ok) {
        return None;
    }
    let failed = kinds().map(|(_, kind)| kind).find(|kind| *kind != Kind::Ok);
    let mut names = elsewhere
        .iter()
        .filter(|o| o.stage == Stage::Dns && o.outcome != Outcome::NotMeasured)
        .peekable();
    let nowhere = names.peek().is_some() && names.all(|o| o.outcome != Outcome::Ok);
    failed.or_else(|| nowhere.then_some(Kind::HttpOther))
}
