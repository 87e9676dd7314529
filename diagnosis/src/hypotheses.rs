//! Which hypotheses a case admits: every entry of the model that applies, alone and in pairs.

use std::collections::BTreeSet;

use onlyhere_proto::{CauseId, Scope};

use crate::case::Case;
use crate::digest::{Digest, Proxied, hosts_entry_differs};
use crate::expand::expand;
use crate::hypothesis::{Hypothesis, Near};
use crate::model::{ENTRIES, Entry, Needs, PAIRS, PAIRS_WITH_PROBES, WELL_THOUGH_SEEN, Who};
use crate::sign::Kind;

/// Every hypothesis that this case admits, priors adding up to one.
pub(crate) fn hypotheses(case: &Case, digest: &Digest) -> Vec<Hypothesis> {
    let mut all = Vec::new();
    for entry in ENTRIES.iter().filter(|entry| applies(case, digest, entry)) {
        expand(case, digest, entry, &mut all);
    }
    all.retain(|h| h.entry.who == Who::Nobody || h.touches(digest));
    // What several networks are said to share is not told by one of them, and what strikes by chance not by two.
    all.retain(|h| match h.entry.who {
        Who::Scattered => h.cut_off(digest) >= 3,
        _ => true,
    });
    for (number, hypothesis) in all.iter_mut().enumerate() {
        hypothesis.number = number;
        if !explains_what_was_seen(case, hypothesis) {
            hypothesis.prior *= WELL_THOUGH_SEEN;
        }
    }
    let sum: f64 = all.iter().map(|h| h.prior).sum();
    let pairs = pairs(case, digest, &all, sum);
    all.extend(pairs);
    let sum: f64 = all.iter().map(|h| h.prior).sum();
    for hypothesis in &mut all {
        hypothesis.prior /= sum;
    }
    all
}

/// Whether it would show a person what this one says to have seen.
fn explains_what_was_seen(case: &Case, hypothesis: &Hypothesis) -> bool {
    let told = case.conditions.seen.is_some() && hypothesis.cause() != Some(CauseId::BrowserOnly);
    let subject = case.subject_index().filter(|_| told);
    subject.is_none_or(|s| hypothesis.affected[s])
}

/// Two faults at once: one on the caller's side or of its DNS and one that everybody meets; and anything at all beside a
/// target that turns probes' networks away.
fn pairs(case: &Case, digest: &Digest, singles: &[Hypothesis], sum: f64) -> Vec<Hypothesis> {
    if case.private_target().is_some() {
        return Vec::new();
    }
    let pair = |far: &Hypothesis, near: &Hypothesis, factor: f64| Hypothesis {
        // What turns probes away explains nothing that a person saw, and need not: the other fault does.
        prior: far.prior * factor / sum
            * match near.entry.who {
                Who::Datacenters => near.entry.prior,
                _ => near.prior,
            },
        near: Some(Near {
            entry: near.entry,
            affected: near.affected.clone(),
            number: near.number,
        }),
        ..far.clone()
    };
    let mut all = Vec::new();
    for far in singles.iter().filter(|h| is_everybodys(h)) {
        for near in singles.iter().filter(|h| is_callers(h)) {
            all.push(pair(far, near, PAIRS));
        }
    }
    let unwanted = |h: &&Hypothesis| h.entry.who == Who::Datacenters;
    for near in singles.iter().filter(unwanted) {
        let failing = digest.vantages.iter().zip(near.affected.iter());
        if failing.filter(|(seen, hit)| **hit && seen.fails()).count() < 2 {
            continue;
        }
        let beside = |h: &&Hypothesis| {
            !matches!(h.entry.who, Who::Datacenters | Who::Scattered)
                && (h.entry.scope != Scope::Ok || h.entry.needs != Needs::Nothing)
                && h.slots.is_empty()
        };
        for far in singles.iter().filter(beside) {
            all.push(pair(far, near, PAIRS_WITH_PROBES));
        }
    }
    all
}

/// Whether it is a plain fault of the target's side that nobody escapes.
fn is_everybodys(h: &Hypothesis) -> bool {
    h.entry.who == Who::Everyone
        && h.entry.scope == Scope::Global
        && h.entry.share >= 1.0
        && h.entry.dns.is_none()
        && h.slots.is_empty()
        && h.family.is_none()
}

