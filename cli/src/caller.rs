//! The caller's own vantage, "you": runs what the local investigation and the coordinator ask, and each thing once.
//!
//! The local investigation begins before the coordinator has answered, and the coordinator then asks for much the same.
//! So every run is remembered by what was asked (all of a request but check id, request number and deadline); a later
//! ask for the same (the way there counts, too) follows the run that is under way or done, and gets its observations
//! under its own numbers. Where
//! two asks differ in nothing but further resolvers (the coordinator has its own settings), only those are asked anew:
//! a second connection might be the one that triggers a ban.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use onlyhere_probe_node::{
    Guard, Prober, ProberError, ProberSettings, ProxyCredentials, guard::Rule,
};
use onlyhere_proto::{
    CheckId, CheckRequest, Facts, Host, Observation, Purpose, ResolverKind, Stage, Target,
    VantageName, Way, limits, special_range,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::local::proxy::Proxy;

/// Different things the coordinator may ask of the caller in one check. The diagnosis needs about a dozen.
const ASKED_BY_COORDINATOR: usize = 64;

/// For what belongs to no check.
const NO_CHECK: &str = "00000000000000000000000000";

/// What comes back from a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One more observation.
    Observed(Box<Observation>),
    /// No further observation of this request will come.
    Done(u32),
}

/// Who asks, which decides what may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The person at this machine: anything.
    Person,
    /// The coordinator: the target, the person's own controls, and the public internet.
    Coordinator,
}

/// What the person at this machine has named or set up, and what may therefore be tried on a coordinator's word.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    /// Sites believed healthy.
    pub controls: Vec<Target>,
    /// Resolvers besides the system's.
    pub resolvers: Vec<IpAddr>,
    /// Special ranges that are treated like public ones.
    pub allow_private: Vec<IpNet>,
    /// Proxies in force here.
    pub proxies: Vec<Proxy>,
    /// Devices that lead out of this machine.
    pub devices: Vec<String>,
}

