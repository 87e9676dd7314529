//! The first generator's world: stations, machines and the ways between them, all drawn; the fault comes afterwards
//! (`classes`), as rules on the way or as the state of a machine.

use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{CertificateError, Family, Vantage, VantageClass};

use crate::draw::{draw_case, draw_control, draw_machine, draw_site, draw_stations};
use crate::place::{self, CITIES, City};
use crate::random::Random;
use crate::rule::{NameRule, Rule};

/// A vantage as it really is.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    /// As the coordinator believes it to be.
    pub(crate) vantage: Vantage,
    pub(crate) city: City,
    /// The AS it is really in.
    pub(crate) asn: u32,
    pub(crate) class: VantageClass,
    /// To its provider's first router, ms.
    pub(crate) access_ms: f64,
    pub(crate) gateway_ms: f64,
    pub(crate) has_v6: bool,
    pub(crate) address: IpAddr,
    pub(crate) address_v6: IpAddr,
    /// Of its own network, behind the gateway.
    pub(crate) local: IpAddr,
    pub(crate) resolver: IpAddr,
    pub(crate) resolver_ms: f64,
    pub(crate) health: Health,
    /// ICMP errors and echoes from beyond its network do not come through.
    pub(crate) deaf_to_icmp: bool,
}

/// What ails a station besides the fault that is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Health {
    Good,
    /// Nothing works from there, controls neither.
    Broken(Illness),
    /// Only the way to the target does not.
    PathBad(Illness),
    /// The target has banned it.
    Banned(Illness),
    /// Everything takes that many times as long.
    Slow(f64),
    /// Says nothing from this moment on, ms.
    Lost(f64),
    /// Tells the contrary of what it sees.
    Lying,
}

/// How an ill station fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Illness {
    Silence,
    Reset,
    Unreachable,
    NoNames,
    Prohibited,
    Page(u16),
}

/// What a port does with a SYN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Port {
    Open,
    Closed,
    Filtered,
}

/// What a server presents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Presented {
    pub(crate) names: Vec<String>,
    pub(crate) issuer: String,
    /// Days from the check.
    pub(crate) valid: (i64, i64),
    pub(crate) error: Option<CertificateError>,
}

/// A machine that an address leads to.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) address: IpAddr,
    pub(crate) city: City,
    /// Off, or off the network.
    pub(crate) up: bool,
    /// When it is off: the last router says so.
    pub(crate) mourned: bool,
    pub(crate) pings: bool,
    /// What it is there for.
    pub(crate) main_port: u16,
    pub(crate) port: Port,
    /// All ports but that one and `open`.
    pub(crate) others: Port,
    /// Well-known ports that are open whatever `others` says.
    pub(crate) open: Vec<u16>,
    pub(crate) presented: Presented,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Routers on the way from another continent.
    pub(crate) hops: u8,
}

/// A host with its addresses.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Groups of addresses; a station's resolver gives the group that is nearest to it.
    pub(crate) edges: Vec<(City, Vec<IpAddr>)>,
}

impl Site {
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.edges.iter().flat_map(|(_, a)| a.clone()).collect()
    }

    pub(crate) fn has(&self, family: Family) -> bool {
        self.addresses().iter().any(|a| Family::of(*a) == family)
    }

    /// What a resolver near this city gives.
    pub(crate) fn answers_near(&self, city: City) -> Vec<IpAddr> {
        let distance = |edge: City| place::round_trip_ms(edge, city);
        let nearest = self
            .edges
            .iter()
            .min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
        nearest.map_or(Vec::new(), |(_, addresses)| addresses.clone())
    }
}

/// The proxy that the subject's settings name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Proxy {
    Works,
    Refuses,
    Silent,
    Answers(u16),
    /// Answers so for the target alone.
    AnswersForTarget(u16),
}

/// Everything that is so.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) case: Case,
    /// The subject first.
    pub(crate) stations: Vec<Station>,
    pub(crate) site: Site,
    pub(crate) controls: Vec<Site>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) names: Vec<NameRule>,
    pub(crate) hosts_entries: Vec<IpAddr>,
    pub(crate) proxy: Proxy,
    pub(crate) zone_servers: Vec<IpAddr>,
    pub(crate) listed: bool,
    /// Of requests with a cost at the server: latency of a page, ms.
    pub(crate) think_ms: f64,
    pub(crate) noise: f64,
    pub(crate) random: Random,
    /// Connections per station that reached the target so far.
    pub(crate) visits: Vec<u32>,
}

/// The caller's place among the stations.
pub(crate) const YOU: usize = 0;

