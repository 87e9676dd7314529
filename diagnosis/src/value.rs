//! What an answer is worth: the entropy that it is expected to take away.

use std::collections::BTreeMap;

use onlyhere_proto::Stage;

use crate::hypothesis::Hypothesis;
use crate::latent::predicted_ok;
use crate::model::HostSeen;
use crate::plan::Situation;
use crate::posterior::Posterior;

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
pub(crate) fn retry_value(s: Situation<'_>, vantage: usize, address: usize, depth: Stage) -> f64 {
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
