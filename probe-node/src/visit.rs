//! The walk over one request: judge the way and the name, resolve it, then try every address of both families on its own
//! ([`crate::climb`], [`crate::ladder`]) and say each stage as soon as it is known. Happy eyeballs would hide a dead
//! address; nothing here does.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures::{
    future::{join, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use onlyhere_proto::{
    CheckRequest, Facts, Family, Host, Micros, Observation, Outcome, Stage, Target, Timestamp,
    VantageName, limits, limits::plain_text,
};
use tokio::sync::{SemaphorePermit, mpsc};

use crate::{
    Guard,
    probe::{Attempt, Connection, Question, Seen, Step, probe},
    prober::Shared,
    resolve,
    way::{self, SocketWay},
};

/// Neither family crowds out the other.
const ADDRESSES_OF_A_FAMILY: usize = limits::ADDRESSES / 2;
/// Why an attempt got no turn.
pub(crate) const BUSY: &str = "this vantage is busy with other checks";

/// One request under way.
pub(crate) struct Visit<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: &'a CheckRequest,
    vantage: VantageName,
    sink: mpsc::Sender<Observation>,
    deadline: Instant,
    sequence: AtomicU32,
    connections_left: AtomicU32,
    /// Pages that redirects led to, so that not every address leads there again.
    pub(crate) followed: Mutex<HashSet<String>>,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        request: &'a CheckRequest,
        vantage: VantageName,
        sink: mpsc::Sender<Observation>,
    ) -> Self {
        Self {
            shared,
            request,
            vantage,
            sink,
            deadline: Instant::now() + request.deadline.min(limits::DEADLINE),
            sequence: AtomicU32::new(0),
            connections_left: AtomicU32::new(
                request.max_connections.min(limits::CONNECTIONS).into(),
            ),
            followed: Mutex::default(),
        }
    }

    /// Tries everything that is asked for.
    pub(crate) async fn walk(&self) {
        if let Err(why) = way::judge(self.request, &self.shared.settings) {
            return self.refuse(&why).await;
        }
        self.target(&self.request.target, &self.request.addresses, &[])
            .await;
    }

    /// Says of everything that would be tried that it is not, and why.
    async fn refuse(&self, why: &str) {
        let target = &self.request.target;
        let stage = declined_stage(self.request);
        let given = self.request.addresses.iter().take(limits::ADDRESSES);
        let mut addresses: Vec<_> = given.copied().collect();
        if let Host::Address(address) = target.host {
            addresses = vec![address];
        }
        if addresses.is_empty() || stage == Stage::Dns {
            return self
                .say_of(target, stage, None, Seen::not_measured(why))
                .await;
        }
        for address in addresses {
            let seen = Seen::not_measured(why);
            self.say_of(target, stage, Some(address), seen).await;
        }
    }

    /// Tries a target: the request's own, or one that a redirect leads to along `trail`.
    pub(crate) async fn target(&self, target: &Target, addresses: &[IpAddr], trail: &[String]) {
        let depth = if trail.is_empty() {
            self.request.depth
        } else {
            Stage::Http
        };
        if let Some(proxy) = &self.request.way.proxy {
            return self.through_proxy(proxy, target, depth, trail).await;
        }
        let name = match &target.host {
            Host::Address(_) if depth == Stage::Dns => return,
            Host::Address(address) => return self.address(target, *address, depth, trail).await,
            name => name,
        };
        if let Err(denied) = self.guard().judge_host(name, target.port) {
            let stage = if depth == Stage::Icmp {
                Stage::Icmp
            } else {
                Stage::Dns
            };
            let seen = Seen::not_measured(denied.to_string());
            return self.say_of(target, stage, None, seen).await;
        }
        if addresses.is_empty() || depth == Stage::Dns {
            self.resolve_and_climb(target, depth, trail).await;
        } else {
            let mut tried = HashSet::new();
            let new = addresses.iter().filter(|address| tried.insert(**address));
            let climbs = new
                .take(limits::ADDRESSES)
                .map(|address| self.address(target, *address, depth, trail));
            join_all(climbs).await;
        }
    }

    /// Climbs every address as soon as anyone gave it: a silent resolver delays its own observation and nothing else.
    async fn resolve_and_climb(&self, target: &Target, depth: Stage, trail: &[String]) {
        let (found, mut addresses) = mpsc::unbounded_channel();
        let mut resolving = pin!(resolve::ask_everybody(self, target, found));
        let mut resolved = false;
        let mut climbs = FuturesUnordered::new();
        let mut tried = HashSet::new();
        loop {
            tokio::select! {
                () = &mut resolving, if !resolved => resolved = true,
                Some(address) = addresses.recv() => {
                    let of_family = tried.iter().filter(|t| same_family(**t, address)).count();
                    if depth != Stage::Dns && of_family < ADDRESSES_OF_A_FAMILY && tried.insert(address) {
                        climbs.push(self.address(target, address, depth, trail));
                    }
                }
                Some(()) = climbs.next() => {}
                else => return,
            }
        }
    }

    fn guard(&self) -> &Guard {
        &self.shared.settings.guard
    }

    /// Tries one address: echo request and climb side by side.
    async fn address(&self, target: &Target, address: IpAddr, depth: Stage, trail: &[String]) {
        if let Err(denied) = self
            .guard()
            .judge_address(&target.host, address, target.port)
        {
            let stage = if depth == Stage::Icmp {
                Stage::Icmp
            } else {
                Stage::Tcp
            };
            let seen = Seen::not_measured(denied.to_string());
            return self.say_of(target, stage, Some(address), seen).await;
        }
        let ping = async {
            if trail.is_empty() && (self.request.ping || depth == Stage::Icmp) {
                let mut attempt = self.attempt(target, SocketAddr::new(address, 0), None);
                self.try_and_say(Stage::Icmp, &mut attempt).await;
            }
        };
        let climb = async {
            match self.request.way.hops {
                _ if depth == Stage::Icmp => {}
                Some(hops) => self.ladder(target, address, hops).await,
                None => {
                    self.connect(target, address, depth, trail).await;
                }
            }
        };
        join(ping, climb).await;
    }

    pub(crate) fn attempt<'b>(
        &'b self,
        target: &'b Target,
        to: SocketAddr,
        question: Option<Question>,
    ) -> Attempt<'b> {
        Attempt {
            target,
            to,
            question,
            timeout: self.request.attempt_timeout.min(limits::ATTEMPT_TIMEOUT),
            way: SocketWay::of(&self.request.way),
            proxied: false,
            authorization: None,
            connection: Connection::None,
            timing: &self.shared.timing,
            verifier: &self.shared.verifier,
        }
    }

    /// One stage by itself, in its turn.
    pub(crate) async fn try_and_say(
        &self,
        stage: Stage,
        attempt: &mut Attempt<'_>,
    ) -> Option<Observation> {
        let _permit = self.permit(stage, attempt).await?;
        let (started_at, seen) = self.measure(stage, attempt).await;
        self.say(stage, attempt, started_at, seen).await
    }

    /// A turn among the attempts of the whole process; who gets none before the deadline says so.
    pub(crate) async fn permit(
        &self,
        stage: Stage,
        attempt: &Attempt<'_>,
    ) -> Option<SemaphorePermit<'a>> {
        let turn = self.turn().await;
        if turn.is_none() {
            let seen = Seen::not_measured(BUSY);
            self.say(stage, attempt, now(), seen).await;
        }
        turn
    }

    /// A turn, or nothing when the deadline comes first.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'a>> {
        let turn = self.shared.in_flight.acquire();
        tokio::time::timeout_at(self.deadline.into(), turn)
            .await
            .ok()?
            .ok()
    }

    /// What is left of the request's time.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Tries one step within what the request's deadline leaves of the attempt's time.
    pub(crate) async fn measure(
        &self,
        step: impl Into<Step>,
        attempt: &mut Attempt<'_>,
    ) -> (Timestamp, Seen) {
        let full = self.request.attempt_timeout.min(limits::ATTEMPT_TIMEOUT);
        self.measure_within(step, attempt, full).await
    }

    /// Tries one step within `full`, or within what the request's deadline leaves of it.
    pub(crate) async fn measure_within(
        &self,
        step: impl Into<Step>,
        attempt: &mut Attempt<'_>,
        full: Duration,
    ) -> (Timestamp, Seen) {
        let left = self.time_left();
        attempt.timeout = full.min(left);
        let started_at = now();
        if left.is_zero() {
            return (
                started_at,
                Seen::not_measured("the request's deadline came first"),
            );
        }
        let seen = probe(step.into(), attempt).await;
        (started_at, unless_cut_short(seen, attempt.timeout, full))
    }

    /// What could not even be attempted.
    pub(crate) async fn say_of(
        &self,
        target: &Target,
        stage: Stage,
        address: Option<IpAddr>,
        seen: Seen,
    ) {
        let mut observation = self.blank(target, stage, now(), seen);
        observation.address = address;
        observation.family = observation.family.or(address.map(Family::of));
        observation.port = target
            .port
            .filter(|_| matches!(stage, Stage::Tcp | Stage::Tls | Stage::Http));
        self.send(observation).await;
    }

    pub(crate) async fn say(
        &self,
        stage: Stage,
        attempt: &Attempt<'_>,
        at: Timestamp,
        seen: Seen,
    ) -> Option<Observation> {
        let mut observation = self.blank(attempt.target, stage, at, seen);
        if let Some(question) = attempt.question {
            observation.family = Some(question.record_type.family());
        } else {
            observation.address = Some(attempt.to.ip());
            observation.family = Some(Family::of(attempt.to.ip()));
            observation.port = Some(attempt.to.port()).filter(|port| *port > 0);
        }
        self.send(observation).await
    }

    fn blank(&self, target: &Target, stage: Stage, at: Timestamp, seen: Seen) -> Observation {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        Observation {
            sequence,
            host: target.host.to_string(),
            ..observation(&self.vantage, self.request, stage, at, seen)
        }
    }

    async fn send(&self, observation: Observation) -> Option<Observation> {
        if observation.sequence as usize >= limits::OBSERVATIONS_PER_REQUEST {
            return None;
        }
        // An error means that nobody reads any more; the run ends by that on its own.
        self.sink.send(observation.clone()).await.ok()?;
        Some(observation)
    }

    /// Counts one connection more; why there may be none.
    pub(crate) fn no_connection(&self, address: IpAddr) -> Option<&'static str> {
        let take = |left: u32| left.checked_sub(1);
        let (get, set) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.connections_left.fetch_update(set, get, take).is_err() {
            return Some("the request's budget of connections is spent");
        }
        let pace = self.shared.pace.as_ref();
        let admitted = pace.is_none_or(|pace| pace.admits(address, Instant::now()));
        (!admitted).then_some("this address was tried from here too often in the last ten seconds")
    }
}

