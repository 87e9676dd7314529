//! The fault is the caller's own machine, line or network.

use onlyhere_proto::{Actor, CauseId, CertificateError, Mechanism, Scope, Symptom};
use world::{GATEWAY_LAN, Name, Reply, World, ip};

use super::*;

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
