//! The parts of a world in order, drawn: who looks, where the target stands, which sites serve as controls.

use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    Conditions, Family, LocalFacts, Subject, Target, Vantage, VantageClass, VantageName,
};

use crate::place::{self, CITIES, City, HOSTERS};
use crate::random::Random;
use crate::world::{Health, Machine, Port, Presented, Site, Station, YOU};

/// A third of the pool stands near the subject, the rest anywhere; some share its AS, some its country.
pub(crate) fn draw_stations(home: City, pool: usize, random: &mut Random) -> Vec<Station> {
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

pub(crate) fn draw_machine(
    asn: u32,
    city: City,
    family: Family,
    host: &str,
    random: &mut Random,
) -> Machine {
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

pub(crate) fn draw_site(machines: &mut Vec<Machine>, random: &mut Random) -> Site {
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
pub(crate) fn draw_control(host: &str, machines: &mut Vec<Machine>, random: &mut Random) -> Site {
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

pub(crate) fn draw_case(
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