/// Whether it is a fault of the caller's side that can hide another.
fn is_callers(h: &Hypothesis) -> bool {
    let hiding = matches!(
        h.entry.cause,
        Some(
            CauseId::LocalResolver
                | CauseId::LocalFirewall
                | CauseId::HostsFile
                | CauseId::FamilyBroken
        )
    );
    let own = matches!(
        h.entry.who,
        Who::Subject | Who::SubjectLine | Who::SubjectNetwork
    );
    hiding && own && !h.affected.iter().all(|a| *a)
}

fn applies(case: &Case, digest: &Digest, entry: &Entry) -> bool {
    let subject = case.subject_index();
    let local_judgement = case.private_target().is_some();
    let about_subject = entry.scope == Scope::Local
        || matches!(
            entry.who,
            Who::Subject | Who::SubjectLine | Who::SubjectPrefix | Who::SubjectNetwork
        );
    if about_subject && subject.is_none() {
        return false;
    }
    if local_judgement
        && matches!(
            entry.scope,
            Scope::SourceAddress | Scope::SourceNetwork | Scope::Regional
        )
    {
        return false;
    }
    // On this machine nobody else can be the cause, and where no connection opens nothing listens.
    if case.loopback_target() && entry.cause.is_some() && entry.needs != Needs::Loopback {
        let opens = subject.is_some_and(|s| connects(digest, s));
        let of_service = entry.scope == Scope::Global && entry.who == Who::Everyone && opens;
        return of_service && entry.needs != Needs::OtherAddress;
    }
    let local = &case.subject.local;
    let target = &case.target;
    match entry.needs {
        Needs::Nothing => true,
        Needs::Loopback => case.loopback_target() && !subject.is_some_and(|s| connects(digest, s)),
        Needs::HostsEntry => subject.is_some_and(|s| hosts_entry_differs(case, digest, s)),
        Needs::Proxy => {
            let fails = proxied(digest, subject).any(|p| p.kind != Kind::Ok);
            !local.proxies.is_empty() && (fails || case.conditions.seen.is_some())
        }
        Needs::ProxyWorks => proxied(digest, subject).any(|p| !p.control && p.kind == Kind::Ok),
        Needs::OtherAddress => leads_elsewhere(case, digest),
        Needs::ZoneDisagrees => digest.zone_disagrees,
        Needs::HostsOnly => {
            digest.addresses.is_empty()
                && subject.is_some_and(|s| hosts_entry_differs(case, digest, s))
        }
        Needs::Tunnel => local.tunnel.is_some(),
        Needs::Symptom => case.conditions.seen.is_some(),
        Needs::Tls => target.is_tls(),
        Needs::Http => target.depth() == onlyhere_proto::Stage::Http,
        Needs::Name => case.is_name(),
        Needs::PrivateAnswer => leads_inside(case, digest),
    }
}

/// What the subject met through proxies.
fn proxied(digest: &Digest, subject: Option<usize>) -> impl Iterator<Item = &Proxied> {
    subject
        .and_then(|s| digest.vantages.get(s))
        .into_iter()
        .flat_map(|seen| &seen.proxied)
}

/// Whether the resolvers give none of the addresses that the owner expects, or none that the zone's own servers give.
fn leads_elsewhere(case: &Case, digest: &Digest) -> bool {
    let given: BTreeSet<_> = digest
        .addresses
        .iter()
        .filter(|a| !a.resolved_by.is_empty())
        .map(|a| a.ip)
        .collect();
    let expected: BTreeSet<_> = case.conditions.expected_addresses.iter().copied().collect();
    !given.is_empty() && !expected.is_empty() && given.is_disjoint(&expected)
}

/// Whether a connection of this vantage was opened, whatever became of it: then something listens.
fn connects(digest: &Digest, vantage: usize) -> bool {
    let seen = digest.vantages.get(vantage);
    seen.is_some_and(|v| v.attempts.iter().any(|a| a.connect.is_some()))
}

/// Whether the name has addresses, two vantages at least were given them, and none of them is public.
fn leads_inside(case: &Case, digest: &Digest) -> bool {
    let asked: BTreeSet<usize> = digest
        .addresses
        .iter()
        .flat_map(|a| a.resolved_by.iter().copied())
        .collect();
    case.is_name()
        && asked.len() >= 2
        && digest
            .addresses
            .iter()
            .all(|a| crate::case::is_private_address(a.ip))
}
