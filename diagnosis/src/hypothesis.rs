//! Concrete hypotheses: a cause, its mode, and the set it affects.

use std::sync::Arc;

use onlyhere_proto::{Actor, CauseId, Family, Scope};

use crate::digest::Digest;
use crate::likelihood::Row;
use crate::model::{CRASH_NEXT, Entry, Needs};
use crate::rows::HEALTHY;

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
    pub(crate) fn touches(&self, digest: &Digest) -> bool {
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
    pub(crate) fn failing(&self, digest: &Digest) -> usize {
        let all = digest.vantages.iter().zip(self.affected.iter());
        all.filter(|(seen, hit)| **hit && seen.fails()).count()
    }

    /// How many of the affected get through nowhere, though other sites work there as far as is known.
    pub(crate) fn cut_off(&self, digest: &Digest) -> usize {
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
