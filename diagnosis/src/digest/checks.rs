//! Checks beside the attempts at the target: controls, other ports, the ladder, proxies, block lists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{
    CheckRequest, Facts, Family, Host, Layer, Observation, Outcome, SaidBy, Stage,
};

use super::{Control, ControlFailure, Digest, Ladder, Proxied, Seen};
use crate::case::Case;
use crate::sign::{Kind, Reach, kind_of, reach_of_hop};

impl Digest {
    /// Another port of the host: any answer of its own will do.
    pub(super) fn read_other_port(&self, group: &[&Observation], seen: &mut Seen) {
        for observation in group.iter().filter(|o| o.stage == Stage::Tcp) {
            let (Some(kind), Some(index), Some(port)) = (
                kind_of(observation),
                observation.address.and_then(|ip| self.address_index(ip)),
                observation.port,
            ) else {
                continue;
            };
            let answered = matches!(kind, Kind::Ok | Kind::Rst);
            seen.other_ports.push((index, port, answered, kind));
        }
    }

    /// The rungs of a ladder; where it leads is told when everybody's ladders are known.
    pub(super) fn read_ladder(&self, group: &[&Observation], seen: &mut Seen) {
        let mut ladders: BTreeMap<usize, Ladder> = BTreeMap::new();
        for observation in group.iter().filter(|o| o.stage == Stage::Tcp) {
            let Some(Facts::Tcp(tcp)) = &observation.facts else {
                continue;
            };
            let index = observation.address.and_then(|ip| self.address_index(ip));
            let (Some(hop), Some(address)) = (tcp.hop, index) else {
                continue;
            };
            let ladder = ladders.entry(address).or_insert_with(|| Ladder {
                address,
                rungs: Vec::new(),
                end: None,
                reach: None,
            });
            match (rung(observation), kind_of(observation)) {
                (Some(who), _) => ladder.rungs.push((hop, who)),
                (None, Some(kind)) => {
                    if ladder.end.is_none_or(|(end, _)| hop < end) {
                        ladder.end = Some((hop, kind));
                    }
                }
                (None, None) => {}
            }
        }
        for mut ladder in ladders.into_values() {
            ladder.rungs.sort_unstable();
            ladder.rungs.dedup();
            if !ladder.rungs.is_empty() || ladder.end.is_some() {
                seen.ladders.push(ladder);
            }
        }
    }

    /// Places the end of every ladder. A router that stands right before the target on a ladder that got there is the
    /// target's edge for all.
    pub(super) fn place_ladders(&mut self, case: &Case) {
        let edges: BTreeSet<IpAddr> = self
            .vantages
            .iter()
            .flat_map(|v| &v.ladders)
            .filter_map(|ladder| {
                let (end, _) = ladder
                    .end
                    .filter(|(_, k)| matches!(k, Kind::Ok | Kind::Rst))?;
                let (hop, who) = ladder.last()?;
                (hop + 1 == end && end > 2).then_some(who)
            })
            .collect();
        let addresses: Vec<IpAddr> = self.addresses.iter().map(|a| a.ip).collect();
        for (vantage, seen) in case.vantages.iter().zip(&mut self.vantages) {
            for ladder in &mut seen.ladders {
                let place = |who: IpAddr| {
                    if edges.contains(&who) {
                        return Reach::Edge;
                    }
                    reach_of_hop(who, addresses[ladder.address], vantage.public_address)
                };
                ladder.reach = match (ladder.end, ladder.last()) {
                    // Made by whoever stands behind the last hop that let it pass.
                    (Some((1, Kind::Rst)), _) => Some(Reach::Home),
                    (Some((_, Kind::Rst)), Some((_, who))) if place(who) == Reach::Edge => {
                        Some(Reach::Target)
                    }
                    (Some(_), _) => None,
                    (None, Some((_, who))) => Some(place(who)),
                    (None, None) => Some(Reach::Nowhere),
                };
            }
        }
    }
}

/// Who answered a rung below the end: `None` when this is no such rung, `Some(None)` when it was silent.
fn rung(observation: &Observation) -> Option<Option<IpAddr>> {
    match (observation.outcome, observation.said_by) {
        (Outcome::Timeout, _) => Some(None),
        (_, Some(SaidBy::Icmp { icmp })) => {
            let exceeded = if icmp.from.is_ipv4() { 11 } else { 3 };
            (icmp.icmp_type == exceeded).then_some(Some(icmp.from))
        }
        _ => None,
    }
}

