//! What one vantage saw, given a hypothesis: the vantage's own hidden state is summed out, never voted away.

use onlyhere_proto::{CauseId, Family, Stage, VantageClass};

use crate::case::Case;
use crate::digest::{Attempt, Control, Digest, Seen};
use crate::hypothesis::Hypothesis;
use crate::likelihood::*;
use crate::model::{ControlsSeen, HostSeen, latent};
use crate::sign::Kind;

/// What all vantages share though nobody has seen it: does the host let itself be pinged, does another port answer?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostHabits {
    /// Whether it answers echo requests when it is up.
    pub(crate) answers_ping: bool,
    /// Whether some other well-known port answers when it is up.
    pub(crate) answers_ports: bool,
}

impl HostHabits {
    /// All four, with their prior; where a port must answer, those without one have none.
    pub(crate) fn all(must_answer: bool) -> [(Self, f64); HABITS] {
        let possible = |ports: bool| ports || !must_answer;
        let sum: f64 = HOST_HABITS
            .iter()
            .filter(|(_, ports, _)| possible(*ports))
            .map(|(_, _, p)| p)
            .sum();
        HOST_HABITS.map(|(answers_ping, answers_ports, p)| {
            let habits = Self {
                answers_ping,
                answers_ports,
            };
            (
                habits,
                if possible(answers_ports) {
                    p / sum
                } else {
                    0.0
                },
            )
        })
    }
}

/// How many habits there are.
pub(crate) const HABITS: usize = HOST_HABITS.len();

/// One probability for each of the host's habits, in the order of [`HostHabits::all`].
pub(crate) type ByHabits = [f64; HABITS];

/// Hidden states of a vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// In order.
    Good,
    /// Itself broken.
    Broken,
    /// Only its way to this target is.
    PathBad,
    /// Banned by the target.
    Banned,
}

/// The states of a vantage with their prior. The subject's are hypotheses of their own, so it is always good.
pub(crate) fn states(case: &Case, vantage: usize) -> Vec<(State, f64)> {
    if case.subject_index() == Some(vantage) {
        return vec![(State::Good, 1.0)];
    }
    let banned = match case.vantages[vantage].class {
        Some(VantageClass::Datacenter) => latent::BANNED_DATACENTER,
        _ => latent::BANNED,
    };
    let rest = latent::BROKEN + latent::PATH_BAD + banned;
    vec![
        (State::Good, 1.0 - rest),
        (State::Broken, latent::BROKEN),
        (State::PathBad, latent::PATH_BAD),
        (State::Banned, banned),
    ]
}

/// What one vantage saw if it is ill, summed over the ways to be ill with their prior. The hypothesis does not matter
/// to it: an ill vantage's word follows from its illness.
pub(crate) fn ill_likelihood(case: &Case, digest: &Digest, vantage: usize) -> ByHabits {
    let mut sum = [0.0; HABITS];
    for (state, prior) in states(case, vantage) {
        if state != State::Good {
            let of_state = fixed(case, digest, vantage, None, state);
            for (total, p) in sum.iter_mut().zip(of_state) {
                *total += prior * p;
            }
        }
    }
    sum
}

/// What one vantage saw if it is in order, times the prior of that.
pub(crate) fn good_likelihood(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    affected: Option<&Hypothesis>,
) -> ByHabits {
    let prior = states(case, vantage)[0].1;
    let struck = fixed(case, digest, vantage, affected, State::Good);
    match affected {
        Some(h) if h.entry.strength < 1.0 => {
            let spared = fixed(case, digest, vantage, None, State::Good);
            let strength = h.entry.strength;
            std::array::from_fn(|i| prior * (strength * struck[i] + (1.0 - strength) * spared[i]))
        }
        _ => struck.map(|p| prior * p),
    }
}

