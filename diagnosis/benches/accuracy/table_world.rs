//! The second generator, written in another manner: no packets, no ways, only a table. A row says who is affected, what
//! the affected see and how often, where on the way the refusal is made, and whether echoes and other ports answer; it is
//! the table of the field's knowledge, taken literally. What is tuned on the first generator can be checked on this one.
//!
//! It shares the stage (stations, target, controls), the event loop and the rules of what counts as right with the first,
//! and none of its faults and nuisances.

use std::collections::BTreeMap;
use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{Family, IcmpError, Outcome, ResolverKind, SaidBy, Stage};

use crate::exchange::page;
use crate::network::{Network, Question, Step, Trip, Truth};
use crate::place;
use crate::random::Random;
use crate::resolving::dns_step;
use crate::table_columns::{Hits, Name, Ping, Place, Row, See};
use crate::table_rows::ROWS;
use crate::world::{World, YOU};

/// A station's own condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Condition {
    Good,
    Broken,
    PathBad,
    Banned,
    Gone,
}

/// One case.
#[derive(Debug)]
pub(crate) struct TableScene {
    pub(crate) world: World,
    pub(crate) row: &'static Row,
    pub(crate) truth: Truth,
    pub(crate) affected: Vec<bool>,
    pub(crate) conditions: Vec<Condition>,
    /// What was drawn once and stays.
    pub(crate) settled: BTreeMap<(usize, IpAddr), See>,
    pub(crate) one_address: Option<IpAddr>,
    pub(crate) ports_matter: bool,
    pub(crate) pings: bool,
    pub(crate) other_port: Outcome,
    pub(crate) down: Vec<(f64, f64)>,
    pub(crate) wrong: IpAddr,
    pub(crate) random: Random,
}

/// The names of the classes.
pub(crate) fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Draws a case of a row.
pub(crate) fn draw(name: &str, seed: u64, stream: u64, pool: usize, noise: f64) -> TableScene {
    let row = ROWS.iter().find(|row| row.name == name).expect("a row");
    let mark = name
        .bytes()
        .fold(7u64, |sum, b| sum.wrapping_mul(37).wrapping_add(b.into()));
    for attempt in 0.. {
        let mut random = Random::new(seed ^ 0x7ab1e, &[mark, stream, attempt]);
        let stage = Random::new(seed ^ 0x57a6e, &[mark, stream, attempt]);
        let mut world = World::draw(stage, pool, noise, stream);
        let fits = world.case.target.is_tls() || row.any_layer;
        if !fits || !(row.fits)(&world) {
            continue;
        }
        let affected = affected(row, &world, &mut random);
        let conditions = conditions(&world, &mut random);
        let gone = |c: &Condition| *c != Condition::Good;
        for (station, _) in conditions.iter().enumerate().filter(|(_, c)| gone(c)) {
            world.stations[station].health = crate::world::Health::Lost(0.0);
        }
        let own = world.site.answers_near(world.subject().city);
        let one_address = (row.hits == Hits::OneAddress).then(|| random.pick(&own));
        let wrong = match row.name_says {
            Name::Bogon => [10, 10, 34, 36].into(),
            _ => world.strange_machine(Family::V4),
        };
        let truth = (row.truth)(&mut world, &affected);
        (row.furnish)(&mut world, wrong);
        return TableScene {
            truth,
            affected,
            conditions,
            settled: BTreeMap::new(),
            one_address,
            ports_matter: random.chance(0.6),
            pings: random.chance(0.75),
            other_port: random.weighted(&[
                (0.65, Outcome::Ok),
                (0.1, Outcome::Refused),
                (0.25, Outcome::Timeout),
            ]),
            down: down_spans(&mut random),
            wrong,
            world,
            row,
            random,
        };
    }
    unreachable!("some stage fits every row")
}

