//! Concrete hypotheses: a cause, its mode, and the set it affects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onlyhere_proto::{Actor, CauseId, Family, Scope, VantageClass};

use crate::case::Case;
use crate::digest::{Digest, Proxied};
use crate::likelihood::{HEALTHY, Row};
use crate::model::{
    CRASH_FIRST, CRASH_NEXT, ControlsSeen, ENTRIES, Entry, FAMILY_SHARES, Needs, PAIRS,
    PAIRS_WITH_PROBES, WELL_THOUGH_SEEN, Who,
};
use crate::sign::Kind;

/// Slots of which every pattern is weighed; later ones follow the last of them.
const CRASH_SLOTS: usize = 6;

/// What a time slot was like for a service that starts and dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// It ran.
    Up,
    /// It did not.
    Down,
    /// It did for some of the attempts.
    Between,
}

/// One thing that may be so.
#[derive(Debug, Clone)]
pub(crate) struct Hypothesis {
    /// The entry it comes from.
    pub(crate) entry: &'static Entry,
    /// Its own share of the prior, not normalised.
    pub(crate) prior: f64,
    /// Whether each vantage is affected.
    pub(crate) affected: Arc<[bool]>,
    /// Only this address.
    pub(crate) address: Option<usize>,
    /// And these, which are given together with it: the same machine's.
    pub(crate) twins: Arc<[usize]>,
    /// Only this family.
    pub(crate) family: Option<Family>,
    /// Per slot of the digest; empty: always.
    pub(crate) slots: Arc<[Slot]>,
    /// Name of the group affected, for the headline.
    pub(crate) group: Option<Group>,
    /// A second fault, on the near side of this one.
    pub(crate) near: Option<Near>,
    /// Number of the fault; a pair has that of its farther one.
    pub(crate) number: usize,
}

/// The nearer of two faults: those whom it affects see it first.
#[derive(Debug, Clone)]
pub(crate) struct Near {
    /// The entry it comes from.
    pub(crate) entry: &'static Entry,
    /// Whether each vantage is affected.
    pub(crate) affected: Arc<[bool]>,
    /// Number of the fault.
    pub(crate) number: usize,
}

/// What affected vantages have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// A region's label.
    Region(String),
    /// A country's code.
    Country(String),
    /// An AS number.
    Network(u32),
}

impl Hypothesis {
    /// Its cause.
    pub(crate) fn cause(&self) -> Option<CauseId> {
        self.entry.cause
    }

    /// Where that is.
    pub(crate) fn scope(&self) -> Scope {
        self.entry.scope
    }

    /// Who must act.
    pub(crate) fn actor(&self) -> Actor {
        self.entry.actor
    }

    /// Whether the fault comes and goes.
    pub(crate) fn intermittent(&self) -> bool {
        self.entry.share < 1.0 || self.entry.cause == Some(CauseId::CrashLoop)
    }

    /// Whether it predicts anything else than health for something that was seen. What nobody looked at can be broken
    /// without end; a hypothesis without a trace must not draw probability from those that have one.
    fn touches(&self, digest: &Digest) -> bool {
        if matches!(
            self.entry.needs,
            Needs::PrivateAnswer | Needs::Proxy | Needs::ProxyWorks
        ) {
            return true;
        }
        let of_vantage = |(vantage, seen): (usize, &crate::digest::Seen)| {
            self.affected[vantage]
                && (((self.entry.dns.is_some() || self.entry.lies) && seen.resolution.is_some())
                    || !seen.odd_attempts.is_empty()
                    || seen.attempts.iter().any(|attempt| {
                        let slot = digest.slots.iter().position(|s| *s == attempt.slot);
                        self.row(digest, attempt.address, slot.unwrap_or(0))
                            .ok(attempt.depth)
                            < HEALTHY.ok(attempt.depth)
                    }))
        };
        digest.vantages.iter().enumerate().any(of_vantage)
    }

    /// What an affected vantage sees at an address that is nobody else's.
    pub(crate) fn row_anywhere(&self) -> Row {
        match (self.address, self.family) {
            (None, None) => self.entry.row.diluted(self.entry.share),
            _ => HEALTHY,
        }
    }

    /// How many of the affected fail.
    fn failing(&self, digest: &Digest) -> usize {
        let all = digest.vantages.iter().zip(self.affected.iter());
        all.filter(|(seen, hit)| **hit && seen.fails()).count()
    }

    /// How many of the affected get through nowhere, though other sites work there as far as is known.
    fn cut_off(&self, digest: &Digest) -> usize {
        let all = digest.vantages.iter().zip(self.affected.iter());
        all.filter(|(seen, hit)| **hit && seen.fails_wholly() && seen.controls_fail() != Some(true))
            .count()
    }

    /// Whether the fault is one of this address.
    pub(crate) fn strikes(&self, digest: &Digest, address: usize) -> bool {
        self.address
            .is_none_or(|a| a == address || self.twins.contains(&address))
            && self
                .family
                .is_none_or(|f| digest.addresses[address].family() == f)
    }

    /// What an affected vantage sees at an address in a slot (its place in the digest).
    pub(crate) fn row(&self, digest: &Digest, address: usize, slot: usize) -> Row {
        if !self.strikes(digest, address) {
            return HEALTHY;
        }
        match self.slots.get(slot) {
            Some(Slot::Up) => HEALTHY,
            Some(Slot::Between) => self.entry.row.diluted(0.5),
            // A slot still to come, of a service that starts and dies.
            None if !self.slots.is_empty() => {
                let last = self.slots.last().copied().unwrap_or(Slot::Between);
                self.entry.row.diluted(CRASH_NEXT[last as usize][1])
            }
            Some(Slot::Down) | None => self.entry.row.diluted(self.entry.share),
        }
    }
}

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

/// Whether the subject's hosts file gives addresses, and none that everybody's resolvers give.
pub(crate) fn hosts_entry_differs(case: &Case, digest: &Digest, subject: usize) -> bool {
    let entries: BTreeSet<_> = digest
        .vantages
        .get(subject)
        .map(|v| v.hosts_file.clone())
        .unwrap_or_default()
        .into_iter()
        .chain(case.subject.local.hosts_entries.iter().copied())
        .collect();
    !entries.is_empty() && entries.iter().all(|ip| digest.address_index(*ip).is_none())
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

fn expand(case: &Case, digest: &Digest, entry: &'static Entry, all: &mut Vec<Hypothesis>) {
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
