//! nftables counts what leaves the probe: in its own network namespace, on every device, and once more at its router.
//!
//! Everything counts as forbidden but what is listed: its coordinator, questions to its resolver (counted apart), and the
//! hosts whose pages and zones lead astray. On the loopback device nothing is permitted at all.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use crate::LabError;
use crate::lab::{Host, Internet, Role};
use crate::service::nftables;

/// What was counted so far, packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// To forbidden addresses, on any device but loopback.
    pub(super) out: u64,
    /// On the loopback device.
    pub(super) looped: u64,
    /// Those to forbidden addresses that came to the router.
    pub(super) routed: u64,
    /// Questions to the probe's own resolver.
    pub(super) questions: u64,
}

impl Count {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            out: self.out - before.out,
            looped: self.looped - before.looped,
            routed: self.routed - before.routed,
            questions: self.questions - before.questions,
        }
    }

    /// All that must be zero.
    pub(super) fn forbidden(self) -> u64 {
        self.out + self.looped + self.routed
    }
}

/// The counters of one probe.
pub(super) struct Counters<'a> {
    probe: &'a Host,
    router: &'a Host,
}

impl<'a> Counters<'a> {
    /// Starts counting what leaves `probe`; packets to `permitted` hosts are left out.
    pub(super) fn start(
        internet: &'a Internet,
        probe: &str,
        permitted: &[&str],
    ) -> Result<Self, LabError> {
        let topology = internet.topology();
        let mut known: Vec<IpAddr> = Vec::new();
        let coordinator = topology.the(Role::Coordinator)?;
        for host in permitted.iter().chain(&[coordinator]) {
            let plan = &topology.hosts[*host];
            known.extend([IpAddr::from(plan.ipv4), plan.ipv6.into()]);
        }
        let resolver = &topology.hosts[topology.the(Role::Resolver)?];
        let resolver = [IpAddr::from(resolver.ipv4), resolver.ipv6.into()];
        let counters = Self {
            probe: internet.host(probe)?,
            router: internet.the(Role::Router)?,
        };
        let own = format!(
            "oifname lo counter name looped accept\n{}",
            rules(&known, resolver)
        );
        nftables::load(counters.probe, &table("output", &own))?;
        let from = format!("iifname != to-{probe} accept\n{}", rules(&known, resolver));
        nftables::load(counters.router, &table("prerouting", &from))?;
        Ok(counters)
    }

    pub(super) fn read(&self) -> Result<Count, LabError> {
        let (own, routed) = (packets(self.probe)?, packets(self.router)?);
        Ok(Count {
            out: own("forbidden"),
            looped: own("looped"),
            questions: own("questions"),
            routed: routed("forbidden"),
        })
    }
}

/// Counts before anything else of the kernel's sees the packet.
fn table(hook: &str, rules: &str) -> String {
    format!(
        "table inet guard {{
        counter forbidden {{ }}
        counter looped {{ }}
        counter questions {{ }}
        chain watch {{
            type filter hook {hook} priority -400; policy accept;
            {rules}
        }}
        }}"
    )
}

/// Groups are joined and routers asked for by the kernel itself, as soon as a device is up (RFC 3810, RFC 4861).
fn rules(known: &[IpAddr], resolver: [IpAddr; 2]) -> String {
    let family = |address: &IpAddr| if address.is_ipv4() { "ip" } else { "ip6" };
    let mut rules = String::from(
        "ip6 daddr ff02::/16 icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit } accept\n",
    );
    for address in resolver {
        for protocol in ["udp", "tcp"] {
            let _ = writeln!(
                rules,
                "{} daddr {address} {protocol} dport 53 counter name questions accept",
                family(&address)
            );
        }
    }
    for address in known {
        let _ = writeln!(rules, "{} daddr {address} accept", family(address));
    }
    rules.push_str("counter name forbidden\n");
    rules
}

/// Packets by counter's name.
fn packets(host: &Host) -> Result<impl Fn(&str) -> u64, LabError> {
    let text = host.run("nft", &["-j", "list", "counters", "table", "inet", "guard"])?;
    let whole: Value = serde_json::from_str(&text).map_err(|error| LabError::BadFile {
        file: "nft -j list counters".into(),
        problem: error.to_string(),
    })?;
    Ok(move |name: &str| {
        let all = whole["nftables"].as_array().into_iter().flatten();
        let mut counters = all.filter_map(|entry| entry.get("counter"));
        let wanted = counters.find(|counter| counter["name"] == name);
        // A counter that is not there must not read as nothing counted.
        wanted
            .and_then(|counter| counter["packets"].as_u64())
            .unwrap_or(u64::MAX / 4)
    })
}
