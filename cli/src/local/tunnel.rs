//! The tunnel device that carries the traffic, and the device that leads out past it.

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
};

use onlyhere_proto::{Host, Target, limits};

use super::devices_with;

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

/// Flag of a route that leads to a gateway (route(8)).
const GATEWAY: u32 = 0x2;

/// The tunnel device through which the kernel would send to the target, or which carries the default route.
///
/// The kernel is asked first: WireGuard leads traffic away by policy rules, which no routing table shows.
pub(super) fn carrying(target: &Target) -> Option<String> {
    let literal = match target.host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    };
    // Of documentation (RFC 5737): nothing more specific than a default route leads there.
    let anywhere = IpAddr::from([192, 0, 2, 1]);
    let asked = literal.unwrap_or(anywhere);
    device_towards(asked)
        .filter(|device| is_tunnel(device))
        .or_else(|| tunnel(&tables()))
        .map(|device| limits::plain_text(&device, 64))
}

/// The device that leads to a gateway, or to everywhere, besides tunnels.
pub(super) fn way_out() -> Option<String> {
    past(&tables()).map(|device| limits::plain_text(&device, 15))
}

/// The device through which the kernel would send to this address. Nothing is sent.
fn device_towards(address: IpAddr) -> Option<String> {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((address, 9)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    // A tunnel may share its address with a device of the same machine; then it is the one that matters.
    let mut devices: Vec<String> = devices_with(source).collect();
    devices.sort_by_key(|device| !is_tunnel(device));
    devices.into_iter().next()
}

fn is_tunnel(device: &str) -> bool {
    is_named_like_a_tunnel(device) || is_made_like_a_tunnel(device)
}

fn is_named_like_a_tunnel(device: &str) -> bool {
    TUNNELS.iter().any(|start| device.starts_with(start))
}

/// Whatever it is called: WireGuard, or a layer-3 device of a program.
fn is_made_like_a_tunnel(device: &str) -> bool {
    // A name with a slash would be another file.
    if device.contains('/') {
        return false;
    }
    let dir = Path::new("/sys/class/net").join(device);
    let event = fs::read_to_string(dir.join("uevent")).unwrap_or_default();
    // ARPHRD_NONE: no link-layer header, as in `tun`, not `tap`.
    let bare = fs::read_to_string(dir.join("type")).is_ok_and(|kind| kind.trim() == "65534");
    event.lines().any(|line| line == "DEVTYPE=wireguard") || bare && dir.join("tun_flags").exists()
}

/// A route of the kernel's tables (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Route {
    device: String,
    to: To,
    has_gateway: bool,
    metric: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum To {
    Everywhere,
    /// `0.0.0.0/1` or `128.0.0.0/1`: VPN software covers the default route with both without replacing it.
    Half,
    Elsewhere,
}

/// Those of IPv4 first.
fn tables() -> Vec<Route> {
    parse(
        &fs::read_to_string("/proc/net/route").unwrap_or_default(),
        &fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default(),
    )
}

fn parse(v4: &str, v6: &str) -> Vec<Route> {
    let v4 = v4.lines().skip(1).filter_map(route_v4);
    v4.chain(v6.lines().filter_map(route_v6)).collect()
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, addresses as little-endian hexadecimal.
fn route_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let flags = u32::from_str_radix(fields.get(3)?, 16).ok()?;
    Some(Route {
        device: (*fields.first()?).to_owned(),
        to: match (*fields.get(1)?, *fields.get(7)?) {
            ("00000000", "00000000") => To::Everywhere,
            // 00000080 is 128.0.0.0.
            ("00000000" | "00000080", "00000080") => To::Half,
            _ => To::Elsewhere,
        },
        has_gateway: flags & GATEWAY != 0,
        metric: fields.get(6)?.parse().ok()?,
    })
}

/// `destination length source length gateway metric refcount use flags device`.
fn route_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
    let device = *fields.get(9)?;
    Some(Route {
        device: device.to_owned(),
        // The loopback device holds the kernel's own "nowhere" routes.
        to: match (zero(fields.first()?), *fields.get(1)?) {
            _ if device == "lo" => To::Elsewhere,
            (true, "00") => To::Everywhere,
            (_, "01") => To::Half,
            _ => To::Elsewhere,
        },
        has_gateway: flags & GATEWAY != 0,
        metric: u32::from_str_radix(fields.get(5)?, 16).ok()?,
    })
}

/// The tunnel that carries a default route, or covers it.
fn tunnel(routes: &[Route]) -> Option<String> {
    let mut covering = routes
        .iter()
        .filter(|route| matches!(route.to, To::Everywhere | To::Half));
    covering
        .find(|route| is_tunnel(&route.device))
        .map(|route| route.device.clone())
}

/// The device of the best default route that is no tunnel's, or of a gateway: to its own server VPN software keeps one.
fn past(routes: &[Route]) -> Option<String> {
    let outside = routes
        .iter()
        .filter(|route| route.device != "lo" && !is_tunnel(&route.device))
        .filter(|route| route.to == To::Everywhere || route.has_gateway);
    outside
        .min_by_key(|route| (route.to != To::Everywhere, route.metric))
        .map(|route| route.device.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
    const PLAIN: &str = "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
    const SERVER: &str = "eth0\t0A0200C0\t0100A8C0\t0007\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";

    fn found(v4: &str, v6: &str) -> (Option<String>, Option<String>) {
        let routes = parse(&format!("{HEAD}{v4}"), v6);
        (tunnel(&routes), past(&routes))
    }

    fn expected(tunnel: Option<&str>, way_out: Option<&str>) -> (Option<String>, Option<String>) {
        (tunnel.map(str::to_owned), way_out.map(str::to_owned))
    }

    #[test]
    fn a_tunnel_that_carries_the_default_route_is_found_and_the_device_past_it() {
        let side = format!("{PLAIN}wg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n");
        let halves = format!(
            "{PLAIN}tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
             tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
        );
        let replaced =
            format!("tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n{SERVER}");
        let two = format!(
            "tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n\
             wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n{PLAIN}"
        );
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
            00000000000000000000000000000000 00000400 00000001 00000000 00000001     wg0\n";
        let nowhere = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
            00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(found(PLAIN, nowhere), expected(None, Some("eth0")));
        assert_eq!(
            found(&side, ""),
            expected(None, Some("eth0")),
            "a tunnel beside the default route"
        );
        assert_eq!(found(&halves, ""), expected(Some("tun0"), Some("eth0")));
        assert_eq!(
            found(&replaced, ""),
            expected(Some("tun0"), Some("eth0")),
            "the way to the VPN's server"
        );
        assert_eq!(
            found(&two, ""),
            expected(Some("tun0"), Some("eth0")),
            "the better metric"
        );
        assert_eq!(found(PLAIN, v6), expected(Some("wg0"), Some("eth0")));
        assert_eq!(found("", ""), expected(None, None));
        assert_eq!(found("x\n", "y\n"), expected(None, None));
    }

    #[test]
    fn devices_are_told_apart_by_name_and_make() {
        for (device, is) in [
            ("wg0", true),
            ("utun3", true),
            ("eth0", false),
            ("lo", false),
        ] {
            assert_eq!(is_tunnel(device), is, "{device}");
        }
        assert!(!is_made_like_a_tunnel("../../../etc"));
        assert_eq!(device_towards([127, 0, 0, 1].into()).as_deref(), Some("lo"));
    }
}
