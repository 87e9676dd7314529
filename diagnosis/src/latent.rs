//! What one vantage saw, given a hypothesis: the vantage's own hidden state is summed out, never voted away.

use onlyhere_proto::Stage;

use crate::case::Case;
use crate::digest::Digest;
use crate::effect::{Effect, likelihood};
use crate::hidden::{ByShared, Shared, State, states};
use crate::hypothesis::Hypothesis;
use crate::rows::*;

/// What one vantage saw if it is ill, summed over the ways to be ill with their prior. The hypothesis does not matter
/// to it: an ill vantage's word follows from its illness.
pub(crate) fn ill_likelihood(case: &Case, digest: &Digest, vantage: usize) -> ByShared {
    let mut sum = Shared::by_day(|_| 0.0);
    for state in [State::Broken, State::PathBad, State::Banned] {
        let prior = prior_of(case, vantage, state);
        if prior.iter().all(|p| *p == 0.0) {
            continue;
        }
        let of_state = likelihood(case, digest, vantage, None, state);
        for ((total, prior), p) in sum.iter_mut().zip(prior).zip(of_state) {
            *total += prior * p;
        }
    }
    sum
}

/// The prior of a state of a vantage, by the day.
fn prior_of(case: &Case, vantage: usize, state: State) -> ByShared {
    Shared::by_day(|day| {
        let of_state = states(case, vantage, day)
            .into_iter()
            .find(|(s, _)| *s == state);
        of_state.map_or(0.0, |(_, prior)| prior)
    })
}

/// What one vantage saw if it is in order, times the prior of that.
pub(crate) fn good_likelihood(
    case: &Case,
    digest: &Digest,
    vantage: usize,
    effect: Option<Effect<'_>>,
) -> ByShared {
    let prior = prior_of(case, vantage, State::Good);
    let struck = likelihood(case, digest, vantage, effect, State::Good);
    match effect {
        Some(effect) if effect.strength() < 1.0 => {
            let spared = likelihood(case, digest, vantage, effect.without_chance(), State::Good);
            let strength = effect.strength();
            std::array::from_fn(|i| {
                prior[i] * (strength * struck[i] + (1.0 - strength) * spared[i])
            })
        }
        _ => std::array::from_fn(|i| prior[i] * struck[i]),
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
    let weigh = |p: ByShared| -> f64 {
        Shared::all(false)
            .iter()
            .zip(p)
            .map(|((_, prior), p)| prior * p)
            .sum()
    };
    let mut all: Vec<(State, f64)> = [State::Good, State::Broken, State::PathBad, State::Banned]
        .into_iter()
        .map(|state| {
            let of_state = match state {
                State::Good => good_likelihood(case, digest, vantage, effect),
                _ => {
                    let prior = prior_of(case, vantage, state);
                    let p = likelihood(case, digest, vantage, None, state);
                    std::array::from_fn(|i| prior[i] * p[i])
                }
            };
            (state, weigh(of_state))
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
