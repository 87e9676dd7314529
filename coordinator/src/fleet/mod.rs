//! The fleet: who is attached now, and which check an answer belongs to.
//!
//! A vantage's stream is a [`Line`]. Probes' lines stand in the [`Fleet`] while they are attached; the caller's line lives
//! as long as its check. Answers that a line lets through ([`Ledger`]) are handed to the check they name; whether they are
//! believed there is the check's own business ([`crate::collect`]).

mod answers;
mod enrolment;
mod instances;
mod ledger;
mod line;
mod notices;
pub mod roll;
mod service;
mod session;
pub mod sighting;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onlyhere_proto::{CheckId, Observation, Vantage, VantageName, line_of};
use tokio::sync::mpsc;

pub use answers::{Answers, Offence};
pub use ledger::{Judgement, Ledger, RequestKey};
pub use line::{End, Line, Order};
pub use notices::Notices;
pub use service::ProbePort;
pub use watch::{watch_certificates, watch_roll};

/// Answers that may wait for one check. What comes on top is dropped: the check's deadlines make up for it.
const WAITING: usize = 1_024;

/// What a check is told by the streams of its vantages.
#[derive(Debug)]
pub enum Event {
    /// Observations of one vantage.
    Observations(VantageName, Vec<Observation>),
    /// No further observation of this request will come.
    Done(VantageName, u32),
    /// The stream has ended.
    Lost(VantageName),
}

/// Everyone who is attached, and every check under way.
#[derive(Debug, Default)]
pub struct Fleet {
    attached: Mutex<BTreeMap<VantageName, Arc<Line>>>,
    checks: Mutex<HashMap<CheckId, mpsc::Sender<Event>>>,
}

impl Fleet {
    /// Enters a probe's line; an older one of the same name ends.
    pub fn attach(&self, line: &Arc<Line>) {
        let older = hold(&self.attached).insert(line.name().clone(), Arc::clone(line));
        if let Some(older) = older {
            older.end(End::Replaced);
            self.tell_lost(older.name());
        }
    }

    /// A probe's line has ended; every check is told, unless a newer line has taken its place.
    pub fn detach(&self, line: &Arc<Line>) {
        let mut attached = hold(&self.attached);
        let is_current = attached
            .get(line.name())
            .is_some_and(|current| Arc::ptr_eq(current, line));
        if is_current {
            attached.remove(line.name());
            drop(attached);
            self.tell_lost(line.name());
        }
    }

    fn tell_lost(&self, name: &VantageName) {
        for check in hold(&self.checks).values() {
            let _ = check.try_send(Event::Lost(name.clone()));
        }
    }

    /// Everyone who is attached, sorted by name.
    pub fn vantages(&self) -> Vec<Vantage> {
        hold(&self.attached)
            .values()
            .map(|line| line.vantage())
            .collect()
    }

    /// The line of an attached probe.
    pub fn line(&self, name: &VantageName) -> Option<Arc<Line>> {
        hold(&self.attached).get(name).cloned()
    }

    /// Sends an order to the lines that `meant` wants to have it.
    pub fn order(&self, order: Order, meant: impl Fn(&Line) -> bool) {
        for line in hold(&self.attached).values().filter(|line| meant(line)) {
            line.order(order.clone());
        }
    }

    /// Other attached probes that are seen from outside as one with `address`.
    pub fn beside(&self, name: &VantageName, address: IpAddr) -> Vec<VantageName> {
        let here = Some(line_of(address));
        let attached = hold(&self.attached);
        let beside = attached
            .iter()
            .filter(|(other, line)| *other != name && line.public_address().map(line_of) == here);
        beside.map(|(other, _)| other.clone()).collect()
    }

    /// Ends every line whose probe `keep` does not want any more.
    pub fn retain(&self, why: End, keep: impl Fn(&Line) -> bool) {
        for line in hold(&self.attached).values().filter(|line| !keep(line)) {
            line.end(why.clone());
        }
    }

    /// Opens a check's ear; it closes when the returned value is dropped.
    pub fn listen(self: &Arc<Self>, check: &CheckId) -> CheckEar {
        let (sender, events) = mpsc::channel(WAITING);
        hold(&self.checks).insert(check.clone(), sender);
        CheckEar {
            fleet: Arc::clone(self),
            check: check.clone(),
            events,
        }
    }

    /// Hands observations of one line to the checks they name; those of no check under way are dropped.
    pub fn deliver(&self, line: &Line, observations: Vec<Observation>) {
        let mut by_check = BTreeMap::<CheckId, Vec<Observation>>::new();
        for observation in observations {
            by_check
                .entry(observation.check.clone())
                .or_default()
                .push(observation);
        }
        for (check, observations) in by_check {
            self.tell(
                &check,
                Event::Observations(line.name().clone(), observations),
            );
        }
    }

    /// Hands one event to one check.
    pub fn tell(&self, check: &CheckId, event: Event) {
        let ear = hold(&self.checks).get(check).cloned();
        if let Some(ear) = ear
            && let Err(mpsc::error::TrySendError::Full(_)) = ear.try_send(event)
        {
            tracing::warn!(%check, "more answers wait than a check can hold; one is dropped");
        }
    }
}

/// What one check hears.
#[derive(Debug)]
pub struct CheckEar {
    fleet: Arc<Fleet>,
    check: CheckId,
    events: mpsc::Receiver<Event>,
}

impl CheckEar {
    /// The next event; never ends while the ear is open.
    pub async fn hear(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event that is there already.
    pub fn hear_now(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl Drop for CheckEar {
    fn drop(&mut self) {
        hold(&self.fleet.checks).remove(&self.check);
    }
}

/// These locks are held for a few lines that cannot panic halfway.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
