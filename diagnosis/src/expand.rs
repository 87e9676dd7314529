//! One entry of the model as concrete hypotheses: one for each set, address, family or pattern in time that it can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onlyhere_proto::{CauseId, Family, VantageClass};

use crate::case::Case;
use crate::digest::Digest;
use crate::hypothesis::{Group, Hypothesis, Slot};
use crate::model::{CRASH_FIRST, CRASH_NEXT, ControlsSeen, Entry, FAMILY_SHARES, Who};

/// Slots of which every pattern is weighed; later ones follow the last of them.
const CRASH_SLOTS: usize = 6;

/// Adds what an entry comes to in this case.
pub(crate) fn expand(
    case: &Case,
    digest: &Digest,
    entry: &'static Entry,
    all: &mut Vec<Hypothesis>,
) {
    let count = case.vantages.len();
    let subject = case.subject_index();
    let base = Hypothesis {
        entry,
        prior: entry.prior,
        affected: vec![true; count].into(),
        address: None,
        twins: Arc::from([]),
        family: None,
        slots: Arc::from([]),
        group: None,
        near: None,
        number: 0,
    };
    let only = |set: &dyn Fn(usize) -> bool| Hypothesis {
        affected: (0..count).map(set).collect(),
        ..base.clone()
    };
    match entry.who {
        Who::Nobody => push_by_family(digest, only(&|_| false), all),
        Who::Everyone if entry.cause == Some(CauseId::CrashLoop) => {
            push_by_slots(digest, base, all);
        }
        Who::Everyone => push_by_family(digest, base, all),
        Who::Subject | Who::SubjectLine | Who::SubjectPrefix | Who::SubjectNetwork => {
            let Some(own) = subject.map(|s| &case.vantages[s]) else {
                return;
            };
            let mut hypothesis = only(&|v| {
                let other = &case.vantages[v];
                Some(v) == subject
                    || match entry.who {
                        Who::SubjectLine => other.same_line(own),
                        Who::SubjectPrefix => other.same_prefix(own),
                        Who::SubjectNetwork => other.same_network(own),
                        _ => false,
                    }
            });
            // A prefix of which nobody else is there is told from the address by nothing.
            let others = |v: usize| hypothesis.affected[v] && !case.vantages[v].same_line(own);
            if entry.who == Who::SubjectPrefix
                && !(0..count).any(|v| Some(v) != subject && others(v))
            {
                return;
            }
            if let ControlsSeen::FailIn(family) = entry.controls {
                if families(digest).len() < 2 {
                    return;
                }
                hypothesis.family = Some(family);
            }
            push_by_family(digest, hypothesis, all);
        }
        Who::Datacenters => {
            let datacenter = |v: usize| {
                Some(v) != subject && case.vantages[v].class == Some(VantageClass::Datacenter)
            };
            if (0..count).any(datacenter) {
                all.push(only(&datacenter));
            }
        }
        Who::Scattered => {
            // Who is given the same address as everybody has the same edge more often than not.
            let shared = digest.addresses.iter().all(|a| {
                let asked = digest.vantages.iter().filter(|v| v.resolution.is_some());
                a.resolved_by.len() * 2 > asked.count()
            });
            all.push(Hypothesis {
                prior: base.prior * if shared { 0.25 } else { 1.0 },
                ..base
            });
        }
        Who::EachAddress => push_by_address(case, digest, base, all),
        Who::EachFamily => push_each_family(digest, base, all),
        Who::EachGroup => push_by_group(case, digest, base, all),
    }
}

fn families(digest: &Digest) -> BTreeSet<u8> {
    digest
        .addresses
        .iter()
        .map(|a| u8::from(a.family() == Family::V6))
        .collect()
}

fn push_by_family(digest: &Digest, hypothesis: Hypothesis, all: &mut Vec<Hypothesis>) {
    if !hypothesis.entry.by_family || families(digest).len() < 2 {
        all.push(hypothesis);
        return;
    }
    for (family, share) in [None, Some(Family::V4), Some(Family::V6)]
        .into_iter()
        .zip(FAMILY_SHARES)
    {
        all.push(Hypothesis {
            prior: hypothesis.prior * share,
            family,
            ..hypothesis.clone()
        });
    }
}

