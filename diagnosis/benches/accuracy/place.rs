//! Where things are: cities and their distances, autonomous systems and their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::random::Random;

/// A city: region, country, degrees north and east.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct City {
    pub(crate) region: &'static str,
    pub(crate) country: &'static str,
    north: f64,
    east: f64,
}

const fn city(region: &'static str, country: &'static str, north: f64, east: f64) -> City {
    City {
        region,
        country,
        north,
        east,
    }
}

/// Where vantages and servers stand.
pub(crate) const CITIES: &[City] = &[
    city("eu", "DE", 50.1, 8.7),
    city("eu", "DE", 52.5, 13.4),
    city("eu", "FR", 48.9, 2.4),
    city("eu", "NL", 52.4, 4.9),
    city("eu", "GB", 51.5, -0.1),
    city("eu", "PL", 52.2, 21.0),
    city("eu", "ES", 40.4, -3.7),
    city("eu", "SE", 59.3, 18.1),
    city("na", "US", 40.7, -74.0),
    city("na", "US", 37.3, -121.9),
    city("na", "US", 32.8, -96.8),
    city("na", "CA", 43.7, -79.4),
    city("na", "MX", 19.4, -99.1),
    city("sa", "BR", -23.6, -46.6),
    city("sa", "CL", -33.4, -70.7),
    city("as", "JP", 35.7, 139.7),
    city("as", "SG", 1.3, 103.8),
    city("as", "IN", 19.1, 72.9),
    city("as", "KR", 37.6, 127.0),
    city("as", "TR", 41.0, 29.0),
    city("oc", "AU", -33.9, 151.2),
    city("oc", "NZ", -36.8, 174.8),
    city("af", "ZA", -26.2, 28.0),
    city("af", "KE", -1.3, 36.8),
];

/// Hosting companies that vantages are rented from: AS numbers.
pub(crate) const HOSTERS: &[u32] = &[
    24940, 16276, 16509, 14061, 20473, 63949, 51167, 12876, 8075, 396_982,
];

/// The country's access providers; four each.
pub(crate) fn access_asn(country: &str, which: usize) -> u32 {
    let index = CITIES.iter().position(|c| c.country == country);
    30_000 + 10 * index.unwrap_or(0) as u32 + which as u32
}

/// Light through glass that does not lie straight: ms there and back.
pub(crate) fn round_trip_ms(a: City, b: City) -> f64 {
    let (n1, n2) = (a.north.to_radians(), b.north.to_radians());
    let turn = (a.east - b.east).to_radians().cos();
    let angle = (n1.sin() * n2.sin() + n1.cos() * n2.cos() * turn)
        .clamp(-1.0, 1.0)
        .acos();
    1.0 + angle * 6_371.0 / 100.0 * 1.5
}

/// First octets that hold no special range.
const FIRST: &[u8] = &[
    5, 31, 37, 46, 62, 77, 78, 80, 81, 82, 84, 85, 87, 88, 89, 90, 91, 93, 94, 95, 109, 141, 145,
    151, 176, 178, 185, 188, 194, 195, 212, 213, 217,
];

/// A /24 of an AS.
pub(crate) fn prefix_v4(asn: u32, random: &mut Random) -> [u8; 3] {
    let first = FIRST[asn as usize % FIRST.len()];
    let second = (asn as usize / FIRST.len() % 256) as u8;
    [first, second, random.below(256) as u8]
}

/// An address of a /24.
pub(crate) fn address_in([a, b, c]: [u8; 3], random: &mut Random) -> IpAddr {
    Ipv4Addr::new(a, b, c, 2 + random.below(250) as u8).into()
}

/// An IPv4 address of an AS.
pub(crate) fn address_v4(asn: u32, random: &mut Random) -> IpAddr {
    let prefix = prefix_v4(asn, random);
    address_in(prefix, random)
}

/// An IPv6 address of an AS.
pub(crate) fn address_v6(asn: u32, random: &mut Random) -> IpAddr {
    let site = random.below(0xffff) as u16;
    let host = 1 + random.below(0xfffe) as u16;
    let [high, low] = [(asn >> 16) as u16, asn as u16];
    Ipv6Addr::new(0x2a00 + high, low, site, 0, 0, 0, 0, host).into()
}
