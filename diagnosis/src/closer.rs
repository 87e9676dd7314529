//! A closer look: the ladder, the zone's own servers, small segments, other source addresses. Each is asked where the
//! answer would tell hypotheses apart that are still in play.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use onlyhere_proto::{Host, Layer, Purpose, Stage, Target, Way};

use crate::case::Case;
use crate::digest::Digest;
use crate::follow_up::witnesses;
use crate::plan::{Planned, Situation};
use crate::resolution::Resolution;
use crate::sign::{Kind, Origin};
use crate::value::{ladder_value, small_segments_value, source_value};

/// Costs, in the unit of "one DNS question".
const COST_LADDER: f64 = 2.0;
const COST_ATTEMPT: f64 = 2.0;
/// Worth less than this: not asked.
const WORTH_ASKING: f64 = 0.02;
/// Rungs of a ladder: as far as most hosts are.
const HOPS: u8 = 16;
/// Segments that come through wherever anything does (RFC 9293, 3.7.1).
const SMALL_SEGMENT: u16 = 536;
/// DNS block lists asked at most.
const BLOCK_LISTS: usize = 4;

/// What the subject alone is asked at first beside the target: what its proxy says, what lies past its tunnel, what
/// block lists say of its address.
pub(crate) fn own_ways(case: &Case, subject: usize) -> Vec<Planned> {
    let base = |purpose: Purpose, target: Target, way: Way| Planned {
        vantage: subject,
        purpose,
        depth: target.depth(),
        target,
        addresses: Vec::new(),
        ping: false,
        slot: 0,
        delay: Duration::ZERO,
        way,
    };
    let local = &case.subject.local;
    let mut asks = Vec::new();
    let page = matches!(case.target.layer, Layer::Https | Layer::Http);
    if let Some(proxy) = local
        .proxies
        .iter()
        .find_map(|p| address_of_proxy(p))
        .filter(|_| page)
    {
        let through = Way {
            proxy: Some(proxy),
            ..Way::default()
        };
        let targets = [Some(&case.target), case.conditions.controls.first()];
        for target in targets.into_iter().flatten() {
            asks.push(base(Purpose::ThroughProxy, target.clone(), through.clone()));
        }
    }
    if let (Some(_), Some(device)) = (&local.tunnel, &local.way_out) {
        let past = Way {
            interface: Some(device.clone()),
            ..Way::default()
        };
        asks.push(base(Purpose::Direct, case.target.clone(), past));
    }
    if let Some(IpAddr::V4(own)) = case.subject.public_address {
        let [a, b, c, d] = own.octets();
        for zone in case.conditions.block_lists.iter().take(BLOCK_LISTS) {
            if let Ok(target) = Target::parse(&format!("dns://{d}.{c}.{b}.{a}.{zone}?type=A")) {
                asks.push(base(Purpose::BlockList, target, Way::default()));
            }
        }
    }
    asks
}

/// `NAME=URL` as `http://HOST:PORT`; none for what is no HTTP proxy.
fn address_of_proxy(setting: &str) -> Option<String> {
    let (_, url) = setting.split_once('=')?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let usable = scheme.eq_ignore_ascii_case("http") && !authority.is_empty();
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    usable.then(|| match has_port {
        true => format!("http://{authority}"),
        false => format!("http://{authority}:80"),
    })
}

/// How far do packets come? For the subject where it meets silence or a reset that nobody can place, and for somebody who
/// gets through: the routers before the target are the same for all.
pub(crate) fn ladders(s: Situation<'_>) -> Vec<Planned> {
    let Some(subject) = s.case.subject_index().filter(|v| s.present.contains(v)) else {
        return Vec::new();
    };
    let own = &s.digest.vantages[subject];
    let lost = own.attempts.iter().find(|a| {
        let vague = matches!(
            a.sign.origin,
            Origin::Unknown | Origin::PerhapsClose | Origin::PerhapsFar
        );
        a.sign.kind == Kind::Timeout || (a.sign.kind == Kind::Rst && vague)
    });
    let Some(address) = lost.map(|a| a.address) else {
        return Vec::new();
    };
    let ip = s.digest.addresses[address].ip;
    let asked = |vantage: usize| s.asked.contains(&(vantage, Purpose::Ladder, Some(ip)));
    let value = ladder_value(s, subject) / COST_LADDER.sqrt();
    if asked(subject) || value < WORTH_ASKING {
        return Vec::new();
    }
    let reaches = |v: usize| {
        let seen = &s.digest.vantages[v];
        seen.attempts
            .iter()
            .any(|a| a.address == address && a.is_ok())
    };
    let witness = witnesses(s, reaches).into_iter().find(|v| !asked(*v));
    [Some(subject), witness]
        .into_iter()
        .flatten()
        .map(|vantage| Planned {
            way: Way {
                hops: Some(HOPS),
                ..Way::default()
            },
            depth: Stage::Tcp,
            ..at(s, vantage, Purpose::Ladder, vec![ip])
        })
        .collect()
}

