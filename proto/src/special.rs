//! Addresses that are not on the public internet: the IANA special-purpose address registries, and IPv4 addresses in
//! IPv6 disguise.
//!
//! A row that the registries call globally reachable is special all the same: nobody has a site in an anycast address
//! of a protocol. The one exception is 64:ff9b::/96 (RFC 6052), through which networks without IPv4 reach all of the
//! public IPv4 internet: an address in there is judged by the IPv4 address inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Host, Target};

/// Base, prefix length, kind, and who says so.
type Row<B> = (B, u8, &'static str, &'static str);

/// IANA IPv4 Special-Purpose Address Registry as of 2025-10-09, multicast, and what is neither.
const V4: &[Row<[u8; 4]>] = &[
    ([0, 0, 0, 0], 8, "this network", "RFC 791, 3.2"),
    ([10, 0, 0, 0], 8, "private", "RFC 1918"),
    ([100, 64, 0, 0], 10, "carrier-grade NAT", "RFC 6598"),
    ([127, 0, 0, 0], 8, "loopback", "RFC 1122, 3.2.1.3"),
    // Azure's host answers its guests there, with their secrets, though the address is a public one.
    (
        [168, 63, 129, 16],
        32,
        "cloud metadata",
        "Microsoft: What is IP address 168.63.129.16?",
    ),
    ([169, 254, 0, 0], 16, "link-local", "RFC 3927"),
    ([172, 16, 0, 0], 12, "private", "RFC 1918"),
    // With all its parts: RFC 7335 (/29), RFC 7600 (.8), RFC 7723 (.9), RFC 8155 (.10), RFC 7050 (.170, .171).
    ([192, 0, 0, 0], 24, "protocol assignments", "RFC 6890, 2.1"),
    ([192, 0, 2, 0], 24, "documentation", "RFC 5737"),
    ([192, 31, 196, 0], 24, "AS112", "RFC 7535"),
    ([192, 52, 193, 0], 24, "AMT", "RFC 7450"),
    // With 192.88.99.2 (RFC 6751).
    ([192, 88, 99, 0], 24, "6to4 relay", "RFC 7526"),
    ([192, 168, 0, 0], 16, "private", "RFC 1918"),
    ([192, 175, 48, 0], 24, "AS112", "RFC 7534"),
    ([198, 18, 0, 0], 15, "benchmarking", "RFC 2544"),
    ([198, 51, 100, 0], 24, "documentation", "RFC 5737"),
    ([203, 0, 113, 0], 24, "documentation", "RFC 5737"),
    ([224, 0, 0, 0], 4, "multicast", "RFC 5771"),
    // With 255.255.255.255 (RFC 919).
    ([240, 0, 0, 0], 4, "reserved", "RFC 1112, 4"),
];

/// IANA IPv6 Special-Purpose Address Registry as of 2025-10-09, and what the IPv6 Address Space registry reserves.
const V6: &[Row<[u16; 8]>] = &[
    ([0; 8], 128, "unspecified", "RFC 4291, 2.5.2"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291, 2.5.3"),
    ([0; 8], 96, "IPv4-compatible", "RFC 4291, 2.5.5.1"),
    (
        [0, 0, 0, 0, 0, 0xffff, 0, 0],
        96,
        "IPv4-mapped",
        "RFC 4291, 2.5.5.2",
    ),
    (
        [0, 0, 0, 0, 0xffff, 0, 0, 0],
        96,
        "IPv4-translated",
        "RFC 2765, 2.1",
    ),
    (
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        "local translation",
        "RFC 8215",
    ),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard", "RFC 6666"),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy prefix", "RFC 9780"),
    // With all its parts: RFC 7723, RFC 8155, RFC 9665 (2001:1::), RFC 7450 (2001:3::), RFC 7535 (2001:4:112::).
    (
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        "protocol assignments",
        "RFC 2928",
    ),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", "RFC 4380"),
    (
        [0x2001, 2, 0, 0, 0, 0, 0, 0],
        48,
        "benchmarking",
        "RFC 5180",
    ),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID", "RFC 4843"),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHID", "RFC 7343"),
    (
        [0x2001, 0x30, 0, 0, 0, 0, 0, 0],
        28,
        "drone tags",
        "RFC 9374",
    ),
    (
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        "documentation",
        "RFC 3849",
    ),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 7526"),
    (
        [0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0],
        48,
        "AS112",
        "RFC 7534",
    ),
    (
        [0x3fff, 0, 0, 0, 0, 0, 0, 0],
        20,
        "documentation",
        "RFC 9637",
    ),
    (
        [0x5f00, 0, 0, 0, 0, 0, 0, 0],
        16,
        "segment routing",
        "RFC 9602",
    ),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private", "RFC 4193"),
    (
        [0xfe80, 0, 0, 0, 0, 0, 0, 0],
        10,
        "link-local",
        "RFC 4291, 2.5.6",
    ),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", "RFC 3879"),
    (
        [0xff00, 0, 0, 0, 0, 0, 0, 0],
        8,
        "multicast",
        "RFC 4291, 2.7",
    ),
];

