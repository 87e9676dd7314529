//! What the verdict stands on: sentences that a person can check, each with its weight.
//!
//! The pieces are told one after the other; the Bayes factor of each is the odds of the scopes it speaks for after it,
//! over the same odds before it. So the factors of one scope multiply up to what everything together says, and a second
//! witness of the same thing counts for what it adds. A piece speaks for those scopes whose probability it raises. One
//! without which the scope reported would be surer is shown as well, with its (negative) factor; one that tells the cause
//! from others of the same scope, or that a person should know, with the factor 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use onlyhere_proto::{Evidence, Scope};

use super::Finding;
use super::phrase;
use super::pieces::{Piece, pieces};
use crate::posterior::Posterior;
use crate::verdict::plain_scopes;

/// A factor nearer to one says nothing.
const WORTH_SAYING: f64 = 0.02;
/// The same of what speaks against the verdict.
const WORTH_OBJECTING: f64 = 0.15;
/// The same of what tells the cause from others of its scope.
const WORTH_OF_CAUSE: f64 = 0.10;
/// Beyond ten to this, the model's noise floor and rounding decide, not the observation.
const STRONGEST: f64 = 12.0;
/// A scope less probable than this is not worth naming, unless it is the one reported.
const WORTH_NAMING: f64 = 0.001;
/// Pieces weighed, and shown, at most. Each costs one posterior.
pub(super) const PIECES: usize = 12;

type Scopes = BTreeMap<Scope, f64>;

/// What is thought at one point of the telling.
struct Belief {
    scopes: Scopes,
    /// Log-odds of the cause that is reported first.
    cause: f64,
}

impl Belief {
    fn of(f: Finding<'_>, posterior: &Posterior) -> Self {
        let all = posterior.hypotheses.iter().zip(&posterior.probabilities);
        let p: f64 = all
            .filter(|(h, _)| h.cause() == f.decision.cause())
            .map(|(_, p)| p)
            .sum();
        Self {
            scopes: plain_scopes(f.case, f.digest, posterior),
            cause: (p.max(1e-12) / (1.0 - p).max(1e-12)).log10(),
        }
    }
}

/// All pieces that weigh anything, the strongest first; after those that speak for the verdict what speaks against it.
pub(super) fn evidence(f: Finding<'_>) -> Vec<Evidence> {
    let mut digest = f.digest.clone();
    let known = without_unlikely_pairs(f.posterior);
    let mut after = Belief::of(f, &known);
    let mut all = Vec::new();
    // From the last one told backwards: what is left is what was known before.
    for piece in pieces(f).iter().rev() {
        piece.forget(&mut digest);
        let posterior = Posterior::of(f.case, &digest, Arc::clone(&known.hypotheses));
        let before = Belief::of(f, &posterior);
        let objection = || objection(f, &known, piece);
        all.extend(weigh(f, piece, &before, &after, objection));
        after = before;
    }
    all.sort_by(|a, b| {
        b.log10_bayes_factor
            .total_cmp(&a.log10_bayes_factor)
            .then_with(|| a.says.cmp(&b.says))
    });
    all.truncate(PIECES);
    for (index, evidence) in all.iter_mut().enumerate() {
        evidence.id = format!("E{}", index + 1);
    }
    all
}

/// Two faults at once that are as good as ruled out: their prior is so small that they weigh nothing in what was known
/// before, either, and there are many of them.
fn without_unlikely_pairs(posterior: &Posterior) -> Posterior {
    let kept = || {
        let all = posterior.hypotheses.iter().zip(&posterior.probabilities);
        all.filter(|(h, p)| h.near.is_none() || **p >= WORTH_NAMING)
    };
    let sum: f64 = kept().map(|(_, p)| p).sum();
    Posterior {
        hypotheses: kept().map(|(h, _)| h.clone()).collect(),
        probabilities: kept().map(|(_, p)| p / sum).collect(),
        well_to_a_sceptic: posterior.well_to_a_sceptic,
    }
}

/// The factor that a piece has for the scope reported, told last of all: against everything else that is known. The
/// place in the telling makes objections of facts that others explain, such as a refusal before it is known who made it.
fn objection(f: Finding<'_>, known: &Posterior, piece: &Piece) -> f64 {
    let mut digest = f.digest.clone();
    piece.forget(&mut digest);
    let without = Posterior::of(f.case, &digest, Arc::clone(&known.hypotheses));
    let odds = |p: &Posterior| log_odds(&plain_scopes(f.case, f.digest, p), &[f.decision.scope]);
    odds(known) - odds(&without)
}

fn weigh(
    f: Finding<'_>,
    piece: &Piece,
    before: &Belief,
    after: &Belief,
    objection: impl FnOnce() -> f64,
) -> Option<Evidence> {
    let reported = f.decision.scope;
    let raised = raised(reported, &before.scopes, &after.scopes);
    let tells_cause = f.decision.cause().is_some() && after.cause - before.cause >= WORTH_OF_CAUSE;
    // Where nothing is decided there is nothing to speak against.
    let objects = reported != Scope::Inconclusive && !raised.contains(&reported);
    let favoured = if objects {
        vec![reported]
    } else {
        raised.clone()
    };
    let factor = log_odds(&after.scopes, &favoured) - log_odds(&before.scopes, &favoured);
    let factor = match objects && !tells_cause && factor <= -WORTH_OBJECTING {
        true => objection(),
        false => factor,
    };
    let factor = (factor.clamp(-STRONGEST, STRONGEST) * 100.0).round() / 100.0;
    let (says, favours, factor) = if !objects && !raised.is_empty() && factor >= WORTH_SAYING {
        (piece.says.clone(), raised, factor)
    } else if objects && !tells_cause && factor <= -WORTH_OBJECTING {
        let says = format!("Speaks against it: {}", phrase::lower(&piece.says));
        (says, raised, factor)
    } else if tells_cause || piece.background {
        // It says nothing of the scope, but of the cause, or to a person.
        (piece.says.clone(), Vec::new(), 0.0)
    } else {
        return None;
    };
    Some(Evidence {
        id: String::new(),
        says,
        favours,
        log10_bayes_factor: factor,
        vantages: phrase::ids(f, &piece.vantages),
    })
}

/// Scopes that are worth naming and become likelier.
fn raised(reported: Scope, before: &Scopes, after: &Scopes) -> Vec<Scope> {
    after
        .keys()
        .filter(|scope| {
            let named = **scope == reported
                || (of(after, **scope) >= WORTH_NAMING && **scope != Scope::Inconclusive);
            named && of(after, **scope) > of(before, **scope) * 1.01
        })
        .copied()
        .collect()
}

fn of(scopes: &Scopes, scope: Scope) -> f64 {
    scopes.get(&scope).copied().unwrap_or(0.0)
}

/// Odds of some scopes against the rest, as a logarithm.
fn log_odds(scopes: &Scopes, favoured: &[Scope]) -> f64 {
    let p: f64 = favoured.iter().map(|s| of(scopes, *s)).sum();
    let q: f64 = scopes
        .iter()
        .filter(|(s, _)| !favoured.contains(s))
        .map(|(_, p)| p)
        .sum();
    (p.max(1e-12) / q.max(1e-12)).log10()
}
