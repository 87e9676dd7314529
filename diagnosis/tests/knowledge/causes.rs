//! Causes, each with what confirms and mends it.

use onlyhere_proto::{CauseId, CertificateError, Mechanism, Purpose, ResolverKind, Scope, Symptom};
use world::{Name, Reply, Try, WEB4, WEB6, World, ip};

use super::*;

fn firewall_rejects(t: Try<'_>) -> Reply {
    match (t.web(), t.v4()) {
        (true, true) => Reply::Icmp(3, 13, WEB4, None),
        (true, false) => Reply::Icmp(1, 1, WEB6, None),
        _ => Reply::Ok,
    }
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
