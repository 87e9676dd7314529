//! A whole internet with everything running in it, and the ways to break it.
//!
//! The scenarios and the demo both play on this stage.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::LabError;
use crate::error::write;
use crate::lab::{Internet, Role, Topology};
use crate::scenario::{Action, Family};
use crate::service::{
    Authority, Fail2ban, Fleet, Programs, Records, Resolver, Site, SiteSettings, nftables,
};

/// No check may take longer, whatever its scenario allows.
const LIMIT: Duration = Duration::from_secs(60);

/// Everything that runs. Fields are dropped in this order: first the programs, then the hosts they run in.
#[derive(Debug)]
pub struct Stage {
    fleet: Option<Fleet>,
    bans: BTreeMap<String, Fail2ban>,
    sites: BTreeMap<String, (SiteSettings, Option<Site>)>,
    resolver: Option<Resolver>,
    records: Records,
    authority: Authority,
    internet: Internet,
}

/// What a finished `onlyhere check` left.
#[derive(Debug)]
pub struct CheckRun {
    /// Its exit code; none when it was killed.
    pub exit: Option<i32>,
    /// From start to end.
    pub elapsed: Duration,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Stage {
    /// Builds the internet and starts everything in it; returns when all are ready.
    pub fn set(topology: Topology, seed: u64, programs: Programs) -> Result<Self, LabError> {
        let mut stage = Self::without_onlyhere(topology, seed)?;
        stage.fleet = Some(Fleet::start(&stage.internet, programs, &stage.authority)?);
        Ok(stage)
    }

    /// The same with other people's programs only.
    pub fn without_onlyhere(topology: Topology, seed: u64) -> Result<Self, LabError> {
        let mut internet = Internet::start(topology, seed)?;
        let authority = Authority::new("The Lab's Authority")?;
        trust(&mut internet, &authority)?;
        let records = names_of(internet.topology());
        let resolver = Some(Resolver::start(internet.the(Role::Resolver)?, &records)?);
        let mut sites = BTreeMap::new();
        for (name, plan) in internet.topology().with_role(Role::Site) {
            let settings =
                SiteSettings::new(plan.names.iter().chain(&plan.serves).cloned().collect());
            let site = Site::start(internet.host(name)?, &settings, &authority)?;
            sites.insert(name.to_owned(), (settings, Some(site)));
        }
        Ok(Self {
            fleet: None,
            bans: BTreeMap::new(),
            sites,
            resolver,
            records,
            authority,
            internet,
        })
    }

    /// The internet underneath.
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// Keeps all files after the end and tells where.
    pub fn keep_files(&mut self) -> PathBuf {
        self.internet.keep_files()
    }

    /// Does one thing to the internet, and returns when its effect is there.
    pub fn apply(&mut self, action: &Action) -> Result<(), LabError> {
        match action {
            Action::StopNginx { host } => self.stop_site(host).map(drop),
            Action::StartNginx { host } => self.change_site(host, |_| ()),
            Action::NginxStatus { host, status } => {
                self.change_site(host, |site| site.status = *status)
            }
            Action::NginxForbids { host, sources } => {
                self.change_site(host, |site| site.forbidden.clone_from(sources))
            }
            Action::Certificate { host, kind } => {
                self.change_site(host, |site| site.certificate = *kind)
            }
            Action::Firewall { host, rules } => nftables::load(self.internet.host(host)?, rules),
            Action::FailedLogins { .. } => self.fail_logins(action),
            Action::CutWire { wire } => self.internet.wire(wire).map(|wire| wire.set_cut(true)),
            Action::MendWire { wire } => self.internet.wire(wire).map(|wire| wire.set_cut(false)),
            Action::LossyWire { wire, share } => {
                self.internet.wire(wire).map(|wire| wire.set_loss(*share))
            }
            Action::SlowWire { wire, delay_ms } => {
                let delay = Duration::from_secs_f64(delay_ms / 1000.0);
                self.internet.wire(wire).map(|wire| wire.set_delay(delay))
            }
            Action::Dns { name, addresses } => self.change_records(name, addresses),
            Action::Resolver { host, address } => self
                .internet
                .host(host)?
                .use_resolvers(&[address.to_string()]),
            Action::HostsEntry {
                host,
                name,
                address,
            } => self.add_hosts_entry(host, name, *address),
            Action::BreakProbe { host } => self.break_probe(host),
            Action::StopCoordinator {} => {
                if let Some(fleet) = &mut self.fleet {
                    fleet.stop_coordinator();
                }
                Ok(())
            }
        }
    }

    /// `onlyhere check` in the caller's host, not started yet.
    pub fn check(&self, target: &str, args: &[String]) -> Result<Command, LabError> {
        let unknown = || LabError::Unknown {
            kind: "program",
            name: "onlyhere".into(),
        };
        let fleet = self.fleet.as_ref().ok_or_else(unknown)?;
        Ok(fleet.check(self.internet.the(Role::Caller)?, target, args))
    }

    /// Starts a check whose output is kept.
    pub fn start_check(&self, target: &str, args: &[String]) -> Result<RunningCheck, LabError> {
        let started = Instant::now();
        let dir = self.internet.dir().join("check");
        crate::error::make_dir(&dir)?;
        let file = |name: &str| -> Result<std::fs::File, LabError> {
            std::fs::File::create(dir.join(name)).map_err(LabError::io(format!("create {name}")))
        };
        let child = self
            .check(target, args)?
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?)
            .spawn()
            .map_err(LabError::io("start onlyhere check"))?;
        Ok(RunningCheck {
            child,
            started,
            dir,
        })
    }