fn push_by_address(
    case: &Case,
    digest: &Digest,
    hypothesis: Hypothesis,
    all: &mut Vec<Hypothesis>,
) {
    let count = digest.addresses.len();
    if count < 2 {
        return;
    }
    let mut push = |address: usize, twins: &[usize]| {
        let split = is_split(digest, address);
        let edge = hypothesis.entry.cause == Some(CauseId::CdnEdgeFault);
        if edge && (!split || digest.zone_disagrees) {
            return;
        }
        let fit = match hypothesis.entry.cause {
            Some(CauseId::DnsStale) => staleness(digest, address),
            Some(CauseId::CdnEdgeFault) => 1.0,
            // Resolvers that give different addresses lead to different edges, not to one host's several.
            _ if split => 0.04,
            _ => 1.0,
        };
        all.push(Hypothesis {
            prior: hypothesis.prior / count as f64 * fit,
            address: Some(address),
            twins: twins.into(),
            group: all_groups(case).into_iter().find(|group| {
                edge && (0..case.vantages.len()).all(|v| {
                    is_in(case, v, group) == digest.addresses[address].resolved_by.contains(&v)
                })
            }),
            ..hypothesis.clone()
        });
    };
    for address in 0..count {
        push(address, &[]);
    }
    // Those that are always given together, where others are given elsewhere.
    let mut together: BTreeMap<&BTreeSet<usize>, Vec<usize>> = BTreeMap::new();
    for (index, address) in digest.addresses.iter().enumerate() {
        together
            .entry(&address.resolved_by)
            .or_default()
            .push(index);
    }
    for group in together.values().filter(|g| g.len() > 1 && g.len() < count) {
        push(group[0], &group[1..]);
    }
}

/// How much likelier than at random an address is an old one that some resolvers still give: those who give it give no
/// other of its family, those who give another do not give it, and the zone's own servers do not know it.
fn staleness(digest: &Digest, address: usize) -> f64 {
    let known = match digest.authoritative.is_empty() {
        true => 1.0,
        // Servers of one zone that do not agree: one of them is behind.
        false if digest.zone_disagrees => 1.0,
        false if digest.authoritative.contains(&digest.addresses[address].ip) => 0.05,
        false => 12.0,
    };
    known * if is_split(digest, address) { 1.5 } else { 0.02 }
}

/// Whether those whose resolver gives an address are given no other of its family, and others only others.
fn is_split(digest: &Digest, address: usize) -> bool {
    let own = &digest.addresses[address];
    let others: BTreeSet<usize> = digest
        .addresses
        .iter()
        .filter(|a| {
            a.ip != own.ip && a.family() == own.family() && a.resolved_by != own.resolved_by
        })
        .flat_map(|a| a.resolved_by.iter().copied())
        .collect();
    !own.resolved_by.is_empty() && !others.is_empty() && own.resolved_by.is_disjoint(&others)
}

fn push_each_family(digest: &Digest, hypothesis: Hypothesis, all: &mut Vec<Hypothesis>) {
    if families(digest).len() < 2 {
        return;
    }
    // A dead AAAA record is much commoner than a dead A record: happy eyeballs hides it from its owner.
    for (family, share) in [(Family::V4, 0.1), (Family::V6, 0.9)] {
        all.push(Hypothesis {
            prior: hypothesis.prior * share,
            family: Some(family),
            ..hypothesis.clone()
        });
    }
}

/// Every pattern of slots but "up all the time", which is no fault now. The opening takes some seconds, so the service
/// may come or go within it; later slots are short.
fn push_by_slots(digest: &Digest, hypothesis: Hypothesis, all: &mut Vec<Hypothesis>) {
    let count = digest.slots.len().clamp(1, CRASH_SLOTS);
    let first = [Slot::Up, Slot::Down, Slot::Between];
    let mut patterns: Vec<(Vec<Slot>, f64)> = first
        .into_iter()
        .zip(CRASH_FIRST)
        .map(|(slot, p)| (vec![slot], p))
        .collect();
    for _ in 1..count {
        patterns = patterns
            .into_iter()
            .flat_map(|(slots, p)| {
                let next = CRASH_NEXT[slots[slots.len() - 1] as usize];
                [Slot::Up, Slot::Down]
                    .into_iter()
                    .zip(next)
                    .map(move |(slot, q)| {
                        let longer: Vec<Slot> = slots.iter().copied().chain([slot]).collect();
                        (longer, p * q)
                    })
            })
            .collect();
    }
    for (slots, share) in patterns {
        if slots.iter().any(|s| *s != Slot::Up) {
            all.push(Hypothesis {
                prior: hypothesis.prior * share,
                slots: slots.into(),
                ..hypothesis.clone()
            });
        }
    }
}

