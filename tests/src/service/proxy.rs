//! HTTP proxies of a home or an office: squid and tinyproxy, for the caller's `https_proxy`.

use serde::Deserialize;

use super::wait_for_port;
use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProgram {
    /// squid, on port 3128.
    Squid,
    /// tinyproxy, on port 8888.
    Tinyproxy,
}

/// What it does with those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyRule {
    /// It connects them.
    #[default]
    Connects,
    /// It answers 403.
    Forbids,
}

impl ProxyProgram {
    /// The program's own default port.
    pub fn port(self) -> u16 {
        match self {
            Self::Squid => 3128,
            Self::Tinyproxy => 8888,
        }
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    _daemon: Daemon,
}

impl Proxy {
    /// Starts a proxy on a host and waits until it listens.
    pub fn start(host: &Host, program: ProxyProgram, rule: ProxyRule) -> Result<Self, LabError> {
        let mut daemon = match program {
            ProxyProgram::Squid => start_squid(host, rule),
            ProxyProgram::Tinyproxy => start_tinyproxy(host, rule),
        }?;
        wait_for_port(host, &mut daemon, program.port(), 20)?;
        Ok(Self { _daemon: daemon })
    }
}

/// squid will not run as root, and in a user namespace there is nobody else to become. So it gets a namespace of its
/// own in which it is nobody. Its shared memory would be the machine's and outlive it, so that is the host's own.
fn start_squid(host: &Host, rule: ProxyRule) -> Result<Daemon, LabError> {
    let dir = host.dir().join("squid");
    make_dir(&dir)?;
    let access = match rule {
        ProxyRule::Connects => "allow",
        ProxyRule::Forbids => "deny",
    };
    let config = SQUID
        .replace("DIR", &dir.display().to_string())
        .replace("ACCESS", access);
    let file = dir.join("squid.conf");
    write(&file, config)?;
    host.script("mount -t tmpfs tmpfs /dev/shm")?;
    let mut command = host.command("unshare");
    command.args(["--user", "--map-user=65534", "--", "squid", "-N", "-d", "1"]);
    host.daemon("squid", command.arg("-f").arg(&file))
}

fn start_tinyproxy(host: &Host, rule: ProxyRule) -> Result<Daemon, LabError> {
    let dir = host.dir().join("tinyproxy");
    make_dir(&dir)?;
    let mut config = TINYPROXY.to_owned();
    if rule == ProxyRule::Forbids {
        // Whoever is not allowed gets 403 (tinyproxy.conf(5)).
        config.push_str("Allow 127.0.0.1\n");
    }
    let file = dir.join("tinyproxy.conf");
    write(&file, config)?;
    let mut command = host.command("tinyproxy");
    host.daemon("tinyproxy", command.arg("-d").arg("-c").arg(&file))
}

/// Name servers are read from the host's own resolv.conf.
const SQUID: &str = "http_port 3128
pid_filename none
cache deny all
cache_log stdio:/dev/stderr
access_log stdio:DIR/access.log
coredump_dir DIR
pinger_enable off
netdb_filename none
visible_hostname proxy
shutdown_lifetime 0 seconds
logfile_rotate 0
max_filedescriptors 1024
http_access ACCESS all
";

const TINYPROXY: &str = "Port 8888
Timeout 30
LogLevel Connect
MaxClients 50
";
