//! The second generator, written in another manner: no packets, no ways, only a table. A row says who is affected, what
//! the affected see and how often, where on the way the refusal is made, and whether echoes and other ports answer; it is
//! the table of the field's knowledge, taken literally. What is tuned on the first generator can be checked on this one.
//!
//! It shares the stage (stations, target, controls), the event loop and the rules of what counts as right with the first,
//! and none of its faults and nuisances.

use std::collections::BTreeMap;
use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    CertificateError, Facts, Family, IcmpError, Outcome, ResolverKind, SaidBy, Stage, TlsFacts,
};

use crate::exchange::page;
use crate::network::{Network, Question, Step, Trip, Truth};
use crate::path::{dns_step, tcp_facts};
use crate::place;
use crate::random::Random;
use crate::table_rows::{Hits, Name, Ping, Place, ROWS, Row, See, Settled};
use crate::world::{World, YOU};

/// A station's own condition.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Condition {
    Good,
    Broken,
    PathBad,
    Banned,
    Gone,
}

/// One case.
#[derive(Debug)]
pub struct TableScene {
    world: World,
    row: &'static Row,
    truth: Truth,
    affected: Vec<bool>,
    conditions: Vec<Condition>,
    /// What was drawn once and stays.
    settled: BTreeMap<(usize, IpAddr), See>,
    one_address: Option<IpAddr>,
    ports_matter: bool,
    pings: bool,
    other_port: Outcome,
    down: Vec<(f64, f64)>,
    wrong: IpAddr,
    random: Random,
}

