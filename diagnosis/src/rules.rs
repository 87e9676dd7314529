//! The rules that are not probabilities: what a case's vantages are able to tell, and so under which scope a conclusion may
//! be reported.

use std::collections::{BTreeMap, BTreeSet};

use onlyhere_proto::{CauseId, Mechanism, Scope};

use crate::case::Case;
use crate::digest::Digest;
use crate::posterior::Posterior;
use crate::resolution::Resolution;
use crate::sign::Kind;

/// What this case's vantages are able to tell.
pub(crate) struct Rules {
    alone: bool,
    private: bool,
    name_confirmed_missing: bool,
    sibling_reaches: bool,
    network_wide: bool,
    /// Somebody gets through, and nobody meets anything else.
    all_well: bool,
    somebody_reaches: bool,
    nothing_works: bool,
    region_confirmed: bool,
    flapping_confirmed: bool,
    seen: bool,
    subject_reaches: bool,
}

impl Rules {
    /// Reads them off what was seen.
    pub(crate) fn new(case: &Case, digest: &Digest, posterior: &Posterior) -> Self {
        let subject = case.subject_index();
        let worth = |v: &usize| {
            digest.vantages[*v].says_something()
                && digest.vantages[*v].controls_fail() != Some(true)
        };
        let others: Vec<usize> = (0..case.vantages.len())
            .filter(|v| Some(*v) != subject)
            .filter(worth)
            .collect();
        // Who is behind the same address is no second address of the network.
        let siblings: Vec<usize> = others
            .iter()
            .copied()
            .filter(|v| {
                subject.is_some_and(|s| {
                    let (other, own) = (&case.vantages[*v], &case.vantages[s]);
                    other.same_network(own) && !other.same_line(own)
                })
            })
            .collect();
        let reaching_networks = independent(
            case,
            others.iter().copied().filter(|v| {
                subject.is_none_or(|s| !case.vantages[*v].same_network(&case.vantages[s]))
                    && digest.vantages[*v].succeeds(case)
            }),
        );
        let somebody_reaches = digest
            .vantages
            .iter()
            .any(|v| v.succeeds(case) || v.odd_attempts.iter().any(|(_, kind)| *kind == Kind::Ok));
        let configured = subject.and_then(|s| digest.vantages[s].configured);
        let subject_reaches = subject.is_none_or(|s| gets_through(case, digest, s));
        let seen = case.conditions.seen.is_some();
        Self {
            alone: subject.is_some() && others.is_empty(),
            private: case.private_target().is_some(),
            name_confirmed_missing: matches!(
                configured,
                Some(Resolution::Missing | Resolution::Empty)
            ),
            sibling_reaches: siblings.iter().any(|v| digest.vantages[*v].succeeds(case))
                || subject.is_some_and(|s| {
                    let sources = &digest.vantages[s].other_sources;
                    sources.iter().any(|(_, attempt)| attempt.is_ok())
                }),
            network_wide: siblings.iter().any(|v| {
                let seen = &digest.vantages[*v];
                let same_lie = subject.is_some_and(|s| {
                    let own = &digest.vantages[s].odd;
                    !own.is_empty() && !own.is_disjoint(&seen.odd)
                });
                seen.fails() || same_lie
            }) && reaching_networks >= 2,
            all_well: somebody_reaches
                && digest.vantages.iter().all(|v| {
                    !v.fails() && v.odd_attempts.iter().all(|(_, kind)| *kind == Kind::Ok)
                }),
            somebody_reaches,
            flapping_confirmed: flapping_confirmed(digest, seen),
            seen,
            region_confirmed: region_confirmed(case, digest, posterior, subject_reaches),
            subject_reaches,
            nothing_works: subject
                .is_some_and(|s| digest.vantages[s].controls_fail() == Some(true)),
        }
    }

    /// The same for a posterior that leaves a part of the case out: then "all is well" is not known.
    pub(crate) fn of_a_part(self) -> Self {
        Self {
            all_well: false,
            ..self
        }
    }

