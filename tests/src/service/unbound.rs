//! unbound, as the internet's one honest resolver and as any others, honest or not. It knows the lab's names by heart,
//! and asks the authoritative servers for zones that have some.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Deserialize;

use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

/// Names and their addresses.
pub type Records = BTreeMap<String, Vec<IpAddr>>;

/// Everything there is to know about names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Names that every resolver knows without asking.
    pub records: Records,
    /// Zones with authoritative servers of their own, and the servers' addresses. What stands in `records` for such a
    /// zone does not count.
    pub delegations: Records,
}

/// What a resolver says that is not so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lie {
    /// About which name and what is below it.
    pub name: String,
    /// What it says.
    pub says: Saying,
}

/// The ways of a resolver that filters or is broken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saying {
    /// These addresses: a page that tells that the site is blocked, or worse.
    Addresses(Vec<IpAddr>),
    /// 0.0.0.0 and ::, as block lists for advertisements have it.
    Null,
    /// NXDOMAIN.
    Nxdomain,
    /// No error and no data.
    NoData,
    /// REFUSED.
    Refused,
    /// SERVFAIL: it asks a server that is not there.
    Servfail,
    /// Nothing at all.
    Silence,
}

/// A running unbound.
#[derive(Debug)]
pub struct Resolver {
    _daemon: Daemon,
}

impl Resolver {
    /// Starts unbound on a host with these names and lies and waits until it serves.
    pub fn start(host: &Host, names: &Names, lies: &[Lie]) -> Result<Self, LabError> {
        let dir = host.dir().join("unbound");
        make_dir(&dir)?;
        let mut config = CONFIG.replace("DIR", &dir.display().to_string());
        let own = |name: &str| {
            let delegated = names.delegations.keys().any(|zone| is_within(name, zone));
            !delegated && !lies.iter().any(|lie| is_within(name, &lie.name))
        };
        for (name, addresses) in names.records.iter().filter(|(name, _)| own(name)) {
            for address in addresses {
                config.push_str(&local_data(name, *address));
            }
        }
        let lied = |zone: &str| lies.iter().any(|lie| lie.name == zone);
        let delegated = || names.delegations.iter().filter(|(zone, _)| !lied(zone));
        for (zone, _) in delegated() {
            let _ = writeln!(config, "    local-zone: \"{zone}.\" transparent");
        }
        for lie in lies {
            config.push_str(&lie_told(lie));
        }
        for (zone, servers) in delegated() {
            config.push_str(&stub(zone, servers.iter().map(ToString::to_string)));
        }
        for lie in lies.iter().filter(|lie| lie.says == Saying::Servfail) {
            config.push_str(&stub(&lie.name, [NOBODY.to_owned()]));
        }
        let file = dir.join("unbound.conf");
        write(&file, config)?;
        let mut daemon = host.daemon(
            "unbound",
            host.command("unbound").arg("-d").arg("-c").arg(&file),
        )?;
        daemon.wait_for("start of service", 20, |line| {
            line.contains("start of service")
        })?;
        Ok(Self { _daemon: daemon })
    }
}

fn is_within(name: &str, zone: &str) -> bool {
    let rest = name.strip_suffix(zone);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn local_data(name: &str, address: IpAddr) -> String {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    format!("    local-data: \"{name}. 300 IN {kind} {address}\"\n")
}

/// The types of local zones are explained in unbound.conf(5).
fn lie_told(lie: &Lie) -> String {
    let zone = |kind: &str| format!("    local-zone: \"{}.\" {kind}\n", lie.name);
    match &lie.says {
        Saying::Addresses(addresses) => {
            let data = addresses
                .iter()
                .map(|address| local_data(&lie.name, *address));
            zone("redirect") + &data.collect::<String>()
        }
        Saying::Null => zone("always_null"),
        Saying::Nxdomain => zone("always_nxdomain"),
        Saying::NoData => zone("always_nodata"),
        Saying::Refused => zone("always_refuse"),
        Saying::Servfail => zone("transparent"),
        Saying::Silence => zone("always_deny"),
    }
}

fn stub(zone: &str, servers: impl IntoIterator<Item = String>) -> String {
    let mut text = format!("stub-zone:\n    name: \"{zone}.\"\n");
    for server in servers {
        let _ = writeln!(text, "    stub-addr: {server}");
    }
    // Further options belong to the server again.
    text + "server:\n"
}

/// A port on which nothing listens.
const NOBODY: &str = "127.0.0.1@1";

/// `static` zones answer from what stands here: NXDOMAIN with the zone's SOA for names that do not, as an
/// authoritative server does (RFC 2308). Nothing is ever asked of the outside but the servers of delegated zones.
const CONFIG: &str = r#"server:
    directory: "DIR"
    chroot: ""
    username: ""
    pidfile: "DIR/unbound.pid"
    do-daemonize: no
    use-syslog: no
    logfile: ""
    verbosity: 1
    num-threads: 1
    module-config: "iterator"
    interface: 0.0.0.0
    interface: ::0
    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    do-not-query-localhost: no
    local-zone: "." static
    local-data: ". 300 IN SOA dns.example. hostmaster.example. 1 3600 600 86400 60"
    local-zone: "example." static
    local-data: "example. 300 IN SOA dns.example. hostmaster.example. 1 3600 600 86400 60"
    local-data: "example. 300 IN NS dns.example."
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_holds_its_own_name_and_what_is_below_it() {
        assert!(is_within("shop.example", "shop.example"));
        assert!(is_within("www.shop.example", "shop.example"));
        assert!(!is_within("workshop.example", "shop.example"));
        assert!(!is_within("example", "shop.example"));
    }
}
