//! A model world: it answers asks the way a network would, in its own time, and runs an investigation to its end.
//!
//! No packet is sent. What a vantage would see is computed from a few rules per scenario; the driver keeps a queue of
//! events ordered by time, so that stragglers, silence and delays play out as they would.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod answer;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use onlyhere_diagnosis::{Ask, Case, Investigation};
use onlyhere_proto::{
    Certificate, CertificateError, CheckRequest, DnsAnswer, DnsFacts, Facts, Family, Host,
    HttpFacts, IcmpError, Layer, Micros, Observation, Outcome, Purpose, RecordType, ResolverKind,
    SaidBy, Stage, Subject, Target, TcpFacts, Timestamp, TlsFacts, Vantage, VantageClass,
    VantageName, Verdict,
};

pub(crate) use run::Run;

use answer::{Answer, certificate, icmp_outcome, micros};

pub(crate) const WEB4: &str = "198.18.1.10";
pub(crate) const WEB6: &str = "2001:db8:1::10";
pub(crate) const GATEWAY_LAN: &str = "192.168.77.1";
pub(crate) const CALLER: &str = "192.168.77.10";
pub(crate) const CALLER_PUBLIC: &str = "198.18.3.20";

/// What an attempt meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reply {
    /// It works all the way.
    Ok,
    /// A reset after so many milliseconds; none: after the host's round trip.
    Rst(Option<f64>),
    /// An ICMP error: type, code, sender, milliseconds.
    Icmp(u8, u8, &'static str, Option<f64>),
    /// Silence.
    Drop,
    /// A certificate that does not verify.
    Tls(CertificateError),
    /// A status.
    Http(u16),
    /// Opened, then reset in the handshake.
    Reset,
    /// Opened, then silence.
    Stall,
    /// The vantage has not got this family.
    NoFamily,
}

/// What a resolver says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Name {
    /// These addresses.
    Is(Vec<IpAddr>),
    /// NXDOMAIN.
    Missing,
    /// SERVFAIL.
    Failed,
    /// Silence.
    Silent,
}

/// One attempt, as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try<'a> {
    pub(crate) vantage: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) control: bool,
    /// Milliseconds since the start.
    pub(crate) at: f64,
    pub(crate) slot: u32,
}

impl Try<'_> {
    pub(crate) fn v4(&self) -> bool {
        self.address.is_ipv4()
    }
    pub(crate) fn target(&self) -> bool {
        !self.control
    }
    pub(crate) fn web(&self) -> bool {
        !self.control && self.port == 443
    }
    pub(crate) fn by(&self, name: &str) -> bool {
        self.vantage == name
    }
}

type Connect = Box<dyn Fn(Try<'_>) -> Reply>;
type Resolve = Box<dyn Fn(&str, bool) -> Name>;
type Echo = Box<dyn Fn(Try<'_>) -> bool>;

/// The world and its rules.
pub(crate) struct World {
    pub(crate) vantages: Vec<Vantage>,
    pub(crate) target: Target,
    pub(crate) controls: Vec<Target>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) connect: Connect,
    pub(crate) resolve: Resolve,
    /// The system resolver's answer is from the hosts file.
    pub(crate) hosts_file: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) echo: Echo,
    /// Vantages that never answer a request.
    pub(crate) dead: BTreeSet<String>,
    pub(crate) seen: Option<onlyhere_proto::Symptom>,
    pub(crate) no_subject: bool,
    pub(crate) proxies: Vec<String>,
    pub(crate) resolvers: Vec<IpAddr>,
    pub(crate) public_address: Option<IpAddr>,
}

