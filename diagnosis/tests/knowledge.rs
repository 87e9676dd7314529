//! What a person who does this by hand knows, row by row: every error class, pattern, cause and step of the checklist
//! has a test here that shows verdict, remedy and time to fix.
//!
//! The observations come from the model world; what the caller's own machine and the closer looks add (a proxy, a ladder,
//! another resolver, a block list) is written down beside them, and the whole is judged as a record.

mod world;

use std::net::IpAddr;
use std::time::Duration;

use onlyhere_diagnosis::{Case, Investigation};
use onlyhere_proto::{
    Advisory, CauseId, CauseReport, Certificate, CertificateError, DnsAnswer, DnsFacts, Facts,
    Family, HttpFacts, IcmpError, Listener, Mechanism, Micros, Observation, Outcome, Purpose,
    RecordType, ResolverKind, SaidBy, Scope, Stage, Symptom, Target, TcpFacts, Timestamp, TlsFacts,
    Verdict,
};
use world::{GATEWAY_LAN, Name, Reply, Try, WEB4, WEB6, World, ip};

const PROXY: &str = "https_proxy=http://127.0.0.1:3128";
/// 2026-01-01, 10:00 UTC.
const TEN: Timestamp = Timestamp(1_767_261_600_000_000);

/// A case with everything that was observed in it.
struct Record {
    case: Case,
    observations: Vec<Observation>,
    next: u32,
}

impl Record {
    /// Runs an investigation in a world and keeps what was seen.
    fn of(world: &World) -> Self {
        Self::of_case(world, world.case())
    }

