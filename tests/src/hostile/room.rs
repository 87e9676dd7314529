//! One internet with an enemy in it, in which behaviours are met one after the other by the same programs.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::ZONE;
use super::watch::Watch;
use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host, Role, Topology, child_of, tail};
use crate::service::{CertificateKind, Fleet, Programs};
use crate::stage::Stage;

const HOSTILE: &str = "hostile";
const MALLORY: &str = "mallory";
/// The addresses of the hostile targets.
const RANGE: &str = "198.19.0.0/16";

/// Where everything runs. Fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Room {
    hostile: Daemon,
    /// The hostile side's program.
    program: PathBuf,
    /// The programs under test.
    programs: Programs,
    mallory: PathBuf,
    stage: Stage,
}

/// A check under way, and the most memory that was seen of it.
#[derive(Debug)]
pub(super) struct Asking {
    child: Child,
    started: Instant,
    dir: PathBuf,
    peak_kib: u64,
    ended: Option<(Option<i32>, Duration)>,
}

/// What a check left.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) exit: Option<i32>,
    pub(super) took: Duration,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) peak_kib: u64,
}

impl Room {
    /// Builds it, with nobody hostile at work but the servers.
    pub(super) fn open(
        topology: Topology,
        seed: u64,
        programs: &Programs,
    ) -> Result<Self, LabError> {
        let program = programs.coordinator.with_file_name("onlyhere-hostile");
        if !program.is_file() {
            return Err(LabError::NotBuilt {
                program: "onlyhere-hostile".into(),
                path: program.display().to_string(),
            });
        }
        let mut stage = Stage::set(topology, seed, programs.clone())?;
        let hostile = start_servers(&stage, &program)?;
        let plan = &stage.internet().topology().hosts[HOSTILE];
        let server = IpAddr::from(plan.ipv4);
        stage.delegate_zone(ZONE, vec![server])?;
        let vantages = [Role::Probe, Role::Caller];
        let topology = stage.internet().topology();
        let names = vantages.iter().flat_map(|role| topology.with_role(*role));
        for (name, _) in names {
            let host = stage.internet().host(name)?;
            host.use_resolvers(&[server.to_string()])?;
        }
        let mallory = fleet(&stage)?.enrol(stage.internet(), MALLORY)?;
        Ok(Self {
            hostile,
            program,
            programs: programs.clone(),
            mallory,
            stage,
        })
    }

    pub(super) fn keep_files(&mut self) -> PathBuf {
        self.stage.keep_files()
    }

    /// Fails when the hostile side is not there any more: nothing that is seen from then on tells of it.
    pub(super) fn is_hostile(&self) -> Result<(), LabError> {
        match self.hostile.program() {
            Some(_) => Ok(()),
            None => Err(LabError::Ended {
                program: "onlyhere-hostile".into(),
                tail: tail(&self.hostile.said(), 5),
            }),
        }
    }

    /// The running probes.
    pub(super) fn probes(&self) -> Result<Vec<Watch>, LabError> {
        let probes = fleet(&self.stage)?.probes();
        probes.map(|(name, daemon)| watch(name, daemon)).collect()
    }

    /// The running coordinator.
    pub(super) fn coordinator(&self) -> Result<Watch, LabError> {
        let gone = || LabError::Unknown {
            kind: "program",
            name: "onlyhere-coordinator".into(),
        };
        let daemon = fleet(&self.stage)?.coordinator().ok_or_else(gone)?;
        watch("coordinator", daemon)
    }

    /// Everything that the programs under test have logged so far, by program.
    pub(super) fn logs(&self) -> Result<Vec<(String, String)>, LabError> {
        let fleet = fleet(&self.stage)?;
        let coordinator = fleet.coordinator().map(|daemon| ("coordinator", daemon));
        let all = coordinator.into_iter().chain(fleet.probes());
        Ok(all
            .map(|(name, daemon)| (name.to_owned(), daemon.said()))
            .collect())
    }

    /// Lets the hostile probe of a behaviour loose, until what is returned is dropped.
    pub(super) fn unleash(&self, behaviour: &str) -> Result<Daemon, LabError> {
        let host = self.stage.internet().host(MALLORY)?;
        let mut command = host.command(&self.program);
        command.args(["probe", behaviour]).arg(&self.mallory);
        host.daemon("mallory", &mut command)
    }

