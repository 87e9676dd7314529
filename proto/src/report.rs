//! The report: what is concluded, with the observations it stands on. The JSON shape is an outward contract.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CheckId, Micros, Observation, Symptom, Target, Timestamp, Vantage, VantageName, label::labelled,
};

/// The value of a report's `schema`.
pub const REPORT_SCHEMA: &str = "onlyhere.report/1";

labelled! {
    /// Where the fault lies.
    Scope ("scope") {
        /// Reachable.
        Ok = "ok",
        /// On this machine or in its own network.
        Local = "local",
        /// From your network only; address or whole network cannot be told.
        Source = "source",
        /// Your IP address only.
        SourceAddress = "source_address",
        /// Your provider, AS or prefix.
        SourceNetwork = "source_network",
        /// Several networks that have something in common.
        Regional = "regional",
        /// One of the target's addresses, or one IP family.
        TargetAddress = "target_address",
        /// Everywhere.
        Global = "global",
        /// The evidence does not decide.
        Inconclusive = "inconclusive",
    }
}

impl Scope {
    /// The exit code of `onlyhere check` for this scope.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Local => 10,
            Self::Source => 11,
            Self::SourceAddress => 12,
            Self::SourceNetwork => 13,
            Self::Regional => 14,
            Self::TargetAddress => 15,
            Self::Global => 16,
            Self::Inconclusive => 17,
        }
    }
}

labelled! {
    /// How the fault shows.
    Mechanism ("mechanism") {
        /// No fault.
        None = "none",
        /// Connection refused.
        Refused = "refused",
        /// Silence.
        Timeout = "timeout",
        /// Opened, then killed.
        Reset = "reset",
        /// ICMP unreachable or prohibited.
        Unreachable = "unreachable",
        /// The name does not resolve.
        Dns = "dns",
        /// The handshake or the certificate fails.
        Tls = "tls",
        /// An HTTP error.
        Http = "http",
    }
}

labelled! {
    /// Who must act.
    Actor ("actor") {
        /// The caller.
        You = "you",
        /// Whoever runs the caller's network.
        YourNetwork = "your_network",
        /// Whoever runs the target.
        Site = "site",
        /// Whoever runs the target's zone.
        DnsOperator = "dns_operator",
        /// A network in between.
        Transit = "transit",
        /// Nobody.
        Nobody = "nobody",
        /// Not known.
        Unknown = "unknown",
    }
}

labelled! {
    /// A cause.
    #[allow(missing_docs, reason = "each is described in the diagnosis crate's causes.toml")]
    CauseId ("cause") {
        ServiceDown = "service_down",
        HostDown = "host_down",
        FirewallReject = "firewall_reject",
        FirewallDrop = "firewall_drop",
        BoundToLoopback = "bound_to_loopback",
        WrongPort = "wrong_port",
        WrongAddress = "wrong_address",
        DnsMissing = "dns_missing",
        DnsStale = "dns_stale",
        DnsBroken = "dns_broken",
        CrashLoop = "crash_loop",
        Overloaded = "overloaded",
        CertificateExpired = "certificate_expired",
        CertificateMismatch = "certificate_mismatch",
        CertificateUntrusted = "certificate_untrusted",
        IpBan = "ip_ban",
        WafBlock = "waf_block",
        RateLimited = "rate_limited",
        NetworkBlock = "network_block",
        GeoBlock = "geo_block",
        RoutingFault = "routing_fault",
        CdnEdgeFault = "cdn_edge_fault",
        AddressDown = "address_down",
        FamilyBroken = "family_broken",
        LocalFirewall = "local_firewall",
        LocalOffline = "local_offline",
        LocalProxy = "local_proxy",
        LocalVpn = "local_vpn",
        HostsFile = "hosts_file",
        LocalResolver = "local_resolver",
        LocalServiceDown = "local_service_down",
        CaptivePortal = "captive_portal",
        TlsInterception = "tls_interception",
        BrowserOnly = "browser_only",
        HttpError = "http_error",
        BackendPartial = "backend_partial",
        MtuBlackhole = "mtu_blackhole",
    }
}

/// What one check concluded, and every observation it stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `onlyhere.report/1`.
    pub schema: String,
    /// The check's id.
    pub id: CheckId,
    /// When the check began.
    pub started_at: Timestamp,
    /// From the request to the conclusion.
    pub duration_ms: Micros,
    /// What was checked.
    pub target: Target,
    /// What is concluded.
    pub verdict: Verdict,
    /// Whose question it was.
    pub subject: Subject,
    /// What was known beside the observations.
    #[serde(default)]
    pub conditions: Conditions,
    /// Who tried, and what they saw; sorted by name, the caller first.
    pub vantages: Vec<VantageReport>,
}