/// Groups of at least two vantages that leave somebody out, each set once under its most telling name.
fn push_by_group(case: &Case, digest: &Digest, hypothesis: Hypothesis, all: &mut Vec<Hypothesis>) {
    let mut groups: BTreeMap<Vec<bool>, (Group, f64)> = BTreeMap::new();
    let cause = hypothesis.entry.cause;
    for group in all_groups(case) {
        let affected: Vec<bool> = (0..case.vantages.len())
            .map(|v| is_in(case, v, &group))
            .collect();
        let size = affected.iter().filter(|a| **a).count();
        let own = case.subject_index().is_some_and(|s| {
            let network = |v: usize| v == s || case.vantages[v].same_network(&case.vantages[s]);
            (0..affected.len()).all(|v| affected[v] == network(v))
        });
        // The subject's own network is what `source_network` is for.
        if size >= 2 && size < affected.len() && !own {
            let weight = commonness(cause, &group) * edge_fit(digest, cause, &affected);
            let known = groups.entry(affected).or_insert((group, 0.0));
            known.1 = known.1.max(weight);
        }
    }
    let mut found: Vec<Hypothesis> = groups
        .into_iter()
        .map(|(affected, (group, weight))| Hypothesis {
            prior: hypothesis.prior * weight,
            affected: affected.into(),
            group: Some(group),
            ..hypothesis.clone()
        })
        .filter(|h| h.failing(digest) >= 2)
        .collect();
    let count = found.len() as f64;
    for hypothesis in &mut found {
        hypothesis.prior /= count;
    }
    all.extend(found);
}

/// How common it is that what is affected by a cause is a region, a country, a network.
fn commonness(cause: Option<CauseId>, group: &Group) -> f64 {
    match (cause, group) {
        (Some(CauseId::GeoBlock), Group::Country(_)) => 1.0,
        (Some(CauseId::GeoBlock), Group::Region(_)) => 0.3,
        (Some(CauseId::GeoBlock), Group::Network(_)) => 0.02,
        (Some(CauseId::NetworkBlock), Group::Network(_)) => 1.0,
        (Some(CauseId::NetworkBlock), _) => 0.4,
        (_, Group::Region(_)) => 1.0,
        (_, Group::Country(_)) => 0.6,
        (_, Group::Network(_)) => 0.3,
    }
}

/// Where a group is given addresses that nobody else is given, they are those of an edge of its own.
fn edge_fit(digest: &Digest, cause: Option<CauseId>, affected: &[bool]) -> f64 {
    let mut own = digest
        .addresses
        .iter()
        .filter(|a| a.resolved_by.iter().any(|v| affected[*v]))
        .peekable();
    let apart = own.peek().is_some() && own.all(|a| a.resolved_by.iter().all(|v| affected[*v]));
    match (cause, apart) {
        (Some(CauseId::CdnEdgeFault), true) => 5.0,
        (Some(CauseId::CdnEdgeFault), false) => 0.4,
        (_, true) => 0.5,
        (_, false) => 1.0,
    }
}

fn all_groups(case: &Case) -> BTreeSet<Group> {
    case.vantages
        .iter()
        .flat_map(|v| {
            [
                v.region.clone().map(Group::Region),
                v.country.clone().map(Group::Country),
                v.asn.map(Group::Network),
            ]
        })
        .flatten()
        .collect()
}

fn is_in(case: &Case, vantage: usize, group: &Group) -> bool {
    let v = &case.vantages[vantage];
    match group {
        Group::Region(region) => v.region.as_ref() == Some(region),
        Group::Country(country) => v.country.as_ref() == Some(country),
        Group::Network(asn) => v.asn == Some(*asn),
    }
}
