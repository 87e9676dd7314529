//! Addresses that are not on the public internet: the IANA special-purpose address registries (IPv4 and IPv6),
//! and IPv4 addresses in IPv6 disguise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Host, Target};

const V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "carrier-grade NAT"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 31, 196, 0], 24, "AS112"),
    ([192, 52, 193, 0], 24, "AMT"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([192, 175, 48, 0], 24, "AS112"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

const V6: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local translation"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard"),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy prefix"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// The kind of special range an address lies in; `None` for an address of the public internet.
///
/// Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and successors), RFC 5771, RFC 4291.
/// IPv4 inside IPv6 (mapped and compatible: RFC 4291; NAT64: RFC 6052; 6to4: RFC 3056) is judged by the IPv4 inside.
pub fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => V4
            .iter()
            .find(|(base, length, _)| same_prefix_v4(v4, Ipv4Addr::from(*base), *length))
            .map(|(_, _, kind)| *kind),
        IpAddr::V6(v6) => V6
            .iter()
            .find(|(base, length, _)| same_prefix_v6(v6, Ipv6Addr::from(*base), *length))
            .map(|(_, _, kind)| *kind)
            .or_else(|| embedded_v4(v6).and_then(|v4| special_range(v4.into()))),
    }
}

fn same_prefix_v4(a: Ipv4Addr, b: Ipv4Addr, length: u8) -> bool {
    (a.to_bits() ^ b.to_bits())
        .checked_shr(32 - u32::from(length))
        .unwrap_or(0)
        == 0
}

fn same_prefix_v6(a: Ipv6Addr, b: Ipv6Addr, length: u8) -> bool {
    (a.to_bits() ^ b.to_bits())
        .checked_shr(128 - u32::from(length))
        .unwrap_or(0)
        == 0
}

/// The IPv4 address that an IPv6 address leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let low = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0xffff | 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low),
        [0x2002, high, middle, ..] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(middle)))
        }
        _ => None,
    }
}

impl Target {
    /// Why the target, as written, is nobody's but this machine's or this network's; `None` when it may be public.
    pub fn special_range(&self) -> Option<&'static str> {
        match &self.host {
            Host::Address(address) => special_range(*address),
            Host::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                Some("loopback")
            }
            Host::Name(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_known_in_every_disguise() {
        for (text, kind) in [
            ("127.0.0.1", Some("loopback")),
            ("10.255.255.255", Some("private")),
            ("11.0.0.0", None),
            ("100.127.255.255", Some("carrier-grade NAT")),
            ("100.128.0.0", None),
            ("169.254.169.254", Some("link-local")),
            ("198.19.255.255", Some("benchmarking")),
            ("255.255.255.255", Some("reserved")),
            ("1.1.1.1", None),
            ("::1", Some("loopback")),
            ("::", Some("unspecified")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:1.1.1.1", None),
            ("::127.0.0.1", Some("loopback")),
            ("64:ff9b::a00:1", Some("private")),
            ("64:ff9b::101:101", None),
            ("2002:7f00:1::", Some("loopback")),
            ("2001::1", Some("protocol assignments")),
            ("2001:db8::1", Some("documentation")),
            ("fd00::1", Some("private")),
            ("fe80::1", Some("link-local")),
            ("ff02::1", Some("multicast")),
            ("2a00::1", None),
        ] {
            assert_eq!(special_range(text.parse().unwrap()), kind, "{text}");
        }
        assert_eq!(
            Target::parse("localhost:3000").unwrap().special_range(),
            Some("loopback")
        );
        assert_eq!(
            Target::parse("http://2130706433/").unwrap().special_range(),
            Some("loopback")
        );
    }
}
