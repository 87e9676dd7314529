//! From observations to what the model reads: per vantage its resolution, attempts, pings, other ports and controls.
//!
//! The digest is a function of the *set* of observations: it sorts what it is given, so the order of arrival is
//! nowhere in it. What could not be measured leaves no trace here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{
    CheckRequest, Facts, Family, IcmpError, Layer, Observation, Outcome, Purpose, ResolverKind,
    SaidBy, Stage,
};

use crate::addresses::{is_host, is_question_for_target, resolved_addresses, shared_addresses};
use crate::case::{Case, is_private_address};
use crate::resolution::{Resolution, resolution_of};
use crate::sign::{Distance, Kind, Sign, kind_of, origin_of};

/// One address of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The address.
    pub(crate) ip: IpAddr,
    /// Vantages whose resolver gave it.
    pub(crate) resolved_by: BTreeSet<usize>,
}

impl Address {
    /// Its family.
    pub(crate) fn family(&self) -> Family {
        Family::of(self.ip)
    }
}

/// One attempt at one address, all stages together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    /// Index into [`Digest::addresses`].
    pub(crate) address: usize,
    /// Time slot.
    pub(crate) slot: u32,
    /// The deepest stage that was reached: deeper faults would not show.
    pub(crate) depth: Stage,
    /// What it came to.
    pub(crate) sign: Sign,
    /// Of the deciding stage, microseconds.
    pub(crate) elapsed: u64,
    /// Of the TCP handshake, if it worked, microseconds.
    pub(crate) connect: Option<u64>,
    /// The ICMP error, when one said so.
    pub(crate) icmp: Option<IcmpError>,
    /// HTTP status, when there was one.
    pub(crate) status: Option<u16>,
    /// SHA-256 of the certificate shown.
    pub(crate) certificate: Option<String>,
}

impl Attempt {
    /// Whether it worked.
    pub(crate) fn is_ok(&self) -> bool {
        self.sign.kind == Kind::Ok
    }
}

/// What a control came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// Whether any of its addresses worked; `None` when nothing could be measured.
    pub(crate) ok: Option<bool>,
    /// Whether it worked over IPv4.
    pub(crate) v4: Option<bool>,
    /// Whether it worked over IPv6.
    pub(crate) v6: Option<bool>,
}

/// What one vantage saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// At its own resolvers (hosts file apart), the best of all; `None` when nothing was asked or nothing measured.
    pub(crate) resolution: Option<Resolution>,
    /// The same, once for every request.
    pub(crate) resolutions: Vec<Resolution>,
    /// At resolvers that were given.
    pub(crate) configured: Option<Resolution>,
    /// Addresses that its hosts file gives.
    pub(crate) hosts_file: BTreeSet<IpAddr>,
    /// Addresses of its resolver that nobody else confirms, as against some that others share.
    pub(crate) odd: BTreeSet<IpAddr>,
    /// At the target's addresses.
    pub(crate) attempts: Vec<Attempt>,
    /// At addresses that are this vantage's own idea (hosts file, odd answer): address and kind.
    pub(crate) odd_attempts: Vec<(IpAddr, Kind)>,
    /// Echo requests: address index, answered.
    pub(crate) pings: Vec<(usize, bool)>,
    /// Other ports of the host: address index, port, answered (by a connection or a reset).
    pub(crate) other_ports: Vec<(usize, u16, bool, Kind)>,
    /// Controls.
    pub(crate) controls: Vec<Control>,
    /// The host's round trip per address index, microseconds.
    pub(crate) round_trip: BTreeMap<usize, f64>,
    /// The shortest round trip to a control, microseconds.
    pub(crate) outside: Option<f64>,
}

impl Seen {
    /// Whether it says anything of the target.
    pub(crate) fn says_something(&self) -> bool {
        !self.attempts.is_empty() || self.resolution.is_some()
    }

    /// Whether some attempt worked, and none failed in the last slot in which any worked.
    pub(crate) fn reaches(&self) -> bool {
        self.attempts.iter().any(Attempt::is_ok)
    }

    /// Whether it got what was asked for: a way through, or for a bare name an address.
    pub(crate) fn succeeds(&self, case: &Case) -> bool {
        if case.target.depth() == Stage::Dns {
            self.resolution == Some(Resolution::Answer)
        } else {
            self.reaches()
        }
    }

    /// Whether something failed: an attempt, or the name.
    pub(crate) fn fails(&self) -> bool {
        self.attempts.iter().any(|a| !a.is_ok())
            || (self.hosts_file.is_empty()
                && self.resolution.is_some_and(|r| r != Resolution::Answer))
    }

    /// Whether every attempt failed, or the name did not resolve.
    pub(crate) fn fails_wholly(&self) -> bool {
        self.fails() && !self.reaches()
    }

    /// Whether its controls fail, which makes its word on the target worthless; `None` without controls.
    pub(crate) fn controls_fail(&self) -> Option<bool> {
        let known: Vec<bool> = self.controls.iter().filter_map(|c| c.ok).collect();
        (!known.is_empty()).then(|| known.iter().all(|ok| !ok))
    }
}

