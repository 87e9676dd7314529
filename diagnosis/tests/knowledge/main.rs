//! What a person who does this by hand knows, row by row: every error class, pattern, cause and step of the checklist
//! has a test here that shows verdict, remedy and time to fix.
//!
//! The observations come from the model world; what the caller's own machine and the closer looks add (a proxy, a ladder,
//! another resolver, a block list) is written down beside them, and the whole is judged as a record.

mod beside;
mod causes;
mod checklist;
mod classes;
mod patterns;
#[path = "../world/mod.rs"]
mod world;

use std::net::IpAddr;
use std::time::Duration;

use onlyhere_diagnosis::{Case, Investigation};
use onlyhere_proto::{
    CauseId, CauseReport, Certificate, DnsAnswer, DnsFacts, Facts, Family, IcmpError, Mechanism,
    Micros, Observation, Outcome, Purpose, RecordType, ResolverKind, SaidBy, Scope, Stage, Symptom,
    Target, TcpFacts, Timestamp, TlsFacts, Verdict,
};
use world::{Name, Reply, Try, WEB4, WEB6, World, ip};

/// 2026-01-01, 10:00 UTC.
pub(crate) const TEN: Timestamp = Timestamp(1_767_261_600_000_000);

pub(crate) const PROXY: &str = "https_proxy=http://127.0.0.1:3128";

/// A case with everything that was observed in it.
pub(crate) struct Record {
    pub(crate) case: Case,
    pub(crate) observations: Vec<Observation>,
    pub(crate) next: u32,
}

impl Record {
    /// Runs an investigation in a world and keeps what was seen.
    pub(crate) fn of(world: &World) -> Self {
        Self::of_case(world, world.case())
    }

