//! Follow-up checks: other ports, later attempts, the name once more, controls of vantages that stand out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use onlyhere_proto::{Layer, Purpose, Scope, Stage, Target, Way};

use crate::digest::{Attempt, ControlFailure};
use crate::hidden::State;
use crate::latent::state_posterior;
use crate::plan::{Planned, RETRY_GAP, Situation, controls};
use crate::resolution::Resolution;
use crate::sign::{Kind, Origin};
use crate::value::{port_value, retry_value};

/// Costs, in the unit of "one DNS question".
const COST_RETRY: f64 = 6.0;
const COST_PORT: f64 = 3.0;
/// Between the two slots of one round of retries.
const SECOND_GAP: Duration = Duration::from_millis(500);
/// Surer than this that all is well, nobody is asked to confirm that it is not.
const PROBABLY_WELL: f64 = 0.8;
/// Others that repeat a check beside the subject.
const WITNESSES: usize = 2;
/// Later attempts of one vantage at most.
const RETRIES: usize = 2;
/// Vantages that are looked at twice at most, and the share of verdicts resting on them from which they are.
const SECOND_LOOKS: usize = 6;
const RESTS_ON_SOME: f64 = 0.05;
/// Time slots in which a target that somebody saw failing must be well.
pub(crate) const LOOKS_WHEN_SEEN: u32 = 3;
/// Vantages whose controls are asked for at most.
const DISSENTERS: usize = 3;
/// Well-known ports, one of which most hosts answer.
const WELL_KNOWN: [u16; 3] = [22, 80, 443];
/// Worth less than this: not asked.
const WORTH_ASKING: f64 = 0.02;
/// The share of a regional verdict from which those it stands on are looked at.
const REGION_IN_PLAY: f64 = 0.03;

/// Remote vantages in order of the case that are in and pass.
pub(crate) fn witnesses(s: Situation<'_>, passes: impl Fn(usize) -> bool) -> Vec<usize> {
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
pub(crate) fn other_ports(s: Situation<'_>) -> Vec<Planned> {
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
            .filter(|a| {
                let value = port_value(s, vantage, *a) / COST_PORT.sqrt();
                value >= WORTH_ASKING || (Some(vantage) == subject && is_unlocated(s, vantage, *a))
            })
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
                way: Way::default(),
            });
        }
    }
    asks
}

/// Whether a reset came back from this address of which nobody knows how far the host is: another port tells.
fn is_unlocated(s: Situation<'_>, vantage: usize, address: usize) -> bool {
    s.digest.vantages[vantage].attempts.iter().any(|a| {
        let vague = matches!(
            a.sign.origin,
            Origin::Unknown | Origin::PerhapsClose | Origin::PerhapsFar
        );
        a.address == address && a.sign.kind == Kind::Rst && vague
    })
}

/// The same once more, later: for the subject and two others, as shallow as the fault allows. The last of them comes
/// later still, in a slot of its own: what starts and dies is caught by more moments, not by more vantages.
pub(crate) fn retries(s: Situation<'_>) -> Vec<Planned> {
    let subject = s.case.subject_index();
    let mut retries: Vec<Planned> = subject
        .filter(|v| s.present.contains(v))
        .into_iter()
        .chain(retriers(s))
        .filter_map(|vantage| retry(s, vantage))
        .collect();
    if retries.len() > 1
        && let Some(last) = retries.last_mut()
    {
        last.slot += 1;
        last.delay += SECOND_GAP;
    }
    retries
}

/// Whoever failed once more, where a verdict would rest on some vantages' failing while others get through: what does
/// not happen twice is chance.
pub(crate) fn second_looks(s: Situation<'_>) -> Vec<Planned> {
    let rests: f64 = s
        .posterior
        .hypotheses
        .iter()
        .zip(&s.posterior.probabilities)
        .filter(|(h, _)| h.scope() == Scope::Regional || h.intermittent())
        .map(|(_, p)| p)
        .sum();
    let somebody_reaches = s.digest.vantages.iter().any(|v| v.reaches());
    if rests < RESTS_ON_SOME || !somebody_reaches {
        return Vec::new();
    }
    let subject = s.case.subject_index();
    let unconfirmed = |v: &usize| {
        let attempts = &s.digest.vantages[*v].attempts;
        let slots: BTreeSet<u32> = attempts.iter().map(|a| a.slot).collect();
        slots.len() == 1 && attempts.iter().any(|a| !a.is_ok())
    };
    s.present
        .iter()
        .copied()
        .filter(|v| Some(*v) != subject && unconfirmed(v))
        .filter_map(|vantage| {
            let failed = s.digest.vantages[vantage]
                .attempts
                .iter()
                .find(|a| !a.is_ok())?;
            Some(again(s, vantage, failed.address, failed.stage()))
        })
        .take(SECOND_LOOKS)
        .collect()
}

/// Whoever failed once more, where a fault is likely and a sceptic is not convinced of it yet: the subject twice, because
/// most of what can be wrong shows to nobody else, and two others.
pub(crate) fn confirmations(s: Situation<'_>) -> Vec<Planned> {
    let well = s.posterior.plain_scopes().get(&Scope::Ok).copied();
    if !s.posterior.leaves_some_doubt() || well.is_some_and(|p| p > PROBABLY_WELL) {
        return Vec::new();
    }
    let subject = s.case.subject_index().filter(|v| s.present.contains(v));
    let failed = |v: &usize| s.digest.vantages[*v].attempts.iter().any(|a| !a.is_ok());
    let others = witnesses(s, |v| failed(&v));
    let once = subject.into_iter().chain(others).filter(failed);
    let once = once.filter_map(|v| confirmation(s, v));
    let mut asks: Vec<Planned> = once.collect();
    if let Some(first) = asks.first_mut().filter(|a| Some(a.vantage) == subject) {
        let second = Planned {
            slot: first.slot + 1,
            delay: first.delay + SECOND_GAP,
            ..first.clone()
        };
        // Where it gets through this time, nothing deeper may be left open.
        first.depth = s.case.target.depth();
        asks.push(second);
    }
    asks
}

