//! Faults of the subject's own machine and line.

use onlyhere_proto::{Actor, CauseId, CertificateError, Family, Listener, Symptom, Target};

use crate::network::Truth;
use crate::rule::{At, Does, NameRule, Rule, Says, To};
use crate::world::{Port, Presented, Proxy, World, YOU};

pub(crate) fn browser_only(world: &mut World) -> Truth {
    let seen = world.random.pick(&[
        Symptom::Refused,
        Symptom::Timeout,
        Symptom::Reset,
        Symptom::Tls,
        Symptom::Dns,
    ]);
    world.case.conditions.seen = Some(seen);
    Truth::local(CauseId::BrowserOnly)
}

pub(crate) fn firewall(world: &mut World) -> Truth {
    let tls = if world.case.target.is_tls() {
        0.15
    } else {
        0.0
    };
    let does = match world
        .random
        .weighted(&[(0.5, 0), (0.2, 1), (tls, 2), (0.15, 3)])
    {
        0 => Does::Rst,
        1 => Does::Drop,
        2 => Does::HelloReset,
        _ => Does::Icmp(13),
    };
    let port = world.site.port;
    let mut rule = Rule::new(At::Own, does).of(vec![YOU]);
    rule = match world.random.below(3) {
        0 => rule.to(To::Everything).ports(&[port]),
        1 => rule.to(To::Site).ports(&[port]),
        _ => rule.to(To::Site),
    };
    world.rules.push(rule);
    Truth::local(CauseId::LocalFirewall).like(&[CauseId::NetworkBlock])
}

pub(crate) fn offline(world: &mut World) -> Truth {
    let everything = |does| {
        Rule::new(At::Gateway, does)
            .of(vec![YOU])
            .to(To::Everything)
            .with_echo()
    };
    let silent = NameRule::of(vec![YOU], Says::Silence)
        .of_every_name()
        .of_configured_too();
    match world.random.below(3) {
        0 => {
            world.rules.push(everything(Does::Drop));
            world.names.push(silent);
        }
        1 => {
            world.rules.push(everything(Does::Icmp(0)));
            world.names.push(silent);
        }
        // The resolver at home still knows what it was asked before.
        _ => world.rules.push(everything(Does::Drop)),
    }
    let mut truth = Truth::local(CauseId::LocalOffline);
    truth.actors.push(Actor::YourNetwork);
    truth
}

/// A proxy is set, and dead; without it all is well.
pub(crate) fn proxy(world: &mut World) -> Truth {
    world.case.subject.local.proxies = vec!["https_proxy=http://127.0.0.1:3128".to_owned()];
    world.proxy = world.random.weighted(&[
        (0.55, Proxy::Refuses),
        (0.15, Proxy::Silent),
        (0.2, Proxy::Answers(503)),
        (0.1, Proxy::AnswersForTarget(403)),
    ]);
    if world.random.chance(0.6) {
        world.case.conditions.seen = Some(match world.proxy {
            Proxy::Refuses => Symptom::Refused,
            Proxy::Silent => Symptom::Timeout,
            _ => Symptom::Http,
        });
    }
    let mut truth = Truth::local(CauseId::LocalProxy);
    truth.actors.push(Actor::YourNetwork);
    truth
}

pub(crate) fn vpn(world: &mut World) -> Truth {
    let local = &mut world.case.subject.local;
    local.tunnel = Some("wg0".to_owned());
    local.way_out = Some("eth0".to_owned());
    let to = if world.random.chance(0.7) {
        To::Everything
    } else {
        To::Site
    };
    let at = if world.random.chance(0.7) {
        At::Lan
    } else {
        At::Access
    };
    let rule = Rule::new(at, Does::Drop)
        .of(vec![YOU])
        .to(to)
        .sparing_way_out()
        .with_echo();
    world.rules.push(rule);
    Truth::local(CauseId::LocalVpn)
}

