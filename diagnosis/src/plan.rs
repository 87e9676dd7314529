//! Which check next: the opening, and after that whatever is worth its cost.
//!
//! Hypotheses are partitioned by a check's predicted answer; its value is the entropy that the answer is expected to
//! take away, over the square root of its cost. What the rules of the house demand whatever its value (every address
//! that anybody resolved is tried by the subject) stands apart from that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use onlyhere_proto::{CheckRequest, Host, Layer, Purpose, Scope, Stage, Target};

use crate::case::{Case, is_private_address};
use crate::digest::Digest;
use crate::hypothesis::Hypothesis;
use crate::latent::{State, predicted_ok, state_posterior};
use crate::model::HostSeen;
use crate::posterior::Posterior;
use crate::resolution::Resolution;
use crate::sign::Kind;

/// Worth less than this: not asked.
const WORTH_ASKING: f64 = 0.02;
/// Surer than this of scope and cause: nothing more is asked for its value.
const SETTLED: f64 = 0.97;
/// The same of "nothing is wrong", where the next slot's answer could only be about something not seen yet.
const WELL: f64 = 0.90;
/// Costs, in the unit of "one DNS question".
const COST_RETRY: f64 = 6.0;
const COST_PORT: f64 = 3.0;
/// Others that repeat a check beside the subject.
const WITNESSES: usize = 2;
/// Later attempts of one vantage at most.
const RETRIES: usize = 2;
/// Vantages whose controls are asked for at most.
const DISSENTERS: usize = 3;
/// Kernels limit ICMP errors: a retry stands this far off.
pub(crate) const RETRY_GAP: Duration = Duration::from_secs(1);
/// Silence in a follow-up lasts at most this long: SYNs at 0, 1.03 and 2.05 s still fit.
const FOLLOW_UP: Duration = Duration::from_millis(2_500);
/// Well-known ports, one of which most hosts answer.
const WELL_KNOWN: [u16; 3] = [22, 80, 443];

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
}

impl Planned {
    /// As a request with a number.
    pub(crate) fn request(&self, case: &Case, number: u32) -> CheckRequest {
        let opening = matches!(self.purpose, Purpose::Target | Purpose::Control);
        let attempt = if opening {
            case.attempt_timeout
        } else {
            case.attempt_timeout.min(FOLLOW_UP)
        };
        let attempt = attempt
            .max(Duration::from_millis(1))
            .min(onlyhere_proto::limits::ATTEMPT_TIMEOUT);
        // A name that is slow to resolve and then a silent address: two timeouts in a row, and something for the way.
        let stages = if self.addresses.is_empty() { 2 } else { 1 };
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
        });
        if Some(vantage) == subject && !case.loopback_target() {
            asks.extend(controls(case, vantage, 0));
        }
    }
    asks
}