    /// Lifts a ban by hand, as the site's administrator.
    pub fn unban(&self, host: &str, address: &str) -> Result<(), LabError> {
        let unknown = || LabError::Unknown {
            kind: "fail2ban on host",
            name: host.into(),
        };
        self.bans
            .get(host)
            .ok_or_else(unknown)?
            .unban(self.internet.host(host)?, address)
    }

    /// What fail2ban on a host says about its jail.
    pub fn ban_status(&self, host: &str) -> Result<String, LabError> {
        let unknown = || LabError::Unknown {
            kind: "fail2ban on host",
            name: host.into(),
        };
        self.bans
            .get(host)
            .ok_or_else(unknown)?
            .status(self.internet.host(host)?)
    }

    /// The end of every daemon's log, for a report of a miss.
    pub fn log_tails(&self, lines: usize) -> String {
        let mut text = String::new();
        for (name, host) in self.internet.hosts() {
            for daemon in ["coordinator", "probe", "fail2ban"] {
                let log = std::fs::read_to_string(host.dir().join(format!("{daemon}.log")))
                    .unwrap_or_default();
                if !log.is_empty() {
                    text.push_str(&format!(
                        "--- {daemon} on {name}\n{}\n",
                        crate::lab::tail(&log, lines)
                    ));
                }
            }
        }
        text
    }

    fn site(&mut self, host: &str) -> Result<&mut (SiteSettings, Option<Site>), LabError> {
        self.sites.get_mut(host).ok_or_else(|| LabError::Unknown {
            kind: "site",
            name: host.into(),
        })
    }

    fn stop_site(&mut self, host: &str) -> Result<SiteSettings, LabError> {
        let (settings, site) = self.site(host)?;
        if let Some(site) = site.take() {
            site.stop();
        }
        Ok(settings.clone())
    }

    fn change_site(
        &mut self,
        host: &str,
        change: impl FnOnce(&mut SiteSettings),
    ) -> Result<(), LabError> {
        let mut settings = self.stop_site(host)?;
        change(&mut settings);
        let site = Site::start(self.internet.host(host)?, &settings, &self.authority)?;
        *self.site(host)? = (settings, Some(site));
        Ok(())
    }

    fn change_records(&mut self, name: &str, addresses: &[IpAddr]) -> Result<(), LabError> {
        self.records.insert(name.to_owned(), addresses.to_vec());
        // The old one must be gone before the new one can have its port.
        self.resolver = None;
        self.resolver = Some(Resolver::start(
            self.internet.the(Role::Resolver)?,
            &self.records,
        )?);
        Ok(())
    }

    fn add_hosts_entry(&self, host: &str, name: &str, address: IpAddr) -> Result<(), LabError> {
        let file = self.internet.host(host)?.dir().join("hosts");
        let mut text = std::fs::read_to_string(&file).map_err(LabError::io("read hosts"))?;
        text.push_str(&format!("{address} {name}\n"));
        write(&file, text)
    }

