//! What the verdict stands on: sentences that a person can check, each with its weight.
//!
//! The pieces are told one after the other; the Bayes factor of each is the odds of the scopes it speaks for after it,
//! over the same odds before it. So the factors of one scope multiply up to what everything together says, and a second
//! witness of the same thing counts for what it adds. A piece speaks for those scopes whose probability it raises.

use std::collections::BTreeMap;

use onlyhere_proto::{Evidence, Scope};

use super::Finding;
use super::phrase;
use super::pieces::{Piece, pieces};
use crate::posterior::Posterior;
use crate::verdict::plain_scopes;

/// A factor nearer to one says nothing.
const WORTH_SAYING: f64 = 0.02;
/// Beyond ten to this, the model's noise floor and rounding decide, not the observation.
const STRONGEST: f64 = 12.0;
/// A scope less probable than this is not worth naming, unless it is the one reported.
const WORTH_NAMING: f64 = 0.001;
/// Pieces shown at most.
const PIECES: usize = 12;

type Scopes = BTreeMap<Scope, f64>;

/// All pieces that weigh anything, the strongest first.
pub(super) fn evidence(f: Finding<'_>) -> Vec<Evidence> {
    let pieces = pieces(f);
    let mut before = scopes_without(f, &pieces);
    let mut all = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let after = scopes_without(f, &pieces[index + 1..]);
        all.extend(weigh(f, piece, &before, &after));
        before = after;
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

/// Probabilities of the scopes when some pieces are not known.
fn scopes_without(f: Finding<'_>, unknown: &[Piece]) -> Scopes {
    let mut digest = f.digest.clone();
    for piece in unknown {
        piece.forget(&mut digest);
    }
    let posterior = Posterior::of(f.case, &digest, f.posterior.hypotheses.clone());
    plain_scopes(f.case, f.digest, &posterior)
}

fn weigh(f: Finding<'_>, piece: &Piece, before: &Scopes, after: &Scopes) -> Option<Evidence> {
    let of = |scopes: &Scopes, scope: &Scope| scopes.get(scope).copied().unwrap_or(0.0);
    let favours: Vec<Scope> = after
        .keys()
        .filter(|scope| {
            let named = **scope == f.decision.scope
                || (of(after, scope) >= WORTH_NAMING && **scope != Scope::Inconclusive);
            named && of(after, scope) > of(before, scope) * 1.01
        })
        .copied()
        .collect();
    let odds = |scopes: &Scopes| {
        let p: f64 = favours.iter().map(|s| of(scopes, s)).sum();
        let q: f64 = scopes
            .iter()
            .filter(|(s, _)| !favours.contains(s))
            .map(|(_, p)| p)
            .sum();
        (p.max(1e-12) / q.max(1e-12)).log10()
    };
    let factor = (odds(after) - odds(before)).clamp(-STRONGEST, STRONGEST);
    (!favours.is_empty() && factor >= WORTH_SAYING).then(|| Evidence {
        id: String::new(),
        says: piece.says.clone(),
        favours,
        log10_bayes_factor: (factor * 100.0).round() / 100.0,
        vantages: phrase::ids(f, &piece.vantages),
    })
}