/// Everything seen, in the order of `case.vantages`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Digest {
    /// The target's addresses, sorted.
    pub(crate) addresses: Vec<Address>,
    /// Per vantage.
    pub(crate) vantages: Vec<Seen>,
    /// Time slots in which the target was tried, sorted.
    pub(crate) slots: Vec<u32>,
}

/// What is known of the requests behind the observations: index of the vantage and request number.
pub(crate) type Requests = BTreeMap<(usize, u32), CheckRequest>;

/// Observations by vantage index, request and sequence: sorted, and each once.
pub(crate) type Observations = BTreeMap<(usize, u32, u32), Observation>;

impl Digest {
    /// Reads all observations of a case.
    pub(crate) fn new(case: &Case, requests: &Requests, observations: &Observations) -> Self {
        let resolved = resolved_addresses(case, observations);
        let shared = shared_addresses(case, &resolved, observations);
        let addresses: Vec<Address> = shared
            .iter()
            .map(|ip| Address {
                ip: *ip,
                resolved_by: resolved.get(ip).cloned().unwrap_or_default(),
            })
            .collect();
        let mut digest = Self {
            addresses,
            vantages: Vec::new(),
            slots: Vec::new(),
        };
        for index in 0..case.vantages.len() {
            let own: Vec<&Observation> = observations
                .range((index, 0, 0)..=(index, u32::MAX, u32::MAX))
                .map(|(_, o)| o)
                .collect();
            let seen = digest.read_vantage(case, index, &own, requests);
            digest.vantages.push(seen);
        }
        let slots: BTreeSet<u32> = digest
            .vantages
            .iter()
            .flat_map(|v| v.attempts.iter().map(|a| a.slot))
            .collect();
        digest.slots = slots.into_iter().collect();
        digest
    }

    /// The place of an address in the digest.
    pub(crate) fn address_index(&self, ip: IpAddr) -> Option<usize> {
        self.addresses.iter().position(|a| a.ip == ip)
    }

    fn read_vantage(
        &self,
        case: &Case,
        index: usize,
        own: &[&Observation],
        requests: &Requests,
    ) -> Seen {
        let mut seen = Seen::default();
        self.read_resolution(case, own, &mut seen);
        self.read_round_trips(own, &mut seen);
        let gateway = case.vantages[index].public_address;
        let mut by_request: BTreeMap<u32, Vec<&Observation>> = BTreeMap::new();
        for observation in own {
            by_request
                .entry(observation.request)
                .or_default()
                .push(observation);
        }
        for (request, group) in by_request {
            let Some(asked) = requests.get(&(index, request)) else {
                continue;
            };
            match asked.purpose {
                Purpose::Control => seen.controls.push(read_control(&group)),
                Purpose::OtherPort => self.read_other_port(&group, &mut seen),
                _ => self.read_attempts(case, asked, &group, gateway, &mut seen),
            }
        }
        seen
    }

