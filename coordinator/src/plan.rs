//! Which vantages are asked. Pure and deterministic: the same fleet and question give the same vantages, in whatever order
//! they come.
//!
//! Without a selector the most different vantages are taken: first those of an AS that has been taken least, then by
//! region, class and country. Vantages of the caller's own network come before all others, because only they can tell a
//! ban of one address from a ban of its network; more than a few of them tell nothing new.
#![deny(clippy::disallowed_methods)]

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use onlyhere_proto::{Selector, Vantage, VantageClass, VantageName, limits};

use crate::place::Place;

/// Vantages of a check that asks for no number.
pub const DEFAULT: usize = 16;
/// Vantages of the caller's own network at most, unless a selector asks for more.
const SIBLINGS: usize = 4;

/// Why no vantages are picked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPicked {
    /// A selector that nobody who is attached fits.
    #[error("no vantage that is attached now fits `{0}`; `onlyhere vantages` lists those that are")]
    NobodyFits(String),
    /// More are wanted than may be asked.
    #[error("{wanted} vantages are asked for, and a check with this token has {most} at most")]
    TooMany {
        /// Of one selector.
        wanted: usize,
        /// In one check.
        most: usize,
    },
}

/// Picks at most `most` vantages out of `fleet` for a caller.
pub fn pick(
    fleet: &[Vantage],
    caller: Option<&Vantage>,
    selectors: &[Selector],
    most: usize,
) -> Result<Vec<Vantage>, NotPicked> {
    let mut fleet = fleet.to_vec();
    fleet.sort_by(|a, b| a.id.cmp(&b.id));
    let mut picked = Picked::new(&fleet, caller, most);
    if selectors.is_empty() {
        let all: Vec<usize> = (0..fleet.len()).collect();
        picked.take(&all, DEFAULT, SIBLINGS);
    }
    for selector in selectors {
        if !fleet.iter().any(|vantage| selector.matches(vantage)) {
            return Err(NotPicked::NobodyFits(selector.to_string()));
        }
        for (wanted, fitting) in selector.alternatives(&fleet) {
            if let Some(wanted) = wanted.filter(|wanted| *wanted > most) {
                return Err(NotPicked::TooMany { wanted, most });
            }
            picked.take(
                &fitting,
                wanted.unwrap_or(limits::VANTAGES),
                limits::VANTAGES,
            );
        }
    }
    let mut names: Vec<Vantage> = picked.order.iter().map(|&i| fleet[i].clone()).collect();
    names.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(names)
}

/// What is known of a caller that reached us from `address`: an attached vantage of the same IPv4 /24 or IPv6 /48 tells
/// its AS, country and region, because that is an operator's word; what it leaves open, or all of it without such a
/// neighbour, is what the address databases say (`located`).
pub fn locate(address: Option<IpAddr>, fleet: &[Vantage], located: &Place) -> Vantage {
    let you = Vantage {
        public_address: address,
        ..Vantage::named(VantageName::you())
    };
    let neighbours = fleet
        .iter()
        .filter(|vantage| vantage.asn.is_some() && you.same_prefix(vantage));
    let neighbour = neighbours.min_by(|a, b| a.id.cmp(&b.id));
    let told = neighbour.map(|neighbour| Place {
        asn: neighbour.asn,
        country: neighbour.country.clone(),
        region: neighbour.region.clone(),
        ..Place::default()
    });
    told.unwrap_or_default()
        .or(located)
        .vantage(VantageName::you(), address)
}

/// What makes two vantages alike; what is unknown is alike too, so that the known ones come first to differ.
type Likeness = (
    Option<u32>,
    Option<String>,
    Option<VantageClass>,
    Option<String>,
);

struct Picked<'a> {
    fleet: &'a [Vantage],
    caller: Option<&'a Vantage>,
    most: usize,
    order: Vec<usize>,
    asns: BTreeMap<Option<u32>, usize>,
    regions: BTreeMap<Option<String>, usize>,
    classes: BTreeMap<Option<VantageClass>, usize>,
    countries: BTreeMap<Option<String>, usize>,
}

impl<'a> Picked<'a> {
    fn new(fleet: &'a [Vantage], caller: Option<&'a Vantage>, most: usize) -> Self {
        Self {
            fleet,
            caller,
            most,
            order: Vec::new(),
            asns: BTreeMap::new(),
            regions: BTreeMap::new(),
            classes: BTreeMap::new(),
            countries: BTreeMap::new(),
        }
    }

    /// Picks of `candidates` until `wanted` of them are picked, those picked before included.
    fn take(&mut self, candidates: &[usize], wanted: usize, siblings: usize) {
        let is_sibling = |&i: &usize| {
            self.caller
                .is_some_and(|you| self.fleet[i].same_network(you))
        };
        let (own, others): (Vec<usize>, Vec<usize>) =
            candidates.iter().partition(|i| is_sibling(i));
        let taken = candidates.iter().filter(|i| self.order.contains(i)).count();
        let room = self.most.saturating_sub(self.order.len());
        let mut missing = wanted.saturating_sub(taken).min(room);
        missing -= self.take_diverse(own.clone(), missing.min(siblings));
        missing -= self.take_diverse(others, missing);
        // Siblings above their share are still better than nobody.
        self.take_diverse(own, missing);
    }

