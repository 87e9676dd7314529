//! The internet in which a probe is led astray: real nginx pages that redirect, real knot zones that lie and rebind, a real
//! coordinator that lets everything through.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::targets::{HOSTS_ENTRY, INNER_SERVER, PAGES, RECORDS};
use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Topology};
use crate::scenario::Action;
use crate::service::{FleetSettings, Programs, nftables};
use crate::stage::Stage;

/// The probe that is asked for everything.
pub(super) const PROBE: &str = "fra";
/// One of a private fleet.
pub(super) const PRIVATE: &str = "ams";
/// A site in the private fleet's own network, and the network.
pub(super) const INNER_SITE: &str = "10.77.0.10";
pub(super) const INNER_NETWORK: &str = "10.77.0.0/24";
/// On the probe's loopback device, and permitted: what a counter is proved with.
pub(super) const PROOF: &str = "127.0.0.77";
/// Whom the probes' owner names.
pub(super) const CONTACT: &str = "https://operator.example/probe";
/// The lab's public internet, as far as the guards permit it.
const PUBLIC: [&str; 2] = ["198.18.0.0/16", "2001:db8::/36"];

/// Everything that runs, and what is dropped before it.
pub(super) struct Ground {
    _name_servers: Vec<Daemon>,
    pub(super) stage: Stage,
}

/// What the coordinator and the guards permit besides the lab's public internet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permits<'a> {
    pub(super) coordinator: &'a [&'a str],
    pub(super) private_probe: &'a [&'a str],
}

impl Ground {
    pub(super) fn build(topology: &Path, permits: Permits<'_>) -> Result<Self, LabError> {
        let programs = Programs::beside_me()?;
        let mut stage = Stage::without_onlyhere(Topology::read(topology)?, 1)?;
        stage.apply(&Action::NginxConfig {
            host: "web".into(),
            http: LOG.into(),
            server: pages(),
            location: None,
        })?;
        let name_servers = start_name_servers(&stage)?;
        let server: Vec<IpAddr> = vec![[198, 18, 1, 53].into()];
        stage.delegate_zone("evil.example", server.clone())?;
        stage.delegate_zone("rebind.example", server)?;
        let (name, address) = HOSTS_ENTRY;
        stage.apply(&Action::HostsEntry {
            host: PROBE.into(),
            name: name.into(),
            address: address.parse().map_err(|_| unknown(address))?,
        })?;
        stage.apply(&Action::Run {
            host: "web".into(),
            script: format!("ip address add {INNER_SITE}/32 dev uplink\n"),
        })?;
        stage.apply(&Action::Run {
            host: "exchange".into(),
            script: format!("ip route add {INNER_SITE}/32 dev to-web\n"),
        })?;
        // The resolver learns at once that the server inside is out of its reach.
        stage.apply(&Action::Run {
            host: "dns".into(),
            script: "ip route add unreachable 10.0.0.0/8\n".into(),
        })?;
        let with = |more: &[&str]| -> Vec<String> {
            PUBLIC
                .iter()
                .chain(more)
                .map(|text| (*text).to_owned())
                .collect()
        };
        let settings = FleetSettings {
            allow_private: with(permits.coordinator),
            guard_allow: with(&[PROOF]),
            guard_allow_of: [(PRIVATE.to_owned(), with(permits.private_probe))].into(),
            contact: CONTACT.into(),
            ..FleetSettings::default()
        };
        stage.start_fleet(programs, &settings)?;
        let ground = Self {
            _name_servers: name_servers,
            stage,
        };
        ground.restart_turns()?;
        Ok(ground)
    }

    /// The next question for the name that rebinds is the first one again.
    pub(super) fn restart_turns(&self) -> Result<(), LabError> {
        nftables::load(self.stage.internet().host("ns")?, TURNS)
    }

    /// What the site's nginx has written of its visitors: address, request, status, and what was sent to it.
    pub(super) fn visits(&self) -> Result<Vec<Visit>, LabError> {
        let file = self
            .stage
            .internet()
            .host("web")?
            .dir()
            .join("nginx/visits.log");
        let text = std::fs::read_to_string(&file)
            .map_err(LabError::io(format!("read {}", file.display())))?;
        Ok(text.lines().filter_map(Visit::read).collect())
    }
}

fn unknown(name: &str) -> LabError {
    LabError::Unknown {
        kind: "address",
        name: name.into(),
    }
}

