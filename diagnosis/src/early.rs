//! The early stop: may the verdict be given before the last vantages have answered?

use std::collections::{BTreeMap, BTreeSet};

use onlyhere_proto::Stage;

use crate::case::Case;
use crate::digest::{Attempt, Digest};
use crate::posterior::Posterior;
use crate::resolution::Resolution;
use crate::sign::{Kind, Origin, Sign};
use crate::verdict;

/// Whether the scope that is reported stays what it is (which takes 0.8 or more) when all stragglers turn out to
/// succeed, to be silent or to be refused, and when those of any one AS turn out silent and the others succeed.
pub(crate) fn stands_whatever_comes(
    case: &Case,
    digest: &Digest,
    posterior: &Posterior,
    stragglers: &BTreeSet<usize>,
) -> bool {
    let scope = verdict::decide(case, digest, posterior).scope;
    let all = [Kind::Ok, Kind::Timeout, Kind::Rst]
        .into_iter()
        .map(|kind| with(digest, stragglers, kind));
    let mut networks: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for index in stragglers {
        if let Some(asn) = case.vantages[*index].asn {
            networks.entry(asn).or_default().insert(*index);
        }
    }
    // One vantage's silence lies between all of them silent and none.
    let silent = networks.values().filter(|m| m.len() > 1).map(|members| {
        let rest = stragglers.difference(members).copied().collect();
        with(&with(digest, members, Kind::Timeout), &rest, Kind::Ok)
    });
    all.chain(silent).all(|digest| {
        let posterior = Posterior::new(case, &digest);
        verdict::decide(case, &digest, &posterior).scope == scope
    })
}

/// The digest as it would be if these vantages saw nothing but this at every address they have not tried yet.
fn with(digest: &Digest, vantages: &BTreeSet<usize>, kind: Kind) -> Digest {
    let mut digest = digest.clone();
    let count = digest.addresses.len();
    for vantage in vantages {
        let seen = &mut digest.vantages[*vantage];
        let tried: BTreeSet<usize> = seen.attempts.iter().map(|a| a.address).collect();
        if seen.resolution.is_none() {
            let silent = kind == Kind::Timeout && count == 0;
            let resolution = if silent {
                Resolution::Silent
            } else {
                Resolution::Answer
            };
            seen.resolution = Some(resolution);
            seen.resolutions.push(resolution);
        }
        for address in (0..count).filter(|a| !tried.contains(a)) {
            seen.attempts.push(Attempt {
                address,
                slot: 0,
                depth: Stage::Http,
                sign: Sign {
                    kind,
                    origin: Origin::Unknown,
                },
                elapsed: 0,
                connect: None,
                icmp: None,
                status: None,
                certificate: None,
                issuer: None,
                slow: false,
                shook_hands: false,
            });
        }
    }
    digest
}