    /// Picks up to `wanted` more of `from`, the least alike first; says how many.
    fn take_diverse(&mut self, mut from: Vec<usize>, wanted: usize) -> usize {
        from.retain(|i| !self.order.contains(i));
        let mut count = 0;
        while count < wanted {
            let best = from
                .iter()
                .enumerate()
                .min_by_key(|&(at, &i)| (self.alike(i), at));
            let Some((at, _)) = best else { break };
            let i = from.remove(at);
            self.enter(i);
            count += 1;
        }
        count
    }

    /// How many have been picked that are like this one; at equality who is known better comes first.
    fn alike(&self, i: usize) -> ([usize; 4], Reverse<bool>) {
        let (asn, region, class, country) = likeness(&self.fleet[i]);
        let known = asn.is_some();
        let of = |count: Option<&usize>| count.copied().unwrap_or(0);
        let counts = [
            of(self.asns.get(&asn)),
            of(self.regions.get(&region)),
            of(self.classes.get(&class)),
            of(self.countries.get(&country)),
        ];
        (counts, Reverse(known))
    }

    fn enter(&mut self, i: usize) {
        let (asn, region, class, country) = likeness(&self.fleet[i]);
        *self.asns.entry(asn).or_default() += 1;
        *self.regions.entry(region).or_default() += 1;
        *self.classes.entry(class).or_default() += 1;
        *self.countries.entry(country).or_default() += 1;
        self.order.push(i);
    }
}

