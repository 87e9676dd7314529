//! Which addresses count as the target's, and which are somebody's own idea.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{Facts, Host, Observation, Outcome, Purpose, ResolverKind, Stage};

use crate::case::{Case, is_private_address};
use crate::digest::Observations;

/// Which resolver's answer named which address: system resolvers only, the hosts file apart.
pub(crate) fn resolved_addresses(
    case: &Case,
    observations: &Observations,
) -> BTreeMap<IpAddr, BTreeSet<usize>> {
    let mut resolved: BTreeMap<IpAddr, BTreeSet<usize>> = BTreeMap::new();
    if let Host::Address(ip) = case.target.host {
        resolved.insert(ip, (0..case.vantages.len()).collect());
        return resolved;
    }
    for ((index, _, _), observation) in observations {
        if let Some(Facts::Dns(facts)) = &observation.facts
            && is_question_for_target(case, observation)
            && (facts.kind != ResolverKind::HostsFile || case.loopback_target())
        {
            for answer in &facts.answers {
                resolved.entry(answer.address).or_default().insert(*index);
            }
        }
    }
    resolved
}

/// Addresses that count as the target's: those that two vantages' resolvers agree on or somebody else got through to;
/// where no two agree (geo-DNS, or one vantage alone), all of them. So one resolver that lies, and one vantage that
/// lies about its resolver, adds no address to the target.
pub(crate) fn shared_addresses(
    case: &Case,
    resolved: &BTreeMap<IpAddr, BTreeSet<usize>>,
    observations: &Observations,
) -> Vec<IpAddr> {
    let agreed: BTreeSet<IpAddr> = resolved
        .iter()
        .filter(|(_, by)| by.len() >= 2)
        .map(|(ip, _)| *ip)
        .collect();
    if agreed.is_empty() || resolved.len() == agreed.len() {
        let own = case.subject_index();
        return resolved
            .iter()
            .filter(|(ip, by)| !is_private_address(**ip) || own.is_some_and(|s| by.contains(&s)))
            .map(|(ip, _)| *ip)
            .take(onlyhere_proto::limits::ADDRESSES)
            .collect();
    }
    let confirmed = |ip: &IpAddr, by: &BTreeSet<usize>| {
        observations.iter().any(|((index, _, _), o)| {
            o.address == Some(*ip)
                && o.outcome == Outcome::Ok
                && o.stage == case.target.depth()
                && o.purpose == Purpose::Address
                && !by.contains(index)
        })
    };
    resolved
        .iter()
        .filter(|(ip, by)| agreed.contains(ip) || confirmed(ip, by))
        .map(|(ip, _)| *ip)
        .take(onlyhere_proto::limits::ADDRESSES)
        .collect()
}

/// Whether it is a question for the target's own name: not for a control's, nor for one that a redirect leads to.
pub(crate) fn is_question_for_target(case: &Case, observation: &Observation) -> bool {
    observation.stage == Stage::Dns
        && !matches!(observation.purpose, Purpose::Control | Purpose::OtherPort)
        && is_host(&case.target.host, &observation.host)
}

/// Whether a name, as an observation has it, is this host.
pub(crate) fn is_host(host: &Host, name: &str) -> bool {
    match host {
        Host::Name(own) => own == name,
        Host::Address(own) => name.parse() == Ok(*own),
    }
}
