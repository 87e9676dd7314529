//! Exact Bayes over the hypotheses of a case.

use std::collections::BTreeMap;

use onlyhere_proto::{CauseId, Scope};

use crate::case::Case;
use crate::digest::Digest;
use crate::hidden::{ByHabits, HostHabits};
use crate::hypothesis::{Hypothesis, hypotheses};
use crate::latent::{good_likelihood, ill_likelihood};
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
        Self::of(case, digest, hypotheses(case, digest))
    }

    /// Computes it over given hypotheses, whose priors add up to one.
    pub(crate) fn of(case: &Case, digest: &Digest, hypotheses: Vec<Hypothesis>) -> Self {
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
        let mut sums = self.plain_conclusions();
        let tempered: f64 = sums.values().map(|p| p.powf(TEMPER)).sum();
        for p in sums.values_mut() {
            *p = p.powf(TEMPER) / tempered;
        }
        sums
    }

    /// Probability of every cause in its scope as the model has it, not tempered.
    pub(crate) fn plain_conclusions(&self) -> BTreeMap<Conclusion, f64> {
        let mut sums: BTreeMap<Conclusion, f64> = BTreeMap::new();
        for (hypothesis, p) in self.hypotheses.iter().zip(&self.probabilities) {
            *sums
                .entry((hypothesis.scope(), hypothesis.cause()))
                .or_default() += p;
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

/// Per vantage, what it saw if nothing affects it and if it is ill: most hypotheses leave most vantages alone, so the
/// sum over all is kept and only the affected are computed anew.
struct Likelihoods {
    /// Weighted logarithms, by vantage.
    unaffected: Vec<ByHabits>,
    /// Their sum.
    all_unaffected: ByHabits,
    ill: Vec<ByHabits>,
    weights: Vec<f64>,
}

impl Likelihoods {
    fn new(case: &Case, digest: &Digest) -> Self {
        let weights = weights(case, digest);
        let ill: Vec<ByHabits> = (0..case.vantages.len())
            .map(|v| ill_likelihood(case, digest, v))
            .collect();
        let unaffected: Vec<ByHabits> = (0..case.vantages.len())
            .map(|v| {
                let good = good_likelihood(case, digest, v, None);
                weighted(weights[v], good, ill[v])
            })
            .collect();
        let all_unaffected =
            std::array::from_fn(|habit| unaffected.iter().map(|of| of[habit]).sum());
        Self {
            unaffected,
            all_unaffected,
            ill,
            weights,
        }
    }

    fn log_likelihood(&self, case: &Case, digest: &Digest, hypothesis: &Hypothesis) -> f64 {
        let must_answer = hypothesis.entry.host == HostSeen::Alive;
        let mut logs = self.all_unaffected;
        for (log, (_, prior)) in logs.iter_mut().zip(HostHabits::all(must_answer)) {
            *log += prior.ln();
        }
        let affected = (0..case.vantages.len()).filter(|v| hypothesis.affected[*v]);
        for vantage in affected {
            let good = good_likelihood(case, digest, vantage, Some(hypothesis));
            let anew = weighted(self.weights[vantage], good, self.ill[vantage]);
            for (habit, log) in logs.iter_mut().enumerate() {
                *log += anew[habit] - self.unaffected[vantage][habit];
            }
        }
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        highest + logs.iter().map(|l| (l - highest).exp()).sum::<f64>().ln()
    }
}

fn weighted(weight: f64, good: ByHabits, ill: ByHabits) -> ByHabits {
    std::array::from_fn(|habit| weight * (good[habit] + ill[habit]).ln())
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
