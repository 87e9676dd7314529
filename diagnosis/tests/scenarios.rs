//! The scenarios of the lab in a model world: what is concluded, how fast, and in which words.

mod world;

use onlyhere_proto::{
    Actor, CauseId, CertificateError, Mechanism, Outcome, Scope, Symptom, Target,
};
use world::{GATEWAY_LAN, Name, Reply, Run, WEB4, WEB6, World, ip};

fn expect(run: &Run, scope: Scope, cause: Option<CauseId>, mechanism: Mechanism) {
    let v = &run.verdict;
    let told = || {
        format!(
            "{:.0} ms, {} asks in {} rounds\n{}",
            run.ms,
            run.asks,
            run.rounds,
            serde_json::to_string_pretty(v).unwrap()
        )
    };
    assert_eq!(v.scope, scope, "{}", told());
    assert_eq!(v.causes.first().map(|c| c.id), cause, "{}", told());
    assert_eq!(v.mechanism, mechanism, "{}", told());
    assert!(
        v.complete && v.confidence > 0.0 && v.confidence <= 1.0,
        "{}",
        told()
    );
    assert!(
        (v.scopes.values().sum::<f64>() - 1.0).abs() < 1e-6,
        "{}",
        told()
    );
    assert!(
        v.causes.is_sorted_by(|a, b| a.probability >= b.probability),
        "{}",
        told()
    );
    assert!(
        v.evidence
            .is_sorted_by(|a, b| a.log10_bayes_factor >= b.log10_bayes_factor),
        "{}",
        told()
    );
    eprintln!(
        "{:5.0} ms {:2} asks {} rounds {:.3} {}",
        run.ms, run.asks, run.rounds, v.confidence, v.headline
    );
    for e in &v.evidence {
        eprintln!(
            "      {} {:5.2} {:?} {}",
            e.id, e.log10_bayes_factor, e.favours, e.says
        );
    }
    for a in &v.advisories {
        eprintln!("      ! {} {:?}", a.says, a.cause);
    }
    for n in &v.next {
        eprintln!("      > {n}");
    }
    eprintln!(
        "      causes {:?}",
        v.causes
            .iter()
            .map(|c| (c.id.label(), c.probability))
            .collect::<Vec<_>>()
    );
}

/// Nobody timed out: fast.
fn quick(run: &Run) {
    assert!(
        run.ms < 3_000.0,
        "{:.0} ms: {}",
        run.ms,
        run.verdict.headline
    );
}

fn patient(run: &Run) {
    assert!(
        run.ms < 8_000.0,
        "{:.0} ms: {}",
        run.ms,
        run.verdict.headline
    );
}

#[test]
fn s01_all_fine() {
    let run = World::new().run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert!(
        run.ms < 1_100.0 && run.rounds == 1,
        "{:.0} ms, {} rounds",
        run.ms,
        run.rounds
    );
    assert_eq!(
        run.verdict.headline,
        "Reachable from here and from 5 other networks"
    );
    assert!(run.verdict.advisories.is_empty());
}

#[test]
fn s02_the_service_is_stopped() {
    let run = World::new()
        .connect(|t| if t.web() { Reply::Rst(None) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::ServiceDown),
        Mechanism::Refused,
    );
    quick(&run);
    assert_eq!(run.verdict.headline, "Refused everywhere");
    assert!(
        run.verdict
            .causes
            .iter()
            .any(|c| c.id == CauseId::BoundToLoopback)
    );
    assert!(run.verdict.next.iter().any(|n| n.contains("look alike")));
}

fn banned(t: world::Try<'_>) -> Reply {
    if t.web() && t.by("you") {
        if t.v4() {
            Reply::Icmp(3, 3, WEB4, None)
        } else {
            Reply::Icmp(1, 4, WEB6, None)
        }
    } else {
        Reply::Ok
    }
}

