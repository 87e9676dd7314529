//! The ways through the first generator's world: a SYN, a handshake, a page, an echo and a name go from hop to hop, and
//! the first that stands in the way answers, after the time it takes to get there and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use onlyhere_proto::{Facts, IcmpError, Micros, Outcome, SaidBy, Stage, TcpFacts};

use crate::exchange;
use crate::network::{Step, Trip};
use crate::place;
use crate::rule::{At, Does, Part, Rule, When};
use crate::world::{Health, Machine, Port, Proxy, Station, World};

/// What a SYN met.
pub(crate) enum Met {
    Open,
    Said(Step),
}

impl World {
    /// There and back to a place on the way, ms, with the jitter of the moment.
    pub(crate) fn round_trip(
        &mut self,
        station: usize,
        address: IpAddr,
        at: At,
        fraction: f64,
    ) -> f64 {
        let s = &self.stations[station];
        let far = self.distance(s, address);
        let near = s.gateway_ms + s.access_ms;
        let exact = match at {
            At::Own => self.random.between(0.03, 0.12),
            At::Gateway => s.gateway_ms,
            At::Lan => s.gateway_ms + 0.4 + fraction,
            At::Access => near + (far - near) * fraction * 0.45,
            At::Transit => near + (far - near) * (0.4 + fraction * 0.45),
            At::Edge => near + (far - near) * 0.97,
            At::Host => far,
        };
        let slowness = match self.stations[station].health {
            Health::Slow(times) => times,
            _ => 1.0,
        };
        let jitter = if at == At::Own { 0.01 } else { 0.25 };
        exact * slowness * self.random.between(1.0, 1.04) + self.random.exponential(jitter)
    }

    fn distance(&self, station: &Station, address: IpAddr) -> f64 {
        let near = station.gateway_ms + station.access_ms;
        let city = self.machine(address).map_or(station.city, |m| m.city);
        // No two ways are equally straight, and a way stays as it is.
        let crooked = 1.0 + hash(station.address, address, 0) % 40.0 / 100.0;
        near + 0.8 + place::round_trip_ms(station.city, city) * crooked
    }

    /// The first rule that acts on this part of the exchange.
    pub(crate) fn in_the_way(&mut self, trip: &Trip<'_>, part: Part) -> Option<Rule> {
        let passes = |rule: &Rule| {
            (rule.spares_second_source && trip.way.source.is_some())
                || (rule.spares_way_out && trip.way.interface.is_some())
                || (rule.does == Does::BigDrop && trip.way.max_segment.is_some())
        };
        let mut rules: Vec<Rule> = self
            .rules
            .iter()
            .filter(|r| r.does.part() == part && r.concerns(self, trip.station, trip.address))
            .filter(|r| r.has_port(trip.port) && !passes(r))
            .cloned()
            .collect();
        rules.sort_by_key(|r| r.at);
        rules.into_iter().find(|rule| self.is_on(rule, trip))
    }

    fn is_on(&mut self, rule: &Rule, trip: &Trip<'_>) -> bool {
        match &rule.when {
            When::Always => true,
            When::Chance(probability) => self.random.chance(*probability),
            When::During(spans) => spans.iter().any(|(a, b)| (*a..*b).contains(&trip.at)),
            When::AfterVisits(many) => self.visits[trip.station] > *many,
        }
    }

