//! Faults of names: the zone's, a resolver's, the provider's.

use onlyhere_proto::{Actor, CauseId, Family, Scope};

use super::{network_scopes, own_network};
use crate::network::Truth;
use crate::rule::{NameRule, Says};
use crate::world::{Port, World, YOU};

/// The zone leads to somebody else's machine; its owner says where it should lead.
pub(crate) fn wrong_address(world: &mut World) -> Truth {
    let real = world.site.addresses();
    let wrong = match world
        .random
        .weighted(&[(0.3, 0), (0.25, 1), (0.25, 2), (0.2, 3)])
    {
        3 => [10, 20, 30, 40].into(),
        kind => {
            let address = world.strange_machine(Family::V4);
            let machine = world.machines.last_mut().expect("just added");
            match kind {
                0 => machine.port = Port::Closed,
                1 => machine.up = false,
                _ => {}
            }
            address
        }
    };
    let is_private = wrong.is_ipv4() && onlyhere_proto::special_range(wrong).is_some();
    if !is_private || world.random.chance(0.5) {
        world.case.conditions.expected_addresses = real;
    }
    let says = Says::Addresses(vec![wrong]);
    world.names.push(NameRule::everywhere(says));
    let actors = [Actor::DnsOperator, Actor::Site];
    Truth::new(Some(CauseId::WrongAddress), &[Scope::Global], &actors)
}

pub(crate) fn dns_missing(world: &mut World) -> Truth {
    let says = if world.random.chance(0.75) {
        Says::Nxdomain
    } else {
        Says::Empty
    };
    world.names.push(NameRule::everywhere(says));
    Truth::new(
        Some(CauseId::DnsMissing),
        &[Scope::Global],
        &[Actor::DnsOperator, Actor::Site],
    )
}

pub(crate) fn dns_broken(world: &mut World) -> Truth {
    let (says, theirs) = match world.random.weighted(&[(0.5, 0), (0.2, 1), (0.3, 2)]) {
        // its servers are gone
        0 => (Says::Servfail, Says::Silence),
        1 => (Says::Silence, Says::Silence),
        // its signatures are bad, or it was never delegated to them
        _ => (Says::Servfail, Says::Refused),
    };
    world.names.push(NameRule {
        authoritative: false,
        ..NameRule::everywhere(says)
    });
    world.names.push(NameRule::everywhere(theirs));
    Truth::new(
        Some(CauseId::DnsBroken),
        &[Scope::Global],
        &[Actor::DnsOperator, Actor::Site],
    )
}

/// The record has changed, some resolvers do not know it yet, and the old address is dead.
pub(crate) fn dns_stale(world: &mut World) -> Truth {
    let old = world.strange_machine(Family::V4);
    let kind = world.random.weighted(&[(0.5, 0), (0.3, 1), (0.2, 2)]);
    let machine = world.machines.last_mut().expect("just added");
    match kind {
        0 => machine.port = Port::Closed,
        1 => machine.up = false,
        _ => {}
    }
    let mut met = vec![YOU];
    for station in 1..world.stations.len() {
        if world.random.chance(0.5) {
            met.push(station);
        }
    }
    world
        .names
        .push(NameRule::of(met, Says::Addresses(vec![old])));
    let actors = [Actor::DnsOperator, Actor::Nobody, Actor::Site];
    Truth::new(Some(CauseId::DnsStale), &[Scope::TargetAddress], &actors)
}

/// What a resolver that lies or fails says: nothing, an address that leads nowhere, or a page's that says "blocked".
fn ill_answer(world: &mut World) -> Says {
    match world
        .random
        .weighted(&[(0.18, 0), (0.17, 1), (0.1, 2), (0.25, 3), (0.3, 4)])
    {
        0 => Says::Nxdomain,
        1 => Says::Servfail,
        2 => Says::Silence,
        3 => Says::Addresses(vec![world.random.pick(&[
            [127, 0, 0, 1].into(),
            [10, 10, 34, 35].into(),
            [0, 0, 0, 0].into(),
        ])]),
        _ => {
            let address = world.strange_machine(Family::V4);
            let machine = world.machines.last_mut().expect("just added");
            machine.presented.names = vec!["blockpage.example".to_owned()];
            Says::Addresses(vec![address])
        }
    }
}

/// The provider's.
pub(crate) fn local_resolver_isp(world: &mut World) -> Truth {
    let says = ill_answer(world);
    let met = own_network(world);
    world.names.push(NameRule::of(met, says));
    let scopes = network_scopes(world);
    let truth = Truth::new(
        Some(CauseId::LocalResolver),
        &scopes,
        &[Actor::YourNetwork, Actor::You],
    );
    if scopes.len() > 1 {
        // Nobody else of the provider's is there to tell.
        truth.or(Some(CauseId::LocalResolver), Scope::Local)
    } else {
        truth
    }
}

/// The subject's own, or its home router's.
pub(crate) fn local_resolver_own(world: &mut World) -> Truth {
    let rule = match world.random.chance(0.3) {
        true => {
            let says = if world.random.chance(0.5) {
                Says::Servfail
            } else {
                Says::Silence
            };
            NameRule::of(vec![YOU], says).of_every_name()
        }
        false => NameRule::of(vec![YOU], ill_answer(world)),
    };
    world.names.push(rule);
    let actors = [Actor::You, Actor::YourNetwork];
    let truth = Truth::new(Some(CauseId::LocalResolver), &[Scope::Local], &actors);
    match network_scopes(world).len() {
        1 => truth,
        _ => truth
            .or(Some(CauseId::LocalResolver), Scope::Source)
            .or(Some(CauseId::LocalResolver), Scope::SourceNetwork),
    }
}
