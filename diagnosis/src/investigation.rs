//! The state machine of one check: asks come out, observations go in, rounds follow each other until the verdict
//! stands or nothing is worth asking.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use onlyhere_proto::{Observation, Purpose, Scope, VantageName, Verdict};

use crate::case::{Ask, Case};
use crate::digest::Digest;
use crate::early::stands_whatever_comes;
use crate::plan::{self, Planned, Situation};
use crate::posterior::Posterior;
use crate::progress::Progress;
use crate::verdict;

/// Rounds after which nothing more is asked.
const ROUNDS: u32 = 4;
/// Rounds that met silence, or almost, after which nothing more is asked: each costs a whole attempt's time.
const SLOW_ROUNDS: u32 = 2;
/// What those get whose word cannot change the verdict any more.
const GRACE: Duration = Duration::from_secs(1);
/// Surer than this of the scope, nobody waits for stragglers.
const SURE: f64 = 0.97;

/// One check under way.
#[derive(Debug, Clone)]
pub struct Investigation {
    case: Case,
    progress: Progress,
    asked: BTreeSet<(usize, Purpose, Option<IpAddr>)>,
    round: u32,
    slow_rounds: u32,
    slot: u32,
    /// The requests of the round under way.
    current: BTreeSet<(usize, u32)>,
    /// When the patience with stragglers ends.
    grace_ends: Option<Duration>,
    /// Something came since the last look.
    stirred: bool,
    /// Requests whose word on the target is in, without and with its echo.
    settled: BTreeSet<(usize, u32, bool)>,
    concluded: bool,
    out_of_time: bool,
    verdict: OnceLock<Verdict>,
}

impl Investigation {
    /// Opens a case. Nothing is asked before [`Self::poll_asks`].
    pub fn new(case: Case) -> Self {
        Self {
            case,
            progress: Progress::default(),
            asked: BTreeSet::new(),
            round: 0,
            slow_rounds: 0,
            slot: 0,
            current: BTreeSet::new(),
            grace_ends: None,
            stirred: true,
            settled: BTreeSet::new(),
            concluded: false,
            out_of_time: false,
            verdict: OnceLock::new(),
        }
    }

    /// One that is over, with what a record of it holds.
    pub(crate) fn recorded(case: Case, progress: Progress) -> Self {
        Self {
            progress,
            concluded: true,
            ..Self::new(case)
        }
    }

    /// What is to be asked now; each ask is returned once. Empty while more answers are awaited, or at the end.
    ///
    /// `now` is the time since the beginning on whatever clock the shell keeps; it must not go back. Besides after every
    /// answer, this is to be called when [`Self::wakes_at`] has come.
    pub fn poll_asks(&mut self, now: Duration) -> Vec<Ask> {
        if self.concluded {
            return Vec::new();
        }
        if self.out_of_time {
            self.conclude();
            return Vec::new();
        }
        if self.round == 0 {
            let opening = plan::opening(&self.case);
            return self.send_round(opening);
        }
        let awake = self.grace_ends.is_some_and(|end| now >= end);
        if !std::mem::take(&mut self.stirred) && !awake {
            return Vec::new();
        }
        self.advance(now)
    }

    /// When, on the clock of [`Self::poll_asks`], it wants to be polled although nothing may have come.
    pub fn wakes_at(&self) -> Option<Duration> {
        self.grace_ends.filter(|_| !self.concluded)
    }

    /// Takes an observation of a request that is under way, and says whether it did; one that answers no such request,
    /// or is known already, is ignored.
    pub fn handle_observation(&mut self, observation: Observation) -> bool {
        let Some(vantage) = self.index_of(&observation.vantage) else {
            return false;
        };
        let request = observation.request;
        if self.concluded || !self.progress.take(vantage, observation) {
            return false;
        }
        self.verdict = OnceLock::new();
        if self.progress.is_in(vantage, request) {
            let echo = self.progress.echo_is_in(vantage, request);
            self.stirred |= self.settled.insert((vantage, request, echo));
        }
        true
    }

    /// No further observation of this request will come: it is done, or its deadline has passed.
    pub fn handle_done(&mut self, vantage: &VantageName, request: u32) {
        let Some(vantage) = self.index_of(vantage) else {
            return;
        };
        if !self.concluded && self.progress.done(vantage, request) {
            self.verdict = OnceLock::new();
            self.stirred = true;
        }
    }

    /// The vantage is gone; everything it still owed will not come.
    pub fn handle_lost(&mut self, vantage: &VantageName) {
        let Some(vantage) = self.index_of(vantage) else {
            return;
        };
        if !self.concluded && self.progress.lost(vantage) {
            self.verdict = OnceLock::new();
            self.stirred = true;
        }
    }

    /// Time is up: nothing more will be asked, and what is known must do.
    pub fn handle_out_of_time(&mut self) {
        self.out_of_time = true;
        if !self.concluded {
            self.conclude();
        }
    }

    /// Whether the verdict is final. Requests still under way may be cancelled.
    pub fn is_concluded(&self) -> bool {
        self.concluded
    }

    /// The verdict as of now; `complete` is false before the end.
    pub fn verdict(&self) -> Verdict {
        self.verdict
            .get_or_init(|| {
                let digest = self.digest();
                let posterior = Posterior::new(&self.case, &digest);
                verdict::conclude(
                    &self.case,
                    &digest,
                    &posterior,
                    &self.stragglers(),
                    self.concluded,
                )
            })
            .clone()
    }

    fn index_of(&self, name: &VantageName) -> Option<usize> {
        self.case.vantages.iter().position(|v| v.id == *name)
    }

