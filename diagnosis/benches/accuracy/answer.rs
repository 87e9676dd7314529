//! How a vantage answers a request: which tries it makes, when each begins, and what it says of them. The order and the
//! silences are a probe's; what the tries come to is the network's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use onlyhere_proto::{
    CheckRequest, Facts, Family, Host, Layer, Micros, Observation, Outcome, Purpose, RecordType,
    ResolverKind, SaidBy, Stage, TcpFacts, Timestamp, VantageName, limits,
};

use crate::network::{Network, Question, Step, Trip};

/// When all checks begin: 2026-05-04T10:00:00Z.
pub(crate) const EPOCH_S: i64 = 1_777_888_800;
/// Rungs of a ladder that are under way at one time, and what a silent one costs.
const RUNGS_AT_ONCE: f64 = 4.0;
const RUNG_MS: f64 = 1_000.0;

/// What came of a request: when each observation was ready (since receipt, ms), and when nothing was left to do.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) observations: Vec<(f64, Observation)>,
    pub(crate) done_ms: f64,
}

/// One request under way at one station.
struct Visit<'a, N: Network + ?Sized> {
    network: &'a mut N,
    station: usize,
    name: VantageName,
    request: &'a CheckRequest,
    received: f64,
    said: Vec<(f64, Observation)>,
}

/// Carries a request out, received at `received` (ms since the beginning).
pub(crate) fn answer<N: Network + ?Sized>(
    network: &mut N,
    station: usize,
    name: &VantageName,
    request: &CheckRequest,
    received: f64,
) -> Answer {
    let mut visit = Visit {
        network,
        station,
        name: name.clone(),
        request,
        received,
        said: Vec::new(),
    };
    let done = visit.walk();
    let deadline = request.deadline.as_secs_f64() * 1e3;
    let mut observations = visit.said;
    observations.retain(|(at, _)| *at <= deadline);
    observations.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (sequence, (_, observation)) in observations.iter_mut().enumerate() {
        observation.sequence = sequence as u32;
    }
    observations.truncate(limits::OBSERVATIONS_PER_REQUEST);
    Answer {
        observations,
        done_ms: done.min(deadline),
    }
}