    /// Under which scope a conclusion may be reported here.
    pub(crate) fn reportable(&self, scope: Scope, cause: Option<CauseId>) -> Scope {
        // "All ok" reads "no fault now": what nobody met is not reported.
        if self.all_well
            && !matches!(
                cause,
                Some(CauseId::BrowserOnly | CauseId::LocalProxy | CauseId::HostsFile)
            )
        {
            return Scope::Ok;
        }
        if !self.somebody_reaches && scope == Scope::Ok {
            return Scope::Inconclusive;
        }
        if self.private && scope == Scope::Global {
            return Scope::Local;
        }
        let flapping = matches!(
            cause,
            Some(CauseId::CrashLoop | CauseId::Overloaded | CauseId::BackendPartial)
        );
        if (scope == Scope::Regional && !self.region_confirmed)
            || (flapping && self.subject_reaches && !self.flapping_confirmed)
        {
            return if self.subject_reaches && !self.seen {
                Scope::Ok
            } else {
                Scope::Inconclusive
            };
        }
        let told = self.sibling_reaches || self.network_wide;
        // Whose resolver it is that lies or fails cannot be told without a sibling; it is asked by this machine.
        let resolver = cause == Some(CauseId::LocalResolver) && scope == Scope::SourceNetwork;
        if resolver && !told {
            return Scope::Local;
        }
        if self.alone && !matches!(scope, Scope::Ok | Scope::Local) && !self.private {
            // Where large packets get lost to every site, the line loses them.
            if cause == Some(CauseId::MtuBlackhole) && self.nothing_works {
                return Scope::Source;
            }
            let signed = match cause {
                Some(
                    CauseId::CertificateExpired | CauseId::CertificateMismatch | CauseId::HttpError,
                ) => scope == Scope::Global,
                Some(CauseId::DnsMissing) => self.name_confirmed_missing,
                _ => false,
            };
            return if signed { scope } else { Scope::Inconclusive };
        }
        match scope {
            // What a line or tunnel swallows is no ban of its address.
            Scope::SourceAddress if cause == Some(CauseId::MtuBlackhole) => Scope::Source,
            Scope::SourceAddress | Scope::SourceNetwork
                if !self.sibling_reaches && !self.network_wide =>
            {
                Scope::Source
            }
            _ => scope,
        }
    }
}

/// Whether what several networks are said to share is told by two of them: vantages that get through at no time, though
/// other sites work there. Where the subject gets through, nobody of a region may, and what strikes by chance takes three.
fn region_confirmed(case: &Case, digest: &Digest, posterior: &Posterior, reaches: bool) -> bool {
    let Some(best) = posterior.best_of(|h| h.scope() == Scope::Regional) else {
        return false;
    };
    let heard = |v: &usize| {
        let seen = &digest.vantages[*v];
        best.affected[*v] && seen.says_something() && seen.controls_fail() != Some(true)
    };
    let fails = |v: &usize| {
        let seen = &digest.vantages[*v];
        seen.fails_wholly() || !seen.odd_attempts.is_empty()
    };
    let all = || (0..case.vantages.len()).filter(heard);
    let networks = independent(case, all().filter(fails));
    match (best.group.is_some(), reaches) {
        (_, false) => networks >= 2,
        (true, true) => networks >= 3 && all().all(|v| fails(&v)),
        (false, true) => networks >= 3,
    }
}

/// Whether a vantage got through where its own resolver leads it; where it has none, anywhere.
fn gets_through(case: &Case, digest: &Digest, vantage: usize) -> bool {
    let seen = &digest.vantages[vantage];
    let own = |address: usize| digest.addresses[address].resolved_by.contains(&vantage);
    match seen.attempts.iter().any(|a| own(a.address)) {
        true => seen.attempts.iter().any(|a| own(a.address) && a.is_ok()),
        false => seen.succeeds(case),
    }
}

/// Whether what comes and goes was met in the same way three times, or twice where somebody saw it too, by two vantages
/// at least that got through at other times. What takes more than one SYN is on the way to silence.
fn flapping_confirmed(digest: &Digest, seen_by_somebody: bool) -> bool {
    let enough = if seen_by_somebody { 2 } else { 3 };
    let mut met: BTreeMap<Mechanism, (usize, BTreeSet<usize>)> = BTreeMap::new();
    for (vantage, seen) in digest.vantages.iter().enumerate() {
        let reliable = seen.controls_fail() != Some(true) && seen.reaches();
        for attempt in seen.attempts.iter().filter(|_| reliable) {
            let mechanism = match attempt.is_ok() {
                false => attempt.sign.kind.mechanism(),
                true if attempt.slow => Mechanism::Timeout,
                true => continue,
            };
            let of = met.entry(mechanism).or_default();
            of.0 += 1;
            of.1.insert(vantage);
        }
    }
    met.values()
        .any(|(times, by)| *times >= enough && by.len() >= 2)
}

/// How many networks some vantages sit in; one of which nothing is known counts as its own.
fn independent(case: &Case, vantages: impl Iterator<Item = usize>) -> usize {
    let mut representatives: Vec<usize> = Vec::new();
    for vantage in vantages {
        let known = representatives
            .iter()
            .any(|r| case.vantages[*r].same_network(&case.vantages[vantage]));
        if !known {
            representatives.push(vantage);
        }
    }
    representatives.len()
}
