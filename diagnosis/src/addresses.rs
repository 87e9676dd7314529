//! Which addresses count as the target's, and which are somebody's own idea.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{Facts, Host, Observation, Outcome, Purpose, ResolverKind, Stage};

use crate::case::{Case, is_private_address};
use crate::digest::Observations;

/// Who gave which address: the vantage, and whose resolver it had it from. The hosts file is nobody's.
pub(crate) struct Givers {
    by_address: BTreeMap<IpAddr, BTreeSet<(usize, ResolverKind)>>,
}

impl Givers {
    /// Reads all answers to questions for the target's name; an address given by the person is everybody's.
    pub(crate) fn new(case: &Case, observations: &Observations) -> Self {
        let mut by_address: BTreeMap<IpAddr, BTreeSet<_>> = BTreeMap::new();
        if let Host::Address(ip) = case.target.host {
            let everybody = (0..case.vantages.len()).map(|v| (v, ResolverKind::System));
            by_address.insert(ip, everybody.collect());
            return Self { by_address };
        }
        for ((index, _, _), observation) in observations {
            if let Some(Facts::Dns(facts)) = &observation.facts
                && is_question_for_target(case, observation)
                && (facts.kind != ResolverKind::HostsFile || case.loopback_target())
            {
                for answer in &facts.answers {
                    by_address
                        .entry(answer.address)
                        .or_default()
                        .insert((*index, facts.kind));
                }
            }
        }
        Self { by_address }
    }

    /// Vantages whose own resolver gave it.
    pub(crate) fn system(&self, ip: IpAddr) -> BTreeSet<usize> {
        let all = self.by_address.get(&ip).into_iter().flatten();
        all.filter(|(_, kind)| matches!(kind, ResolverKind::System | ResolverKind::HostsFile))
            .map(|(vantage, _)| *vantage)
            .collect()
    }

    /// What the zone's own servers give.
    pub(crate) fn authoritative(&self) -> BTreeSet<IpAddr> {
        self.by_address
            .iter()
            .filter(|(_, by)| by.iter().any(|(_, k)| *k == ResolverKind::Authoritative))
            .map(|(ip, _)| *ip)
            .collect()
    }

    /// How many independent voices gave it: networks, and beside their own resolvers those that were given.
    fn voices(&self, case: &Case, ip: IpAddr) -> usize {
        let Some(by) = self.by_address.get(&ip) else {
            return 0;
        };
        let mut networks: Vec<usize> = Vec::new();
        for vantage in self.system(ip) {
            let known = |other: &usize| case.vantages[*other].same_network(&case.vantages[vantage]);
            // Two voices are enough; beyond that nobody counts.
            if networks.len() < 2 && !networks.iter().any(known) {
                networks.push(vantage);
            }
        }
        let given = |wanted: ResolverKind| by.iter().any(|(_, kind)| *kind == wanted);
        networks.len()
            + usize::from(given(ResolverKind::Configured))
            + 2 * usize::from(given(ResolverKind::Authoritative))
    }
}

/// Addresses that count as the target's: those that two independent voices agree on, the zone's own servers give, or
/// somebody else got through to; where no two agree (geo-DNS, or one vantage alone), all of them. So one resolver that
/// lies, be it to a whole network, and one vantage that lies about its resolver, adds no address to the target.
pub(crate) fn shared_addresses(
    case: &Case,
    givers: &Givers,
    observations: &Observations,
) -> Vec<IpAddr> {
    let voices: BTreeMap<IpAddr, usize> = givers
        .by_address
        .keys()
        .map(|ip| (*ip, givers.voices(case, *ip)))
        .collect();
    let all_alike = voices.values().all(|n| *n >= 2) || voices.values().all(|n| *n < 2);
    if all_alike {
        let own = case.subject_index();
        let is_own = |ip: &IpAddr| own.is_some_and(|s| givers.system(*ip).contains(&s));
        return voices
            .keys()
            .filter(|ip| !is_private_address(**ip) || is_own(ip))
            .copied()
            .take(onlyhere_proto::limits::ADDRESSES)
            .collect();
    }
    let confirmed = |ip: &IpAddr| {
        let by = givers.system(*ip);
        observations.iter().any(|((index, _, _), o)| {
            o.address == Some(*ip)
                && o.outcome == Outcome::Ok
                && o.stage == case.target.depth()
                && o.purpose == Purpose::Address
                && !by.contains(index)
        })
    };
    voices
        .iter()
        .filter(|(ip, n)| **n >= 2 || confirmed(ip))
        .map(|(ip, _)| *ip)
        .take(onlyhere_proto::limits::ADDRESSES)
        .collect()
}

/// Whether the zone's own servers give one vantage different answers to one question.
pub(crate) fn zone_disagrees(case: &Case, observations: &Observations) -> bool {
    let mut answers: BTreeMap<(usize, _), BTreeSet<Vec<IpAddr>>> = BTreeMap::new();
    for ((vantage, _, _), observation) in observations {
        if let Some(Facts::Dns(facts)) = &observation.facts
            && facts.kind == ResolverKind::Authoritative
            && is_question_for_target(case, observation)
            && matches!(
                observation.outcome,
                Outcome::Ok | Outcome::Nxdomain | Outcome::NoAnswer
            )
        {
            let mut given: Vec<IpAddr> = facts.answers.iter().map(|a| a.address).collect();
            given.sort_unstable();
            answers
                .entry((*vantage, facts.record_type))
                .or_default()
                .insert(given);
        }
    }
    answers.values().any(|different| different.len() > 1)
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
