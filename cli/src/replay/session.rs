//! The state behind the lines: the case under way, and what was asked in it.
//!
//! A line is read whole before anything in it counts, so a line that is refused changes nothing.

use std::{collections::BTreeMap, time::Duration};

use onlyhere_diagnosis::Investigation;
use onlyhere_proto::{CheckRequest, Observation, Timestamp, VantageName, limits};
use serde::Serialize;

use super::{
    answer::{Answer, AskLine, Refusal, not_before},
    line::{DoneLine, Line},
    observation::ObservationLine,
};

/// Cases one after another, each driven by lines.
#[derive(Debug, Default)]
pub struct Session {
    lines: u64,
    running: Option<Running>,
}

/// A case under way.
#[derive(Debug)]
struct Running {
    investigation: Investigation,
    /// On the driver's clock.
    began: Duration,
    now: Duration,
    /// The moment at which it began.
    started_at: Timestamp,
    /// Of every vantage, by the request's number.
    asked: BTreeMap<VantageName, BTreeMap<u32, Asked>>,
    /// The final verdict has been given.
    told: bool,
}

#[derive(Debug)]
struct Asked {
    request: CheckRequest,
    /// For observations that come without one.
    next_sequence: u32,
}

/// What a line says, all of it possible.
struct News {
    now: Duration,
    observations: Vec<Observation>,
    done: Vec<DoneLine>,
    lost: Vec<VantageName>,
    out_of_time: bool,
    verdict: bool,
}

impl Session {
    /// Takes a line and writes the answer to it, one JSON object without a line end.
    pub fn answer(&mut self, line: &[u8], text: &mut Vec<u8>) {
        self.lines += 1;
        match self.take(line) {
            Ok(answer) => write(&answer, text),
            Err(error) => self.refuse(error, text),
        }
    }

    /// Counts a line that holds nothing; it has no answer.
    pub fn skip_blank_line(&mut self) {
        self.lines += 1;
    }

    /// Answers a line that is longer than any may be.
    pub fn refuse_long_line(&mut self, text: &mut Vec<u8>) {
        self.lines += 1;
        let error = format!("the line is longer than {} bytes", limits::MESSAGE);
        self.refuse(error, text);
    }

    fn refuse(&self, error: String, text: &mut Vec<u8>) {
        let refusal = Refusal {
            error: limits::plain_text(&error, limits::TEXT),
            line: self.lines,
        };
        write(&refusal, text);
    }

    fn take(&mut self, line: &[u8]) -> Result<Answer, String> {
        let mut line: Line = serde_json::from_slice(line)
            .map_err(|error| format!("this is no line that can be read as JSON: {error}"))?;
        match line.case.take() {
            Some(case) => {
                let started_at = case.started_at;
                let case = case.case()?;
                let mut begun = Running::new(case, line.now_ms, started_at);
                let news = begun.read(line)?;
                let answer = begun.tell(news);
                self.running = Some(begun);
                Ok(answer)
            }
            None => {
                let running = self.running.as_mut().ok_or(
                    "no case has begun; the first line holds one, as in {\"now_ms\":0,\"case\":{…}}",
                )?;
                let news = running.read(line)?;
                Ok(running.tell(news))
            }
        }
    }
}

fn write(value: &impl Serialize, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("plain values have a JSON form");
}

impl Running {
    fn new(case: onlyhere_diagnosis::Case, now: Duration, started_at: Timestamp) -> Self {
        Self {
            asked: case
                .vantages
                .iter()
                .map(|v| (v.id.clone(), BTreeMap::new()))
                .collect(),
            investigation: Investigation::new(case),
            began: now,
            now,
            started_at,
            told: false,
        }
    }

    /// Whether all of a line can be: only then any of it counts.
    fn read(&mut self, line: Line) -> Result<News, String> {
        if line.now_ms < self.now {
            return Err(format!(
                "now_ms goes back, from {} to {}",
                millis(self.now),
                millis(line.now_ms)
            ));
        }
        for name in &line.lost {
            self.asked_of(name)?;
        }
        for done in &line.done {
            self.asked(&done.vantage, done.request)?;
        }
        let moment = self.moment(line.now_ms);
        let mut sequences = BTreeMap::new();
        let mut observations = Vec::with_capacity(line.observations.len());
        for observation in line.observations {
            let whole = self.complete(observation, moment, &mut sequences)?;
            observations.push(whole);
        }
        for ((vantage, request), next) in sequences {
            if let Some(asked) = self
                .asked
                .get_mut(&vantage)
                .and_then(|of| of.get_mut(&request))
            {
                asked.next_sequence = next;
            }
        }
        Ok(News {
            now: line.now_ms,
            observations,
            done: line.done,
            lost: line.lost,
            out_of_time: line.out_of_time,
            verdict: line.verdict,
        })
    }

    fn complete(
        &self,
        line: ObservationLine,
        moment: Timestamp,
        sequences: &mut BTreeMap<(VantageName, u32), u32>,
    ) -> Result<Observation, String> {
        let asked = self.asked(&line.vantage, line.request)?;
        let next = sequences
            .entry((line.vantage.clone(), line.request))
            .or_insert(asked.next_sequence);
        let sequence = line.sequence.unwrap_or(*next);
        *next = (*next).max(sequence.saturating_add(1));
        line.observation(&asked.request, sequence, moment)
    }

    fn asked_of(&self, vantage: &VantageName) -> Result<&BTreeMap<u32, Asked>, String> {
        self.asked
            .get(vantage)
            .ok_or_else(|| format!("{vantage} is no vantage of this case"))
    }

    fn asked(&self, vantage: &VantageName, request: u32) -> Result<&Asked, String> {
        self.asked_of(vantage)?
            .get(&request)
            .ok_or_else(|| format!("{vantage} was asked no request {request}"))
    }

    /// When that is, in the world of the case.
    fn moment(&self, now: Duration) -> Timestamp {
        let since = now.saturating_sub(self.began).as_micros();
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        Timestamp(self.started_at.0.saturating_add(since))
    }

    /// Tells the investigation what has happened, and asks what it wants.
    fn tell(&mut self, news: News) -> Answer {
        self.now = news.now;
        let mut ignored = 0;
        for observation in news.observations {
            if !self.investigation.handle_observation(observation) {
                ignored += 1;
            }
        }
        for done in news.done {
            self.investigation.handle_done(&done.vantage, done.request);
        }
        for vantage in &news.lost {
            self.investigation.handle_lost(vantage);
        }
        if news.out_of_time {
            self.investigation.handle_out_of_time();
        }
        let asks = self.investigation.poll_asks(self.now - self.began);
        for ask in &asks {
            let asked = Asked {
                request: ask.request.clone(),
                next_sequence: 0,
            };
            let of_vantage = self.asked.entry(ask.vantage.clone()).or_default();
            of_vantage.insert(ask.request.request, asked);
        }
        let concluded = self.investigation.is_concluded();
        let wanted = news.verdict || (concluded && !self.told);
        self.told |= concluded;
        let wakes_at = self.investigation.wakes_at().map(|at| at + self.began);
        Answer {
            asks: asks.into_iter().map(AskLine::from).collect(),
            wakes_at_ms: wakes_at.map(not_before),
            concluded,
            ignored,
            verdict: wanted.then(|| self.investigation.verdict()),
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
