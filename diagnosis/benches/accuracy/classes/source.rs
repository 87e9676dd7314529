//! Faults of the subject's address or network alone, as the target sees it or on the way there.

use std::net::IpAddr;

use onlyhere_proto::{Actor, CauseId, Scope, Stage};

use super::{address_scopes, has_witness, network_scopes, own_network, service_ports};
use crate::network::Truth;
use crate::rule::{At, Does, Rule, To};
use crate::world::{Presented, World, YOU};

pub(crate) fn ip_ban(world: &mut World) -> Truth {
    let v4 = To::SiteFamily(onlyhere_proto::Family::V4);
    let base = |does| {
        Rule::new(At::Host, does)
            .of(vec![YOU])
            .to(v4.clone())
            .sparing_second_source()
    };
    let ports = service_ports(world);
    let rule = match world
        .random
        .weighted(&[(0.32, 0), (0.25, 1), (0.1, 2), (0.18, 3), (0.15, 4)])
    {
        // fail2ban's jail of a web server
        0 => base(Does::Icmp(3)).ports(&ports),
        // a blocklist of the whole host
        1 => base(Does::Drop).with_echo(),
        2 => base(Does::Rst).ports(&ports),
        3 => base(Does::Drop).ports(&ports),
        _ => base(Does::Icmp(13)),
    };
    world.rules.push(rule);
    world.listed |= world.random.chance(0.3);
    let truth = Truth::new(Some(CauseId::IpBan), &address_scopes(world), &[Actor::Site]);
    // Whoever shares the address's network gets through, so it is no block of the network.
    match has_witness(world, &world.siblings()) {
        true => truth,
        false => truth
            .like(&[CauseId::NetworkBlock])
            .like_at(&[Scope::SourceNetwork]),
    }
}

pub(crate) fn waf_block(world: &mut World) -> Truth {
    let headers = vec![("server", "cloudflare"), ("cf-mitigated", "challenge")];
    let does = match world
        .random
        .weighted(&[(0.55, 0), (0.2, 1), (0.15, 2), (0.1, 3)])
    {
        0 => Does::Page(403, headers),
        1 => Does::Page(403, vec![("server", "nginx"), ("x-waf", "blocked")]),
        2 => Does::Page(406, vec![("server", "Apache")]),
        // nginx's 444
        _ => Does::PageClose,
    };
    let rule = Rule::new(At::Edge, does).of(vec![YOU]);
    world.rules.push(rule.sparing_second_source());
    Truth::new(
        Some(CauseId::WafBlock),
        &address_scopes(world),
        &[Actor::Site],
    )
    .like(&[CauseId::IpBan])
}

pub(crate) fn rate_limited(world: &mut World) -> Truth {
    let does = Does::Page(429, vec![("server", "nginx"), ("retry-after", "60")]);
    let rule = Rule::new(At::Host, does).of(vec![YOU]);
    world.rules.push(rule.sparing_second_source());
    Truth::new(
        Some(CauseId::RateLimited),
        &address_scopes(world),
        &[Actor::Site, Actor::You],
    )
}

pub(crate) fn network_block_isp(world: &mut World) -> Truth {
    let web = world.case.target.depth() == Stage::Http;
    let name = if web { 0.25 } else { 0.0 };
    let does =
        match world
            .random
            .weighted(&[(0.42, 0), (0.3, 1), (name, 2), (0.08, 3), (name / 3.0, 4)])
        {
            0 => Does::Drop,
            1 => Does::Rst,
            2 => Does::HelloReset,
            4 => Does::HelloDrop,
            _ => Does::Icmp(13),
        };
    let mut rule = Rule::new(At::Access, does).of(own_network(world));
    rule = rule.somewhere(&mut world.random);
    if world.random.chance(0.6) {
        rule = rule.ports(&service_ports(world));
    } else {
        rule = rule.with_echo();
    }
    world.rules.push(rule);
    Truth::new(
        Some(CauseId::NetworkBlock),
        &network_scopes(world),
        &[Actor::YourNetwork],
    )
    .like(&[CauseId::RoutingFault])
}

