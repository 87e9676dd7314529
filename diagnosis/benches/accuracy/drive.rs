//! The shell around one investigation: a simulated clock, a queue of what is still to come, and nothing else. It does what
//! the coordinator's engine does, without waiting.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use onlyhere_diagnosis::{Ask, Investigation};
use onlyhere_proto::{Observation, VantageName, Verdict};

use crate::answer::answer;
use crate::network::Network;

/// Between two provisional verdicts that are shown, ms.
const PROVISIONAL_MS: f64 = 250.0;
/// How long a wish to be woken in the past is put off, ms.
const SPIN_MS: f64 = 20.0;
/// What a request gets beyond its deadline before its vantage is given up, ms.
const PATIENCE_MS: f64 = 1_000.0;

/// How a check went.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) verdict: Verdict,
    /// When it was final, ms.
    pub(crate) concluded_ms: f64,
    /// Everything that was asked, and when.
    pub(crate) asks: Vec<(f64, Ask)>,
    /// Of these the first that many were the opening.
    pub(crate) opening: usize,
    /// Everything that came, and when.
    pub(crate) observations: Vec<(f64, Observation)>,
    /// Provisional verdicts, whenever something had come.
    pub(crate) shown: Vec<(f64, Verdict)>,
    /// Whether time ran out.
    pub(crate) out_of_time: bool,
    /// Times that it wanted to be woken in the past.
    pub(crate) spins: usize,
    /// It ended while requests were out: the verdict that all answers would have led to.
    pub(crate) heard_out: Option<Verdict>,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Ask the opening, and hear it out; form no verdict.
    Opening,
    /// To the end, without provisional verdicts.
    Final,
    /// To the end.
    Whole,
}

#[derive(Debug)]
enum Event {
    Send(Ask),
    Deliver(Observation),
    Done(VantageName, u32),
    Expire(VantageName, u32),
}

/// Microseconds, then order of arrival.
type Due = Reverse<(u64, u64)>;

struct Shell<'a, N: Network + ?Sized> {
    network: &'a mut N,
    due: BinaryHeap<Due>,
    events: BTreeMap<u64, Event>,
    number: u64,
    outstanding: BTreeSet<(VantageName, u32)>,
    heard: BTreeSet<(VantageName, u32)>,
    run: Run,
}

/// Carries one check out within `budget_ms`.
pub(crate) fn run<N: Network + ?Sized>(network: &mut N, budget_ms: f64, extent: Extent) -> Run {
    let mut investigation = Investigation::new(network.case().clone());
    let verdict = investigation.verdict();
    let mut shell = Shell {
        network,
        due: BinaryHeap::new(),
        events: BTreeMap::new(),
        number: 0,
        outstanding: BTreeSet::new(),
        heard: BTreeSet::new(),
        run: Run {
            verdict,
            concluded_ms: 0.0,
            asks: Vec::new(),
            opening: 0,
            observations: Vec::new(),
            shown: Vec::new(),
            out_of_time: false,
            spins: 0,
            heard_out: None,
        },
    };
    shell.go(&mut investigation, budget_ms, extent);
    if extent != Extent::Opening {
        shell.run.verdict = investigation.verdict();
    }
    shell.run
}