/// How probable each hidden state of a vantage is, given that the hypothesis holds.
pub(crate) fn state_posterior(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    hypothesis: &Hypothesis,
) -> Vec<(State, f64)> {
    let affected = Some(hypothesis).filter(|h| h.affected[vantage]);
    let weigh = |p: ByHabits| -> f64 {
        HostHabits::all(false)
            .iter()
            .zip(p)
            .map(|((_, prior), p)| prior * p)
            .sum()
    };
    let mut all: Vec<(State, f64)> = states(case, vantage)
        .into_iter()
        .map(|(state, prior)| match state {
            State::Good => (
                state,
                weigh(good_likelihood(case, digest, vantage, affected)),
            ),
            _ => (
                state,
                prior * weigh(fixed(case, digest, vantage, None, state)),
            ),
        })
        .collect();
    let sum: f64 = all.iter().map(|(_, p)| p).sum();
    for (_, p) in &mut all {
        *p /= sum;
    }
    all
}

/// With everything hidden fixed but the host's habits, the parts of an observation are independent.
fn fixed(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    affected: Option<&Hypothesis>,
    state: State,
) -> ByHabits {
    let seen = &digest.vantages[vantage];
    let mut p = resolution(seen, affected, state);
    for attempt in &seen.attempts {
        p *= attempt_row(digest, attempt, affected, state).probability(attempt.sign, attempt.depth);
    }
    p *= odd_answers(case, digest, vantage, affected);
    for control in &seen.controls {
        p *= control_likelihood(control, affected, state);
    }
    if seen.pings.is_empty() && seen.other_ports.is_empty() {
        return [p.max(f64::MIN_POSITIVE); HABITS];
    }
    HostHabits::all(false)
        .map(|(habits, _)| (p * host(digest, seen, affected, habits, state)).max(f64::MIN_POSITIVE))
}

fn attempt_row(
    digest: &Digest,
    attempt: &Attempt,
    affected: Option<&Hypothesis>,
    state: State,
) -> Row {
    match state {
        State::Broken => BROKEN_VANTAGE,
        State::PathBad => BAD_PATH,
        State::Banned => BANNED,
        State::Good => affected.map_or(HEALTHY, |h| {
            let slot = digest.slots.iter().position(|s| *s == attempt.slot);
            h.row(digest, attempt.address, slot.unwrap_or(0))
        }),
    }
}

fn resolution(seen: &Seen, affected: Option<&Hypothesis>, state: State) -> f64 {
    let fault = affected.and_then(|h| h.entry.dns);
    let row = match state {
        State::Broken => BROKEN_RESOLVES,
        _ => fault.unwrap_or(RESOLVES),
    };
    let system: f64 = seen
        .resolutions
        .iter()
        .map(|r| row.probability(*r))
        .product();
    let configured = seen.configured.map_or(1.0, |resolution| {
        let row = match affected {
            Some(h) if h.cause() != Some(CauseId::LocalResolver) => h.entry.dns.unwrap_or(RESOLVES),
            _ => RESOLVES,
        };
        row.probability(resolution)
    });
    system * configured
}

/// Addresses that only this vantage was given, by its hosts file or its resolver, and what came of trying them.
fn odd_answers(case: &Case, digest: &Digest, vantage: usize, affected: Option<&Hypothesis>) -> f64 {
    const RARE: f64 = 0.02;
    if case.subject_index() != Some(vantage) {
        return 1.0;
    }
    let seen = &digest.vantages[vantage];
    let cause = affected.and_then(Hypothesis::cause);
    let hosts = crate::hypothesis::hosts_entry_differs(case, digest, vantage);
    let all_odd = !seen.odd.is_empty()
        && !digest
            .addresses
            .iter()
            .any(|a| a.resolved_by.contains(&vantage));
    if !hosts && !all_odd {
        return 1.0;
    }
    let expected = match cause {
        Some(CauseId::HostsFile) => hosts,
        Some(CauseId::LocalResolver) => all_odd,
        _ => false,
    };
    let failed = seen.odd_attempts.iter().any(|(_, kind)| *kind != Kind::Ok);
    let tried = !seen.odd_attempts.is_empty();
    match (expected, tried, failed) {
        (true, true, false) => RARE,
        (true, ..) => 0.6,
        (false, true, true) => RARE * 0.3,
        (false, ..) => 0.1,
    }
}

