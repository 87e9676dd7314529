//! Exact Bayes over the hypotheses of a case.

use std::collections::BTreeMap;

use onlyhere_proto::{CauseId, Scope};

use crate::case::Case;
use crate::digest::Digest;
use crate::hypothesis::{Hypothesis, hypotheses};
use crate::latent::{HostHabits, vantage_likelihood};
use crate::model::{DESIGN_EFFECT, HostSeen, TEMPER};

/// How probable each hypothesis is, given everything seen.
#[derive(Debug, Clone)]
pub(crate) struct Posterior {
    /// The hypotheses.
    pub(crate) hypotheses: Vec<Hypothesis>,
    /// Their probabilities, adding up to one; not tempered.
    pub(crate) probabilities: Vec<f64>,
}

/// A cause in a scope, the level at which the posterior is tempered.
pub(crate) type Conclusion = (Scope, Option<CauseId>);

impl Posterior {
    /// Computes it.
    pub(crate) fn new(case: &Case, digest: &Digest) -> Self {
        let hypotheses = hypotheses(case, digest);
        let likelihoods = Likelihoods::new(case, digest);
        let logs: Vec<f64> = hypotheses
            .iter()
            .map(|h| h.prior.ln() + likelihoods.log_likelihood(case, digest, h))
            .collect();
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut probabilities: Vec<f64> = logs.iter().map(|l| (l - highest).exp()).collect();
        let sum: f64 = probabilities.iter().sum();
        for p in &mut probabilities {
            *p /= sum;
        }
        Self {
            hypotheses,
            probabilities,
        }
    }

    /// The likeliest hypothesis.
    pub(crate) fn best(&self) -> Option<&Hypothesis> {
        self.best_of(|_| true)
    }

    /// The likeliest hypothesis of those that pass; the first of equals.
    pub(crate) fn best_of(&self, passes: impl Fn(&Hypothesis) -> bool) -> Option<&Hypothesis> {
        let mut best: Option<(&Hypothesis, f64)> = None;
        for (hypothesis, p) in self.hypotheses.iter().zip(&self.probabilities) {
            if passes(hypothesis) && best.is_none_or(|(_, q)| *p > q) {
                best = Some((hypothesis, *p));
            }
        }
        best.map(|(hypothesis, _)| hypothesis)
    }

    /// Probability of every cause in its scope, tempered, adding up to one.
    ///
    /// The exponent is put on this level and not on single hypotheses: a cause that the model splits into many modes
    /// would otherwise gain from the split alone.
    pub(crate) fn conclusions(&self) -> BTreeMap<Conclusion, f64> {
        let mut sums: BTreeMap<Conclusion, f64> = BTreeMap::new();
        for (hypothesis, p) in self.hypotheses.iter().zip(&self.probabilities) {
            *sums
                .entry((hypothesis.scope(), hypothesis.cause()))
                .or_default() += p;
        }
        let tempered: f64 = sums.values().map(|p| p.powf(TEMPER)).sum();
        for p in sums.values_mut() {
            *p = p.powf(TEMPER) / tempered;
        }
        sums
    }

    /// Probability of every scope as the model has it, not tempered: what the stop rule looks at.
    pub(crate) fn plain_scopes(&self) -> BTreeMap<Scope, f64> {
        let mut scopes = BTreeMap::new();
        for (hypothesis, p) in self.hypotheses.iter().zip(&self.probabilities) {
            *scopes.entry(hypothesis.scope()).or_default() += p;
        }
        scopes
    }

    /// Probability of every scope, tempered.
    pub(crate) fn scopes(&self) -> BTreeMap<Scope, f64> {
        let mut scopes = BTreeMap::new();
        for ((scope, _), p) in self.conclusions() {
            *scopes.entry(scope).or_default() += p;
        }
        scopes
    }
}

/// Per vantage and host habit, what it saw if nothing affects it: most hypotheses leave most vantages alone.
struct Likelihoods {
    unaffected: Vec<[f64; 4]>,
    weights: Vec<f64>,
}

impl Likelihoods {
    fn new(case: &Case, digest: &Digest) -> Self {
        let nobody = crate::hypothesis::nobody(case.vantages.len());
        let unaffected = (0..case.vantages.len())
            .map(|v| {
                let mut all = [0.0; 4];
                for (slot, (habits, _)) in all.iter_mut().zip(HostHabits::all(false)) {
                    *slot = vantage_likelihood(case, digest, v, &nobody, habits).ln();
                }
                all
            })
            .collect();
        Self {
            unaffected,
            weights: weights(case, digest),
        }
    }

    fn log_likelihood(&self, case: &Case, digest: &Digest, hypothesis: &Hypothesis) -> f64 {
        let must_answer = hypothesis.entry.host == HostSeen::Alive;
        let of_habits: Vec<f64> = HostHabits::all(must_answer)
            .into_iter()
            .map(|(habits, prior)| {
                let column = HostHabits::all(false)
                    .iter()
                    .position(|(h, _)| *h == habits)
                    .unwrap_or(0);
                let sum: f64 = (0..case.vantages.len())
                    .map(|v| {
                        self.weights[v]
                            * if hypothesis.affected[v] {
                                vantage_likelihood(case, digest, v, hypothesis, habits).ln()
                            } else {
                                self.unaffected[v][column]
                            }
                    })
                    .sum();
                prior.ln() + sum
            })
            .collect();
        let highest = of_habits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        highest
            + of_habits
                .iter()
                .map(|l| (l - highest).exp())
                .sum::<f64>()
                .ln()
    }
}

/// The design effect: vantages of one AS share their way, so each of n counts 1 / (1 + .2 (n - 1)). The subject's own
/// word is the question itself and counts in full.
fn weights(case: &Case, digest: &Digest) -> Vec<f64> {
    let subject = case.subject_index();
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    for (index, vantage) in case.vantages.iter().enumerate() {
        if let Some(asn) = vantage.asn
            && Some(index) != subject
            && digest.vantages[index].says_something()
        {
            *sizes.entry(asn).or_default() += 1;
        }
    }
    case.vantages
        .iter()
        .enumerate()
        .map(|(index, vantage)| match vantage.asn {
            Some(asn) if Some(index) != subject => {
                let n = sizes.get(&asn).copied().unwrap_or(1).max(1) as f64;
                1.0 / (1.0 + DESIGN_EFFECT * (n - 1.0))
            }
            _ => 1.0,
        })
        .collect()
}
