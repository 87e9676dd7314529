//! A whole internet with everything running in it, and the ways to break it.
//!
//! The scenarios and the demo both play on this stage.

mod check;
mod dns;
mod middle;
mod network;
mod web;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::LabError;
use crate::lab::{Internet, Role, Topology};
use crate::scenario::{Action, Family, ResolverPlan};
use crate::service::{
    Authority, Balancer, Crowdsec, Fail2ban, Fleet, FleetSettings, NameServer, Names, Programs,
    Resolver, Site, SiteSettings, nftables,
};

pub use check::{CheckRun, RunningCheck};
use dns::{first_resolver, names_of};
use middle::Middle;

/// Everything that runs. Fields are dropped in this order: first the programs, then the hosts they run in.
#[derive(Debug)]
pub struct Stage {
    fleet: Option<Fleet>,
    bans: BTreeMap<String, Fail2ban>,
    sites: BTreeMap<String, (SiteSettings, Option<Site>)>,
    crowdsecs: BTreeMap<String, Crowdsec>,
    balancers: BTreeMap<String, Balancer>,
    middle: Vec<Middle>,
    name_servers: BTreeMap<String, NameServer>,
    resolvers: BTreeMap<String, (ResolverPlan, Option<Resolver>)>,
    names: Names,
    authority: Authority,
    internet: Internet,
}

impl Stage {
    /// Builds the internet and starts everything in it; returns when all are ready.
    pub fn set(topology: Topology, seed: u64, programs: Programs) -> Result<Self, LabError> {
        let mut stage = Self::without_onlyhere(topology, seed)?;
        stage.start_fleet(programs, &FleetSettings::default())?;
        Ok(stage)
    }

    /// Starts Onlyhere's own programs.
    pub fn start_fleet(
        &mut self,
        programs: Programs,
        settings: &FleetSettings,
    ) -> Result<(), LabError> {
        let fleet = Fleet::start(&self.internet, programs, &self.authority, settings)?;
        self.fleet = Some(fleet);
        Ok(())
    }

    /// The same with other people's programs only.
    pub fn without_onlyhere(topology: Topology, seed: u64) -> Result<Self, LabError> {
        let mut internet = Internet::start(topology, seed)?;
        let authority = Authority::new("The Lab's Authority")?;
        trust(&mut internet, &authority)?;
        let names = Names {
            records: names_of(internet.topology()),
            ..Names::default()
        };
        let resolvers = first_resolver(&internet, &names)?;
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
            crowdsecs: BTreeMap::new(),
            balancers: BTreeMap::new(),
            middle: Vec::new(),
            name_servers: BTreeMap::new(),
            resolvers,
            names,
            authority,
            internet,
        })
    }

    /// The internet underneath.
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// Onlyhere's own programs; none on a stage without them.
    pub fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// The authority that everybody trusts.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Lets the resolvers ask these servers about a zone.
    pub fn delegate_zone(&mut self, zone: &str, servers: Vec<IpAddr>) -> Result<(), LabError> {
        self.names.delegations.insert(zone.to_owned(), servers);
        self.restart_resolvers()
    }

    /// Keeps all files after the end and tells where.
    pub fn keep_files(&mut self) -> PathBuf {
        self.internet.keep_files()
    }

    /// Does one thing to the internet, and returns when its effect is there.
    pub fn apply(&mut self, action: &Action) -> Result<(), LabError> {
        match action {
            Action::StopNginx { host } => self.stop_site(host).map(drop),
            Action::StartNginx { host } => self.change_site(host, |site| site.crash_loop = None),
            Action::NginxStatus { host, status } => {
                self.change_site(host, |site| site.status = *status)
            }
            Action::NginxForbids { host, sources } => {
                self.change_site(host, |site| site.forbidden.clone_from(sources))
            }
            Action::Certificate { host, kind } => {
                self.change_site(host, |site| site.certificate = *kind)
            }
            Action::NginxConfig {
                host,
                http,
                server,
                location,
            } => self.change_site(host, |site| {
                site.http.clone_from(http);
                site.server.clone_from(server);
                site.location.clone_from(location);
            }),
            Action::NginxListens { host, sockets } => {
                self.change_site(host, |site| site.sockets.clone_from(sockets))
            }
            Action::CrashLoop { host, up_s, down_s } => {
                self.change_site(host, |site| site.crash_loop = Some((*up_s, *down_s)))
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
            Action::SmallWire { wire, max_bytes } => self
                .internet
                .wire(wire)
                .map(|wire| wire.set_max_bytes(*max_bytes)),
            Action::Run { host, script } => self.internet.host(host)?.script(script).map(drop),
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
            Action::CrowdsecBan(ban) => self.ban_with_crowdsec(ban),
            Action::Balancer(plan) => self.balance(plan),
            Action::NameServers(plan) => self.delegate(plan),
            Action::StartResolver(plan) => self.start_resolver(plan),
            Action::StartProxy(plan) => self.start_proxy(plan),
            Action::InterceptTls { host, trusted_by } => self.intercept_tls(host, trusted_by),
            Action::CaptivePortal { host, closed } => self.open_portal(host, *closed),
            Action::BlockPage { host } => self.show_block_page(host),
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
    pub fn start_check(
        &self,
        target: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<RunningCheck, LabError> {
        let started = Instant::now();
        let dir = self.internet.dir().join("check");
        crate::error::make_dir(&dir)?;
        let file = |name: &str| -> Result<std::fs::File, LabError> {
            std::fs::File::create(dir.join(name)).map_err(LabError::io(format!("create {name}")))
        };
        let child = self
            .check(target, args)?
            .envs(env)
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

    /// The end of every daemon's log, for a report of a miss.
    pub fn log_tails(&self, lines: usize) -> String {
        let mut text = String::new();
        for (name, host) in self.internet.hosts() {
            for daemon in [
                "coordinator",
                "probe",
                "fail2ban",
                "crowdsec",
                "haproxy",
                "knot",
            ] {
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
