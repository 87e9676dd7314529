//! The scenario file: TOML, unknown keys refused, and every word that has a fixed meaning checked against it, so that
//! a scenario cannot expect something that the outward contract does not know.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;

use super::services::{BalancerPlan, CrowdsecBan, NameServersPlan, ProxyPlan, ResolverPlan};
use crate::LabError;
use crate::service::{Blocktype, CertificateKind};

/// Scopes and their exit codes, from the outward contract.
const SCOPES: [(&str, u8); 9] = [
    ("ok", 0),
    ("local", 10),
    ("source", 11),
    ("source_address", 12),
    ("source_network", 13),
    ("regional", 14),
    ("target_address", 15),
    ("global", 16),
    ("inconclusive", 17),
];

const MECHANISMS: [&str; 8] = [
    "none",
    "refused",
    "timeout",
    "reset",
    "unreachable",
    "dns",
    "tls",
    "http",
];

const CAUSES: [&str; 37] = [
    "service_down",
    "host_down",
    "firewall_reject",
    "firewall_drop",
    "bound_to_loopback",
    "wrong_port",
    "wrong_address",
    "dns_missing",
    "dns_stale",
    "dns_broken",
    "crash_loop",
    "overloaded",
    "certificate_expired",
    "certificate_mismatch",
    "certificate_untrusted",
    "ip_ban",
    "waf_block",
    "rate_limited",
    "network_block",
    "geo_block",
    "routing_fault",
    "cdn_edge_fault",
    "address_down",
    "family_broken",
    "local_firewall",
    "local_offline",
    "local_proxy",
    "local_vpn",
    "hosts_file",
    "local_resolver",
    "local_service_down",
    "captive_portal",
    "tls_interception",
    "browser_only",
    "http_error",
    "backend_partial",
    "mtu_blackhole",
];

/// One scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name in the table.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// The plan it plays in, a file in `topologies/` without its ending.
    #[serde(default = "default_topology")]
    pub topology: String,
    /// Hosts of the plan that are not there this time.
    #[serde(default)]
    pub without: Vec<String>,
    /// What the caller checks.
    #[serde(default = "default_target")]
    pub target: String,
    /// Further arguments of `onlyhere check`.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables in the environment of `onlyhere check`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What is broken, in this order.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// What must come out.
    pub expect: Expect,
}

/// One thing that is done to the internet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    #[serde(default)]
    pub at: When,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum When {
    /// Before the check starts; the fault has taken effect by then.
    #[default]
    Before,
    /// So many seconds after the check has started.
    Seconds(f64),
}

impl TryFrom<toml::Value> for When {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let seconds = match value {
            toml::Value::String(word) if word == "before" => return Ok(Self::Before),
            toml::Value::Integer(seconds @ 0..=60) => seconds as f64,
            toml::Value::Float(seconds) if (0.0..=60.0).contains(&seconds) => seconds,
            other => {
                return Err(format!(
                    "`at` is \"before\" or 0 to 60 seconds after the start, not {other}"
                ));
            }
        };
        Ok(Self::Seconds(seconds))
    }
}

/// Everything that can be done to the internet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// nginx is killed.
    StopNginx {
        /// Where.
        host: String,
    },
    /// nginx is started again as it was.
    StartNginx {
        /// Where.
        host: String,
    },
    /// nginx answers every page with this status.
    NginxStatus {
        /// Where.
        host: String,
        /// The status.
        status: u16,
    },
    /// nginx shows another certificate.
    Certificate {
        /// Where.
        host: String,
        /// Which.
        kind: CertificateKind,
    },
    /// nginx answers visitors from these prefixes with 403, as a web application firewall does.
    NginxForbids {
        /// Where.
        host: String,
        /// Whom.
        sources: Vec<IpNet>,
    },
    /// Lines in nginx's own language are added to its configuration.
    NginxConfig {
        /// Where.
        host: String,
        /// For the `http` block.
        #[serde(default)]
        http: String,
        /// For the `server` block.
        #[serde(default)]
        server: String,
        /// Instead of the answer that every page gives.
        location: Option<String>,
    },
    /// nginx listens on these sockets and on no others, with TLS on each.
    NginxListens {
        /// Where.
        host: String,
        /// Addresses and ports.
        sockets: Vec<SocketAddr>,
    },
    /// nginx is killed, and from now on started and killed again and again, beginning with the time it is down.
    CrashLoop {
        /// Where.
        host: String,
        /// How long it lives each time, in seconds.
        up_s: f64,
        /// How long it is dead each time, in seconds.
        down_s: f64,
    },
    /// Rules in nft's language are loaded.
    Firewall {
        /// Where.
        host: String,
        /// The rules.
        rules: String,
    },
    /// Somebody fails to log in until fail2ban bans the address.
    FailedLogins {
        /// The site's host.
        host: String,
        /// Who fails to log in.
        #[serde(default = "default_caller")]
        from: String,
        /// The name in the URL.
        #[serde(default = "default_name")]
        name: String,
        /// How often, per family.
        #[serde(default = "default_logins")]
        count: u8,
        /// Over which families.
        #[serde(default = "both_families")]
        families: Vec<Family>,
        /// What the banned see.
        #[serde(default)]
        blocktype: Blocktype,
    },
    /// The wire between a host and its uplink loses everything.
    CutWire {
        /// The host.
        wire: String,
    },
    /// The cut is mended.
    MendWire {
        /// The host.
        wire: String,
    },
    /// The wire loses a share of the packets in each direction.
    LossyWire {
        /// The host.
        wire: String,
        /// From 0 to 1.
        share: f64,
    },
    /// The wire gets another delay.
    SlowWire {
        /// The host.
        wire: String,
        /// One way, in milliseconds.
        delay_ms: f64,
    },
    /// The wire silently loses packets that are larger than this, in both directions.
    SmallWire {
        /// The host.
        wire: String,
        /// The largest packet that gets through, in bytes with its IP header.
        max_bytes: usize,
    },
    /// A shell script is run to its end, for what has no word of its own here.
    Run {
        /// Where.
        host: String,
        /// Its lines; the first that fails fails the scenario.
        script: String,
    },
    /// A name gets other addresses, or none and no longer exists.
    Dns {
        /// The name.
        name: String,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
    /// A host asks another resolver.
    Resolver {
        /// Where.
        host: String,
        /// Whom it asks.
        address: IpAddr,
    },
    /// A line is added to a host's own `/etc/hosts`.
    HostsEntry {
        /// Where.
        host: String,
        /// The name.
        name: String,
        /// Its address.
        address: IpAddr,
    },
    /// CrowdSec bans an address.
    CrowdsecBan(CrowdsecBan),
    /// haproxy takes nginx's place.
    Balancer(BalancerPlan),
    /// A name gets authoritative servers of its own.
    NameServers(NameServersPlan),
    /// A further resolver starts.
    StartResolver(ResolverPlan),
    /// A proxy starts.
    StartProxy(ProxyPlan),
    /// A box on a gateway opens the TLS of everybody behind it.
    InterceptTls {
        /// The gateway.
        host: String,
        /// Hosts that trust the box's authority, as an office's own machines do.
        #[serde(default)]
        trusted_by: Vec<String>,
    },
    /// A gateway sends everybody behind it to its login page.
    CaptivePortal {
        /// The gateway.
        host: String,
        /// Whether all else is dropped; only DNS passes.
        #[serde(default)]
        closed: bool,
    },
    /// A web page that says that a site is blocked.
    BlockPage {
        /// Where.
        host: String,
    },
    /// A probe reaches nobody but its coordinator any more.
    BreakProbe {
        /// The probe.
        host: String,
    },
    /// The coordinator is killed.
    StopCoordinator {},
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The option that makes curl use this family only.
    pub fn curl_flag(self) -> &'static str {
        match self {
            Self::Ipv4 => "-4",
            Self::Ipv6 => "-6",
        }
    }
}