impl World {
    /// A world in order, with `pool` remote vantages; `number` becomes the check's id.
    pub(crate) fn draw(mut random: Random, pool: usize, noise: f64, number: u64) -> Self {
        let home = random.pick(CITIES);
        let stations = draw_stations(home, pool, &mut random);
        let mut machines = Vec::new();
        let site = draw_site(&mut machines, &mut random);
        let controls = ["control-a.example", "control-b.example"]
            .map(|host| draw_control(host, &mut machines, &mut random))
            .to_vec();
        let zone = random.pick(CITIES);
        let case = draw_case(&stations, &site, &controls, number, &mut random);
        let (proxy, noise_level) = (Proxy::Works, noise);
        let zone_servers = (0..2)
            .map(|_| place::address_v4(20_000 + zone.country.len() as u32, &mut random))
            .collect();
        let visits = vec![0; stations.len()];
        let think_ms = random.between(4.0, 120.0);
        let listed = random.chance(0.03);
        let mut world = Self {
            case,
            stations,
            site,
            controls,
            machines,
            rules: Vec::new(),
            names: Vec::new(),
            hosts_entries: Vec::new(),
            proxy,
            zone_servers,
            listed,
            think_ms,
            noise: noise_level,
            random,
            visits,
        };
        world.site.port = world.case.target.port.unwrap_or(443);
        let port = world.site.port;
        world.servers().for_each(|m| m.main_port = port);
        world.furnish_the_subject();
        world
    }

    /// What many machines have and nobody suffers from: a proxy that works, a tunnel, a hosts entry that is right.
    fn furnish_the_subject(&mut self) {
        let local = &mut self.case.subject.local;
        let platforms = [(0.5, "linux"), (0.2, "macos"), (0.3, "windows")];
        local.platform = Some(self.random.weighted(&platforms).to_owned());
        if self.random.chance(0.06) {
            local.proxies = vec!["https_proxy=http://10.0.0.9:3128".to_owned()];
        }
        if self.random.chance(0.05) {
            local.tunnel = Some("wg0".to_owned());
            local.way_out = Some("eth0".to_owned());
        }
        if self.random.chance(0.02) {
            let own = self.site.answers_near(self.stations[YOU].city);
            self.hosts_entries = own.into_iter().take(1).collect();
            local.hosts_entries = self.hosts_entries.clone();
        }
        if self.random.chance(0.15) {
            let YouAddresses { second } = self.second_address();
            self.stations[YOU].vantage.source_addresses = vec![second];
            self.case.vantages[YOU].source_addresses = vec![second];
        }
        let expected = self.site.addresses();
        if self.random.chance(0.15) {
            self.case.conditions.expected_addresses = expected;
        }
    }

    fn second_address(&mut self) -> YouAddresses {
        let IpAddr::V4(first) = self.stations[YOU].address else {
            unreachable!("stations have an IPv4 address")
        };
        let [a, b, c, _] = first.octets();
        YouAddresses {
            second: place::address_in([a, b, c], &mut self.random),
        }
    }

    pub(crate) fn machine(&self, address: IpAddr) -> Option<&Machine> {
        self.machines.iter().find(|m| m.address == address)
    }

    /// The site's own machines.
    pub(crate) fn servers(&mut self) -> impl Iterator<Item = &mut Machine> {
        let addresses = self.site.addresses();
        self.machines
            .iter_mut()
            .filter(move |m| addresses.contains(&m.address))
    }

    /// A machine that is not the site's, somewhere.
    pub(crate) fn strange_machine(&mut self, family: Family) -> IpAddr {
        let asn = 40_000 + self.random.below(900) as u32;
        let city = self.random.pick(CITIES);
        let mut machine = draw_machine(asn, city, family, "other-shop.example", &mut self.random);
        machine.main_port = self.site.port;
        let address = machine.address;
        self.machines.push(machine);
        address
    }

    /// Remote stations for which this holds.
    pub(crate) fn remote(&self, is: impl Fn(&Station) -> bool) -> Vec<usize> {
        let you = YOU + 1;
        (you..self.stations.len())
            .filter(|i| is(&self.stations[*i]))
            .collect()
    }

    /// Remote stations in the subject's AS.
    pub(crate) fn siblings(&self) -> Vec<usize> {
        let asn = self.stations[YOU].asn;
        self.remote(|s| s.asn == asn)
    }

    pub(crate) fn subject(&self) -> &Station {
        &self.stations[YOU]
    }
}

struct YouAddresses {
    second: IpAddr,
}
