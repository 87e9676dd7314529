//! Onlyhere's own programs: the coordinator, one probe per probe host, and what the caller needs to ask them.
//!
//! They are installed the way a person would do it: `token create` on the coordinator, `join` with that token on
//! every probe, then `run`; and started with configuration files that hold only settings of the outward contract.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::{Authority, CertificateKind};
use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host, HostPlan, Internet, Role, Topology, wait_until};

/// Where people reach the coordinator.
pub const API_URL: &str = "https://coordinator.example:7080";

/// Everything in the lab has addresses from these special ranges; a probe and a coordinator must be told that this
/// is meant.
const LAB_RANGES: [&str; 2] = ["198.18.0.0/15", "2001:db8::/32"];
const CONTROLS: &str = r#"["https://control-a.example", "https://control-b.example"]"#;

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The caller's.
    pub onlyhere: PathBuf,
    /// A vantage's.
    pub probe: PathBuf,
    /// The coordinator's.
    pub coordinator: PathBuf,
}

impl Programs {
    /// Finds the programs beside this one, where cargo or a package has put them together.
    pub fn beside_me() -> Result<Self, LabError> {
        let me = std::env::current_exe().map_err(LabError::io("find my own program"))?;
        let mut dir = me.parent().unwrap_or(Path::new("/")).to_path_buf();
        if dir.ends_with("deps") {
            dir.pop();
        }
        let find = |name: &str| {
            let path = dir.join(name);
            if path.is_file() {
                return Ok(path);
            }
            Err(LabError::NotBuilt {
                program: name.into(),
                path: path.display().to_string(),
            })
        };
        Ok(Self {
            onlyhere: find("onlyhere")?,
            probe: find("onlyhere-probe")?,
            coordinator: find("onlyhere-coordinator")?,
        })
    }
}

/// What the programs are told; the default is what the lab needs to be the whole internet.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// Special ranges that the coordinator lets its probes be asked for, and the caller lets the coordinator be.
    pub allow_private: Vec<String>,
    /// Resolvers that the coordinator names; where there are none, the lab's own.
    pub resolvers: Vec<String>,
    /// The `guard.allow` of every probe that has none of its own.
    pub guard_allow: Vec<String>,
    /// The `guard.allow` of some.
    pub guard_allow_of: BTreeMap<String, Vec<String>>,
    /// Whom probes name to be written to; nobody where it is empty.
    pub contact: String,
}

impl Default for FleetSettings {
    fn default() -> Self {
        let ranges: Vec<String> = LAB_RANGES.map(str::to_owned).into();
        Self {
            allow_private: ranges.clone(),
            resolvers: Vec::new(),
            guard_allow: ranges,
            guard_allow_of: BTreeMap::new(),
            contact: String::new(),
        }
    }
}

/// As TOML has it; the texts are the lab's own and hold no quotes.
fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

/// The running coordinator and probes.
#[derive(Debug)]
pub struct Fleet {
    programs: Programs,
    probes: BTreeMap<String, Daemon>,
    coordinator: Option<Daemon>,
    token: String,
}

impl Fleet {
    /// Starts everything and waits until the coordinator sees every probe.
    pub fn start(
        internet: &Internet,
        programs: Programs,
        authority: &Authority,
        settings: &FleetSettings,
    ) -> Result<Self, LabError> {
        let host = internet.the(Role::Coordinator)?;
        let coordinator = start_coordinator(internet, host, &programs, authority, settings)?;
        let mut tokens = create_tokens(internet, host, &programs)?;
        let token = tokens.pop().unwrap_or_default();
        let names = internet
            .topology()
            .with_role(Role::Probe)
            .map(|(name, _)| name);
        let probes = start_probes(internet, &programs, settings, names.zip(&tokens))?;
        configure_caller(internet, settings)?;
        let fleet = Self {
            programs,
            probes,
            coordinator: Some(coordinator),
            token,
        };
        fleet.wait_until_attached(internet.the(Role::Caller)?)?;
        Ok(fleet)
    }

    /// Where the programs are.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The running coordinator; none when it was killed.
    pub fn coordinator(&self) -> Option<&Daemon> {
        self.coordinator.as_ref()
    }