/// By the target: the whole AS, or the prefix.
pub(crate) fn network_block_site(world: &mut World) -> Truth {
    let prefix = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
    };
    let own = prefix(world.subject().address);
    let narrow = world.random.chance(0.4);
    let mut met = own_network(world);
    if narrow {
        met.retain(|i| prefix(world.stations[*i].address) == own);
    }
    let web = world.case.target.depth() == Stage::Http;
    let page = if web { 0.15 } else { 0.0 };
    let does = match world
        .random
        .weighted(&[(0.45, 0), (0.25, 1), (0.15, 2), (page, 3)])
    {
        0 => Does::Drop,
        1 => Does::Icmp(13),
        2 => Does::Rst,
        _ => Does::Page(403, vec![("server", "nginx")]),
    };
    let at = if world.random.chance(0.6) {
        At::Host
    } else {
        At::Edge
    };
    world.rules.push(
        Rule::new(at, does)
            .of(met.clone())
            .ports(&service_ports(world)),
    );
    let truth = Truth::new(
        Some(CauseId::NetworkBlock),
        &network_scopes(world),
        &[Actor::Site],
    );
    match has_witness(world, &met) {
        true => truth,
        // Nobody who shares the block is there.
        false => {
            let blocked = [CauseId::IpBan, CauseId::RoutingFault, CauseId::WafBlock];
            let mut truth = truth
                .like(&blocked)
                .like_at(&[Scope::SourceAddress, Scope::Source]);
            if narrow {
                truth.scopes = vec![Scope::Source, Scope::SourceNetwork];
            }
            truth
        }
    }
}

/// By the office's or school's own filter.
pub(crate) fn network_block_lan(world: &mut World) -> Truth {
    let web = world.case.target.depth() == Stage::Http;
    let page = if web { 0.2 } else { 0.0 };
    let does = match world
        .random
        .weighted(&[(0.4, 0), (0.3, 1), (0.15, 2), (page, 3)])
    {
        0 => Does::Rst,
        1 => Does::Drop,
        2 => Does::Icmp(13),
        _ if world.case.target.is_tls() => Does::Present(Presented {
            names: vec!["blocked.corp.example".to_owned()],
            issuer: "CN=Corp Web Filter".to_owned(),
            valid: (-300, 300),
            error: None,
        }),
        _ => Does::Page(403, vec![("server", "corp-filter"), ("via", "1.1 filter")]),
    };
    let mut rule = Rule::new(At::Lan, does)
        .of(vec![YOU])
        .somewhere(&mut world.random);
    if world.random.chance(0.6) {
        rule = rule.ports(&service_ports(world));
    }
    world.rules.push(rule);
    let scopes = [Scope::Local, Scope::SourceNetwork, Scope::Source];
    Truth::new(Some(CauseId::NetworkBlock), &scopes, &[Actor::YourNetwork])
        .like(&[CauseId::LocalFirewall])
        .like_at(&[Scope::SourceAddress])
}

pub(crate) fn routing_fault(world: &mut World) -> Truth {
    let does = match world.random.weighted(&[(0.75, 0), (0.25, 1)]) {
        0 => Does::Drop,
        _ => Does::Icmp(0),
    };
    let rule = Rule::new(At::Transit, does)
        .of(own_network(world))
        .with_echo();
    world.rules.push(rule.somewhere(&mut world.random));
    let actors = [Actor::Transit, Actor::YourNetwork];
    Truth::new(Some(CauseId::RoutingFault), &network_scopes(world), &actors)
        .like(&[CauseId::NetworkBlock])
}

pub(crate) fn mtu_blackhole(world: &mut World) -> Truth {
    let wide = world.random.chance(0.5);
    let met = if wide { own_network(world) } else { vec![YOU] };
    let at = if wide { At::Transit } else { At::Access };
    let to = if world.random.chance(0.3) {
        To::Everything
    } else {
        To::Site
    };
    world
        .rules
        .push(Rule::new(at, Does::BigDrop).of(met).to(to));
    let scopes = match wide {
        true => network_scopes(world),
        false => [
            address_scopes(world),
            vec![Scope::Local, Scope::Source, Scope::SourceNetwork],
        ]
        .concat(),
    };
    let actors = [Actor::Transit, Actor::YourNetwork, Actor::You];
    Truth::new(Some(CauseId::MtuBlackhole), &scopes, &actors)
}
