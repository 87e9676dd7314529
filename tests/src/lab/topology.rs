//! The plan of an internet, read from a TOML file in `topologies/`.
//!
//! A plan is a tree: every host but one hangs on an uplink. That is less than the real internet, and enough: a path
//! between two hosts is unique, so a fault on a wire has exactly the victims one can read off the file.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;

use crate::LabError;

/// The longest one-way delay a plan may ask for, in milliseconds: half way round the earth and back, twice.
const MAX_DELAY_MS: f64 = 1000.0;
/// A plan is for one machine.
const MAX_HOSTS: usize = 64;
/// `to-` and a host's name must fit an interface name (15 bytes).
const MAX_NAME: usize = 12;

/// A whole internet, checked: every uplink exists, there is one root and no loop.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// One line for people.
    pub about: String,
    /// Networks by name.
    #[serde(rename = "network")]
    pub networks: BTreeMap<String, Network>,
    /// Hosts by name.
    #[serde(rename = "host")]
    pub hosts: BTreeMap<String, HostPlan>,
}

/// An autonomous system: what a probe's token says about where it stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Autonomous system number, from the documentation range.
    pub asn: u32,
    /// ISO 3166 code.
    pub country: String,
    /// Region label.
    pub region: String,
    /// `datacenter`, `residential` or `mobile`.
    pub class: String,
    /// Its IPv4 prefix.
    pub ipv4: Ipv4Net,
    /// Its IPv6 prefix.
    pub ipv6: Ipv6Net,
}

/// One host of the plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// The network whose addresses it has.
    pub network: String,
    /// What runs there.
    pub role: Role,
    /// The host it hangs on; none for the root.
    pub uplink: Option<String>,
    /// One-way delay of the wire to the uplink, in milliseconds. A host on a LAN has no wire and no delay.
    #[serde(default)]
    pub delay_ms: f64,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
    /// A gateway's inner address.
    pub lan_ipv4: Option<Ipv4Net>,
    /// A gateway's inner IPv6 address; routed, not translated.
    pub lan_ipv6: Option<Ipv6Net>,
    /// Names that resolve to this host, and that its site serves.
    #[serde(default)]
    pub names: Vec<String>,
    /// Names its site serves although they resolve elsewhere.
    #[serde(default)]
    pub serves: Vec<String>,
}

/// What runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Forwards packets.
    Router,
    /// Forwards packets between a LAN and its uplink, and translates IPv4.
    Gateway,
    /// Where `onlyhere` runs.
    Caller,
    /// nginx.
    Site,
    /// unbound.
    Resolver,
    /// `onlyhere-coordinator`.
    Coordinator,
    /// `onlyhere-probe`.
    Probe,
    /// Nothing, until somebody starts something there.
    Bare,
}

impl Role {
    /// Whether hosts may hang on it.
    pub fn forwards(self) -> bool {
        matches!(self, Self::Router | Self::Gateway)
    }
}

impl Topology {
    /// Reads and checks a plan.
    pub fn read(file: &Path) -> Result<Self, LabError> {
        let text =
            std::fs::read_to_string(file).map_err(|error| LabError::bad_file(file, error))?;
        Self::parse(&text).map_err(|problem| LabError::bad_file(file, problem))
    }