/// Silence of less than half of the time that an attempt should have says nothing.
pub(crate) fn unless_cut_short(mut seen: Seen, had: Duration, full: Duration) -> Seen {
    if seen.outcome == Outcome::Timeout && had < full / 2 {
        let had = had.as_millis();
        seen.outcome = Outcome::NotMeasured;
        seen.detail = Some(format!("the request's deadline left it {had} ms only"));
    }
    seen
}

/// What a vantage answers that cannot take a request on.
pub(crate) fn declined(vantage: &VantageName, request: &CheckRequest, why: &str) -> Observation {
    let stage = match declined_stage(request) {
        Stage::Tcp if matches!(request.target.host, Host::Name(_)) => Stage::Dns,
        stage => stage,
    };
    observation(vantage, request, stage, now(), Seen::not_measured(why))
}

/// The first stage that a request would have come to, had its name been known.
fn declined_stage(request: &CheckRequest) -> Stage {
    match request.depth {
        stage @ (Stage::Icmp | Stage::Dns) => stage,
        _ => Stage::Tcp,
    }
}

/// An observation without address.
fn observation(
    vantage: &VantageName,
    request: &CheckRequest,
    stage: Stage,
    started_at: Timestamp,
    seen: Seen,
) -> Observation {
    Observation {
        check: request.check.clone(),
        request: request.request,
        sequence: 0,
        vantage: vantage.clone(),
        purpose: request.purpose,
        stage,
        host: request.target.host.to_string(),
        source: seen.source,
        address: None,
        port: None,
        family: match &seen.facts {
            Some(Facts::Dns(dns)) => Some(dns.record_type.family()),
            _ => None,
        },
        started_at,
        elapsed_ms: Micros::from(seen.elapsed),
        slot: request.slot,
        outcome: seen.outcome,
        said_by: seen.said_by,
        detail: seen.detail.map(|detail| plain_text(&detail, limits::TEXT)),
        facts: seen.facts,
    }
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or(Duration::ZERO).as_micros();
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}
