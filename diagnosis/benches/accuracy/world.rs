//! The first generator's world: stations, machines and the ways between them, all drawn; the fault comes afterwards
//! (`classes`), as rules on the way or as the state of a machine.

use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    CertificateError, Conditions, Family, LocalFacts, Subject, Target, Vantage, VantageClass,
    VantageName,
};

use crate::place::{self, CITIES, City, HOSTERS};
use crate::random::Random;
use crate::rule::{NameRule, Rule};

/// A vantage as it really is.
#[derive(Debug, Clone)]
pub struct Station {
    /// As the coordinator believes it to be.
    pub vantage: Vantage,
    pub city: City,
    /// The AS it is really in.
    pub asn: u32,
    pub class: VantageClass,
    /// To its provider's first router, ms.
    pub access_ms: f64,
    pub gateway_ms: f64,
    pub has_v6: bool,
    pub address: IpAddr,
    pub address_v6: IpAddr,
    /// Of its own network, behind the gateway.
    pub local: IpAddr,
    pub resolver: IpAddr,
    pub resolver_ms: f64,
    pub health: Health,
    /// ICMP errors and echoes from beyond its network do not come through.
    pub deaf_to_icmp: bool,
}

/// What ails a station besides the fault that is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Health {
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
pub enum Illness {
    Silence,
    Reset,
    Unreachable,
    NoNames,
    Prohibited,
    Page(u16),
}

/// What a port does with a SYN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Port {
    Open,
    Closed,
    Filtered,
}

/// What a server presents.
#[derive(Debug, Clone, PartialEq)]
pub struct Presented {
    pub names: Vec<String>,
    pub issuer: String,
    /// Days from the check.
    pub valid: (i64, i64),
    pub error: Option<CertificateError>,
}

/// A machine that an address leads to.
#[derive(Debug, Clone)]
pub struct Machine {
    pub address: IpAddr,
    pub city: City,
    /// Off, or off the network.
    pub up: bool,
    /// When it is off: the last router says so.
    pub mourned: bool,
    pub pings: bool,
    /// What it is there for.
    pub main_port: u16,
    pub port: Port,
    /// All ports but that one and `open`.
    pub others: Port,
    /// Well-known ports that are open whatever `others` says.
    pub open: Vec<u16>,
    pub presented: Presented,
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    /// Routers on the way from another continent.
    pub hops: u8,
}

/// A host with its addresses.
#[derive(Debug, Clone)]
pub struct Site {
    pub host: String,
    pub port: u16,
    /// Groups of addresses; a station's resolver gives the group that is nearest to it.
    pub edges: Vec<(City, Vec<IpAddr>)>,
}