    fn digest(&self) -> Digest {
        Digest::new(
            &self.case,
            &self.progress.requests,
            &self.progress.observations,
        )
    }

    fn conclude(&mut self) {
        self.concluded = true;
        self.verdict = OnceLock::new();
    }

    /// Vantages, the subject apart, of which something is still out.
    fn stragglers(&self) -> BTreeSet<usize> {
        let subject = self.case.subject_index();
        self.progress
            .waiting(|_| true)
            .filter(|(v, _)| Some(*v) != subject)
            .filter(|(v, r)| !self.progress.is_in(*v, r.request))
            .map(|(v, _)| v)
            .collect()
    }

    /// Looks at what has come and goes on, waits, or ends.
    fn advance(&mut self, now: Duration) -> Vec<Ask> {
        // Whoever waits for something else than stragglers is woken by what comes.
        let grace = self.grace_ends.take();
        let stragglers = self.stragglers();
        let subject = self.case.subject_index();
        let waits_for_subject = self
            .progress
            .pending
            .iter()
            .any(|(v, r)| Some(*v) == subject && !self.rests(*v, *r));
        if waits_for_subject {
            return Vec::new();
        }
        if stragglers.len() > 1 && stragglers.len() * 3 > self.case.vantages.len() {
            return Vec::new();
        }
        let digest = self.digest();
        let posterior = Posterior::new(&self.case, &digest);
        let stands = || {
            sure_scope(&posterior)
                .is_some_and(|scope| scope == Scope::Ok || !posterior.leaves_doubt())
                && stands_whatever_comes(&self.case, &digest, &posterior, &stragglers)
        };
        if !stragglers.is_empty() && !stands() {
            return Vec::new();
        }
        let asks = self.next_round(&digest, &posterior, &stragglers);
        if !asks.is_empty() {
            return self.send_round(asks);
        }
        if stragglers.is_empty() {
            self.conclude();
            return Vec::new();
        }
        self.wait_a_little(now, grace);
        Vec::new()
    }

    /// Whether nothing that a pending request of the subject may still bring is worth waiting for: it reached the
    /// target, and only an echo or a control is out; or it failed, and the way to the host is known.
    fn rests(&self, vantage: usize, request: u32) -> bool {
        let Some(asked) = self.progress.requests.get(&(vantage, request)) else {
            return true;
        };
        let reaches = || {
            let all_in = self
                .progress
                .waiting(|p| p == Purpose::Target || p == Purpose::Address)
                .filter(|(v, _)| *v == vantage)
                .all(|(v, r)| self.progress.is_in(v, r.request));
            all_in && {
                let digest = self.digest();
                let seen = &digest.vantages[vantage];
                seen.reaches() && seen.attempts.iter().all(|a| a.is_ok())
            }
        };
        match asked.purpose {
            Purpose::Control => reaches(),
            _ => {
                self.progress.is_in(vantage, request)
                    && (self.progress.echo_is_in(vantage, request) || reaches())
            }
        }
    }

    fn next_round(
        &mut self,
        digest: &Digest,
        posterior: &Posterior,
        stragglers: &BTreeSet<usize>,
    ) -> Vec<Planned> {
        let slow = self
            .current
            .iter()
            .any(|(v, r)| self.progress.took_long(*v, *r));
        if self.round > ROUNDS || self.slow_rounds + u32::from(slow) >= SLOW_ROUNDS {
            return Vec::new();
        }
        let present: BTreeSet<usize> = (0..self.case.vantages.len())
            .filter(|v| !stragglers.contains(v) && digest.vantages[*v].says_something())
            .collect();
        let asks = plan::next(Situation {
            case: &self.case,
            digest,
            posterior,
            slot: self.slot + 1,
            present: &present,
            asked: &self.asked,
        });
        if !asks.is_empty() {
            self.slow_rounds += u32::from(slow);
        }
        asks
    }

    /// The verdict stands whatever the stragglers say, but what they say belongs in the report: they get a little more
    /// time.
    fn wait_a_little(&mut self, now: Duration, grace: Option<Duration>) {
        let end = grace.unwrap_or(now + GRACE);
        if now >= end {
            self.conclude();
        } else {
            self.grace_ends = Some(end);
        }
    }

    fn send_round(&mut self, asks: Vec<Planned>) -> Vec<Ask> {
        self.round += 1;
        self.slot = asks.iter().map(|a| a.slot).fold(self.slot, u32::max);
        let sent: Vec<Ask> = asks.into_iter().map(|planned| self.send(planned)).collect();
        self.current = self
            .case
            .vantages
            .iter()
            .enumerate()
            .flat_map(|(index, v)| {
                sent.iter()
                    .filter(|a| a.vantage == v.id)
                    .map(move |a| (index, a.request.request))
            })
            .collect();
        if sent.is_empty() {
            self.conclude();
        }
        sent
    }

    fn send(&mut self, planned: Planned) -> Ask {
        if planned.addresses.is_empty() || planned.purpose == Purpose::Control {
            self.asked.insert((planned.vantage, planned.purpose, None));
        }
        for ip in &planned.addresses {
            self.asked
                .insert((planned.vantage, planned.purpose, Some(*ip)));
        }
        let number = self.progress.number(planned.vantage);
        let request = planned.request(&self.case, number);
        self.progress.sent(planned.vantage, request.clone());
        Ask {
            vantage: self.case.vantages[planned.vantage].id.clone(),
            delay: planned.delay,
            request,
        }
    }
}

/// The scope that is as good as certain, if one is.
fn sure_scope(posterior: &Posterior) -> Option<Scope> {
    let scopes = posterior.plain_scopes();
    scopes.into_iter().find(|(_, p)| *p >= SURE).map(|(s, _)| s)
}
