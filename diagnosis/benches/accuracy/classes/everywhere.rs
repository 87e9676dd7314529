//! Faults of the server, for everybody alike.

use onlyhere_proto::{CauseId, CertificateError, Scope, Target};

use crate::network::Truth;
use crate::rule::{At, Does, Rule, When};
use crate::world::{Port, Presented, World};

pub(crate) fn ok(_: &mut World) -> Truth {
    Truth::new(None, &[Scope::Ok], &[onlyhere_proto::Actor::Nobody])
}

/// What looks like a port on which nobody listens.
const CLOSED: [CauseId; 4] = [
    CauseId::ServiceDown,
    CauseId::BoundToLoopback,
    CauseId::WrongPort,
    CauseId::FirewallReject,
];

fn close(world: &mut World) {
    world.servers().for_each(|m| m.port = Port::Closed);
}

pub(crate) fn service_down(world: &mut World) -> Truth {
    close(world);
    Truth::global(CauseId::ServiceDown).like(&CLOSED)
}

pub(crate) fn bound_to_loopback(world: &mut World) -> Truth {
    close(world);
    Truth::global(CauseId::BoundToLoopback).like(&CLOSED)
}

/// The service is there, elsewhere.
pub(crate) fn wrong_port(world: &mut World) -> Truth {
    let asked = world.random.pick(&[8443, 4443, 444]);
    let host = world.site.host.clone();
    let target = format!("https://{host}:{asked}/");
    world.case.target = Target::parse(&target).expect("a target");
    world.site.port = asked;
    world.servers().for_each(|m| {
        m.main_port = 443;
        m.port = Port::Open;
        m.open = vec![22, 80];
        m.others = Port::Closed;
    });
    Truth::global(CauseId::WrongPort).like(&CLOSED)
}

pub(crate) fn host_down(world: &mut World) -> Truth {
    let mourned = world.random.chance(0.25);
    world.servers().for_each(|m| {
        m.up = false;
        m.mourned = mourned;
    });
    Truth::global(CauseId::HostDown).like(&[CauseId::FirewallDrop])
}

pub(crate) fn firewall_reject(world: &mut World) -> Truth {
    let does = world
        .random
        .weighted(&[(0.5, 3), (0.15, 10), (0.25, 13), (0.1, 255)]);
    let (does, like): (Does, &[CauseId]) = match does {
        255 => (Does::Rst, &CLOSED),
        code => (Does::Icmp(code), &[]),
    };
    let at = if world.random.chance(0.85) {
        At::Host
    } else {
        At::Edge
    };
    let mut rule = Rule::new(at, does);
    if world.random.chance(0.7) {
        rule = rule.ports(&[world.site.port]);
    }
    world.rules.push(rule);
    Truth::global(CauseId::FirewallReject).like(like)
}

pub(crate) fn firewall_drop(world: &mut World) -> Truth {
    let whole = world.random.chance(0.3);
    let mut rule = Rule::new(At::Host, Does::Drop);
    if whole {
        // A security group: nothing but what was thought of.
        world.servers().for_each(|m| m.others = Port::Filtered);
    }
    rule = rule.ports(&[world.site.port]);
    world.rules.push(rule);
    Truth::global(CauseId::FirewallDrop).like(&[CauseId::HostDown])
}

/// Up and down by turns, for everybody at once. What never changes while one looks cannot be told.
pub(crate) fn crash_loop(world: &mut World) -> Truth {
    let mean = world.random.pick(&[1_500.0, 4_000.0, 7_000.0, 7_000.0]);
    let spans = loop {
        let spans = down_spans(world, mean);
        let changes = |t: &f64| (0.0..5_000.0).contains(t);
        if spans.iter().flat_map(|(a, b)| [a, b]).any(changes) {
            break spans;
        }
    };
    let starts_up = spans.iter().all(|(a, b)| !(*a..*b).contains(&0.0));
    world.rules.push(
        Rule::new(At::Host, Does::Rst)
            .ports(&[world.site.port])
            .when(When::During(spans)),
    );
    let truth = Truth::global(CauseId::CrashLoop).like(&CLOSED);
    if starts_up {
        truth.or(None, Scope::Ok)
    } else {
        truth
    }
}

fn down_spans(world: &mut World, mean: f64) -> Vec<(f64, f64)> {
    let mut spans = Vec::new();
    let mut at = -world.random.between(0.0, 2.0 * mean);
    let mut down = world.random.chance(0.45);
    while at < 40_000.0 {
        let share = if down { 0.9 } else { 1.1 };
        let end = at + world.random.exponential(mean * share).max(300.0);
        if down {
            spans.push((at, end));
        }
        (at, down) = (end, !down);
    }
    spans
}

pub(crate) fn overloaded(world: &mut World) -> Truth {
    let silent = world.random.between(0.2, 0.4);
    let mut sometimes = |does: Does, chance: f64| {
        let rule = Rule::new(At::Host, does).ports(&[world.site.port]);
        world.rules.push(rule.when(When::Chance(chance)));
    };
    sometimes(Does::Drop, silent);
    sometimes(Does::Page(503, vec![("server", "nginx")]), 0.2);
    sometimes(Does::PageReset, 0.12);
    sometimes(Does::PageSilence, 0.06);
    sometimes(Does::Slow(1_300.0), 0.25);
    sometimes(Does::Slow(2_200.0), 0.25);
    world.think_ms = 600.0;
    Truth::global(CauseId::Overloaded)
}

pub(crate) fn backend_partial(world: &mut World) -> Truth {
    let backends = world.random.pick(&[2.0, 3.0, 4.0]);
    let does = match world.random.below(5) {
        0 => Does::Rst,
        1 => Does::HelloReset,
        2 => Does::Page(502, vec![("server", "haproxy")]),
        3 => Does::Drop,
        _ => Does::Page(500, vec![("server", "haproxy")]),
    };
    let rule = Rule::new(At::Host, does).ports(&[world.site.port]);
    world.rules.push(rule.when(When::Chance(1.0 / backends)));
    // Where no vantage meets the bad one, there is nothing to be seen.
    Truth::global(CauseId::BackendPartial)
}

fn present(world: &mut World, change: impl Fn(&mut Presented)) {
    world.servers().for_each(|m| change(&mut m.presented));
}

pub(crate) fn certificate_expired(world: &mut World) -> Truth {
    let since = world.random.below(40) as i64 + 1;
    present(world, |p| {
        p.valid = (-90 - since, -since);
        p.error = Some(CertificateError::Expired);
    });
    Truth::global(CauseId::CertificateExpired)
}

pub(crate) fn certificate_mismatch(world: &mut World) -> Truth {
    let name = world.random.pick(&[
        "panel.hosting.example",
        "default.invalid",
        "old-shop.example",
    ]);
    present(world, |p| {
        p.names = vec![name.to_owned()];
        p.error = Some(CertificateError::NameMismatch);
    });
    Truth::global(CauseId::CertificateMismatch).like(&[CauseId::WrongAddress])
}

pub(crate) fn certificate_untrusted(world: &mut World) -> Truth {
    let own = world.random.chance(0.6);
    present(world, |p| {
        p.issuer = if own {
            "CN=shop.example"
        } else {
            "CN=Company Root"
        }
        .to_owned();
        p.error = Some(CertificateError::UnknownIssuer);
    });
    Truth::global(CauseId::CertificateUntrusted)
}

pub(crate) fn http_error(world: &mut World) -> Truth {
    let status = world.random.pick(&[500, 502, 503, 504, 404, 500]);
    world.servers().for_each(|m| m.status = status);
    Truth::global(CauseId::HttpError)
}
