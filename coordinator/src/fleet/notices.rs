//! What was noticed of probes since the coordinator started: which processes attached, and what was told already.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use onlyhere_proto::{Timestamp, VantageName};

use super::instances::{Clash, Instance, Instances};

/// What goes on is told again after so long.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// Bounded by the number of enrolled probes: nobody else gets so far.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Noticed>);

#[derive(Debug, Default)]
struct Noticed {
    instances: Instances,
    told: BTreeMap<(VantageName, &'static str), Timestamp>,
}

impl Notices {
    /// Takes note of an attachment: see `Instances::attached`.
    pub fn attached(&self, name: &VantageName, instance: Instance) -> Option<Clash> {
        self.lock().instances.attached(name, instance)
    }

    /// A new machine has the name now.
    pub fn forget(&self, name: &VantageName) {
        let mut noticed = self.lock();
        noticed.instances.forget(name);
        noticed.told.retain(|(told, _), _| told != name);
    }

    /// Whether this was not told of this probe within the last hour; it counts as told from now on.
    pub fn is_news(&self, name: &VantageName, what: &'static str, now: Timestamp) -> bool {
        let mut noticed = self.lock();
        let key = (name.clone(), what);
        let told = noticed.told.get(&key);
        if told.is_some_and(|told| now.0.saturating_sub(told.0) < AGAIN.as_micros() as i64) {
            return false;
        }
        noticed.told.insert(key, now);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noticed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
