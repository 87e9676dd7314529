//! Vantages that are broken, banned, few, or missing.

use onlyhere_proto::{CauseId, CertificateError, Mechanism, Outcome, Scope, Target};
use world::{Name, Reply, WEB4, WEB6, World, ip};

use super::*;

#[test]
fn s18_a_broken_vantage() {
    let mut dead = World::new();
    dead.dead.insert("nyc".into());
    let worlds = [
        dead,
        World::new()
            .connect(|t| if t.by("nyc") { Reply::Drop } else { Reply::Ok })
            .resolve(|v, _| {
                if v == "nyc" {
                    Name::Silent
                } else {
                    Name::Is(vec![])
                }
            }),
        World::new().connect(|t| if t.by("nyc") { Reply::Drop } else { Reply::Ok }),
        World::new().connect(|t| {
            if t.by("nyc") {
                Reply::Icmp(3, 0, "198.18.6.1", Some(1.0))
            } else {
                Reply::Ok
            }
        }),
        World::new().connect(|t| {
            if t.by("nyc") {
                Reply::Icmp(3, 3, "198.18.6.10", Some(0.1))
            } else {
                Reply::Ok
            }
        }),
    ];
    for world in worlds {
        let run = world.run();
        expect(&run, Scope::Ok, None, Mechanism::None);
        quick(&run);
        let advisory = &run.verdict.advisories[0];
        assert_eq!(advisory.vantages[0].as_str(), "nyc");
        assert!(
            advisory.says.contains("could not be relied on")
                || advisory.says.contains("is itself broken"),
            "{}",
            advisory.says
        );
    }
}