fn vantage(
    name: &str,
    asn: u32,
    country: &str,
    region: &str,
    class: VantageClass,
    public: &str,
) -> Vantage {
    Vantage {
        asn: Some(asn),
        country: Some(country.into()),
        region: Some(region.into()),
        class: Some(class),
        public_address: Some(ip(public)),
        ..Vantage::named(name.parse().unwrap())
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl World {
    /// Everything is well: the caller at home, a sibling in its network, five others.
    pub(crate) fn new() -> Self {
        use VantageClass::{Datacenter, Residential};
        Self {
            vantages: vec![
                vantage("you", 64503, "DE", "eu", Residential, CALLER_PUBLIC),
                vantage("sibling", 64503, "DE", "eu", Residential, "198.18.3.21"),
                vantage("fra", 64504, "DE", "eu", Datacenter, "198.18.4.10"),
                vantage("ams", 64505, "NL", "eu", Datacenter, "198.18.5.10"),
                vantage("nyc", 64506, "US", "us", Datacenter, "198.18.6.10"),
                vantage("sgp", 64507, "SG", "asia", Datacenter, "198.18.7.10"),
                vantage("par", 64508, "FR", "eu", Residential, "198.18.8.10"),
            ],
            target: Target::parse("https://shop.example").unwrap(),
            controls: vec![
                Target::parse("https://control-a.example").unwrap(),
                Target::parse("https://control-b.example").unwrap(),
            ],
            addresses: vec![ip(WEB4), ip(WEB6)],
            connect: Box::new(|_| Reply::Ok),
            resolve: Box::new(|_, _| Name::Is(Vec::new())),
            hosts_file: BTreeMap::new(),
            echo: Box::new(|_| true),
            dead: BTreeSet::new(),
            seen: None,
            no_subject: false,
            proxies: Vec::new(),
            resolvers: Vec::new(),
            public_address: Some(ip(CALLER_PUBLIC)),
        }
    }

    /// Without some vantages.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.vantages.retain(|v| !names.contains(&v.name.as_str()));
        self
    }

    /// The caller alone, no coordinator.
    pub(crate) fn alone(mut self) -> Self {
        self.vantages.retain(|v| v.name == "you");
        self.public_address = None;
        self.vantages[0] = Vantage::named(VantageName::you());
        self
    }

    /// Without the caller as a vantage.
    pub(crate) fn no_subject(mut self) -> Self {
        self.no_subject = true;
        self.without(&["you"])
    }

    pub(crate) fn connect(mut self, rule: impl Fn(Try<'_>) -> Reply + 'static) -> Self {
        self.connect = Box::new(rule);
        self
    }

    pub(crate) fn resolve(mut self, rule: impl Fn(&str, bool) -> Name + 'static) -> Self {
        self.resolve = Box::new(rule);
        self
    }

    pub(crate) fn echo(mut self, rule: impl Fn(Try<'_>) -> bool + 'static) -> Self {
        self.echo = Box::new(rule);
        self
    }

    pub(crate) fn addresses(mut self, all: &[&str]) -> Self {
        self.addresses = all.iter().map(|a| ip(a)).collect();
        self
    }

    pub(crate) fn case(&self) -> Case {
        let you = VantageName::you();
        let subject_vantage = self.vantages.iter().find(|v| v.id == you);
        Case {
            check: "01JD0000000000000000000000".parse().unwrap(),
            target: self.target.clone(),
            subject: Subject {
                vantage: (!self.no_subject).then_some(you),
                public_address: self.public_address,
                asn: subject_vantage.and_then(|v| v.asn),
                local: onlyhere_proto::LocalFacts {
                    proxies: self.proxies.clone(),
                    hosts_entries: self.hosts_file.get("you").cloned().unwrap_or_default(),
                    ..Default::default()
                },
            },
            vantages: self.vantages.clone(),
            conditions: onlyhere_proto::Conditions {
                controls: self.controls.clone(),
                resolvers: self.resolvers.clone(),
                seen: self.seen,
                ..Default::default()
            },
        }
    }

    /// Round trip in milliseconds.
    fn round_trip(vantage: &str) -> f64 {
        match vantage {
            "you" => 34.6,
            "sibling" => 32.6,
            "fra" => 26.6,
            "ams" => 30.6,
            "nyc" => 100.6,
            "sgp" => 176.6,
            _ => 40.6,
        }
    }

    /// What a vantage answers, each observation with the time at which it is there, and the time at which it is done.
    pub(crate) fn answer(&self, ask: &Ask, at: f64) -> (Vec<(f64, Observation)>, f64) {
        let name = ask.vantage.as_str();
        let request = &ask.request;
        let patience = request.attempt_timeout.as_secs_f64() * 1_000.0;
        let mut answer = Answer {
            ask,
            at,
            all: Vec::new(),
        };
        if self.dead.contains(name) {
            return (Vec::new(), at + request.deadline.as_secs_f64() * 1_000.0);
        }
        let control = request.purpose == Purpose::Control;
        let (addresses, resolved_at) = self.resolve_host(&mut answer, name, request, patience);
        let mut end = resolved_at;
        for address in addresses {
            let attempt = Try {
                vantage: name,
                address,
                port: request.target.port.unwrap_or(0),
                control,
                at: resolved_at,
                slot: request.slot,
            };
            if request.ping || request.depth == Stage::Icmp {
                end = end.max(self.echo_address(&mut answer, attempt, patience));
            }
            if request.depth != Stage::Icmp && request.depth != Stage::Dns {
                end = end.max(self.try_address(&mut answer, attempt, request, patience));
            }
        }
        answer.all.sort_by(|a, b| a.0.total_cmp(&b.0));
        (answer.all, end)
    }

    fn resolve_host(
        &self,
        answer: &mut Answer<'_>,
        name: &str,
        request: &CheckRequest,
        patience: f64,
    ) -> (Vec<IpAddr>, f64) {
        if !request.addresses.is_empty() {
            return (request.addresses.clone(), answer.at);
        }
        if let Host::Address(address) = request.target.host {
            return (vec![address], answer.at);
        }
        let control = request.purpose == Purpose::Control;
        if let (false, Some(entries)) = (control, self.hosts_file.get(name)) {
            answer.dns(
                1.0,
                None,
                ResolverKind::HostsFile,
                &Name::Is(entries.clone()),
            );
            return (entries.clone(), answer.at + 1.0);
        }
        let all = if control {
            let b = request.target.host.to_string().starts_with("control-b");
            let (v4, v6) = if b {
                ("198.18.4.80", "2001:db8:4::80")
            } else {
                ("198.18.5.80", "2001:db8:5::80")
            };
            vec![ip(v4), ip(v6)]
        } else {
            self.addresses.clone()
        };
        let said = match (self.resolve)(name, control) {
            Name::Is(list) if list.is_empty() => Name::Is(all.clone()),
            other => other,
        };
        let trip = Self::round_trip(name) * 0.7;
        let time = if said == Name::Silent { patience } else { trip };
        answer.dns(time, Some(ip("198.18.0.53")), ResolverKind::System, &said);
        for resolver in &request.resolvers {
            let said = match (self.resolve)("configured", control) {
                Name::Is(list) if list.is_empty() => Name::Is(all.clone()),
                other => other,
            };
            answer.dns(trip, Some(*resolver), ResolverKind::Configured, &said);
        }
        match said {
            Name::Is(list) => (list, answer.at + time),
            _ => (Vec::new(), answer.at + time),
        }
    }

    fn echo_address(&self, answer: &mut Answer<'_>, attempt: Try<'_>, patience: f64) -> f64 {
        if (self.connect)(attempt) == Reply::NoFamily {
            return attempt.at;
        }
        let ok = (self.echo)(attempt);
        let took = if ok {
            Self::round_trip(attempt.vantage)
        } else {
            patience
        };
        let outcome = if ok { Outcome::Ok } else { Outcome::Timeout };
        answer.stage(attempt.at, took, Stage::Icmp, outcome, attempt, None, None);
        attempt.at + took
    }

    fn try_address(
        &self,
        answer: &mut Answer<'_>,
        attempt: Try<'_>,
        request: &CheckRequest,
        patience: f64,
    ) -> f64 {
        let trip = Self::round_trip(attempt.vantage);
        let mut now = attempt.at;
        let reply = (self.connect)(attempt);
        let tcp = Facts::Tcp(TcpFacts {
            syn_retransmits: Some(0),
            round_trip_ms: Some(Micros((trip * 1_000.0) as u64)),
            ..TcpFacts::default()
        });
        let (outcome, took, said_by) = match reply {
            Reply::Rst(ms) => (Outcome::Refused, ms.unwrap_or(trip), Some(SaidBy::Rst)),
            Reply::Icmp(kind, code, from, ms) => (
                icmp_outcome(kind, code),
                ms.unwrap_or(trip),
                Some(SaidBy::Icmp {
                    icmp: IcmpError {
                        icmp_type: kind,
                        code,
                        from: ip(from),
                    },
                }),
            ),
            Reply::Drop => (Outcome::Timeout, patience, None),
            Reply::NoFamily => (Outcome::NotMeasured, 0.1, None),
            _ => (Outcome::Ok, trip, None),
        };
        let facts = (outcome == Outcome::Ok).then_some(tcp);
        answer.stage(now, took, Stage::Tcp, outcome, attempt, said_by, facts);
        now += took;
        if outcome != Outcome::Ok || request.depth == Stage::Tcp {
            return now;
        }
        if request.target.is_tls() {
            let (outcome, took) = match reply {
                Reply::Tls(_) => (Outcome::BadCertificate, trip),
                Reply::Reset => (Outcome::Reset, trip),
                Reply::Stall => (Outcome::Timeout, patience),
                _ => (Outcome::Ok, trip),
            };
            let facts = Facts::Tls(TlsFacts {
                error: match reply {
                    Reply::Tls(error) => Some(error),
                    _ => None,
                },
                certificates: vec![certificate(outcome == Outcome::Ok)],
                ..TlsFacts::default()
            });
            answer.stage(now, took, Stage::Tls, outcome, attempt, None, Some(facts));
            now += took;
            if outcome != Outcome::Ok || request.depth == Stage::Tls {
                return now;
            }
        }
        if !matches!(request.target.layer, Layer::Https | Layer::Http) {
            return now;
        }
        let status = match reply {
            Reply::Http(status) => status,
            _ => 200,
        };
        let facts = Facts::Http(HttpFacts {
            version: "HTTP/1.1".into(),
            status,
            headers: Vec::new(),
            location: None,
            body_length: 0,
            body_sha256: None,
        });
        let outcome = if status < 400 {
            Outcome::Ok
        } else {
            Outcome::HttpStatus
        };
        answer.stage(now, trip, Stage::Http, outcome, attempt, None, Some(facts));
        now + trip
    }
}
