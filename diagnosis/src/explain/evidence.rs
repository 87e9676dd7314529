//! What the verdict stands on: sentences that a person can check, each with its weight.
//!
//! The pieces are told one after the other; the Bayes factor of each is the odds of the scopes it speaks for after it,
//! over the same odds before it. So the factors of one scope multiply up to what everything together says, and a second
//! witness of the same thing counts for what it adds. A piece speaks for those scopes whose probability it raises. One
//! that lowers the odds of the scope reported is shown as well, with the (negative) factor of that scope.

use std::collections::BTreeMap;

use onlyhere_proto::{Evidence, Scope};

use super::Finding;
use super::phrase;
use super::pieces::{Piece, pieces};
use crate::posterior::Posterior;
use crate::verdict::plain_scopes;

/// A factor nearer to one says nothing.
const WORTH_SAYING: f64 = 0.02;
/// The same of what speaks against the verdict.
const WORTH_OBJECTING: f64 = 0.05;
/// Beyond ten to this, the model's noise floor and rounding decide, not the observation.
const STRONGEST: f64 = 12.0;
/// A scope less probable than this is not worth naming, unless it is the one reported.
const WORTH_NAMING: f64 = 0.001;
/// Pieces weighed, and shown, at most. Each costs one posterior.
pub(super) const PIECES: usize = 12;

type Scopes = BTreeMap<Scope, f64>;

/// All pieces that weigh anything, the strongest first; after those that speak for the verdict what speaks against it.
pub(super) fn evidence(f: Finding<'_>) -> Vec<Evidence> {
    let mut digest = f.digest.clone();
    let mut after = plain_scopes(f.case, f.digest, f.posterior);
    let mut all = Vec::new();
    // From the last one told backwards: what is left is what was known before.
    for piece in pieces(f).iter().rev() {
        piece.forget(&mut digest);
        let posterior = Posterior::of(f.case, &digest, f.posterior.hypotheses.clone());
        let before = plain_scopes(f.case, f.digest, &posterior);
        all.extend(weigh(f, piece, &before, &after));
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

fn weigh(f: Finding<'_>, piece: &Piece, before: &Scopes, after: &Scopes) -> Option<Evidence> {
    let reported = f.decision.scope;
    let raised: Vec<Scope> = after
        .keys()
        .filter(|scope| {
            let named = **scope == reported
                || (of(after, **scope) >= WORTH_NAMING && **scope != Scope::Inconclusive);
            named && of(after, **scope) > of(before, **scope) * 1.01
        })
        .copied()
        .collect();
    // Where nothing is decided there is nothing to speak against.
    let objects = reported != Scope::Inconclusive && !raised.contains(&reported);
    let factor = if objects {
        log_odds(after, &[reported]) - log_odds(before, &[reported])
    } else {
        log_odds(after, &raised) - log_odds(before, &raised)
    };
    let factor = (factor.clamp(-STRONGEST, STRONGEST) * 100.0).round() / 100.0;
    let (says, favours, worth) = if objects {
        let says = format!("Speaks against it: {}", phrase::lower(&piece.says));
        (says, raised, factor <= -WORTH_OBJECTING)
    } else {
        let worth = !raised.is_empty() && factor >= WORTH_SAYING;
        (piece.says.clone(), raised, worth)
    };
    let (says, favours, factor) = match (worth, piece.background) {
        (true, _) => (says, favours, factor),
        // The model draws nothing from it, a person may.
        (false, true) => (piece.says.clone(), Vec::new(), 0.0),
        (false, false) => return None,
    };
    Some(Evidence {
        id: String::new(),
        says,
        favours,
        log10_bayes_factor: factor,
        vantages: phrase::ids(f, &piece.vantages),
    })
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
