//! What strikes one vantage, and how probable each piece of what it saw then is. With everything hidden fixed but the
//! host's habits, the pieces are independent.

mod controls;
mod ways;

use onlyhere_proto::{CauseId, Family, Stage};

use crate::case::{Case, is_private_address};
use crate::digest::hosts_entry_differs;
use crate::digest::{Attempt, Digest, Seen};
use crate::hidden::{ByShared, HostHabits, Shared, State};
use crate::hypothesis::{Hypothesis, Near};
use crate::likelihood::*;
use crate::model::{ControlsSeen, Entry, HostSeen};
use crate::rows::*;
use crate::sign::Kind;
use controls::of_control;
use ways::by_other_ways;

/// What a hypothesis does to one vantage in order: one fault, or a nearer one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect<'a> {
    hypothesis: &'a Hypothesis,
    main: bool,
    near: Option<&'a Near>,
}

impl<'a> Effect<'a> {
    /// What strikes this vantage; `None` when nothing does.
    pub(crate) fn on(hypothesis: &'a Hypothesis, vantage: usize) -> Option<Self> {
        let near = hypothesis.near.as_ref();
        let near = near.is_some_and(|n| n.affected[vantage]);
        Self::of(hypothesis, hypothesis.affected[vantage], near)
    }

    /// What strikes a vantage that is affected by the fault, by the nearer one, or by both.
    pub(crate) fn of(hypothesis: &'a Hypothesis, main: bool, near: bool) -> Option<Self> {
        let near = hypothesis.near.as_ref().filter(|_| near);
        (main || near.is_some()).then_some(Self {
            hypothesis,
            main,
            near,
        })
    }

    /// How likely the vantage is struck at all.
    pub(crate) fn strength(self) -> f64 {
        match self.near {
            Some(near) => near.entry.strength,
            None => self.hypothesis.entry.strength,
        }
    }

    /// What is left when what strikes by chance does not.
    pub(crate) fn without_chance(self) -> Option<Self> {
        (self.near.is_some() && self.main).then_some(Self { near: None, ..self })
    }

    /// What it sees at an address in a slot (its place in the digest).
    pub(crate) fn row(self, digest: &Digest, address: usize, slot: usize) -> Row {
        match self.near {
            Some(near) if near.entry.row != HEALTHY => near.entry.row,
            _ if self.main => self.hypothesis.row(digest, address, slot),
            _ => HEALTHY,
        }
    }

    /// What it sees at an address that is nobody else's.
    fn row_anywhere(self) -> Row {
        match self.near {
            Some(near) if near.entry.row != HEALTHY => near.entry.row,
            _ if self.main => self.hypothesis.row_anywhere(),
            _ => HEALTHY,
        }
    }

    fn entries(self) -> impl Iterator<Item = &'static Entry> {
        let main = self.main.then_some(self.hypothesis.entry);
        self.near.map(|n| n.entry).into_iter().chain(main)
    }

    fn is(self, cause: CauseId) -> bool {
        self.entries().any(|e| e.cause == Some(cause))
    }

    fn dns(self) -> Option<DnsRow> {
        self.entries().find_map(|e| e.dns)
    }

    fn lies(self) -> bool {
        self.entries().any(|e| e.lies)
    }

    fn slow(self) -> f64 {
        self.entries().map(|e| e.slow).fold(SLOW, f64::max)
    }

    fn controls(self) -> ControlsSeen {
        self.entries()
            .map(|e| e.controls)
            .find(|c| *c != ControlsSeen::Healthy)
            .unwrap_or(ControlsSeen::Healthy)
    }

    /// The entry whose row is met.
    fn met(self) -> Option<&'static Entry> {
        self.entries()
            .find(|e| e.row != HEALTHY)
            .or_else(|| self.entries().next())
    }

    fn family(self) -> Option<Family> {
        self.hypothesis.family.filter(|_| self.main)
    }

    fn strikes(self, digest: &Digest, address: usize) -> bool {
        let h = self.hypothesis;
        self.near.is_some() || h.strikes(digest, address)
    }
}

/// Everything that one vantage saw, for each of the things that all vantages share.
pub(crate) fn likelihood(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    effect: Option<Effect<'_>>,
    state: State,
) -> ByShared {
    let seen = &digest.vantages[vantage];
    let mut whatever_the_day =
        resolution(seen, effect, state) * odd_answers(case, digest, vantage, effect, state);
    for control in &seen.controls {
        whatever_the_day *= of_control(control, effect, state);
    }
    let by_day = Shared::by_day(|day| {
        let noise = day.noise();
        let at_target = seen.attempts.iter();
        let at_target: f64 = at_target
            .map(|attempt| at_target_once(digest, attempt, effect, state, noise))
            .product();
        at_target * by_other_ways(digest, seen, effect, state, noise)
    });
    let nothing_else = seen.pings.is_empty() && seen.other_ports.is_empty();
    let mut p = by_day.map(|p| p * whatever_the_day);
    if !nothing_else {
        for (p, (shared, _)) in p.iter_mut().zip(Shared::all(false)) {
            *p *= host(digest, seen, effect, shared.habits, state);
        }
    }
    p.map(|p| p.max(f64::MIN_POSITIVE))
}