impl<N: Network + ?Sized> Visit<'_, N> {
    /// Returns when all is done, ms since receipt.
    fn walk(&mut self) -> f64 {
        let request = self.request;
        let host = request.target.host.to_string();
        if request.purpose == Purpose::BlockList {
            return self.block_list(&host);
        }
        match &request.target.host {
            Host::Address(address) => {
                if request.depth == Stage::Dns {
                    return 0.0;
                }
                self.address(&host, *address, 0.0)
            }
            Host::Name(_) if request.addresses.is_empty() || request.depth == Stage::Dns => {
                self.resolve_and_climb(&host)
            }
            Host::Name(_) => {
                let addresses: BTreeSet<IpAddr> = request.addresses.iter().copied().collect();
                let tried = addresses.into_iter().take(limits::ADDRESSES);
                tried.fold(0.0, |end, address| {
                    f64::max(end, self.address(&host, address, 0.0))
                })
            }
        }
    }

    fn resolve_and_climb(&mut self, host: &str) -> f64 {
        let request = self.request;
        let mut found: Vec<(f64, IpAddr)> = Vec::new();
        let mut end: f64 = 0.0;
        for record_type in record_types(request).iter().copied() {
            let entries: Vec<IpAddr> = self
                .network
                .hosts_entries(self.station, host)
                .into_iter()
                .filter(|ip| Family::of(*ip) == record_type.family())
                .collect();
            if !entries.is_empty() {
                found.extend(entries.iter().map(|ip| (0.0, *ip)));
                let step = hosts_step(&entries, record_type);
                self.say(host, None, None, 0.05, step);
            }
            let mut askings = vec![(ResolverKind::System, None)];
            if host == "localhost" {
                askings.clear();
            }
            askings.extend(
                request
                    .resolvers
                    .iter()
                    .map(|r| (ResolverKind::Configured, Some(*r))),
            );
            if request.authoritative {
                askings.push((ResolverKind::Authoritative, None));
            }
            for (kind, resolver) in askings {
                let question = Question {
                    station: self.station,
                    host,
                    record_type,
                    kind,
                    resolver,
                    timeout_ms: self.timeout_ms(),
                };
                for step in self.network.resolve(&question) {
                    let at = step.elapsed_ms;
                    if step.outcome == Outcome::Ok
                        && let Some(Facts::Dns(dns)) = &step.facts
                    {
                        found.extend(dns.answers.iter().map(|a| (at, a.address)));
                    }
                    end = end.max(at);
                    self.say(host, None, None, at, step);
                }
            }
        }
        if request.depth == Stage::Dns {
            return end;
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut tried = BTreeSet::new();
        for (at, address) in found {
            let of_family = tried
                .iter()
                .filter(|t: &&IpAddr| t.is_ipv4() == address.is_ipv4())
                .count();
            if of_family < limits::ADDRESSES / 2 && tried.insert(address) {
                end = end.max(self.address(host, address, at));
            }
        }
        end
    }

    /// One address, from `begin` (ms since receipt): echo and climb side by side. Returns the end.
    fn address(&mut self, host: &str, address: IpAddr, begin: f64) -> f64 {
        let request = self.request;
        let target = &request.target;
        let web = matches!(target.layer, Layer::Http | Layer::Https);
        let trip = Trip {
            station: self.station,
            host,
            address,
            port: target.port.unwrap_or(0),
            tls: target.is_tls() && matches!(request.depth, Stage::Tls | Stage::Http),
            web: web && request.depth == Stage::Http,
            way: &request.way,
            at: self.received + begin,
            timeout_ms: self.timeout_ms(),
        };
        if let Some(hops) = request.way.hops {
            return self.ladder(&trip, begin, hops);
        }
        let mut end = begin;
        if request.ping || request.depth == Stage::Icmp {
            let step = self.network.echo(&trip);
            end += step.elapsed_ms;
            self.say(host, Some(address), None, end, step);
        }
        if request.depth == Stage::Icmp {
            return end;
        }
        if target.port.is_none() {
            let step = Step::not_measured(Stage::Tcp, "the target has no port to connect to");
            self.say(host, Some(address), None, begin, step);
            return end;
        }
        let mut at = begin;
        for step in self.network.climb(&trip) {
            at += step.elapsed_ms;
            self.say(host, Some(address), target.port, at, step);
        }
        end.max(at)
    }

    /// A few rungs at a time; the first one that meets the host's own word, or a refusal, is the last.
    fn ladder(&mut self, trip: &Trip<'_>, begin: f64, hops: u8) -> f64 {
        let mut spent = begin;
        for ttl in 1..=hops.min(limits::HOPS) {
            let trip = Trip {
                at: self.received + spent,
                timeout_ms: RUNG_MS,
                ..*trip
            };
            let mut step = self.network.rung(&trip, ttl);
            let passing = step.outcome == Outcome::Timeout || is_time_exceeded(&step);
            let end = spent + step.elapsed_ms;
            spent += step.elapsed_ms / RUNGS_AT_ONCE;
            let facts = match &step.facts {
                Some(Facts::Tcp(tcp)) => *tcp,
                _ => TcpFacts::default(),
            };
            step.facts = Some(Facts::Tcp(TcpFacts {
                hop: Some(ttl),
                ..facts
            }));
            let (host, port) = (trip.host.to_owned(), Some(trip.port));
            self.say(&host, Some(trip.address), port, end, step);
            if !passing {
                return end;
            }
        }
        spent + RUNG_MS
    }

    fn block_list(&mut self, host: &str) -> f64 {
        let zone: Vec<&str> = host.splitn(5, '.').collect();
        let zone = zone.get(4).copied().unwrap_or(host);
        let (rcode, outcome, elapsed, answers) = match self.network.listed(zone) {
            Some(true) => (Some(0), Outcome::Ok, 40.0, vec![[127, 0, 0, 2].into()]),
            Some(false) => (Some(3), Outcome::Nxdomain, 40.0, Vec::new()),
            None => (None, Outcome::Timeout, self.timeout_ms(), Vec::new()),
        };
        let mut step = Step::new(Stage::Dns, elapsed, outcome);
        step.facts = Some(Facts::Dns(onlyhere_proto::DnsFacts {
            resolver: Some([192, 168, 1, 1].into()),
            kind: ResolverKind::System,
            record_type: RecordType::A,
            rcode,
            answers: answers_of(&answers, 60),
            cname_chain: Vec::new(),
        }));
        self.say(host, None, None, elapsed, step);
        elapsed
    }

    fn timeout_ms(&self) -> f64 {
        self.request.attempt_timeout.as_secs_f64() * 1e3
    }

    /// Says a step that was over at `at` (ms since receipt).
    fn say(&mut self, host: &str, address: Option<IpAddr>, port: Option<u16>, at: f64, step: Step) {
        let family = match &step.facts {
            Some(Facts::Dns(dns)) => Some(dns.record_type.family()),
            _ => address.map(Family::of),
        };
        let (address, port) = match step.to {
            Some((address, port)) => (Some(address), Some(port)),
            None => (address, port),
        };
        let own = |family| self.network.source(self.station, family);
        let source = match step.outcome {
            Outcome::NotMeasured => None,
            _ => self
                .request
                .way
                .source
                .or(address.map(Family::of).and_then(own)),
        };
        let began = self.received + at - step.elapsed_ms;
        let observation = Observation {
            check: self.request.check.clone(),
            request: self.request.request,
            sequence: 0,
            vantage: self.name.clone(),
            purpose: self.request.purpose,
            stage: step.stage,
            host: host.to_owned(),
            source,
            address,
            port,
            family,
            started_at: Timestamp(EPOCH_S * 1_000_000 + (began * 1e3) as i64),
            elapsed_ms: Micros((step.elapsed_ms * 1e3) as u64),
            slot: self.request.slot,
            outcome: step.outcome,
            said_by: step.said_by,
            detail: step.detail.map(str::to_owned),
            facts: step.facts,
        };
        self.said.push((at, observation));
    }
}