    pub(crate) fn of_case(world: &World, mut case: Case) -> Self {
        case.subject.local.platform = Some("linux".into());
        let mut investigation = Investigation::new(case.clone());
        let mut observations = Vec::new();
        let mut now = 0.0_f64;
        for _ in 0..100 {
            let asks = investigation.poll_asks(Duration::from_secs_f64(now / 1_000.0));
            if investigation.is_concluded() {
                break;
            }
            if asks.is_empty() {
                match investigation.wakes_at() {
                    Some(at) => now = now.max(at.as_secs_f64() * 1_000.0) + 0.01,
                    None => break,
                }
                continue;
            }
            let mut end = now;
            for ask in &asks {
                if is_ordinary(ask.request.purpose) {
                    let start = now + ask.delay.as_secs_f64() * 1_000.0;
                    let (seen, done) = world.answer(ask, start);
                    for (_, observation) in seen {
                        investigation.handle_observation(observation.clone());
                        observations.push(observation);
                    }
                    end = end.max(done);
                }
                investigation.handle_done(&ask.vantage, ask.request.request);
            }
            now = end;
        }
        Self {
            case,
            observations,
            next: 900,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        Investigation::replay(self.case.clone(), self.observations.iter().cloned())
    }

    /// Something tried besides, by one vantage, as a request of its own.
    pub(crate) fn add(
        &mut self,
        vantage: &str,
        purpose: Purpose,
        stages: impl IntoIterator<Item = (Stage, Outcome, Option<IpAddr>, Option<Facts>)>,
    ) {
        self.next += 1;
        for (sequence, (stage, outcome, address, facts)) in stages.into_iter().enumerate() {
            let observation = Observation {
                check: self.case.check.clone(),
                request: self.next,
                sequence: sequence as u32,
                vantage: vantage.parse().unwrap(),
                purpose,
                stage,
                host: self.case.target.host.to_string(),
                source: None,
                address,
                port: self.case.target.port,
                family: address.map(Family::of),
                started_at: TEN,
                elapsed_ms: Micros(31_000),
                slot: 0,
                outcome,
                said_by: (outcome == Outcome::Refused).then_some(SaidBy::Rst),
                detail: None,
                facts,
            };
            self.observations.push(observation);
        }
    }

    /// The way through the proxy that is set: it refuses.
    pub(crate) fn proxy_refuses(&mut self) {
        let proxy = Some(ip("127.0.0.1"));
        self.add(
            "you",
            Purpose::ThroughProxy,
            [(Stage::Tcp, Outcome::Refused, proxy, None)],
        );
        let last = self.observations.last_mut().unwrap();
        last.port = Some(3128);
        last.elapsed_ms = Micros(100);
    }

    /// All the way at both addresses.
    pub(crate) fn works(&mut self, vantage: &str, purpose: Purpose) {
        for address in [WEB4, WEB6].map(ip) {
            let stages =
                [Stage::Tcp, Stage::Tls].map(|stage| (stage, Outcome::Ok, Some(address), None));
            self.add(vantage, purpose, stages);
        }
    }

    /// A ladder to the IPv4 address: who answered at each hop, then silence.
    pub(crate) fn ladder(&mut self, vantage: &str, hops: &[&str], silent: u8) {
        let address = Some(ip(WEB4));
        let rung = |hop: u8| {
            Some(Facts::Tcp(TcpFacts {
                hop: Some(hop),
                ..TcpFacts::default()
            }))
        };
        let answered = (1..).zip(hops);
        let stages: Vec<_> = answered
            .clone()
            .map(|(hop, _)| (Stage::Tcp, Outcome::Unreachable, address, rung(hop)))
            .collect();
        let first_silent = hops.len() as u8 + 1;
        let silence =
            (first_silent..=silent).map(|hop| (Stage::Tcp, Outcome::Timeout, address, rung(hop)));
        let start = self.observations.len();
        self.add(vantage, Purpose::Ladder, stages.into_iter().chain(silence));
        for (observation, (_, hop)) in self.observations[start..].iter_mut().zip(answered) {
            observation.said_by = Some(SaidBy::Icmp {
                icmp: IcmpError {
                    icmp_type: 11,
                    code: 0,
                    from: ip(hop),
                },
            });
        }
    }

    /// What a resolver gives for the name.
    pub(crate) fn resolved(&mut self, vantage: &str, kind: ResolverKind, address: &str) {
        let facts = Facts::Dns(DnsFacts {
            resolver: Some(ip("198.18.0.54")),
            kind,
            record_type: RecordType::A,
            rcode: Some(0),
            answers: vec![DnsAnswer {
                address: ip(address),
                ttl_s: 60,
            }],
            cname_chain: Vec::new(),
        });
        self.add(
            vantage,
            Purpose::Resolver,
            [(Stage::Dns, Outcome::Ok, None, Some(facts))],
        );
    }

    /// The certificates of the target that a vantage is shown are issued by somebody.
    pub(crate) fn issued(&mut self, vantage: &str, issuer: &str) {
        let target = self.case.target.host.to_string();
        let mut shown = 0;
        for observation in &mut self.observations {
            let of = observation.vantage.as_str() == vantage && observation.host == target;
            if of && observation.stage == Stage::Tls {
                observation.facts = Some(Facts::Tls(TlsFacts {
                    certificates: vec![Certificate {
                        sha256: "cc".repeat(32),
                        subject: format!("CN={target}"),
                        names: vec![target.clone()],
                        issuer: issuer.into(),
                        not_before: Timestamp(0),
                        not_after: Timestamp(4_000_000_000_000_000),
                    }],
                    ..TlsFacts::default()
                }));
                shown += 1;
            }
        }
        assert!(shown > 0, "{vantage} was shown no certificate");
    }

    /// A DNS block list has the caller's address.
    pub(crate) fn listed(&mut self, zone: &str) {
        let facts = Facts::Dns(DnsFacts {
            resolver: Some(ip("198.18.0.53")),
            kind: ResolverKind::System,
            record_type: RecordType::A,
            rcode: Some(0),
            answers: vec![DnsAnswer {
                address: ip("127.0.0.4"),
                ttl_s: 60,
            }],
            cname_chain: Vec::new(),
        });
        self.case.conditions.block_lists.push(zone.into());
        self.add(
            "fra",
            Purpose::BlockList,
            [(Stage::Dns, Outcome::Ok, None, Some(facts))],
        );
        self.observations.last_mut().unwrap().host = format!("20.3.18.198.{zone}");
    }
}

pub(crate) fn is_ordinary(purpose: Purpose) -> bool {
    matches!(
        purpose,
        Purpose::Target
            | Purpose::Control
            | Purpose::Retry
            | Purpose::Address
            | Purpose::Sibling
            | Purpose::OtherPort
            | Purpose::Resolver
    )
}

/// What a row of a table says.
pub(crate) struct Row<'a> {
    pub(crate) scope: Scope,
    pub(crate) cause: CauseId,
    pub(crate) mechanism: Mechanism,
    /// Words of its remedy, and of how to confirm it.
    pub(crate) remedy: &'a [&'a str],
    pub(crate) time: &'a str,
}

/// Fails unless a verdict shows what the row says; gives the cause.
pub(crate) fn shows(verdict: &Verdict, row: &Row<'_>) -> CauseReport {
    let told = serde_json::to_string_pretty(verdict).unwrap();
    assert_eq!(verdict.scope, row.scope, "{told}");
    assert_eq!(verdict.mechanism, row.mechanism, "{told}");
    let cause = verdict
        .causes
        .iter()
        .find(|c| c.id == row.cause)
        .unwrap_or_else(|| panic!("{} is not shown: {told}", row.cause));
    for words in row.remedy {
        let mut texts = cause.confirm.iter().chain(&cause.fix);
        assert!(
            texts.any(|text| text.contains(words)),
            "nothing says {words}: {cause:#?}"
        );
    }
    assert!(cause.time_to_fix.contains(row.time), "{cause:#?}");
    cause.clone()
}

