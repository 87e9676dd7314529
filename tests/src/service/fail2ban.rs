//! fail2ban itself, with its own filter, its own nftables action and its default threshold of five failures.

use std::fmt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host, wait_until};

const JAIL: &str = "nginx-http-auth";

/// What the banned see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocktype {
    /// ICMP port-unreachable, fail2ban's default.
    #[default]
    Reject,
    /// Silence.
    Drop,
}

impl fmt::Display for Blocktype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reject => "reject",
            Self::Drop => "drop",
        })
    }
}

/// A running fail2ban that watches one nginx.
#[derive(Debug)]
pub struct Fail2ban {
    daemon: Daemon,
    socket: PathBuf,
}

impl Fail2ban {
    /// Starts fail2ban on a host over nginx's error log and waits until its jail is open.
    pub fn start(host: &Host, error_log: &Path, blocktype: Blocktype) -> Result<Self, LabError> {
        let dir = host.dir().join("fail2ban");
        make_dir(&dir)?;
        for shipped in ["filter.d", "action.d"] {
            let link = dir.join(shipped);
            if !link.is_symlink() {
                symlink(Path::new("/etc/fail2ban").join(shipped), &link)
                    .map_err(LabError::io(format!("link {}", link.display())))?;
            }
        }
        let socket = dir.join("fail2ban.sock");
        let place = |text: &str| text.replace("DIR", &dir.display().to_string());
        write(&dir.join("fail2ban.conf"), place(SERVER))?;
        let jail = place(JAILS)
            .replace("LOG", &error_log.display().to_string())
            .replace("BLOCKTYPE", &blocktype.to_string());
        write(&dir.join("jail.conf"), jail)?;
        let mut command = host.command("fail2ban-server");
        command
            .arg("-c")
            .arg(&dir)
            .arg("-s")
            .arg(&socket)
            .arg("-p")
            .arg(dir.join("fail2ban.pid"));
        command.args(["--logtarget", "stdout", "-f", "-x", "start"]);
        let mut daemon = host.daemon("fail2ban", &mut command)?;
        daemon.wait_for("opening of its jail", 30, |line| {
            line.contains(&format!("Jail '{JAIL}' started"))
        })?;
        Ok(Self { daemon, socket })
    }

    /// Waits until fail2ban says that it has banned each address, and until the firewall has them all.
    pub fn wait_for_bans(&mut self, host: &Host, addresses: &[String]) -> Result<(), LabError> {
        for address in addresses {
            let words = format!("Ban {address}");
            self.daemon
                .wait_for(&words, 30, |line| line.ends_with(&words))?;
        }
        wait_until("the ban in the firewall", 10, || {
            let rules = host.run("nft", &["list", "ruleset"])?;
            Ok(addresses.iter().all(|address| rules.contains(address)))
        })
    }

    /// Lifts the ban of an address the way an administrator does, and waits until the firewall has forgotten it.
    pub fn unban(&self, host: &Host, address: &str) -> Result<(), LabError> {
        let socket = self.socket.display().to_string();
        host.run(
            "fail2ban-client",
            &["-s", &socket, "set", JAIL, "unbanip", address],
        )?;
        wait_until("the end of the ban", 10, || {
            let rules = host.run("nft", &["list", "ruleset"])?;
            Ok(!rules
                .split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
                .any(|word| word == address))
        })
    }

    /// What `fail2ban-client status` says about the jail.
    pub fn status(&self, host: &Host) -> Result<String, LabError> {
        host.run(
            "fail2ban-client",
            &["-s", &self.socket.display().to_string(), "status", JAIL],
        )
    }
}

const SERVER: &str = "[Definition]
loglevel = INFO
logtarget = STDOUT
syslogsocket = auto
socket = DIR/fail2ban.sock
pidfile = DIR/fail2ban.pid
dbfile = None
dbpurgeage = 1d
allowipv6 = yes
";

const JAILS: &str = r#"[DEFAULT]
ignoreself = false
bantime = 600
findtime = 600
maxretry = 5
usedns = no
backend = auto

[nginx-http-auth]
enabled = true
filter = nginx-http-auth
logpath = LOG
action = nftables[type=multiport, name=nginx-http-auth, port="80,443", protocol=tcp, blocktype=BLOCKTYPE]
"#;
