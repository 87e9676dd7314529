//! Real programs, started in the hosts of the lab with configurations made for it.

mod certificates;
mod crowdsec;
mod fail2ban;
mod fleet;
mod haproxy;
mod knot;
pub mod nftables;
mod nginx;
mod portal;
mod proxy;
mod unbound;

pub use certificates::{Authority, CertificateKind};
pub use crowdsec::Crowdsec;
pub use fail2ban::{Blocktype, Fail2ban};
pub use fleet::{API_URL, Fleet, FleetSettings, Programs};
pub use haproxy::{Backend, Balancer, Interceptor, Layer};
pub use knot::{NameServer, Service, View, Zone};
pub use nginx::{Site, SiteSettings};
pub use portal::{Notice, Portal};
pub use proxy::{Proxy, ProxyProgram, ProxyRule};
pub use unbound::{Lie, Names, Records, Resolver, Saying};

use crate::LabError;
use crate::lab::{Daemon, Host};

/// Waits until the daemon accepts TCP connections on `port`; fails early when it ends.
pub(crate) fn wait_for_port(
    host: &Host,
    daemon: &mut Daemon,
    port: u16,
    seconds: u64,
) -> Result<(), LabError> {
    daemon.wait_until(&format!("listening on port {port}"), seconds, |_| {
        listens(host, port)
    })
}

/// Reads the kernel's socket table of the host from outside: no packet, no process (proc(5), `/proc/net/tcp`).
fn listens(host: &Host, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let wanted = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let path = format!("/proc/{}/net/{table}", host.pid());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut columns = line.split_whitespace();
            let local = columns.nth(1).unwrap_or_default();
            local.ends_with(&wanted) && columns.nth(1) == Some(LISTEN)
        })
    })
}
