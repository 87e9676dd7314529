//! Other forms of targets than a web address.

use onlyhere_proto::{CauseId, Mechanism, Scope};
use world::{Name, Reply, WEB4, WEB6, World};

use super::*;

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
