//! Builds an internet from its plan and tears it down again.
//!
//! Steps: all holders start at once; wires and LAN cables are laid; one script per host sets addresses, routes and
//! kernel settings; the wires begin to carry. Each step is one process per host, so the whole takes about a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use super::directory::Directory;
use super::wire::{Carrier, Ends, Wire};
use super::{Host, HostPlan, Role, Topology};
use crate::LabError;
use crate::error::make_dir;

/// The interface towards the uplink, on every host.
const UP: &str = "uplink";
/// The bridge that is a gateway's LAN.
const LAN: &str = "lan";

/// Kernel settings of every host. A missing one is not an error: kernels differ, and the self-test proves the effect.
/// ICMP errors must not be rate limited, or what a refusal looks like depends on how many there were before it.
const SETTINGS: &str = r#"
set_to() { [ ! -e "/proc/sys/net/$1" ] || echo "$2" > "/proc/sys/net/$1"; }
set_to ipv4/icmp_ratelimit 0
set_to ipv6/icmp/ratelimit 0
set_to ipv4/icmp_msgs_per_sec 100000
set_to ipv4/icmp_msgs_burst 100000
set_to ipv4/conf/all/rp_filter 0
set_to ipv4/conf/default/rp_filter 0
set_to ipv6/conf/all/accept_dad 0
set_to ipv6/conf/default/accept_dad 0
set_to ipv6/conf/all/accept_ra 0
set_to ipv6/conf/default/accept_ra 0
# Inside a user namespace only group 0 is mapped.
echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range 2> /dev/null || set_to ipv4/ping_group_range "0 0"
"#;

const FORWARDING: &str = "
set_to ipv4/ip_forward 1
set_to ipv6/conf/all/forwarding 1
";

/// A running internet. Dropping it leaves nothing behind, unless its directory was told to stay.
#[derive(Debug)]
pub struct Internet {
    // Fields are dropped in this order: first the wires, then the hosts, then their files.
    carrier: Option<Carrier>,
    wires: BTreeMap<String, Arc<Wire>>,
    hosts: BTreeMap<String, Host>,
    topology: Topology,
    dir: Directory,
}

impl Internet {
    /// Builds the internet of a plan. `seed` decides which packets a lossy wire loses.
    pub fn start(topology: Topology, seed: u64) -> Result<Self, LabError> {
        let dir = Directory::make()?;
        let hosts = start_hosts(&topology, dir.path())?;
        let mut ends = Vec::new();
        let mut wires = BTreeMap::new();
        for (name, plan) in &topology.hosts {
            let Some(uplink) = &plan.uplink else { continue };
            if topology.on_lan(plan) {
                plug_in(&hosts[uplink], &hosts[name])?;
            } else {
                let seed = seed.wrapping_mul(64).wrapping_add(ends.len() as u64);
                let end = Ends::open(
                    (&hosts[name], UP),
                    (&hosts[uplink], &towards(name)),
                    plan.delay(),
                    seed,
                )?;
                wires.insert(name.clone(), end.wire());
                ends.push(end);
            }
        }
        for (name, plan) in &topology.hosts {
            if let Some(namespace) = hosts.get(name) {
                configure(&topology, name, plan, namespace)?;
            }
        }
        let carrier = Some(Carrier::start(ends)?);
        Ok(Self {
            carrier,
            wires,
            hosts,
            topology,
            dir,
        })
    }

    /// The plan it was built from.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where its files live.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the directory after the internet is gone and tells where it is.
    pub fn keep_files(&mut self) -> PathBuf {
        self.dir.keep()
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Result<&Host, LabError> {
        self.hosts.get(name).ok_or_else(|| LabError::Unknown {
            kind: "host",
            name: name.into(),
        })
    }

    /// A host by name, to change what its programs trust.
    pub fn host_mut(&mut self, name: &str) -> Result<&mut Host, LabError> {
        self.hosts.get_mut(name).ok_or_else(|| LabError::Unknown {
            kind: "host",
            name: name.into(),
        })
    }

    /// All hosts by name.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &Host)> {
        self.hosts.iter().map(|(name, host)| (name.as_str(), host))
    }

    /// The wire between a host and its uplink, named after the host.
    pub fn wire(&self, name: &str) -> Result<&Wire, LabError> {
        let wire = self.wires.get(name).map(Arc::as_ref);
        wire.ok_or_else(|| LabError::Unknown {
            kind: "wire",
            name: name.into(),
        })
    }

    /// The first host with a role.
    pub fn the(&self, role: Role) -> Result<&Host, LabError> {
        self.host(self.topology.the(role)?)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        // The wires' thread must be gone before the devices it polls are.
        self.carrier = None;
    }
}

