//! Which check next: the opening, and after that whatever is worth its cost.
//!
//! Hypotheses are partitioned by a check's predicted answer; its value is the entropy that the answer is expected to
//! take away, over the square root of its cost. What the rules of the house demand whatever its value (every address
//! that anybody resolved is tried by the subject) stands apart from that.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use onlyhere_proto::{CauseId, CheckRequest, Host, Layer, Purpose, Scope, Stage, Target, Way};

use crate::case::{Case, is_private_address};
use crate::closer;
use crate::digest::Digest;
use crate::follow_up::{
    LOOKS_WHEN_SEEN, confirmations, dissenters, name_again, other_ports, portal, retries,
    second_looks, witnesses,
};
use crate::posterior::Posterior;
use crate::sign::Kind;

/// Surer than this of scope and cause: nothing more is asked for its value.
const SETTLED: f64 = 0.97;
/// The same of "nothing is wrong", where the next slot's answer could only be about something not seen yet.
const WELL: f64 = 0.85;
/// Kernels limit ICMP errors: a retry stands this far off.
pub(crate) const RETRY_GAP: Duration = Duration::from_secs(1);
/// Silence in a follow-up lasts at most this long: SYNs at 0, 1.03 and 2.05 s still fit.
const FOLLOW_UP: Duration = Duration::from_millis(2_500);

/// Something to be asked, before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    /// By whom.
    pub(crate) vantage: usize,
    /// Why.
    pub(crate) purpose: Purpose,
    /// What.
    pub(crate) target: Target,
    /// Where; empty: wherever the name leads.
    pub(crate) addresses: Vec<IpAddr>,
    /// How deep.
    pub(crate) depth: Stage,
    /// Echo as well.
    pub(crate) ping: bool,
    /// In which time slot.
    pub(crate) slot: u32,
    /// How much later.
    pub(crate) delay: Duration,
    /// How to get there.
    pub(crate) way: Way,
}

impl Planned {
    /// As a request with a number.
    pub(crate) fn request(&self, case: &Case, number: u32) -> CheckRequest {
        let opening = matches!(
            self.purpose,
            Purpose::Target | Purpose::Control | Purpose::ThroughProxy | Purpose::Direct
        );
        let attempt = case.attempt_timeout();
        let attempt = if opening {
            attempt
        } else {
            attempt.min(FOLLOW_UP)
        };
        let attempt = attempt
            .max(Duration::from_millis(1))
            .min(onlyhere_proto::limits::ATTEMPT_TIMEOUT);
        // A name that is slow to resolve and then a silent address: two timeouts in a row, and something for the way.
        // The zone's servers have to be found first.
        let zone = self.purpose == Purpose::Resolver;
        let stages = match self.purpose {
            _ if zone => 3,
            Purpose::Ladder => 1,
            _ if self.addresses.is_empty() => 2,
            _ => 1,
        };
        let deadline = attempt * stages + Duration::from_secs(1);
        CheckRequest {
            check: case.check.clone(),
            request: number,
            purpose: self.purpose,
            target: self.target.clone(),
            addresses: self.addresses.clone(),
            depth: self.depth,
            ping: self.ping,
            resolvers: match self.purpose {
                Purpose::Target if case.subject_index() == Some(self.vantage) => case
                    .conditions
                    .resolvers
                    .iter()
                    .copied()
                    .take(onlyhere_proto::limits::RESOLVERS)
                    .collect(),
                _ => Vec::new(),
            },
            deadline: deadline.min(onlyhere_proto::limits::DEADLINE),
            attempt_timeout: attempt,
            max_connections: 32,
            slot: self.slot,
            way: self.way.clone(),
            authoritative: zone,
        }
    }
}

/// What everybody is asked at first: the target, as deep as it goes; the subject its controls as well.
pub(crate) fn opening(case: &Case) -> Vec<Planned> {
    let subject = case.subject_index();
    let mut asks = Vec::new();
    for vantage in 0..case.vantages.len() {
        // A private target is judged by the subject alone, whoever else was offered.
        if case.private_target().is_some() && Some(vantage) != subject {
            continue;
        }
        asks.push(Planned {
            vantage,
            purpose: Purpose::Target,
            target: case.target.clone(),
            addresses: Vec::new(),
            depth: case.target.depth(),
            ping: case.target.layer != Layer::Dns,
            slot: 0,
            delay: Duration::ZERO,
            way: Way::default(),
        });
        if Some(vantage) == subject && !case.loopback_target() {
            asks.extend(controls(case, vantage, 0));
            if case.private_target().is_none() {
                asks.extend(closer::own_ways(case, vantage));
            }
        }
    }
    asks
}

pub(crate) fn controls(case: &Case, vantage: usize, slot: u32) -> impl Iterator<Item = Planned> {
    case.conditions
        .controls
        .iter()
        .take(4)
        .map(move |control| Planned {
            vantage,
            purpose: Purpose::Control,
            target: control.clone(),
            addresses: Vec::new(),
            depth: control.depth().min(Stage::Tls),
            ping: false,
            slot,
            delay: Duration::ZERO,
            way: Way::default(),
        })
}