/// The names of the classes.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Draws a case of a row.
pub fn draw(name: &str, seed: u64, stream: u64, pool: usize, noise: f64) -> TableScene {
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

impl TableScene {
    fn round_trip(&mut self, station: usize, address: IpAddr) -> f64 {
        let s = &self.world.stations[station];
        let city = self.world.machine(address).map_or(s.city, |m| m.city);
        let exact = s.access_ms + s.gateway_ms + 1.2 * place::round_trip_ms(s.city, city);
        exact * self.random.between(1.0, 1.06) + self.random.exponential(0.3)
    }

    /// Whether the fault is in the way of this try.
    fn is_hit(&self, trip: &Trip<'_>) -> bool {
        let row = self.row;
        let past = (row.spares_source && trip.way.source.is_some())
            || (row.spares_direct && trip.way.interface.is_some())
            || (row.spares_small && trip.way.max_segment.is_some())
            || (row.only_proxy && trip.way.proxy.is_none());
        let of_site = trip.host == self.world.site.host;
        let whom = match row.hits {
            Hits::YourV6 => trip.address.is_ipv6(),
            Hits::TheirV6 => trip.address.is_ipv6() && of_site,
            Hits::OneAddress => self.one_address == Some(trip.address),
            _ => of_site || row.controls_too,
        };
        let wrong_only = row.name_says == Name::Wrong || row.hosts_entry;
        let wrong = !wrong_only || trip.address == self.wrong;
        let port = trip.port == self.world.site.port || !of_site || !self.other_ports_live();
        self.affected[trip.station] && whom && wrong && port && !past
    }

    /// Whether the fault leaves the host's other ports alone.
    fn other_ports_live(&self) -> bool {
        match self.row.other_ports {
            Ping::AsDrawn => true,
            Ping::Often => self.ports_matter,
            Ping::No => false,
        }
    }

    fn see(&mut self, trip: &Trip<'_>) -> See {
        let row = self.row;
        let key = match row.settled {
            Settled::Case => (YOU, IpAddr::from([0, 0, 0, 0])),
            Settled::Vantage => (trip.station, IpAddr::from([0, 0, 0, 0])),
            Settled::Each => {
                return self.random.weighted(row.mix);
            }
            Settled::Time => {
                let down = self.down.iter().any(|(a, b)| (*a..*b).contains(&trip.at));
                return if down {
                    self.random.weighted(row.mix)
                } else {
                    See::Ok
                };
            }
        };
        let drawn = self.random.weighted(row.mix);
        *self.settled.entry(key).or_insert(drawn)
    }

    /// One try, noise and the station's own condition included.
    fn outcome(&mut self, trip: &Trip<'_>) -> (See, Place) {
        let of_site = trip.host == self.world.site.host;
        match self.conditions[trip.station] {
            Condition::Broken => return (See::Timeout, Place::None),
            Condition::PathBad if of_site => return (See::Timeout, Place::None),
            Condition::Banned if of_site => return (See::Icmp, Place::Server),
            _ => {}
        }
        let noise = if of_site { 0.05 } else { 0.015 } * self.world.noise;
        if self.random.chance(noise) {
            let see = self.random.weighted(&[
                (0.45, See::Timeout),
                (0.15, See::Ok),
                (0.08, See::Rst),
                (0.08, See::Reset),
                (0.06, See::Http(503)),
                (0.05, See::Slow),
                (0.04, See::Icmp),
                (0.04, See::Alert),
            ]);
            return (see, Place::Server);
        }
        if of_site && trip.port != self.world.site.port && !self.is_hit(trip) {
            return match self.other_port {
                Outcome::Ok => (See::Ok, Place::Server),
                Outcome::Refused => (See::Rst, Place::Server),
                _ => (See::Timeout, Place::None),
            };
        }
        if self.is_hit(trip) {
            return (self.see(trip), self.row.place);
        }
        let healthy = [(0.97, See::Ok), (0.03, See::Slow)];
        (self.random.weighted(&healthy), Place::Server)
    }

    fn share(&mut self, place: Place) -> f64 {
        match place {
            Place::Itself => 0.0,
            Place::Near => self.random.between(0.02, 0.22),
            Place::Middle => self.random.between(0.3, 0.7),
            Place::Server | Place::None => 1.0,
        }
    }

    fn sender(&self, trip: &Trip<'_>, place: Place) -> IpAddr {
        let s = &self.world.stations[trip.station];
        match (place, trip.address) {
            (Place::Server | Place::None, address) => address,
            (Place::Middle, IpAddr::V4(_)) => [80, 81, 192, 9].into(),
            (Place::Middle, IpAddr::V6(_)) => place::address_v6(3320, &mut Random::new(9, &[])),
            (_, IpAddr::V4(_)) => [192, 168, 1, 1].into(),
            (_, IpAddr::V6(_)) => s.address_v6,
        }
    }

    fn steps(&mut self, trip: &Trip<'_>, see: See, place: Place) -> Vec<Step> {
        let round_trip = self.round_trip(trip.station, trip.address);
        let share = self.share(place);
        let refused_after = if share == 0.0 {
            0.08
        } else {
            round_trip * share
        };
        let tcp = |outcome, elapsed| Step::new(Stage::Tcp, elapsed, outcome);
        let mut open = tcp(Outcome::Ok, round_trip);
        open.facts = Some(tcp_facts(0, Some(round_trip)));
        match see {
            See::Timeout => return vec![tcp(Outcome::Timeout, trip.timeout_ms)],
            See::Rst => {
                let mut step = tcp(Outcome::Refused, refused_after);
                step.said_by = Some(SaidBy::Rst);
                return vec![step];
            }
            See::Icmp if place == Place::Itself => {
                let mut step = tcp(Outcome::Denied, refused_after);
                step.said_by = Some(SaidBy::Kernel);
                return vec![step];
            }
            See::Icmp => {
                let from = self.sender(trip, place);
                let (icmp_type, code, outcome) = match (from, self.random.chance(0.5)) {
                    (IpAddr::V4(_), true) => (3, 3, Outcome::Refused),
                    (IpAddr::V4(_), false) => (3, 13, Outcome::Denied),
                    (IpAddr::V6(_), true) => (1, 4, Outcome::Refused),
                    (IpAddr::V6(_), false) => (1, 1, Outcome::Denied),
                };
                let mut step = tcp(outcome, refused_after);
                step.said_by = Some(SaidBy::Icmp {
                    icmp: IcmpError {
                        icmp_type,
                        code,
                        from,
                    },
                });
                return vec![step];
            }
            _ => {}
        }
        let mut steps = vec![open];
        if trip.tls {
            let step = self.handshake(trip, see, round_trip);
            let ok = step.outcome == Outcome::Ok;
            steps.push(step);
            if !ok {
                return steps;
            }
        }
        if trip.web {
            let slow = if see == See::Slow {
                self.random.between(500.0, 2_500.0)
            } else {
                0.0
            };
            let status = if let See::Http(status) = see {
                status
            } else {
                200
            };
            let headers: &[(&str, &str)] = match status {
                429 => &[("retry-after", "30")],
                403 => &[("server", "cloudflare")],
                _ => &[("server", "nginx")],
            };
            let mut step = page(round_trip + 20.0 + slow, status, headers);
            if see == See::Reset && !trip.tls {
                step = Step::new(Stage::Http, round_trip, Outcome::Reset);
            }
            steps.push(step);
        }
        steps
    }

    fn handshake(&mut self, trip: &Trip<'_>, see: See, round_trip: f64) -> Step {
        let mut step = Step::new(Stage::Tls, round_trip * 1.15, Outcome::Ok);
        let mut presented = self.world.machine(trip.address).map_or_else(
            || self.world.machines[0].presented.clone(),
            |m| m.presented.clone(),
        );
        let mut tls = TlsFacts {
            server_name: Some(trip.host.to_owned()),
            ..TlsFacts::default()
        };
        match see {
            See::Reset => {
                step.outcome = Outcome::Reset;
                step.said_by = Some(SaidBy::Rst);
            }
            See::Hang => {
                step.outcome = Outcome::Timeout;
                step.elapsed_ms = trip.timeout_ms;
            }
            See::Alert => {
                step.outcome = Outcome::TlsAlert;
                tls.alert = Some(40);
            }
            _ => {
                if let See::Certificate(error) = see {
                    presented.error = Some(error);
                    match error {
                        CertificateError::Expired => presented.valid = (-120, -3),
                        CertificateError::UnknownIssuer => {
                            presented.issuer = self.row.issuer.to_owned()
                        }
                        _ => presented.names = vec!["elsewhere.example".to_owned()],
                    }
                }
                if !presented.names.iter().any(|n| n == trip.host) {
                    presented.error = presented.error.or(Some(CertificateError::NameMismatch));
                }
                tls.error = presented.error;
                tls.certificates = vec![crate::exchange::certificate(&presented)];
                if tls.error.is_some() {
                    step.outcome = Outcome::BadCertificate;
                }
            }
        }
        step.facts = Some(Facts::Tls(tls));
        step
    }
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