/// An entry that was right once, or never.
pub(crate) fn hosts_file(world: &mut World) -> Truth {
    let entry = match world
        .random
        .weighted(&[(0.25, 0), (0.3, 1), (0.2, 2), (0.25, 3)])
    {
        0 => [127, 0, 0, 1].into(),
        kind => {
            let address = world.strange_machine(Family::V4);
            let machine = world.machines.last_mut().expect("just added");
            match kind {
                1 => machine.port = Port::Closed,
                2 => machine.up = false,
                _ => {}
            }
            address
        }
    };
    world.hosts_entries = vec![entry];
    world.case.subject.local.hosts_entries = vec![entry];
    Truth::local(CauseId::HostsFile)
}

pub(crate) fn family_broken(world: &mut World) -> Truth {
    let does = if world.random.chance(0.65) {
        Does::Drop
    } else {
        Does::Icmp(0)
    };
    let at = if world.random.chance(0.5) {
        At::Gateway
    } else {
        At::Access
    };
    world.rules.push(
        Rule::new(at, does)
            .of(vec![YOU])
            .to(To::Family(Family::V6))
            .with_echo(),
    );
    let mut truth = Truth::local(CauseId::FamilyBroken);
    truth.actors.push(Actor::YourNetwork);
    truth
}

/// Everything leads to the page that wants a name and a room number.
pub(crate) fn captive_portal(world: &mut World) -> Truth {
    let portal = Presented {
        names: vec!["login.hotspot.example".to_owned()],
        issuer: "CN=hotspot".to_owned(),
        valid: (-100, 800),
        error: Some(CertificateError::UnknownIssuer),
    };
    if world.random.chance(0.4) {
        world.strange_machine(Family::V4);
        let machine = world.machines.last_mut().expect("just added");
        machine.address = [10, 0, 0, 1].into();
        machine.city = world.stations[YOU].city;
        machine.presented = portal;
        machine.status = 511;
        machine.open = vec![80, 443];
        machine.hops = 7;
        let says = Says::Addresses(vec![[10, 0, 0, 1].into()]);
        world.names.push(
            NameRule::of(vec![YOU], says)
                .of_every_name()
                .of_configured_too(),
        );
    } else {
        let at = |does| {
            Rule::new(At::Gateway, does)
                .of(vec![YOU])
                .to(To::Everything)
        };
        world.rules.push(at(Does::Present(portal)));
        world
            .rules
            .push(at(Does::Page(511, vec![("server", "hotspot")])));
    }
    Truth::local(CauseId::CaptivePortal).like(&[CauseId::TlsInterception])
}

pub(crate) fn tls_interception(world: &mut World) -> Truth {
    let shield = Presented {
        names: vec![world.site.host.clone()],
        issuer: world
            .random
            .pick(&["CN=Web Shield Root, O=Antivirus", "CN=Corp TLS Inspection"])
            .to_owned(),
        valid: (-10, 300),
        error: Some(CertificateError::UnknownIssuer),
    };
    let to = if world.random.chance(0.85) {
        To::Everything
    } else {
        To::Site
    };
    let at = if world.random.chance(0.6) {
        At::Own
    } else {
        At::Lan
    };
    world
        .rules
        .push(Rule::new(at, Does::Present(shield)).of(vec![YOU]).to(to));
    let mut truth = Truth::local(CauseId::TlsInterception);
    truth.actors.push(Actor::YourNetwork);
    truth
}

/// A service of this machine's own.
pub(crate) fn service_down(world: &mut World) -> Truth {
    let port = world.random.pick(&[3000, 5173, 8000, 8080]);
    world.case.target = Target::parse(&format!("http://localhost:{port}/")).expect("a target");
    world.case.subject.local.listeners = vec![Listener {
        address: [127, 0, 0, 1].into(),
        port: 631,
        program: Some("cupsd".to_owned()),
    }];
    world.site.host = "localhost".to_owned();
    world.site.port = port;
    world.site.edges.clear();
    world.stations[YOU].has_v6 = true;
    Truth::local(CauseId::LocalServiceDown)
}
