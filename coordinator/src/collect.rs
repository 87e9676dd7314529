//! Collecting the answers of one check. Pure: the time is an argument, counted from the beginning of the check.
//!
//! An observation is believed only when it answers a request that was sent to that very vantage, in time, once, and within
//! what was asked. Everything else is dropped and counted. What a vantage writes about the question (its purpose, its
//! time slot) is replaced by what was asked.
#![deny(clippy::disallowed_methods)]

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use onlyhere_proto::{
    CheckId, CheckRequest, Observation, Stage, Vantage, VantageName, VantageReport, limits,
};

/// On top of a request's deadline: the way there and back.
pub const GRACE: Duration = Duration::from_millis(750);

/// Why an answer is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// It names another check.
    OtherCheck,
    /// This vantage was not asked that.
    NotAsked,
    /// After the vantage said that nothing more would come.
    AfterDone,
    /// After the deadline.
    Late,
    /// Seen before.
    Duplicate,
    /// More than a request may have.
    TooMany,
    /// It is not what was asked for: a deeper stage, or more time than there was.
    Unasked,
}

/// A request that was sent.
#[derive(Debug)]
struct Sent {
    request: CheckRequest,
    expires: Duration,
    seen: HashSet<u32>,
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Expired,
    Lost,
}

/// Identifies a request within one check.
pub type Asked = (VantageName, u32);

/// All requests and answers of one check.
#[derive(Debug)]
pub struct Collector {
    check: CheckId,
    sent: BTreeMap<Asked, Sent>,
    accepted: BTreeMap<VantageName, Vec<Observation>>,
    dropped: BTreeMap<Dropped, u32>,
}

impl Collector {
    /// For one check; nothing is out.
    pub fn new(check: CheckId) -> Self {
        Self {
            check,
            sent: BTreeMap::new(),
            accepted: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// A request was sent to a vantage at `now`.
    pub fn handle_sent(&mut self, vantage: VantageName, request: CheckRequest, now: Duration) {
        let expires = now + request.deadline.min(limits::DEADLINE) + GRACE;
        let key = (vantage, request.request);
        self.sent.insert(
            key,
            Sent {
                request,
                expires,
                seen: HashSet::new(),
                ended: None,
            },
        );
    }

    /// An observation has come over `vantage`'s own line. What is believed is kept, and returned as it is to be read.
    pub fn handle_observation(
        &mut self,
        vantage: &VantageName,
        observation: Observation,
        now: Duration,
    ) -> Result<Observation, Dropped> {
        let judged = self.judge(vantage, observation, now);
        match &judged {
            Ok(observation) => {
                self.accepted
                    .entry(vantage.clone())
                    .or_default()
                    .push(observation.clone());
            }
            Err(why) => *self.dropped.entry(*why).or_default() += 1,
        }
        judged
    }

    fn judge(
        &mut self,
        vantage: &VantageName,
        observation: Observation,
        now: Duration,
    ) -> Result<Observation, Dropped> {
        if observation.check != self.check {
            return Err(Dropped::OtherCheck);
        }
        let key = (vantage.clone(), observation.request);
        let sent = self.sent.get_mut(&key).ok_or(Dropped::NotAsked)?;
        match sent.ended {
            Some(Ended::Done) => return Err(Dropped::AfterDone),
            Some(Ended::Expired | Ended::Lost) => return Err(Dropped::Late),
            None if now >= sent.expires => return Err(Dropped::Late),
            None => {}
        }
        if sent.seen.contains(&observation.sequence) {
            return Err(Dropped::Duplicate);
        }
        if sent.seen.len() >= limits::OBSERVATIONS_PER_REQUEST {
            return Err(Dropped::TooMany);
        }
        if !is_asked_for(&observation, &sent.request) {
            return Err(Dropped::Unasked);
        }
        sent.seen.insert(observation.sequence);
        Ok(Observation {
            vantage: vantage.clone(),
            purpose: sent.request.purpose,
            slot: sent.request.slot,
            ..observation
        })
    }

    /// The vantage says that nothing more will come; false when that was known, or nothing was asked.
    pub fn handle_done(&mut self, vantage: &VantageName, request: u32) -> bool {
        self.end(&(vantage.clone(), request), Ended::Done)
    }

    /// The vantage is gone, and owes nothing any more.
    pub fn handle_lost(&mut self, vantage: &VantageName) {
        for sent in self
            .sent
            .iter_mut()
            .filter(|((name, _), _)| name == vantage)
            .map(|(_, sent)| sent)
        {
            sent.ended.get_or_insert(Ended::Lost);
        }
    }

    /// Requests whose time has passed by `now`; each is returned once.
    pub fn poll_expired(&mut self, now: Duration) -> Vec<Asked> {
        let late = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.ended.is_none() && sent.expires <= now);
        let late: Vec<Asked> = late.map(|(key, _)| key.clone()).collect();
        for key in &late {
            self.end(key, Ended::Expired);
        }
        late
    }

    fn end(&mut self, key: &Asked, how: Ended) -> bool {
        match self.sent.get_mut(key) {
            Some(sent) if sent.ended.is_none() => {
                sent.ended = Some(how);
                true
            }
            _ => false,
        }
    }

    /// When the next request expires.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.sent
            .values()
            .filter(|sent| sent.ended.is_none())
            .map(|sent| sent.expires)
            .min()
    }

    /// Requests that are still out.
    pub fn outstanding(&self) -> impl Iterator<Item = &Asked> {
        self.sent
            .iter()
            .filter(|(_, sent)| sent.ended.is_none())
            .map(|(key, _)| key)
    }

    /// How many answers were dropped, and why.
    pub fn dropped(&self) -> &BTreeMap<Dropped, u32> {
        &self.dropped
    }

    /// What each vantage saw: the caller first, then by name; observations by request and sequence.
    pub fn reports(&self, vantages: &[Vantage]) -> Vec<VantageReport> {
        let mut reports: Vec<VantageReport> = vantages
            .iter()
            .map(|vantage| {
                let mut observations = self.accepted.get(&vantage.id).cloned().unwrap_or_default();
                observations.sort_by_key(|o| (o.request, o.sequence));
                VantageReport {
                    vantage: vantage.clone(),
                    observations,
                }
            })
            .collect();
        reports.sort_by(|a, b| {
            let key = |r: &VantageReport| (!r.vantage.id.is_you(), r.vantage.id.clone());
            key(a).cmp(&key(b))
        });
        reports
    }
}

/// Whether a vantage that does what it is asked can have seen this.
fn is_asked_for(observation: &Observation, request: &CheckRequest) -> bool {
    let within_depth = match observation.stage {
        Stage::Icmp => request.ping || request.depth == Stage::Icmp,
        // Even a request for echoes alone resolves the name.
        Stage::Dns => true,
        stage => request.depth != Stage::Icmp && stage <= request.depth,
    };
    within_depth && Duration::from(observation.elapsed_ms) <= request.deadline + GRACE
}