    fn of_case(world: &World, mut case: Case) -> Self {
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

    fn verdict(&self) -> Verdict {
        Investigation::replay(self.case.clone(), self.observations.iter().cloned())
    }

    /// Something tried besides, by one vantage, as a request of its own.
    fn add(
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
    fn proxy_refuses(&mut self) {
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
    fn works(&mut self, vantage: &str, purpose: Purpose) {
        for address in [WEB4, WEB6].map(ip) {
            let stages =
                [Stage::Tcp, Stage::Tls].map(|stage| (stage, Outcome::Ok, Some(address), None));
            self.add(vantage, purpose, stages);
        }
    }

    /// A ladder to the IPv4 address: who answered at each hop, then silence.
    fn ladder(&mut self, vantage: &str, hops: &[&str], silent: u8) {
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
    fn resolved(&mut self, vantage: &str, kind: ResolverKind, address: &str) {
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
    fn issued(&mut self, vantage: &str, issuer: &str) {
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
    fn listed(&mut self, zone: &str) {
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

fn is_ordinary(purpose: Purpose) -> bool {
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
struct Row<'a> {
    scope: Scope,
    cause: CauseId,
    mechanism: Mechanism,
    /// Words of its remedy, and of how to confirm it.
    remedy: &'a [&'a str],
    time: &'a str,
}

/// Fails unless a verdict shows what the row says; gives the cause.
fn shows(verdict: &Verdict, row: &Row<'_>) -> CauseReport {
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
fn shows_first(verdict: &Verdict, row: &Row<'_>) -> CauseReport {
    let cause = shows(verdict, row);
    let told = serde_json::to_string_pretty(verdict).unwrap();
    assert_eq!(verdict.causes[0].id, row.cause, "{told}");
    cause
}

fn says(verdict: &Verdict, words: &str) {
    assert!(
        verdict.evidence.iter().any(|e| e.says.contains(words)),
        "no evidence says {words}: {:#?}",
        verdict.evidence
    );
}

/// The advisory with a cause.
fn advisory(verdict: &Verdict, cause: CauseId) -> Option<&Advisory> {
    let mut all = verdict.advisories.iter().filter(|a| a.cause == Some(cause));
    let first = all.next();
    assert_eq!(all.next(), None, "told twice");
    first
}

fn everywhere(reply: Reply) -> World {
    World::new().connect(move |t| if t.web() { reply } else { Reply::Ok })
}

fn nothing_answers() -> World {
    World::new()
        .connect(|t| if t.target() { Reply::Drop } else { Reply::Ok })
        .echo(|t| t.control)
}

fn banned(t: Try<'_>) -> Reply {
    match (t.web() && t.by("you"), t.v4()) {
        (true, true) => Reply::Icmp(3, 3, WEB4, None),
        (true, false) => Reply::Icmp(1, 4, WEB6, None),
        _ => Reply::Ok,
    }
}

fn firewall_rejects(t: Try<'_>) -> Reply {
    match (t.web(), t.v4()) {
        (true, true) => Reply::Icmp(3, 13, WEB4, None),
        (true, false) => Reply::Icmp(1, 1, WEB6, None),
        _ => Reply::Ok,
    }
}

fn own_machine_rejects(t: Try<'_>) -> Reply {
    match (t.web() && t.by("you"), t.v4()) {
        (true, true) => Reply::Icmp(3, 3, world::CALLER, Some(0.1)),
        (true, false) => Reply::Icmp(1, 4, "2001:db8:3:101::10", Some(0.1)),
        _ => Reply::Ok,
    }
}

fn gateway_rejects(t: Try<'_>) -> Reply {
    match (t.web() && t.by("you"), t.v4()) {
        (true, true) => Reply::Icmp(3, 13, GATEWAY_LAN, Some(0.7)),
        (true, false) => Reply::Icmp(1, 1, "2001:db8:3:101::1", Some(0.7)),
        _ => Reply::Ok,
    }
}

fn resolver_says(to_you: Name) -> World {
    World::new().resolve(move |v, control| match (v == "you", control) {
        (true, false) => to_you.clone(),
        _ => Name::Is(Vec::new()),
    })
}

fn local_target(target: &str) -> World {
    let mut world = World::new();
    world.target = Target::parse(target).unwrap();
    world
}

const SERVICE_DOWN: Row<'_> = Row {
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

const BAN: Row<'_> = Row {
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

// Error classes.

#[test]
fn class_refused() {
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    shows_first(&verdict, &SERVICE_DOWN);
}

#[test]
fn class_timeout() {
    let verdict = Record::of(&nothing_answers()).verdict();
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::HostDown,
        mechanism: Mechanism::Timeout,
        remedy: &["console", "start or reboot"],
        time: "minutes",
    };
    shows_first(&verdict, &row);
    let drop = Row {
        cause: CauseId::FirewallDrop,
        remedy: &["security group"],
        ..row
    };
    shows(&verdict, &drop);
    assert!(verdict.next.iter().any(|n| n.contains("look alike")));
}

#[test]
fn class_reset() {
    let verdict = Record::of(&everywhere(Reply::Reset)).verdict();
    let told = serde_json::to_string_pretty(&verdict).unwrap();
    assert_eq!(verdict.scope, Scope::Global, "{told}");
    assert_eq!(verdict.mechanism, Mechanism::Reset, "{told}");
    assert!(!verdict.causes.is_empty(), "{told}");
    let only_here = World::new().connect(|t| {
        if t.web() && t.by("you") {
            Reply::Reset
        } else {
            Reply::Ok
        }
    });
    let verdict = Record::of(&only_here).verdict();
    assert_eq!(verdict.mechanism, Mechanism::Reset, "{}", verdict.headline);
    assert!(
        verdict.causes.iter().any(|c| matches!(
            c.id,
            CauseId::WafBlock | CauseId::NetworkBlock | CauseId::LocalFirewall
        )),
        "{verdict:#?}"
    );
}

#[test]
fn class_unreachable() {
    let world = World::new()
        .connect(|t| match (t.target(), t.v4()) {
            (true, true) => Reply::Icmp(3, 1, "198.18.1.1", Some(3_060.0)),
            (true, false) => Reply::Icmp(1, 3, "2001:db8:1::1", Some(3_060.0)),
            _ => Reply::Ok,
        })
        .echo(|t| t.control);
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::HostDown,
        mechanism: Mechanism::Unreachable,
        remedy: &["network settings"],
        time: "minutes",
    };
    shows_first(&Record::of(&world).verdict(), &row);
}

#[test]
fn class_name_not_resolved() {
    let world = World::new().resolve(|_, control| match control {
        true => Name::Is(Vec::new()),
        false => Name::Missing,
    });
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::DnsMissing,
        mechanism: Mechanism::Dns,
        remedy: &["add the A and AAAA records", "typing error"],
        time: "5 minutes to 24 hours",
    };
    shows_first(&Record::of(&world).verdict(), &row);
}

// Patterns over vantages.

#[test]
fn pattern_refused_from_every_network() {
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    shows_first(&verdict, &SERVICE_DOWN);
    assert_eq!(verdict.headline, "Refused everywhere");
}

#[test]
fn pattern_refused_from_your_network_only() {
    let verdict = Record::of(&World::new().without(&["sibling"]).connect(banned)).verdict();
    let row = Row {
        scope: Scope::Source,
        remedy: &["another network (mobile data)"],
        ..BAN
    };
    shows_first(&verdict, &row);
    assert_eq!(verdict.headline, "Refused from your network only");
    assert!(verdict.next.iter().any(|n| n.contains("second address")));
}

#[test]
fn pattern_refused_after_it_had_worked() {
    let mut record = Record::of(&World::new().connect(banned));
    record.case.conditions.history.last_ok = Some(TEN);
    record.case.conditions.history.failing_since = Some(Timestamp(TEN.0 + 300_000_000));
    let verdict = record.verdict();
    shows_first(&verdict, &BAN);
    says(
        &verdict,
        "Failing since 2026-01-01 10:05 UTC, last reachable 2026-01-01 10:00 UTC",
    );
}

#[test]
fn pattern_works_in_every_tool_browser_refuses() {
    let mut world = World::new();
    world.seen = Some(Symptom::Refused);
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::BrowserOnly,
        mechanism: Mechanism::Refused,
        remedy: &[
            "private window",
            "extensions off one by one",
            "clear the cache",
            "proxy",
        ],
        time: "1 minute",
    };
    shows_first(&Record::of(&world).verdict(), &row);
}

#[test]
fn pattern_refused_at_localhost() {
    let world = local_target("http://127.0.0.1:3000").connect(|t| match t.target() {
        true => Reply::Rst(Some(0.1)),
        false => Reply::Ok,
    });
    let mut case = world.case();
    case.subject.local.listeners = vec![Listener {
        address: ip("127.0.0.1"),
        port: 3001,
        program: Some("node".into()),
    }];
    let verdict = Record::of_case(&world, case).verdict();
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::LocalServiceDown,
        mechanism: Mechanism::Refused,
        remedy: &["start the service", "ss -tlnp", "lsof -i :3000"],
        time: "under 1 minute",
    };
    shows_first(&verdict, &row);
    let mut next = verdict.next.iter();
    assert!(
        next.any(|n| n.contains("node") && n.contains("127.0.0.1:3001")),
        "what does listen is not shown: {:#?}",
        verdict.next
    );
}

#[test]
fn pattern_refused_now_and_then() {
    let world = World::new().connect(|t| match t.web() && t.slot == 0 {
        true => Reply::Rst(None),
        false => Reply::Ok,
    });
    let verdict = Record::of(&world).verdict();
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::CrashLoop,
        mechanism: Mechanism::Refused,
        remedy: &["journalctl -u nginx --since"],
        time: "15 minutes to hours",
    };
    shows(&verdict, &row);
    assert!(verdict.intermittent);
    says(&verdict, "another result (");
}

#[test]
fn pattern_one_site_refuses_all_others_work() {
    let verdict = Record::of(&World::new().connect(banned)).verdict();
    shows_first(&verdict, &BAN);
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    shows_first(&verdict, &SERVICE_DOWN);
}

#[test]
fn pattern_all_https_refuses_http_works() {
    let world = World::new().connect(|t| match t.by("you") && t.port == 443 {
        true => Reply::Tls(CertificateError::UnknownIssuer),
        false => Reply::Ok,
    });
    let verdict = Record::of(&world).verdict();
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::TlsInterception,
        mechanism: Mechanism::Tls,
        remedy: &["web shield", "other networks see another certificate"],
        time: "2-10 minutes",
    };
    shows_first(&verdict, &row);
    says(&verdict, "issued by CN=Shield");
    says(&verdict, "see one by CN=Authority");
    let world = World::new().connect(|t| match t.by("you") && t.port == 443 {
        true => Reply::Reset,
        false => Reply::Ok,
    });
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::LocalFirewall,
        mechanism: Mechanism::Reset,
        remedy: &["exception"],
        time: "2-5 minutes",
    };
    shows(&Record::of(&world).verdict(), &row);
}