    /// Starts a check as the caller would.
    pub(super) fn ask(
        &self,
        what: &str,
        target: &str,
        timeout: Duration,
    ) -> Result<Asking, LabError> {
        let caller = self.caller()?;
        let dir = self.stage.internet().dir().join(what);
        make_dir(&dir)?;
        let open = |name: &str| {
            std::fs::File::create(dir.join(name)).map_err(LabError::io(format!("create {name}")))
        };
        let timeout = format!("{}ms", timeout.as_millis());
        let args = ["--format", "json", "--timeout", &timeout].map(str::to_owned);
        let started = Instant::now();
        let child = fleet(&self.stage)?
            .check(caller, target, &args)
            .stdin(Stdio::null())
            .stdout(open("stdout")?)
            .stderr(open("stderr")?)
            .spawn()
            .map_err(LabError::io("start onlyhere check"))?;
        Ok(Asking {
            child,
            started,
            dir,
            peak_kib: 0,
            ended: None,
        })
    }

    /// What `onlyhere` prints for people about a report, and what it says beside it.
    pub(super) fn in_words(&self, report: &str) -> Result<String, LabError> {
        let file = self.stage.internet().dir().join("report.json");
        write(&file, report)?;
        let file = file.display().to_string();
        let output = self
            .caller()?
            .output(&self.programs.onlyhere, &["replay", &file])?;
        let text = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn caller(&self) -> Result<&Host, LabError> {
        self.stage.internet().the(Role::Caller)
    }
}

impl Asking {
    /// Whether it is over; looks at its memory meanwhile.
    pub(super) fn is_over(&mut self) -> Result<bool, LabError> {
        if self.ended.is_some() {
            return Ok(true);
        }
        if let Some(pid) = child_of(self.child.id())
            && let Some(peak) = Watch::new("onlyhere", pid).peak_kib()
        {
            self.peak_kib = self.peak_kib.max(peak);
        }
        let ended = self
            .child
            .try_wait()
            .map_err(LabError::io("wait for onlyhere check"))?;
        self.ended = ended.map(|status| (status.code(), self.started.elapsed()));
        Ok(self.ended.is_some())
    }

    /// Ends it if it is not over.
    pub(super) fn finish(mut self) -> Asked {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let (exit, took) = self.ended.unwrap_or((None, self.started.elapsed()));
        let read = |name: &str| {
            let bytes = std::fs::read(self.dir.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Asked {
            exit,
            took,
            stdout: read("stdout"),
            stderr: read("stderr"),
            peak_kib: self.peak_kib,
        }
    }
}

fn fleet(stage: &Stage) -> Result<&Fleet, LabError> {
    stage.fleet().ok_or_else(|| LabError::Unknown {
        kind: "program",
        name: "onlyhere".into(),
    })
}

fn watch(name: &str, daemon: &Daemon) -> Result<Watch, LabError> {
    let pid = daemon.program().ok_or_else(|| LabError::Unknown {
        kind: "running program",
        name: name.into(),
    })?;
    Ok(Watch::new(name, pid))
}

/// The servers of all behaviours, with the name server, on one host.
fn start_servers(stage: &Stage, program: &Path) -> Result<Daemon, LabError> {
    let internet = stage.internet();
    let host = internet.host(HOSTILE)?;
    let root = internet.host("exchange")?;
    root.script(&format!("ip route add {RANGE} dev to-{HOSTILE}"))?;
    host.script(&format!("ip route add local {RANGE} dev lo"))?;
    let names = [format!("*.{ZONE}")];
    let (certificate, key) =
        stage
            .authority()
            .issue(&names, CertificateKind::Valid, host.dir(), HOSTILE)?;
    let known = host.dir().join("names");
    write(&known, honest_names(internet.topology()))?;
    let mut command = host.command(program);
    command.arg("serve").arg(certificate).arg(key).arg(known);
    let mut daemon = host.daemon(HOSTILE, &mut command)?;
    daemon.wait_for("ready", 20, |line| line == "ready")?;
    Ok(daemon)
}

/// Lines for [`super::Honest::read`]; `ns` is the name server's own.
fn honest_names(topology: &Topology) -> String {
    let mut text = format!("ns {}\n", topology.hosts[HOSTILE].ipv4);
    for plan in topology.hosts.values() {
        for name in &plan.names {
            let _ = writeln!(text, "{name} {}", plan.ipv4);
            // As in `crate::stage`: the coordinator is known by IPv4 alone.
            if plan.role != Role::Coordinator {
                let _ = writeln!(text, "{name} {}", plan.ipv6);
            }
        }
    }
    text
}
