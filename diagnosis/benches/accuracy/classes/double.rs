//! Two things at once, and what changes while one looks.

use onlyhere_proto::{Actor, CauseId, Scope, Stage, VantageClass};

use super::{datacenters, everywhere, local, names};
use crate::network::Truth;
use crate::rule::{At, Does, Rule, To, When};
use crate::world::{World, YOU};

/// Takes most of the hosting companies' addresses for robots.
fn block_robots(world: &mut World, share: f64) {
    let mut met = datacenters(world);
    met.retain(|_| world.random.chance(share));
    let web = world.case.target.depth() == Stage::Http;
    let page = if web { 0.4 } else { 0.0 };
    let reset = if web { 0.2 } else { 0.0 };
    let does = match world
        .random
        .weighted(&[(page, 0), (0.25, 1), (reset, 2), (0.15, 3)])
    {
        0 => Does::Page(
            403,
            vec![("server", "cloudflare"), ("cf-mitigated", "challenge")],
        ),
        1 => Does::Drop,
        2 => Does::HelloReset,
        _ => Does::Rst,
    };
    debug_assert!(
        met.iter()
            .all(|i| world.stations[*i].class == VantageClass::Datacenter)
    );
    world.rules.push(Rule::new(At::Edge, does).of(met));
}

pub(crate) fn waf_of_probes(world: &mut World) -> Truth {
    block_robots(world, 0.65);
    Truth::new(None, &[Scope::Ok], &[Actor::Nobody, Actor::Site])
}

pub(crate) fn waf_and_service_down(world: &mut World) -> Truth {
    block_robots(world, 0.8);
    everywhere::service_down(world)
}

pub(crate) fn isp_dns_and_service_down(world: &mut World) -> Truth {
    names::local_resolver_isp(world);
    everywhere::service_down(world)
}

pub(crate) fn local_firewall_and_host_down(world: &mut World) -> Truth {
    let port = world.site.port;
    let rule = Rule::new(At::Own, Does::Rst)
        .of(vec![YOU])
        .to(To::Site)
        .ports(&[port]);
    world.rules.push(rule);
    everywhere::host_down(world)
}

pub(crate) fn hosts_file_and_service_down(world: &mut World) -> Truth {
    local::hosts_file(world);
    everywhere::service_down(world)
}

/// It is being mended while one looks.
pub(crate) fn fault_clears(world: &mut World) -> Truth {
    let until = world.random.between(600.0, 4_000.0);
    let rule = Rule::new(At::Host, Does::Rst).ports(&[world.site.port]);
    world
        .rules
        .push(rule.when(When::During(vec![(-1e9, until)])));
    Truth::global(CauseId::ServiceDown)
        .like(&[
            CauseId::BoundToLoopback,
            CauseId::WrongPort,
            CauseId::FirewallReject,
        ])
        .or(None, Scope::Ok)
        .or(Some(CauseId::CrashLoop), Scope::Global)
}

/// Nothing is the matter, until somebody knocks too often.
pub(crate) fn ban_by_probing(world: &mut World) -> Truth {
    // Looking once at every address must be allowed.
    let many = world.site.addresses().len() as u32 + world.random.pick(&[2, 3, 5]);
    let does = if world.random.chance(0.5) {
        Does::Icmp(3)
    } else {
        Does::Drop
    };
    world
        .rules
        .push(Rule::new(At::Host, does).when(When::AfterVisits(many)));
    Truth::new(None, &[Scope::Ok], &[Actor::Nobody])
}