#[test]
fn pattern_worked_an_hour_ago_refuses_now() {
    let mut record = Record::of(&everywhere(Reply::Tls(CertificateError::Expired)));
    record.case.conditions.history.last_ok = Some(TEN);
    let verdict = record.verdict();
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::CertificateExpired,
        mechanism: Mechanism::Tls,
        remedy: &["-noout -dates", "certbot renew"],
        time: "5-15 minutes",
    };
    shows_first(&verdict, &row);
    says(&verdict, "Last reachable 2026-01-01 10:00 UTC");
}

#[test]
fn pattern_refused_on_the_office_network_works_at_home() {
    let verdict = Record::of(&World::new().connect(gateway_rejects)).verdict();
    let firewall = Row {
        scope: Scope::Local,
        cause: CauseId::LocalFirewall,
        mechanism: Mechanism::Unreachable,
        remedy: &["office", "another machine in the same network fails too"],
        time: "2-5 minutes",
    };
    shows_first(&verdict, &firewall);
    let verdict = Record::of(&resolver_says(Name::Missing)).verdict();
    let filter = Row {
        scope: Scope::Local,
        cause: CauseId::LocalResolver,
        mechanism: Mechanism::Dns,
        remedy: &["dig @9.9.9.9", "filter"],
        time: "2-10 minutes",
    };
    shows_first(&verdict, &filter);
}