/// Outside of this nothing has been given to anybody (IANA IPv6 Address Space registry): 2000::/3.
const GLOBAL_UNICAST: ([u16; 8], u8) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The kind of special range an address lies in; `None` for an address of the public internet.
///
/// Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), RFC 5771, RFC 4291. Where an
/// IPv4 address inside IPv6 is special, the kind is that of the address inside.
pub fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => row_of(V4, |base, length| {
            same_prefix(
                v4.to_bits().into(),
                Ipv4Addr::from(*base).to_bits().into(),
                length,
                32,
            )
        }),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |base: &[u16; 8], length| {
        same_prefix(
            address.to_bits(),
            Ipv6Addr::from(*base).to_bits(),
            length,
            128,
        )
    };
    let outer = row_of(V6, within);
    if outer.is_some() && !is_single_v4(address) {
        return outer;
    }
    let mut inside = embedded_ipv4(address);
    if let Some(kind) = inside.find_map(|v4| special_range(v4.into())) {
        return Some(kind);
    }
    let (base, length) = GLOBAL_UNICAST;
    let allocated = within(&base, length) || is_translated_globally(address);
    outer.or((!allocated).then_some("unallocated"))
}

/// The kind of the longest prefix that holds the address.
fn row_of<B>(rows: &[Row<B>], holds: impl Fn(&B, u8) -> bool) -> Option<&'static str> {
    rows.iter()
        .filter(|(base, length, ..)| holds(base, *length))
        .max_by_key(|(_, length, ..)| *length)
        .map(|(_, _, kind, _)| *kind)
}

fn same_prefix(a: u128, b: u128, length: u8, width: u8) -> bool {
    (a ^ b).checked_shr(u32::from(width - length)).unwrap_or(0) == 0
}

/// Whether the address is nothing but another way to write one IPv4 address.
fn is_single_v4(address: Ipv6Addr) -> bool {
    match address.segments() {
        // `::` and `::1` have a meaning of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => false,
        [0, 0, 0, 0, 0, 0xffff | 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => true,
        [0x2002, ..] => true,
        _ => false,
    }
}

/// RFC 6052, 2.1: the well-known prefix of NAT64.
fn is_translated_globally(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _])
}

/// The IPv4 addresses that packets to an IPv6 address may end up at: mapped and compatible (RFC 4291), translated
/// (RFC 2765), NAT64 with the well-known prefix and, in every length, the local ones (RFC 6052, RFC 8215), 6to4
/// (RFC 3056), server and client of Teredo (RFC 4380), ISATAP (RFC 5214). None for an ordinary address.
pub fn embedded_ipv4(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let s = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let last = join(s[6], s[7]);
    let found: Vec<Ipv4Addr> = match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0, 0, 0, 0, 0, 0xffff | 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => vec![last],
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![last],
        [0x64, 0xff9b, 1, ..] => local_translation(address),
        [0x2002, high, low, ..] => vec![join(high, low)],
        [0x2001, 0, high, low, ..] => vec![join(high, low), join(!s[6], !s[7])],
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => vec![last],
        _ => Vec::new(),
    };
    found.into_iter()
}

/// RFC 6052, 2.2: octet 8 is none of the address. Which length a network uses cannot be seen from outside.
fn local_translation(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let o = address.octets();
    vec![
        Ipv4Addr::new(o[6], o[7], o[9], o[10]),
        Ipv4Addr::new(o[7], o[9], o[10], o[11]),
        Ipv4Addr::new(o[9], o[10], o[11], o[12]),
        Ipv4Addr::new(o[12], o[13], o[14], o[15]),
    ]
}

impl Target {
    /// Why the target, as written, is nobody's but this machine's or this network's; `None` when it may be public.
    pub fn special_range(&self) -> Option<&'static str> {
        match &self.host {
            Host::Address(address) => special_range(*address),
            Host::Name(_) if self.host.is_localhost() => Some("loopback"),
            Host::Name(_) => None,
        }
    }
}