fn start_hosts(topology: &Topology, dir: &Path) -> Result<BTreeMap<String, Host>, LabError> {
    let home = dir.join("hosts");
    make_dir(&home)?;
    thread::scope(|scope| {
        let starting: Vec<_> = topology
            .hosts
            .keys()
            .map(|name| (name, home.join(name)))
            .map(|(name, dir)| (name, scope.spawn(move || Host::start(name, &dir))))
            .collect();
        starting
            .into_iter()
            .map(|(name, thread)| match thread.join() {
                Ok(host) => Ok((name.clone(), host?)),
                Err(_) => Err(LabError::panicked(format!("start {name}"))),
            })
            .collect()
    })
}

/// Name of an uplink's interface towards a host.
fn towards(name: &str) -> String {
    format!("to-{name}")
}

/// Lays an Ethernet cable from a gateway to a host of its LAN. Runs on the machine, where both PIDs are visible.
fn plug_in(gateway: &Host, host: &Host) -> Result<(), LabError> {
    let output = Command::new("nsenter")
        .arg(format!("--net={}", gateway.net_namespace().display()))
        .args([
            "ip",
            "link",
            "add",
            &towards(host.name()),
            "type",
            "veth",
            "peer",
            "name",
            UP,
        ])
        .args(["netns", &host.pid().to_string()])
        .output()
        .map_err(LabError::io("run nsenter"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Command {
        host: gateway.name().into(),
        command: format!("plug in {}", host.name()),
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn configure(
    topology: &Topology,
    name: &str,
    plan: &HostPlan,
    host: &Host,
) -> Result<(), LabError> {
    let mut script = String::from(SETTINGS);
    if plan.role.forwards() {
        script.push_str(FORWARDING);
    }
    script.push_str("ip -batch - <<'END'\n");
    script.push_str(&links_and_routes(topology, name, plan));
    script.push_str("END\n");
    if plan.role == Role::Gateway {
        let _ = writeln!(
            script,
            "nft 'add table ip home; \
             add chain ip home out {{ type nat hook postrouting priority srcnat; }}; \
             add rule ip home out oifname {UP} masquerade'"
        );
    }
    host.script(&script).map(drop)
}

/// The host's addresses and routes, as lines for `ip -batch`.
fn links_and_routes(topology: &Topology, name: &str, plan: &HostPlan) -> String {
    let mut lines = vec!["link set lo up".to_owned()];
    if plan.uplink.is_some() {
        lines.push(format!("link set {UP} up"));
    }
    lines.extend(own_addresses(topology, plan));
    if plan.role == Role::Gateway {
        lines.push(format!("link add {LAN} type bridge"));
        lines.push(format!("link set {LAN} up"));
        lines.extend(plan.lan_ipv4.map(|lan| format!("addr add {lan} dev {LAN}")));
        lines.extend(
            plan.lan_ipv6
                .map(|lan| format!("addr add {lan} dev {LAN} nodad")),
        );
    }
    for (below, _) in topology.below(name) {
        let to = towards(below);
        lines.push(format!("link set {to} up"));
        if plan.role == Role::Gateway {
            lines.push(format!("link set {to} master {LAN}"));
            continue;
        }
        let (v4, v6) = topology.prefixes_behind(below);
        lines.extend(
            v4.iter()
                .map(|prefix| format!("route add {prefix} dev {to}")),
        );
        lines.extend(
            v6.iter()
                .map(|prefix| format!("route add {prefix} dev {to}")),
        );
    }
    lines.join("\n") + "\n"
}

fn own_addresses(topology: &Topology, plan: &HostPlan) -> Vec<String> {
    let (v4, v6) = (plan.ipv4, plan.ipv6);
    let gateway = plan
        .uplink
        .as_ref()
        .and_then(|uplink| topology.hosts.get(uplink));
    let lan = gateway.and_then(|gateway| Some((gateway.lan_ipv4?, gateway.lan_ipv6?)));
    match (gateway, lan) {
        // The root has no uplink to carry its addresses.
        (None, _) => vec![
            format!("addr add {v4}/32 dev lo"),
            format!("addr add {v6}/128 dev lo"),
        ],
        (Some(_), Some((lan4, lan6))) => vec![
            format!("addr add {v4}/{} dev {UP}", lan4.prefix_len()),
            format!("addr add {v6}/{} dev {UP} nodad", lan6.prefix_len()),
            format!("route add default via {}", lan4.addr()),
            format!("route add ::/0 via {}", lan6.addr()),
        ],
        (Some(_), None) => vec![
            format!("addr add {v4}/32 dev {UP}"),
            format!("addr add {v6}/128 dev {UP} nodad"),
            format!("route add default dev {UP}"),
            format!("route add ::/0 dev {UP}"),
        ],
    }
}