/// The address that failed most lately once more, if it was not tried often enough.
fn confirmation(s: Situation<'_>, vantage: usize) -> Option<Planned> {
    let attempts = &s.digest.vantages[vantage].attempts;
    let slots: BTreeSet<u32> = attempts.iter().map(|a| a.slot).collect();
    let failed = attempts.iter().rfind(|a| !a.is_ok())?;
    (slots.len() <= RETRIES).then(|| again(s, vantage, failed.address, failed.stage()))
}

/// Who tries again beside the subject: one that failed and one that got through, where there are both.
fn retriers(s: Situation<'_>) -> Vec<usize> {
    let tried = |v: &usize| !s.digest.vantages[*v].attempts.is_empty();
    let failed = witnesses(s, |v| s.digest.vantages[v].fails_wholly() && tried(&v));
    let others = witnesses(s, |v| !s.digest.vantages[v].fails_wholly() && tried(&v));
    let first = failed.iter().take(1).chain(others.iter().take(1));
    let rest = failed.iter().chain(&others);
    let mut all = Vec::new();
    for vantage in first.chain(rest) {
        if all.len() < WITNESSES && !all.contains(vantage) {
            all.push(*vantage);
        }
    }
    all
}

/// A control's page in the clear, where handshakes fail: a captive portal answers it with a page of its own.
pub(crate) fn portal(s: Situation<'_>) -> Option<Planned> {
    let subject = s.case.subject_index().filter(|v| s.present.contains(v))?;
    let seen = &s.digest.vantages[subject];
    let suspicious = seen.controls_fail() == Some(true)
        && seen.controls.iter().all(|c| c.portal.is_none())
        && seen.controls.iter().any(|c| {
            matches!(c.failure, Some(ControlFailure::At(kind)) if kind.stage() == Stage::Tls || kind == Kind::Rst)
        });
    let control = s.case.conditions.controls.iter().find(|c| c.is_tls())?;
    suspicious.then(|| Planned {
        vantage: subject,
        purpose: Purpose::Control,
        target: Target {
            input: format!("http://{}", control.host),
            port: Some(80),
            layer: Layer::Http,
            path: "/".to_owned(),
            ..control.clone()
        },
        addresses: Vec::new(),
        depth: Stage::Http,
        ping: false,
        slot: s.slot,
        delay: Duration::ZERO,
        way: Way::default(),
    })
}

fn retry(s: Situation<'_>, vantage: usize) -> Option<Planned> {
    let attempts = &s.digest.vantages[vantage].attempts;
    let worst = attempts
        .iter()
        .find(|a| !a.is_ok())
        .or_else(|| attempts.first())?;
    let stage = match worst.sign.kind {
        // As deep as others fail.
        Kind::Ok => s
            .digest
            .vantages
            .iter()
            .flat_map(|v| &v.attempts)
            .filter(|a| !a.is_ok())
            .map(Attempt::stage)
            .max()
            .unwrap_or(Stage::Tcp),
        _ => worst.stage(),
    };
    let depth = stage.min(s.case.target.depth());
    let slots: BTreeSet<u32> = attempts.iter().map(|a| a.slot).collect();
    let value = retry_value(s, vantage, worst.address, depth) / COST_RETRY.sqrt();
    // Somebody saw an error: that all is well for a moment is no answer.
    let doubted = s.case.conditions.seen.is_some() && worst.is_ok() && s.slot < LOOKS_WHEN_SEEN;
    if slots.len() > RETRIES || (value < WORTH_ASKING && !doubted) {
        return None;
    }
    Some(again(s, vantage, worst.address, depth))
}

/// One later attempt at one address.
fn again(s: Situation<'_>, vantage: usize, address: usize, depth: Stage) -> Planned {
    Planned {
        vantage,
        purpose: Purpose::Retry,
        target: s.case.target.clone(),
        addresses: vec![s.digest.addresses[address].ip],
        depth: depth.min(s.case.target.depth()),
        ping: false,
        slot: s.slot,
        delay: RETRY_GAP,
        way: Way::default(),
    }
}

/// The name once more, later, if the subject's resolver alone said no: a resolver that stumbles is no verdict. One that
/// is silent for every name needs no second look.
/// Asked together with the zone, see [`crate::closer::zone`].
pub(crate) fn name_again(s: Situation<'_>) -> Option<Planned> {
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
        way: Way::default(),
    })
}

/// Controls of remote vantages that the likeliest hypothesis takes to be ill. Their word does not decide, so nobody
/// waits for silence: those that fail by silence are only asked while the verdict is open. A regional verdict stands on
/// their word, so there all that fail are asked.
pub(crate) fn dissenters(s: Situation<'_>) -> Vec<Planned> {
    let Some(best) = s.posterior.best() else {
        return Vec::new();
    };
    let scopes = s.posterior.scopes();
    let open = scopes.values().copied().fold(0.0, f64::max) < 0.97;
    let regional = scopes.get(&Scope::Regional).copied().unwrap_or(0.0) >= REGION_IN_PLAY;
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
            && (regional
                || state_posterior(s.case, s.digest, *v, best)
                    .iter()
                    .any(|(state, p)| matches!(state, State::Broken | State::PathBad) && *p > 0.3))
    });
    for vantage in ill.take(DISSENTERS) {
        asks.extend(controls(s.case, vantage, 0));
    }
    asks
}
