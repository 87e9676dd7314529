//! What stands on a way and does something to those who pass: firewalls, filters, caches that lie. A fault of the first
//! generator is a few of these.

use std::net::IpAddr;

use onlyhere_proto::Family;

use crate::random::Random;
use crate::world::{Presented, World};

/// Where on the way, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    Own,
    Gateway,
    Lan,
    Access,
    Transit,
    Edge,
    Host,
}

/// Whom it is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Who {
    All,
    These(Vec<usize>),
}

impl Who {
    pub(crate) fn holds(&self, station: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(stations) => stations.contains(&station),
        }
    }
}

/// Which destinations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum To {
    Everything,
    Site,
    SiteFamily(Family),
    /// One IP family, wherever it leads.
    Family(Family),
}

/// Which ports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ports {
    All,
    Only(Vec<u16>),
}

/// What it does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Does {
    /// Swallows the SYN.
    Drop,
    /// Answers it with a reset in the host's name.
    Rst,
    /// Answers it with this ICMP error (IPv4 code of type 3).
    Icmp(u8),
    /// Resets the connection once it sees the server's name.
    HelloReset,
    /// Swallows everything from the server's name on.
    HelloDrop,
    /// Swallows large packets.
    BigDrop,
    /// Stands in for the server.
    Present(Presented),
    /// Answers in the server's place.
    Page(u16, Vec<(&'static str, &'static str)>),
    PageReset,
    PageSilence,
    PageClose,
    /// Lets it pass, after a while (ms).
    Slow(f64),
}

/// The part of an exchange that it acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Syn,
    Hello,
    Page,
}

impl Does {
    pub(crate) fn part(&self) -> Part {
        match self {
            Self::Drop | Self::Rst | Self::Icmp(_) => Part::Syn,
            Self::HelloReset | Self::HelloDrop | Self::BigDrop | Self::Present(_) => Part::Hello,
            Self::Page(..)
            | Self::PageReset
            | Self::PageSilence
            | Self::PageClose
            | Self::Slow(_) => Part::Page,
        }
    }
}

/// When it acts; times in ms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum When {
    Always,
    /// Each time anew.
    Chance(f64),
    /// In one of these spans.
    During(Vec<(f64, f64)>),
    /// From a station's connection of this number on.
    AfterVisits(u32),
}

/// One thing on the way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) at: At,
    pub(crate) does: Does,
    pub(crate) who: Who,
    pub(crate) to: To,
    pub(crate) ports: Ports,
    pub(crate) when: When,
    /// Swallows echo requests as well.
    pub(crate) echo: bool,
    /// Lets attempts from another address of the machine pass.
    pub(crate) spares_second_source: bool,
    /// Lets attempts through another device pass.
    pub(crate) spares_way_out: bool,
    /// How far into its part of the way, 0 to 1.
    pub(crate) fraction: f64,
}

impl Rule {
    /// For everybody, towards the site, on all ports, always.
    pub(crate) fn new(at: At, does: Does) -> Self {
        Self {
            at,
            does,
            who: Who::All,
            to: To::Site,
            ports: Ports::All,
            when: When::Always,
            echo: false,
            spares_second_source: false,
            spares_way_out: false,
            fraction: 0.5,
        }
    }

    pub(crate) fn of(mut self, stations: Vec<usize>) -> Self {
        self.who = Who::These(stations);
        self
    }

    pub(crate) fn to(mut self, to: To) -> Self {
        self.to = to;
        self
    }

    pub(crate) fn ports(mut self, ports: &[u16]) -> Self {
        self.ports = Ports::Only(ports.to_vec());
        self
    }

    pub(crate) fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    pub(crate) fn with_echo(mut self) -> Self {
        self.echo = true;
        self
    }

    pub(crate) fn sparing_second_source(mut self) -> Self {
        self.spares_second_source = true;
        self
    }

    pub(crate) fn sparing_way_out(mut self) -> Self {
        self.spares_way_out = true;
        self
    }

    pub(crate) fn somewhere(mut self, random: &mut Random) -> Self {
        self.fraction = random.between(0.05, 0.95);
        self
    }

    /// Whether it stands in the way from a station to an address.
    pub(crate) fn concerns(&self, world: &World, station: usize, address: IpAddr) -> bool {
        let is_site = || world.site.edges.iter().any(|(_, a)| a.contains(&address));
        self.who.holds(station)
            && match self.to {
                To::Everything => true,
                To::Site => is_site(),
                To::SiteFamily(family) => Family::of(address) == family && is_site(),
                To::Family(family) => Family::of(address) == family,
            }
    }

    pub(crate) fn has_port(&self, port: u16) -> bool {
        match &self.ports {
            Ports::All => true,
            Ports::Only(ports) => ports.contains(&port),
        }
    }
}

/// What a resolver does with a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Says {
    Nxdomain,
    Empty,
    Servfail,
    Refused,
    Silence,
    Addresses(Vec<IpAddr>),
}

/// A resolver that says something else than the zone does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NameRule {
    pub(crate) who: Who,
    pub(crate) says: Says,
    /// Their own resolvers.
    pub(crate) system: bool,
    /// Resolvers that were named.
    pub(crate) configured: bool,
    /// The zone's own servers.
    pub(crate) authoritative: bool,
    /// Of every name, not the site's alone.
    pub(crate) every_name: bool,
}

impl NameRule {
    /// What these stations' own resolvers say of the site.
    pub(crate) fn of(stations: Vec<usize>, says: Says) -> Self {
        Self {
            who: Who::These(stations),
            says,
            system: true,
            configured: false,
            authoritative: false,
            every_name: false,
        }
    }

    /// What everybody says of the site.
    pub(crate) fn everywhere(says: Says) -> Self {
        Self {
            who: Who::All,
            system: true,
            configured: true,
            authoritative: true,
            every_name: false,
            says,
        }
    }

    pub(crate) fn of_every_name(mut self) -> Self {
        self.every_name = true;
        self
    }

    pub(crate) fn of_configured_too(mut self) -> Self {
        self.configured = true;
        self
    }
}