fn likeness(vantage: &Vantage) -> Likeness {
    (
        vantage.asn,
        vantage.region.clone(),
        vantage.class,
        vantage.country.clone(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vantage(name: &str, region: &str, asn: u32, class: VantageClass, address: &str) -> Vantage {
        Vantage {
            region: Some(region.into()),
            country: Some("DE".into()),
            asn: Some(asn),
            class: Some(class),
            public_address: Some(address.parse().unwrap()),
            ..Vantage::named(name.parse().unwrap())
        }
    }

    fn fleet() -> Vec<Vantage> {
        use VantageClass::{Datacenter, Residential};
        vec![
            vantage("sibling", "eu", 64500, Residential, "203.0.113.9"),
            vantage("fra1", "eu", 24940, Datacenter, "198.51.100.1"),
            vantage("fra2", "eu", 24940, Datacenter, "198.51.100.2"),
            vantage("fra3", "eu", 24940, Datacenter, "198.51.100.3"),
            vantage("nyc1", "us", 14061, Datacenter, "192.0.2.1"),
            vantage("home", "asia", 9506, Residential, "192.0.2.129"),
        ]
    }

    fn names(vantages: &[Vantage]) -> Vec<&str> {
        vantages.iter().map(|v| v.id.as_str()).collect()
    }

    fn picked(from: &[&str], caller: Option<&Vantage>) -> Result<String, NotPicked> {
        let selectors: Vec<Selector> = from.iter().map(|text| text.parse().unwrap()).collect();
        pick(&fleet(), caller, &selectors, limits::VANTAGES).map(|picked| names(&picked).join(" "))
    }

    #[test]
    fn selectors_choose_and_numbers_choose_the_most_different() {
        for (from, expected) in [
            (&["eu"][..], "fra1 fra2 fra3 sibling"),
            (&["eu@2"], "fra1 sibling"),
            (&["datacenter@2"], "fra1 nyc1"),
            (&["probe:fra3", "us"], "fra3 nyc1"),
            (&["probe:fra3,us"], "fra3 nyc1"),
            (&["eu@1", "eu@1"], "fra1"),
            (&["probe:none,us"], "nyc1"),
            (&[], "fra1 fra2 fra3 home nyc1 sibling"),
        ] {
            assert_eq!(picked(from, None).as_deref(), Ok(expected), "{from:?}");
        }
        assert_eq!(
            picked(&["mobile"], None),
            Err(NotPicked::NobodyFits("mobile".into()))
        );
    }

    #[test]
    fn a_token_may_allow_fewer_and_they_are_as_diverse_as_they_can_be() {
        let two = pick(&fleet(), None, &[], 2).unwrap();
        assert_eq!(names(&two), ["fra1", "home"]);
        let europe = ["eu".parse().unwrap()];
        assert_eq!(pick(&fleet(), None, &europe, 2).unwrap().len(), 2);
        let three = ["eu@3".parse().unwrap()];
        assert_eq!(
            pick(&fleet(), None, &three, 2).unwrap_err().to_string(),
            "3 vantages are asked for, and a check with this token has 2 at most"
        );
    }

    #[test]
    fn vantages_of_the_callers_network_come_first() {
        let caller = locate("203.0.113.7".parse().ok(), &fleet(), &Place::default());
        assert_eq!(caller.asn, Some(64500), "the neighbour's AS");
        assert_eq!(
            caller.class, None,
            "a neighbour may be another kind of line"
        );
        assert_eq!(picked(&["eu@1"], Some(&caller)).as_deref(), Ok("sibling"));
        assert_eq!(
            picked(&["us@1"], Some(&caller)).as_deref(),
            Ok("nyc1"),
            "who is asked for counts"
        );
        let stranger = locate("203.0.114.7".parse().ok(), &fleet(), &Place::default());
        assert_eq!(stranger.asn, None);
        assert_eq!(picked(&["eu@1"], Some(&stranger)).as_deref(), Ok("fra1"));

        let located = Place {
            asn: Some(9506),
            country: Some("SG".into()),
            class: Some(VantageClass::Residential),
            ..Place::default()
        };
        let known = locate("203.0.114.7".parse().ok(), &fleet(), &located);
        assert_eq!(
            (known.asn, known.class),
            (Some(9506), Some(VantageClass::Residential))
        );
        assert_eq!(
            picked(&["residential@1"], Some(&known)).as_deref(),
            Ok("home")
        );
        let beside = locate("203.0.113.7".parse().ok(), &fleet(), &located);
        assert_eq!(
            (beside.asn, beside.country.as_deref()),
            (Some(64500), Some("DE")),
            "an operator's word about a neighbour wins over a database's"
        );
        assert_eq!(beside.class, Some(VantageClass::Residential));
    }

    #[test]
    fn a_large_fleet_gives_sixteen_of_many_networks_and_a_few_siblings() {
        let fleet: Vec<Vantage> = (0..400)
            .map(|i| {
                let class = VantageClass::ALL[i as usize % 3];
                vantage(
                    &format!("p{i:03}"),
                    ["eu", "us", "asia"][i as usize % 3],
                    64500 + i % 40,
                    class,
                    "192.0.2.1",
                )
            })
            .collect();
        let caller = Vantage {
            asn: Some(64507),
            ..Vantage::named(VantageName::you())
        };
        let picked = pick(&fleet, Some(&caller), &[], limits::VANTAGES).unwrap();
        assert_eq!(picked.len(), DEFAULT);
        assert_eq!(
            picked.iter().filter(|v| v.asn == Some(64507)).count(),
            SIBLINGS
        );
        let networks: std::collections::BTreeSet<_> = picked.iter().map(|v| v.asn).collect();
        assert_eq!(networks.len(), DEFAULT - SIBLINGS + 1);
    }

    fn any_fleet() -> impl Strategy<Value = Vec<Vantage>> {
        let one = (0..6u32, 0..4usize, 0..3usize, any::<u8>());
        prop::collection::vec(one, 0..90).prop_map(|list| {
            let make =
                |(i, (asn, region, class, host)): (usize, (u32, usize, usize, u8))| Vantage {
                    region: (region > 0).then(|| format!("r{region}")),
                    asn: (asn > 0).then_some(asn),
                    class: Some(VantageClass::ALL[class]),
                    public_address: Some([192, 0, 2, host].into()),
                    ..Vantage::named(format!("p{i}").parse().unwrap())
                };
            list.into_iter().enumerate().map(make).collect()
        })
    }

    proptest! {
        /// The order in which probes happen to attach changes nothing; nobody is picked twice; the number is kept; every
        /// AS is heard before one is heard twice.
        #[test]
        fn picking_is_deterministic_bounded_and_diverse(fleet in any_fleet(), turn in any::<prop::sample::Index>()) {
            let picked = pick(&fleet, None, &[], limits::VANTAGES).unwrap();
            let mut turned = fleet.clone();
            if !turned.is_empty() {
                turned.rotate_left(turn.index(fleet.len()));
                turned.reverse();
            }
            prop_assert_eq!(&pick(&turned, None, &[], limits::VANTAGES).unwrap(), &picked);
            prop_assert_eq!(picked.len(), fleet.len().min(DEFAULT));
            let unique: std::collections::BTreeSet<_> = picked.iter().map(|v| &v.id).collect();
            prop_assert_eq!(unique.len(), picked.len());
            let count = |list: &[Vantage]| {
                list.iter().map(|v| v.asn).collect::<std::collections::BTreeSet<_>>().len()
            };
            prop_assert_eq!(count(&picked), count(&fleet).min(DEFAULT));
        }

        #[test]
        fn a_sibling_is_always_among_them(fleet in any_fleet(), asn in 1..6u32) {
            let caller = Vantage { asn: Some(asn), ..Vantage::named(VantageName::you()) };
            let picked = pick(&fleet, Some(&caller), &[], limits::VANTAGES).unwrap();
            let has = |list: &[Vantage]| list.iter().any(|v| v.same_network(&caller));
            prop_assert_eq!(has(&picked), has(&fleet));
        }
    }
}
