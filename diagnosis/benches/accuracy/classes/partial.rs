//! Faults of one address or family of the target, and of several networks that have something in common.

use onlyhere_proto::{Actor, CauseId, Scope};

use super::network_scopes;
use crate::network::Truth;
use crate::rule::{At, Does, Rule, To};
use crate::world::{Port, World, YOU};

pub(crate) fn address_down(world: &mut World) -> Truth {
    let own = world.site.answers_near(world.subject().city);
    let own: Vec<_> = own.into_iter().filter(|a| a.is_ipv4()).collect();
    let dead = world.random.pick(&own);
    let off = world.random.chance(0.5);
    world.servers().filter(|m| m.address == dead).for_each(|m| {
        if off {
            m.up = false;
        } else {
            m.port = Port::Closed;
        }
    });
    Truth::new(
        Some(CauseId::AddressDown),
        &[Scope::TargetAddress],
        &[Actor::Site],
    )
}

pub(crate) fn family_broken_theirs(world: &mut World) -> Truth {
    let off = world.random.chance(0.65);
    world
        .servers()
        .filter(|m| m.address.is_ipv6())
        .for_each(|m| {
            if off {
                m.up = false;
            } else {
                m.port = Port::Closed;
            }
        });
    let one = world
        .site
        .addresses()
        .iter()
        .filter(|a| a.is_ipv6())
        .count()
        == 1;
    let truth = Truth::new(
        Some(CauseId::FamilyBroken),
        &[Scope::TargetAddress],
        &[Actor::Site],
    );
    if one {
        truth.like(&[CauseId::AddressDown])
    } else {
        truth
    }
}

/// Whom a fault of a place meets: the subject, and each of the others that often.
fn met(world: &mut World, of: impl Fn(&World, usize) -> f64) -> Vec<usize> {
    let mut met = vec![YOU];
    for station in 1..world.stations.len() {
        let often = of(world, station);
        if world.random.chance(often) {
            met.push(station);
        }
    }
    met
}

/// `regional` where somebody of another network shares the fault; else it looks like one's own network's.
fn shared_scopes(world: &World, met: &[usize]) -> Vec<Scope> {
    let own = world.subject().asn;
    let well = |i: &&usize| world.stations[**i].health == crate::world::Health::Good;
    let others = met
        .iter()
        .filter(well)
        .filter(|i| world.stations[**i].asn != own)
        .count();
    match others {
        0 => [vec![Scope::Regional], network_scopes(world)].concat(),
        _ => vec![Scope::Regional],
    }
}

pub(crate) fn routing_fault_region(world: &mut World) -> Truth {
    let home = world.subject().city.region;
    let met = loop {
        let often = |w: &World, i: usize| {
            if w.stations[i].city.region == home {
                0.85
            } else {
                0.0
            }
        };
        let met = met(world, often);
        if met.len() > 1 {
            break met;
        }
    };
    let rule = Rule::new(At::Transit, Does::Drop)
        .of(met.clone())
        .with_echo();
    world.rules.push(rule);
    let scopes = shared_scopes(world, &met);
    Truth::new(Some(CauseId::RoutingFault), &scopes, &[Actor::Transit])
}

pub(crate) fn geo_block(world: &mut World) -> Truth {
    let home = world.subject().city.country;
    let often = |w: &World, i: usize| {
        if w.stations[i].city.country == home {
            0.96
        } else {
            0.0
        }
    };
    let met = met(world, often);
    let web = world.case.target.depth() == onlyhere_proto::Stage::Http;
    let does = world.random.weighted(&[
        (0.4, 0),
        (if web { 0.4 } else { 0.0 }, 1),
        (0.1, 2),
        (if web { 0.1 } else { 0.0 }, 3),
    ]);
    let status = world.random.pick(&[403, 403, 451]);
    let does = match does {
        0 => Does::Drop,
        1 => Does::Page(status, vec![("server", "cloudflare")]),
        2 => Does::Rst,
        _ => Does::HelloReset,
    };
    let at = if world.random.chance(0.5) {
        At::Edge
    } else {
        At::Host
    };
    let rule = Rule::new(at, does)
        .of(met.clone())
        .ports(&super::service_ports(world));
    world.rules.push(rule);
    let scopes = shared_scopes(world, &met);
    let truth = Truth::new(Some(CauseId::GeoBlock), &scopes, &[Actor::Site]);
    if scopes.len() > 1 {
        truth
            .like(&[CauseId::NetworkBlock, CauseId::IpBan, CauseId::WafBlock])
            .like_at(&[Scope::SourceAddress])
    } else {
        truth
    }
}

/// One of a network's places is ill: whoever is led there fails, always in the same way.
pub(crate) fn cdn_edge_fault(world: &mut World) -> Truth {
    let home = world.subject().city.region;
    let met = loop {
        let often = |w: &World, i: usize| {
            if w.stations[i].city.region == home {
                0.75
            } else {
                0.25
            }
        };
        let met = met(world, often);
        let rest = world.stations.len() - met.len();
        if met.len() > 1 && rest > 0 && (rest > 1 || world.stations.len() < 6) {
            break met;
        }
    };
    let web = world.case.target.depth() == onlyhere_proto::Stage::Http;
    let does = match world
        .random
        .weighted(&[(0.6, 0), (0.2, 1), (if web { 0.2 } else { 0.0 }, 2)])
    {
        0 => Does::Drop,
        1 => Does::Rst,
        _ => Does::Page(502, vec![("server", "edge")]),
    };
    world
        .rules
        .push(Rule::new(At::Edge, does).of(met.clone()).to(To::Site));
    let scopes = shared_scopes(world, &met);
    Truth::new(
        Some(CauseId::CdnEdgeFault),
        &scopes,
        &[Actor::Site, Actor::Transit],
    )
    .like(&[CauseId::RoutingFault])
}
