//! What this machine says of itself: proxies in force, hosts-file entries, a tunnel that carries the traffic and the
//! device past it, and what listens here when the target is this machine.
//!
//! Facts, not verdicts. Passwords never leave the machine: a proxy is told as scheme, host and port.

mod listeners;
pub mod proxy;
mod tunnel;

use std::{env::consts::OS, net::IpAddr, path::Path};

use nix::ifaddrs::getifaddrs;
use onlyhere_proto::{Host, LocalFacts, Target, limits};
use proxy::Proxy;

/// Collects the facts that matter for `target`, where these proxies are in force. Takes a fraction of a second at most.
pub fn facts(target: &Target, proxies: &[Proxy]) -> LocalFacts {
    let hosts_entries = hosts_entries(target);
    let tunnel = tunnel::carrying(target);
    LocalFacts {
        proxies: proxies.iter().map(ToString::to_string).collect(),
        way_out: tunnel.as_ref().and_then(|_| tunnel::way_out()),
        tunnel,
        platform: platform(OS),
        listeners: match is_this_machine(target, &hosts_entries) {
            true => listeners::list(target.port),
            false => Vec::new(),
        },
        hosts_entries,
    }
}

/// Addresses that the hosts file gives the target's name.
fn hosts_entries(target: &Target) -> Vec<IpAddr> {
    match &target.host {
        // `localhost` stands in every hosts file, and nothing follows from it.
        Host::Name(name) if target.special_range().is_none() => {
            let mut found = onlyhere_probe_node::hosts::entries(Path::new("/etc/hosts"), name);
            found.truncate(limits::ADDRESSES);
            found
        }
        Host::Name(_) | Host::Address(_) => Vec::new(),
    }
}

fn platform(os: &str) -> Option<String> {
    matches!(os, "linux" | "macos" | "windows").then(|| os.to_owned())
}

/// Whether the target is this machine, as far as that is known without asking anybody: by its address, or by the
/// address that the hosts file gives its name.
fn is_this_machine(target: &Target, hosts_entries: &[IpAddr]) -> bool {
    if matches!(
        target.special_range(),
        Some("loopback" | "unspecified" | "this network")
    ) {
        return true;
    }
    let literal = match target.host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    };
    let named: Vec<IpAddr> = literal.into_iter().chain(hosts_entries.to_vec()).collect();
    let own = |address: &IpAddr| address.is_loopback() || devices_with(*address).next().is_some();
    !named.is_empty() && named.iter().any(own)
}

/// The devices of this machine that have this address.
fn devices_with(address: IpAddr) -> impl Iterator<Item = String> {
    let all = getifaddrs().into_iter().flatten();
    all.filter(move |device| {
        let its = device.address.as_ref().and_then(|its| {
            let v4 = its.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| its.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        });
        its == Some(address)
    })
    .map(|device| device.interface_name)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn platforms_have_the_names_that_remedies_go_by() {
        assert_eq!(platform("macos").as_deref(), Some("macos"));
        assert_eq!(platform("freebsd"), None);
        assert_eq!(
            facts(&Target::parse("shop.example").unwrap(), &[])
                .platform
                .as_deref(),
            Some(OS)
        );
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        for (target, hosts, own) in [
            ("localhost:3000", &[][..], true),
            ("http://127.8.9.1", &[], true),
            ("[::1]:80", &[], true),
            ("0.0.0.0:80", &[], true),
            ("192.0.2.1:80", &[], false),
            ("shop.example", &[], false),
            ("shop.example", &["127.0.0.1"], true),
            ("shop.example", &["192.0.2.1"], false),
        ] {
            let hosts: Vec<IpAddr> = hosts.iter().map(|a| a.parse().unwrap()).collect();
            let target = Target::parse(target).unwrap();
            assert_eq!(
                is_this_machine(&target, &hosts),
                own,
                "{} {hosts:?}",
                target.input
            );
        }
        assert_eq!(
            devices_with([127, 0, 0, 1].into()).next().as_deref(),
            Some("lo")
        );
    }

    #[test]
    fn what_listens_is_told_of_this_machine_alone() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let told = facts(&Target::parse(&address.to_string()).unwrap(), &[]).listeners;
        assert!(
            told.iter()
                .any(|l| l.port == address.port() && l.address == address.ip()),
            "{told:?}"
        );
        assert!(
            facts(&Target::parse("192.0.2.1:80").unwrap(), &[])
                .listeners
                .is_empty()
        );
    }
}