fn dead_tunnel() -> Record {
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

const DEAD_TUNNEL: Row<'_> = Row {
    scope: Scope::Local,
    cause: CauseId::LocalVpn,
    mechanism: Mechanism::Timeout,
    remedy: &["wg0", "turn it off", "reconnect the VPN"],
    time: "1-5 minutes",
};

#[test]
fn pattern_refused_with_vpn_fine_without() {
    let verdict = dead_tunnel().verdict();
    shows_first(&verdict, &DEAD_TUNNEL);
    says(&verdict, "Past the tunnel wg0 it connects");
}

#[test]
fn pattern_cannot_be_reached_without_a_code() {
    let mut world = resolver_says(Name::Failed);
    world.seen = Some(Symptom::Dns);
    let verdict = Record::of(&world).verdict();
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::LocalResolver,
        mechanism: Mechanism::Dns,
        remedy: &["resolvectl", "9.9.9.9"],
        time: "2-10 minutes",
    };
    shows_first(&verdict, &row);
}

// Causes.

#[test]
fn cause_service_down() {
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    shows_first(&verdict, &SERVICE_DOWN);
    let mut world = local_target("tcp://shop.example:5432");
    world = world.connect(|t| match t.target() && t.port == 5432 {
        true => Reply::Rst(None),
        false => Reply::Ok,
    });
    let row = Row {
        remedy: &["systemctl status postgresql", "journalctl -xeu postgresql"],
        ..SERVICE_DOWN
    };
    shows_first(&Record::of(&world).verdict(), &row);
}

#[test]
fn cause_firewall_reject() {
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::FirewallReject,
        mechanism: Mechanism::Unreachable,
        remedy: &[
            "iptables -L -n",
            "nft list ruleset",
            "firewall-cmd --list-all",
            "security group",
            "ufw allow 443/tcp",
        ],
        time: "2-5 minutes",
    };
    shows_first(
        &Record::of(&World::new().connect(firewall_rejects)).verdict(),
        &row,
    );
}

#[test]
fn cause_firewall_drop() {
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::FirewallDrop,
        mechanism: Mechanism::Timeout,
        remedy: &["nft list ruleset", "security group", "ufw allow 443/tcp"],
        time: "2-5 minutes",
    };
    shows_first(&Record::of(&everywhere(Reply::Drop)).verdict(), &row);
}

#[test]
fn cause_bound_to_loopback() {
    let row = Row {
        cause: CauseId::BoundToLoopback,
        remedy: &["ss -tlnp", "127.0.0.1:443", "listen 443 ssl;", "reload"],
        time: "5 minutes",
        ..SERVICE_DOWN
    };
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    shows(&verdict, &row);
    assert!(verdict.next.iter().any(|n| n.contains("look alike")));
}

#[test]
fn cause_wrong_port() {
    let row = Row {
        cause: CauseId::WrongPort,
        remedy: &["use that port", "forward port 443"],
        time: "5 minutes",
        ..SERVICE_DOWN
    };
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    shows(&verdict, &row);
}

