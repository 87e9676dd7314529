//! The walk over one request: judge the way and the name, resolve it, then try every address of both families on its own
//! ([`crate::climb`], [`crate::ladder`]) and say each stage as soon as it is known. Happy eyeballs would hide a dead
//! address; nothing here does.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures::{
    future::{FutureExt, join, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use onlyhere_proto::{
    CheckRequest, Host, Observation, Outcome, Stage, Target, Timestamp, VantageName, limits,
};
use tokio::sync::{Notify, SemaphorePermit, mpsc};

use crate::{
    Guard,
    guard::{self, Denied},
    journal::Recording,
    probe::{Attempt, Connection, Question, Seen, Step, probe},
    prober::Shared,
    resolve, tell,
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
    pub(crate) vantage: VantageName,
    pub(crate) sink: mpsc::Sender<Observation>,
    pub(crate) deadline: Instant,
    pub(crate) recording: Recording,
    pub(crate) sequence: AtomicU32,
    connections_left: AtomicU32,
    /// Pages that redirects led to, so that not every address leads there again.
    pub(crate) followed: Mutex<HashSet<String>>,
    /// Pages to go on to.
    onward: Mutex<Vec<Onward>>,
    led_on: Notify,
}

/// Where a redirect leads.
pub(crate) struct Onward {
    pub(crate) target: Target,
    /// The address to ask, where it is the same server's.
    pub(crate) at: Option<SocketAddr>,
    /// The pages that led there.
    pub(crate) trail: Vec<String>,
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
            recording: Recording::of(request, shared.settings.journal.as_ref()),
            sequence: AtomicU32::new(0),
            connections_left: AtomicU32::new(
                request.max_connections.min(limits::CONNECTIONS).into(),
            ),
            followed: Mutex::default(),
            onward: Mutex::default(),
            led_on: Notify::new(),
        }
    }

    /// Tries everything that is asked for. Redirects are followed from here, beside what else goes on, and not from where
    /// they were met: a visit within a visit within a visit would be as deep as the target likes.
    pub(crate) async fn walk(&self) {
        if let Err(why) = way::judge(self.request, &self.shared.settings) {
            return self.refuse(&why).await;
        }
        let first = self.target(&self.request.target, &self.request.addresses, &[]);
        let mut under_way = FuturesUnordered::from_iter([first.boxed()]);
        while !under_way.is_empty() {
            tokio::select! {
                Some(()) = under_way.next() => {}
                () = self.led_on.notified() => {}
            }
            let onward = std::mem::take(&mut *self.onward());
            under_way.extend(onward.into_iter().map(|onward| self.go_on(onward).boxed()));
        }
    }

    /// A redirect leads there.
    pub(crate) fn lead_on(&self, onward: Onward) {
        self.onward().push(onward);
        self.led_on.notify_one();
    }

    fn onward(&self) -> MutexGuard<'_, Vec<Onward>> {
        self.onward.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn go_on(&self, onward: Onward) {
        let Onward { target, at, trail } = onward;
        match at {
            Some(address) => drop(self.climb(&target, address, Stage::Http, &trail).await),
            None => self.target(&target, &[], &trail).await,
        }
    }

    /// Says of everything that would be tried that it is not, and why.
    async fn refuse(&self, why: &str) {
        let target = &self.request.target;
        self.recording.denied(why);
        let stage = tell::declined_stage(self.request);
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
            return self.deny(target, stage, None, &denied).await;
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
        let mut hidden = HashSet::new();
        loop {
            tokio::select! {
                () = &mut resolving, if !resolved => resolved = true,
                Some(address) = addresses.recv() => {
                    if let Some(kind) = self.guard().hides(address) {
                        self.recording.denied(format!("{} leads to {address} ({kind})", target.host));
                        if depth != Stage::Dns && hidden.insert(kind) {
                            let seen = Seen::not_measured(guard::hidden(&target.host, kind));
                            self.say_of(target, first_stage(depth), None, seen).await;
                        }
                        continue;
                    }
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

    pub(crate) fn guard(&self) -> &Guard {
        &self.shared.settings.guard
    }

    /// Says, and writes down, that something may not be tried from here.
    async fn deny(&self, target: &Target, stage: Stage, address: Option<IpAddr>, denied: &Denied) {
        self.recording.denied(denied);
        let seen = Seen::not_measured(denied.to_string());
        self.say_of(target, stage, address, seen).await;
    }

    /// Tries one address: echo request and climb side by side.
    async fn address(&self, target: &Target, address: IpAddr, depth: Stage, trail: &[String]) {
        let judge = |port| self.guard().judge_address(&target.host, address, port);
        if let Err(denied) = judge(target.port) {
            let stage = first_stage(depth);
            return self.deny(target, stage, Some(address), &denied).await;
        }
        let ping = async {
            if trail.is_empty() && (self.request.ping || depth == Stage::Icmp) {
                // A rule that permits one port permits no echo request.
                match judge(None) {
                    Ok(()) => self.ping(target, address).await,
                    Err(denied) => self.deny(target, Stage::Icmp, Some(address), &denied).await,
                }
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

    async fn ping(&self, target: &Target, address: IpAddr) {
        let mut attempt = self.attempt(target, SocketAddr::new(address, 0), None);
        if let Err(why) = self.may_send(address) {
            let seen = Seen::not_measured(why);
            self.say(Stage::Icmp, &attempt, now(), seen).await;
            return;
        }
        self.try_and_say(Stage::Icmp, &mut attempt).await;
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
            user_agent: &self.shared.settings.user_agent,
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

    /// Counts one connection more; why there may be none.
    pub(crate) fn no_connection(&self, address: IpAddr) -> Option<String> {
        let take = |left: u32| left.checked_sub(1);
        let (get, set) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.connections_left.fetch_update(set, get, take).is_err() {
            return Some("the request's budget of connections is spent".to_owned());
        }
        match self.shared.turns.admit(address) {
            Ok(()) => self.recording.connects_to(address),
            Err(why) => {
                self.recording.denied(format!("{address}: {why}"));
                return Some(why);
            }
        }
        None
    }

    /// Counts packets other than a connection's; why none may be sent.
    pub(crate) fn may_send(&self, address: IpAddr) -> Result<(), String> {
        let admitted = self.shared.turns.admit(address);
        match &admitted {
            Ok(()) => self.recording.sends_to(address),
            Err(why) => self.recording.denied(format!("{address}: {why}")),
        }
        admitted
    }
}

/// Where a request begins once the address is known.
fn first_stage(depth: Stage) -> Stage {
    match depth {
        Stage::Icmp => Stage::Icmp,
        _ => Stage::Tcp,
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

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or(Duration::ZERO).as_micros();
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}
