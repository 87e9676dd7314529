//! From observations to what the model reads: per vantage its resolution, attempts, pings, other ports and controls.
//!
//! The digest is a function of the *set* of observations: it sorts what it is given, so the order of arrival is
//! nowhere in it. What could not be measured leaves no trace here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{
    CheckRequest, Facts, Family, IcmpError, Observation, Outcome, Purpose, ResolverKind, Stage,
};

use crate::addresses::{Givers, is_question_for_target, shared_addresses, zone_disagrees};
use crate::case::Case;
use crate::resolution::{Resolution, resolution_of};
use crate::sign::{Kind, Reach, Sign, kind_of};

mod attempts;
mod checks;

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
    /// Whether a TLS handshake was finished before it failed.
    pub(crate) shook_hands: bool,
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
    /// Who issued it, as it says.
    pub(crate) issuer: Option<String>,
    /// Whether some stage took far longer than the way explains.
    pub(crate) slow: bool,
}

impl Attempt {
    /// Whether it worked.
    pub(crate) fn is_ok(&self) -> bool {
        self.sign.kind == Kind::Ok
    }

    /// The shallowest depth at which the same can be met again: what dies after the handshake dies in the exchange.
    pub(crate) fn stage(&self) -> Stage {
        match self.sign.kind.stage() {
            Stage::Tls if self.shook_hands => Stage::Http,
            stage => stage,
        }
    }
}

/// What a control came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Control {
    /// Whether any of its addresses worked; `None` when nothing could be measured.
    pub(crate) ok: Option<bool>,
    /// Whether it worked over IPv4.
    pub(crate) v4: Option<bool>,
    /// Whether it worked over IPv6.
    pub(crate) v6: Option<bool>,
    /// How it failed, where it failed.
    pub(crate) failure: Option<ControlFailure>,
    /// Whether it was tried by address, without a name.
    pub(crate) literal: bool,
    /// Whether somebody else answered in its place, for a page asked for in the clear.
    pub(crate) portal: Option<bool>,
}

/// How a control failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ControlFailure {
    /// Its name did not resolve.
    Unresolved,
    /// At its first address that failed.
    At(Kind),
}

/// What a TTL ladder met.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ladder {
    /// Index into [`Digest::addresses`].
    pub(crate) address: usize,
    /// Rungs below the end, sorted: time to live, and who answered; none was silent.
    pub(crate) rungs: Vec<(u8, Option<IpAddr>)>,
    /// The rung that the host, or somebody in its name, answered, and how.
    pub(crate) end: Option<(u8, Kind)>,
    /// Where the last hop stands that answered, or where the reset was made; none when it cannot be told.
    pub(crate) reach: Option<Reach>,
}

impl Ladder {
    /// The last hop that answered.
    pub(crate) fn last(&self) -> Option<(u8, IpAddr)> {
        self.rungs
            .iter()
            .rev()
            .find_map(|(hop, who)| Some((*hop, (*who)?)))
    }
}

/// An attempt through a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Proxied {
    /// The proxy, as `http://HOST:PORT`.
    pub(crate) proxy: String,
    /// Whether a control was tried and not the target.
    pub(crate) control: bool,
    /// What came of it.
    pub(crate) kind: Kind,
    /// Whether it failed at the proxy and not behind it.
    pub(crate) at_proxy: bool,
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
    /// At the zone's own servers.
    pub(crate) authoritative: Option<Resolution>,
    /// The resolvers that its system has.
    pub(crate) system_resolvers: BTreeSet<IpAddr>,
    /// Addresses that each kind of resolver gave.
    pub(crate) given: BTreeMap<ResolverKind, BTreeSet<IpAddr>>,
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
    /// TTL ladders.
    pub(crate) ladders: Vec<Ladder>,
    /// From another of its addresses: that address, and the attempt.
    pub(crate) other_sources: Vec<(IpAddr, Attempt)>,
    /// With small segments.
    pub(crate) small_segments: Vec<Attempt>,
    /// Through a proxy.
    pub(crate) proxied: Vec<Proxied>,
    /// Past the tunnel.
    pub(crate) direct: Vec<Attempt>,
    /// DNS block lists: the zone, and whether it lists the caller's public address.
    pub(crate) block_lists: Vec<(String, bool)>,
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
    /// Addresses that the zone's own servers give, whoever asked them.
    pub(crate) authoritative: BTreeSet<IpAddr>,
    /// Whether the zone's own servers give different addresses of one family, asked by one vantage.
    pub(crate) zone_disagrees: bool,
}