    /// A probe that can reach nobody but its coordinator and its resolver: as if its own network had failed.
    fn break_probe(&self, host: &str) -> Result<(), LabError> {
        let topology = self.internet.topology();
        let coordinator = &topology.hosts[topology.the(Role::Coordinator)?];
        let resolver = &topology.hosts[topology.the(Role::Resolver)?];
        let rules = format!(
            "table inet broken {{\n chain out {{\n type filter hook output priority 0; policy drop;\n \
             ip daddr {{ {}, {}, 127.0.0.0/8 }} accept\n ip6 daddr {{ {}, {}, ::1 }} accept\n }}\n}}",
            coordinator.ipv4, resolver.ipv4, coordinator.ipv6, resolver.ipv6
        );
        nftables::load(self.internet.host(host)?, &rules)
    }

    /// Real failed logins with a real client, until fail2ban itself bans the address the site sees.
    fn fail_logins(&mut self, action: &Action) -> Result<(), LabError> {
        let Action::FailedLogins {
            host,
            from,
            name,
            count,
            families,
            blocktype,
        } = action
        else {
            return Ok(());
        };
        let web = self.internet.host(host)?;
        if !self.bans.contains_key(host) {
            let unknown = || LabError::Unknown {
                kind: "running site",
                name: host.clone(),
            };
            let site = self
                .sites
                .get(host)
                .and_then(|(_, site)| site.as_ref())
                .ok_or_else(unknown)?;
            self.bans.insert(
                host.clone(),
                Fail2ban::start(web, site.error_log(), *blocktype)?,
            );
        }
        let client = self.internet.host(from)?;
        let url = format!("https://{name}/login");
        let mut banned = Vec::new();
        for family in families {
            for _ in 0..*count {
                client.run(
                    "curl",
                    &[
                        "-s",
                        "-o",
                        "/dev/null",
                        family.curl_flag(),
                        "-u",
                        "owner:guess",
                        &url,
                    ],
                )?;
            }
            banned.push(public_address(self.internet.topology(), from, *family)?.to_string());
        }
        let ban = self.bans.get_mut(host);
        ban.map_or(Ok(()), |ban| {
            ban.wait_for_bans(self.internet.host(host)?, &banned)
        })
    }
}

/// A check under way.
#[derive(Debug)]
pub struct RunningCheck {
    child: Child,
    started: Instant,
    dir: PathBuf,
}

impl RunningCheck {
    /// Waits for its end; kills it after a minute.
    pub fn finish(mut self) -> Result<CheckRun, LabError> {
        let exit = loop {
            if let Some(status) = self
                .child
                .try_wait()
                .map_err(LabError::io("wait for onlyhere check"))?
            {
                break status.code();
            }
            if self.started.elapsed() > LIMIT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(3));
        };
        let elapsed = self.started.elapsed();
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        Ok(CheckRun {
            exit,
            elapsed,
            stdout: read("stdout"),
            stderr: read("stderr"),
        })
    }
}

/// The address under which the rest of the internet sees a host.
pub fn public_address(topology: &Topology, host: &str, family: Family) -> Result<IpAddr, LabError> {
    let unknown = || LabError::Unknown {
        kind: "host",
        name: host.into(),
    };
    let plan = topology.hosts.get(host).ok_or_else(unknown)?;
    let gateway = plan
        .uplink
        .as_ref()
        .and_then(|name| topology.hosts.get(name));
    Ok(match (family, gateway) {
        (Family::Ipv6, _) => plan.ipv6.into(),
        (Family::Ipv4, Some(gateway)) if gateway.role == Role::Gateway => gateway.ipv4.into(),
        (Family::Ipv4, _) => plan.ipv4.into(),
    })
}

fn trust(internet: &mut Internet, authority: &Authority) -> Result<(), LabError> {
    let file = internet.dir().join("authority.crt");
    authority.write_certificate(&file)?;
    let resolver = internet.topology().the(Role::Resolver)?;
    let resolver = internet.topology().hosts[resolver].ipv4.to_string();
    let names: Vec<String> = internet.hosts().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let host = internet.host_mut(&name)?;
        host.trust_only(&file);
        host.use_resolvers(std::slice::from_ref(&resolver))?;
    }
    Ok(())
}

/// The coordinator's name has an IPv4 address only, as the coordinator listens on IPv4 only: so every vantage, at home
/// or not, is known to it by its public IPv4 address.
fn names_of(topology: &Topology) -> Records {
    let mut records = Records::new();
    for plan in topology.hosts.values() {
        let mut addresses = vec![IpAddr::from(plan.ipv4)];
        if plan.role != Role::Coordinator {
            addresses.push(plan.ipv6.into());
        }
        for name in &plan.names {
            records.insert(name.clone(), addresses.clone());
        }
    }
    records
}