/// The caller's vantage for the length of one check. Dropping it stops everything under way.
#[derive(Debug)]
pub struct Caller {
    target: Host,
    granted: Granted,
    /// May try whatever the person named.
    open: Prober,
    /// Keeps out of this machine's and its network's own addresses.
    guarded: Prober,
    runs: Mutex<Vec<Run>>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// Something asked, and what came of it so far.
#[derive(Debug)]
struct Run {
    asked: CheckRequest,
    by_coordinator: bool,
    state: watch::Receiver<RunState>,
}

#[derive(Debug, Default)]
struct RunState {
    observations: Vec<Observation>,
    done: bool,
}

impl Caller {
    /// The vantage for checks of `target`.
    pub fn new(
        settings: ProberSettings,
        target: &Target,
        granted: Granted,
    ) -> Result<Self, ProberError> {
        let allowed = granted.allow_private.iter().copied();
        let allowed = allowed.map(Rule::from).collect();
        let secrets = granted.proxies.iter().filter_map(|proxy| {
            let (user, password) = proxy.credentials()?;
            Some(ProxyCredentials::basic(proxy.url(), user, password))
        });
        let proxy_credentials = secrets.collect();
        let stop = CancellationToken::new();
        Ok(Self {
            target: target.host.clone(),
            granted,
            open: Prober::new(ProberSettings {
                guard: Guard::open(),
                proxy_credentials,
                ..settings.clone()
            })?,
            guarded: Prober::new(ProberSettings {
                guard: Guard::for_probe(allowed, Vec::new()),
                ..settings
            })?,
            runs: Mutex::default(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Runs the request, or follows the equal one that runs or ran, and sends its observations and one
    /// [`Answer::Done`] with the request's own numbers. Returns at once; `cancel` ends the following, not the run.
    pub fn answer(
        &self,
        asker: Asker,
        request: CheckRequest,
        answers: mpsc::Sender<Answer>,
        cancel: CancellationToken,
    ) {
        let parts = self.parts(asker, &request);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let (check, number) = (request.check, request.request);
            let follow = async {
                let mut told = 0;
                for part in parts {
                    told = part.follow(&check, number, told, &answers).await;
                }
                // Nobody left to tell is fine: the check is over.
                let _ = answers.send(Answer::Done(number)).await;
            };
            tokio::select! {
                () = follow => {}
                () = cancel.cancelled() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// The addresses that the person's own resolvers give a name: those of the first answer, or none. Nothing is asked
    /// of the system's.
    pub async fn look_up(&self, name: &str, attempt_timeout: Duration) -> Vec<IpAddr> {
        let Ok(target) = Target::parse(&format!("dns://{name}")) else {
            return Vec::new();
        };
        if self.granted.resolvers.is_empty() || !matches!(target.host, Host::Name(_)) {
            return Vec::new();
        }
        let request = CheckRequest {
            // Nobody sees the number: what is found is used and not reported.
            check: NO_CHECK.parse().expect("26 zeros are a check id"),
            request: 0,
            purpose: Purpose::Resolver,
            target,
            addresses: Vec::new(),
            depth: Stage::Dns,
            ping: false,
            resolvers: self.granted.resolvers.clone(),
            deadline: attempt_timeout,
            attempt_timeout,
            max_connections: 0,
            slot: 0,
            way: Way::default(),
            authoritative: false,
        };
        let (sink, mut observations) = mpsc::channel(limits::BATCH);
        let run = self
            .open
            .run(VantageName::you(), request, sink, self.stop.child_token());
        let listen = async {
            while let Some(observation) = observations.recv().await {
                let Some(Facts::Dns(dns)) = observation.facts else {
                    continue;
                };
                if dns.kind == ResolverKind::Configured && !dns.answers.is_empty() {
                    return dns.answers.iter().map(|answer| answer.address).collect();
                }
            }
            Vec::new()
        };
        tokio::pin!(run, listen);
        tokio::select! {
            found = &mut listen => found,
            () = &mut run => listen.await,
        }
    }

    /// The runs that answer a request: the equal one, or one that asked other resolvers together with one that asks
    /// what it left out, or a new one; none where the coordinator asked for too much.
    fn parts(&self, asker: Asker, request: &CheckRequest) -> Vec<Part> {
        let mut runs = self.lock();
        let whole = |state| Part {
            state,
            resolvers: request.resolvers.clone(),
            resolvers_only: false,
        };
        if let Some(run) = runs.iter().find(|run| same_question(&run.asked, request)) {
            return vec![whole(run.state.clone())];
        }
        let nearly = |run: &&Run| {
            let asked = CheckRequest {
                resolvers: request.resolvers.clone(),
                ..run.asked.clone()
            };
            request.addresses.is_empty() && same_question(&asked, request)
        };
        let Some(base) = runs.iter().find(nearly) else {
            let state = self.start(asker, request, &mut runs);
            return state.into_iter().map(whole).collect();
        };
        let mut missing = request.resolvers.clone();
        missing.retain(|resolver| !base.asked.resolvers.contains(resolver));
        let mut parts = vec![whole(base.state.clone())];
        if !missing.is_empty() {
            let ask = CheckRequest {
                depth: Stage::Dns,
                ping: false,
                authoritative: false,
                resolvers: missing.clone(),
                ..request.clone()
            };
            let same = runs.iter().find(|run| same_question(&run.asked, &ask));
            let state = match same.map(|run| run.state.clone()) {
                Some(state) => Some(state),
                None => self.start(asker, &ask, &mut runs),
            };
            parts.extend(state.map(|state| Part {
                state,
                resolvers: missing,
                resolvers_only: true,
            }));
        }
        parts
    }

    /// Starts a run and remembers it.
    fn start(
        &self,
        asker: Asker,
        request: &CheckRequest,
        runs: &mut Vec<Run>,
    ) -> Option<watch::Receiver<RunState>> {
        let by_coordinator = asker == Asker::Coordinator;
        if by_coordinator
            && runs.iter().filter(|run| run.by_coordinator).count() >= ASKED_BY_COORDINATOR
        {
            tracing::warn!(
                most = ASKED_BY_COORDINATOR,
                "the coordinator asks for too much"
            );
            return None;
        }
        let known = resolved_here(runs, &self.target);
        let prober = if by_coordinator && !self.is_persons_own(request, &known) {
            self.guarded.clone()
        } else {
            self.open.clone()
        };
        let (sender, state) = watch::channel(RunState::default());
        tokio::spawn(carry_out(
            prober,
            request.clone(),
            sender,
            self.stop.clone(),
        ));
        runs.push(Run {
            asked: request.clone(),
            by_coordinator,
            state: state.clone(),
        });
        Some(state)
    }

    /// Whether a request stays within what the person named or set up: target or control, at addresses found from here,
    /// by ways that this machine has.
    fn is_persons_own(&self, request: &CheckRequest, known: &[IpAddr]) -> bool {
        let host = &request.target.host;
        let controls = &self.granted.controls;
        let named = *host == self.target || controls.iter().any(|control| control.host == *host);
        let found = |address: &IpAddr| known.contains(address) || *host == Host::Address(*address);
        (named || self.is_shallow_and_public(request, known))
            && request
                .addresses
                .iter()
                .all(|address| is_public(address) || found(address))
            && request
                .resolvers
                .iter()
                .all(|resolver| is_public(resolver) || self.granted.resolvers.contains(resolver))
            && self.has_way(request)
    }

    /// Whether the way is the ordinary one, or one of this machine's: a stranger's "proxy" might be anything inside.
    fn has_way(&self, request: &CheckRequest) -> bool {
        let Way {
            proxy, interface, ..
        } = &request.way;
        let set = |url: &String| self.granted.proxies.iter().any(|own| own.url() == url);
        proxy.as_ref().is_none_or(set)
            && interface
                .as_ref()
                .is_none_or(|device| self.granted.devices.contains(device))
    }

    /// The coordinator's own controls are tried by this machine's ways too, as far as they are sites of the public
    /// internet for this machine: a proxy, which resolves names by itself, would lead inside otherwise.
    fn is_shallow_and_public(&self, request: &CheckRequest, known: &[IpAddr]) -> bool {
        let special_way = request.way.proxy.is_some() || request.way.interface.is_some();
        let places = match &request.target.host {
            Host::Address(address) => vec![*address],
            // A proxy is given the name, whatever addresses were asked for.
            Host::Name(_) if request.way.proxy.is_some() => known.to_vec(),
            Host::Name(_) => request.addresses.clone(),
        };
        special_way
            && request.depth <= Stage::Tls
            && !places.is_empty()
            && places.iter().all(is_public)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Run>> {
        // A panic while the lock was held cannot leave the list half-written.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_public(address: &IpAddr) -> bool {
    special_range(*address).is_none()
}

/// Equal in all that decides what is tried.
fn same_question(a: &CheckRequest, b: &CheckRequest) -> bool {
    let bare = |request: &CheckRequest| CheckRequest {
        check: b.check.clone(),
        request: 0,
        deadline: Duration::ZERO,
        ..request.clone()
    };
    bare(a) == bare(b)
}

/// Addresses that this machine's own resolution gave for the host.
fn resolved_here(runs: &[Run], host: &Host) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for run in runs.iter().filter(|run| run.asked.target.host == *host) {
        for observation in &run.state.borrow().observations {
            if let Some(Facts::Dns(dns)) = &observation.facts {
                found.extend(dns.answers.iter().map(|answer| answer.address));
            }
        }
    }
    found
}

async fn carry_out(
    prober: Prober,
    request: CheckRequest,
    state: watch::Sender<RunState>,
    stop: CancellationToken,
) {
    let (sink, mut observations) = mpsc::channel(limits::BATCH);
    let run = prober.run(VantageName::you(), request, sink, stop);
    let collect = async {
        while let Some(observation) = observations.recv().await {
            state.send_modify(|state| state.observations.push(observation));
        }
    };
    tokio::join!(run, collect);
    state.send_modify(|state| state.done = true);
}

/// A run that a request follows, and what it takes from it.
struct Part {
    state: watch::Receiver<RunState>,
    /// Answers of these resolvers, besides the system's.
    resolvers: Vec<IpAddr>,
    /// Nothing but their answers.
    resolvers_only: bool,
}

impl Part {
    /// Sends the run's observations under the numbers of the request, the first as number `told`, until it is done.
    /// Gives the number after the last.
    async fn follow(
        mut self,
        check: &CheckId,
        request: u32,
        mut told: u32,
        answers: &mpsc::Sender<Answer>,
    ) -> u32 {
        let mut read = 0;
        loop {
            let (news, done) = {
                let state = self.state.borrow_and_update();
                (state.observations[read..].to_vec(), state.done)
            };
            read += news.len();
            for observation in news.into_iter().filter(|o| self.takes(o)) {
                let numbered = Observation {
                    check: check.clone(),
                    request,
                    sequence: told,
                    ..observation
                };
                told += 1;
                let answer = Answer::Observed(Box::new(numbered));
                if answers.send(answer).await.is_err() {
                    return told;
                }
            }
            if done || self.state.changed().await.is_err() {
                return told;
            }
        }
    }

    fn takes(&self, observation: &Observation) -> bool {
        match &observation.facts {
            Some(Facts::Dns(dns)) if dns.kind == ResolverKind::Configured => dns
                .resolver
                .is_some_and(|resolver| self.resolvers.contains(&resolver)),
            _ => !self.resolvers_only,
        }
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::Outcome;
    use tokio::net::TcpListener;

    use super::*;

    fn caller(target: &Target) -> Caller {
        Caller::new(
            ProberSettings::of_this_system(Guard::open()),
            target,
            Granted::default(),
        )
        .unwrap()
    }

    fn request(target: &Target, number: u32) -> CheckRequest {
        CheckRequest {
            check: format!("01JD000000000000000000000{number}")
                .parse()
                .unwrap(),
            request: number,
            purpose: Purpose::Target,
            depth: target.depth(),
            target: target.clone(),
            addresses: Vec::new(),
            ping: false,
            resolvers: Vec::new(),
            deadline: Duration::from_secs(5) + Duration::from_secs(number.into()),
            attempt_timeout: Duration::from_secs(2),
            max_connections: 8,
            slot: 0,
            way: Default::default(),
            authoritative: false,
        }
    }

    async fn ask(caller: &Caller, asker: Asker, request: CheckRequest) -> Vec<Answer> {
        let (sender, mut receiver) = mpsc::channel(8);
        caller.answer(asker, request, sender, CancellationToken::new());
        let mut all = Vec::new();
        while let Some(answer) = receiver.recv().await {
            all.push(answer);
        }
        all
    }

    #[tokio::test]
    async fn the_same_question_is_tried_once_and_answered_under_each_asks_numbers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let caller = caller(&target);

        let first = ask(&caller, Asker::Person, request(&target, 1)).await;
        let second = ask(&caller, Asker::Coordinator, request(&target, 2)).await;

        let [Answer::Observed(a), Answer::Done(1)] = &first[..] else {
            panic!("{first:?}")
        };
        let [Answer::Observed(b), Answer::Done(2)] = &second[..] else {
            panic!("{second:?}")
        };
        assert_eq!((a.stage, a.outcome), (Stage::Tcp, Outcome::Ok));
        assert_eq!(
            (b.request, b.check.as_str()),
            (2, "01JD0000000000000000000002")
        );
        assert_eq!(
            Observation {
                check: a.check.clone(),
                request: 1,
                ..*b.clone()
            },
            **a
        );

        listener.accept().await.unwrap();
        let again = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(again.is_err(), "a second connection was made");
    }

    #[tokio::test]
    async fn further_resolvers_are_asked_and_nothing_is_connected_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (hosts, resolv) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
        std::fs::write(&hosts, "127.0.0.1 shop.example\n").unwrap();
        std::fs::write(&resolv, "nameserver 127.0.0.1\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target::parse(&format!("tcp://shop.example:{port}")).unwrap();
        // Nobody answers questions at these, and loopback says so at once.
        let [first, second]: [IpAddr; 2] = ["127.0.0.2", "127.0.0.3"].map(|a| a.parse().unwrap());
        let settings = ProberSettings {
            hosts_file: hosts,
            resolv_conf: resolv,
            ..ProberSettings::of_this_system(Guard::open())
        };
        let caller = Caller::new(
            settings,
            &target,
            Granted {
                resolvers: vec![first, second],
                ..Granted::default()
            },
        )
        .unwrap();

        let asked = |resolvers: &[IpAddr], number| CheckRequest {
            resolvers: resolvers.to_vec(),
            ..request(&target, number)
        };
        let own = ask(&caller, Asker::Person, asked(&[first], 1)).await;
        let theirs = ask(&caller, Asker::Coordinator, asked(&[second], 2)).await;

        let asked_resolvers = |answers: &[Answer]| {
            let mut found = Vec::new();
            for answer in answers {
                if let Answer::Observed(o) = answer
                    && let Some(Facts::Dns(dns)) = &o.facts
                    && dns.kind == ResolverKind::Configured
                {
                    found.extend(dns.resolver);
                }
            }
            found.dedup();
            found
        };
        assert_eq!(asked_resolvers(&own), [first]);
        assert_eq!(asked_resolvers(&theirs), [second]);
        let numbers: Vec<u32> = theirs
            .iter()
            .filter_map(|answer| match answer {
                Answer::Observed(o) => Some(o.sequence),
                Answer::Done(_) => None,
            })
            .collect();
        assert!(
            numbers.iter().copied().eq(0..numbers.len() as u32),
            "{numbers:?}"
        );
        let connected = |answers: &[Answer]| {
            let tcp =
                |answer: &&Answer| matches!(answer, Answer::Observed(o) if o.stage == Stage::Tcp);
            answers.iter().filter(tcp).count()
        };
        assert_eq!((connected(&own), connected(&theirs)), (1, 1));
        listener.accept().await.unwrap();
        let again = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(again.is_err(), "a second connection was made");
    }

    #[tokio::test]
    async fn the_coordinator_cannot_look_around_in_this_machines_network() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inside = Target::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let caller = caller(&Target::parse("shop.example").unwrap());

        let answers = ask(&caller, Asker::Coordinator, request(&inside, 1)).await;
        for answer in &answers {
            if let Answer::Observed(observation) = answer {
                assert_eq!(observation.outcome, Outcome::NotMeasured);
            }
        }
        let connected = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(connected.is_err(), "a connection was made");

        // The person at this machine may.
        let answers = ask(
            &caller,
            Asker::Person,
            CheckRequest {
                slot: 1,
                ..request(&inside, 2)
            },
        )
        .await;
        assert!(matches!(&answers[0], Answer::Observed(o) if o.outcome == Outcome::Ok));
    }

    #[tokio::test]
    async fn another_way_is_another_question() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let caller = caller(&target);
        let plain = request(&target, 1);
        let from_there = CheckRequest {
            way: Way {
                source: Some([127, 0, 0, 2].into()),
                ..Way::default()
            },
            ..request(&target, 2)
        };
        let zone = CheckRequest {
            authoritative: true,
            ..request(&target, 3)
        };
        for other in [&from_there, &zone] {
            assert!(!same_question(&plain, other));
            assert!(same_question(other, other));
        }
        ask(&caller, Asker::Person, plain).await;
        let answers = ask(&caller, Asker::Person, from_there).await;
        let Answer::Observed(observation) = &answers[0] else {
            panic!("{answers:?}")
        };
        assert_eq!(observation.source, Some([127, 0, 0, 2].into()));
        listener.accept().await.unwrap();
        let (_, second) = listener.accept().await.unwrap();
        assert_eq!(second.ip(), IpAddr::from([127, 0, 0, 2]));
    }

    /// Answers every question for addresses of IPv4 with 192.0.2.80, and every other with nothing.
    async fn resolver(socket: tokio::net::UdpSocket) {
        let mut packet = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            let query = &packet[..length];
            // Header, then labels up to the empty one, then type and class.
            let labels = query[12..].iter().position(|byte| *byte == 0).unwrap();
            let question = &query[12..12 + labels + 5];
            let is_a = question[labels + 1..labels + 3] == [0, 1];
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(question);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 80]);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_settings_resolvers_know_a_name_that_the_system_does_not() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(resolver(socket));
        let dir = tempfile::tempdir().unwrap();
        let (hosts, resolv) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
        std::fs::write(&hosts, "").unwrap();
        std::fs::write(&resolv, "nameserver 127.0.0.9\n").unwrap();
        let settings = ProberSettings {
            hosts_file: hosts,
            resolv_conf: resolv,
            dns_port: port,
            ..ProberSettings::of_this_system(Guard::open())
        };
        let look_up = async |resolvers: &[IpAddr]| {
            let granted = Granted {
                resolvers: resolvers.to_vec(),
                ..Granted::default()
            };
            let target = Target::parse("shop.example").unwrap();
            let caller = Caller::new(settings.clone(), &target, granted).unwrap();
            let patience = Duration::from_secs(2);
            caller.look_up("coordinator.example", patience).await
        };
        let own: IpAddr = [127, 0, 0, 1].into();
        assert_eq!(look_up(&[own]).await, [IpAddr::from([192, 0, 2, 80])]);
        assert!(look_up(&[]).await.is_empty());
        assert!(look_up(&[[127, 0, 0, 8].into()]).await.is_empty());
    }

    #[tokio::test]
    async fn a_coordinator_learns_what_the_proxy_says_to_its_own_user_and_no_password() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 2_048];
                let length = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                // `me:s3cret`
                let known = head.contains("Basic bWU6czNjcmV0");
                let status = if known { "502 Bad" } else { "407 Who" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let shop = Target::parse("https://shop.example").unwrap();
        let set = Proxy::new("https_proxy", &format!("http://me:s3cret@{address}"));
        let shown = set.url().to_owned();
        let granted = Granted {
            proxies: vec![set],
            ..Granted::default()
        };
        let settings = ProberSettings::of_this_system(Guard::open());
        let caller = Caller::new(settings, &shop, granted).unwrap();
        let request = CheckRequest {
            purpose: Purpose::ThroughProxy,
            way: Way {
                proxy: Some(shown),
                ..Way::default()
            },
            ..request(&shop, 1)
        };
        let answers = ask(&caller, Asker::Coordinator, request).await;
        let seen: Vec<&Observation> = answers
            .iter()
            .filter_map(|answer| match answer {
                Answer::Observed(observation) => Some(&**observation),
                Answer::Done(_) => None,
            })
            .collect();
        let stages: Vec<(Stage, Outcome)> = seen.iter().map(|o| (o.stage, o.outcome)).collect();
        assert_eq!(
            stages,
            [
                (Stage::Tcp, Outcome::Ok),
                (Stage::Http, Outcome::HttpStatus)
            ]
        );
        let Some(Facts::Http(http)) = &seen[1].facts else {
            panic!("{seen:?}")
        };
        assert_eq!(http.status, 502, "the proxy knew its user");
        assert!(!serde_json::to_string(&seen).unwrap().contains("s3cret"));
    }

    #[test]
    fn a_coordinator_may_use_this_machines_ways_and_no_others() {
        let shop = Target::parse("shop.example").unwrap();
        let control = Target::parse("https://control.example").unwrap();
        let set = Proxy::new("https_proxy", "http://me:s3cret@192.168.1.9:3128");
        let granted = Granted {
            proxies: vec![set],
            devices: vec!["eth0".into()],
            ..Granted::default()
        };
        let caller = Caller::new(
            ProberSettings::of_this_system(Guard::open()),
            &shop,
            granted,
        )
        .unwrap();
        let by_proxy = |url: &str| Way {
            proxy: Some(url.to_owned()),
            ..Way::default()
        };
        let by_device = |device: &str| Way {
            interface: Some(device.to_owned()),
            ..Way::default()
        };
        let (own, device) = (by_proxy("http://192.168.1.9:3128"), by_device("eth0"));
        let public: [IpAddr; 1] = ["1.1.1.1".parse().unwrap()];
        let inside: [IpAddr; 1] = ["192.168.1.1".parse().unwrap()];
        let cases: [(&Target, &Way, &[IpAddr], bool); 9] = [
            (&shop, &own, &[], true),
            (&shop, &device, &[], true),
            (&shop, &by_proxy("http://192.168.1.1:80"), &[], false),
            (&shop, &by_device("docker0"), &[], false),
            (&control, &own, &[], false),
            (&control, &own, &public, true),
            (&control, &own, &inside, false),
            (&control, &by_proxy("http://1.1.1.1:80"), &public, false),
            (&control, &Way::default(), &public, false),
        ];
        for (target, way, known, allowed) in cases {
            let request = CheckRequest {
                depth: Stage::Tls,
                way: way.clone(),
                ..request(target, 1)
            };
            assert_eq!(
                caller.is_persons_own(&request, known),
                allowed,
                "{} {way:?} {known:?}",
                target.input
            );
        }
    }

    #[tokio::test]
    async fn the_coordinator_is_answered_only_so_often() {
        let target = Target::parse("http://127.0.0.1:1").unwrap();
        let caller = caller(&target);
        let mut numbers = 0;
        for slot in 0..70 {
            let mut request = request(&target, 1);
            request.slot = slot;
            let answers = ask(&caller, Asker::Coordinator, request).await;
            numbers += answers.len() - 1;
        }
        assert_eq!(numbers, ASKED_BY_COORDINATOR);
    }
}