#[test]
fn s19_a_banned_vantage() {
    let run = World::new()
        .connect(|t| {
            if t.web() && t.by("nyc") {
                if t.v4() {
                    Reply::Icmp(3, 3, WEB4, None)
                } else {
                    Reply::Icmp(1, 4, WEB6, None)
                }
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    quick(&run);
    assert_eq!(run.verdict.advisories[0].cause, Some(CauseId::IpBan));
    assert_eq!(run.verdict.advisories[0].vantages[0].as_str(), "nyc");
}

#[test]
fn s19_every_vantage_may_be_the_banned_one() {
    for name in ["sibling", "fra", "ams", "nyc", "sgp", "par"] {
        for drop in [false, true] {
            let mut world = World::new().connect(move |t| match (t.web() && t.by(name), t.v4()) {
                (true, _) if drop => Reply::Drop,
                (true, true) => Reply::Icmp(3, 3, WEB4, None),
                (true, false) => Reply::Icmp(1, 4, WEB6, None),
                _ => Reply::Ok,
            });
            world.resolvers = vec![ip("198.18.0.53")];
            let run = world.run();
            expect(&run, Scope::Ok, None, Mechanism::None);
            assert_eq!(run.verdict.advisories[0].vantages[0].as_str(), name);
            quick(&run);
        }
    }
}

#[test]
fn s20_alone() {
    let run = World::new().alone().run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(run.verdict.headline, "Reachable from here");
    assert!(run.verdict.next[0].contains("one vantage"));
    for reply in [Reply::Rst(None), Reply::Icmp(3, 3, WEB4, None), Reply::Drop] {
        let run = World::new()
            .alone()
            .addresses(&[WEB4])
            .connect(move |t| if t.web() { reply } else { Reply::Ok })
            .run();
        assert_eq!(
            run.verdict.scope,
            Scope::Inconclusive,
            "{}",
            run.verdict.headline
        );
        assert!(run.verdict.next[0].contains("another network"));
        patient(&run);
        eprintln!("{}", run.verdict.headline);
    }
    let run = World::new()
        .alone()
        .connect(|t| {
            if t.web() {
                Reply::Rst(Some(0.1))
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::Local,
        Some(CauseId::LocalFirewall),
        Mechanism::Refused,
    );
    let mut world = World::new().alone().connect(|_| Reply::Rst(Some(0.05)));
    world.target = Target::parse("http://localhost:3000").unwrap();
    world.addresses = vec![ip("127.0.0.1"), ip("::1")];
    let run = world.run();
    expect(
        &run,
        Scope::Local,
        Some(CauseId::LocalServiceDown),
        Mechanism::Refused,
    );
    quick(&run);
    world.connect = Box::new(|_| Reply::Ok);
    expect(&world.run(), Scope::Ok, None, Mechanism::None);
}

#[test]
fn s21_without_a_subject() {
    let run = World::new().no_subject().run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(run.verdict.headline, "Reachable from 6 networks");
    let run = World::new()
        .no_subject()
        .connect(|t| if t.web() { Reply::Rst(None) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::ServiceDown),
        Mechanism::Refused,
    );
    let eu = |v: &str| matches!(v, "sibling" | "fra" | "ams" | "par");
    let run = World::new()
        .no_subject()
        .connect(move |t| {
            if t.target() && eu(t.vantage) {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::Regional,
        Some(run.verdict.causes[0].id),
        Mechanism::Timeout,
    );
    assert_eq!(run.verdict.headline, "Times out from Europe only");
    patient(&run);
    let run = World::new()
        .no_subject()
        .connect(|t| {
            if t.target() && t.by("nyc") {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(run.verdict.advisories[0].vantages[0].as_str(), "nyc");
}

#[test]
fn what_cannot_be_measured_is_not_the_targets_fault() {
    let run = World::new()
        .connect(|t| if t.v4() { Reply::Ok } else { Reply::NoFamily })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(Outcome::NotMeasured.label(), "not_measured");
    let run = World::new().connect(|_| Reply::NoFamily).run();
    assert_eq!(
        run.verdict.scope,
        Scope::Inconclusive,
        "{}",
        run.verdict.headline
    );
}

#[test]
fn two_vantages_with_nothing_in_common_make_no_region() {
    let run = World::new()
        .no_subject()
        .connect(|t| {
            if t.web() && (t.by("nyc") || t.by("par")) {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .run();
    assert!(
        matches!(run.verdict.scope, Scope::Ok | Scope::Inconclusive),
        "{}",
        run.verdict.headline
    );
    let named = |name: &str| {
        let advisories = run.verdict.advisories.iter();
        advisories
            .flat_map(|a| &a.vantages)
            .any(|v| v.as_str() == name)
    };
    assert!(run.verdict.scope == Scope::Inconclusive || (named("nyc") && named("par")));
}

#[test]
fn few_vantages() {
    // One other network is enough to say that it is not everywhere, and nobody is there to tell address from network.
    let run = World::new()
        .without(&["sibling", "ams", "nyc", "sgp", "par"])
        .connect(banned)
        .run();
    expect(
        &run,
        Scope::Source,
        Some(CauseId::IpBan),
        Mechanism::Refused,
    );
    let run = World::new()
        .without(&["sibling", "ams", "nyc", "sgp", "par"])
        .connect(|t| if t.web() { Reply::Rst(None) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::ServiceDown),
        Mechanism::Refused,
    );
}

#[test]
fn alone_what_the_target_signs_is_proof() {
    for (reply, cause, mechanism) in [
        (
            Reply::Tls(CertificateError::Expired),
            CauseId::CertificateExpired,
            Mechanism::Tls,
        ),
        (Reply::Http(503), CauseId::HttpError, Mechanism::Http),
    ] {
        let run = World::new()
            .alone()
            .connect(move |t| if t.web() { reply } else { Reply::Ok })
            .run();
        expect(&run, Scope::Global, Some(cause), mechanism);
    }
    let missing = |v: &str, control: bool| {
        if control || v == "nobody" {
            Name::Is(vec![])
        } else {
            Name::Missing
        }
    };
    let run = World::new().alone().resolve(missing).run();
    assert_eq!(run.verdict.scope, Scope::Inconclusive);
    let mut world = World::new().alone().resolve(missing);
    world.resolvers = vec![ip("198.18.0.54")];
    expect(
        &world.run(),
        Scope::Global,
        Some(CauseId::DnsMissing),
        Mechanism::Dns,
    );
}