impl Site {
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.edges.iter().flat_map(|(_, a)| a.clone()).collect()
    }

    pub fn has(&self, family: Family) -> bool {
        self.addresses().iter().any(|a| Family::of(*a) == family)
    }

    /// What a resolver near this city gives.
    pub fn answers_near(&self, city: City) -> Vec<IpAddr> {
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
pub enum Proxy {
    Works,
    Refuses,
    Silent,
    Answers(u16),
    /// Answers so for the target alone.
    AnswersForTarget(u16),
}

/// Everything that is so.
#[derive(Debug, Clone)]
pub struct World {
    pub case: Case,
    /// The subject first.
    pub stations: Vec<Station>,
    pub site: Site,
    pub controls: Vec<Site>,
    pub machines: Vec<Machine>,
    pub rules: Vec<Rule>,
    pub names: Vec<NameRule>,
    pub hosts_entries: Vec<IpAddr>,
    pub proxy: Proxy,
    pub zone_servers: Vec<IpAddr>,
    pub listed: bool,
    /// Of requests with a cost at the server: latency of a page, ms.
    pub think_ms: f64,
    pub noise: f64,
    pub random: Random,
    /// Connections per station that reached the target so far.
    pub visits: Vec<u32>,
}

/// The caller's place among the stations.
pub const YOU: usize = 0;

impl World {
    /// A world in order, with `pool` remote vantages; `number` becomes the check's id.
    pub fn draw(mut random: Random, pool: usize, noise: f64, number: u64) -> Self {
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
        local.platform =
            Some(
                self.random
                    .weighted(&[(0.5, "linux"), (0.2, "macos"), (0.3, "windows")]),
            )
            .map(str::to_owned);
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

    pub fn machine(&self, address: IpAddr) -> Option<&Machine> {
        self.machines.iter().find(|m| m.address == address)
    }

    /// The site's own machines.
    pub fn servers(&mut self) -> impl Iterator<Item = &mut Machine> {
        let addresses = self.site.addresses();
        self.machines
            .iter_mut()
            .filter(move |m| addresses.contains(&m.address))
    }

    /// A machine that is not the site's, somewhere.
    pub fn strange_machine(&mut self, family: Family) -> IpAddr {
        let asn = 40_000 + self.random.below(900) as u32;
        let city = self.random.pick(CITIES);
        let mut machine = draw_machine(asn, city, family, "other-shop.example", &mut self.random);
        machine.main_port = self.site.port;
        let address = machine.address;
        self.machines.push(machine);
        address
    }

    /// Remote stations for which this holds.
    pub fn remote(&self, is: impl Fn(&Station) -> bool) -> Vec<usize> {
        let you = YOU + 1;
        (you..self.stations.len())
            .filter(|i| is(&self.stations[*i]))
            .collect()
    }

    /// Remote stations in the subject's AS.
    pub fn siblings(&self) -> Vec<usize> {
        let asn = self.stations[YOU].asn;
        self.remote(|s| s.asn == asn)
    }

    pub fn subject(&self) -> &Station {
        &self.stations[YOU]
    }
}

struct YouAddresses {
    second: IpAddr,
}

/// A third of the pool stands near the subject, the rest anywhere; some share its AS, some its country.
fn draw_stations(home: City, pool: usize, random: &mut Random) -> Vec<Station> {
    let own_asn = place::access_asn(home.country, 0);
    let own_prefix = place::prefix_v4(own_asn, random);
    let mut you = draw_station(home, own_asn, VantageClass::Residential, 0, random);
    you.address = place::address_in(own_prefix, random);
    let mut stations = vec![you];
    let siblings = match pool {
        0..6 => usize::from(random.chance(0.4)),
        _ if random.chance(0.6) => 1 + usize::from(random.chance(0.4)),
        _ => 0,
    };
    let wanted = if pool < 6 { 1 } else { 1 + random.below(3) };
    let compatriots = if random.chance(0.75) { wanted } else { 0 };
    let neighbours = pool / 4;
    for number in 1..=pool {
        let near = |c: &&City| c.region == home.region;
        let near: Vec<City> = CITIES.iter().filter(near).copied().collect();
        let place = number - 1;
        let (city, asn, class) = if place < siblings {
            (home, own_asn, VantageClass::Residential)
        } else if place < siblings + compatriots {
            let which = 1 + random.below(3);
            (
                home,
                place::access_asn(home.country, which),
                VantageClass::Residential,
            )
        } else {
            let close = place < siblings + compatriots + neighbours;
            let city = if close {
                random.pick(&near)
            } else {
                random.pick(CITIES)
            };
            match random.weighted(&[(0.65, 0), (0.25, 1), (0.1, 2)]) {
                0 => (city, random.pick(HOSTERS), VantageClass::Datacenter),
                1 => {
                    let which = 1 + random.below(3);
                    let asn = place::access_asn(city.country, which);
                    (city, asn, VantageClass::Residential)
                }
                _ => (
                    city,
                    place::access_asn(city.country, 5),
                    VantageClass::Mobile,
                ),
            }
        };
        let mut station = draw_station(city, asn, class, number, random);
        if place < siblings && random.chance(0.5) {
            station.address = place::address_in(own_prefix, random);
            station.vantage.public_address = Some(station.address);
        }
        stations.push(station);
    }
    stations
}

fn draw_station(
    city: City,
    asn: u32,
    class: VantageClass,
    number: usize,
    random: &mut Random,
) -> Station {
    let name = match number {
        0 => VantageName::you(),
        n => format!("{}{n}", city.country.to_ascii_lowercase())
            .parse()
            .expect("a vantage name"),
    };
    let address = place::address_v4(asn, random);
    let (access_ms, gateway_ms, local) = match class {
        VantageClass::Datacenter => (random.between(0.3, 1.5), random.between(0.1, 0.4), address),
        VantageClass::Residential => (
            random.between(4.0, 22.0),
            random.between(0.3, 4.0),
            [192, 168, 1, 23].into(),
        ),
        VantageClass::Mobile => (
            random.between(20.0, 60.0),
            random.between(1.0, 3.0),
            [10, 64, 3, 7].into(),
        ),
    };
    let label = if random.chance(0.02) { asn + 1 } else { asn };
    let resolver_ms = random.between(0.5, 15.0) + access_ms;
    let vantage = Vantage {
        region: Some(city.region.to_owned()),
        country: Some(city.country.to_owned()),
        asn: Some(label),
        class: (number > 0).then_some(class),
        public_address: Some(address),
        ..Vantage::named(name)
    };
    Station {
        vantage,
        city,
        asn,
        class,
        access_ms,
        gateway_ms,
        has_v6: random.chance(0.7),
        address,
        address_v6: place::address_v6(asn, random),
        local,
        resolver: [192, 168, 1, 1].into(),
        resolver_ms,
        health: Health::Good,
        deaf_to_icmp: random.chance(0.03),
    }
}

fn draw_machine(asn: u32, city: City, family: Family, host: &str, random: &mut Random) -> Machine {
    let address = match family {
        Family::V4 => place::address_v4(asn, random),
        Family::V6 => place::address_v6(asn, random),
    };
    let others = random.weighted(&[(0.45, Port::Closed), (0.55, Port::Filtered)]);
    let open = match random.weighted(&[(0.65, 0), (0.35, 1)]) {
        0 => vec![22, 80, 443, 8443],
        _ => vec![],
    };
    Machine {
        address,
        city,
        up: true,
        mourned: false,
        main_port: 443,
        pings: random.chance(0.75),
        port: Port::Open,
        others,
        open,
        presented: Presented {
            names: vec![host.to_owned(), format!("www.{host}")],
            issuer: "CN=R11, O=Let's Encrypt, C=US".to_owned(),
            valid: (-40, 50),
            error: None,
        },
        status: 200,
        headers: vec![("server", "nginx")],
        hops: 7 + random.below(9) as u8,
    }
}

fn draw_site(machines: &mut Vec<Machine>, random: &mut Random) -> Site {
    let host = "shop.example";
    let asn = 60_000 + random.below(900) as u32;
    let spread = random.chance(0.12);
    let (v4, v6) = random.weighted(&[
        (0.45, (true, false)),
        (0.5, (true, true)),
        (0.05, (false, true)),
    ]);
    let each = random.weighted(&[(0.6, 1), (0.3, 2), (0.1, 4)]);
    let mut edges = Vec::new();
    let first = random.pick(CITIES);
    let cities = if spread {
        vec![first, random.pick(CITIES), random.pick(CITIES)]
    } else {
        vec![first]
    };
    let like = draw_machine(asn, first, Family::V4, host, random);
    for city in cities {
        let mut addresses = Vec::new();
        for (family, wanted) in [(Family::V4, v4), (Family::V6, v6)] {
            let count = if family == Family::V6 {
                each.min(2)
            } else {
                each
            };
            for _ in 0..if wanted { count } else { 0 } {
                // One operator runs them all: they differ in address and distance alone.
                let machine = Machine {
                    address: draw_machine(asn, city, family, host, random).address,
                    city,
                    ..like.clone()
                };
                addresses.push(machine.address);
                machines.push(machine);
            }
        }
        edges.push((city, addresses));
    }
    Site {
        host: host.to_owned(),
        port: 443,
        edges,
    }
}

/// Large sites, near to everybody.
fn draw_control(host: &str, machines: &mut Vec<Machine>, random: &mut Random) -> Site {
    let mut edges = Vec::new();
    for region in ["eu", "na", "sa", "as", "oc", "af"] {
        let of_region: Vec<City> = CITIES
            .iter()
            .filter(|c| c.region == region)
            .copied()
            .collect();
        let city = random.pick(&of_region);
        let addresses = [Family::V4, Family::V6].map(|family| {
            let mut machine = draw_machine(50_000 + host.len() as u32, city, family, host, random);
            machine.pings = true;
            machine.hops = 6 + random.below(4) as u8;
            machines.push(machine);
            machines[machines.len() - 1].address
        });
        edges.push((city, addresses.to_vec()));
    }
    Site {
        host: host.to_owned(),
        port: 443,
        edges,
    }
}

fn draw_case(
    stations: &[Station],
    site: &Site,
    controls: &[Site],
    number: u64,
    random: &mut Random,
) -> Case {
    let layer = random.weighted(&[(0.8, "https://"), (0.1, "http://"), (0.1, "tcp://")]);
    let port = match layer {
        "https://" => site.port,
        "http://" => 80,
        _ => 5432,
    };
    let target = Target::parse(&format!("{layer}{}:{port}", site.host)).expect("a target");
    let controls = controls
        .iter()
        .map(|c| Target::parse(&format!("https://{}", c.host)).expect("a control"))
        .collect();
    let resolvers: Vec<IpAddr> = match random.chance(0.5) {
        true => vec![[9, 9, 9, 9].into(), [8, 8, 4, 4].into()],
        false => Vec::new(),
    };
    let block_lists = match random.chance(0.2) {
        true => vec!["zen.list.example".to_owned()],
        false => Vec::new(),
    };
    let you = &stations[YOU];
    let known = random.chance(0.92);
    let mut vantages: Vec<Vantage> = stations.iter().map(|s| s.vantage.clone()).collect();
    if !known {
        vantages[YOU].asn = None;
        vantages[YOU].country = None;
        vantages[YOU].region = None;
    }
    Case {
        check: format!("{:026}", number % 1_000_000_000)
            .parse()
            .expect("a check id"),
        target,
        subject: Subject {
            vantage: Some(VantageName::you()),
            public_address: Some(you.address),
            asn: vantages[YOU].asn,
            local: LocalFacts::default(),
        },
        vantages,
        conditions: Conditions {
            controls,
            resolvers,
            block_lists,
            ..Conditions::default()
        },
    }
}
