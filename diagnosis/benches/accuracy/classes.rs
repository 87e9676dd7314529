//! The classes of cases of the first generator: what is the matter, as something that stands on the way or as the state
//! of a machine, and what counts as having found it.

mod double;
mod everywhere;
mod local;
mod names;
mod partial;
mod source;

use onlyhere_proto::{Family, Layer, Outcome, Scope, Stage, Symptom};

use crate::network::{Network, Trip, Truth};
use crate::nuisance;
use crate::random::Random;
use crate::scene::Scene;
use crate::world::{Health, World, YOU};

/// One class.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    /// Whether it can happen in this world at all.
    pub(crate) fits: fn(&World) -> bool,
    /// Makes it so.
    pub(crate) strike: fn(&mut World) -> Truth,
}

const fn class(
    name: &'static str,
    fits: fn(&World) -> bool,
    strike: fn(&mut World) -> Truth,
) -> Class {
    Class { name, fits, strike }
}

/// Every class, in the order of the table.
pub(crate) const CLASSES: &[Class] = &[
    class("ok", any, everywhere::ok),
    class("browser_only", any, local::browser_only),
    class("service_down", any, everywhere::service_down),
    class("host_down", any, everywhere::host_down),
    class("firewall_reject", any, everywhere::firewall_reject),
    class("firewall_drop", any, everywhere::firewall_drop),
    class("bound_to_loopback", any, everywhere::bound_to_loopback),
    class("wrong_port", is_https, everywhere::wrong_port),
    class("crash_loop", any, everywhere::crash_loop),
    class("overloaded", is_web, everywhere::overloaded),
    class("backend_partial", is_https, everywhere::backend_partial),
    class(
        "certificate_expired",
        is_https,
        everywhere::certificate_expired,
    ),
    class(
        "certificate_mismatch",
        is_https,
        everywhere::certificate_mismatch,
    ),
    class(
        "certificate_untrusted",
        is_https,
        everywhere::certificate_untrusted,
    ),
    class("http_error", is_web, everywhere::http_error),
    class("wrong_address", any, names::wrong_address),
    class("dns_missing", any, names::dns_missing),
    class("dns_broken", any, names::dns_broken),
    class("dns_stale", has_v4, names::dns_stale),
    class("address_down", has_two, partial::address_down),
    class(
        "family_broken_theirs",
        is_dual,
        partial::family_broken_theirs,
    ),
    class(
        "routing_fault_region",
        has_region,
        partial::routing_fault_region,
    ),
    class("geo_block", any, partial::geo_block),
    class("cdn_edge_fault", has_many, partial::cdn_edge_fault),
    class("ip_ban", has_v4, source::ip_ban),
    class("waf_block", is_https, source::waf_block),
    class("rate_limited", is_web, source::rate_limited),
    class("network_block_isp", any, source::network_block_isp),
    class("network_block_site", has_v4, source::network_block_site),
    class("network_block_lan", any, source::network_block_lan),
    class("routing_fault_source", any, source::routing_fault),
    class("mtu_blackhole", is_https, source::mtu_blackhole),
    class("local_resolver_isp", any, names::local_resolver_isp),
    class("local_resolver_own", any, names::local_resolver_own),
    class("family_broken_yours", is_dual, local::family_broken),
    class("local_firewall", any, local::firewall),
    class("local_offline", any, local::offline),
    class("local_proxy", any, local::proxy),
    class("local_vpn", any, local::vpn),
    class("hosts_file", has_v4, local::hosts_file),
    class("captive_portal", is_https, local::captive_portal),
    class("tls_interception", is_https, local::tls_interception),
    class("local_service_down", any, local::service_down),
    class("ok+waf_of_probes", has_datacenters, double::waf_of_probes),
    class(
        "isp_dns+service_down",
        any,
        double::isp_dns_and_service_down,
    ),
    class(
        "waf_of_probes+service_down",
        has_datacenters,
        double::waf_and_service_down,
    ),
    class(
        "local_firewall+host_down",
        any,
        double::local_firewall_and_host_down,
    ),
    class(
        "hosts_file+service_down",
        has_v4,
        double::hosts_file_and_service_down,
    ),
    class("service_down_clears", any, double::fault_clears),
    class("ok+ban_by_probing", any, double::ban_by_probing),
];

fn any(_: &World) -> bool {
    true
}

fn is_https(world: &World) -> bool {
    world.case.target.layer == Layer::Https
}

fn is_web(world: &World) -> bool {
    world.case.target.depth() == Stage::Http
}

fn has_v4(world: &World) -> bool {
    world.site.has(Family::V4)
}

/// Both families, and a subject that can try both.
fn is_dual(world: &World) -> bool {
    world.site.has(Family::V4) && world.site.has(Family::V6) && world.subject().has_v6
}

