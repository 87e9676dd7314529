//! The fault is shared by nobody but those near the caller: bans, providers.

use onlyhere_proto::{Actor, CauseId, Mechanism, Scope};
use world::{Reply, WEB4, WEB6, World};

use super::*;

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