#[test]
fn cause_wrong_address() {
    let world = everywhere(Reply::Tls(CertificateError::NameMismatch));
    let mut case = world.case();
    case.conditions.expected_addresses = vec![ip("198.18.1.77")];
    let verdict = Record::of_case(&world, case).verdict();
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::WrongAddress,
        mechanism: Mechanism::Tls,
        remedy: &["mend the A and AAAA records", "time to live"],
        time: "5 minutes to 24 hours",
    };
    shows_first(&verdict, &row);
    says(&verdict, "is expected to have 198.18.1.77");
}

#[test]
fn cause_dns_stale() {
    const OLD: &str = "198.18.1.99";
    let world = World::new()
        .connect(|t| match t.address == ip(OLD) {
            true => Reply::Rst(None),
            false => Reply::Ok,
        })
        .resolve(|v, control| match (v, control) {
            ("nyc" | "sgp" | "par", false) => Name::Is(vec![ip(OLD)]),
            (_, false) => Name::Is(vec![ip(WEB4)]),
            _ => Name::Is(Vec::new()),
        });
    let mut record = Record::of(&world);
    record.resolved("you", ResolverKind::Authoritative, WEB4);
    let verdict = record.verdict();
    let row = Row {
        scope: Scope::TargetAddress,
        cause: CauseId::DnsStale,
        mechanism: Mechanism::Refused,
        remedy: &["time to live", "zone's own servers"],
        time: "5 minutes to 24 hours",
    };
    shows_first(&verdict, &row);
    says(&verdict, "the zone's own servers say 198.18.1.10");
}

#[test]
fn cause_crash_loop() {
    let world = World::new().connect(|t| match t.web() && t.slot == 0 {
        true => Reply::Rst(None),
        false => Reply::Ok,
    });
    let verdict = Record::of(&world).verdict();
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::CrashLoop,
        mechanism: Mechanism::Refused,
        remedy: &[
            "journalctl -u nginx --since",
            "df -h",
            "free -h",
            "oom",
            "mend what kills it",
        ],
        time: "15 minutes to hours",
    };
    shows_first(&verdict, &row);
    says(
        &verdict,
        "5 of 5 other networks are refused (reset) and, tried again, connect",
    );
}

#[test]
fn cause_ip_ban() {
    let verdict = Record::of(&World::new().connect(banned)).verdict();
    shows_first(&verdict, &BAN);
    says(&verdict, "5 of 5 other networks connect in 27-177 ms");
    says(&verdict, "the target itself made it");
    assert!(verdict.headline.contains("198.18.3.20"));
}

#[test]
fn cause_ip_ban_told_by_a_second_address() {
    let world = World::new().without(&["sibling"]).connect(banned);
    let mut record = Record::of(&world);
    record.case.vantages[0].source_addresses = vec![ip("198.18.3.22")];
    record.works("you", Purpose::Source);
    for observation in &mut record.observations {
        if observation.purpose == Purpose::Source {
            observation.source = Some(ip("198.18.3.22"));
        }
    }
    let verdict = record.verdict();
    shows_first(&verdict, &BAN);
    says(&verdict, "From your second address 198.18.3.22 it connects");
}

#[test]
fn cause_local_firewall() {
    let verdict = Record::of(&World::new().connect(own_machine_rejects)).verdict();
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::LocalFirewall,
        mechanism: Mechanism::Refused,
        remedy: &["iptables -L OUTPUT", "exception"],
        time: "2-5 minutes",
    };
    shows_first(&verdict, &row);
    says(&verdict, "your own machine made it");
    assert_eq!(
        verdict.headline,
        "Refused here: your own machine rejects it"
    );
}

fn dead_proxy() -> Record {
    let mut world = World::new();
    world.proxies = vec![PROXY.into()];
    world.seen = Some(Symptom::Refused);
    let mut record = Record::of(&world);
    record.proxy_refuses();
    record
}

const DEAD_PROXY: Row<'_> = Row {
    scope: Scope::Local,
    cause: CauseId::LocalProxy,
    mechanism: Mechanism::Refused,
    remedy: &["_proxy", "--noproxy", "turn it off", "mend it"],
    time: "1-5 minutes",
};

#[test]
fn cause_local_proxy() {
    let verdict = dead_proxy().verdict();
    shows_first(&verdict, &DEAD_PROXY);
    says(
        &verdict,
        "Through the proxy http://127.0.0.1:3128: refused, by the proxy itself; directly it connects in",
    );
}

