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
    CheckId, CheckRequest, Facts, Observation, Outcome, ResolverKind, Stage, Vantage, VantageName,
    VantageReport, limits,
};

/// On top of a request's deadline: the way there and back.
pub const GRACE: Duration = Duration::from_millis(750);

/// On top of one attempt's time: who says nothing at all for longer than a single attempt can take, and this, is dead or
/// stuck. Every stage is reported when it ends, so an honest vantage is never as quiet as that.
pub const QUIET: Duration = Duration::from_millis(1_500);

/// Why an answer is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// It names another check.
    OtherCheck,
    /// This vantage was not asked that.
    NotAsked,
    /// After the vantage said that nothing more would come.
    AfterDone,
    /// After the deadline, or after a silence too long.
    Late,
    /// Seen before.
    Duplicate,
    /// More than a request may have.
    TooMany,
    /// It is not what was asked for: a deeper stage, more time than there was, a rung of no ladder, a resolver that
    /// nobody wanted to be asked.
    Unasked,
}

/// A request that was sent.
#[derive(Debug)]
struct Sent {
    request: CheckRequest,
    /// The deadline of the whole.
    ends: Duration,
    /// When the vantage was last heard; at first when it was asked.
    heard: Duration,
    seen: HashSet<u32>,
    ended: Option<Ended>,
}

impl Sent {
    fn expires(&self) -> Duration {
        let silence = self.request.attempt_timeout * steps_unheard(&self.request);
        self.ends.min(self.heard + silence + QUIET)
    }
}