#[test]
fn s03_banned_with_a_sibling() {
    let run = World::new().connect(banned).run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::IpBan),
        Mechanism::Refused,
    );
    quick(&run);
    assert_eq!(
        run.verdict.headline,
        "Refused from your IP address only (198.18.3.20)"
    );
    assert_eq!(run.verdict.actor, Actor::Site);
}

#[test]
fn s03_banned_over_ipv4_only() {
    let run = World::new()
        .connect(|t| if t.v4() { banned(t) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::IpBan),
        Mechanism::Refused,
    );
    quick(&run);
}

#[test]
fn s04_banned_without_a_sibling() {
    let run = World::new().without(&["sibling"]).connect(banned).run();
    expect(
        &run,
        Scope::Source,
        Some(CauseId::IpBan),
        Mechanism::Refused,
    );
    quick(&run);
    assert_eq!(run.verdict.headline, "Refused from your network only");
    assert_eq!(run.verdict.scopes[&Scope::SourceAddress], 0.0);
}

#[test]
fn s05_banned_silently_with_a_sibling() {
    let run = World::new()
        .connect(|t| {
            if t.target() && t.by("you") {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::IpBan),
        Mechanism::Timeout,
    );
    patient(&run);
    let run = World::new()
        .connect(|t| {
            if t.target() && t.by("you") {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .echo(|t| !t.by("you"))
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::IpBan),
        Mechanism::Timeout,
    );
    patient(&run);
    let run = World::new()
        .connect(|t| {
            if t.target() && t.v4() && t.by("you") {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .echo(|t| !t.by("you") || !t.v4())
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::IpBan),
        Mechanism::Timeout,
    );
}

#[test]
fn s06_the_own_machine_rejects() {
    for port_wide in [false, true] {
        for reset in [false, true] {
            let run = World::new()
                .connect(move |t| {
                    if !t.by("you") || t.port != 443 || (t.control && !port_wide) {
                        Reply::Ok
                    } else if reset {
                        Reply::Rst(Some(0.1))
                    } else if t.v4() {
                        Reply::Icmp(3, 3, world::CALLER, Some(0.1))
                    } else {
                        Reply::Icmp(1, 4, "2001:db8:3:101::10", Some(0.1))
                    }
                })
                .run();
            expect(
                &run,
                Scope::Local,
                Some(CauseId::LocalFirewall),
                Mechanism::Refused,
            );
            quick(&run);
            assert_eq!(
                run.verdict.headline,
                "Refused here: your own machine rejects it"
            );
            assert_eq!(run.verdict.actor, Actor::You);
        }
    }
}

#[test]
fn s06_the_own_machine_rejects_one_family() {
    let run = World::new()
        .connect(|t| {
            if t.by("you") && t.web() && t.v4() {
                Reply::Rst(Some(0.3))
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
}

#[test]
fn s07_the_gateway_rejects() {
    for port_wide in [false, true] {
        for reset in [false, true] {
            let run = World::new()
                .connect(move |t| {
                    if !t.by("you") || t.port != 443 || (t.control && !port_wide) {
                        Reply::Ok
                    } else if reset {
                        Reply::Rst(Some(0.9))
                    } else if t.v4() {
                        Reply::Icmp(3, 13, GATEWAY_LAN, Some(0.4))
                    } else {
                        Reply::Icmp(1, 1, "2001:db8:3:101::1", Some(0.4))
                    }
                })
                .run();
            let mechanism = if reset {
                Mechanism::Refused
            } else {
                Mechanism::Unreachable
            };
            expect(&run, Scope::Local, Some(CauseId::LocalFirewall), mechanism);
            quick(&run);
            assert_eq!(run.verdict.actor, Actor::YourNetwork);
        }
    }
}

fn isp_rejects(t: world::Try<'_>) -> Reply {
    if t.web() && (t.by("you") || t.by("sibling")) {
        if t.v4() {
            Reply::Icmp(3, 13, "198.18.3.1", Some(12.5))
        } else {
            Reply::Icmp(1, 1, "2001:db8:3::1", Some(12.5))
        }
    } else {
        Reply::Ok
    }
}

#[test]
fn s08_the_provider_rejects() {
    let run = World::new().connect(isp_rejects).run();
    expect(
        &run,
        Scope::SourceNetwork,
        Some(CauseId::NetworkBlock),
        Mechanism::Unreachable,
    );
    quick(&run);
    assert_eq!(
        run.verdict.headline,
        "Unreachable from your provider only (AS64503)"
    );
    assert_eq!(run.verdict.actor, Actor::YourNetwork);
    // A rule for the address as a whole takes the echo requests with it.
    let run = World::new()
        .connect(isp_rejects)
        .echo(|t| !t.by("you") && !t.by("sibling"))
        .run();
    expect(
        &run,
        Scope::SourceNetwork,
        Some(CauseId::NetworkBlock),
        Mechanism::Unreachable,
    );
    let run = World::new()
        .without(&["sibling"])
        .connect(isp_rejects)
        .run();
    expect(
        &run,
        Scope::Source,
        Some(CauseId::NetworkBlock),
        Mechanism::Unreachable,
    );
    quick(&run);
}

fn offline(alone: bool) -> World {
    let world = World::new()
        .connect(|t| if t.by("you") { Reply::Drop } else { Reply::Ok })
        .echo(|t| !t.by("you"))
        .resolve(|v, _| {
            if v == "you" {
                Name::Silent
            } else {
                Name::Is(Vec::new())
            }
        });
    if alone { world.alone() } else { world }
}

#[test]
fn s08_the_site_rejects_the_provider() {
    let run = World::new()
        .connect(
            |t| match (t.web() && (t.by("you") || t.by("sibling")), t.v4()) {
                (true, true) => Reply::Icmp(3, 3, WEB4, None),
                (true, false) => Reply::Icmp(1, 4, WEB6, None),
                _ => Reply::Ok,
            },
        )
        .run();
    expect(
        &run,
        Scope::SourceNetwork,
        Some(CauseId::NetworkBlock),
        Mechanism::Refused,
    );
    assert_eq!(run.verdict.actor, Actor::Site);
}

#[test]
fn s09_offline() {
    for alone in [true, false] {
        let run = offline(alone).run();
        expect(
            &run,
            Scope::Local,
            Some(CauseId::LocalOffline),
            Mechanism::Timeout,
        );
        patient(&run);
    }
    let run = offline(true).resolve(|_, _| Name::Failed).run();
    assert_ne!(run.verdict.scope, Scope::Global);
}

#[test]
fn s10_the_host_is_off() {
    let run = World::new()
        .connect(|t| if t.target() { Reply::Drop } else { Reply::Ok })
        .echo(|_| false)
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::HostDown),
        Mechanism::Timeout,
    );
    patient(&run);
    assert_eq!(run.verdict.causes[1].id, CauseId::FirewallDrop);
    assert!(run.verdict.next.iter().any(|n| n.contains("look alike")));
    let run = World::new()
        .connect(|t| match (t.target(), t.v4()) {
            (true, true) => Reply::Icmp(3, 1, "198.18.1.1", Some(2_990.0)),
            (true, false) => Reply::Icmp(1, 3, "2001:db8:1::1", Some(2_990.0)),
            _ => Reply::Ok,
        })
        .echo(|_| false)
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::HostDown),
        Mechanism::Unreachable,
    );
    patient(&run);
}

#[test]
fn s11_a_firewall_drops_the_port() {
    for others_answer in [true, false] {
        let run = World::new()
            .connect(move |t| {
                if t.web() || (t.target() && !others_answer) {
                    Reply::Drop
                } else {
                    Reply::Rst(None)
                }
            })
            .run();
        // Controls answer with a reset here, too: the subject's fail, which must not matter.
        let run2 = World::new()
            .connect(move |t| {
                if t.control {
                    Reply::Ok
                } else if t.web() || !others_answer {
                    Reply::Drop
                } else {
                    Reply::Rst(None)
                }
            })
            .run();
        expect(
            &run2,
            Scope::Global,
            Some(CauseId::FirewallDrop),
            Mechanism::Timeout,
        );
        patient(&run2);
        assert_eq!(run.verdict.scope, Scope::Global);
    }
}

#[test]
fn s12_a_firewall_rejects() {
    let run = World::new()
        .connect(|t| match (t.web(), t.v4()) {
            (true, true) => Reply::Icmp(3, 3, WEB4, None),
            (true, false) => Reply::Icmp(1, 4, WEB6, None),
            _ => Reply::Ok,
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::FirewallReject),
        Mechanism::Refused,
    );
    quick(&run);
    let run = World::new()
        .connect(|t| match (t.web(), t.v4()) {
            (true, true) => Reply::Icmp(3, 13, WEB4, None),
            (true, false) => Reply::Icmp(1, 1, WEB6, None),
            _ => Reply::Ok,
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::FirewallReject),
        Mechanism::Unreachable,
    );
    quick(&run);
}

#[test]
fn s13_the_name() {
    let run = World::new()
        .resolve(|_, control| {
            if control {
                Name::Is(vec![])
            } else {
                Name::Missing
            }
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::DnsMissing),
        Mechanism::Dns,
    );
    quick(&run);
    let run = World::new()
        .resolve(|_, control| {
            if control {
                Name::Is(vec![])
            } else {
                Name::Failed
            }
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::DnsBroken),
        Mechanism::Dns,
    );
    quick(&run);
    // Everywhere but here.
    for said in [Name::Missing, Name::Failed, Name::Silent] {
        for controls_too in [true, false] {
            let said = said.clone();
            let silent = said == Name::Silent;
            let run = World::new()
                .resolve(move |v, control| {
                    if v == "you" && (controls_too || !control) {
                        said.clone()
                    } else {
                        Name::Is(vec![])
                    }
                })
                .run();
            expect(
                &run,
                Scope::Local,
                Some(CauseId::LocalResolver),
                Mechanism::Dns,
            );
            if silent { patient(&run) } else { quick(&run) }
        }
    }
}

#[test]
fn s14_one_of_two_addresses() {
    let two = ["198.18.1.10", "198.18.1.11"];
    for (reply, mechanism) in [
        (Reply::Rst(None), Mechanism::Refused),
        (Reply::Drop, Mechanism::Timeout),
    ] {
        for all in [&two[..], &["198.18.1.10", "198.18.1.11", WEB6][..]] {
            let run = World::new()
                .addresses(all)
                .connect(move |t| {
                    if t.web() && t.address == ip("198.18.1.11") {
                        reply
                    } else {
                        Reply::Ok
                    }
                })
                .run();
            expect(
                &run,
                Scope::TargetAddress,
                Some(CauseId::AddressDown),
                mechanism,
            );
            if mechanism == Mechanism::Refused {
                quick(&run)
            } else {
                patient(&run)
            }
            assert!(
                run.verdict
                    .headline
                    .contains(&format!("at 1 of {} addresses (198.18.1.11)", all.len())),
                "{}",
                run.verdict.headline
            );
        }
    }
}

#[test]
fn s15_one_family() {
    let run = World::new()
        .connect(|t| {
            if t.v4() || t.control {
                Reply::Ok
            } else if t.by("par") || t.by("sgp") {
                Reply::NoFamily
            } else {
                Reply::Drop
            }
        })
        .echo(|t| t.v4())
        .run();
    expect(
        &run,
        Scope::TargetAddress,
        Some(CauseId::FamilyBroken),
        Mechanism::Timeout,
    );
    patient(&run);
    let run = World::new()
        .connect(|t| {
            if t.by("you") && !t.v4() {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .echo(|t| t.v4() || !t.by("you"))
        .run();
    expect(
        &run,
        Scope::Local,
        Some(CauseId::FamilyBroken),
        Mechanism::Timeout,
    );
    patient(&run);
}

#[test]
fn s16_certificates() {
    for (error, cause) in [
        (CertificateError::Expired, CauseId::CertificateExpired),
        (CertificateError::NameMismatch, CauseId::CertificateMismatch),
        (
            CertificateError::UnknownIssuer,
            CauseId::CertificateUntrusted,
        ),
    ] {
        let run = World::new()
            .connect(move |t| {
                if t.web() {
                    Reply::Tls(error)
                } else {
                    Reply::Ok
                }
            })
            .run();
        expect(&run, Scope::Global, Some(cause), Mechanism::Tls);
        quick(&run);
    }
    for controls_too in [true, false] {
        let run = World::new()
            .connect(move |t| {
                if t.by("you") && t.port == 443 && (controls_too || t.target()) {
                    Reply::Tls(CertificateError::UnknownIssuer)
                } else {
                    Reply::Ok
                }
            })
            .run();
        expect(
            &run,
            Scope::Local,
            Some(CauseId::TlsInterception),
            Mechanism::Tls,
        );
        assert!(
            run.verdict
                .evidence
                .iter()
                .any(|e| e.says.contains("nobody else is shown this certificate"))
        );
        quick(&run);
    }
}

#[test]
fn s17_http() {
    let run = World::new()
        .connect(|t| if t.web() { Reply::Http(503) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::HttpError),
        Mechanism::Http,
    );
    assert_eq!(run.verdict.headline, "HTTP 503 everywhere");
    quick(&run);
    let run = World::new()
        .connect(|t| {
            if t.web() && t.by("you") {
                Reply::Http(403)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::WafBlock),
        Mechanism::Http,
    );
    quick(&run);
    let datacenter = |v: &str| matches!(v, "fra" | "ams" | "nyc" | "sgp");
    let run = World::new()
        .connect(move |t| {
            if t.web() && datacenter(t.vantage) {
                Reply::Http(403)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    quick(&run);
    assert_eq!(run.verdict.advisories[0].cause, Some(CauseId::WafBlock));
    assert_eq!(
        run.verdict.advisories[0].says,
        "4 of 4 datacenter vantages get HTTP 403"
    );
}

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
fn a_crash_loop_is_seen_by_all_alike() {
    for period in [700.0, 1_000.0] {
        let run = World::new()
            .connect(move |t| {
                if t.web() && ((t.at / period) as u64).is_multiple_of(2) {
                    Reply::Rst(None)
                } else {
                    Reply::Ok
                }
            })
            .run();
        eprintln!(
            "{:?} {} {:?}",
            run.verdict.scope,
            run.verdict.headline,
            run.verdict
                .causes
                .iter()
                .map(|c| (c.id.label(), c.probability))
                .collect::<Vec<_>>()
        );
    }
    let run = World::new()
        .connect(|t| {
            if t.web() && t.slot == 0 {
                Reply::Rst(None)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::CrashLoop),
        Mechanism::Refused,
    );
    assert!(run.verdict.intermittent);
    assert_eq!(run.verdict.headline, "Refused now and then, everywhere");
    quick(&run);
}

#[test]
fn a_hosts_entry_that_leads_elsewhere() {
    for reply in [
        Reply::Drop,
        Reply::Rst(None),
        Reply::Tls(CertificateError::NameMismatch),
    ] {
        let mut world = World::new().connect(move |t| {
            if t.by("you") && t.address == ip("198.18.9.9") {
                reply
            } else {
                Reply::Ok
            }
        });
        world
            .hosts_file
            .insert("you".into(), vec![ip("198.18.9.9")]);
        let run = world.run();
        assert_eq!(run.verdict.scope, Scope::Local, "{}", run.verdict.headline);
        assert_eq!(run.verdict.causes[0].id, CauseId::HostsFile);
        patient(&run);
    }
}

#[test]
fn only_the_browser_fails() {
    let mut world = World::new();
    world.seen = Some(Symptom::Refused);
    let run = world.run();
    expect(
        &run,
        Scope::Local,
        Some(CauseId::BrowserOnly),
        Mechanism::Refused,
    );
    quick(&run);
    world.proxies = vec!["HTTPS_PROXY=http://127.0.0.1:3128".into()];
    let run = world.run();
    assert_eq!(run.verdict.scope, Scope::Local);
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
fn the_host_does_not_answer_echo_requests() {
    let run = World::new().echo(|_| false).run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    quick(&run);
    let run = World::new().echo(|_| false).connect(banned).run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::IpBan),
        Mechanism::Refused,
    );
    let run = World::new()
        .echo(|_| false)
        .connect(|t| if t.web() { Reply::Rst(None) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::ServiceDown),
        Mechanism::Refused,
    );
}

fn aimed(target: &str) -> World {
    let mut world = World::new();
    world.target = Target::parse(target).unwrap();
    world
}

#[test]
fn a_bare_name() {
    let run = aimed("dns://shop.example").run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(
        run.verdict.headline,
        "Resolves from here and from 5 other networks"
    );
    for (said, cause) in [
        (Name::Missing, CauseId::DnsMissing),
        (Name::Failed, CauseId::DnsBroken),
    ] {
        let run = aimed("dns://shop.example")
            .resolve(move |_, control| {
                if control {
                    Name::Is(vec![])
                } else {
                    said.clone()
                }
            })
            .run();
        expect(&run, Scope::Global, Some(cause), Mechanism::Dns);
    }
    let run = aimed("dns://shop.example")
        .resolve(|v, control| {
            if v == "you" && !control {
                Name::Missing
            } else {
                Name::Is(vec![])
            }
        })
        .run();
    expect(
        &run,
        Scope::Local,
        Some(CauseId::LocalResolver),
        Mechanism::Dns,
    );
}

#[test]
fn a_bare_echo() {
    let run = aimed("ping://shop.example").run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    let run = aimed("ping://shop.example").echo(|_| false).run();
    assert_eq!(run.verdict.scope, Scope::Global, "{}", run.verdict.headline);
    assert_eq!(run.verdict.mechanism, Mechanism::Timeout);
    patient(&run);
}

#[test]
fn an_address_instead_of_a_name() {
    for target in [
        "198.18.1.10:443",
        "https://[2001:db8:1::10]/",
        "tcp://198.18.1.10:22",
    ] {
        let run = aimed(target).run();
        expect(&run, Scope::Ok, None, Mechanism::None);
        quick(&run);
        let run = aimed(target)
            .connect(|t| {
                if t.target() && t.by("you") {
                    Reply::Icmp(
                        if t.v4() { 3 } else { 1 },
                        if t.v4() { 3 } else { 4 },
                        if t.v4() { WEB4 } else { WEB6 },
                        None,
                    )
                } else {
                    Reply::Ok
                }
            })
            .run();
        expect(
            &run,
            Scope::SourceAddress,
            Some(CauseId::IpBan),
            Mechanism::Refused,
        );
        quick(&run);
    }
}

#[test]
fn a_target_in_the_own_network() {
    let run = aimed("http://192.168.77.20/").run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(run.verdict.headline, "Reachable from here");
    assert!(run.verdict.advisories.is_empty());
    let run = aimed("http://192.168.77.20/")
        .connect(|t| {
            if t.target() && t.port == 80 {
                Reply::Rst(Some(0.4))
            } else if t.target() {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .echo(|t| t.control)
        .run();
    expect(
        &run,
        Scope::Local,
        Some(CauseId::ServiceDown),
        Mechanism::Refused,
    );
    assert_eq!(run.verdict.headline, "Refused in your own network");
    let run = aimed("http://192.168.77.20/")
        .connect(|t| if t.target() { Reply::Drop } else { Reply::Ok })
        .echo(|t| t.control)
        .run();
    assert_eq!(run.verdict.scope, Scope::Local, "{}", run.verdict.headline);
    assert_eq!(run.verdict.causes[0].id, CauseId::HostDown);
}

#[test]
fn where_a_connection_opens_something_listens() {
    for reply in [Reply::Stall, Reply::Reset] {
        let run = aimed("tls://127.0.0.1:8443")
            .connect(move |t| if t.target() { reply } else { Reply::Ok })
            .run();
        let says_so = |text: &str| text.to_lowercase().contains("nothing listens");
        assert!(!says_so(&run.verdict.headline), "{}", run.verdict.headline);
        for cause in &run.verdict.causes {
            assert_ne!(cause.id, CauseId::LocalServiceDown, "{}", cause.title);
        }
        assert_ne!(run.verdict.scope, Scope::Ok);
    }
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
fn what_fails_once_is_tried_again_before_anything_is_made_of_it() {
    for reply in [
        Reply::Drop,
        Reply::Rst(None),
        Reply::Reset,
        Reply::Http(403),
    ] {
        let run = World::new()
            .addresses(&["198.18.1.10"])
            .connect(move |t| {
                if t.web() && t.by("you") && t.slot == 0 {
                    reply
                } else {
                    Reply::Ok
                }
            })
            .run();
        assert_eq!(run.verdict.scope, Scope::Ok, "{}", run.verdict.headline);
        assert!(run.rounds >= 2, "it was looked at again");
    }
}

#[test]
fn what_fails_every_time_is_no_chance() {
    for reply in [Reply::Drop, Reply::Rst(None), Reply::Http(403)] {
        let run = World::new()
            .addresses(&["198.18.1.10"])
            .connect(move |t| {
                if t.web() && t.by("you") {
                    reply
                } else {
                    Reply::Ok
                }
            })
            .run();
        assert_eq!(
            run.verdict.scope,
            Scope::SourceAddress,
            "{}",
            run.verdict.headline
        );
    }
}

#[test]
fn too_many_requests() {
    let run = World::new()
        .connect(|t| {
            if t.web() && t.by("you") {
                Reply::Http(429)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::RateLimited),
        Mechanism::Http,
    );
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

#[test]
fn a_wide_name_is_tried_at_every_address() {
    // The subject's resolver gives one address, the others' another: both are tried from here.
    let run = World::new()
        .resolve(|v, control| match (control, v) {
            (true, _) => Name::Is(vec![]),
            (_, "you" | "sibling") => Name::Is(vec![ip(WEB4)]),
            _ => Name::Is(vec![ip("198.18.1.11")]),
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(run.rounds, 2);
    // And one that is dead for everybody is found though only others were sent there.
    let run = World::new()
        .resolve(|v, control| match (control, v) {
            (true, _) => Name::Is(vec![]),
            (_, "you" | "sibling") => Name::Is(vec![ip(WEB4)]),
            _ => Name::Is(vec![ip(WEB4), ip("198.18.1.11")]),
        })
        .connect(|t| {
            if t.web() && t.address == ip("198.18.1.11") {
                Reply::Rst(None)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::TargetAddress,
        Some(CauseId::AddressDown),
        Mechanism::Refused,
    );
}

#[test]
fn a_vantage_that_lies_about_the_name_adds_no_address() {
    let run = World::new()
        .resolve(|v, control| match (control, v) {
            (false, "nyc") => Name::Is(vec![ip("198.18.6.66")]),
            _ => Name::Is(vec![]),
        })
        .connect(|t| {
            if t.address == ip("198.18.6.66") {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
}

#[test]
fn a_name_that_leads_inside_somebodys_network() {
    for reply in [Reply::Drop, Reply::NoFamily] {
        let run = World::new()
            .addresses(&["10.1.2.3"])
            .connect(move |t| match (t.target(), t.vantage) {
                (true, "you") => reply,
                (true, _) => Reply::NoFamily,
                _ => Reply::Ok,
            })
            .echo(|t| t.control)
            .run();
        assert_eq!(run.verdict.scope, Scope::Global, "{}", run.verdict.headline);
        assert_eq!(run.verdict.causes[0].id, CauseId::WrongAddress);
        assert_ne!(run.verdict.mechanism, Mechanism::None);
    }
}
