//! What one request does, collected while it goes on. The line is written when this is dropped, however the request
//! ends: a coordinator cannot hide what it asked for by hanging up.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jiff::Timestamp;
use onlyhere_proto::{CheckRequest, Outcome, Stage};

use super::{
    Entry, Journal,
    entry::{ADDRESSES, DENIED},
};

/// One request under way; without a journal nothing is kept.
pub(crate) struct Recording(Option<Kept>);

struct Kept {
    journal: Arc<Journal>,
    began: Instant,
    entry: Mutex<Entry>,
    outcomes: Mutex<BTreeMap<(Stage, Outcome), u32>>,
}

impl Recording {
    pub(crate) fn of(request: &CheckRequest, journal: Option<&Arc<Journal>>) -> Self {
        Self(journal.map(|journal| Kept {
            began: Instant::now(),
            entry: Mutex::new(Entry {
                at: Timestamp::now(),
                coordinator: journal.coordinator().to_owned(),
                check: request.check.to_string(),
                request: request.request,
                purpose: request.purpose.label().to_owned(),
                target: request.target.input.clone(),
                addresses: Vec::new(),
                connections: 0,
                outcomes: Vec::new(),
                denied: Vec::new(),
                ms: 0,
            }),
            outcomes: Mutex::default(),
            journal: Arc::clone(journal),
        }))
    }

    /// Packets go to this address.
    pub(crate) fn sends_to(&self, address: IpAddr) {
        if let Some(mut entry) = self.entry()
            && entry.addresses.len() < ADDRESSES
            && !entry.addresses.contains(&address)
        {
            entry.addresses.push(address);
        }
    }

    /// A connection to this address is opened.
    pub(crate) fn connects_to(&self, address: IpAddr) {
        self.sends_to(address);
        if let Some(mut entry) = self.entry() {
            entry.connections += 1;
        }
    }

    /// Something is not done.
    pub(crate) fn denied(&self, why: impl ToString) {
        let why = why.to_string();
        if let Some(mut entry) = self.entry()
            && entry.denied.len() < DENIED
            && !entry.denied.contains(&why)
        {
            entry.denied.push(why);
        }
    }

    /// A stage has come to its end.
    pub(crate) fn came_to(&self, stage: Stage, outcome: Outcome) {
        if let Some(kept) = &self.0 {
            *lock(&kept.outcomes).entry((stage, outcome)).or_default() += 1;
        }
    }

    fn entry(&self) -> Option<MutexGuard<'_, Entry>> {
        self.0.as_ref().map(|kept| lock(&kept.entry))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(kept) = self.0.take() else { return };
        let outcomes = lock(&kept.outcomes);
        let shown = outcomes
            .iter()
            .map(|((stage, outcome), times)| match times {
                1 => format!("{stage} {outcome}"),
                times => format!("{stage} {outcome} x{times}"),
            });
        let mut entry = lock(&kept.entry);
        entry.outcomes = shown.collect();
        entry.ms = u64::try_from(kept.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        kept.journal.append(&entry);
    }
}
