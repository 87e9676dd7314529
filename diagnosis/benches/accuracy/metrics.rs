//! From verdicts and truths to figures.

use std::collections::BTreeMap;

use onlyhere_proto::{Actor, CauseId, Scope, Verdict};

use crate::drive::Run;
use crate::network::Truth;

/// A verdict counts as naming its cause, not only its scope, from this probability on.
const NAMED: f64 = 0.8;
/// What a cause must have to be "shown".
const SHOWN: f64 = 0.02;

/// What a verdict says, reduced to what is judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) scope: Scope,
    /// The likeliest; `None`: none.
    pub(crate) cause: Option<CauseId>,
    pub(crate) actor: Actor,
    /// Causes that are shown, with their probabilities.
    pub(crate) causes: Vec<(CauseId, f64)>,
    pub(crate) ok: f64,
    pub(crate) confidence: f64,
}

impl Said {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        let causes: Vec<_> = verdict
            .causes
            .iter()
            .map(|c| (c.id, c.probability))
            .collect();
        let silent = matches!(verdict.scope, Scope::Ok | Scope::Inconclusive);
        let first = causes.first().map(|c| c.0).filter(|_| !silent);
        Self {
            scope: verdict.scope,
            cause: first,
            actor: verdict.actor,
            causes,
            ok: verdict.scopes.get(&Scope::Ok).copied().unwrap_or(0.0),
            confidence: verdict.confidence,
        }
    }

    pub(crate) fn label(&self) -> &'static str {
        match self.scope {
            Scope::Inconclusive => "inconclusive",
            _ => self.cause.map_or("ok", CauseId::label),
        }
    }

    fn probability(&self, cause: Option<CauseId>) -> f64 {
        match cause {
            None => self.ok,
            Some(id) => self.causes.iter().filter(|c| c.0 == id).map(|c| c.1).sum(),
        }
    }
}

/// How a verdict compares with the truth. *Tolerant*: what nobody outside can tell apart counts as right where the truth
/// is among the causes shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) scope: bool,
    pub(crate) cause: bool,
    pub(crate) tolerant: bool,
    pub(crate) actor: bool,
    pub(crate) reported: bool,
    /// Of what is reported: scope, and the cause where one is named.
    pub(crate) precise: bool,
}

pub(crate) fn compare(truth: &Truth, said: &Said) -> Right {
    let also = truth.also.contains(&(said.cause, said.scope));
    let reported = said.scope != Scope::Inconclusive;
    let cause = reported && (said.cause == truth.cause || also);
    let alike_scope =
        truth.scopes.contains(&said.scope) || truth.lookalike_scopes.contains(&said.scope);
    let shows = truth
        .cause
        .is_some_and(|id| said.probability(Some(id)) >= SHOWN);
    let alike = said.cause.is_some_and(|id| truth.lookalikes.contains(&id));
    let lookalike = reported && alike && alike_scope && shows;
    let named = said.causes.first().is_some_and(|c| c.1 >= NAMED) || said.cause.is_none();
    let scope = truth.scopes.contains(&said.scope) || also || lookalike;
    let tolerant = cause || lookalike;
    Right {
        scope: scope && reported,
        cause,
        tolerant,
        actor: truth.actors.contains(&said.actor) || also,
        reported,
        precise: reported && scope && (tolerant || !named),
    }
}

/// One case, judged.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) class: &'static str,
    pub(crate) stream: u64,
    pub(crate) truth: Truth,
    pub(crate) said: Said,
    pub(crate) right: Right,
    pub(crate) asked: usize,
    pub(crate) after_opening: usize,
    /// From when on what was shown stayed right.
    pub(crate) right_ms: Option<f64>,
    pub(crate) concluded_ms: f64,
    pub(crate) out_of_time: bool,
    /// It wanted to be woken in the past.
    pub(crate) spins: bool,
    pub(crate) stopped_early: bool,
    /// The answers that were not waited for would have changed the scope.
    pub(crate) changed: bool,
}