fn controls(case: &Case, vantage: usize, slot: u32) -> impl Iterator<Item = Planned> {
    case.controls.iter().take(4).map(move |control| Planned {
        vantage,
        purpose: Purpose::Control,
        target: control.clone(),
        addresses: Vec::new(),
        depth: control.depth().min(Stage::Tls),
        ping: false,
        slot,
        delay: Duration::ZERO,
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
    if s.case.target.layer != Layer::Dns && !settled(s.posterior) {
        asks.extend(other_ports(s));
        asks.extend(retries(s));
    }
    asks.extend(name_again(s));
    asks.extend(dissenters(s));
    asks
}

/// Whether cause and scope are as good as certain, or nothing is wrong beyond what a vantage may be ill with.
fn settled(posterior: &Posterior) -> bool {
    posterior
        .plain_conclusions()
        .into_iter()
        .any(|((scope, _), p)| p >= if scope == Scope::Ok { WELL } else { SETTLED })
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
    }
}

/// Remote vantages in order of the case that are in and pass.
fn witnesses(s: Situation<'_>, passes: impl Fn(usize) -> bool) -> Vec<usize> {
    let subject = s.case.subject_index();
    // One per network first: two vantages of one network see the same way.
    let mut networks = BTreeSet::new();
    s.present
        .iter()
        .copied()
        .filter(|v| Some(*v) != subject && passes(*v))
        .filter(|v| {
            s.case.vantages[*v]
                .asn
                .is_none_or(|asn| networks.insert(asn))
        })
        .take(WITNESSES)
        .collect()
}

/// Addresses that failed at the vantage, at most two, one per family.
fn failing_addresses(s: Situation<'_>, vantage: usize) -> Vec<usize> {
    let mut families = BTreeMap::new();
    for attempt in s.digest.vantages[vantage]
        .attempts
        .iter()
        .filter(|a| !a.is_ok())
    {
        let family = s.digest.addresses[attempt.address].ip.is_ipv4();
        families.entry(family).or_insert(attempt.address);
    }
    families.into_values().collect()
}

/// Does something else of the host answer? For the subject and two others, at an address that failed them.
fn other_ports(s: Situation<'_>) -> Vec<Planned> {
    let Some(own_port) = s.case.target.port else {
        return Vec::new();
    };
    let subject = s.case.subject_index();
    let mut asks = Vec::new();
    for vantage in subject
        .filter(|v| s.present.contains(v))
        .into_iter()
        .chain(witnesses(s, |v| !failing_addresses(s, v).is_empty()))
    {
        let addresses: Vec<IpAddr> = failing_addresses(s, vantage)
            .into_iter()
            .filter(|a| port_value(s, vantage, *a) / COST_PORT.sqrt() >= WORTH_ASKING)
            .map(|a| s.digest.addresses[a].ip)
            .filter(|ip| !s.asked.contains(&(vantage, Purpose::OtherPort, Some(*ip))))
            .collect();
        if addresses.is_empty() {
            continue;
        }
        for port in WELL_KNOWN.into_iter().filter(|p| *p != own_port).take(2) {
            asks.push(Planned {
                vantage,
                purpose: Purpose::OtherPort,
                target: Target {
                    input: format!("tcp://{}:{port}", s.case.target.host),
                    port: Some(port),
                    layer: Layer::Tcp,
                    path: String::new(),
                    ..s.case.target.clone()
                },
                addresses: addresses.clone(),
                depth: Stage::Tcp,
                ping: false,
                slot: 0,
                delay: Duration::ZERO,
            });
        }
    }
    asks
}

/// The same once more, later: for the subject and two others, as shallow as the fault allows.
fn retries(s: Situation<'_>) -> Vec<Planned> {
    let subject = s.case.subject_index();
    subject
        .filter(|v| s.present.contains(v))
        .into_iter()
        .chain(witnesses(s, |v| !s.digest.vantages[v].attempts.is_empty()))
        .filter_map(|vantage| retry(s, vantage))
        .collect()
}

fn retry(s: Situation<'_>, vantage: usize) -> Option<Planned> {
    let attempts = &s.digest.vantages[vantage].attempts;
    let worst = attempts
        .iter()
        .find(|a| !a.is_ok())
        .or_else(|| attempts.first())?;
    let depth = match worst.sign.kind {
        Kind::Ok => Stage::Tcp,
        kind => kind.stage().min(s.case.target.depth()),
    };
    let slots: BTreeSet<u32> = attempts.iter().map(|a| a.slot).collect();
    let value = retry_value(s, vantage, worst.address, depth) / COST_RETRY.sqrt();
    if slots.len() > RETRIES || value < WORTH_ASKING {
        return None;
    }
    Some(Planned {
        vantage,
        purpose: Purpose::Retry,
        target: s.case.target.clone(),
        addresses: vec![s.digest.addresses[worst.address].ip],
        depth,
        ping: false,
        slot: s.slot,
        delay: RETRY_GAP,
    })
}

/// The name once more, later, if the subject's resolver alone said no: a resolver that stumbles is no verdict. One that
/// is silent for every name needs no second look.
fn name_again(s: Situation<'_>) -> Option<Planned> {
    let subject = s.case.subject_index().filter(|v| s.present.contains(v))?;
    let own = &s.digest.vantages[subject];
    let failed = match own.resolution {
        Some(Resolution::Silent) => own.controls.iter().any(|c| c.ok == Some(true)),
        resolution => resolution.is_some_and(|r| r != Resolution::Answer),
    };
    let others_know = s
        .digest
        .vantages
        .iter()
        .any(|v| v.resolution == Some(Resolution::Answer));
    let asked = s.asked.contains(&(subject, Purpose::Resolver, None));
    (failed && others_know && !asked).then(|| Planned {
        vantage: subject,
        purpose: Purpose::Resolver,
        target: s.case.target.clone(),
        addresses: Vec::new(),
        depth: Stage::Dns,
        ping: false,
        slot: s.slot,
        delay: RETRY_GAP,
    })
}

/// Controls of remote vantages that the likeliest hypothesis takes to be ill. Their word does not decide, so nobody
/// waits for silence: those that fail by silence are only asked while the verdict is open.
fn dissenters(s: Situation<'_>) -> Vec<Planned> {
    let Some(best) = s.posterior.best() else {
        return Vec::new();
    };
    let open = s.posterior.scopes().values().copied().fold(0.0, f64::max) < 0.97;
    let subject = s.case.subject_index();
    let mut asks = Vec::new();
    let ill = s.present.iter().copied().filter(|v| {
        let seen = &s.digest.vantages[*v];
        let quick = seen.resolution.is_none_or(|r| r != Resolution::Silent)
            && !seen.attempts.iter().any(|a| a.sign.kind == Kind::Timeout);
        Some(*v) != subject
            && seen.fails_wholly()
            && seen.controls.is_empty()
            && !s.asked.contains(&(*v, Purpose::Control, None))
            && (open || quick)
            && state_posterior(s.case, s.digest, *v, best)
                .iter()
                .any(|(state, p)| matches!(state, State::Broken | State::PathBad) && *p > 0.3)
    });
    for vantage in ill.take(DISSENTERS) {
        asks.extend(controls(s.case, vantage, 0));
    }
    asks
}

/// Entropy expected to go when it is known whether another port of the host answers this vantage.
fn port_value(s: Situation<'_>, vantage: usize, address: usize) -> f64 {
    let seen = &s.digest.vantages[vantage];
    if seen.other_ports.iter().any(|(a, ..)| *a == address) {
        return 0.0;
    }
    // A port of the host that answered somebody is likely to answer others.
    let known = s
        .digest
        .vantages
        .iter()
        .flat_map(|v| &v.other_ports)
        .any(|(_, _, answered, _)| *answered);
    let answers = if known {
        0.97
    } else {
        crate::likelihood::PORTS_ANSWER
    };
    information(s.posterior, |h: &Hypothesis| {
        let strikes = h.affected[vantage]
            && h.address.is_none_or(|a| a == address)
            && h.family
                .is_none_or(|f| s.digest.addresses[address].family() == f);
        match h.entry.host {
            HostSeen::Dead if strikes => 0.03,
            HostSeen::Perhaps if strikes => 0.65 * answers,
            HostSeen::Alive => 0.97,
            _ => answers,
        }
    })
}

/// Entropy expected to go when the same is tried in a new time slot.
fn retry_value(s: Situation<'_>, vantage: usize, address: usize, depth: Stage) -> f64 {
    let slot = s.digest.slots.len();
    information(s.posterior, |h| {
        predicted_ok(s.case, s.digest, vantage, h, address, slot, depth)
    })
}

/// Mutual information, in nats, between the conclusion and a yes-or-no answer with the given chance of "yes".
fn information(posterior: &Posterior, yes: impl Fn(&Hypothesis) -> f64) -> f64 {
    let mut joint: BTreeMap<_, (f64, f64)> = BTreeMap::new();
    for (hypothesis, p) in posterior.hypotheses.iter().zip(&posterior.probabilities) {
        if *p < 1e-6 {
            continue;
        }
        let q = yes(hypothesis);
        let cell = joint
            .entry((hypothesis.scope(), hypothesis.cause()))
            .or_default();
        cell.0 += p * q;
        cell.1 += p * (1.0 - q);
    }
    let (yes_all, no_all) = joint
        .values()
        .fold((0.0, 0.0), |(y, n), (a, b)| (y + a, n + b));
    let term = |joint: f64, class: f64, answer: f64| {
        if joint <= 0.0 {
            0.0
        } else {
            joint * (joint / (class * answer)).ln()
        }
    };
    joint
        .values()
        .map(|(y, n)| term(*y, y + n, yes_all) + term(*n, y + n, no_all))
        .sum()
}
