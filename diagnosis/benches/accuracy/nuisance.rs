//! What goes wrong besides the fault, and what the diagnosis is not told of: ill vantages, liars, and noise on every
//! single try. `noise` 1 is the field as it is believed to be, 2.5 a bad day.

use onlyhere_proto::{Facts, IcmpError, Outcome, SaidBy, Stage};

use crate::exchange;
use crate::network::{Question, Step, Trip};
use crate::path::tcp_facts;
use crate::random::Random;
use crate::resolving::dns_step;
use crate::rule::At;
use crate::world::{Health, Illness, World};

/// Draws what ails the remote stations. The subject's own illnesses are faults to be found.
pub(crate) fn afflict(world: &mut World) {
    let level = world.noise;
    let mut random = world.random.clone();
    for station in world.stations.iter_mut().skip(1) {
        let datacenter = station.class == onlyhere_proto::VantageClass::Datacenter;
        let banned = if datacenter { 0.009 } else { 0.003 };
        let well = Health::Good;
        station.health = random
            .weighted(&[
                (0.03 * level, Some(0)),
                (0.015 * level, Some(1)),
                (banned * level, Some(2)),
                (0.02 * level, Some(3)),
                (0.012 * level, Some(4)),
                (1.0 - (0.077 + banned) * level, None),
            ])
            .map_or(well, |kind| illness(kind, &mut random));
    }
    if random.chance(0.03 * level) {
        let liar = 1 + random.below(world.stations.len() - 1);
        world.stations[liar].health = Health::Lying;
    }
    world.random = random;
}

fn illness(kind: u8, random: &mut Random) -> Health {
    use Illness::{NoNames, Page, Prohibited, Reset, Silence, Unreachable};
    match kind {
        0 => Health::Broken(random.weighted(&[
            (0.5, Silence),
            (0.25, NoNames),
            (0.15, Unreachable),
            (0.1, Reset),
        ])),
        1 => {
            Health::PathBad(random.weighted(&[(0.7, Silence), (0.15, Reset), (0.15, Unreachable)]))
        }
        2 => Health::Banned(random.weighted(&[
            (0.4, Prohibited),
            (0.35, Silence),
            (0.25, Page(403)),
        ])),
        3 => Health::Slow(random.between(3.0, 12.0)),
        _ => Health::Lost(random.pick(&[0.0, 0.0, 1_200.0])),
    }
}

/// What a try comes to once illness and noise are through with it.
pub(crate) fn disturb(world: &mut World, trip: &Trip<'_>, mut steps: Vec<Step>) -> Vec<Step> {
    let is_site = trip.host == world.site.host;
    let health = world.stations[trip.station].health;
    let acute = world.random.chance(0.92);
    match health {
        Health::Broken(illness) if acute => return ill(world, trip, illness),
        Health::PathBad(illness) if is_site && acute => return ill(world, trip, illness),
        Health::Banned(illness) if is_site => return ill(world, trip, illness),
        Health::Lying if is_site => return lie(world, trip, &steps),
        _ => {}
    }
    let level = world.noise * if is_site { 1.0 } else { 0.3 };
    if world.random.chance(0.05 * level) {
        disturb_once(world, trip, &mut steps);
    }
    steps
}

fn ill(world: &mut World, trip: &Trip<'_>, illness: Illness) -> Vec<Step> {
    match illness {
        Illness::Silence | Illness::NoNames => vec![silent(trip, Stage::Tcp)],
        Illness::Reset => vec![refused(world, trip)],
        Illness::Unreachable => vec![by_icmp(world, trip, At::Access, Outcome::Unreachable, 0)],
        Illness::Prohibited => vec![by_icmp(world, trip, At::Host, Outcome::Denied, 13)],
        Illness::Page(status) if trip.web => {
            let round_trip = world.round_trip(trip.station, trip.address, At::Host, 0.5);
            let mut steps = vec![Step::new(Stage::Tcp, round_trip, Outcome::Ok)];
            steps[0].facts = Some(tcp_facts(0, Some(round_trip)));
            if trip.tls {
                steps.push(Step::new(Stage::Tls, round_trip * 1.2, Outcome::Ok));
            }
            steps.push(exchange::page(round_trip * 1.3, status, &[]));
            steps
        }
        Illness::Page(_) => vec![silent(trip, Stage::Tcp)],
    }
}

/// The contrary of what it sees.
fn lie(world: &mut World, trip: &Trip<'_>, steps: &[Step]) -> Vec<Step> {
    if steps.last().is_some_and(|s| s.outcome == Outcome::Ok) {
        return vec![refused(world, trip)];
    }
    all_fine(world, trip)
}

fn all_fine(world: &mut World, trip: &Trip<'_>) -> Vec<Step> {
    let round_trip = world.round_trip(trip.station, trip.address, At::Host, 0.5);
    let mut steps = vec![Step::new(Stage::Tcp, round_trip, Outcome::Ok)];
    steps[0].facts = Some(tcp_facts(0, Some(round_trip)));
    if trip.tls {
        steps.push(Step::new(Stage::Tls, round_trip * 1.2, Outcome::Ok));
    }
    if trip.web {
        steps.push(exchange::page(round_trip + world.think_ms, 200, &[]));
    }
    steps
}

