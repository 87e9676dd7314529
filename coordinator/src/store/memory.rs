//! Reports in memory: the latest ones, until the process ends.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use onlyhere_proto::{CheckId, History, Report, Subject, Target};

use super::{ReportStore, history};

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

    fn history(&self, owner: &str, target: &Target, subject: &Subject) -> History {
        let kept = self.kept();
        let latest_first = kept.order.iter().rev();
        let reports = latest_first.filter_map(|(id, _)| kept.reports.get(id));
        history::of(reports.filter_map(|(whose, report)| {
            (whose == owner && history::is_same_question(report, target, subject)).then_some(report)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onlyhere_proto::{
        Actor, LocalFacts, Mechanism, Micros, Observation, Outcome, Purpose, REPORT_SCHEMA, Scope,
        Stage, Timestamp, Vantage, VantageName, VantageReport, Verdict,
    };

    use super::*;

    /// A report of `number` seconds after the epoch, for a caller at 203.0.113.7.
    fn judged(number: usize, scope: Scope) -> Report {
        let mut report = report(number);
        report.started_at = Timestamp(number as i64 * 1_000_000);
        report.verdict.scope = scope;
        report.subject = caller("203.0.113.7");
        report
    }

    fn caller(address: &str) -> Subject {
        Subject {
            vantage: Some(VantageName::you()),
            public_address: address.parse().ok(),
            asn: None,
            local: LocalFacts::default(),
        }
    }

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp(seconds * 1_000_000))
    }

    #[test]
    fn history_is_the_last_success_and_the_first_failure_after_it() {
        use Scope::{Global, Inconclusive, Local, Ok, SourceAddress};
        let cases: [(&[Scope], History); 6] = [
            (&[], History::default()),
            (&[Inconclusive], History::default()),
            (
                &[Ok],
                History {
                    last_ok: at(1),
                    failing_since: None,
                },
            ),
            (
                &[Global, Ok, Inconclusive, SourceAddress, Local],
                History {
                    last_ok: at(2),
                    failing_since: at(4),
                },
            ),
            (
                &[Global, Global],
                History {
                    last_ok: None,
                    failing_since: at(1),
                },
            ),
            (
                &[Ok, Global, Ok],
                History {
                    last_ok: at(3),
                    failing_since: None,
                },
            ),
        ];
        for (scopes, expected) in cases {
            let store = Memory::default();
            for (number, scope) in (1..).zip(scopes) {
                store.put("me", judged(number, *scope), 10);
            }
            let target = Target::parse("https://shop.example/cart").unwrap();
            let history = store.history("me", &target, &caller("203.0.113.7"));
            assert_eq!(history, expected, "{scopes:?}");
        }
    }

    #[test]
    fn history_is_of_one_owner_address_and_target() {
        let store = Memory::default();
        store.put("me", judged(1, Scope::Ok), 10);
        let shop = Target::parse("https://shop.example").unwrap();
        let you = caller("203.0.113.7");
        let knows = |owner: &str, target: &str, subject: &Subject| {
            let target = Target::parse(target).unwrap();
            store.history(owner, &target, subject) != History::default()
        };
        assert!(knows("me", &shop.input, &you));
        assert!(!knows("somebody", &shop.input, &you));
        assert!(!knows("me", "http://shop.example", &you), "another port");
        assert!(
            !knows("me", "tcp://shop.example:443", &you),
            "another layer"
        );
        assert!(!knows("me", &shop.input, &caller("203.0.113.8")));
        let no_vantage = Subject {
            vantage: None,
            ..you.clone()
        };
        assert!(!knows("me", &shop.input, &no_vantage));
        let unknown = caller("");
        let mut of_nobody = judged(2, Scope::Ok);
        of_nobody.subject = unknown.clone();
        store.put("me", of_nobody, 10);
        assert!(!knows("me", &shop.input, &unknown), "any of many callers");
    }

    #[test]
    fn a_fault_elsewhere_is_none_of_the_callers() {
        let shop = Target::parse("https://shop.example").unwrap();
        let you = caller("203.0.113.7");
        for (outcome, reachable) in [(Outcome::Ok, true), (Outcome::Timeout, false)] {
            let store = Memory::default();
            let mut report = judged(1, Scope::Regional);
            report.vantages = vec![VantageReport {
                vantage: Vantage::named(VantageName::you()),
                observations: vec![observation(Stage::Http, outcome)],
            }];
            store.put("me", report, 10);
            let history = store.history("me", &shop, &you);
            assert_eq!(history.last_ok.is_some(), reachable, "{outcome}");
            assert_eq!(history.failing_since.is_some(), !reachable, "{outcome}");
        }
    }

    fn observation(stage: Stage, outcome: Outcome) -> Observation {
        Observation {
            check: report(1).id,
            request: 1,
            sequence: 0,
            vantage: VantageName::you(),
            purpose: Purpose::Target,
            stage,
            host: "shop.example".into(),
            source: None,
            address: "192.0.2.1".parse().ok(),
            port: Some(443),
            family: None,
            started_at: Timestamp(0),
            elapsed_ms: Micros(1_000),
            slot: 0,
            outcome,
            said_by: None,
            detail: None,
            facts: None,
        }
    }

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