#[test]
fn cause_local_vpn() {
    shows_first(&dead_tunnel().verdict(), &DEAD_TUNNEL);
}

#[test]
fn cause_browser_only() {
    let mut world = World::new();
    world.seen = Some(Symptom::Reset);
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::BrowserOnly,
        mechanism: Mechanism::Reset,
        remedy: &[
            "private window",
            "extensions off one by one",
            "clear the cache",
        ],
        time: "1 minute",
    };
    shows_first(&Record::of(&world).verdict(), &row);
}

#[test]
fn cause_hosts_file() {
    let mut world = World::new().connect(|t| match t.address == ip("198.18.9.9") {
        true => Reply::Rst(None),
        false => Reply::Ok,
    });
    world
        .hosts_file
        .insert("you".into(), vec![ip("198.18.9.9")]);
    let verdict = Record::of(&world).verdict();
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::HostsFile,
        mechanism: Mechanism::Refused,
        remedy: &["remove that line", "scan for malware", "/etc/hosts"],
        time: "2 minutes",
    };
    shows_first(&verdict, &row);
    says(&verdict, "Your hosts file says 198.18.9.9");
}

#[test]
fn cause_local_service_down() {
    let world = local_target("tcp://127.0.0.1:5432").connect(|t| match t.target() {
        true => Reply::Rst(Some(0.1)),
        false => Reply::Ok,
    });
    let row = Row {
        scope: Scope::Local,
        cause: CauseId::LocalServiceDown,
        mechanism: Mechanism::Refused,
        remedy: &[
            "ss -tlnp",
            "lsof -i :5432",
            "start the service",
            "bind address",
        ],
        time: "under 1 minute",
    };
    shows_first(&Record::of(&world).verdict(), &row);
}

#[test]
fn cause_security_group() {
    let verdict = Record::of(&everywhere(Reply::Drop)).verdict();
    let row = Row {
        scope: Scope::Global,
        cause: CauseId::FirewallDrop,
        mechanism: Mechanism::Timeout,
        remedy: &[
            "the service itself listens",
            "provider's console",
            "security group",
        ],
        time: "5 minutes",
    };
    shows_first(&verdict, &row);
}

// The checklist that a check walks by itself.

#[test]
fn step_1_confirms_the_error_class() {
    for (reply, mechanism) in [
        (Reply::Rst(None), Mechanism::Refused),
        (Reply::Drop, Mechanism::Timeout),
        (Reply::Reset, Mechanism::Reset),
        (Reply::Tls(CertificateError::Expired), Mechanism::Tls),
        (Reply::Http(503), Mechanism::Http),
    ] {
        let verdict = Record::of(&everywhere(reply)).verdict();
        assert_eq!(verdict.mechanism, mechanism, "{}", verdict.headline);
        assert_eq!(verdict.scope, Scope::Global, "{}", verdict.headline);
    }
}

#[test]
fn step_2_asks_other_networks() {
    let verdict = Record::of(&World::new().connect(banned)).verdict();
    says(&verdict, "5 of 5 other networks connect");
    says(&verdict, "1 of 1 vantage in your own network connects");
}

#[test]
fn step_3_compares_resolvers_and_the_expected_address() {
    let mut record = Record::of(&resolver_says(Name::Is(vec![ip("198.18.66.6")])));
    record.resolved("fra", ResolverKind::Authoritative, WEB4);
    let verdict = record.verdict();
    says(
        &verdict,
        "Your resolver 198.18.0.53 says 198.18.66.6; 5 of 5 other networks and the zone's own servers say",
    );
}

#[test]
fn step_4_looks_whether_the_host_answers_at_all() {
    let verdict = Record::of(&nothing_answers()).verdict();
    says(
        &verdict,
        "The host answers echo requests of 0 of 7 vantages",
    );
    let verdict = Record::of(&everywhere(Reply::Drop)).verdict();
    says(
        &verdict,
        "The host answers echo requests of 7 of 7 vantages",
    );
}

#[test]
fn step_5_looks_whether_the_port_answers() {
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    says(&verdict, "From here 198.18.1.10 refuses (reset)");
}

