//! What a hostile behaviour is: its name, what it does, and what an honest report may say of it.

use std::io;
use std::net::Ipv4Addr;

use super::name::{Asked, Reply};
use super::target::Visitor;
use super::vantage::Mallory;

/// The zone whose names lead to the hostile host.
pub const ZONE: &str = "hostile.example";

/// One way to be hostile.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// In the table, and the first label of its name in [`ZONE`].
    pub name: &'static str,
    /// What it does.
    pub does: Act,
    /// What the verdict may be, each as `scope mechanism`.
    pub verdicts: &'static [&'static str],
}

/// Where it is hostile, and how.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A TCP port, by whatever it says from the first byte on.
    Tcp(fn(&mut Visitor<'_>) -> io::Result<()>),
    /// A TCP port whose listening socket is made in a way of its own.
    Socket(Socket),
    /// A port for TLS, by what it says in place of a handshake.
    Handshake(fn(&mut Visitor<'_>) -> io::Result<()>),
    /// A server behind a good handshake.
    Secure(Session, fn(&mut Visitor<'_>) -> io::Result<()>),
    /// A server by its certificates.
    Certificate(Chain),
    /// A server by the records that it sends once the handshake is over.
    Records(
        Version,
        fn(&mut super::target::Records<'_>) -> io::Result<()>,
    ),
    /// A DNS server, about its own zone.
    Name(fn(&Asked<'_>) -> Reply),
    /// A server that also floods whoever connects with echo requests.
    Ping,
    /// An enrolled probe; the target is an honest one, or one that is down.
    Probe(Mallory),
}

/// What a listening socket does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// Accepts and resets at once.
    Resets,
    /// The smallest window and nobody who reads.
    NeverReads,
    /// The smallest segments.
    TinySegments,
}

/// Which TLS a server insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// What is agreed on in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// HTTP/1.1 by ALPN.
    Http1,
    /// HTTP/2 by ALPN.
    Http2,
}

/// Which certificates are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// A chain of a megabyte.
    Megabyte,
    /// One certificate with 10,000 names.
    Names,
    /// A hundred certificates.
    Hundred,
    /// Names with terminal escapes, overrides of the reading direction, and markup.
    Escapes,
    /// No DER at all, with a good signature of nothing.
    Broken,
}

impl Behaviour {
    /// A behaviour whose verdict is judged too.
    pub(super) const fn new(
        name: &'static str,
        does: Act,
        verdicts: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            does,
            verdicts,
        }
    }

    /// What is checked.
    pub fn target(&self) -> String {
        let name = self.name;
        match self.does {
            Act::Tcp(_) | Act::Socket(_) | Act::Ping => format!("http://{name}.{ZONE}"),
            Act::Handshake(_)
            | Act::Secure(..)
            | Act::Certificate(_)
            | Act::Records(..)
            | Act::Name(_) => format!("https://{name}.{ZONE}"),
            Act::Probe(mallory) => mallory.target.to_owned(),
        }
    }
}

/// Every behaviour has an address of its own, in a network of its own, so that what one target is refused no other is.
pub fn address(number: usize) -> Ipv4Addr {
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(198, 19, number, 1)
}
