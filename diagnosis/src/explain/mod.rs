//! Puts a decision into words: headline, evidence, advisories, what would decide.

mod advisory;
mod evidence;
mod headline;
mod next;
mod phrase;
mod pieces;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{Scope, Verdict};

use crate::case::Case;
use crate::causes::{self, Circumstances};
use crate::digest::Digest;
use crate::hypothesis::Hypothesis;
use crate::posterior::Posterior;
use crate::verdict::{Decision, best_reported};

/// Everything that the sentences are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finding<'a> {
    /// The case.
    pub(crate) case: &'a Case,
    /// What was seen.
    pub(crate) digest: &'a Digest,
    /// What to think of it.
    pub(crate) posterior: &'a Posterior,
    /// What was decided.
    pub(crate) decision: &'a Decision,
    /// The likeliest hypothesis behind it.
    pub(crate) best: Option<&'a Hypothesis>,
    /// Vantages whose word was not waited for.
    pub(crate) stragglers: &'a BTreeSet<usize>,
}

/// The verdict in words.
pub(crate) fn verdict(
    case: &Case,
    digest: &Digest,
    posterior: &Posterior,
    decision: &Decision,
    stragglers: &BTreeSet<usize>,
    complete: bool,
) -> Verdict {
    let finding = Finding {
        case,
        digest,
        posterior,
        decision,
        best: best_reported(case, digest, posterior, decision),
        stragglers,
    };
    let circumstances = finding.circumstances();
    Verdict {
        scope: decision.scope,
        mechanism: decision.mechanism,
        headline: headline::headline(finding),
        actor: decision.actor,
        confidence: round(decision.confidence),
        intermittent: decision.intermittent,
        complete,
        scopes: rounded(&decision.scopes),
        causes: decision
            .causes
            .iter()
            .map(|(id, p)| causes::report(case, *id, round(*p), circumstances))
            .collect(),
        // Weighing it costs a posterior for each piece; what is provisional changes before it is read.
        evidence: if complete {
            evidence::evidence(finding)
        } else {
            Vec::new()
        },
        advisories: advisory::advisories(finding),
        next: next::next(finding),
    }
}

/// Probabilities are shown to four digits: more would claim a precision that no model has.
fn round(p: f64) -> f64 {
    (p * 10_000.0).round() / 10_000.0
}

/// Six digits each; the largest takes what rounding leaves, so that they still add up to one.
fn rounded(scopes: &BTreeMap<Scope, f64>) -> BTreeMap<Scope, f64> {
    let mut millionths: BTreeMap<Scope, i64> = scopes
        .iter()
        .map(|(scope, p)| (*scope, (p * 1e6).round() as i64))
        .collect();
    let rest = 1_000_000 - millionths.values().sum::<i64>();
    if let Some(largest) = millionths.values_mut().max() {
        *largest += rest;
    }
    millionths
        .into_iter()
        .map(|(scope, n)| (scope, n as f64 / 1e6))
        .collect()
}

impl Finding<'_> {
    /// The subject's place among the vantages.
    pub(crate) fn subject(self) -> Option<usize> {
        self.case.subject_index()
    }

    /// Everybody but the subject.
    pub(crate) fn others(self) -> impl Iterator<Item = usize> {
        let subject = self.subject();
        (0..self.case.vantages.len()).filter(move |v| Some(*v) != subject)
    }

    /// Whether a vantage shares the subject's network.
    pub(crate) fn is_sibling(self, vantage: usize) -> bool {
        self.subject().is_some_and(|s| {
            s != vantage && self.case.vantages[vantage].same_network(&self.case.vantages[s])
        })
    }

    /// The target's addresses that the likeliest hypothesis names.
    pub(crate) fn addresses_in_question(self) -> Vec<usize> {
        (0..self.digest.addresses.len())
            .filter(|index| self.best.is_none_or(|h| h.strikes(self.digest, *index)))
            .collect()
    }

    /// What the causes' texts are chosen by and filled in from.
    pub(crate) fn circumstances(self) -> Circumstances {
        Circumstances {
            scope: self.decision.scope,
            actor: self.decision.actor,
            address: self.address_in_question(),
            resolver: self.subject().and_then(|s| {
                let resolvers = &self.digest.vantages[s].system_resolvers;
                resolvers.first().copied()
            }),
        }
    }

    fn address_in_question(self) -> Option<IpAddr> {
        self.addresses_in_question()
            .first()
            .map(|a| self.digest.addresses[*a].ip)
    }
}