impl<N: Network + ?Sized> Shell<'_, N> {
    fn go(&mut self, investigation: &mut Investigation, budget_ms: f64, extent: Extent) {
        let mut now = 0.0;
        let mut show_at = 0.0;
        let mut stale = false;
        loop {
            if extent != Extent::Opening || self.run.opening == 0 {
                self.poll(investigation, now);
            }
            if investigation.is_concluded() {
                break;
            }
            if stale && now >= show_at {
                self.run.shown.push((now, investigation.verdict()));
                show_at = now + PROVISIONAL_MS;
                stale = false;
            }
            let wake = investigation
                .wakes_at()
                .filter(|_| extent != Extent::Opening)
                .map(|wake| wake.as_secs_f64() * 1e3);
            // Who has just been woken and wants to be woken in the past would keep a real shell spinning.
            let spins = wake.is_some_and(|wake| wake <= now);
            self.run.spins += usize::from(spins);
            let wake = wake.map(|wake| if spins { now + SPIN_MS } else { wake });
            let next = [
                self.due.peek().map(|Reverse((at, _))| *at as f64 / 1e3),
                wake,
                stale.then_some(show_at.max(now)),
            ];
            let next = next.into_iter().flatten().min_by(f64::total_cmp);
            let Some(next) = next.filter(|next| *next < budget_ms) else {
                self.run.out_of_time = extent != Extent::Opening;
                now = next.map_or(now, |_| budget_ms);
                investigation.handle_out_of_time();
                break;
            };
            now = next;
            stale |= self.happen(investigation, now) && extent == Extent::Whole;
        }
        self.run.concluded_ms = now;
    }

    /// Asks what is wanted. When that ends the check, it is found out what the answers still out would have changed.
    fn poll(&mut self, investigation: &mut Investigation, now: f64) {
        let before = (!self.outstanding.is_empty()).then(|| investigation.clone());
        let asks = investigation.poll_asks(Duration::from_micros((now * 1e3).round() as u64));
        if self.run.opening == 0 {
            self.run.opening = asks.len();
        }
        for ask in asks {
            let key = (ask.vantage.clone(), ask.request.request);
            self.outstanding.insert(key);
            self.run.asks.push((now, ask.clone()));
            self.later(now + ask.delay.as_secs_f64() * 1e3, Event::Send(ask));
        }
        if let Some(before) = before.filter(|_| investigation.is_concluded()) {
            self.run.heard_out = Some(self.hear_out(before, now));
        }
    }

    /// The verdict once everything that is under way has come.
    fn hear_out(&mut self, mut investigation: Investigation, now: f64) -> Verdict {
        while let Some(Reverse((at, _))) = self.due.peek().copied() {
            self.happen(&mut investigation, (at as f64 / 1e3).max(now));
        }
        investigation.handle_out_of_time();
        investigation.verdict()
    }

    fn later(&mut self, at_ms: f64, event: Event) {
        self.number += 1;
        self.events.insert(self.number, event);
        let at = (at_ms * 1e3).round() as u64;
        self.due.push(Reverse((at, self.number)));
    }

    /// Everything that is due; whether something came that a verdict could rest on.
    fn happen(&mut self, investigation: &mut Investigation, now: f64) -> bool {
        let mut came = false;
        let until = (now * 1e3).round() as u64;
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > until {
                break;
            }
            self.due.pop();
            let Some(event) = self.events.remove(&number) else {
                continue;
            };
            match event {
                Event::Send(ask) => self.send(&ask, now),
                Event::Deliver(observation) => {
                    let key = (observation.vantage.clone(), observation.request);
                    self.heard.insert(key);
                    self.run.observations.push((now, observation.clone()));
                    investigation.handle_observation(observation);
                    came = true;
                }
                Event::Done(vantage, request) => {
                    self.outstanding.remove(&(vantage.clone(), request));
                    investigation.handle_done(&vantage, request);
                    came = true;
                }
                Event::Expire(vantage, request) => {
                    let key = (vantage, request);
                    if !self.outstanding.remove(&key) {
                        continue;
                    }
                    investigation.handle_done(&key.0, request);
                    // Who has let a whole request pass without a word would hold up the next one as well.
                    if !self.heard.contains(&key) {
                        self.outstanding.retain(|(v, _)| *v != key.0);
                        investigation.handle_lost(&key.0);
                    }
                    came = true;
                }
            }
        }
        came
    }

    fn send(&mut self, ask: &Ask, now: f64) {
        let key = (ask.vantage.clone(), ask.request.request);
        if !self.outstanding.contains(&key) {
            return;
        }
        let deadline = ask.request.deadline.as_secs_f64() * 1e3;
        self.later(
            now + deadline + PATIENCE_MS,
            Event::Expire(key.0.clone(), key.1),
        );
        let vantages = &self.network.case().vantages;
        let Some(station) = vantages.iter().position(|v| v.id == ask.vantage) else {
            return;
        };
        let Some(link) = self.network.link_ms(station, now) else {
            return;
        };
        let received = now + link;
        let answer = answer(self.network, station, &ask.vantage, &ask.request, received);
        // A stream keeps its order: nothing overtakes what was said before.
        let mut latest = 0.0_f64;
        for (at, observation) in answer.observations {
            // Somebody who is lost in the middle of a request says nothing from then on.
            if let Some(back) = self.network.link_ms(station, received + at) {
                latest = latest.max(received + at + back);
                self.later(latest, Event::Deliver(observation));
            }
        }
        let done = received + answer.done_ms;
        if let Some(back) = self.network.link_ms(station, done) {
            self.later(latest.max(done + back) + 0.01, Event::Done(key.0, key.1));
        }
    }
}