fn has_two(world: &World) -> bool {
    let own = world.site.answers_near(world.subject().city);
    own.iter().filter(|a| a.is_ipv4()).count() > 1
}

/// Somebody of another network in the subject's region, and somebody elsewhere.
pub(crate) fn has_region(world: &World) -> bool {
    let home = world.subject().city.region;
    let asn = world.subject().asn;
    let inside = world.remote(|s| s.city.region == home && s.asn != asn);
    let outside = world.remote(|s| s.city.region != home);
    !inside.is_empty() && !outside.is_empty()
}

fn has_many(world: &World) -> bool {
    has_region(world) && world.stations.len() > 3
}

/// Some who are taken for robots, and some who are not.
fn has_datacenters(world: &World) -> bool {
    let robots = datacenters(world);
    !robots.is_empty() && robots.len() + 2 <= world.stations.len()
}

fn datacenters(world: &World) -> Vec<usize> {
    world.remote(|s| s.class == onlyhere_proto::VantageClass::Datacenter)
}

/// The names of the classes.
pub(crate) fn names() -> Vec<&'static str> {
    CLASSES.iter().map(|class| class.name).collect()
}

/// Draws a case: `stream` tells cases of one class and seed apart.
pub(crate) fn draw(name: &str, seed: u64, stream: u64, pool: usize, noise: f64) -> Scene {
    let class = CLASSES.iter().find(|c| c.name == name).expect("a class");
    let name = class
        .name
        .bytes()
        .fold(0u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    for attempt in 0.. {
        let random = Random::new(seed, &[name, stream, attempt]);
        let mut world = World::draw(random, pool, noise, stream);
        if !(class.fits)(&world) {
            continue;
        }
        nuisance::afflict(&mut world);
        let truth = (class.strike)(&mut world);
        let mut scene = Scene { world, truth };
        tell_symptom(&mut scene);
        return scene;
    }
    unreachable!("some world fits every class")
}

/// Some people say what their browser showed.
fn tell_symptom(scene: &mut Scene) {
    let conditions = &scene.world.case.conditions;
    if conditions.seen.is_some() || !scene.world.random.chance(0.25) || scene.truth.cause.is_none()
    {
        return;
    }
    let mut look = scene.clone();
    let target = scene.world.case.target.clone();
    let way = onlyhere_proto::Way::default();
    let own = look.world.site.answers_near(look.world.subject().city);
    let entry = scene.world.hosts_entries.first().or(own.first()).copied();
    let Some(address) = entry else {
        return;
    };
    let steps = look.climb(&Trip {
        station: YOU,
        host: &scene.world.site.host.clone(),
        address,
        port: target.port.unwrap_or(443),
        tls: target.is_tls(),
        web: target.depth() == Stage::Http,
        way: &way,
        at: 0.0,
        timeout_ms: 3_000.0,
    });
    scene.world.case.conditions.seen = match steps.last().map(|s| s.outcome) {
        Some(Outcome::Refused) => Some(Symptom::Refused),
        Some(Outcome::Timeout | Outcome::Unreachable | Outcome::Denied) => Some(Symptom::Timeout),
        Some(Outcome::Reset | Outcome::Closed) => Some(Symptom::Reset),
        Some(Outcome::BadCertificate | Outcome::TlsAlert) => Some(Symptom::Tls),
        Some(Outcome::HttpStatus) => Some(Symptom::Http),
        _ => None,
    };
}

/// Whether somebody else who is well and known to be in the subject's network is there to tell.
pub(crate) fn has_witness(world: &World, among: &[usize]) -> bool {
    let you = &world.case.vantages[YOU];
    among.iter().filter(|i| **i != YOU).any(|i| {
        let known = world.case.vantages[*i].same_network(you);
        known && matches!(world.stations[*i].health, Health::Good | Health::Slow(_))
    })
}

/// Where a fault of the subject's address shows.
pub(crate) fn address_scopes(world: &World) -> Vec<Scope> {
    match has_witness(world, &world.siblings()) {
        true => vec![Scope::SourceAddress],
        false => vec![Scope::Source, Scope::SourceAddress],
    }
}

/// Where a fault of the subject's network shows.
pub(crate) fn network_scopes(world: &World) -> Vec<Scope> {
    match has_witness(world, &world.siblings()) {
        true => vec![Scope::SourceNetwork],
        false => vec![Scope::Source, Scope::SourceNetwork],
    }
}

/// The subject and everybody in its AS.
fn own_network(world: &World) -> Vec<usize> {
    [vec![YOU], world.siblings()].concat()
}

/// The ports of an ordinary web server's jail, and the target's.
fn service_ports(world: &World) -> Vec<u16> {
    vec![80, 443, world.site.port]
}
