//! Exact Bayes over the hypotheses of a case.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use onlyhere_proto::{CauseId, Scope};

use crate::case::Case;
use crate::digest::Digest;
use crate::effect::Effect;
use crate::hidden::{ByShared, Day, Shared};
use crate::hypotheses::hypotheses;
use crate::hypothesis::Hypothesis;
use crate::latent::{good_likelihood, ill_likelihood};
use crate::look::Look;
use crate::model::{DESIGN_EFFECT, HostSeen, TEMPER};

/// How probable each hypothesis is, given everything seen.
#[derive(Debug, Clone)]
pub(crate) struct Posterior {
    /// The hypotheses.
    pub(crate) hypotheses: Arc<[Hypothesis]>,
    /// Their probabilities, adding up to one; not tempered.
    pub(crate) probabilities: Vec<f64>,
    /// How probable it is to a sceptic that all is well.
    pub(crate) well_to_a_sceptic: f64,
}

/// A sceptic believes that all is well, unless somebody saw an error, and that every other day is a rough one.
const SCEPTIC: f64 = 0.97;
const SCEPTIC_WHO_SAW: f64 = 0.8;
/// Above this the sceptic is not convinced that anything is wrong.
const UNCONVINCED: f64 = 0.2;
/// Above this it is worth asking again: what comes next may speak for the sceptic.
const HARDLY_CONVINCED: f64 = 0.05;

/// A cause in a scope, the level at which the posterior is tempered.
pub(crate) type Conclusion = (Scope, Option<CauseId>);

impl Posterior {
    /// Computes it.
    pub(crate) fn new(case: &Case, digest: &Digest) -> Self {
        Self::of(case, digest, hypotheses(case, digest).into())
    }

    /// Computes it over given hypotheses, whose priors add up to one.
    pub(crate) fn of(case: &Case, digest: &Digest, hypotheses: Arc<[Hypothesis]>) -> Self {
        let mut likelihoods = Likelihoods::new(case, digest);
        let logs: Vec<Logs> = hypotheses
            .iter()
            .map(|h| likelihoods.log_likelihood(case, digest, h))
            .collect();
        let plain = logs.iter().zip(hypotheses.iter());
        let probabilities = normalised(plain.map(|(log, h)| h.prior.ln() + log.plain).collect());
        let sceptical = logs.iter().map(|log| log.sceptical).collect();
        let seen = case.conditions.seen.is_some();
        Self {
            well_to_a_sceptic: well_to_a_sceptic(&hypotheses, sceptical, seen),
            hypotheses,
            probabilities,
        }
    }

    /// Whether somebody who takes it that all is well, and that much fails by chance, is not convinced of the contrary. What is reported must not hang on believing in a fault beforehand.
    pub(crate) fn leaves_doubt(&self) -> bool {
        self.well_to_a_sceptic > UNCONVINCED
    }