/// What is known when the next round is planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    /// The case.
    pub(crate) case: &'a Case,
    /// Everything seen.
    pub(crate) digest: &'a Digest,
    /// What to think of it.
    pub(crate) posterior: &'a Posterior,
    /// The next free time slot.
    pub(crate) slot: u32,
    /// Vantages that are in and still there.
    pub(crate) present: &'a BTreeSet<usize>,
    /// What was asked before: vantage, purpose, address or control.
    pub(crate) asked: &'a BTreeSet<(usize, Purpose, Option<IpAddr>)>,
}

/// The checks of the next round; empty when nothing is worth its cost.
pub(crate) fn next(s: Situation<'_>) -> Vec<Planned> {
    if s.case.loopback_target() {
        return Vec::new();
    }
    let mut asks = untried_addresses(s);
    asks.extend(confirmations(s));
    let doubted = s.case.conditions.seen.is_some() && s.slot < LOOKS_WHEN_SEEN;
    if s.case.target.layer != Layer::Dns && (doubted || !settled(s.posterior)) {
        asks.extend(other_ports(s));
        let again = retries(s);
        let planned = retried(&asks);
        asks.extend(again.into_iter().filter(|a| !planned.contains(&a.vantage)));
        asks.extend(closer::ladders(s));
        asks.extend(closer::small_segments(s));
        asks.extend(closer::other_sources(s));
    }
    let looks = second_looks(s);
    let planned = retried(&asks);
    asks.extend(looks.into_iter().filter(|a| !planned.contains(&a.vantage)));
    asks.extend(closer::zone(s));
    asks.extend(name_again(s));
    asks.extend(portal(s));
    asks.extend(dissenters(s));
    asks
}

/// Who is asked to try again.
fn retried(asks: &[Planned]) -> BTreeSet<usize> {
    let again = asks.iter().filter(|a| a.purpose == Purpose::Retry);
    again.map(|a| a.vantage).collect()
}

/// Whether cause and scope are as good as certain, or nothing is wrong beyond what a vantage may be ill with.
fn settled(posterior: &Posterior) -> bool {
    posterior
        .plain_conclusions()
        .into_iter()
        .any(|((scope, cause), p)| {
            let nothing_met = scope == Scope::Ok || cause == Some(CauseId::BrowserOnly);
            p >= if nothing_met { WELL } else { SETTLED }
        })
}

/// Every address that anybody resolved is tried by the subject; a strange one of the subject's by two others.
fn untried_addresses(s: Situation<'_>) -> Vec<Planned> {
    if !matches!(s.case.target.host, Host::Name(_)) || s.case.target.layer == Layer::Dns {
        return Vec::new();
    }
    let Some(subject) = s.case.subject_index().filter(|v| s.present.contains(v)) else {
        return Vec::new();
    };
    let own = &s.digest.vantages[subject];
    let untried: Vec<IpAddr> = s
        .digest
        .addresses
        .iter()
        .enumerate()
        .filter(|(index, a)| {
            !own.attempts.iter().any(|t| t.address == *index)
                && (!is_private_address(a.ip) || a.resolved_by.contains(&subject))
                && measurable(s, a.ip)
                && !s.asked.contains(&(subject, Purpose::Address, Some(a.ip)))
        })
        .map(|(_, a)| a.ip)
        .take(8)
        .collect();
    let mut asks = Vec::new();
    if !untried.is_empty() {
        asks.push(at_addresses(s, subject, untried, s.case.target.depth()));
    }
    let strange: Vec<IpAddr> = own
        .odd_attempts
        .iter()
        .filter(|(ip, kind)| *kind != Kind::Ok && !is_private_address(*ip) && own.odd.contains(ip))
        .map(|(ip, _)| *ip)
        .take(2)
        .collect();
    if !strange.is_empty() {
        for witness in witnesses(s, |_| true) {
            if !s
                .asked
                .contains(&(witness, Purpose::Address, Some(strange[0])))
            {
                asks.push(at_addresses(
                    s,
                    witness,
                    strange.clone(),
                    s.case.target.depth(),
                ));
            }
        }
    }
    asks
}

/// Whether the subject has shown to have this family: it tried another address of it, or has tried none at all.
fn measurable(s: Situation<'_>, ip: IpAddr) -> bool {
    let Some(subject) = s.case.subject_index() else {
        return false;
    };
    let own = &s.digest.vantages[subject];
    let tried = |v4: bool| {
        own.attempts
            .iter()
            .any(|t| s.digest.addresses[t.address].ip.is_ipv4() == v4)
    };
    tried(ip.is_ipv4()) || !tried(!ip.is_ipv4())
}

fn at_addresses(s: Situation<'_>, vantage: usize, addresses: Vec<IpAddr>, depth: Stage) -> Planned {
    Planned {
        vantage,
        purpose: Purpose::Address,
        target: s.case.target.clone(),
        addresses,
        depth,
        ping: true,
        slot: 0,
        delay: Duration::ZERO,
        way: Way::default(),
    }
}
