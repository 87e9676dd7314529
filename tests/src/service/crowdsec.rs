//! CrowdSec itself with its firewall bouncer for nftables, which drops. The parser, the scenario and the grok patterns
//! are those that come with the package, so a ban is what it would be on any Debian server: six wrong passwords in
//! nginx's own log, or an administrator's `cscli decisions add`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host, wait_until};

/// The offline hub of Debian's package.
const HUB: &str = "/usr/share/crowdsec/hub";
/// What a server with nginx has enabled, as far as wrong logins go.
const ENABLED: [&str; 5] = [
    "parsers/s00-raw/crowdsecurity/syslog-logs.yaml",
    "parsers/s01-parse/crowdsecurity/nginx-logs.yaml",
    "parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml",
    "parsers/s02-enrich/crowdsecurity/http-logs.yaml",
    "scenarios/crowdsecurity/http-generic-bf.yaml",
];
/// The packaged grok patterns.
const PATTERNS: &str = "/etc/crowdsec/patterns";
/// The local API.
const PORT: u16 = 8080;

/// A running CrowdSec with its bouncer. The bouncer is dropped first, as it asks the other.
#[derive(Debug)]
pub struct Crowdsec {
    _bouncer: Daemon,
    engine: Daemon,
    dir: PathBuf,
}

impl Crowdsec {
    /// Starts both on a host over nginx's error log and waits until the firewall holds their empty lists.
    pub fn start(host: &Host, error_log: &Path) -> Result<Self, LabError> {
        let dir = host.dir().join("crowdsec");
        lay_out(&dir)?;
        let place = |text: &str| {
            text.replace("DIR", &dir.display().to_string())
                .replace("HUB", HUB)
                .replace("LOG", &error_log.display().to_string())
                .replace("PORT", &PORT.to_string())
        };
        for (file, text) in [
            ("config.yaml", ENGINE),
            ("acquis.yaml", ACQUISITION),
            ("profiles.yaml", PROFILES),
            ("simulation.yaml", "simulation: false\n"),
            ("console.yaml", "\n"),
            ("api.yaml", ""),
        ] {
            write(&dir.join(file), place(text))?;
        }
        let api = format!("http://127.0.0.1:{PORT}");
        let machine = ["machines", "add", "--force", "lab", "--auto", "-u", &api];
        cscli(host, &dir, &machine)?;
        let key = cscli(host, &dir, &["bouncers", "add", "firewall", "-o", "raw"])?;
        write(
            &dir.join("bouncer.yaml"),
            place(BOUNCER).replace("KEY", key.trim()),
        )?;
        let mut command = host.command("crowdsec");
        let mut engine = host.daemon("crowdsec", command.arg("-c").arg(dir.join("config.yaml")))?;
        super::wait_for_port(host, &mut engine, PORT, 30)?;
        engine.wait_for("reading of nginx's log", 30, |line| {
            line.contains("Starting processing data")
        })?;
        let mut command = host.command("crowdsec-firewall-bouncer");
        let mut bouncer = host.daemon(
            "crowdsec-bouncer",
            command.arg("-c").arg(dir.join("bouncer.yaml")),
        )?;
        bouncer.wait_for("its lists in the firewall", 30, |line| {
            line.contains("Processing new and deleted decisions")
        })?;
        Ok(Self {
            _bouncer: bouncer,
            engine,
            dir,
        })
    }

    /// An administrator bans an address by hand.
    pub fn decide(&self, host: &Host, address: &str) -> Result<(), LabError> {
        cscli(host, &self.dir, &["decisions", "add", "--ip", address]).map(drop)
    }

    /// Waits until CrowdSec says that it has seen each address attack.
    pub fn wait_for_detections(&mut self, addresses: &[String]) -> Result<(), LabError> {
        for address in addresses {
            let words = format!("by ip {address} : ");
            self.engine
                .wait_for(&words, 30, |line| line.contains(&words))?;
        }
        Ok(())
    }

    /// Waits until the bouncer has brought each ban into the firewall.
    pub fn wait_for_bans(&self, host: &Host, addresses: &[String]) -> Result<(), LabError> {
        wait_until("CrowdSec's ban in the firewall", 20, || {
            let rules = host.run("nft", &["list", "ruleset"])?;
            Ok(addresses.iter().all(|address| rules.contains(address)))
        })
    }

    /// What `cscli decisions list` says.
    pub fn decisions(&self, host: &Host) -> Result<String, LabError> {
        cscli(host, &self.dir, &["decisions", "list", "-o", "raw"])
    }
}

fn cscli(host: &Host, dir: &Path, args: &[&str]) -> Result<String, LabError> {
    let config = dir.join("config.yaml").display().to_string();
    host.run("cscli", &[&["-c", &config], args].concat())
}

/// Enabled items are links into the hub, one directory less deep, as the package lays them out.
fn lay_out(dir: &Path) -> Result<(), LabError> {
    for item in ENABLED {
        let item = Path::new(item);
        let (Some(file), Some(kind)) = (item.file_name(), item.ancestors().nth(2)) else {
            continue;
        };
        make_dir(&dir.join(kind))?;
        link(&Path::new(HUB).join(item), &dir.join(kind).join(file))?;
    }
    for empty in ["data", "collections", "postoverflows"] {
        make_dir(&dir.join(empty))?;
    }
    link(Path::new(PATTERNS), &dir.join("patterns"))
}

fn link(target: &Path, link: &Path) -> Result<(), LabError> {
    if link.is_symlink() {
        return Ok(());
    }
    symlink(target, link).map_err(LabError::io(format!("link {}", link.display())))
}

/// No central API: nothing is ever asked of the outside.
const ENGINE: &str = r#"common:
  daemonize: false
  log_media: stdout
  log_level: info
  log_dir: DIR
  working_dir: DIR
config_paths:
  config_dir: DIR/
  data_dir: DIR/data/
  simulation_path: DIR/simulation.yaml
  hub_dir: HUB/
  index_path: HUB/.index.json
  notification_dir: DIR/notifications/
  plugin_dir: /usr/lib/crowdsec/plugins/
crowdsec_service:
  acquisition_path: DIR/acquis.yaml
  parser_routines: 1
cscli:
  output: human
db_config:
  log_level: info
  type: sqlite
  db_path: DIR/data/crowdsec.db
  use_wal: true
api:
  client:
    credentials_path: DIR/api.yaml
  server:
    log_level: warning
    listen_uri: 127.0.0.1:PORT
    profiles_path: DIR/profiles.yaml
    console_path: DIR/console.yaml
prometheus:
  enabled: false
"#;

const ACQUISITION: &str = "filenames:
 - LOG
labels:
  type: nginx
";

/// The packaged default.
const PROFILES: &str = r#"name: default_ip_remediation
filters:
 - Alert.Remediation == true && Alert.GetScope() == "Ip"
decisions:
 - type: ban
   duration: 4h
on_success: break
"#;

/// The packaged defaults but for the interval, which is ten seconds there.
const BOUNCER: &str = "mode: nftables
pid_dir: DIR/
update_frequency: 200ms
daemonize: false
log_mode: stdout
log_dir: DIR/
log_level: info
api_url: http://127.0.0.1:PORT/
api_key: KEY
disable_ipv6: false
deny_action: DROP
deny_log: false
supported_decisions_types: [ban]
blacklists_ipv4: crowdsec-blacklists
blacklists_ipv6: crowdsec6-blacklists
iptables_chains: [INPUT]
nftables:
  ipv4: { enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain }
  ipv6: { enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain }
pf: { anchor_name: '' }
prometheus: { enabled: false, listen_addr: 127.0.0.1, listen_port: 60601 }
";