/// Answers with a time to live.
pub(crate) fn answers_of(addresses: &[IpAddr], ttl_s: u32) -> Vec<onlyhere_proto::DnsAnswer> {
    let answer = |address: &IpAddr| onlyhere_proto::DnsAnswer {
        address: *address,
        ttl_s,
    };
    addresses.iter().map(answer).collect()
}

fn hosts_step(entries: &[IpAddr], record_type: RecordType) -> Step {
    let mut step = Step::new(Stage::Dns, 0.0, Outcome::Ok);
    step.facts = Some(Facts::Dns(onlyhere_proto::DnsFacts {
        resolver: None,
        kind: ResolverKind::HostsFile,
        record_type,
        rcode: None,
        answers: answers_of(entries, 0),
        cname_chain: Vec::new(),
    }));
    step
}

fn record_types(request: &CheckRequest) -> &'static [RecordType] {
    match request.target.record_type {
        Some(RecordType::A) => &[RecordType::A],
        Some(RecordType::Aaaa) => &[RecordType::Aaaa],
        None => &[RecordType::A, RecordType::Aaaa],
    }
}

fn is_time_exceeded(step: &Step) -> bool {
    match step.said_by {
        Some(SaidBy::Icmp { icmp }) => match icmp.from {
            IpAddr::V4(_) => icmp.icmp_type == 11,
            IpAddr::V6(_) => icmp.icmp_type == 3,
        },
        _ => false,
    }
}
