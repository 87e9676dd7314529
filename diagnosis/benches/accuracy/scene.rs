//! The first generator's world as a network that can be tried.

use std::net::{IpAddr, Ipv6Addr};

use onlyhere_diagnosis::Case;
use onlyhere_proto::{Family, Outcome, ResolverKind, Stage, special_range};

use crate::network::{Network, Question, Step, Trip, Truth};
use crate::nuisance;
use crate::path::{Met, proxy_address};
use crate::place;
use crate::rule::{At, Part};
use crate::world::{Health, World, YOU};

/// A world with what is the matter in it.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) truth: Truth,
}

impl Network for Scene {
    fn case(&self) -> &Case {
        &self.world.case
    }

    fn truth(&self) -> &Truth {
        &self.truth
    }

    fn link_ms(&mut self, station: usize, at: f64) -> Option<f64> {
        let world = &mut self.world;
        let s = &world.stations[station];
        if matches!(s.health, Health::Lost(from) if at >= from) {
            return None;
        }
        let way = place::round_trip_ms(s.city, place::CITIES[0]) / 2.0;
        Some(way + s.access_ms / 2.0 + world.random.exponential(0.5))
    }

    fn source(&self, station: usize, family: Family) -> Option<IpAddr> {
        let s = &self.world.stations[station];
        Some(match family {
            Family::V4 => s.local,
            Family::V6 => s.address_v6,
        })
    }

    fn hosts_entries(&self, station: usize, host: &str) -> Vec<IpAddr> {
        if host == "localhost" {
            return vec![[127, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into()];
        }
        if station == YOU && host == self.world.site.host {
            return self.world.hosts_entries.clone();
        }
        Vec::new()
    }

    fn resolve(&mut self, question: &Question<'_>) -> Vec<Step> {
        let world = &mut self.world;
        let servers = match question.kind {
            ResolverKind::Authoritative => world.zone_servers.clone(),
            _ => vec![
                question
                    .resolver
                    .unwrap_or(world.stations[question.station].resolver),
            ],
        };
        servers
            .into_iter()
            .map(|server| {
                let says = world.says(question);
                let step = world.name_step(question, server, &says);
                nuisance::disturb_name(world, question, step)
            })
            .collect()
    }

    fn climb(&mut self, trip: &Trip<'_>) -> Vec<Step> {
        let world = &mut self.world;
        if trip.address.is_ipv6() && !world.stations[trip.station].has_v6 {
            return vec![Step::not_measured(Stage::Tcp, "no IPv6 here")];
        }
        if trip.station != YOU && special_range(trip.address).is_some() {
            return vec![Step::not_measured(Stage::Tcp, "a private address")];
        }
        let steps = match trip.way.proxy.as_deref().and_then(proxy_address) {
            Some(proxy) => world.through_proxy(trip, proxy),
            None => world.climb_plainly(trip),
        };
        nuisance::disturb(world, trip, steps)
    }

    fn echo(&mut self, trip: &Trip<'_>) -> Step {
        let world = &mut self.world;
        if trip.address.is_ipv6() && !world.stations[trip.station].has_v6 {
            return Step::not_measured(Stage::Icmp, "no IPv6 here");
        }
        let swallowed = world
            .rules
            .iter()
            .filter(|r| r.echo && r.concerns(world, trip.station, trip.address))
            .filter(|r| !(r.spares_second_source && trip.way.source.is_some()))
            .any(|r| !(r.spares_way_out && trip.way.interface.is_some()));
        let answers = world.machine(trip.address).is_some_and(|m| m.up && m.pings);
        let deaf = world.stations[trip.station].deaf_to_icmp;
        let step = if answers && !swallowed && !deaf {
            let elapsed = world.round_trip(trip.station, trip.address, At::Host, 0.5);
            Step::new(Stage::Icmp, elapsed, Outcome::Ok)
        } else {
            Step::new(Stage::Icmp, trip.timeout_ms, Outcome::Timeout)
        };
        nuisance::disturb_echo(world, trip, step)
    }

    fn rung(&mut self, trip: &Trip<'_>, ttl: u8) -> Step {
        let world = &mut self.world;
        let hops = world.machine(trip.address).map_or(12, |m| m.hops);
        let hop_of = |at: At| match at {
            At::Own => 0,
            At::Gateway => 1,
            At::Lan => 2,
            At::Access => 4,
            At::Transit => hops - 2,
            At::Edge => hops - 1,
            At::Host => hops,
        };
        let blocked = world.in_the_way(trip, Part::Syn).map(|r| hop_of(r.at));
        let reached = blocked.unwrap_or(hops);
        if ttl >= hops || (ttl > reached) || reached == 0 {
            return match world.syn(trip) {
                Met::Said(step) => step,
                Met::Open => {
                    let elapsed = world.round_trip(trip.station, trip.address, At::Host, 0.5);
                    Step::new(Stage::Tcp, elapsed, Outcome::Ok)
                }
            };
        }
        let at = match ttl {
            1 => At::Gateway,
            2 => At::Lan,
            t if t <= 4.min(hops - 3) => At::Access,
            t if t == hops - 1 => At::Edge,
            _ => At::Transit,
        };
        world.time_exceeded(trip, at, ttl)
    }

    fn listed(&mut self, _zone: &str) -> Option<bool> {
        let world = &mut self.world;
        (!world.random.chance(0.05)).then_some(world.listed)
    }
}