fn affected(row: &Row, world: &World, random: &mut Random) -> Vec<bool> {
    let narrow = random.chance(0.4);
    let you = world.subject();
    loop {
        let hit = |(number, s): (usize, &crate::world::Station)| {
            let often = match row.hits {
                Hits::Nobody => 0.0,
                Hits::You | Hits::YourV6 => 0.0,
                Hits::As => f64::from(u8::from(s.asn == you.asn)),
                Hits::AsOrPrefix => {
                    let prefix = place_of(s.address) == place_of(you.address);
                    f64::from(u8::from(s.asn == you.asn && (prefix || !narrow)))
                }
                Hits::Country => 0.96 * f64::from(u8::from(s.city.country == you.city.country)),
                Hits::Region => 0.85 * f64::from(u8::from(s.city.region == you.city.region)),
                Hits::Half => 0.5,
                Hits::Everybody | Hits::OneAddress | Hits::TheirV6 => 1.0,
                Hits::Datacenters => {
                    0.65 * f64::from(u8::from(
                        s.class == onlyhere_proto::VantageClass::Datacenter,
                    ))
                }
            };
            let is_you = number == YOU && !matches!(row.hits, Hits::Nobody | Hits::Datacenters);
            is_you || random.chance(often)
        };
        let affected: Vec<bool> = world.stations.iter().enumerate().map(hit).collect();
        let many = affected.iter().filter(|a| **a).count();
        let mixed = many > 1 && many < affected.len();
        if mixed || !matches!(row.hits, Hits::Region | Hits::Half) {
            return affected;
        }
    }
}

fn place_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
    }
}

fn conditions(world: &World, random: &mut Random) -> Vec<Condition> {
    let level = world.noise;
    let draw = |number: usize| match number {
        YOU => Condition::Good,
        _ => random.weighted(&[
            (0.03 * level, Condition::Broken),
            (0.015 * level, Condition::PathBad),
            (0.006 * level, Condition::Banned),
            (0.01 * level, Condition::Gone),
            (1.0 - 0.061 * level, Condition::Good),
        ]),
    };
    (0..world.stations.len()).map(draw).collect()
}

/// Up .55 of the time, some seven seconds each.
fn down_spans(random: &mut Random) -> Vec<(f64, f64)> {
    let (mut at, mut down) = (-14_000.0, random.chance(0.45));
    let mut spans = Vec::new();
    while at < 30_000.0 {
        let end = at + random.exponential(if down { 6_300.0 } else { 7_700.0 });
        if down {
            spans.push((at, end));
        }
        (at, down) = (end, !down);
    }
    spans
}

impl Network for TableScene {
    fn case(&self) -> &Case {
        &self.world.case
    }

    fn truth(&self) -> &Truth {
        &self.truth
    }

    fn link_ms(&mut self, station: usize, _: f64) -> Option<f64> {
        let s = &self.world.stations[station];
        let way = 3.0 + place::round_trip_ms(s.city, place::CITIES[0]) * 0.6;
        (self.conditions[station] != Condition::Gone).then_some(way)
    }

    fn source(&self, station: usize, family: Family) -> Option<IpAddr> {
        let s = &self.world.stations[station];
        Some(if family == Family::V4 {
            s.local
        } else {
            s.address_v6
        })
    }

    fn hosts_entries(&self, station: usize, host: &str) -> Vec<IpAddr> {
        let is = station == YOU && host == self.world.site.host;
        if is {
            self.world.hosts_entries.clone()
        } else {
            Vec::new()
        }
    }

    fn resolve(&mut self, question: &Question<'_>) -> Vec<Step> {
        let of_site = question.host == self.world.site.host;
        let station = question.station;
        let own = question.kind == ResolverKind::System;
        let hit = self.affected[station]
            && (of_site || self.row.controls_too)
            && (own || self.row.every_resolver);
        let server = question.resolver.unwrap_or(match question.kind {
            ResolverKind::Authoritative => self.world.zone_servers[0],
            _ => self.world.stations[station].resolver,
        });
        let elapsed = self.world.stations[station].resolver_ms + self.random.exponential(15.0);
        let fails = |outcome, rcode, elapsed| {
            vec![dns_step(
                question.record_type,
                question.kind,
                server,
                outcome,
                rcode,
                elapsed,
                &[],
            )]
        };
        if hit {
            match self.row.name_says {
                Name::Nxdomain => return fails(Outcome::Nxdomain, Some(3), elapsed),
                Name::Servfail if own => return fails(Outcome::Servfail, Some(2), elapsed),
                Name::Servfail => return fails(Outcome::Timeout, None, question.timeout_ms),
                Name::Silence => return fails(Outcome::Timeout, None, question.timeout_ms),
                _ => {}
            }
        }
        let site = self
            .world
            .controls
            .iter()
            .chain([&self.world.site])
            .find(|s| s.host == question.host);
        let city = self.world.stations[station].city;
        let mut addresses = site.map_or(Vec::new(), |s| s.answers_near(city));
        if hit
            && matches!(
                self.row.name_says,
                Name::Wrong | Name::Bogon | Name::BlockPage
            )
        {
            addresses = vec![self.wrong];
        }
        addresses.retain(|a| Family::of(*a) == question.record_type.family());
        let outcome = if addresses.is_empty() {
            Outcome::NoAnswer
        } else {
            Outcome::Ok
        };
        vec![dns_step(
            question.record_type,
            question.kind,
            server,
            outcome,
            Some(0),
            elapsed,
            &addresses,
        )]
    }