/// What must come out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The verdict's scope.
    pub scope: String,
    /// The verdict's mechanism.
    pub mechanism: String,
    /// Accepted first causes; an empty list means that there must be none, no list that it does not matter.
    pub causes: Option<Vec<String>>,
    /// The exit code.
    pub exit: u8,
    /// How the headline begins.
    pub headline: Option<String>,
    /// Who must act.
    pub actor: Option<String>,
    /// Whether the fault comes and goes.
    pub intermittent: Option<bool>,
    /// Words that must stand somewhere in the verdict, whatever their case.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// An advisory that must be there.
    pub advisory: Option<ExpectAdvisory>,
    /// How long the check may take, in seconds.
    #[serde(default = "default_max_seconds")]
    pub max_seconds: f64,
}

/// An advisory that must be there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectAdvisory {
    /// The vantage it must name.
    pub vantage: String,
    /// Its cause, where one is expected.
    pub cause: Option<String>,
}

impl Scenario {
    /// Reads and checks one file.
    pub fn read(file: &Path) -> Result<Self, LabError> {
        let text =
            std::fs::read_to_string(file).map_err(|error| LabError::bad_file(file, error))?;
        Self::parse(&text).map_err(|problem| LabError::bad_file(file, problem))
    }

    /// Reads all `*.toml` files of a directory, sorted by file name.
    pub fn read_all(dir: &Path) -> Result<Vec<Self>, LabError> {
        let entries = std::fs::read_dir(dir).map_err(|error| LabError::bad_file(dir, error))?;
        let mut files: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(LabError::bad_file(dir, "there are no scenarios"));
        }
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// The same from a text; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let chosen = scenario.args.iter().any(|arg| arg == "--fail-on");
        scenario.expect.check(chosen)?;
        Ok(scenario)
    }
}

impl Expect {
    /// `chosen`: whether `--fail-on` decides which scopes exit with 0.
    fn check(&self, chosen: bool) -> Result<(), String> {
        let scope = SCOPES.iter().find(|(scope, _)| *scope == self.scope);
        let (scope, exit) = scope.ok_or(format!("unknown scope {:?}", self.scope))?;
        if self.exit != *exit && !(chosen && self.exit == 0) {
            return Err(format!(
                "scope {scope} exits with {exit}, not {}",
                self.exit
            ));
        }
        if !MECHANISMS.contains(&self.mechanism.as_str()) {
            return Err(format!("unknown mechanism {:?}", self.mechanism));
        }
        let advised = self
            .advisory
            .iter()
            .filter_map(|advisory| advisory.cause.as_ref());
        match self
            .causes
            .iter()
            .flatten()
            .chain(advised)
            .find(|cause| !CAUSES.contains(&cause.as_str()))
        {
            Some(cause) => Err(format!("unknown cause {cause:?}")),
            None => Ok(()),
        }
    }
}

fn default_topology() -> String {
    "eight-networks".into()
}

fn default_target() -> String {
    "https://shop.example".into()
}

pub(super) fn default_caller() -> String {
    "caller".into()
}

pub(super) fn default_name() -> String {
    "shop.example".into()
}

/// fail2ban's own threshold.
fn default_logins() -> u8 {
    5
}

pub(super) fn both_families() -> Vec<Family> {
    vec![Family::Ipv4, Family::Ipv6]
}

/// Long enough where nobody has to wait for silence.
fn default_max_seconds() -> f64 {
    3.0
}
