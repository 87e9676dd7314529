//! Reports in memory: the latest ones, until the process ends.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use onlyhere_proto::{CheckId, Report};

use super::ReportStore;

/// The latest reports, bounded by their number and by the observations they hold together.
#[derive(Debug)]
pub struct Memory {
    most_reports: usize,
    most_observations: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    reports: BTreeMap<CheckId, (String, Report)>,
    order: VecDeque<CheckId>,
    observations: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_bounds(1_000, 100_000)
    }
}

impl Memory {
    /// Forgets the oldest reports when there are more than this.
    pub fn with_bounds(most_reports: usize, most_observations: usize) -> Self {
        Self {
            most_reports,
            most_observations,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportStore for Memory {
    fn put(&self, owner: &str, report: Report) {
        let mut kept = self.kept();
        kept.observations += weight(&report);
        kept.order.push_back(report.id.clone());
        kept.reports
            .insert(report.id.clone(), (owner.to_owned(), report));
        while kept.reports.len() > self.most_reports || kept.observations > self.most_observations {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            if let Some((_, report)) = kept.reports.remove(&oldest) {
                kept.observations -= weight(&report);
            }
        }
    }

    fn get(&self, check: &CheckId) -> Option<(String, Report)> {
        self.kept().reports.get(check).cloned()
    }
}

fn weight(report: &Report) -> usize {
    report
        .vantages
        .iter()
        .map(|vantage| vantage.observations.len())
        .sum()
}
