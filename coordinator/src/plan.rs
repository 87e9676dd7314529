//! Which vantages are asked. Pure and deterministic: the same fleet and question give the same vantages, in whatever order
//! they come.
//!
//! Without a selector the most different vantages are taken: first those of an AS that has been taken least, then by
//! region, class and country. Vantages of the caller's own network come before all others, because only they can tell a
//! ban of one address from a ban of its network; more than a few of them tell nothing new.
#![deny(clippy::disallowed_methods)]

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use onlyhere_proto::{Selector, Vantage, VantageClass, VantageName, limits};

/// Vantages of a check that asks for no number.
pub const DEFAULT: usize = 16;
/// Vantages of the caller's own network at most, unless a selector asks for more.
const SIBLINGS: usize = 4;

/// A selector that nobody who is attached fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no vantage that is attached now fits `{0}`; `onlyhere vantages` lists those that are")]
pub struct NobodyFits(pub String);

/// Picks vantages out of `fleet` for a caller.
pub fn pick(
    fleet: &[Vantage],
    caller: Option<&Vantage>,
    selectors: &[Selector],
) -> Result<Vec<Vantage>, NobodyFits> {
    let mut fleet = fleet.to_vec();
    fleet.sort_by(|a, b| a.id.cmp(&b.id));
    let mut picked = Picked::new(&fleet, caller);
    if selectors.is_empty() {
        let all: Vec<usize> = (0..fleet.len()).collect();
        picked.take(&all, DEFAULT, SIBLINGS);
    }
    for selector in selectors {
        if !fleet.iter().any(|vantage| selector.matches(vantage)) {
            return Err(NobodyFits(selector.to_string()));
        }
        for (wanted, fitting) in selector.alternatives(&fleet) {
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
/// its AS, country and region. Without such a neighbour they are unknown.
pub fn locate(address: Option<IpAddr>, fleet: &[Vantage]) -> Vantage {
    let you = Vantage {
        public_address: address,
        ..Vantage::named(VantageName::you())
    };
    let neighbours = fleet
        .iter()
        .filter(|vantage| vantage.asn.is_some() && you.same_network(vantage));
    match neighbours.min_by(|a, b| a.id.cmp(&b.id)) {
        Some(neighbour) => Vantage {
            asn: neighbour.asn,
            country: neighbour.country.clone(),
            region: neighbour.region.clone(),
            ..you
        },
        None => you,
    }
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
    order: Vec<usize>,
    asns: BTreeMap<Option<u32>, usize>,
    regions: BTreeMap<Option<String>, usize>,
    classes: BTreeMap<Option<VantageClass>, usize>,
    countries: BTreeMap<Option<String>, usize>,
}

impl<'a> Picked<'a> {
    fn new(fleet: &'a [Vantage], caller: Option<&'a Vantage>) -> Self {
        Self {
            fleet,
            caller,
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
        let room = limits::VANTAGES.saturating_sub(self.order.len());
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