    fn climb(&mut self, trip: &Trip<'_>) -> Vec<Step> {
        if trip.address.is_ipv6() && !self.world.stations[trip.station].has_v6 {
            return vec![Step::not_measured(Stage::Tcp, "no IPv6 here")];
        }
        if trip.address == self.wrong && matches!(self.row.name_says, Name::Bogon) {
            if trip.station != YOU {
                return vec![Step::not_measured(Stage::Tcp, "a private address")];
            }
            return self.steps(trip, See::Timeout, Place::None);
        }
        let (see, place) = self.outcome(trip);
        let proxy = trip
            .way
            .proxy
            .as_deref()
            .and_then(crate::path::proxy_address);
        let Some(proxy) = proxy else {
            return self.steps(trip, see, place);
        };
        let mut steps = match see {
            // An error of the proxy's own comes before there is anybody to shake hands with.
            See::Http(status) if self.row.only_proxy => {
                let tcp = Step::new(Stage::Tcp, 2.0, Outcome::Ok);
                vec![tcp, page(5.0, status, &[("via", "1.1 proxy")])]
            }
            _ => self.steps(trip, see, place),
        };
        steps[0].to = Some(proxy);
        steps
    }

    fn echo(&mut self, trip: &Trip<'_>) -> Step {
        if trip.address.is_ipv6() && !self.world.stations[trip.station].has_v6 {
            return Step::not_measured(Stage::Icmp, "no IPv6 here");
        }
        let whom = self.affected[trip.station]
            && !(self.row.hits == Hits::TheirV6 && trip.address.is_ipv4());
        let dead =
            whom && self.row.ping == Ping::No || self.conditions[trip.station] == Condition::Broken;
        let lost = self.random.chance(0.02 * self.world.noise);
        if !self.pings || dead || lost || trip.address == self.wrong {
            return Step::new(Stage::Icmp, trip.timeout_ms, Outcome::Timeout);
        }
        let elapsed = self.round_trip(trip.station, trip.address);
        Step::new(Stage::Icmp, elapsed, Outcome::Ok)
    }

    fn rung(&mut self, trip: &Trip<'_>, ttl: u8) -> Step {
        const HOPS: u8 = 12;
        let (see, place) = self.outcome(trip);
        let last = match place {
            _ if !self.is_hit(trip) => HOPS,
            Place::Itself => 0,
            Place::Near => 2,
            Place::Middle => 6,
            Place::Server | Place::None => HOPS - 1,
        };
        if ttl > last {
            return self.steps(trip, see, place).remove(0);
        }
        let mut step = Step::new(Stage::Tcp, trip.timeout_ms, Outcome::Timeout);
        if self.random.chance(0.85) {
            step.outcome = Outcome::Unreachable;
            let part = f64::from(ttl) / f64::from(HOPS);
            step.elapsed_ms = self.round_trip(trip.station, trip.address) * part;
            let place = if ttl < 3 { Place::Near } else { Place::Middle };
            let from = self.sender(trip, place);
            let icmp_type = if from.is_ipv4() { 11 } else { 3 };
            step.said_by = Some(SaidBy::Icmp {
                icmp: IcmpError {
                    icmp_type,
                    code: 0,
                    from,
                },
            });
        }
        step
    }

    fn listed(&mut self, _: &str) -> Option<bool> {
        Some(self.world.listed)
    }
}