fn host(
    digest: &Digest,
    seen: &Seen,
    affected: Option<&Hypothesis>,
    habits: HostHabits,
    state: State,
) -> f64 {
    // How likely nothing of the host answers this vantage, and how likely only its ports do not.
    let cut_off = |address: usize| -> (f64, f64) {
        match state {
            State::Broken => return (0.9, 0.0),
            State::PathBad => return (0.5, 0.1),
            State::Banned => return CUT_OFF_BY_BAN,
            State::Good => {}
        }
        let Some(h) = affected else {
            return (0.0, 0.0);
        };
        let strikes = h.address.is_none_or(|a| a == address)
            && h.family
                .is_none_or(|f| digest.addresses[address].family() == f);
        match h.entry.host {
            HostSeen::Dead if strikes => (1.0, 0.0),
            HostSeen::Perhaps if strikes => CUT_OFF_BY_BAN,
            _ => (0.0, 0.0),
        }
    };
    let mut p = 1.0;
    for address in 0..digest.addresses.len() {
        let ping = answered(
            seen.pings
                .iter()
                .filter(|(a, _)| *a == address)
                .map(|(_, ok)| *ok),
        );
        let ports = answered(
            seen.other_ports
                .iter()
                .filter(|(a, ..)| *a == address)
                .map(|(_, _, ok, _)| *ok),
        );
        if ping.is_none() && ports.is_none() {
            continue;
        }
        let both = |echo: bool, port: bool| {
            bernoulli(ping, echo && habits.answers_ping)
                * bernoulli(ports, port && habits.answers_ports)
        };
        let (all, ports_only) = cut_off(address);
        p *= all * both(false, false)
            + ports_only * both(true, false)
            + (1.0 - all - ports_only) * both(true, true);
    }
    p
}

/// Whether any of some answered; `None` when there are none.
fn answered(mut all: impl Iterator<Item = bool>) -> Option<bool> {
    let first = all.next()?;
    Some(first || all.any(|ok| ok))
}

fn bernoulli(seen: Option<bool>, expected: bool) -> f64 {
    match seen {
        None => 1.0,
        Some(seen) if seen == expected => 1.0 - ECHO_ERROR,
        Some(_) => ECHO_ERROR,
    }
}

fn control_likelihood(control: &Control, affected: Option<&Hypothesis>, state: State) -> f64 {
    let fails = match state {
        State::Broken => ControlsSeen::Fail,
        _ => affected.map_or(ControlsSeen::Healthy, |h| h.entry.controls),
    };
    let family = affected.and_then(|h| h.family);
    let one = |ok: bool, of: Option<Family>| {
        let fault = match fails {
            ControlsSeen::Healthy => false,
            ControlsSeen::Fail => family.is_none() || of.is_none() || of == family,
            ControlsSeen::FailIn(f) => of == Some(f),
        };
        match (fault, ok) {
            (false, true) => 1.0 - CONTROL_ERROR,
            (false, false) => CONTROL_ERROR,
            (true, false) => 0.95,
            (true, true) => 0.05,
        }
    };
    match (control.v4, control.v6) {
        (None, None) => control.ok.map_or(1.0, |ok| one(ok, None)),
        (v4, v6) => {
            v4.map_or(1.0, |ok| one(ok, Some(Family::V4)))
                * v6.map_or(1.0, |ok| one(ok, Some(Family::V6)))
        }
    }
}

/// Probability that a further attempt by a vantage works, its hidden state summed out by what is known of it.
pub(crate) fn predicted_ok(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    hypothesis: &Hypothesis,
    address: usize,
    slot: usize,
    depth: Stage,
) -> f64 {
    let row = if hypothesis.affected[vantage] {
        hypothesis.row(digest, address, slot)
    } else {
        HEALTHY
    };
    state_posterior(case, digest, vantage, hypothesis)
        .into_iter()
        .map(|(state, p)| {
            p * match state {
                State::Good => row,
                State::Broken => BROKEN_VANTAGE,
                State::PathBad => BAD_PATH,
                State::Banned => BANNED,
            }
            .ok(depth)
        })
        .sum()
}
