//! What one vantage saw, given a hypothesis: the vantage's own hidden state is summed out, never voted away.

use onlyhere_proto::Stage;

use crate::case::Case;
use crate::digest::Digest;
use crate::effect::{Effect, likelihood};
use crate::hidden::{ByHabits, HABITS, HostHabits, State, states};
use crate::hypothesis::Hypothesis;
use crate::rows::*;

/// What one vantage saw if it is ill, summed over the ways to be ill with their prior. The hypothesis does not matter
/// to it: an ill vantage's word follows from its illness.
pub(crate) fn ill_likelihood(case: &Case, digest: &Digest, vantage: usize) -> ByHabits {
    let mut sum = [0.0; HABITS];
    for (state, prior) in states(case, vantage) {
        if state != State::Good && prior > 0.0 {
            let of_state = likelihood(case, digest, vantage, None, state);
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
    effect: Option<Effect<'_>>,
) -> ByHabits {
    let prior = states(case, vantage)[0].1;
    let struck = likelihood(case, digest, vantage, effect, State::Good);
    match effect {
        Some(effect) if effect.strength() < 1.0 => {
            let spared = likelihood(case, digest, vantage, effect.without_chance(), State::Good);
            let strength = effect.strength();
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
    let effect = Effect::on(hypothesis, vantage);
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
            State::Good => (state, weigh(good_likelihood(case, digest, vantage, effect))),
            _ => (
                state,
                prior * weigh(likelihood(case, digest, vantage, None, state)),
            ),
        })
        .collect();
    let sum: f64 = all.iter().map(|(_, p)| p).sum();
    for (_, p) in &mut all {
        *p /= sum;
    }
    all
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
    let row = Effect::on(hypothesis, vantage).map_or(HEALTHY, |e| e.row(digest, address, slot));
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