    /// Whether such a one is not convinced beyond what the next answer could shake.
    pub(crate) fn leaves_some_doubt(&self) -> bool {
        self.well_to_a_sceptic > HARDLY_CONVINCED
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

/// Probabilities from logarithms, adding up to one.
fn normalised(logs: Vec<f64>) -> Vec<f64> {
    let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|l| (l - highest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// How probable it is that nothing is wrong, by a prior that all but rules faults out.
/// What is there to be seen (a hosts entry, a tunnel, an error in a browser) is no chance: those keep their prior.
fn well_to_a_sceptic(hypotheses: &[Hypothesis], likelihoods: Vec<f64>, seen: bool) -> f64 {
    let well = |h: &Hypothesis| h.scope() == Scope::Ok;
    let unfounded = |h: &Hypothesis| !well(h) && !h.entry.needs.is_a_finding();
    let mass = |of: &dyn Fn(&Hypothesis) -> bool| -> f64 {
        let those = hypotheses.iter().filter(|h| of(h));
        those.map(|h| h.prior).sum()
    };
    let belief = if seen { SCEPTIC_WHO_SAW } else { SCEPTIC };
    let odds = (1.0 - belief) / belief;
    let factor = odds * mass(&well) / mass(&unfounded);
    let prior = |h: &Hypothesis| h.prior * if unfounded(h) { factor } else { 1.0 };
    let logs = likelihoods.iter().zip(hypotheses);
    let probabilities = normalised(logs.map(|(log, h)| log + prior(h).ln()).collect());
    let all = probabilities.iter().zip(hypotheses);
    all.filter(|(_, h)| well(h)).map(|(p, _)| p).sum()
}

/// Logarithms of a likelihood, the second but for a constant.
struct Logs {
    /// With the prior of rough days.
    plain: f64,
    /// If they are as frequent as calm ones.
    sceptical: f64,
}

/// The logarithm of a sum.
fn add(a: f64, b: f64) -> f64 {
    let highest = a.max(b);
    highest + ((a - highest).exp() + (b - highest).exp()).ln()
}

/// With a hasher that has no random seed: nothing here may differ from run to run.
type Known<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Vantages that look the same are weighed once. Most hypotheses leave most of them alone, so what each look is worth if
/// nothing strikes it is kept.
struct Likelihoods {
    /// The look of each vantage.
    look: Vec<usize>,
    /// A vantage of each look.
    example: Vec<usize>,
    /// Of each vantage.
    weights: Vec<f64>,
    /// Logarithms by look, if nothing strikes it.
    untouched: Vec<ByShared>,
    /// By look, if the vantage is ill.
    ill: Vec<ByShared>,
    /// By number of the fault and look, if it alone strikes: most pairs of faults are weighed from these.
    alone: Known<(usize, usize), ByShared>,
}

impl Likelihoods {
    fn new(case: &Case, digest: &Digest) -> Self {
        let mut looks: Known<Look<'_>, usize> = Known::default();
        let mut example = Vec::new();
        let look: Vec<usize> = (0..case.vantages.len())
            .map(|v| {
                *looks.entry(Look::of(case, digest, v)).or_insert_with(|| {
                    example.push(v);
                    example.len() - 1
                })
            })
            .collect();
        let ill: Vec<ByShared> = example
            .iter()
            .map(|v| ill_likelihood(case, digest, *v))
            .collect();
        let untouched = example
            .iter()
            .zip(&ill)
            .map(|(v, ill)| logarithm(good_likelihood(case, digest, *v, None), *ill))
            .collect();
        Self {
            look,
            example,
            weights: weights(case, digest),
            untouched,
            ill,
            alone: Known::default(),
        }
    }

    fn log_likelihood(&mut self, case: &Case, digest: &Digest, hypothesis: &Hypothesis) -> Logs {
        let must_answer = hypothesis.entry.host == HostSeen::Alive;
        let shared = Shared::all(must_answer);
        let mut logs = shared.map(|(_, prior)| prior.ln());
        for (look, struck) in self.struck(hypothesis).into_iter().enumerate() {
            for (index, weight) in struck.into_iter().enumerate() {
                if weight == 0.0 {
                    continue;
                }
                let of_look = self.of_look(case, digest, hypothesis, look, index);
                for (log, p) in logs.iter_mut().zip(of_look) {
                    *log += weight * p;
                }
            }
        }
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = |of: &dyn Fn(&Shared) -> bool| -> f64 {
            let those = logs.iter().zip(&shared).filter(|(_, (s, _))| of(s));
            highest + those.map(|(l, _)| (l - highest).exp()).sum::<f64>().ln()
        };
        let by_day = Day::ALL.map(|(day, prior)| (sum(&|s| s.day == day), prior.ln()));
        let [(calm, of_calm), (rough, of_rough)] = by_day;
        Logs {
            plain: add(calm, rough),
            sceptical: add(calm - of_calm, rough - of_rough),
        }
    }

    /// Logarithms of one look, struck by nothing (0), the fault (1), the nearer fault (2), both (3).
    fn of_look(
        &mut self,
        case: &Case,
        digest: &Digest,
        hypothesis: &Hypothesis,
        look: usize,
        index: usize,
    ) -> ByShared {
        let number = match (index, &hypothesis.near) {
            (0, _) => return self.untouched[look],
            (1, _) => Some(hypothesis.number),
            (2, Some(near)) => Some(near.number),
            _ => None,
        };
        if let Some(known) = number.and_then(|n| self.alone.get(&(n, look))) {
            return *known;
        }
        let effect = Effect::of(hypothesis, index & 1 != 0, index & 2 != 0);
        let good = good_likelihood(case, digest, self.example[look], effect);
        let of_look = logarithm(good, self.ill[look]);
        if let Some(number) = number {
            self.alone.insert((number, look), of_look);
        }
        of_look
    }

    /// By look, the weight of its vantages that are struck by nothing, by the fault, by the nearer fault, by both.
    fn struck(&self, hypothesis: &Hypothesis) -> Vec<[f64; 4]> {
        let mut struck = vec![[0.0; 4]; self.example.len()];
        let near = hypothesis.near.as_ref();
        for (vantage, look) in self.look.iter().enumerate() {
            let main = usize::from(hypothesis.affected[vantage]);
            let near = usize::from(near.is_some_and(|n| n.affected[vantage]));
            struck[*look][main + 2 * near] += self.weights[vantage];
        }
        struck
    }
}

fn logarithm(good: ByShared, ill: ByShared) -> ByShared {
    std::array::from_fn(|i| (good[i] + ill[i]).ln())
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