/// One accident, whatever the fault.
fn disturb_once(world: &mut World, trip: &Trip<'_>, steps: &mut Vec<Step>) {
    let accident = world.random.weighted(&[
        (0.45, 0),
        (0.15, 1),
        (0.08, 2),
        (0.08, 3),
        (0.06, 4),
        (0.10, 5),
        (0.04, 6),
        (0.04, 7),
    ]);
    let connected = steps.len() > 1 || steps[0].outcome == Outcome::Ok;
    match accident {
        0 => {
            let stage = if world.random.chance(0.7) || !connected {
                steps.clear();
                Stage::Tcp
            } else {
                steps.truncate(1);
                next_stage(trip)
            };
            if stage == Stage::Tcp {
                steps.clear();
            }
            steps.push(silent(trip, stage));
        }
        1 if !connected && world.random.chance(0.5) => *steps = all_fine(world, trip),
        2 => *steps = vec![refused(world, trip)],
        3 if connected && (trip.tls || trip.web) => {
            steps.truncate(1);
            let mut step = Step::new(next_stage(trip), steps[0].elapsed_ms, Outcome::Reset);
            step.said_by = Some(SaidBy::Rst);
            steps.push(step);
        }
        4 if connected && trip.web => {
            steps.retain(|s| s.stage != Stage::Http);
            if steps.iter().all(|s| s.outcome == Outcome::Ok) {
                let status = world.random.pick(&[502, 503, 504, 429, 500]);
                steps.push(exchange::page(steps[0].elapsed_ms * 1.5, status, &[]));
            }
        }
        5 => {
            let last = steps.len() - 1;
            let more = world.random.between(400.0, 1_900.0);
            if steps[last].outcome == Outcome::Ok {
                steps[last].elapsed_ms =
                    (steps[last].elapsed_ms + more).min(trip.timeout_ms * 0.95);
            }
        }
        6 => *steps = vec![by_icmp(world, trip, At::Transit, Outcome::Unreachable, 1)],
        7 if connected && trip.tls => {
            steps.truncate(1);
            let mut step = Step::new(Stage::Tls, steps[0].elapsed_ms, Outcome::TlsAlert);
            step.facts = Some(Facts::Tls(onlyhere_proto::TlsFacts {
                alert: Some(80),
                ..Default::default()
            }));
            steps.push(step);
        }
        _ => {}
    }
}

fn next_stage(trip: &Trip<'_>) -> Stage {
    match (trip.tls, trip.web) {
        (true, _) => Stage::Tls,
        (false, true) => Stage::Http,
        (false, false) => Stage::Tcp,
    }
}

fn silent(trip: &Trip<'_>, stage: Stage) -> Step {
    let mut step = Step::new(stage, trip.timeout_ms, Outcome::Timeout);
    if stage == Stage::Tcp {
        step.facts = Some(tcp_facts(2, None));
    }
    step
}

fn refused(world: &mut World, trip: &Trip<'_>) -> Step {
    let elapsed = world.round_trip(trip.station, trip.address, At::Host, 0.5);
    let mut step = Step::new(Stage::Tcp, elapsed, Outcome::Refused);
    step.said_by = Some(SaidBy::Rst);
    step
}

fn by_icmp(world: &mut World, trip: &Trip<'_>, at: At, outcome: Outcome, code: u8) -> Step {
    let elapsed = world.round_trip(trip.station, trip.address, at, 0.5);
    let from = world.address_at(trip.station, trip.address, at);
    let (icmp_type, code) = match (from.is_ipv4(), outcome) {
        (true, _) => (3, code),
        (false, Outcome::Denied) => (1, 1),
        (false, _) => (1, 0),
    };
    let mut step = Step::new(Stage::Tcp, elapsed, outcome);
    let icmp = IcmpError {
        icmp_type,
        code,
        from,
    };
    step.said_by = Some(SaidBy::Icmp { icmp });
    step
}

/// The same for a name.
pub(crate) fn disturb_name(world: &mut World, question: &Question<'_>, step: Step) -> Step {
    let Some(Facts::Dns(dns)) = step.facts.clone() else {
        return step;
    };
    let server = dns
        .resolver
        .unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
    let fails = |outcome, rcode, elapsed| {
        dns_step(
            dns.record_type,
            dns.kind,
            server,
            outcome,
            rcode,
            elapsed,
            &[],
        )
    };
    if world.stations[question.station].health == Health::Broken(Illness::NoNames) {
        return fails(Outcome::Timeout, None, question.timeout_ms);
    }
    if world.random.chance(0.004 * world.noise) {
        return match world.random.chance(0.5) {
            true => fails(Outcome::Timeout, None, question.timeout_ms),
            false => fails(Outcome::Servfail, Some(2), step.elapsed_ms),
        };
    }
    step
}

/// The same for an echo.
pub(crate) fn disturb_echo(world: &mut World, trip: &Trip<'_>, step: Step) -> Step {
    let is_site = trip.host == world.site.host;
    let lost = match world.stations[trip.station].health {
        Health::Broken(_) => true,
        Health::PathBad(_) | Health::Banned(Illness::Silence) => is_site,
        _ => false,
    };
    if lost || world.random.chance(0.015 * world.noise) {
        return Step::new(Stage::Icmp, trip.timeout_ms, Outcome::Timeout);
    }
    step
}