    /// The address of whoever stands there.
    pub(crate) fn address_at(&self, station: usize, address: IpAddr, at: At) -> IpAddr {
        let s = &self.stations[station];
        let v6 = address.is_ipv6();
        let of_prefix = |own: IpAddr, last: u16| match own {
            IpAddr::V4(a) => {
                let [a, b, c, _] = a.octets();
                IpAddr::from(Ipv4Addr::new(a, b, c, last as u8))
            }
            IpAddr::V6(a) => {
                let [a, b, c, ..] = a.segments();
                IpAddr::from(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last))
            }
        };
        match at {
            At::Own if v6 => s.address_v6,
            At::Own => s.local,
            At::Gateway if v6 => of_prefix(s.address_v6, 1),
            At::Gateway => of_prefix(s.local, 1),
            At::Lan if v6 => of_prefix(s.address_v6, 2),
            At::Lan => [10, 11, 0, 1].into(),
            At::Access if v6 => Ipv6Addr::new(0x2a00, s.asn as u16, 0xffff, 0, 0, 0, 0, 7).into(),
            At::Access => of_prefix(s.address, 254),
            At::Transit if v6 => Ipv6Addr::new(0x2001, 0x1900, 7, 0, 0, 0, 0, 9).into(),
            At::Transit => [62, 115, 9, 200].into(),
            At::Edge => of_prefix(address, 254),
            At::Host => address,
        }
    }

    pub(crate) fn silence(&self, trip: &Trip<'_>) -> Step {
        let again = if trip.timeout_ms > 1_900.0 { 2 } else { 1 };
        let mut step = Step::new(Stage::Tcp, trip.timeout_ms, Outcome::Timeout);
        step.facts = Some(tcp_facts(again, None));
        step
    }

    pub(crate) fn refusal(&mut self, trip: &Trip<'_>, at: At, fraction: f64) -> Step {
        let elapsed = self.round_trip(trip.station, trip.address, at, fraction);
        let mut step = Step::new(Stage::Tcp, elapsed, Outcome::Refused);
        step.said_by = Some(SaidBy::Rst);
        step.facts = Some(tcp_facts(0, None));
        step
    }

    /// An ICMP error of type 3 (or what IPv6 has for it); whoever is deaf to them sees silence.
    fn icmp(&mut self, trip: &Trip<'_>, at: At, fraction: f64, code: u8) -> Step {
        let deaf = self.stations[trip.station].deaf_to_icmp && at > At::Gateway;
        if deaf || (at > At::Own && self.random.chance(0.04)) {
            return self.silence(trip);
        }
        let elapsed = self.round_trip(trip.station, trip.address, at, fraction);
        if at == At::Own {
            let mut step = Step::new(Stage::Tcp, elapsed, Outcome::Denied);
            step.said_by = Some(SaidBy::Kernel);
            return step;
        }
        let from = self.address_at(trip.station, trip.address, at);
        let (icmp_type, code) = match (from, code) {
            (IpAddr::V4(_), code) => (3, code),
            (IpAddr::V6(_), 3) => (1, 4),
            (IpAddr::V6(_), 9 | 10 | 13) => (1, 1),
            (IpAddr::V6(_), 1) => (1, 3),
            (IpAddr::V6(_), _) => (1, 0),
        };
        let outcome = match (icmp_type, code) {
            (3, 3) | (1, 4) => Outcome::Refused,
            (3, 9 | 10 | 13) | (1, 1) => Outcome::Denied,
            _ => Outcome::Unreachable,
        };
        let mut step = Step::new(Stage::Tcp, elapsed, outcome);
        let icmp = IcmpError {
            icmp_type,
            code,
            from,
        };
        step.said_by = Some(SaidBy::Icmp { icmp });
        step.facts = Some(tcp_facts(0, None));
        step
    }

    pub(crate) fn syn(&mut self, trip: &Trip<'_>) -> Met {
        if let Some(rule) = self.in_the_way(trip, Part::Syn) {
            return Met::Said(match rule.does {
                Does::Rst => self.refusal(trip, rule.at, rule.fraction),
                Does::Icmp(code) => self.icmp(trip, rule.at, rule.fraction, code),
                _ => self.silence(trip),
            });
        }
        let Some(machine) = self.machine(trip.address).cloned() else {
            return Met::Said(if is_loopback(trip.address) {
                self.refusal(trip, At::Own, 0.5)
            } else {
                self.silence(trip)
            });
        };
        if !machine.up {
            return Met::Said(if machine.mourned {
                self.icmp(trip, At::Edge, 0.5, 1)
            } else {
                self.silence(trip)
            });
        }
        match Self::port_of(&machine, trip.port) {
            Port::Open => Met::Open,
            Port::Closed => Met::Said(self.refusal(trip, At::Host, 0.5)),
            Port::Filtered => Met::Said(self.silence(trip)),
        }
    }

    fn port_of(machine: &Machine, port: u16) -> Port {
        if port == machine.main_port {
            machine.port
        } else if machine.open.contains(&port) {
            Port::Open
        } else {
            machine.others
        }
    }

    /// TCP, TLS and HTTP without any nuisance.
    pub(crate) fn climb_plainly(&mut self, trip: &Trip<'_>) -> Vec<Step> {
        let is_site = self.site.addresses().contains(&trip.address);
        if is_site {
            self.visits[trip.station] += 1;
        }
        let mut steps = Vec::new();
        match self.syn(trip) {
            Met::Said(step) => return vec![step],
            Met::Open => {
                let round_trip = self.round_trip(trip.station, trip.address, At::Host, 0.5);
                let lost = self.random.chance(0.008 * self.noise.max(0.5));
                let elapsed = round_trip + if lost { 1_020.0 } else { 0.0 };
                let mut step = Step::new(Stage::Tcp, elapsed, Outcome::Ok);
                step.facts = Some(tcp_facts(u8::from(lost), Some(round_trip)));
                steps.push(step);
            }
        }
        let Some(machine) = self.machine(trip.address).cloned() else {
            return steps;
        };
        let hello = self.in_the_way(trip, Part::Hello);
        let page = self.in_the_way(trip, Part::Page);
        let there_and_back = self.round_trip(trip.station, trip.address, At::Host, 0.5);
        let mut exchange = exchange::Exchange {
            trip,
            machine: &machine,
            hello,
            page,
            round_trip: there_and_back,
            think_ms: self.think_ms,
            random: &mut self.random,
        };
        exchange.go_on(&mut steps);
        steps
    }

    pub(crate) fn through_proxy(&mut self, trip: &Trip<'_>, proxy: (IpAddr, u16)) -> Vec<Step> {
        let is_site = trip.host == self.site.host;
        let status = match self.proxy {
            Proxy::Answers(status) => Some(status),
            Proxy::AnswersForTarget(status) if is_site => Some(status),
            _ => None,
        };
        let near = self.stations[trip.station].gateway_ms;
        let near = near * self.random.between(1.0, 1.3);
        let mut tcp = match self.proxy {
            Proxy::Refuses => {
                let mut step = Step::new(Stage::Tcp, near, Outcome::Refused);
                step.said_by = Some(SaidBy::Rst);
                step
            }
            Proxy::Silent => self.silence(trip),
            _ => Step::new(Stage::Tcp, near, Outcome::Ok),
        };
        tcp.to = Some(proxy);
        if tcp.outcome != Outcome::Ok {
            return vec![tcp];
        }
        if let Some(status) = status {
            let mut http = exchange::page(near + 3.0, status, &[("via", "1.1 proxy")]);
            http.to = Some(proxy);
            return vec![tcp, http];
        }
        let mut steps = self.climb_plainly(trip);
        // The proxy's own failure to connect is an answer of the proxy's.
        if steps.len() == 1 && steps[0].outcome != Outcome::Ok {
            let mut http = exchange::page(steps[0].elapsed_ms, 503, &[("via", "1.1 proxy")]);
            http.to = Some(proxy);
            return vec![tcp, http];
        }
        steps[0] = tcp;
        steps
    }
}

