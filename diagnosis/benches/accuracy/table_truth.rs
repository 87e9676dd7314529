//! What counts as right for the rows of the second generator's table, and what a row adds to the stage.

use std::net::IpAddr;

use onlyhere_proto::{Actor, CauseId, Family, Scope};

use crate::classes::{address_scopes, network_scopes};
use crate::network::Truth;
use crate::world::{World, YOU};

pub(crate) fn closed(cause: CauseId) -> Truth {
    Truth::global(cause).like(&[
        CauseId::ServiceDown,
        CauseId::BoundToLoopback,
        CauseId::WrongPort,
        CauseId::FirewallReject,
    ])
}

pub(crate) fn silent(cause: CauseId) -> Truth {
    Truth::global(cause).like(&[CauseId::HostDown, CauseId::FirewallDrop])
}

pub(crate) fn zone(cause: CauseId) -> Truth {
    Truth::new(
        Some(cause),
        &[Scope::Global],
        &[Actor::DnsOperator, Actor::Site],
    )
}

pub(crate) fn theirs(cause: CauseId) -> Truth {
    Truth::new(Some(cause), &[Scope::TargetAddress], &[Actor::Site])
}

pub(crate) fn local(cause: CauseId) -> Truth {
    Truth::new(
        Some(cause),
        &[Scope::Local],
        &[Actor::You, Actor::YourNetwork],
    )
}

pub(crate) fn resolver(world: &mut World) -> Truth {
    let scopes = network_scopes(world);
    let truth = Truth::new(
        Some(CauseId::LocalResolver),
        &scopes,
        &[Actor::YourNetwork, Actor::You],
    );
    if scopes.len() > 1 {
        truth.or(Some(CauseId::LocalResolver), Scope::Local)
    } else {
        truth
    }
}

pub(crate) fn alone(world: &World, truth: Truth, like: CauseId, at: Scope) -> Truth {
    if address_scopes(world).len() > 1 {
        truth.like(&[like]).like_at(&[at])
    } else {
        truth
    }
}

pub(crate) fn regional(world: &World, hit: &[bool], cause: CauseId, actor: Actor) -> Truth {
    let own = world.subject().asn;
    let other = |i: &usize| {
        hit[*i]
            && world.stations[*i].asn != own
            && world.stations[*i].health == crate::world::Health::Good
    };
    let scopes = match (1..hit.len()).filter(other).count() {
        0 => [vec![Scope::Regional], network_scopes(world)].concat(),
        _ => vec![Scope::Regional],
    };
    Truth::new(Some(cause), &scopes, &[actor, Actor::Transit])
}

pub(crate) fn has_v4(world: &World) -> bool {
    world.site.has(Family::V4)
}

pub(crate) fn has_two(world: &World) -> bool {
    let own = world.site.answers_near(world.subject().city);
    own.iter().filter(|a| a.is_ipv4()).count() > 1
}

pub(crate) fn is_dual(world: &World) -> bool {
    let own = world.site.answers_near(world.subject().city);
    own.iter().any(|a| a.is_ipv4())
        && own.iter().filter(|a| a.is_ipv6()).count() == 1
        && world.stations[YOU].has_v6
}

pub(crate) fn expect_the_real(world: &mut World, _: IpAddr) {
    world.case.conditions.expected_addresses = world.site.addresses();
}

pub(crate) fn set_proxy(world: &mut World, _: IpAddr) {
    world.case.subject.local.proxies = vec!["https_proxy=http://127.0.0.1:3128".to_owned()];
}

pub(crate) fn set_tunnel(world: &mut World, _: IpAddr) {
    world.case.subject.local.tunnel = Some("tun0".to_owned());
    world.case.subject.local.way_out = Some("eth0".to_owned());
}

pub(crate) fn set_hosts(world: &mut World, wrong: IpAddr) {
    world.hosts_entries = vec![wrong];
    world.case.subject.local.hosts_entries = vec![wrong];
}