    fn read_resolution(&self, case: &Case, own: &[&Observation], seen: &mut Seen) {
        if !case.is_name() {
            return;
        }
        let dns: Vec<&Observation> = own
            .iter()
            .filter(|o| is_question_for_target(case, o))
            .copied()
            .collect();
        let wanted = case.target.record_type;
        let requests: BTreeSet<u32> = dns.iter().map(|o| o.request).collect();
        seen.resolutions = requests
            .into_iter()
            .filter_map(|request| {
                let of_request: Vec<&Observation> = dns
                    .iter()
                    .filter(|o| o.request == request)
                    .copied()
                    .collect();
                resolution_of(&of_request, ResolverKind::System, wanted)
            })
            .collect();
        seen.resolution = seen.resolutions.iter().min().copied();
        seen.configured = resolution_of(&dns, ResolverKind::Configured, wanted);
        for observation in dns {
            let Some(Facts::Dns(facts)) = &observation.facts else {
                continue;
            };
            for answer in &facts.answers {
                match facts.kind {
                    ResolverKind::HostsFile => {
                        seen.hosts_file.insert(answer.address);
                    }
                    ResolverKind::System if self.address_index(answer.address).is_none() => {
                        seen.odd.insert(answer.address);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The best word on how far the host is: an echo, a handshake that worked, or a reset from another port that is as
    /// far off as things outside are; the fastest of them.
    fn read_round_trips(&self, own: &[&Observation], seen: &mut Seen) {
        let handshake = |o: &&&Observation| o.stage == Stage::Tcp && o.outcome == Outcome::Ok;
        seen.outside = own
            .iter()
            .filter(handshake)
            .filter(|o| o.purpose == Purpose::Control)
            .map(|o| o.elapsed_ms.0 as f64)
            .min_by(f64::total_cmp);
        for observation in own.iter().filter(|o| o.purpose != Purpose::Control) {
            let trip = observation.elapsed_ms.0 as f64;
            let distant_reset = observation.purpose == Purpose::OtherPort
                && kind_of(observation) == Some(Kind::Rst)
                && seen.outside.is_some_and(|outside| trip >= outside * 0.5);
            let answered = matches!(observation.stage, Stage::Icmp | Stage::Tcp)
                && observation.outcome == Outcome::Ok;
            let sent_again = matches!(
                &observation.facts,
                Some(Facts::Tcp(tcp)) if tcp.syn_retransmits.unwrap_or(0) > 0
            );
            let index = observation.address.and_then(|ip| self.address_index(ip));
            if let (Some(index), true, false) = (index, answered || distant_reset, sent_again) {
                let best = seen.round_trip.entry(index).or_insert(trip);
                *best = best.min(trip);
            }
        }
    }

    /// The host's round trip, else that of another of its addresses.
    pub(crate) fn round_trip(seen: &Seen, address: usize) -> Option<f64> {
        seen.round_trip.get(&address).copied().or_else(|| {
            seen.round_trip
                .values()
                .copied()
                .min_by(|a, b| a.total_cmp(b))
        })
    }

    fn read_other_port(&self, group: &[&Observation], seen: &mut Seen) {
        for observation in group.iter().filter(|o| o.stage == Stage::Tcp) {
            let (Some(kind), Some(index), Some(port)) = (
                kind_of(observation),
                observation.address.and_then(|ip| self.address_index(ip)),
                observation.port,
            ) else {
                continue;
            };
            let answered = matches!(kind, Kind::Ok | Kind::Rst);
            seen.other_ports.push((index, port, answered, kind));
        }
    }

    fn read_attempts(
        &self,
        case: &Case,
        asked: &CheckRequest,
        group: &[&Observation],
        gateway: Option<IpAddr>,
        seen: &mut Seen,
    ) {
        let is_ping = case.target.layer == Layer::Ping;
        let mut by_address: BTreeMap<IpAddr, Vec<&Observation>> = BTreeMap::new();
        let redirect = failed_redirect(asked, group);
        for observation in group
            .iter()
            .filter(|o| is_host(&asked.target.host, &o.host))
        {
            let Some(ip) = observation.address else {
                continue;
            };
            if observation.stage == Stage::Icmp && !is_ping {
                if let (Some(index), Some(kind)) = (self.address_index(ip), kind_of(observation)) {
                    seen.pings.push((index, kind == Kind::Ok));
                }
                continue;
            }
            by_address.entry(ip).or_default().push(observation);
        }
        for (ip, mut stages) in by_address {
            stages.sort_by_key(|o| (o.stage, o.sequence));
            let Some(deciding) = deciding(&stages) else {
                continue;
            };
            let mut kind = kind_of(deciding).unwrap_or(Kind::Ok);
            if let (Kind::Ok, Stage::Http, Some(failed)) = (kind, deciding.stage, redirect) {
                kind = failed;
            }
            let Some(address) = self.address_index(ip) else {
                seen.odd_attempts.push((ip, kind));
                continue;
            };
            let distance = Distance {
                host: Self::round_trip(seen, address),
                // The own line's length says nothing of what stands on this side of it.
                outside: seen.outside.filter(|_| !is_private_address(ip)),
            };
            let origin = origin_of(deciding, kind, distance, gateway);
            let sign = Sign { kind, origin };
            let attempt = attempt(address, asked, deciding, &stages, sign);
            seen.attempts.push(attempt);
        }
    }
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
        sign,
        elapsed: deciding.elapsed_ms.0,
        connect: connect_time(stages),
        icmp: icmp_of(deciding),
        status: status_of(deciding),
        certificate: certificate_of(stages),
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

fn certificate_of(stages: &[&Observation]) -> Option<String> {
    stages.iter().find_map(|o| match &o.facts {
        Some(Facts::Tls(tls)) => tls.certificates.first().map(|c| c.sha256.clone()),
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

fn read_control(group: &[&Observation]) -> Control {
    let worked = |family: Family| {
        let mut by_address: BTreeMap<IpAddr, bool> = BTreeMap::new();
        for observation in group {
            if let (Some(ip), Some(kind)) = (observation.address, kind_of(observation))
                && observation.stage != Stage::Icmp
                && Family::of(ip) == family
            {
                *by_address.entry(ip).or_insert(true) &= kind == Kind::Ok;
            }
        }
        (!by_address.is_empty()).then(|| by_address.values().any(|ok| *ok))
    };
    let (v4, v6) = (worked(Family::V4), worked(Family::V6));
    let mut names = group
        .iter()
        .filter(|o| o.stage == Stage::Dns && o.outcome != Outcome::NotMeasured)
        .peekable();
    let unresolved = names.peek().is_some() && names.all(|o| o.outcome != Outcome::Ok);
    let ok = match (v4, v6) {
        (None, None) => unresolved.then_some(false),
        (a, b) => Some(a.unwrap_or(false) || b.unwrap_or(false)),
    };
    Control { ok, v4, v6 }
}
