//! Error classes: what the caller's own attempt ends with.

use onlyhere_proto::{CauseId, Mechanism, Scope};
use world::{Name, Reply, World};

use super::*;

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