/// Where a connection opens and then nothing comes: does it come in small pieces?
pub(crate) fn small_segments(s: Situation<'_>) -> Option<Planned> {
    let subject = s.case.subject_index().filter(|v| s.present.contains(v))?;
    let stalled = s.digest.vantages[subject]
        .attempts
        .iter()
        .find(|a| a.sign.kind == Kind::Stalled)?;
    let ip = s.digest.addresses[stalled.address].ip;
    let asked = s
        .asked
        .contains(&(subject, Purpose::SmallSegments, Some(ip)));
    let value = small_segments_value(s, subject) / COST_ATTEMPT.sqrt();
    (!asked && value >= WORTH_ASKING && s.case.target.is_tls()).then(|| Planned {
        way: Way {
            max_segment: Some(SMALL_SEGMENT),
            ..Way::default()
        },
        depth: Stage::Tls,
        ..at(s, subject, Purpose::SmallSegments, vec![ip])
    })
}

/// From another address of the same machine: a ban holds for one of them.
pub(crate) fn other_sources(s: Situation<'_>) -> Vec<Planned> {
    let subject = s.case.subject_index();
    let mut asks = Vec::new();
    for vantage in s.present.iter().copied() {
        let seen = &s.digest.vantages[vantage];
        let is_subject = Some(vantage) == subject;
        let Some(failed) = seen.attempts.iter().find(|a| !a.is_ok()) else {
            continue;
        };
        let ip = s.digest.addresses[failed.address].ip;
        let source = s.case.vantages[vantage]
            .source_addresses
            .iter()
            .copied()
            .find(|source| source.is_ipv4() == ip.is_ipv4());
        let asked = s.asked.contains(&(vantage, Purpose::Source, Some(ip)));
        // A remote vantage that stands out alone is looked at; where all fail alike there is nothing to learn.
        let worth = source_value(s, vantage) / COST_ATTEMPT.sqrt() >= WORTH_ASKING;
        if let (Some(source), false, true) = (source, asked, is_subject || worth) {
            asks.push(Planned {
                way: Way {
                    source: Some(source),
                    ..Way::default()
                },
                depth: failed.sign.kind.stage().min(s.case.target.depth()),
                ..at(s, vantage, Purpose::Source, vec![ip])
            });
        }
        if asks.len() >= 2 {
            break;
        }
    }
    asks
}

/// What does the zone itself say? Where the name does not resolve, where resolvers disagree, and where the owner expects
/// something else.
pub(crate) fn zone(s: Situation<'_>) -> Vec<Planned> {
    if !matches!(s.case.target.host, Host::Name(_)) || s.case.private_target().is_some() {
        return Vec::new();
    }
    let subject = s.case.subject_index().filter(|v| s.present.contains(v));
    let troubled = |v: usize| {
        let seen = &s.digest.vantages[v];
        seen.resolution.is_some_and(|r| r != Resolution::Answer) || !seen.odd.is_empty()
    };
    let own_trouble = subject.is_some_and(troubled);
    let all_trouble = s.present.iter().filter(|v| troubled(**v)).count() * 2 > s.present.len();
    let surprise = !s.case.conditions.expected_addresses.is_empty()
        && !s
            .digest
            .addresses
            .iter()
            .any(|a| s.case.conditions.expected_addresses.contains(&a.ip));
    if !(own_trouble || all_trouble || surprise || split(s.digest)) {
        return Vec::new();
    }
    let witness = witnesses(s, |v| {
        let seen = &s.digest.vantages[v];
        all_trouble || seen.resolution == Some(Resolution::Answer)
    });
    let asked = |v: &usize| s.asked.contains(&(*v, Purpose::Resolver, None));
    subject
        .into_iter()
        .chain(witness.into_iter().take(1))
        .filter(|v| !asked(v))
        .map(|vantage| Planned {
            depth: Stage::Dns,
            ..at(s, vantage, Purpose::Resolver, Vec::new())
        })
        .collect()
}

/// Whether some address that fails is given by resolvers that give no other, while others give only others.
fn split(digest: &Digest) -> bool {
    let failing: BTreeSet<usize> = digest
        .vantages
        .iter()
        .flat_map(|v| v.attempts.iter().filter(|a| !a.is_ok()).map(|a| a.address))
        .collect();
    failing.into_iter().any(|failed| {
        let own = &digest.addresses[failed];
        digest.addresses.iter().any(|other| {
            other.ip != own.ip
                && other.family() == own.family()
                && !other.resolved_by.is_empty()
                && !own.resolved_by.is_empty()
                && other.resolved_by.is_disjoint(&own.resolved_by)
        })
    })
}

fn at(s: Situation<'_>, vantage: usize, purpose: Purpose, addresses: Vec<IpAddr>) -> Planned {
    Planned {
        vantage,
        purpose,
        target: s.case.target.clone(),
        addresses,
        depth: s.case.target.depth(),
        ping: false,
        slot: s.slot,
        delay: Duration::ZERO,
        way: Way::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::address_of_proxy;

    #[test]
    fn a_proxy_setting_becomes_an_address_without_credentials() {
        for (setting, address) in [
            (
                "https_proxy=http://10.0.0.1:3128",
                Some("http://10.0.0.1:3128"),
            ),
            (
                "HTTP_PROXY=proxy.example:8080/",
                Some("http://proxy.example:8080"),
            ),
            (
                "http_proxy=http://u:p@proxy.example",
                Some("http://proxy.example:80"),
            ),
            ("http_proxy=http://[::1]:3128", Some("http://[::1]:3128")),
            ("all_proxy=socks5://10.0.0.1:1080", None),
            ("nonsense", None),
        ] {
            assert_eq!(address_of_proxy(setting).as_deref(), address, "{setting}");
        }
    }
}