pub(crate) fn judge(class: &'static str, stream: u64, truth: &Truth, run: &Run) -> Judged {
    let said = Said::of(&run.verdict);
    let right = compare(truth, &said);
    let is_right = |v: &Verdict| {
        let right = compare(truth, &Said::of(v));
        right.scope && right.tolerant
    };
    let mut right_ms = (right.scope && right.tolerant).then_some(run.concluded_ms);
    if right_ms.is_some() {
        let stayed = run
            .shown
            .iter()
            .rev()
            .take_while(|(_, shown)| is_right(shown));
        right_ms = stayed.last().map(|(at, _)| *at).or(right_ms);
    }
    Judged {
        class,
        stream,
        truth: truth.clone(),
        right,
        asked: run.asks.len(),
        after_opening: run.asks.len() - run.opening,
        right_ms,
        concluded_ms: run.concluded_ms,
        out_of_time: run.out_of_time,
        spins: run.spins > 0,
        stopped_early: run.heard_out.is_some(),
        changed: run
            .heard_out
            .as_ref()
            .is_some_and(|v| v.scope != said.scope),
        said,
    }
}

/// A share with its Wilson interval of 95 %.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) hits: usize,
    pub(crate) of: usize,
}

impl Share {
    pub(crate) fn count<'a>(
        judged: impl IntoIterator<Item = &'a Judged>,
        hit: impl Fn(&Judged) -> bool,
    ) -> Self {
        let mut share = Self { hits: 0, of: 0 };
        for case in judged {
            share.of += 1;
            share.hits += usize::from(hit(case));
        }
        share
    }

    pub(crate) fn value(self) -> f64 {
        self.hits as f64 / self.of.max(1) as f64
    }

    pub(crate) fn wilson(self) -> (f64, f64) {
        let (n, p, z) = (self.of.max(1) as f64, self.value(), 1.96);
        let middle = p + z * z / (2.0 * n);
        let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        ((middle - reach).max(0.0) / scale, (middle + reach) / scale)
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.wilson();
        write!(
            f,
            "{:5.1} % [{:4.1}, {:5.1}]",
            100.0 * self.value(),
            100.0 * low,
            100.0 * high
        )
    }
}

/// Mean F1 over the causes that occur; `tolerant` takes a lookalike for the cause.
pub(crate) fn macro_f1(judged: &[Judged], tolerant: bool) -> f64 {
    let mut counts: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    for case in judged {
        let is = case.truth.label();
        let hit = if tolerant {
            case.right.tolerant
        } else {
            case.right.cause
        };
        let said = if hit { is } else { case.said.label() };
        counts.entry(is).or_default()[usize::from(!hit)] += 1.0;
        if !hit {
            counts.entry(said).or_default()[2] += 1.0;
        }
    }
    let occurring = counts
        .values()
        .filter(|[hit, missed, _]| hit + missed > 0.0);
    let f1: Vec<f64> = occurring
        .map(|[hit, missed, wrong]| 2.0 * hit / (2.0 * hit + missed + wrong))
        .collect();
    f1.iter().sum::<f64>() / f1.len().max(1) as f64
}

/// Mean squared distance between the probabilities of the causes and the truth, summed over causes. `tolerant` adds up
/// what cannot be told apart.
pub(crate) fn brier(judged: &[Judged], tolerant: bool) -> f64 {
    let one = |case: &Judged| {
        let mut is = vec![case.truth.cause];
        if tolerant {
            is.extend(case.truth.lookalikes.iter().map(|id| Some(*id)));
            is.extend(case.truth.also.iter().map(|(id, _)| *id));
            is.sort();
            is.dedup();
        }
        let right: f64 = is.iter().map(|c| case.said.probability(*c)).sum();
        let mut all: Vec<_> = case.said.causes.iter().map(|c| (Some(c.0), c.1)).collect();
        all.push((None, case.said.ok));
        let wrong: f64 = all
            .iter()
            .filter(|(c, _)| !is.contains(c))
            .map(|(_, p)| p * p)
            .sum();
        (1.0 - right).powi(2) + wrong
    };
    judged.iter().map(one).sum::<f64>() / judged.len().max(1) as f64
}

/// Expected calibration error over ten bins of a probability and whether it was right.
pub(crate) fn calibration_error(pairs: impl IntoIterator<Item = (f64, bool)>) -> f64 {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for (probability, right) in pairs {
        let bin = &mut bins[((probability * 10.0) as usize).min(9)];
        *bin = (
            bin.0 + 1.0,
            bin.1 + probability,
            bin.2 + f64::from(u8::from(right)),
        );
    }
    let all: f64 = bins.iter().map(|b| b.0).sum();
    bins.iter()
        .map(|(_, p, hits)| (p - hits).abs())
        .sum::<f64>()
        / all.max(1.0)
}

/// The value that this share of all does not exceed.
pub(crate) fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
