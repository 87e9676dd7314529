//! What one try comes to in the second generator: drawn from the row's mix, and put into the words of a probe.

use std::net::IpAddr;

use onlyhere_proto::{CertificateError, Facts, IcmpError, Outcome, SaidBy, Stage, TlsFacts};

use crate::exchange::page;
use crate::network::{Step, Trip};
use crate::path::tcp_facts;
use crate::place;
use crate::random::Random;
use crate::table_columns::{Hits, Name, Ping, Place, See, Settled};
use crate::table_world::{Condition, TableScene};
use crate::world::YOU;

impl TableScene {
    pub(crate) fn round_trip(&mut self, station: usize, address: IpAddr) -> f64 {
        let s = &self.world.stations[station];
        let city = self.world.machine(address).map_or(s.city, |m| m.city);
        let exact = s.access_ms + s.gateway_ms + 1.2 * place::round_trip_ms(s.city, city);
        exact * self.random.between(1.0, 1.06) + self.random.exponential(0.3)
    }

    /// Whether the fault is in the way of this try.
    pub(crate) fn is_hit(&self, trip: &Trip<'_>) -> bool {
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
    pub(crate) fn other_ports_live(&self) -> bool {
        match self.row.other_ports {
            Ping::AsDrawn => true,
            Ping::Often => self.ports_matter,
            Ping::No => false,
        }
    }

    pub(crate) fn see(&mut self, trip: &Trip<'_>) -> See {
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
    pub(crate) fn outcome(&mut self, trip: &Trip<'_>) -> (See, Place) {
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

    pub(crate) fn share(&mut self, place: Place) -> f64 {
        match place {
            Place::Itself => 0.0,
            Place::Near => self.random.between(0.02, 0.22),
            Place::Middle => self.random.between(0.3, 0.7),
            Place::Server | Place::None => 1.0,
        }
    }

    pub(crate) fn sender(&self, trip: &Trip<'_>, place: Place) -> IpAddr {
        let s = &self.world.stations[trip.station];
        match (place, trip.address) {
            (Place::Server | Place::None, address) => address,
            (Place::Middle, IpAddr::V4(_)) => [80, 81, 192, 9].into(),
            (Place::Middle, IpAddr::V6(_)) => place::address_v6(3320, &mut Random::new(9, &[])),
            (_, IpAddr::V4(_)) => [192, 168, 1, 1].into(),
            (_, IpAddr::V6(_)) => {
                let IpAddr::V6(own) = s.address_v6 else {
                    return s.address_v6;
                };
                // The gateway, in the station's own /64.
                let [a, b, c, d, ..] = own.segments();
                std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1).into()
            }
        }
    }

    pub(crate) fn steps(&mut self, trip: &Trip<'_>, see: See, place: Place) -> Vec<Step> {
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

    pub(crate) fn handshake(&mut self, trip: &Trip<'_>, see: See, round_trip: f64) -> Step {
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