impl World {
    pub(crate) fn time_exceeded(&mut self, trip: &Trip<'_>, at: At, ttl: u8) -> Step {
        let s = &self.stations[trip.station];
        let silent = hash(s.address, trip.address, ttl.into()) % 100.0 < 15.0;
        if silent || (s.deaf_to_icmp && at > At::Gateway) || self.random.chance(0.03) {
            return self.silence(trip);
        }
        let from = self.address_at(trip.station, trip.address, at);
        let elapsed = self.round_trip(trip.station, trip.address, at, f64::from(ttl) / 24.0);
        let mut step = Step::new(Stage::Tcp, elapsed, Outcome::Unreachable);
        let icmp = IcmpError {
            icmp_type: if from.is_ipv4() { 11 } else { 3 },
            code: 0,
            from,
        };
        step.said_by = Some(SaidBy::Icmp { icmp });
        step
    }
}

/// What the kernel tells of a connection.
pub(crate) fn tcp_facts(again: u8, round_trip: Option<f64>) -> Facts {
    Facts::Tcp(TcpFacts {
        syn_retransmits: Some(again),
        round_trip_ms: round_trip.map(|ms| Micros((ms * 1e3) as u64)),
        ..TcpFacts::default()
    })
}

/// Host and port of `http://HOST:PORT`.
pub(crate) fn proxy_address(url: &str) -> Option<(IpAddr, u16)> {
    let rest = url.strip_prefix("http://")?;
    let socket: std::net::SocketAddr = rest.trim_end_matches('/').parse().ok()?;
    Some((socket.ip(), socket.port()))
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

/// A number that is always the same for the same way.
fn hash(a: IpAddr, b: IpAddr, salt: u64) -> f64 {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 ^ v6.to_bits() as u64,
    };
    let mut x = bits(a)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(bits(b).rotate_left(17))
        .wrapping_add(salt.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    x ^= x >> 29;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x >> 40) % 1_000) as f64
}