#[test]
fn step_6_says_what_to_look_at_on_the_server() {
    let texts = |verdict: &Verdict| {
        let causes = verdict.causes.iter();
        causes
            .flat_map(|c| c.confirm.iter().chain(&c.fix))
            .cloned()
            .collect::<String>()
    };
    let down = texts(&Record::of(&everywhere(Reply::Rst(None))).verdict());
    let ban = texts(&Record::of(&World::new().connect(banned)).verdict());
    for (text, words) in [
        (&down, "systemctl status"),
        (&down, "ss -tlnp"),
        (&down, "nft list ruleset"),
        (&ban, "fail2ban-client"),
        (&ban, "cscli"),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn step_7_looks_at_the_own_machine() {
    shows_first(&dead_proxy().verdict(), &DEAD_PROXY);
    let verdict = Record::of(&World::new().connect(own_machine_rejects)).verdict();
    assert_eq!(verdict.causes[0].id, CauseId::LocalFirewall);
    let verdict = Record::of(&resolver_says(Name::Silent)).verdict();
    assert_eq!(verdict.causes[0].id, CauseId::LocalResolver);
    let flush = verdict.causes[0].fix.iter();
    assert!(flush.cloned().collect::<String>().contains("flush"));
}

#[test]
fn step_8_looks_at_block_lists() {
    let mut record = Record::of(&World::new().connect(banned));
    record.listed("bl.example");
    let verdict = record.verdict();
    shows_first(&verdict, &BAN);
    says(
        &verdict,
        "Your address 198.18.3.20 is on 1 of 1 DNS block list: bl.example",
    );
    let mut advisories = verdict.advisories.iter();
    assert!(advisories.any(|a| a.says.contains("DNS block list bl.example")));
}

// What the closer looks add.

#[test]
fn a_ladder_says_where_the_silence_begins() {
    let world = World::new()
        .without(&["sibling"])
        .connect(|t| match t.target() && t.by("you") {
            true => Reply::Drop,
            false => Reply::Ok,
        });
    let mut record = Record::of(&world);
    record.ladder("you", &[GATEWAY_LAN, "198.18.3.1"], 9);
    says(
        &record.verdict(),
        "The last hop that answers is 198.18.3.1, your provider's, 2 of 9",
    );
}

#[test]
fn small_packets_tell_a_path_that_swallows_large_ones() {
    let world = World::new().connect(|t| match t.web() && t.by("you") {
        true => Reply::Stall,
        false => Reply::Ok,
    });
    let mut record = Record::of(&world);
    record.works("you", Purpose::SmallSegments);
    let verdict = record.verdict();
    says(
        &verdict,
        "With small packets (536 bytes) the handshake works, with full ones it hangs",
    );
    assert_eq!(verdict.causes[0].id, CauseId::MtuBlackhole, "{verdict:#?}");
    let texts = verdict.causes[0].fix.concat();
    assert!(texts.contains("mtu 1380"), "{texts}");
}

// What is said beside the verdict.

#[test]
fn somebody_who_reads_tls_and_is_trusted_is_told() {
    let healthy = |issuers: &[(&str, &str)]| {
        let mut record = Record::of(&World::new());
        for (vantage, issuer) in issuers {
            record.issued(vantage, issuer);
        }
        let verdict = record.verdict();
        assert_eq!(verdict.scope, Scope::Ok, "{verdict:#?}");
        advisory(&verdict, CauseId::TlsInterception).cloned()
    };
    let (box_, ca) = ("CN=Office Box", "C=US, O=Trust Co, CN=R10");
    let all = |own| {
        [("you", own), ("sibling", own)]
            .into_iter()
            .chain(["fra", "ams", "nyc", "sgp", "par"].map(|v| (v, ca)))
            .collect::<Vec<_>>()
    };
    let told = healthy(&all(box_)).expect("an advisory");
    assert_eq!(
        told.says,
        format!(
            "You are shown a certificate issued by {box_}, 5 other networks one issued by {ca}: something here reads your TLS"
        )
    );
    assert_eq!(told.vantages[0].as_str(), "you");
    // The same for all; another authority of one organisation.
    assert_eq!(healthy(&all(ca)), None);
    assert_eq!(healthy(&all("C=US, O=Trust Co, CN=R11")), None);
    // Somebody else is shown it as well: the site has two.
    let mut two = all(box_);
    two[5].1 = box_;
    assert_eq!(healthy(&two), None);
    // And one with a third of its own.
    let mut three = all(box_);
    three[5].1 = "C=US, O=Other Trust, CN=E1";
    assert_eq!(healthy(&three), None);
}

#[test]
fn one_other_network_does_not_tell_who_reads_tls() {
    let world = World::new().without(&["fra", "ams", "sgp", "par"]);
    let mut record = Record::of(&world);
    record.issued("you", "CN=Office Box");
    record.issued("nyc", "C=US, O=Trust Co, CN=R10");
    let verdict = record.verdict();
    assert_eq!(advisory(&verdict, CauseId::TlsInterception), None);
}

#[test]
fn a_proxy_that_is_dead_beside_the_target_is_told() {
    let down = || {
        let mut world = everywhere(Reply::Rst(None));
        world.proxies = vec![PROXY.into()];
        Record::of(&world)
    };
    let mut record = down();
    record.proxy_refuses();
    let verdict = record.verdict();
    assert_eq!(verdict.causes[0].id, CauseId::ServiceDown, "{verdict:#?}");
    let told = advisory(&verdict, CauseId::LocalProxy).expect("an advisory");
    assert_eq!(
        told.says,
        "The proxy that is set here (http://127.0.0.1:3128) does not work either: refused; what goes through it will fail even when shop.example is back"
    );
    assert_eq!(told.vantages[0].as_str(), "you");
    // A proxy that is well says 502 of a target that is down.
    let mut record = down();
    let status = Facts::Http(HttpFacts {
        version: "HTTP/1.1".into(),
        status: 502,
        headers: Vec::new(),
        location: None,
        body_length: 0,
        body_sha256: None,
    });
    let proxy = Some(ip("127.0.0.1"));
    record.add(
        "you",
        Purpose::ThroughProxy,
        [
            (Stage::Tcp, Outcome::Ok, proxy, None),
            (Stage::Http, Outcome::HttpStatus, proxy, Some(status)),
        ],
    );
    let verdict = record.verdict();
    assert_eq!(verdict.causes[0].id, CauseId::ServiceDown, "{verdict:#?}");
    assert_eq!(advisory(&verdict, CauseId::LocalProxy), None);
}

const DATACENTERS: [&str; 4] = ["fra", "ams", "nyc", "sgp"];

#[test]
fn datacenters_that_are_turned_away_are_told_as_one() {
    for (reply, does) in [
        (Reply::Drop, "get no answer"),
        (Reply::Rst(None), "are refused (reset)"),
        (Reply::Http(403), "get HTTP 403"),
    ] {
        let world = World::new().connect(move |t| {
            if t.web() && DATACENTERS.contains(&t.vantage) {
                reply
            } else {
                Reply::Ok
            }
        });
        let verdict = Record::of(&world).verdict();
        assert_eq!(verdict.scope, Scope::Ok, "{verdict:#?}");
        let told = advisory(&verdict, CauseId::WafBlock).expect("an advisory");
        assert_eq!(told.says, format!("4 of 4 datacenter vantages {does}"));
        assert_eq!(told.vantages.len(), 4);
        assert_eq!(verdict.advisories.len(), 1, "{:#?}", verdict.advisories);
    }
}

#[test]
fn datacenters_that_are_turned_away_beside_another_fault_are_told_as_one() {
    let world = World::new().connect(|t| {
        if !t.web() {
            Reply::Ok
        } else if DATACENTERS.contains(&t.vantage) {
            Reply::Drop
        } else {
            Reply::Rst(None)
        }
    });
    let verdict = Record::of(&world).verdict();
    assert_eq!(verdict.scope, Scope::Global, "{verdict:#?}");
    let told = advisory(&verdict, CauseId::WafBlock).expect("an advisory");
    assert_eq!(told.says, "4 of 4 datacenter vantages get no answer");
    assert_eq!(verdict.advisories.len(), 1, "{:#?}", verdict.advisories);
}

#[test]
fn the_word_of_one_vantage_is_called_so_even_where_it_decides() {
    let world = World::new()
        .alone()
        .connect(|_| Reply::Tls(CertificateError::UnknownIssuer));
    let verdict = Record::of(&world).verdict();
    assert_eq!(verdict.scope, Scope::Local, "{verdict:#?}");
    assert!(
        verdict.next[0].contains("one vantage"),
        "{:#?}",
        verdict.next
    );
}
