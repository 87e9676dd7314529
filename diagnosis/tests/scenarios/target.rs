//! The fault is the target's: one address, one family, or all of it.

use onlyhere_proto::{CauseId, Mechanism, Scope};
use world::{Reply, WEB4, WEB6, World, ip};

use super::*;

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
