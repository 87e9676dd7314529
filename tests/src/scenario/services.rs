//! What scenario files say about further services: the words behind `do.name_servers`, `do.balancer` and their like.

use std::net::IpAddr;

use serde::Deserialize;

use super::Family;
use super::file::{both_families, default_caller, default_name};
use crate::service::{Backend, Layer, Lie, ProxyProgram, ProxyRule, Service, View};

/// CrowdSec bans somebody's address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrowdsecBan {
    /// The site's host.
    pub host: String,
    /// Whose address is banned.
    #[serde(default = "default_caller")]
    pub from: String,
    /// The name in the URL of the logins.
    #[serde(default = "default_name")]
    pub name: String,
    /// Over which families.
    #[serde(default = "both_families")]
    pub families: Vec<Family>,
    /// Why.
    #[serde(default)]
    pub by: BannedBy,
}

/// Why CrowdSec bans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BannedBy {
    /// It reads six wrong passwords in nginx's log.
    #[default]
    Logins,
    /// An administrator's `cscli decisions add`.
    Administrator,
}

/// haproxy takes the place of a host's nginx, before several backends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerPlan {
    /// Where.
    pub host: String,
    /// What each backend does, in the order in which they get their turns.
    pub backends: Vec<Backend>,
    /// Who opens TLS.
    #[serde(default)]
    pub layer: Layer,
    /// Whether backends that fail are left out.
    #[serde(default)]
    pub health_checks: bool,
}

/// A name becomes a zone with authoritative servers of its own, which resolvers ask.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameServersPlan {
    /// The name.
    #[serde(default = "default_name")]
    pub name: String,
    /// Its servers; the first has the newest zone.
    pub servers: Vec<NameServerPlan>,
    /// Time to live of the addresses, in seconds.
    #[serde(default = "default_ttl")]
    pub ttl: u32,
}

/// One authoritative server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameServerPlan {
    /// Where it runs, or would.
    pub host: String,
    /// The name's addresses in its zone; none is an answer without data.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Whether it serves the zone at all.
    #[serde(default)]
    pub service: Service,
    /// Who gets other answers.
    #[serde(default)]
    pub views: Vec<View>,
}

/// A further resolver, and who asks it from now on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverPlan {
    /// Where.
    pub host: String,
    /// Hosts that ask it and no other.
    #[serde(default)]
    pub clients: Vec<String>,
    /// What it says that is not so.
    #[serde(default)]
    pub lies: Vec<Lie>,
    /// The hosts of those authoritative servers that it asks; none is all.
    #[serde(default)]
    pub asks: Vec<String>,
}

/// A proxy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyPlan {
    /// Where.
    pub host: String,
    /// Which program, on its own default port.
    pub program: ProxyProgram,
    /// What it does with those who ask.
    #[serde(default)]
    pub rule: ProxyRule,
}

fn default_ttl() -> u32 {
    300
}
