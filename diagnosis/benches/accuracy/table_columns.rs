//! The columns of the second generator's table.

use std::net::IpAddr;

use onlyhere_proto::CertificateError;

use crate::network::Truth;
use crate::world::World;

/// Who is affected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Hits {
    Nobody,
    You,
    YourV6,
    As,
    AsOrPrefix,
    Country,
    Region,
    /// The subject, and each other one half of the time.
    Half,
    Everybody,
    OneAddress,
    TheirV6,
    Datacenters,
}

/// What an affected try comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum See {
    Ok,
    Slow,
    Rst,
    Timeout,
    Icmp,
    Reset,
    /// Opens, and hangs in the handshake.
    Hang,
    Alert,
    Http(u16),
    Certificate(CertificateError),
}

/// For how long one draw of the mix holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Settled {
    Case,
    Vantage,
    Each,
    /// It follows the clock.
    Time,
}

/// Where a refusal is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Itself,
    Near,
    Middle,
    Server,
    None,
}

/// Whether echoes, or other ports, answer the affected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ping {
    AsDrawn,
    Often,
    No,
}

/// What the affected one's resolver says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Name {
    Truth,
    Nxdomain,
    Servfail,
    Silence,
    Bogon,
    BlockPage,
    Wrong,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) hits: Hits,
    pub(crate) mix: &'static [(f64, See)],
    pub(crate) settled: Settled,
    pub(crate) place: Place,
    pub(crate) ping: Ping,
    pub(crate) other_ports: Ping,
    pub(crate) controls_too: bool,
    pub(crate) name_says: Name,
    pub(crate) every_resolver: bool,
    pub(crate) hosts_entry: bool,
    pub(crate) only_proxy: bool,
    pub(crate) spares_source: bool,
    pub(crate) spares_direct: bool,
    pub(crate) spares_small: bool,
    pub(crate) any_layer: bool,
    pub(crate) issuer: &'static str,
    pub(crate) fits: fn(&World) -> bool,
    pub(crate) furnish: fn(&mut World, IpAddr),
    pub(crate) truth: fn(&mut World, &[bool]) -> Truth,
}

pub(crate) const fn row(
    name: &'static str,
    hits: Hits,
    mix: &'static [(f64, See)],
    place: Place,
    truth: fn(&mut World, &[bool]) -> Truth,
) -> Row {
    Row {
        name,
        hits,
        mix,
        settled: Settled::Case,
        place,
        ping: Ping::AsDrawn,
        other_ports: Ping::AsDrawn,
        controls_too: false,
        name_says: Name::Truth,
        every_resolver: false,
        hosts_entry: false,
        only_proxy: false,
        spares_source: false,
        spares_direct: false,
        spares_small: false,
        any_layer: true,
        issuer: "CN=shop.example",
        fits: |_| true,
        furnish: |_, _| {},
        truth,
    }
}

/// With what only https targets can show.
pub(crate) const fn https(row: Row) -> Row {
    Row {
        any_layer: false,
        ..row
    }
}

/// With nothing that answers at all.
pub(crate) const fn dark(row: Row) -> Row {
    Row {
        ping: Ping::No,
        other_ports: Ping::No,
        ..row
    }
}

/// With other ports that answer more often than not.
pub(crate) const fn wide(row: Row) -> Row {
    Row {
        other_ports: Ping::Often,
        ..row
    }
}

pub(crate) const fn each(row: Row) -> Row {
    Row {
        settled: Settled::Each,
        ..row
    }
}

pub(crate) const fn by_vantage(row: Row) -> Row {
    Row {
        settled: Settled::Vantage,
        ..row
    }
}