/// Steps, an attempt long each, that a request may take without an observation to show for them: finding a zone's name
/// servers and their addresses, finding a proxy.
fn steps_unheard(request: &CheckRequest) -> u32 {
    match (request.authoritative, &request.way.proxy) {
        (true, _) => 3,
        (false, Some(_)) => 2,
        (false, None) => 1,
    }
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
        let ends = now + request.deadline.min(limits::DEADLINE) + GRACE;
        let key = (vantage, request.request);
        self.sent.insert(
            key,
            Sent {
                request,
                ends,
                heard: now,
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
            None if now >= sent.expires() => return Err(Dropped::Late),
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
        sent.heard = now;
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
            .filter(|(_, sent)| sent.ended.is_none() && sent.expires() <= now);
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
            .map(Sent::expires)
            .min()
    }

    /// Requests that are still out.
    pub fn outstanding(&self) -> impl Iterator<Item = &Asked> {
        self.sent
            .iter()
            .filter(|(_, sent)| sent.ended.is_none())
            .map(|(key, _)| key)
    }

    /// Whether nothing at all that could be believed has come from a vantage.
    pub fn is_silent(&self, vantage: &VantageName) -> bool {
        !self.accepted.contains_key(vantage)
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
        // A proxy says in HTTP that it cannot or will not connect, however deep it was asked to lead.
        Stage::Http if request.way.proxy.is_some() && observation.outcome != Outcome::Ok => {
            matches!(request.depth, Stage::Tcp | Stage::Tls | Stage::Http)
        }
        stage => request.depth != Stage::Icmp && stage <= request.depth,
    };
    within_depth
        && Duration::from(observation.elapsed_ms) <= request.deadline + GRACE
        && facts_fit(observation, request)
}

/// Rungs belong to a ladder and a ladder has nothing else; who answered a name was asked to be asked.
fn facts_fit(observation: &Observation, request: &CheckRequest) -> bool {
    match (&observation.facts, observation.stage) {
        (Some(Facts::Dns(dns)), Stage::Dns) => match dns.kind {
            ResolverKind::Authoritative => request.authoritative,
            ResolverKind::Configured => dns
                .resolver
                .is_some_and(|resolver| request.resolvers.contains(&resolver)),
            ResolverKind::System | ResolverKind::HostsFile => true,
        },
        (Some(Facts::Tcp(tcp)), Stage::Tcp) => match (request.way.hops, tcp.hop) {
            (Some(most), Some(hop)) => (1..=most).contains(&hop),
            (None, None) => true,
            _ => false,
        },
        (Some(Facts::Tls(_)), Stage::Tls) | (Some(Facts::Http(_)), Stage::Http) => true,
        (Some(_), _) => false,
        (None, Stage::Tcp) => {
            request.way.hops.is_none() || observation.outcome == Outcome::NotMeasured
        }
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::{DnsFacts, Micros, Purpose, RecordType, Target, TcpFacts, Timestamp, Way};
    use proptest::prelude::*;

    use super::*;

    const CHECK: &str = "01JD0000000000000000000000";
    const DEADLINE: Duration = Duration::from_secs(4);

    fn name(text: &str) -> VantageName {
        text.parse().unwrap()
    }

    fn request(number: u32) -> CheckRequest {
        let target = Target::parse("tcp://shop.example:22").unwrap();
        CheckRequest {
            check: CHECK.parse().unwrap(),
            request: number,
            purpose: Purpose::Retry,
            depth: target.depth(),
            target,
            addresses: Vec::new(),
            ping: false,
            resolvers: Vec::new(),
            deadline: DEADLINE,
            attempt_timeout: Duration::from_secs(3),
            max_connections: 8,
            slot: 2,
            way: Default::default(),
            authoritative: false,
        }
    }

    fn observation(request: u32, sequence: u32) -> Observation {
        Observation {
            check: CHECK.parse().unwrap(),
            request,
            sequence,
            vantage: name("liar"),
            purpose: Purpose::Control,
            stage: Stage::Tcp,
            host: "shop.example".into(),
            source: None,
            address: Some("192.0.2.1".parse().unwrap()),
            port: Some(22),
            family: None,
            started_at: Timestamp(0),
            elapsed_ms: Micros(1_000),
            slot: 7,
            outcome: Outcome::Ok,
            said_by: None,
            detail: None,
            facts: None,
        }
    }

    /// `a` was asked request 1 at the beginning, `b` request 2.
    fn collector() -> Collector {
        let mut collector = Collector::new(CHECK.parse().unwrap());
        collector.handle_sent(name("a"), request(1), Duration::ZERO);
        collector.handle_sent(name("b"), request(2), Duration::ZERO);
        collector
    }

    #[test]
    fn what_was_asked_stands_in_the_observation_and_not_what_the_vantage_writes() {
        let mut collector = collector();
        let believed = collector
            .handle_observation(&name("a"), observation(1, 0), Duration::ZERO)
            .unwrap();
        assert_eq!(believed.vantage, name("a"));
        assert_eq!((believed.purpose, believed.slot), (Purpose::Retry, 2));
    }

    #[test]
    fn an_answer_counts_once_in_time_and_from_who_was_asked() {
        let end = DEADLINE + GRACE;
        let mut collector = collector();
        let middle = Duration::from_secs(2);
        let mut hear = |vantage: &str, observation, now| {
            collector
                .handle_observation(&name(vantage), observation, now)
                .err()
        };
        let zero = Duration::ZERO;
        assert_eq!(
            hear("b", observation(1, 0), zero),
            Some(Dropped::NotAsked),
            "another's request"
        );
        assert_eq!(hear("a", observation(9, 0), zero), Some(Dropped::NotAsked));
        assert_eq!(hear("a", observation(1, 0), middle), None);
        assert_eq!(hear("a", observation(1, 0), zero), Some(Dropped::Duplicate));
        let of_other = Observation {
            check: "01JD0000000000000000000001".parse().unwrap(),
            ..observation(1, 1)
        };
        assert_eq!(hear("a", of_other, zero), Some(Dropped::OtherCheck));
        let deeper = Observation {
            stage: Stage::Http,
            ..observation(1, 1)
        };
        assert_eq!(hear("a", deeper, zero), Some(Dropped::Unasked));
        let echo = Observation {
            stage: Stage::Icmp,
            ..observation(1, 1)
        };
        assert_eq!(hear("a", echo, zero), Some(Dropped::Unasked));
        let slow = Observation {
            elapsed_ms: Micros(u64::MAX),
            ..observation(1, 1)
        };
        assert_eq!(hear("a", slow, zero), Some(Dropped::Unasked));
        assert_eq!(
            hear("a", observation(1, 1), end - Duration::from_millis(1)),
            None
        );
        assert_eq!(hear("a", observation(1, 2), end), Some(Dropped::Late));
        assert_eq!(collector.dropped().values().sum::<u32>(), 8);
    }

    /// What was asked beside the ordinary, what came, and whether it can be believed.
    type Odd = (fn(&mut CheckRequest), fn(&mut Observation), bool);

    fn rung(observation: &mut Observation, hop: u8) {
        observation.facts = Some(Facts::Tcp(TcpFacts {
            hop: Some(hop),
            ..TcpFacts::default()
        }));
    }

    fn answer(observation: &mut Observation, kind: ResolverKind, resolver: &str) {
        observation.stage = Stage::Dns;
        observation.facts = Some(Facts::Dns(DnsFacts {
            resolver: resolver.parse().ok(),
            kind,
            record_type: RecordType::A,
            rcode: Some(0),
            answers: Vec::new(),
            cname_chain: Vec::new(),
        }));
    }

    #[test]
    fn other_ways_give_other_answers_and_no_others() {
        let ladder: fn(&mut CheckRequest) = |r| r.way.hops = Some(8);
        let proxy: fn(&mut CheckRequest) = |r| r.way.proxy = Some("http://192.0.2.9:3128".into());
        let plain: fn(&mut CheckRequest) = |_| {};
        let zone: fn(&mut CheckRequest) = |r| {
            r.depth = Stage::Dns;
            r.authoritative = true;
        };
        let configured: fn(&mut CheckRequest) =
            |r| r.resolvers = vec!["192.0.2.53".parse().unwrap()];
        let cases: [Odd; 16] = [
            (ladder, |o| rung(o, 8), true),
            (ladder, |o| rung(o, 9), false),
            (ladder, |o| rung(o, 0), false),
            (ladder, |_| {}, false),
            (ladder, |o| o.outcome = Outcome::NotMeasured, true),
            (plain, |o| rung(o, 1), false),
            (plain, |o| o.stage = Stage::Dns, true),
            (
                proxy,
                |o| {
                    o.stage = Stage::Http;
                    o.outcome = Outcome::HttpStatus;
                    o.address = "203.0.113.9".parse().ok();
                },
                true,
            ),
            (proxy, |o| o.stage = Stage::Http, false),
            (
                plain,
                |o| {
                    o.stage = Stage::Http;
                    o.outcome = Outcome::HttpStatus;
                },
                false,
            ),
            (
                zone,
                |o| answer(o, ResolverKind::Authoritative, "203.0.113.53"),
                true,
            ),
            (
                plain,
                |o| answer(o, ResolverKind::Authoritative, "203.0.113.53"),
                false,
            ),
            (
                configured,
                |o| answer(o, ResolverKind::Configured, "192.0.2.53"),
                true,
            ),
            (
                configured,
                |o| answer(o, ResolverKind::Configured, "192.0.2.54"),
                false,
            ),
            (
                plain,
                |o| answer(o, ResolverKind::System, "192.0.2.1"),
                true,
            ),
            (
                plain,
                |o| {
                    answer(o, ResolverKind::System, "192.0.2.1");
                    o.stage = Stage::Tcp;
                },
                false,
            ),
        ];
        for (number, (ask, spoil, believed)) in cases.into_iter().enumerate() {
            let (mut request, mut observation) = (request(1), observation(1, 0));
            ask(&mut request);
            spoil(&mut observation);
            let mut collector = Collector::new(CHECK.parse().unwrap());
            collector.handle_sent(name("a"), request, Duration::ZERO);
            let judged = collector.handle_observation(&name("a"), observation, Duration::ZERO);
            let expected = if believed {
                None
            } else {
                Some(Dropped::Unasked)
            };
            assert_eq!(judged.err(), expected, "case {number}");
        }
    }

    #[test]
    fn who_must_find_the_way_first_may_be_quiet_for_longer() {
        let expiry = |change: fn(&mut CheckRequest)| {
            let mut request = request(1);
            request.deadline = Duration::from_secs(30);
            change(&mut request);
            let mut collector = Collector::new(CHECK.parse().unwrap());
            collector.handle_sent(name("a"), request, Duration::ZERO);
            collector.next_expiry().unwrap() - QUIET
        };
        assert_eq!(expiry(|_| {}), Duration::from_secs(3));
        assert_eq!(expiry(|r| r.authoritative = true), Duration::from_secs(9));
        let proxied = |r: &mut CheckRequest| {
            r.way = Way {
                proxy: Some("http://p.example:1".into()),
                ..Way::default()
            };
        };
        assert_eq!(expiry(proxied), Duration::from_secs(6));
    }

    #[test]
    fn done_lost_and_expired_end_a_request_once() {
        let mut collector = collector();
        assert_eq!(collector.outstanding().count(), 2);
        assert!(!collector.handle_done(&name("b"), 1), "not b's");
        assert!(collector.handle_done(&name("a"), 1));
        assert!(!collector.handle_done(&name("a"), 1));
        let late = collector.handle_observation(&name("a"), observation(1, 0), Duration::ZERO);
        assert_eq!(late, Err(Dropped::AfterDone));
        let expiry = Duration::from_secs(3) + QUIET;
        assert_eq!(collector.next_expiry(), Some(expiry));
        assert_eq!(
            collector.poll_expired(expiry - Duration::from_millis(1)),
            []
        );
        assert!(collector.is_silent(&name("b")));
        assert_eq!(collector.poll_expired(expiry), [(name("b"), 2)]);
        assert_eq!(collector.poll_expired(expiry), []);
        assert_eq!(collector.next_expiry(), None);
        collector.handle_sent(name("c"), request(3), DEADLINE);
        collector.handle_lost(&name("c"));
        assert_eq!(collector.outstanding().count(), 0);
    }

    #[test]
    fn the_caller_comes_first_and_observations_are_in_order() {
        let mut collector = Collector::new(CHECK.parse().unwrap());
        for vantage in ["a", "you"] {
            for number in [1, 2] {
                collector.handle_sent(name(vantage), request(number), Duration::ZERO);
            }
        }
        for (number, sequence) in [(2, 0), (1, 1), (1, 0)] {
            for vantage in ["you", "a"] {
                let o = observation(number, sequence);
                collector
                    .handle_observation(&name(vantage), o, Duration::ZERO)
                    .unwrap();
            }
        }
        let vantages = ["b", "a", "you"].map(|n| Vantage::named(name(n)));
        let reports = collector.reports(&vantages);
        let names: Vec<_> = reports.iter().map(|r| r.vantage.id.as_str()).collect();
        assert_eq!(names, ["you", "a", "b"]);
        for report in &reports[..2] {
            let order: Vec<_> = report
                .observations
                .iter()
                .map(|o| (o.request, o.sequence))
                .collect();
            assert_eq!(order, [(1, 0), (1, 1), (2, 0)]);
        }
        assert!(reports[2].observations.is_empty());
    }

    /// Anything that vantages, the wire and time can do to a check.
    #[derive(Debug, Clone)]
    enum Step {
        Sent(usize, u32),
        Observed(usize, u32, u32),
        Done(usize, u32),
        Lost(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3usize, 0..4u32).prop_map(|(v, r)| Step::Sent(v, r)),
            (0..3usize, 0..5u32, 0..300u32).prop_map(|(v, r, s)| Step::Observed(v, r, s)),
            (0..3usize, 0..5u32).prop_map(|(v, r)| Step::Done(v, r)),
            (0..3usize).prop_map(Step::Lost),
            (0..3_000u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: only answers to what was sent are believed, each once, never too many; every
        /// answer is either believed or counted; after the last deadline nothing is out.
        #[test]
        fn nothing_is_believed_that_was_not_asked(steps in prop::collection::vec(step(), 0..400)) {
            let names = ["a", "b", "you"].map(name);
            let mut collector = Collector::new(CHECK.parse().unwrap());
            let mut asked = HashSet::new();
            let (mut now, mut heard) = (Duration::ZERO, 0);
            for step in steps {
                match step {
                    // Numbers are unique within check and vantage.
                    Step::Sent(v, r) => if asked.insert((v, r)) {
                        collector.handle_sent(names[v].clone(), request(r), now);
                    },
                    Step::Observed(v, r, s) => {
                        heard += 1;
                        let believed = collector.handle_observation(&names[v], observation(r, s), now);
                        prop_assert!(believed.is_err() || asked.contains(&(v, r)));
                    }
                    Step::Done(v, r) => {
                        let was_out = collector.outstanding().any(|key| *key == (names[v].clone(), r));
                        prop_assert_eq!(collector.handle_done(&names[v], r), was_out);
                    }
                    Step::Lost(v) => collector.handle_lost(&names[v]),
                    Step::Wait(ms) => {
                        now += Duration::from_millis(ms);
                        collector.poll_expired(now);
                        prop_assert!(collector.next_expiry().is_none_or(|next| next > now));
                    }
                }
            }
            let reports = collector.reports(&names.map(Vantage::named));
            let believed: Vec<_> = reports.iter().flat_map(|r| &r.observations).collect();
            let unique: HashSet<_> =
                believed.iter().map(|o| (o.vantage.clone(), o.request, o.sequence)).collect();
            prop_assert_eq!(unique.len(), believed.len());
            let dropped: u32 = collector.dropped().values().sum();
            prop_assert_eq!(believed.len() as u32 + dropped, heard);
            collector.poll_expired(now + limits::DEADLINE + GRACE);
            prop_assert_eq!(collector.outstanding().count(), 0);
        }
    }
}
