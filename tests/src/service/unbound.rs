//! unbound, the one resolver of the internet, which knows the lab's names and no others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

/// Names and their addresses.
pub type Records = BTreeMap<String, Vec<IpAddr>>;

/// A running unbound.
#[derive(Debug)]
pub struct Resolver {
    _daemon: Daemon,
}

impl Resolver {
    /// Starts unbound on a host with these records and waits until it serves.
    pub fn start(host: &Host, records: &Records) -> Result<Self, LabError> {
        let dir = host.dir().join("unbound");
        make_dir(&dir)?;
        let mut config = CONFIG.replace("DIR", &dir.display().to_string());
        for (name, addresses) in records {
            for address in addresses {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                let _ = writeln!(
                    config,
                    "    local-data: \"{name}. 300 IN {kind} {address}\""
                );
            }
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

/// `static` zones answer from what stands here: NXDOMAIN with the zone's SOA for names that do not, as an
/// authoritative server does (RFC 2308). Nothing is ever asked of the outside.
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
    local-zone: "." static
    local-data: ". 300 IN SOA dns.example. hostmaster.example. 1 3600 600 86400 60"
    local-zone: "example." static
    local-data: "example. 300 IN SOA dns.example. hostmaster.example. 1 3600 600 86400 60"
    local-data: "example. 300 IN NS dns.example."
"#;