    /// The same from a text; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        plan.check()?;
        Ok(plan)
    }

    /// The same plan without some hosts. Only hosts that nothing hangs on can be left out.
    pub fn without(mut self, names: &[String]) -> Result<Self, LabError> {
        for name in names {
            if self.hosts.remove(name).is_none() {
                return Err(LabError::Unknown {
                    kind: "host",
                    name: name.clone(),
                });
            }
        }
        self.check().map_err(|problem| LabError::BadFile {
            file: "without".into(),
            problem,
        })?;
        Ok(self)
    }

    /// Hosts with a role, by name.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = (&str, &HostPlan)> {
        self.hosts
            .iter()
            .filter(move |(_, plan)| plan.role == role)
            .map(|(name, plan)| (name.as_str(), plan))
    }

    /// The first host with a role.
    pub fn the(&self, role: Role) -> Result<&str, LabError> {
        let name = self.with_role(role).map(|(name, _)| name).next();
        name.ok_or_else(|| LabError::Unknown {
            kind: "role",
            name: format!("{role:?}"),
        })
    }

    /// The network a host belongs to. Checked when the plan was read.
    pub fn network_of(&self, plan: &HostPlan) -> Result<&Network, LabError> {
        let name = &plan.network;
        self.networks.get(name).ok_or_else(|| LabError::Unknown {
            kind: "network",
            name: name.clone(),
        })
    }

    /// Hosts that hang directly on `name`.
    pub fn below<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a HostPlan)> {
        self.hosts
            .iter()
            .filter(move |(_, plan)| plan.uplink.as_deref() == Some(name))
            .map(|(name, plan)| (name.as_str(), plan))
    }

    /// Whether a host is on its gateway's LAN instead of at the end of a wire.
    pub fn on_lan(&self, plan: &HostPlan) -> bool {
        let uplink = plan.uplink.as_ref().and_then(|name| self.hosts.get(name));
        uplink.is_some_and(|uplink| uplink.role == Role::Gateway)
    }

    /// Prefixes that the uplink of `name` must send its way: its own and those of everything behind it. What stands
    /// behind a gateway's translation is reached by the gateway's address.
    pub fn prefixes_behind(&self, name: &str) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
        let Some(plan) = self.hosts.get(name) else {
            return Default::default();
        };
        let mut v4 = vec![Ipv4Net::from(plan.ipv4)];
        let mut v6 = vec![Ipv6Net::from(plan.ipv6)];
        if plan.role == Role::Gateway {
            v6.extend(plan.lan_ipv6.map(|lan| lan.trunc()));
            return (v4, v6);
        }
        for (below, _) in self.below(name) {
            let (more_v4, more_v6) = self.prefixes_behind(below);
            v4.extend(more_v4);
            v6.extend(more_v6);
        }
        (v4, v6)
    }

    fn check(&self) -> Result<(), String> {
        if self.hosts.len() > MAX_HOSTS {
            return Err(format!(
                "{} hosts are more than {MAX_HOSTS}",
                self.hosts.len()
            ));
        }
        for (name, plan) in &self.hosts {
            self.check_host(name, plan)
                .map_err(|problem| format!("host {name}: {problem}"))?;
        }
        let roots = self
            .hosts
            .values()
            .filter(|plan| plan.uplink.is_none())
            .count();
        if roots != 1 {
            return Err(format!(
                "{roots} hosts have no uplink, but there must be exactly one root"
            ));
        }
        Ok(())
    }

    fn check_host(&self, name: &str, plan: &HostPlan) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(format!(
                "a name has 1 to {MAX_NAME} of the characters a-z, 0-9 and -"
            ));
        }
        let network = self
            .networks
            .get(&plan.network)
            .ok_or(format!("no network {:?}", plan.network))?;
        if !network.ipv6.contains(&plan.ipv6) {
            return Err(format!("{} is not in {}", plan.ipv6, network.ipv6));
        }
        if !(0.0..=MAX_DELAY_MS).contains(&plan.delay_ms) {
            return Err(format!("delay_ms must be from 0 to {MAX_DELAY_MS}"));
        }
        if self.on_lan(plan) {
            self.check_on_lan(plan)?;
        } else if !network.ipv4.contains(&plan.ipv4) {
            return Err(format!("{} is not in {}", plan.ipv4, network.ipv4));
        }
        if plan.role == Role::Gateway && (plan.lan_ipv4.is_none() || plan.lan_ipv6.is_none()) {
            return Err("a gateway needs lan_ipv4 and lan_ipv6".into());
        }
        self.check_path(name, plan)
    }

    fn check_on_lan(&self, plan: &HostPlan) -> Result<(), String> {
        let gateway = plan.uplink.as_ref().and_then(|name| self.hosts.get(name));
        let inside = |gateway: &HostPlan| {
            gateway.lan_ipv4.is_some_and(|lan| lan.contains(&plan.ipv4))
                && gateway.lan_ipv6.is_some_and(|lan| lan.contains(&plan.ipv6))
        };
        match gateway {
            Some(gateway) if !inside(gateway) => {
                Err("its addresses are not in its gateway's LAN".into())
            }
            _ if plan.delay_ms != 0.0 => Err("a LAN has no delay".into()),
            _ => Ok(()),
        }
    }

    /// Walks up to the root; every step must be a forwarding host, and there are at most as many as hosts.
    fn check_path(&self, name: &str, plan: &HostPlan) -> Result<(), String> {
        let mut uplink = &plan.uplink;
        for _ in 0..self.hosts.len() {
            let Some(above) = uplink else { return Ok(()) };
            let next = self
                .hosts
                .get(above)
                .ok_or(format!("no uplink {above:?}"))?;
            if !next.role.forwards() {
                return Err(format!("its uplink {above:?} does not forward packets"));
            }
            uplink = &next.uplink;
        }
        Err(format!("the uplinks of {name} run in a circle"))
    }
}

impl HostPlan {
    /// One-way delay of its wire.
    pub fn delay(&self) -> Duration {
        Duration::from_secs_f64(self.delay_ms / 1000.0)
    }
}
