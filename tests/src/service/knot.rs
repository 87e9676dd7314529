//! knot, as one of a zone's authoritative servers.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

/// What one authoritative server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// It serves the zone.
    #[default]
    Serves,
    /// It runs, but does not know the zone: REFUSED. A lame delegation (RFC 1912, 2.8).
    Lame,
    /// It does not run.
    Down,
}

/// Another answer for some of those who ask, as with geographic DNS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Who: the prefixes of the resolvers that ask, not of the people behind them.
    pub sources: Vec<IpNet>,
    /// What they get.
    pub addresses: Vec<IpAddr>,
}

/// One zone as one server has it: an SOA, the zone's servers, and the addresses of its own name.
#[derive(Debug, Clone)]
pub struct Zone<'a> {
    /// The zone's name.
    pub name: &'a str,
    /// Names of its servers.
    pub servers: &'a [String],
    /// The SOA's serial: a stale secondary has an older one.
    pub serial: u32,
    /// Addresses of the zone's own name; none is an answer without data.
    pub addresses: &'a [IpAddr],
    /// Time to live of the addresses, in seconds.
    pub ttl: u32,
    /// Who gets other answers.
    pub views: &'a [View],
}

/// A running knot.
#[derive(Debug)]
pub struct NameServer {
    _daemon: Daemon,
}

impl NameServer {
    /// Starts knot on a host, with the zone or without any, and waits until it serves.
    pub fn start(host: &Host, zone: Option<&Zone<'_>>) -> Result<Self, LabError> {
        let dir = host.dir().join("knot");
        make_dir(&dir)?;
        let mut config = CONFIG.to_owned();
        if let Some(zone) = zone {
            write(&dir.join("zone"), zone_file(zone))?;
            config.push_str(ZONE);
            if !zone.views.is_empty() {
                write(&dir.join("views.conf"), views_file(zone))?;
                config.push_str("    module: mod-geoip/views\n");
                config.insert_str(0, VIEWS);
            }
            config = config
                .replace("NAME", zone.name)
                .replace("TTL", &zone.ttl.to_string());
        }
        // One that was killed leaves it, and its number may belong to another by now.
        let _ = std::fs::remove_file(dir.join("knot.pid"));
        let file = dir.join("knot.conf");
        write(&file, config.replace("DIR", &dir.display().to_string()))?;
        let mut daemon = host.daemon("knot", host.command("knotd").arg("-c").arg(&file))?;
        daemon.wait_for("start", 20, |line| {
            line.contains("server started in the foreground")
        })?;
        Ok(Self { _daemon: daemon })
    }
}

fn zone_file(zone: &Zone<'_>) -> String {
    let Zone {
        name, serial, ttl, ..
    } = zone;
    let first = zone.servers.first().map_or("ns.example", String::as_str);
    let mut text =
        format!("{name}. 300 IN SOA {first}. hostmaster.example. {serial} 3600 600 86400 60\n");
    for server in zone.servers {
        let _ = writeln!(text, "{name}. 300 IN NS {server}.");
    }
    for address in zone.addresses {
        let _ = writeln!(text, "{name}. {ttl} IN {} {address}", kind(*address));
    }
    text
}

fn views_file(zone: &Zone<'_>) -> String {
    let mut text = format!("{}:\n", zone.name);
    for view in zone.views {
        for source in &view.sources {
            let _ = writeln!(text, "  - net: {source}");
            for wanted in ["A", "AAAA"] {
                let answers: Vec<String> = view
                    .addresses
                    .iter()
                    .filter(|address| kind(**address) == wanted)
                    .map(ToString::to_string)
                    .collect();
                if !answers.is_empty() {
                    let _ = writeln!(text, "    {wanted}: [ {} ]", answers.join(", "));
                }
            }
        }
    }
    text
}

fn kind(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

const CONFIG: &str = r#"server:
    rundir: "DIR"
    listen: [ "0.0.0.0@53", "::@53" ]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "DIR"
"#;

const ZONE: &str = r#"zone:
  - domain: "NAME"
    storage: "DIR"
    file: "zone"
"#;

const VIEWS: &str = r#"mod-geoip:
  - id: views
    config-file: "DIR/views.conf"
    mode: subnet
    ttl: TTL
"#;