/// The same, and it is the likeliest cause.
pub(crate) fn shows_first(verdict: &Verdict, row: &Row<'_>) -> CauseReport {
    let cause = shows(verdict, row);
    let told = serde_json::to_string_pretty(verdict).unwrap();
    assert_eq!(verdict.causes[0].id, row.cause, "{told}");
    cause
}

pub(crate) fn says(verdict: &Verdict, words: &str) {
    assert!(
        verdict.evidence.iter().any(|e| e.says.contains(words)),
        "no evidence says {words}: {:#?}",
        verdict.evidence
    );
}

pub(crate) fn everywhere(reply: Reply) -> World {
    World::new().connect(move |t| if t.web() { reply } else { Reply::Ok })
}

pub(crate) fn nothing_answers() -> World {
    World::new()
        .connect(|t| if t.target() { Reply::Drop } else { Reply::Ok })
        .echo(|t| t.control)
}

pub(crate) fn banned(t: Try<'_>) -> Reply {
    match (t.web() && t.by("you"), t.v4()) {
        (true, true) => Reply::Icmp(3, 3, WEB4, None),
        (true, false) => Reply::Icmp(1, 4, WEB6, None),
        _ => Reply::Ok,
    }
}

pub(crate) fn own_machine_rejects(t: Try<'_>) -> Reply {
    match (t.web() && t.by("you"), t.v4()) {
        (true, true) => Reply::Icmp(3, 3, world::CALLER, Some(0.1)),
        (true, false) => Reply::Icmp(1, 4, "2001:db8:3:101::10", Some(0.1)),
        _ => Reply::Ok,
    }
}

pub(crate) fn resolver_says(to_you: Name) -> World {
    World::new().resolve(move |v, control| match (v == "you", control) {
        (true, false) => to_you.clone(),
        _ => Name::Is(Vec::new()),
    })
}

pub(crate) fn local_target(target: &str) -> World {
    let mut world = World::new();
    world.target = Target::parse(target).unwrap();
    world
}

pub(crate) const SERVICE_DOWN: Row<'_> = Row {
    scope: Scope::Global,
    cause: CauseId::ServiceDown,
    mechanism: Mechanism::Refused,
    remedy: &[
        "systemctl status nginx",
        "ss -tlnp",
        "systemctl restart nginx",
        "journalctl -xeu nginx",
        "nginx -t",
        "in use",
        "key files",
    ],
    time: "under 1 minute",
};

pub(crate) const BAN: Row<'_> = Row {
    scope: Scope::SourceAddress,
    cause: CauseId::IpBan,
    mechanism: Mechanism::Refused,
    remedy: &[
        "fail2ban-client status",
        "cscli decisions list",
        "csf -g 198.18.3.20",
        "iptables -L -n | grep",
        "unbanip 198.18.3.20",
        "cscli decisions delete -i 198.18.3.20",
        "csf -dr 198.18.3.20",
        "another network",
        "unban 198.18.3.20",
        "stop what triggered it",
    ],
    time: "1-2 minutes with access, 30 seconds for support",
};

pub(crate) fn dead_tunnel() -> Record {
    let world = World::new()
        .connect(|t| if t.by("you") { Reply::Drop } else { Reply::Ok })
        .echo(|t| !t.by("you"));
    let mut case = world.case();
    case.subject.local.tunnel = Some("wg0".into());
    case.subject.local.way_out = Some("eth0".into());
    let mut record = Record::of_case(&world, case);
    record.works("you", Purpose::Direct);
    record
}

pub(crate) const DEAD_TUNNEL: Row<'_> = Row {
    scope: Scope::Local,
    cause: CauseId::LocalVpn,
    mechanism: Mechanism::Timeout,
    remedy: &["wg0", "turn it off", "reconnect the VPN"],
    time: "1-5 minutes",
};

pub(crate) fn dead_proxy() -> Record {
    let mut world = World::new();
    world.proxies = vec![PROXY.into()];
    world.seen = Some(Symptom::Refused);
    let mut record = Record::of(&world);
    record.proxy_refuses();
    record
}

pub(crate) const DEAD_PROXY: Row<'_> = Row {
    scope: Scope::Local,
    cause: CauseId::LocalProxy,
    mechanism: Mechanism::Refused,
    remedy: &["_proxy", "--noproxy", "turn it off", "mend it"],
    time: "1-5 minutes",
};
