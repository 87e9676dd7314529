//! Patterns over vantages and over time.

use onlyhere_proto::{CauseId, CertificateError, Listener, Mechanism, Scope, Symptom, Timestamp};
use world::{GATEWAY_LAN, Name, Reply, Try, World, ip};

use super::*;

fn gateway_rejects(t: Try<'_>) -> Reply {
    match (t.web() && t.by("you"), t.v4()) {
        (true, true) => Reply::Icmp(3, 13, GATEWAY_LAN, Some(0.7)),
        (true, false) => Reply::Icmp(1, 1, "2001:db8:3:101::1", Some(0.7)),
        _ => Reply::Ok,
    }
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
