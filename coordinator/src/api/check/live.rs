//! Checks under way, for whoever asks how far one is.
//!
//! What has been told of a check stands in one log, which every reader walks at its own pace: a slow reader costs no
//! more than a fast one. The log is bounded; what it has no room for is counted and left to the report. Of provisional
//! verdicts only the last is worth reading, and only that is kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onlyhere_proto::{CheckId, Report, Target, Timestamp, Verdict};
use tokio::sync::watch;

use crate::engine::News;

/// Observations kept of one check while it goes on.
const OBSERVATIONS: usize = 1_024;
/// Bytes of them, as JSON.
const BYTES: usize = 256 * 1024;
/// Checks kept that are over and stand in no store: they failed, or the store did.
const UNKEPT: usize = 32;

/// Every check under way, and the last of those that left nothing in the store.
#[derive(Debug, Default)]
pub struct Live(Mutex<Checks>);

#[derive(Debug, Default)]
struct Checks {
    running: HashMap<CheckId, Arc<Running>>,
    unkept: VecDeque<Arc<Running>>,
}

impl Live {
    /// A check begins.
    pub(in crate::api) fn begin(
        &self,
        id: CheckId,
        owner: String,
        target: Target,
        started_at: Timestamp,
    ) -> Arc<Running> {
        let running = Arc::new(Running {
            id: id.clone(),
            owner,
            target,
            started_at,
            progress: Mutex::default(),
            changed: watch::Sender::default(),
        });
        self.checks().running.insert(id, Arc::clone(&running));
        running
    }

    /// It has its report; `kept` says whether that stands in the store, where it is found from now on.
    pub(in crate::api) fn conclude(&self, running: &Arc<Running>, report: Arc<Report>, kept: bool) {
        self.end(running, End::Report(report), !kept);
    }

    /// It will have none.
    pub(in crate::api) fn fail(&self, running: &Arc<Running>, why: &str) {
        self.end(running, End::Failed(why.into()), true);
    }

    fn end(&self, running: &Arc<Running>, end: End, keep: bool) {
        running.hold().end.get_or_insert(end);
        running.changed.send_replace(());
        let mut checks = self.checks();
        if checks.running.remove(&running.id).is_some() && keep {
            checks.unkept.push_back(Arc::clone(running));
            if checks.unkept.len() > UNKEPT {
                checks.unkept.pop_front();
            }
        }
    }

    /// A check that is under way, or is over and in no store.
    pub(in crate::api) fn find(&self, id: &CheckId) -> Option<Arc<Running>> {
        let checks = self.checks();
        let unkept = || checks.unkept.iter().find(|check| check.id == *id);
        checks.running.get(id).or_else(unkept).cloned()
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One check.
#[derive(Debug)]
pub(in crate::api) struct Running {
    pub(in crate::api) id: CheckId,
    /// The id of the token that it was asked with.
    pub(in crate::api) owner: String,
    pub(in crate::api) target: Target,
    pub(in crate::api) started_at: Timestamp,
    progress: Mutex<Progress>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Progress {
    /// As JSON, in the order in which they came.
    observations: Vec<Arc<str>>,
    bytes: usize,
    left_out: usize,
    verdict: Option<Arc<Verdict>>,
    /// How many there have been.
    verdicts: usize,
    end: Option<End>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(in crate::api) enum End {
    /// With this report.
    Report(Arc<Report>),
    /// Without one.
    Failed(Arc<str>),
}

/// What is new to one reader.
#[derive(Debug, Default)]
pub(in crate::api) struct Fresh {
    /// As JSON, with the number of the first.
    pub(in crate::api) observations: Vec<Arc<str>>,
    pub(in crate::api) first: usize,
    /// How many more there were than were kept, if that is new.
    pub(in crate::api) left_out: Option<usize>,
    pub(in crate::api) verdict: Option<Arc<Verdict>>,
    pub(in crate::api) end: Option<End>,
}

impl Fresh {
    fn is_nothing(&self) -> bool {
        self.observations.is_empty()
            && self.left_out.is_none()
            && self.verdict.is_none()
            && self.end.is_none()
    }
}

impl Running {
    /// Takes note of what is told.
    pub(in crate::api) fn note(&self, news: &News) {
        let mut progress = self.hold();
        match news {
            News::Observations(observations) => {
                for observation in observations {
                    progress.add(serde_json::to_string(observation).unwrap_or_default());
                }
            }
            News::Provisional(verdict) => {
                progress.verdict = Some(Arc::new((**verdict).clone()));
                progress.verdicts += 1;
            }
        }
        drop(progress);
        self.changed.send_replace(());
    }

    /// The last provisional verdict, and the end if there is one.
    pub(in crate::api) fn state(&self) -> (Option<Arc<Verdict>>, Option<End>) {
        let progress = self.hold();
        (progress.verdict.clone(), progress.end.clone())
    }

    /// Waits for its end.
    pub(in crate::api) async fn ended(&self) -> End {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(end) = &self.hold().end {
                return end.clone();
            }
            // The sender is our own: it is not gone.
            let _ = changed.changed().await;
        }
    }

    fn hold(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn add(&mut self, observation: String) {
        self.bytes += observation.len();
        if self.observations.len() >= OBSERVATIONS || self.bytes > BYTES {
            self.bytes -= observation.len();
            self.left_out += 1;
        } else {
            self.observations.push(observation.into());
        }
    }
}

/// One reader's place in what is told of a check.
#[derive(Debug)]
pub(in crate::api) struct Reader {
    running: Arc<Running>,
    changed: watch::Receiver<()>,
    observations: usize,
    left_out: usize,
    verdicts: usize,
    is_over: bool,
}

impl Reader {
    /// From the observation with this number on.
    pub(in crate::api) fn new(running: Arc<Running>, from: usize) -> Self {
        Self {
            changed: running.changed.subscribe(),
            running,
            observations: from,
            left_out: 0,
            verdicts: 0,
            is_over: false,
        }
    }

    /// Waits for what is new; nothing once the end has been read.
    pub(in crate::api) async fn next(&mut self) -> Option<Fresh> {
        while !self.is_over {
            let fresh = self.take();
            if !fresh.is_nothing() {
                return Some(fresh);
            }
            let _ = self.changed.changed().await;
        }
        None
    }

    fn take(&mut self) -> Fresh {
        let progress = self.running.hold();
        let first = self.observations.min(progress.observations.len());
        let fresh = Fresh {
            observations: progress.observations[first..].to_vec(),
            first,
            left_out: (progress.left_out > self.left_out).then_some(progress.left_out),
            verdict: progress
                .verdict
                .clone()
                .filter(|_| progress.verdicts > self.verdicts),
            end: progress.end.clone(),
        };
        self.observations = progress.observations.len();
        self.left_out = progress.left_out;
        self.verdicts = progress.verdicts;
        self.is_over = fresh.end.is_some();
        fresh
    }
}