/// An attempt through a proxy: what fails before the target's own stages fails at the proxy.
pub(super) fn read_proxied(
    case: &Case,
    asked: &CheckRequest,
    group: &[&Observation],
    seen: &mut Seen,
) {
    // A proxy's addresses are tried in turn; whatever was said last decides.
    let stages: Vec<&&Observation> = group.iter().filter(|o| kind_of(o).is_some()).collect();
    let Some(deciding) = stages.iter().max_by_key(|o| o.sequence) else {
        return;
    };
    let inside = stages
        .iter()
        .any(|o| o.stage == Stage::Tls && o.sequence <= deciding.sequence);
    let answer_of_proxy = deciding.stage == Stage::Http && !inside && asked.target.is_tls();
    seen.proxied.push(Proxied {
        proxy: asked.way.proxy.clone().unwrap_or_default(),
        control: asked.target.host != case.target.host,
        kind: kind_of(deciding).unwrap_or(Kind::Ok),
        at_proxy: deciding.outcome != Outcome::Ok
            && (deciding.stage == Stage::Tcp || answer_of_proxy),
    });
}

/// Whether a block list has the caller's public address: it answers with 127.0.0.x, or that there is no such name. What
/// lies in 127.255.0.0/16 is the list's own error.
pub(super) fn read_block_list(case: &Case, group: &[&Observation], seen: &mut Seen) {
    for observation in group.iter().filter(|o| o.stage == Stage::Dns) {
        let mut zones = case.conditions.block_lists.iter();
        let Some(zone) = zones.find(|zone| observation.host.ends_with(zone.as_str())) else {
            continue;
        };
        let listed = match (observation.outcome, &observation.facts) {
            (Outcome::Nxdomain, _) => false,
            (Outcome::Ok, Some(Facts::Dns(dns))) => {
                let code = dns.answers.iter().find_map(|a| match a.address {
                    IpAddr::V4(v4) if v4.is_loopback() => Some(v4.octets()),
                    _ => None,
                });
                match code {
                    Some([_, 255, ..]) | None => continue,
                    Some(_) => true,
                }
            }
            _ => continue,
        };
        if !seen.block_lists.iter().any(|(known, _)| known == zone) {
            seen.block_lists.push((zone.clone(), listed));
        }
    }
}

pub(super) fn read_control(asked: &CheckRequest, group: &[&Observation]) -> Control {
    let worked = |family: Family| {
        let mut by_address: BTreeMap<IpAddr, bool> = BTreeMap::new();
        for observation in group {
            if let (Some(ip), Some(kind)) = (observation.address, kind_of(observation))
                && observation.stage != Stage::Icmp
                && Family::of(ip) == family
            {
                *by_address.entry(ip).or_insert(true) &= kind == Kind::Ok;
            }
        }
        (!by_address.is_empty()).then(|| by_address.values().any(|ok| *ok))
    };
    let (v4, v6) = (worked(Family::V4), worked(Family::V6));
    let mut names = group
        .iter()
        .filter(|o| o.stage == Stage::Dns && o.outcome != Outcome::NotMeasured)
        .peekable();
    let unresolved = names.peek().is_some() && names.all(|o| o.outcome != Outcome::Ok);
    let ok = match (v4, v6) {
        (None, None) => unresolved.then_some(false),
        (a, b) => Some(a.unwrap_or(false) || b.unwrap_or(false)),
    };
    let at = || {
        let mut failed = group.iter().filter(|o| o.stage != Stage::Icmp);
        let kind = failed.find_map(|o| kind_of(o).filter(|kind| *kind != Kind::Ok))?;
        Some(ControlFailure::At(kind))
    };
    let failure = match ok {
        Some(false) if (v4, v6) == (None, None) => Some(ControlFailure::Unresolved),
        _ => at(),
    };
    let portal = portal(asked, group);
    // A page asked for in the clear says who answers, and nothing of the way.
    let (ok, v4, v6, failure) = match portal {
        Some(_) => (None, None, None, None),
        None => (ok, v4, v6, failure),
    };
    Control {
        ok,
        v4,
        v6,
        failure,
        literal: matches!(asked.target.host, Host::Address(_)),
        portal,
    }
}

/// Whether a page of a control was answered by somebody who sends the visitor to a page of his own: RFC 6585, 6, or a
/// redirect to another site. None when no page was asked for in the clear.
fn portal(asked: &CheckRequest, group: &[&Observation]) -> Option<bool> {
    if asked.target.layer != Layer::Http {
        return None;
    }
    let own = asked.target.host.to_string();
    group.iter().find_map(|o| match &o.facts {
        Some(Facts::Http(http)) if o.host == own => {
            let elsewhere = http.location.as_deref().is_some_and(|location| {
                let host = location
                    .split_once("://")
                    .map(|(_, rest)| rest.split(['/', ':', '?', '#']).next().unwrap_or_default());
                host.is_some_and(|host| {
                    !host.eq_ignore_ascii_case(&own) && !host.ends_with(&format!(".{own}"))
                })
            });
            Some(elsewhere || http.status == 511)
        }
        _ => None,
    })
}