/// What is known of the requests behind the observations: index of the vantage and request number.
pub(crate) type Requests = BTreeMap<(usize, u32), CheckRequest>;

/// Observations by vantage index, request and sequence: sorted, and each once.
pub(crate) type Observations = BTreeMap<(usize, u32, u32), Observation>;

impl Digest {
    /// Reads all observations of a case.
    pub(crate) fn new(case: &Case, requests: &Requests, observations: &Observations) -> Self {
        let givers = Givers::new(case, observations);
        let addresses: Vec<Address> = shared_addresses(case, &givers, observations)
            .into_iter()
            .map(|ip| Address {
                ip,
                resolved_by: givers.system(ip),
            })
            .collect();
        let mut digest = Self {
            addresses,
            authoritative: givers.authoritative(),
            zone_disagrees: zone_disagrees(case, observations),
            ..Self::default()
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
        digest.place_ladders(case);
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
            self.read_request(case, asked, &group, gateway, &mut seen);
        }
        seen
    }

    /// Reads what came of one request.
    fn read_request(
        &self,
        case: &Case,
        asked: &CheckRequest,
        group: &[&Observation],
        gateway: Option<IpAddr>,
        seen: &mut Seen,
    ) {
        match asked.purpose {
            Purpose::Control => seen.controls.push(checks::read_control(asked, group)),
            Purpose::OtherPort => self.read_other_port(group, seen),
            Purpose::Ladder => self.read_ladder(group, seen),
            Purpose::ThroughProxy => checks::read_proxied(case, asked, group, seen),
            Purpose::BlockList => checks::read_block_list(case, group, seen),
            Purpose::Source => {
                let attempts = self.attempts(case, asked, group, gateway, seen);
                let source = asked.way.source;
                let from = source.map(|ip| attempts.into_iter().map(move |a| (ip, a)));
                seen.other_sources.extend(from.into_iter().flatten());
            }
            Purpose::SmallSegments => {
                let attempts = self.attempts(case, asked, group, gateway, seen);
                seen.small_segments.extend(attempts);
            }
            Purpose::Direct => {
                let attempts = self.attempts(case, asked, group, gateway, seen);
                seen.direct.extend(attempts);
            }
            _ => {
                self.read_echoes(case, asked, group, seen);
                let attempts = self.attempts(case, asked, group, gateway, seen);
                seen.attempts.extend(attempts);
                self.read_odd_attempts(case, asked, group, seen);
            }
        }
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
        seen.authoritative = resolution_of(&dns, ResolverKind::Authoritative, wanted);
        for observation in dns {
            let Some(Facts::Dns(facts)) = &observation.facts else {
                continue;
            };
            if facts.kind == ResolverKind::System {
                seen.system_resolvers.extend(facts.resolver);
            }
            for answer in &facts.answers {
                let given = seen.given.entry(facts.kind).or_default();
                given.insert(answer.address);
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
        let ordinary = |o: &&&Observation| {
            !matches!(
                o.purpose,
                Purpose::Control | Purpose::ThroughProxy | Purpose::Direct
            )
        };
        for observation in own.iter().filter(ordinary) {
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
}

/// Whether the subject's hosts file gives addresses, and none that everybody's resolvers give.
pub(crate) fn hosts_entry_differs(case: &Case, digest: &Digest, subject: usize) -> bool {
    let entries: BTreeSet<_> = digest
        .vantages
        .get(subject)
        .map(|v| v.hosts_file.clone())
        .unwrap_or_default()
        .into_iter()
        .chain(case.subject.local.hosts_entries.iter().copied())
        .collect();
    !entries.is_empty() && entries.iter().all(|ip| digest.address_index(*ip).is_none())
}
