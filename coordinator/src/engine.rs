//! The rounds of one check: what the diagnosis wants to know is asked, what comes back is believed or not, until the
//! diagnosis has concluded or the time is up.
//!
//! Nobody is waited for: every request has its deadline, every check its end, and who does not read its orders is lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use onlyhere_diagnosis::{Ask, Case, Investigation};
use onlyhere_proto::{
    Facts, Mechanism, Micros, Observation, REPORT_SCHEMA, Report, Scope, Timestamp, VantageName,
    Verdict, special_range,
};

use crate::{
    collect::Collector,
    fleet::{CheckEar, Event, Line},
};

/// Between two provisional verdicts.
const PROVISIONAL: Duration = Duration::from_millis(100);

/// One check, ready to begin.
pub struct Check {
    /// What is to be found out, and who can help.
    pub case: Case,
    /// A line to every vantage of the case.
    pub lines: BTreeMap<VantageName, Arc<Line>>,
    /// When the question came.
    pub started_at: Timestamp,
    /// For everything, from the call of [`conclude`] on.
    pub budget: Duration,
    /// Special ranges that vantages may be asked to try.
    pub allow_private: Vec<IpNet>,
}

/// What is told while the check goes on.
#[derive(Debug)]
pub enum News {
    /// What vantages other than the caller saw.
    Observations(Vec<Observation>),
    /// The verdict as of now.
    Provisional(Box<Verdict>),
}

/// Who follows a check; telling never waits.
pub trait Audience: Sync {
    /// Takes one piece of news, or drops it when there is no room.
    fn tell(&self, news: News);
}

/// Carries a check out. Requests that are still out at the end, or when the future is dropped, are withdrawn.
pub async fn conclude(check: Check, mut ear: CheckEar, audience: &impl Audience) -> Report {
    let mut rounds = Rounds::new(check);
    loop {
        rounds.ask();
        rounds.give_up_if_idle();
        if rounds.is_over() {
            return rounds.report();
        }
        rounds.tell_provisional(audience);
        tokio::select! {
            event = ear.hear() => {
                // Whatever else is there already is read before anything is thought over again.
                let mut next = event;
                while let Some(event) = next {
                    rounds.handle_event(event, audience);
                    next = ear.hear_now();
                }
            }
            () = tokio::time::sleep(rounds.until_next()) => {}
        }
        rounds.handle_time();
    }
}

struct Rounds {
    began: Instant,
    started_at: Timestamp,
    budget: Duration,
    allow_private: Vec<IpNet>,
    case: Case,
    lines: BTreeMap<VantageName, Arc<Line>>,
    lost: BTreeSet<VantageName>,
    investigation: Investigation,
    collector: Collector,
    /// With the time, since the beginning, before which each must not be sent.
    waiting: Vec<(Duration, Ask)>,
    /// Addresses that the caller resolved by itself.
    own_addresses: HashSet<IpAddr>,
    out_of_time: bool,
    provisional: Provisional,
}

#[derive(Default)]
struct Provisional {
    /// Something has come since the last verdict was formed.
    stale: bool,
    not_before: Duration,
    last: Option<Gist>,
}

/// What makes a verdict a different one for a person.
type Gist = (Scope, Mechanism, String, u8);

fn gist(verdict: &Verdict) -> Gist {
    let percent = (verdict.confidence * 100.0).round() as u8;
    (
        verdict.scope,
        verdict.mechanism,
        verdict.headline.clone(),
        percent,
    )
}

impl Rounds {
    fn new(check: Check) -> Self {
        Self {
            began: Instant::now(),
            started_at: check.started_at,
            budget: check.budget,
            allow_private: check.allow_private,
            investigation: Investigation::new(check.case.clone()),
            collector: Collector::new(check.case.check.clone()),
            case: check.case,
            lines: check.lines,
            lost: BTreeSet::new(),
            waiting: Vec::new(),
            own_addresses: HashSet::new(),
            out_of_time: false,
            provisional: Provisional::default(),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sends what is wanted and due; what cannot be sent may make the diagnosis want something else.
    fn ask(&mut self) {
        loop {
            let now = self.now();
            let wanted = self.investigation.poll_asks(now);
            self.waiting
                .extend(wanted.into_iter().map(|ask| (now + ask.delay, ask)));
            let (due, later) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, _)| *at <= now);
            self.waiting = later;
            if due.is_empty() {
                return;
            }
            for (_, ask) in due {
                self.send(ask, now);
            }
        }
    }

    fn send(&mut self, ask: Ask, now: Duration) {
        let Ask {
            vantage,
            mut request,
            ..
        } = ask;
        let number = request.request;
        let had_addresses = !request.addresses.is_empty();
        request
            .addresses
            .retain(|&address| self.may_try(&vantage, address));
        if had_addresses && request.addresses.is_empty() {
            tracing::debug!(check = %self.case.check, %vantage, "only private addresses to try: not asked");
            return self.investigation.handle_done(&vantage, number);
        }
        let line = self
            .lines
            .get(&vantage)
            .filter(|_| !self.lost.contains(&vantage));
        let Some(line) = line.cloned() else {
            return self.lose(&vantage);
        };
        self.collector
            .handle_sent(vantage.clone(), request.clone(), now);
        if !line.ask(request) {
            tracing::warn!(check = %self.case.check, %vantage, "does not read its orders: lost for this check");
            self.lose(&vantage);
        }
    }

