//! What is told of what was seen: observations, numbered, without what is nobody's business.

use std::{net::IpAddr, sync::atomic::Ordering};

use onlyhere_proto::{
    CheckRequest, DnsAnswer, Facts, Family, Host, Micros, Observation, Outcome, Purpose, Stage,
    Target, Timestamp, VantageName, limits, limits::plain_text,
};

use crate::{
    guard,
    probe::{Attempt, Seen},
    visit::{Visit, now},
};

impl Visit<'_> {
    /// What could not even be attempted.
    pub(crate) async fn say_of(
        &self,
        target: &Target,
        stage: Stage,
        address: Option<IpAddr>,
        seen: Seen,
    ) {
        let mut observation = self.blank(target, stage, now(), seen);
        observation.address = address;
        observation.family = observation.family.or(address.map(Family::of));
        observation.port = target
            .port
            .filter(|_| matches!(stage, Stage::Tcp | Stage::Tls | Stage::Http));
        self.send(observation).await;
    }

    pub(crate) async fn say(
        &self,
        stage: Stage,
        attempt: &Attempt<'_>,
        at: Timestamp,
        seen: Seen,
    ) -> Option<Observation> {
        let mut observation = self.blank(attempt.target, stage, at, seen);
        if let Some(question) = attempt.question {
            observation.family = Some(question.record_type.family());
        } else {
            observation.address = Some(attempt.to.ip());
            observation.family = Some(Family::of(attempt.to.ip()));
            observation.port = Some(attempt.to.port()).filter(|port| *port > 0);
        }
        self.send(observation).await
    }

    fn blank(&self, target: &Target, stage: Stage, at: Timestamp, seen: Seen) -> Observation {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        Observation {
            sequence,
            host: target.host.to_string(),
            ..observation(&self.vantage, self.request, stage, at, seen)
        }
    }

    /// Gives back what was seen, of which some may not be told.
    async fn send(&self, observation: Observation) -> Option<Observation> {
        self.recording
            .came_to(observation.stage, observation.outcome);
        if observation.sequence as usize >= limits::OBSERVATIONS_PER_REQUEST {
            return None;
        }
        // An error means that nobody reads any more; the run ends by that on its own.
        let told = self.without_hidden_answers(observation.clone());
        self.sink.send(told).await.ok()?;
        Some(observation)
    }

    /// How the network around this vantage is built is nobody's business: of a name that leads into it, no more is told
    /// than to what kind of address.
    fn without_hidden_answers(&self, mut observation: Observation) -> Observation {
        let Some(Facts::Dns(facts)) = &mut observation.facts else {
            return observation;
        };
        // A block list answers with codes in the form of loopback addresses (RFC 5782, 2.1).
        let is_code = |answer: &DnsAnswer| {
            self.request.purpose == Purpose::BlockList
                && matches!(answer.address, IpAddr::V4(code) if code.is_loopback())
        };
        let hides = |answer: &DnsAnswer| {
            let kind = self.guard().hides(answer.address);
            kind.filter(|_| !is_code(answer))
        };
        let kind = facts.answers.iter().find_map(hides);
        facts.answers.retain(|answer| hides(answer).is_none());
        if facts.answers.is_empty() && !self.guard().is_open() {
            // Aliases may be names of that network: they are told only with a public address at their end.
            facts.cname_chain.clear();
        }
        let Some(kind) = kind else {
            return observation;
        };
        let host = Host::Name(observation.host.clone());
        observation.detail = Some(guard::hidden(&host, kind));
        if facts.answers.is_empty() {
            observation.outcome = Outcome::NotMeasured;
        }
        observation
    }
}

/// What a vantage answers that cannot take a request on.
pub(crate) fn declined(vantage: &VantageName, request: &CheckRequest, why: &str) -> Observation {
    let stage = match declined_stage(request) {
        Stage::Tcp if matches!(request.target.host, Host::Name(_)) => Stage::Dns,
        stage => stage,
    };
    observation(vantage, request, stage, now(), Seen::not_measured(why))
}

/// The first stage that a request would have come to, had its name been known.
pub(crate) fn declined_stage(request: &CheckRequest) -> Stage {
    match request.depth {
        stage @ (Stage::Icmp | Stage::Dns) => stage,
        _ => Stage::Tcp,
    }
}

/// An observation without address.
fn observation(
    vantage: &VantageName,
    request: &CheckRequest,
    stage: Stage,
    started_at: Timestamp,
    seen: Seen,
) -> Observation {
    Observation {
        check: request.check.clone(),
        request: request.request,
        sequence: 0,
        vantage: vantage.clone(),
        purpose: request.purpose,
        stage,
        host: request.target.host.to_string(),
        source: seen.source,
        address: None,
        port: None,
        family: match &seen.facts {
            Some(Facts::Dns(dns)) => Some(dns.record_type.family()),
            _ => None,
        },
        started_at,
        elapsed_ms: Micros::from(seen.elapsed),
        slot: request.slot,
        outcome: seen.outcome,
        said_by: seen.said_by,
        detail: seen.detail.map(|detail| plain_text(&detail, limits::TEXT)),
        facts: seen.facts,
    }
}