fn row(digest: &Digest, attempt: &Attempt, effect: Option<Effect<'_>>, state: State) -> Row {
    match state {
        State::Broken => BROKEN_VANTAGE,
        State::PathBad => BAD_PATH,
        State::Banned => BANNED,
        State::Good => effect.map_or(HEALTHY, |e| {
            let slot = digest.slots.iter().position(|s| *s == attempt.slot);
            e.row(digest, attempt.address, slot.unwrap_or(0))
        }),
    }
}

fn at_target_once(
    digest: &Digest,
    attempt: &Attempt,
    effect: Option<Effect<'_>>,
    state: State,
    noise: f64,
) -> f64 {
    let p = row(digest, attempt, effect, state).probability(attempt.sign, attempt.depth, noise);
    if attempt.sign.kind == Kind::Reset && attempt.depth == Stage::Http {
        let late = effect.and_then(Effect::met).map_or(0.5, |e| e.late);
        return p * if attempt.shook_hands {
            late
        } else {
            1.0 - late
        };
    }
    if !attempt.is_ok() {
        return p;
    }
    let slow = effect.map_or(SLOW, Effect::slow);
    p * if attempt.slow { slow } else { 1.0 - slow }
}

fn resolution(seen: &Seen, effect: Option<Effect<'_>>, state: State) -> f64 {
    let fault = effect.and_then(Effect::dns);
    let row = match state {
        State::Broken => BROKEN_RESOLVES,
        _ => fault.unwrap_or(RESOLVES),
    };
    let system: f64 = seen
        .resolutions
        .iter()
        .map(|r| row.probability(*r))
        .product();
    // Whose own resolver is at fault has other resolvers that are not.
    let own = effect.is_some_and(|e| {
        (e.is(CauseId::LocalResolver) || e.is(CauseId::DnsStale))
            && !e.is(CauseId::DnsMissing)
            && !e.is(CauseId::DnsBroken)
    });
    let elsewhere = if own {
        RESOLVES
    } else {
        fault.unwrap_or(RESOLVES)
    };
    let others: f64 = [seen.configured, seen.authoritative]
        .into_iter()
        .flatten()
        .map(|r| elsewhere.probability(r))
        .product();
    system * others
}

/// Addresses that only this vantage was given, by its hosts file or its resolver, and what came of trying them.
fn odd_answers(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    effect: Option<Effect<'_>>,
    state: State,
) -> f64 {
    let seen = &digest.vantages[vantage];
    let is_subject = case.subject_index() == Some(vantage);
    if is_subject && hosts_entry_differs(case, digest, vantage) {
        return hosts_entry(seen, effect);
    }
    // Where nobody else's answer is known, nothing is odd.
    let resolved = seen.resolution == Some(crate::resolution::Resolution::Answer);
    if !case.is_name() || !resolved || digest.addresses.is_empty() {
        return 1.0;
    }
    let all_odd = !seen.odd.is_empty()
        && !digest
            .addresses
            .iter()
            .any(|a| a.resolved_by.contains(&vantage));
    let lies = effect.is_some_and(Effect::lies) && state == State::Good;
    if !all_odd {
        return if lies { 0.06 } else { 1.0 - ODD_ANSWER };
    }
    let inside = seen.odd.iter().any(|ip| is_private_address(*ip));
    let known = !digest.authoritative.is_disjoint(&seen.odd);
    if lies {
        let place = if inside { 0.35 } else { 0.65 };
        let zone = if known { 0.02 } else { 1.0 };
        return 0.94 * place * zone * odd_attempts(seen, &LIED);
    }
    let place = if inside { ODD_INSIDE } else { 1.0 - ODD_INSIDE };
    let zone = if digest.authoritative.is_empty() || known {
        1.0
    } else {
        0.15
    };
    let row = match state {
        State::Good => effect.map_or(HEALTHY, |e| e.row_anywhere()),
        State::Broken => BROKEN_VANTAGE,
        State::PathBad => BAD_PATH,
        State::Banned => BANNED,
    };
    ODD_ANSWER * place * zone * odd_attempts(seen, &row)
}

fn odd_attempts(seen: &Seen, row: &Row) -> f64 {
    seen.odd_attempts
        .iter()
        .map(|(_, kind)| row.kind(*kind))
        .product()
}

/// A hosts entry that leads elsewhere than the name does is its own explanation of what fails there.
fn hosts_entry(seen: &Seen, effect: Option<Effect<'_>>) -> f64 {
    const RARE: f64 = 0.02;
    let failed = seen.odd_attempts.iter().any(|(_, kind)| *kind != Kind::Ok);
    let tried = !seen.odd_attempts.is_empty();
    let expected = effect.is_some_and(|e| e.is(CauseId::HostsFile));
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
    effect: Option<Effect<'_>>,
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
        let Some(effect) = effect.filter(|e| e.strikes(digest, address)) else {
            return (0.0, 0.0);
        };
        let seen: Vec<HostSeen> = effect.entries().map(|e| e.host).collect();
        if seen.contains(&HostSeen::Dead) {
            (1.0, 0.0)
        } else if seen.contains(&HostSeen::Perhaps) {
            CUT_OFF_BY_BAN
        } else {
            (0.0, 0.0)
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