/// What is concluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Where the fault lies.
    pub scope: Scope,
    /// How it shows.
    pub mechanism: Mechanism,
    /// One sentence without its full stop: mechanism and where.
    pub headline: String,
    /// Who must act.
    pub actor: Actor,
    /// Probability of `scope`, 0 to 1.
    pub confidence: f64,
    /// Whether it comes and goes.
    pub intermittent: bool,
    /// False while the verdict is provisional.
    pub complete: bool,
    /// Probability of each scope.
    pub scopes: BTreeMap<Scope, f64>,
    /// Causes, the likeliest first.
    pub causes: Vec<CauseReport>,
    /// What it stands on, the strongest first.
    pub evidence: Vec<Evidence>,
    /// What a minority of vantages saw that does not change the verdict.
    pub advisories: Vec<Advisory>,
    /// What would decide or confirm it.
    pub next: Vec<String>,
}

/// A possible cause with its remedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CauseReport {
    /// Which.
    pub id: CauseId,
    /// 0 to 1.
    pub probability: f64,
    /// For people.
    pub title: String,
    /// How to confirm it.
    pub confirm: Vec<String>,
    /// How to mend it.
    pub fix: Vec<String>,
    /// Such as `1-2 minutes`.
    pub time_to_fix: String,
}

/// One thing the verdict stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// `E1`, `E2`, …
    pub id: String,
    /// A sentence that a person can check.
    pub says: String,
    /// Scopes it speaks for.
    pub favours: Vec<Scope>,
    /// log10 of the Bayes factor for these scopes against the rest.
    pub log10_bayes_factor: f64,
    /// Who saw it.
    pub vantages: Vec<VantageName>,
}

/// A minority that does not change the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Advisory {
    /// A sentence for people.
    pub says: String,
    /// The likely cause, if one is known.
    #[serde(default)]
    pub cause: Option<CauseId>,
    /// Who saw it.
    pub vantages: Vec<VantageName>,
}

/// Whose question it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The subject's vantage; none when the caller was no vantage.
    pub vantage: Option<VantageName>,
    /// Its address as the coordinator sees it.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub public_address: Option<IpAddr>,
    /// Its AS, when known.
    #[serde(default)]
    pub asn: Option<u32>,
    /// What its machine says of itself.
    #[serde(default)]
    pub local: LocalFacts,
}

/// What the caller's machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LocalFacts {
    /// Proxy settings in force, as `NAME=URL` with credentials removed.
    #[serde(default)]
    pub proxies: Vec<String>,
    /// Addresses that the hosts file gives for the target.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub hosts_entries: Vec<IpAddr>,
    /// The tunnel device that carries the default route.
    #[serde(default)]
    pub tunnel: Option<String>,
    /// `linux`, `macos`, `windows`; none when it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What listens on this machine; filled in for targets that are this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// The device that leads out past the tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

/// A listening TCP socket of the caller's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// The address it is bound to.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The program's name, when the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// What was known beside the observations: with them, the verdict can be reached again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// What the person's browser showed.
    #[serde(default)]
    pub seen: Option<Symptom>,
    /// Sites believed healthy, for telling a broken vantage from a broken target.
    #[serde(default)]
    pub controls: Vec<Target>,
    /// Resolvers that the caller asks besides its own.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub resolvers: Vec<IpAddr>,
    /// Addresses that the target's owner expects its name to have; empty when not said.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub expected_addresses: Vec<IpAddr>,
    /// Zones of DNS block lists at which the caller's public address is looked up.
    #[serde(default)]
    pub block_lists: Vec<String>,
    /// For one stage of one attempt.
    #[serde(default = "default_attempt_timeout")]
    pub attempt_timeout_ms: Micros,
    /// What earlier checks of this target by this caller came to.
    #[serde(default)]
    pub history: History,
    /// The target lies in a special range that the coordinator lets all its vantages try: a private fleet's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private_permitted: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            seen: None,
            controls: Vec::new(),
            resolvers: Vec::new(),
            expected_addresses: Vec::new(),
            block_lists: Vec::new(),
            attempt_timeout_ms: default_attempt_timeout(),
            history: History::default(),
            private_permitted: false,
        }
    }
}

fn default_attempt_timeout() -> Micros {
    Micros(3_000_000)
}

/// What earlier checks of the same target by the same caller came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// When it was last reachable.
    #[serde(default)]
    pub last_ok: Option<Timestamp>,
    /// The first of the failures that have not been followed by a success.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
}

/// One vantage and what it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VantageReport {
    /// Who.
    #[serde(flatten)]
    pub vantage: Vantage,
    /// What it saw, in the order of request and sequence.
    pub observations: Vec<Observation>,
}
