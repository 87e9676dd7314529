//! The driver: a queue of events in the order of their times, until the investigation is concluded.

use super::*;

/// How a run went.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) verdict: Verdict,
    /// Milliseconds until it was concluded.
    pub(crate) ms: f64,
    /// Asks that were answered or under way.
    pub(crate) asks: usize,
    /// Times at which asks came out.
    pub(crate) rounds: usize,
    pub(crate) case: Case,
    /// The verdict with the word on the target of those who were not waited for; none when all were.
    pub(crate) had_all_been_heard: Option<Verdict>,
    /// What was asked, with the time at which it came out.
    pub(crate) log: Vec<String>,
}

impl World {
    /// Runs an investigation in this world to its end.
    pub(crate) fn run(&self) -> Run {
        let case = self.case();
        let mut investigation = Investigation::new(case.clone());
        let mut queue: BTreeMap<(u64, u64), Event> = BTreeMap::new();
        let mut next = 0u64;
        let mut now = 0.0_f64;
        // When each ask would reach its vantage; one that is still held back at the end was never sent.
        let mut starts: Vec<(usize, f64)> = Vec::new();
        let mut round = 0;
        let mut log = Vec::new();
        let mut before: Option<(Investigation, Event)> = None;
        let link = |name: &str| Self::round_trip(name) / 2.0;
        loop {
            let out = investigation.poll_asks(Duration::from_secs_f64(now / 1_000.0));
            round += usize::from(!out.is_empty());
            for ask in out {
                let start = now + ask.delay.as_secs_f64() * 1_000.0 + link(ask.vantage.as_str());
                starts.push((round, start));
                log.push(format!(
                    "{now:.0} ms {} {} {} {:?} until {:.0}",
                    ask.vantage,
                    ask.request.purpose,
                    ask.request.depth,
                    ask.request.addresses,
                    start
                ));
                let (observations, end) = self.answer(&ask, start);
                let back = link(ask.vantage.as_str());
                let deadline = start + ask.request.deadline.as_secs_f64() * 1_000.0;
                for (at, observation) in observations {
                    queue.insert(
                        (micros(at + back), next),
                        Event::Seen(Box::new(observation)),
                    );
                    next += 1;
                }
                let done = Event::Done(ask.vantage.clone(), ask.request.request);
                queue.insert((micros(end.min(deadline) + back), next), done);
                next += 1;
            }
            if investigation.is_concluded() {
                break;
            }
            let wakes_at = investigation.wakes_at().map(|at| at.as_micros() as u64);
            let first = queue.first_key_value().map(|((at, _), _)| *at);
            if wakes_at.is_some_and(|wakes| first.is_none_or(|at| wakes <= at)) {
                now = wakes_at.unwrap_or_default() as f64 / 1_000.0;
                continue;
            }
            let Some(((at, _), event)) = queue.pop_first() else {
                panic!("the investigation waits for nothing");
            };
            now = at as f64 / 1_000.0;
            before = Some((investigation.clone(), event.clone()));
            event.tell(&mut investigation);
        }
        Run {
            had_all_been_heard: before.and_then(|(patient, last)| heard_out(patient, last, queue)),
            verdict: investigation.verdict(),
            ms: now,
            asks: starts.iter().filter(|(_, at)| *at <= now).count(),
            rounds: starts
                .iter()
                .filter(|(_, at)| *at <= now)
                .map(|(round, _)| *round)
                .collect::<BTreeSet<usize>>()
                .len(),
            case,
            log,
        }
    }
}

/// What would have been concluded if everybody's word on the target had come before the last event.
fn heard_out(
    mut patient: Investigation,
    last: Event,
    queue: BTreeMap<(u64, u64), Event>,
) -> Option<Verdict> {
    let late: Vec<Event> = queue
        .into_values()
        .filter(|e| matches!(e, Event::Seen(o) if o.purpose == Purpose::Target && o.stage != Stage::Icmp))
        .collect();
    if late.is_empty() {
        return None;
    }
    for event in late {
        event.tell(&mut patient);
    }
    last.tell(&mut patient);
    patient.handle_out_of_time();
    Some(patient.verdict())
}

impl Event {
    fn tell(self, investigation: &mut Investigation) {
        match self {
            Self::Seen(observation) => {
                investigation.handle_observation(*observation);
            }
            Self::Done(vantage, request) => investigation.handle_done(&vantage, request),
        }
    }
}

#[derive(Clone)]
enum Event {
    Seen(Box<Observation>),
    Done(VantageName, u32),
}