impl Host {
    /// Whether it is `localhost` or below it, which is this machine whoever is asked (RFC 6761, 6.3).
    pub fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
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
            ("168.63.129.16", Some("cloud metadata")),
            ("168.63.129.17", None),
            ("169.254.169.254", Some("link-local")),
            ("192.0.0.192", Some("protocol assignments")),
            ("198.19.255.255", Some("benchmarking")),
            ("198.20.0.0", None),
            ("239.255.255.250", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("1.1.1.1", None),
            ("::1", Some("loopback")),
            ("::", Some("unspecified")),
            ("::2", Some("this network")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:1.1.1.1", Some("IPv4-mapped")),
            ("::127.0.0.1", Some("loopback")),
            ("::1.1.1.1", Some("IPv4-compatible")),
            ("::ffff:0:169.254.169.254", Some("link-local")),
            ("::ffff:0:1.1.1.1", Some("IPv4-translated")),
            ("64:ff9b::a00:1", Some("private")),
            ("64:ff9b::101:101", None),
            ("64:ff9b:0:0:1::1", Some("unallocated")),
            ("64:ff9b:1::101:101", Some("local translation")),
            ("64:ff9b:1:7f00:0:100::", Some("local translation")),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:101:101::1", Some("6to4")),
            ("2001:0:101:101::f5ff:fffe", Some("Teredo")),
            ("2001:1::1", Some("protocol assignments")),
            ("2001:2::1", Some("benchmarking")),
            ("2001:3::1", Some("protocol assignments")),
            ("2001:21::1", Some("ORCHID")),
            ("2001:200::1", None),
            ("2001:db8::1", Some("documentation")),
            ("2a00:1::5efe:10.0.0.1", Some("private")),
            ("2a00:1::200:5efe:127.0.0.1", Some("loopback")),
            ("2a00:1::200:5efe:1.1.1.1", None),
            ("2a00::1", None),
            ("2620:4f:8000::1", Some("AS112")),
            ("3fff:fff::1", Some("documentation")),
            ("3fff:1000::1", None),
            ("4000::1", Some("unallocated")),
            ("5f00::1", Some("segment routing")),
            ("100::1", Some("discard")),
            ("100:0:0:1::1", Some("dummy prefix")),
            ("fd00::1", Some("private")),
            ("fd00:ec2::254", Some("private")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("site-local")),
            ("ff02::1", Some("multicast")),
        ] {
            assert_eq!(special_range(text.parse().unwrap()), kind, "{text}");
        }
        for (target, kind) in [
            ("localhost:3000", Some("loopback")),
            ("http://LOCALHOST./", Some("loopback")),
            ("a.localhost", Some("loopback")),
            ("notlocalhost", None),
            ("http://2130706433/", Some("loopback")),
        ] {
            assert_eq!(Target::parse(target).unwrap().special_range(), kind);
        }
    }

    #[test]
    fn every_address_inside_another_is_found() {
        let inside = |text: &str| -> Vec<String> {
            embedded_ipv4(text.parse().unwrap())
                .map(|v4| v4.to_string())
                .collect()
        };
        for (text, found) in [
            ("2a00::1", vec![]),
            ("::1", vec![]),
            ("::ffff:192.0.2.1", vec!["192.0.2.1"]),
            ("::ffff:0:192.0.2.1", vec!["192.0.2.1"]),
            ("::192.0.2.1", vec!["192.0.2.1"]),
            ("64:ff9b::192.0.2.1", vec!["192.0.2.1"]),
            ("2002:c000:201::", vec!["192.0.2.1"]),
            ("2a00::5efe:192.0.2.1", vec!["192.0.2.1"]),
            // RFC 4380, 4: the example's server and client.
            (
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                vec!["65.54.227.120", "192.0.2.45"],
            ),
        ] {
            assert_eq!(inside(text), found, "{text}");
        }
        // RFC 6052, 2.4: 192.0.2.33 behind prefixes of 48, 56, 64 and 96 bits.
        for text in [
            "64:ff9b:1:c000:2:2100::",
            "64:ff9b:1:3c0:0:221::",
            "64:ff9b:1:344:c0:2:2100::",
            "64:ff9b:1:344::192.0.2.33",
        ] {
            assert!(inside(text).contains(&"192.0.2.33".to_owned()), "{text}");
        }
    }

    #[test]
    fn every_row_is_a_prefix_with_a_source() {
        for (base, length, kind, source) in V4 {
            let bits = Ipv4Addr::from(*base).to_bits();
            assert_eq!(bits.checked_shl((*length).into()).unwrap_or(0), 0, "{kind}");
            assert!(!source.is_empty());
        }
        for (base, length, kind, source) in V6 {
            let bits = Ipv6Addr::from(*base).to_bits();
            assert_eq!(bits.checked_shl((*length).into()).unwrap_or(0), 0, "{kind}");
            assert!(!source.is_empty());
        }
    }
}
