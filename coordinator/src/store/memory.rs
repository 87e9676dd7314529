//! Reports in memory: the latest ones, until the process ends.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use onlyhere_proto::{CheckId, Report};

use super::ReportStore;

/// The latest reports, bounded by their number and by their size together.
#[derive(Debug)]
pub struct Memory {
    most_reports: usize,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    reports: BTreeMap<CheckId, (String, Report)>,
    /// The oldest first, with their sizes.
    order: VecDeque<(CheckId, usize)>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_bounds(1_000, 64 * 1024 * 1024)
    }
}

impl Memory {
    /// Forgets the oldest reports when there are more than this.
    pub fn with_bounds(most_reports: usize, most_bytes: usize) -> Self {
        Self {
            most_reports,
            most_bytes,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportStore for Memory {
    fn put(&self, owner: &str, report: Report, bytes: usize) {
        let mut kept = self.kept();
        kept.bytes += bytes;
        kept.order.push_back((report.id.clone(), bytes));
        let entry = (owner.to_owned(), report);
        kept.reports.insert(entry.1.id.clone(), entry);
        while kept.order.len() > self.most_reports || kept.bytes > self.most_bytes {
            let Some((oldest, bytes)) = kept.order.pop_front() else {
                break;
            };
            kept.reports.remove(&oldest);
            kept.bytes -= bytes;
        }
    }

    fn get(&self, check: &CheckId) -> Option<(String, Report)> {
        self.kept().reports.get(check).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onlyhere_proto::{
        Actor, LocalFacts, Mechanism, Micros, REPORT_SCHEMA, Scope, Subject, Target, Timestamp,
        Verdict,
    };

    use super::*;

    fn report(number: usize) -> Report {
        Report {
            conditions: Default::default(),
            schema: REPORT_SCHEMA.into(),
            id: format!("{number:026}").parse().unwrap(),
            started_at: Timestamp(0),
            duration_ms: Micros(0),
            target: Target::parse("https://shop.example").unwrap(),
            verdict: Verdict {
                scope: Scope::Ok,
                mechanism: Mechanism::None,
                headline: String::new(),
                actor: Actor::Nobody,
                confidence: 1.0,
                intermittent: false,
                complete: true,
                scopes: BTreeMap::new(),
                causes: Vec::new(),
                evidence: Vec::new(),
                advisories: Vec::new(),
                next: Vec::new(),
            },
            subject: Subject {
                vantage: None,
                public_address: None,
                asn: None,
                local: LocalFacts::default(),
            },
            vantages: Vec::new(),
        }
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_size() {
        let is_kept = |store: &Memory, n: usize| store.get(&report(n).id).is_some();
        let store = Memory::with_bounds(3, 1_000);
        (0..5).for_each(|n| store.put("me", report(n), 10));
        assert_eq!(
            [1, 2, 3, 4].map(|n| is_kept(&store, n)),
            [false, true, true, true]
        );
        store.put("me", report(5), 985);
        assert_eq!([3, 4, 5].map(|n| is_kept(&store, n)), [false, true, true]);
        store.put("me", report(6), 2_000);
        assert_eq!(
            [5, 6].map(|n| is_kept(&store, n)),
            [false, false],
            "too large for any place"
        );
        assert_eq!(store.kept().bytes, 0);
    }
}
