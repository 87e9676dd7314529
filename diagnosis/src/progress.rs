//! What is under way: which requests were sent, what came back, and whose word on the target is already in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{
    CheckRequest, Facts, Host, Observation, Outcome, Purpose, ResolverKind, Stage, limits,
};

use crate::digest::{Observations, Requests};

/// A third SYN and the way, microseconds.
const LONG: u64 = 2_000_000;

/// Requests and observations of one check.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Everything that was asked.
    pub(crate) requests: Requests,
    /// Everything that was seen.
    pub(crate) observations: Observations,
    /// Requests of which more may come.
    pub(crate) pending: BTreeSet<(usize, u32)>,
    next_request: BTreeMap<usize, u32>,
}

impl Progress {
    /// The next request number of a vantage, from 1.
    pub(crate) fn number(&mut self, vantage: usize) -> u32 {
        let next = self.next_request.entry(vantage).or_insert(0);
        *next += 1;
        *next
    }

    /// Notes a request as sent.
    pub(crate) fn sent(&mut self, vantage: usize, request: CheckRequest) {
        self.pending.insert((vantage, request.request));
        self.requests.insert((vantage, request.request), request);
    }

    /// Takes an observation if it answers a request that was sent; says whether it was taken. One that "done" has
    /// overtaken on the way is as good as any.
    ///
    /// The same number twice is one observation. Should a vantage contradict itself, the same of the two is kept
    /// whichever came first.
    pub(crate) fn take(&mut self, vantage: usize, observation: Observation) -> bool {
        let key = (vantage, observation.request);
        let Some(asked) = self.requests.get(&key) else {
            return false;
        };
        let answers = asked.purpose == observation.purpose
            && asked.check == observation.check
            && observation.sequence < limits::OBSERVATIONS_PER_REQUEST as u32
            && (asked.purpose != Purpose::OtherPort
                || observation.port.is_none()
                || observation.port == asked.target.port);
        if !answers {
            return false;
        }
        let place = (vantage, observation.request, observation.sequence);
        match self.observations.get(&place) {
            Some(known) if *known == observation => false,
            Some(known) if format!("{known:?}") <= format!("{observation:?}") => false,
            _ => {
                self.observations.insert(place, observation);
                true
            }
        }
    }

    /// No more will come of this request; says whether that is news.
    pub(crate) fn done(&mut self, vantage: usize, request: u32) -> bool {
        self.pending.remove(&(vantage, request))
    }

    /// No more will come of this vantage; says whether that is news.
    pub(crate) fn lost(&mut self, vantage: usize) -> bool {
        let before = self.pending.len();
        self.pending.retain(|(v, _)| *v != vantage);
        before != self.pending.len()
    }

    /// What is under way for these purposes.
    pub(crate) fn waiting(
        &self,
        purposes: impl Fn(Purpose) -> bool,
    ) -> impl Iterator<Item = (usize, &CheckRequest)> {
        self.pending
            .iter()
            .filter_map(|key| Some((key.0, self.requests.get(key)?)))
            .filter(move |(_, request)| purposes(request.purpose))
    }

    /// Whether everything that a request can say of the target is in, echo requests apart.
    pub(crate) fn is_in(&self, vantage: usize, request: u32) -> bool {
        if !self.pending.contains(&(vantage, request)) {
            return true;
        }
        let Some(asked) = self.requests.get(&(vantage, request)) else {
            return true;
        };
        // What is told by the whole of several tries is not in before the last of them.
        let whole = matches!(
            asked.purpose,
            Purpose::Ladder | Purpose::ThroughProxy | Purpose::Resolver | Purpose::BlockList
        );
        if whole || asked.depth == Stage::Icmp || asked.depth == Stage::Dns {
            return false;
        }
        let own: Vec<&Observation> = self.of_request(vantage, request).collect();
        let addresses: BTreeSet<IpAddr> = if !asked.addresses.is_empty() {
            asked.addresses.iter().copied().collect()
        } else if let Host::Address(ip) = asked.target.host {
            [ip].into()
        } else {
            match resolved(&own) {
                Some(addresses) => addresses,
                None => return false,
            }
        };
        !addresses.is_empty()
            && addresses
                .iter()
                .all(|ip| is_final(&own, *ip, asked.depth, asked.target.is_tls()))
    }

    /// Whether an echo was answered, or nothing was to be echoed.
    pub(crate) fn echo_is_in(&self, vantage: usize, request: u32) -> bool {
        let pending = self.pending.contains(&(vantage, request));
        let asked = self
            .requests
            .get(&(vantage, request))
            .is_some_and(|r| r.ping);
        !pending
            || !asked
            || self
                .of_request(vantage, request)
                .any(|o| o.stage == Stage::Icmp)
    }

    fn of_request(&self, vantage: usize, request: u32) -> impl Iterator<Item = &Observation> {
        self.observations
            .range((vantage, request, 0)..=(vantage, request, u32::MAX))
            .map(|(_, o)| o)
    }

    /// Whether anything of a request took a whole attempt's time, or most of it.
    pub(crate) fn took_long(&self, vantage: usize, request: u32) -> bool {
        self.of_request(vantage, request)
            .any(|o| o.outcome == Outcome::Timeout || o.elapsed_ms.0 >= LONG)
    }
}

/// The addresses found, once both record types have been answered for by the system's resolver.
fn resolved(own: &[&Observation]) -> Option<BTreeSet<IpAddr>> {
    let mut types = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for observation in own.iter().filter(|o| o.stage == Stage::Dns) {
        let Some(Facts::Dns(facts)) = &observation.facts else {
            continue;
        };
        if facts.kind == ResolverKind::System {
            types.insert(facts.record_type);
        }
        addresses.extend(facts.answers.iter().map(|a| a.address));
    }
    (types.len() == 2).then_some(addresses)
}

fn is_final(own: &[&Observation], ip: IpAddr, depth: Stage, is_tls: bool) -> bool {
    let mut reached = None;
    for observation in own
        .iter()
        .filter(|o| o.address == Some(ip) && o.stage != Stage::Icmp)
    {
        if observation.outcome != Outcome::Ok {
            return true;
        }
        // A redirect is followed; where it leads is only known when the request is done.
        let leads_on =
            matches!(&observation.facts, Some(Facts::Http(http)) if http.location.is_some());
        if leads_on {
            return false;
        }
        reached = reached.max(Some(observation.stage));
    }
    let last = if depth == Stage::Tls && !is_tls {
        Stage::Tcp
    } else {
        depth
    };
    reached >= Some(last)
}