    /// Nobody is made to try an address of a private network because somebody else says that a name leads there.
    fn may_try(&self, vantage: &VantageName, address: IpAddr) -> bool {
        special_range(address).is_none()
            || self.allow_private.iter().any(|net| net.contains(&address))
            || (vantage.is_you() && self.own_addresses.contains(&address))
    }

    fn lose(&mut self, vantage: &VantageName) {
        self.lost.insert(vantage.clone());
        self.waiting.retain(|(_, ask)| ask.vantage != *vantage);
        let owed = self
            .collector
            .outstanding()
            .filter(|(name, _)| name == vantage);
        owed.for_each(|(_, request)| self.withdraw(vantage, *request));
        self.collector.handle_lost(vantage);
        self.investigation.handle_lost(vantage);
        self.provisional.stale = true;
    }

    fn withdraw(&self, vantage: &VantageName, request: u32) {
        if let Some(line) = self.lines.get(vantage) {
            line.cancel(&self.case.check, request);
        }
    }

    fn handle_event(&mut self, event: Event, audience: &impl Audience) {
        match event {
            Event::Observations(vantage, observations) => {
                self.handle_observations(&vantage, observations, audience);
            }
            Event::Done(vantage, request) => {
                if self.collector.handle_done(&vantage, request) {
                    self.investigation.handle_done(&vantage, request);
                }
            }
            Event::Lost(vantage) => {
                if self.lines.contains_key(&vantage) && !self.lost.contains(&vantage) {
                    self.lose(&vantage);
                }
            }
        }
    }

    fn handle_observations(
        &mut self,
        vantage: &VantageName,
        observations: Vec<Observation>,
        audience: &impl Audience,
    ) {
        let now = self.now();
        let mut believed = Vec::new();
        for observation in observations {
            match self.collector.handle_observation(vantage, observation, now) {
                Ok(observation) => believed.push(observation),
                Err(why) => {
                    tracing::debug!(check = %self.case.check, %vantage, ?why, "observation dropped");
                }
            }
        }
        if believed.is_empty() {
            return;
        }
        for observation in &believed {
            if vantage.is_you()
                && let Some(Facts::Dns(dns)) = &observation.facts
            {
                self.own_addresses
                    .extend(dns.answers.iter().map(|answer| answer.address));
            }
            self.investigation.handle_observation(observation.clone());
        }
        self.provisional.stale = true;
        if !vantage.is_you() {
            audience.tell(News::Observations(believed));
        }
    }

    fn handle_time(&mut self) {
        let now = self.now();
        for (vantage, request) in self.collector.poll_expired(now) {
            self.withdraw(&vantage, request);
            self.investigation.handle_done(&vantage, request);
            self.provisional.stale = true;
            // Who has let a whole request pass without a word would hold up the next round as well.
            if self.collector.is_silent(&vantage) && !self.lost.contains(&vantage) {
                tracing::info!(check = %self.case.check, %vantage, "says nothing: lost for this check");
                self.lose(&vantage);
            }
        }
        if now >= self.budget {
            self.run_out_of_time();
        }
    }

    fn run_out_of_time(&mut self) {
        self.out_of_time = true;
        self.investigation.handle_out_of_time();
    }

    /// A diagnosis that neither asks nor awaits anything and does not conclude either would hold the caller for nothing.
    fn give_up_if_idle(&mut self) {
        let idle = self.waiting.is_empty()
            && self.collector.outstanding().next().is_none()
            && self.investigation.wakes_at().is_none();
        if idle && !self.investigation.is_concluded() {
            tracing::warn!(check = %self.case.check, "the diagnosis neither asks nor concludes: ended");
            self.run_out_of_time();
        }
    }

    fn is_over(&self) -> bool {
        self.out_of_time || self.investigation.is_concluded()
    }

    fn tell_provisional(&mut self, audience: &impl Audience) {
        let now = self.now();
        if !self.provisional.stale || now < self.provisional.not_before {
            return;
        }
        self.provisional.stale = false;
        self.provisional.not_before = now + PROVISIONAL;
        let verdict = self.investigation.verdict();
        let gist = gist(&verdict);
        if self.provisional.last.as_ref() != Some(&gist) {
            self.provisional.last = Some(gist);
            audience.tell(News::Provisional(Box::new(verdict)));
        }
    }

    /// Until something is due, expires or ends.
    fn until_next(&self) -> Duration {
        let due = self.waiting.iter().map(|(at, _)| *at);
        let verdict = self
            .provisional
            .stale
            .then_some(self.provisional.not_before);
        let next = due
            .chain(self.collector.next_expiry())
            .chain(self.investigation.wakes_at())
            .chain(verdict)
            .min();
        next.unwrap_or(self.budget)
            .min(self.budget)
            .saturating_sub(self.now())
    }

    fn report(&self) -> Report {
        let dropped = self.collector.dropped();
        if !dropped.is_empty() {
            tracing::info!(check = %self.case.check, ?dropped, "answers that were not believed");
        }
        Report {
            schema: REPORT_SCHEMA.to_owned(),
            id: self.case.check.clone(),
            started_at: self.started_at,
            duration_ms: Micros::from(self.now()),
            target: self.case.target.clone(),
            verdict: self.investigation.verdict(),
            subject: self.case.subject.clone(),
            conditions: self.case.conditions.clone(),
            vantages: self.collector.reports(&self.case.vantages),
        }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        for (vantage, request) in self.collector.outstanding() {
            self.withdraw(vantage, *request);
        }
    }
}
