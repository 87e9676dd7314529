//! What this machine says of itself: proxies in force, hosts-file entries, a tunnel that carries the default route.
//!
//! Facts, not verdicts. Passwords never leave the machine: a proxy is told as scheme, host and port.

use std::{collections::BTreeMap, fs, path::Path};

use onlyhere_proto::{Host, Layer, LocalFacts, Target, limits};
use url::Url;

/// Devices that are made by VPN software, by the start of their names.
const TUNNELS: [&str; 9] = [
    "tun",
    "tap",
    "wg",
    "ppp",
    "utun",
    "tailscale",
    "nordlynx",
    "proton",
    "ipsec",
];

/// Collects the facts that matter for `target`.
pub fn facts(target: &Target) -> LocalFacts {
    LocalFacts {
        proxies: proxies(
            target,
            std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        ),
        hosts_entries: match &target.host {
            // `localhost` stands in every hosts file, and nothing follows from it.
            Host::Name(name) if target.special_range().is_none() => {
                let mut found = onlyhere_probe_node::hosts::entries(Path::new("/etc/hosts"), name);
                found.truncate(limits::ADDRESSES);
                found
            }
            Host::Name(_) | Host::Address(_) => Vec::new(),
        },
        tunnel: tunnel(
            &fs::read_to_string("/proc/net/route").unwrap_or_default(),
            &fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default(),
        ),
        ..LocalFacts::default()
    }
}

/// The proxy variable that a browser or tool would follow for this target: the scheme's own before `all_proxy`, and
/// lower case before upper case, as in curl. Only pages are fetched through proxies.
fn proxies(target: &Target, environment: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let own = match target.layer {
        Layer::Https => "https_proxy",
        Layer::Http => "http_proxy",
        _ => return Vec::new(),
    };
    let set: BTreeMap<String, String> = environment
        .filter(|(_, value)| !value.trim().is_empty())
        .collect();
    let lookup = |name: &str| {
        let upper = name.to_ascii_uppercase();
        set.get_key_value(name)
            .or_else(|| set.get_key_value(&upper))
    };
    if lookup("no_proxy").is_some_and(|(_, exempt)| is_exempt(&target.host.to_string(), exempt)) {
        return Vec::new();
    }
    lookup(own)
        .or_else(|| lookup("all_proxy"))
        .map(|(name, value)| format!("{name}={}", without_credentials(value)))
        .into_iter()
        .collect()
}

/// `no_proxy` as curl reads it: names and their subdomains, separated by commas, or `*`.
fn is_exempt(host: &str, no_proxy: &str) -> bool {
    no_proxy
        .split([',', ' '])
        .map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            entry == "*"
                || host == entry
                || host
                    .strip_suffix(entry.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        })
}

fn without_credentials(proxy: &str) -> String {
    let proxy = proxy.trim();
    let full = if proxy.contains("://") {
        proxy.to_owned()
    } else {
        format!("http://{proxy}")
    };
    let shown = match Url::parse(&full) {
        Ok(url) => match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
            (Some(host), None) => format!("{}://{host}", url.scheme()),
            (None, _) => "(unreadable)".to_owned(),
        },
        // Whatever it is, it might hold a password.
        Err(_) => "(unreadable)".to_owned(),
    };
    limits::plain_text(&shown, limits::TEXT)
}

/// The tunnel device of the default route, from the kernel's routing tables (proc(5)).
///
/// Also known are the two half-internet routes (`0.0.0.0/1` and `128.0.0.0/1`) by which VPN software covers the
/// default route without replacing it.
fn tunnel(routes_v4: &str, routes_v6: &str) -> Option<String> {
    let v4 = routes_v4.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (device, destination, mask) = (*fields.first()?, *fields.get(1)?, *fields.get(7)?);
        // Little-endian hexadecimal: 00000080 is 128.0.0.0.
        let covers = matches!(
            (destination, mask),
            ("00000000", "00000000" | "00000080") | ("00000080", "00000080")
        );
        covers.then_some(device)
    });
    let v6 = routes_v6.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (destination, length, device) = (*fields.first()?, *fields.get(1)?, *fields.get(9)?);
        let covers = length == "00" && destination.bytes().all(|b| b == b'0') || length == "01";
        covers.then_some(device)
    });
    v4.chain(v6)
        .find(|device| TUNNELS.iter().any(|start| device.starts_with(start)))
        .map(|device| limits::plain_text(device, 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies_of(target: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let owned = environment
            .iter()
            .map(|&(n, v)| (n.to_owned(), v.to_owned()));
        proxies(&Target::parse(target).unwrap(), owned)
    }

    #[test]
    fn proxies_are_told_without_credentials() {
        let set = [
            ("HTTPS_PROXY", "http://upper.example:1"),
            ("https_proxy", "http://me:s3cret@proxy.example:3128/path"),
            ("ALL_PROXY", "socks5://proxy.example:1080"),
            ("http_proxy", "me:s3cret@proxy.example:8080"),
            ("ftp_proxy", "http://proxy.example:1"),
        ];
        for (target, told) in [
            (
                "https://shop.example",
                &["https_proxy=http://proxy.example:3128"][..],
            ),
            (
                "http://shop.example",
                &["http_proxy=http://proxy.example:8080"],
            ),
            ("ssh://shop.example", &[]),
        ] {
            assert_eq!(proxies_of(target, &set), told, "{target}");
        }
        let all = [("ALL_PROXY", "socks5://me:pw@proxy.example:1080")];
        assert_eq!(
            proxies_of("shop.example", &all),
            ["ALL_PROXY=socks5://proxy.example:1080"]
        );
        for odd in [
            "http://me:s3cret@",
            "://s3cret",
            "s3cret word",
            "http://\x1b[s3cret",
        ] {
            let told = proxies_of("http://shop.example", &[("http_proxy", odd)]);
            assert_eq!(told, ["http_proxy=(unreadable)"], "{odd}");
        }
        assert!(proxies_of("http://shop.example", &[("http_proxy", " ")]).is_empty());
    }

    #[test]
    fn exempt_hosts_have_no_proxy() {
        for (host, exempt, is) in [
            ("shop.example", "shop.example", true),
            ("www.shop.example", "other, .shop.example", true),
            ("workshop.example", "shop.example", false),
            ("shop.example", "*", true),
            ("shop.example", "", false),
        ] {
            let set = [("https_proxy", "http://p.example:1"), ("NO_PROXY", exempt)];
            assert_eq!(proxies_of(host, &set).is_empty(), is, "{host} {exempt}");
        }
    }

    #[test]
    fn a_tunnel_that_carries_the_default_route_is_found() {
        let head =
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let plain = format!("{head}eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
        let side = format!("{plain}wg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n");
        let halves = format!("{plain}tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n");
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
            00000000000000000000000000000000 00000400 00000001 00000000 00000001     wg0\n";
        assert_eq!(tunnel(&plain, ""), None);
        assert_eq!(tunnel(&side, ""), None, "a tunnel beside the default route");
        assert_eq!(tunnel(&halves, "").as_deref(), Some("tun0"));
        assert_eq!(tunnel(&plain, v6).as_deref(), Some("wg0"));
        assert_eq!(tunnel("", ""), None);
    }
}