/// One line of nginx's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) from: String,
    pub(super) path: String,
    pub(super) status: u16,
    /// Head and body as received, bytes.
    pub(super) length: u64,
    /// `Content-Length` and `Transfer-Encoding`, `-` where there is none.
    pub(super) body: String,
    pub(super) agent: String,
}

const LOG: &str = r#"log_format visits '$remote_addr	$request_uri	$status	$request_length	$http_content_length$http_transfer_encoding	$http_user_agent';
    access_log DIR/visits.log visits;
    absolute_redirect off;"#;

impl Visit {
    fn read(line: &str) -> Option<Self> {
        let mut columns = line.split('\t');
        let mut next = || columns.next().map(str::to_owned);
        Some(Self {
            from: next()?,
            path: next()?,
            status: next()?.parse().ok()?,
            length: next()?.parse().ok()?,
            body: next()?,
            agent: next()?,
        })
    }
}

fn pages() -> String {
    let mut text = String::from("location = /fails { return 401 \"who are you?\\n\"; }\n");
    for (page, status, location) in PAGES {
        let _ = writeln!(
            text,
            "location = /to/{page} {{ return {status} \"{location}\"; }}"
        );
    }
    text
}

/// One knot has the zone that lies. Two more have one zone each and answer in turn: the first two questions (one for each
/// family) get the site's addresses, the next two get this machine's, and so on.
fn start_name_servers(stage: &Stage) -> Result<Vec<Daemon>, LabError> {
    let site = ("198.18.1.10", "2001:db8:1::10");
    let started = vec![
        knot(
            stage,
            "liar",
            5300,
            &[
                ("evil.example", lies()),
                ("rebind.example", rebinding(site)),
            ],
        )?,
        knot(
            stage,
            "rebinder",
            5302,
            &[("rebind.example", rebinding(("127.0.0.1", "::1")))],
        )?,
    ];
    Ok(started)
}

/// Bytes 20 to 26 of a UDP packet are the first label of the name that is asked for: its length, and `rebind`.
const TURNS: &str = "table inet turns { }
delete table inet turns
table inet turns {
    chain in {
        type nat hook prerouting priority dstnat;
        udp dport 53 @th,160,56 0x06726562696e64 redirect to :numgen inc mod 4 map { 0 : 5300, 1 : 5300, 2 : 5302, 3 : 5302 }
        udp dport 53 redirect to :5300
        tcp dport 53 redirect to :5300
    }
}";

fn knot(
    stage: &Stage,
    name: &str,
    port: u16,
    zones: &[(&str, String)],
) -> Result<Daemon, LabError> {
    let host = stage.internet().host("ns")?;
    let dir: PathBuf = host.dir().join(name);
    make_dir(&dir)?;
    let shown = dir.display();
    let mut config = format!(
        "server:\n    rundir: \"{shown}\"\n    listen: [ \"0.0.0.0@{port}\", \"::@{port}\" ]\n    udp-workers: 1\n    \
         tcp-workers: 1\n    background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n    \
         storage: \"{shown}\"\nzone:\n"
    );
    for (zone, text) in zones {
        write(&dir.join(format!("{zone}.zone")), text)?;
        let _ = writeln!(
            config,
            "  - domain: \"{zone}\"\n    storage: \"{shown}\"\n    file: \"{zone}.zone\"\n    semantic-checks: off"
        );
    }
    let file = dir.join("knot.conf");
    write(&file, config)?;
    let mut daemon = host.daemon(name, host.command("knotd").arg("-c").arg(&file))?;
    daemon.wait_for("start", 20, |line| {
        line.contains("server started in the foreground")
    })?;
    Ok(daemon)
}

fn head(zone: &str) -> String {
    format!(
        "$ORIGIN {zone}.\n$TTL 0\n@ IN SOA ns hostmaster 1 3600 600 86400 0\n@ IN NS ns\nns IN A 198.18.1.53\n"
    )
}

fn lies() -> String {
    let mut text = head("evil.example");
    for (owner, kind, data) in RECORDS {
        let _ = writeln!(text, "{owner} IN {kind} {data}");
    }
    let (server, address) = INNER_SERVER;
    let _ = writeln!(text, "{server} IN A {address}");
    text
}

fn rebinding((v4, v6): (&str, &str)) -> String {
    let mut text = head("rebind.example");
    let _ = writeln!(text, "@ IN A {v4}\n@ IN AAAA {v6}");
    text
}