    /// The running probes by name.
    pub fn probes(&self) -> impl Iterator<Item = (&str, &Daemon)> {
        self.probes
            .iter()
            .map(|(name, daemon)| (name.as_str(), daemon))
    }

    /// Enrols a further probe on a host, with the real program; where its identity is. Nothing runs there yet.
    pub fn enrol(&self, internet: &Internet, host: &str) -> Result<PathBuf, LabError> {
        let topology = internet.topology();
        let coordinator = internet.the(Role::Coordinator)?;
        let host = internet.host(host)?;
        let plan = &topology.hosts[host.name()];
        let create = create_token(coordinator, &self.programs, topology, host.name(), plan)?;
        let token = coordinator.script(&create)?;
        let data = host.dir().join("probe").join("data");
        make_dir(&host.dir().join("probe"))?;
        join(host, &self.programs, token.trim(), &data)?;
        Ok(data)
    }

    /// Kills the coordinator.
    pub fn stop_coordinator(&mut self) {
        if let Some(coordinator) = self.coordinator.take() {
            coordinator.stop();
        }
    }

    /// `onlyhere check TARGET` as the caller would type it, ready to run.
    pub fn check(&self, caller: &Host, target: &str, args: &[String]) -> Command {
        let mut command = caller.command(&self.programs.onlyhere);
        command
            .args([
                "check",
                target,
                "--coordinator",
                API_URL,
                "--token",
                &self.token,
            ])
            .args(args);
        command
            .env("XDG_CONFIG_HOME", config_home(caller))
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// Asks as the caller would, with the caller's own program.
    fn wait_until_attached(&self, caller: &Host) -> Result<(), LabError> {
        let program = self.programs.onlyhere.display().to_string();
        let args = [
            "vantages",
            "--format",
            "json",
            "--coordinator",
            API_URL,
            "--token",
            &self.token,
        ];
        let mut last = String::new();
        wait_until("the attachment of all probes", 30, || {
            let output = caller.output(&program, &args)?;
            last = String::from_utf8_lossy(&output.stdout).into_owned();
            let known = |name: &String| last.contains(&format!("\"{name}\""));
            if self.probes.keys().all(known) {
                return Ok(true);
            }
            last.push_str(&String::from_utf8_lossy(&output.stderr));
            Ok(false)
        })
        .map_err(|error| match error {
            LabError::Late { what, seconds, .. } => LabError::Late {
                what,
                seconds,
                tail: format!("; `onlyhere vantages` says {last}"),
            },
            other => other,
        })
    }
}

fn config_home(caller: &Host) -> PathBuf {
    caller.dir().join("config")
}

fn start_coordinator(
    internet: &Internet,
    host: &Host,
    programs: &Programs,
    authority: &Authority,
    settings: &FleetSettings,
) -> Result<Daemon, LabError> {
    let dir = host.dir().join("coordinator");
    make_dir(&dir)?;
    let names = ["coordinator.example".to_owned()];
    let (certificate, key) = authority.issue(&names, CertificateKind::Valid, &dir, "api")?;
    let resolver = &internet.topology().hosts[internet.topology().the(Role::Resolver)?];
    let resolvers = match settings.resolvers.as_slice() {
        [] => vec![resolver.ipv4.to_string()],
        named => named.to_vec(),
    };
    let config = format!(
        r#"controls = {CONTROLS}
allow_private = {}

[dns]
resolvers = {}

[probes]
listen = "0.0.0.0:7443"
advertise = "coordinator.example:7443"

[api]
listen = "0.0.0.0:7080"

[api.tls]
cert = "{}"
key = "{}"
"#,
        list(&settings.allow_private),
        list(&resolvers),
        certificate.display(),
        key.display()
    );
    write(&dir.join("config.toml"), config)?;
    let mut command = host.command(&programs.coordinator);
    command.arg("serve").args(coordinator_settings(host));
    let mut daemon = host.daemon("coordinator", &mut command)?;
    daemon.wait_for("ready", 30, |line| line.trim() == "ready")?;
    Ok(daemon)
}

fn coordinator_settings(host: &Host) -> [String; 4] {
    let dir = host.dir().join("coordinator");
    let file = |name: &str| dir.join(name).display().to_string();
    [
        "--config".into(),
        file("config.toml"),
        "--data-dir".into(),
        file("data"),
    ]
}

/// One token per probe, in the order of the plan, and the caller's as the last.
fn create_tokens(
    internet: &Internet,
    host: &Host,
    programs: &Programs,
) -> Result<Vec<String>, LabError> {
    let topology = internet.topology();
    let mut script = String::new();
    for (name, plan) in topology.with_role(Role::Probe) {
        let line = create_token(host, programs, topology, name, plan)?;
        let _ = writeln!(script, "{line}");
    }
    let _ = writeln!(
        script,
        "{} --kind client --name caller",
        create_command(host, programs)
    );
    let printed = host.script(&script)?;
    let tokens: Vec<String> = printed.lines().map(|line| line.trim().to_owned()).collect();
    let wanted = topology.with_role(Role::Probe).count() + 1;
    if tokens.len() == wanted {
        return Ok(tokens);
    }
    Err(LabError::Late {
        what: format!("one token for each of {wanted} `token create`"),
        seconds: 0,
        tail: format!(":\n{printed}"),
    })
}

fn create_command(coordinator: &Host, programs: &Programs) -> String {
    let settings = coordinator_settings(coordinator).join(" ");
    format!("{} token create {settings}", programs.coordinator.display())
}

/// The command that makes a probe's token, which says where it stands.
fn create_token(
    coordinator: &Host,
    programs: &Programs,
    topology: &Topology,
    name: &str,
    plan: &HostPlan,
) -> Result<String, LabError> {
    let create = create_command(coordinator, programs);
    let network = topology.network_of(plan)?;
    Ok(format!(
        "{create} --kind probe --name {name} --region {} --country {} --asn {} --class {} --label operator={name}",
        network.region, network.country, network.asn, network.class
    ))
}

fn start_probes<'a>(
    internet: &Internet,
    programs: &Programs,
    settings: &FleetSettings,
    tokens: impl Iterator<Item = (&'a str, &'a String)>,
) -> Result<BTreeMap<String, Daemon>, LabError> {
    thread::scope(|scope| {
        let starting: Vec<_> = tokens
            .map(|(name, token)| {
                (
                    name,
                    scope.spawn(move || {
                        start_probe(internet.host(name)?, programs, settings, token)
                    }),
                )
            })
            .collect();
        starting
            .into_iter()
            .map(|(name, thread)| match thread.join() {
                Ok(daemon) => Ok((name.to_owned(), daemon?)),
                Err(_) => Err(LabError::panicked(format!("start probe {name}"))),
            })
            .collect()
    })
}

