//! What an answer is worth: the entropy that it is expected to take away.

use std::collections::BTreeMap;

use onlyhere_proto::{CauseId, Stage};

use crate::hypothesis::Hypothesis;
use crate::latent::predicted_ok;
use crate::likelihood::{LADDER_ERROR, LOST_ANYWHERE};
use crate::model::HostSeen;
use crate::plan::Situation;
use crate::posterior::Posterior;
use crate::rows::HEALTHY;
use crate::sign::REACHES;

/// Entropy expected to go when it is known whether another port of the host answers this vantage.
pub(crate) fn port_value(s: Situation<'_>, vantage: usize, address: usize) -> f64 {
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
        let strikes = h.affected[vantage] && h.strikes(s.digest, address);
        match h.entry.host {
            HostSeen::Dead if strikes => 0.03,
            HostSeen::Perhaps if strikes => 0.65 * answers,
            HostSeen::Alive => 0.97,
            _ => answers,
        }
    })
}

/// Entropy expected to go when the same is tried in a new time slot.
pub(crate) fn retry_value(s: Situation<'_>, vantage: usize, address: usize, depth: Stage) -> f64 {
    let slot = s.digest.slots.len();
    information(s.posterior, |h| {
        predicted_ok(s.case, s.digest, vantage, h, address, slot, depth)
    })
}

/// Entropy expected to go when it is known how far the subject's packets come.
pub(crate) fn ladder_value(s: Situation<'_>, subject: usize) -> f64 {
    information_of(s.posterior, |h: &Hypothesis| -> [f64; REACHES] {
        let near = h.near.as_ref().filter(|n| n.affected[subject]);
        let met = near
            .map(|n| n.entry)
            .filter(|e| e.row != HEALTHY)
            .or_else(|| h.affected[subject].then_some(h.entry));
        let profile = met.map_or(LOST_ANYWHERE, |e| e.lost);
        profile.map(|p| (1.0 - LADDER_ERROR) * p + LADDER_ERROR / REACHES as f64)
    })
}

/// Entropy expected to go when it is known whether small segments come through.
pub(crate) fn small_segments_value(s: Situation<'_>, subject: usize) -> f64 {
    information(s.posterior, |h| {
        let swallowed = h.cause() == Some(CauseId::MtuBlackhole) && h.affected[subject];
        if swallowed { 0.95 } else { 0.1 }
    })
}

/// Entropy expected to go when it is known whether another address of a vantage gets through.
pub(crate) fn source_value(s: Situation<'_>, vantage: usize) -> f64 {
    information(s.posterior, |h| {
        if !h.affected[vantage] {
            0.7
        } else if h.cause() == Some(CauseId::IpBan) {
            0.9
        } else {
            0.05
        }
    })
}

/// Mutual information, in nats, between the conclusion and a yes-or-no answer with the given chance of "yes".
fn information(posterior: &Posterior, yes: impl Fn(&Hypothesis) -> f64) -> f64 {
    information_of(posterior, |h| {
        let p = yes(h);
        [p, 1.0 - p]
    })
}

/// Mutual information, in nats, between the conclusion and an answer with the given chances.
fn information_of<const N: usize>(
    posterior: &Posterior,
    answers: impl Fn(&Hypothesis) -> [f64; N],
) -> f64 {
    let mut joint: BTreeMap<_, [f64; N]> = BTreeMap::new();
    for (hypothesis, p) in posterior.hypotheses.iter().zip(&posterior.probabilities) {
        if *p < 1e-6 {
            continue;
        }
        let cell = joint
            .entry((hypothesis.scope(), hypothesis.cause()))
            .or_insert([0.0; N]);
        for (sum, q) in cell.iter_mut().zip(answers(hypothesis)) {
            *sum += p * q;
        }
    }
    let mut answer = [0.0; N];
    for cell in joint.values() {
        for (sum, p) in answer.iter_mut().zip(cell) {
            *sum += p;
        }
    }
    joint
        .values()
        .map(|cell| {
            let class: f64 = cell.iter().sum();
            let terms = cell.iter().zip(answer).filter(|(p, _)| **p > 0.0);
            terms.map(|(p, q)| p * (p / (class * q)).ln()).sum::<f64>()
        })
        .sum()
}