fn start_probe(
    host: &Host,
    programs: &Programs,
    settings: &FleetSettings,
    token: &str,
) -> Result<Daemon, LabError> {
    let dir = host.dir().join("probe");
    make_dir(&dir)?;
    let (config, data) = (dir.join("config.toml"), dir.join("data"));
    let allow = settings.guard_allow_of.get(host.name());
    let allow = list(allow.unwrap_or(&settings.guard_allow));
    let contact = &settings.contact;
    let text = format!("contact = \"{contact}\"\n\n[guard]\nallow = {allow}\n");
    write(&config, text)?;
    join(host, programs, token, &data)?;
    let mut command = host.command(&programs.probe);
    command
        .args(["run", "--data-dir"])
        .arg(data)
        .arg("--config")
        .arg(config);
    let mut daemon = host.daemon("probe", &mut command)?;
    daemon.wait_for("ready", 30, |line| line.trim() == "ready")?;
    Ok(daemon)
}

fn join(host: &Host, programs: &Programs, token: &str, data: &Path) -> Result<(), LabError> {
    let program = programs.probe.display().to_string();
    let data = data.display().to_string();
    let args = ["join", token, "--name", host.name(), "--data-dir", &data];
    host.run(&program, &args).map(drop)
}

fn configure_caller(internet: &Internet, settings: &FleetSettings) -> Result<(), LabError> {
    let caller = internet.the(Role::Caller)?;
    let resolver = &internet.topology().hosts[internet.topology().the(Role::Resolver)?];
    let dir = config_home(caller).join("onlyhere");
    make_dir(&dir)?;
    let config = format!(
        "controls = {CONTROLS}\nallow_private = {}\n\n[dns]\nresolvers = [\"{}\"]\n",
        list(&settings.allow_private),
        resolver.ipv4
    );
    write(&dir.join("config.toml"), config)
}
