//! The observations that a vantage makes of what it is asked.

use super::*;

/// What a vantage sees of one request, under way.
pub(super) struct Answer<'a> {
    pub(super) ask: &'a Ask,
    pub(super) at: f64,
    pub(super) all: Vec<(f64, Observation)>,
}

impl Answer<'_> {
    pub(super) fn base(
        &self,
        start: f64,
        took: f64,
        stage: Stage,
        outcome: Outcome,
    ) -> Observation {
        let request = &self.ask.request;
        let source: IpAddr = match self.ask.vantage.as_str() {
            "you" => ip(CALLER),
            "sibling" => ip("198.18.3.21"),
            "fra" => ip("198.18.4.10"),
            "ams" => ip("198.18.5.10"),
            "nyc" => ip("198.18.6.10"),
            "sgp" => ip("198.18.7.10"),
            _ => ip("198.18.8.10"),
        };
        Observation {
            check: request.check.clone(),
            request: request.request,
            sequence: self.all.len() as u32,
            vantage: self.ask.vantage.clone(),
            purpose: request.purpose,
            stage,
            host: request.target.host.to_string(),
            source: Some(source),
            address: None,
            port: None,
            family: None,
            started_at: Timestamp(1_767_225_600_000_000 + micros(start) as i64),
            elapsed_ms: Micros(micros(took)),
            slot: request.slot,
            outcome,
            said_by: None,
            detail: None,
            facts: None,
        }
    }

    pub(super) fn dns(
        &mut self,
        took: f64,
        resolver: Option<IpAddr>,
        kind: ResolverKind,
        said: &Name,
    ) {
        for record_type in [RecordType::A, RecordType::Aaaa] {
            let answers: Vec<DnsAnswer> = match said {
                Name::Is(list) => list
                    .iter()
                    .filter(|a| Family::of(**a) == record_type.family())
                    .map(|a| DnsAnswer {
                        address: *a,
                        ttl_s: 60,
                    })
                    .collect(),
                _ => Vec::new(),
            };
            let outcome = match said {
                Name::Is(_) if answers.is_empty() => Outcome::NoAnswer,
                Name::Is(_) => Outcome::Ok,
                Name::Missing => Outcome::Nxdomain,
                Name::Failed => Outcome::Servfail,
                Name::Silent => Outcome::Timeout,
            };
            let facts = Facts::Dns(DnsFacts {
                resolver,
                kind,
                record_type,
                rcode: None,
                answers,
                cname_chain: Vec::new(),
            });
            let mut observation = self.base(self.at, took, Stage::Dns, outcome);
            observation.family = Some(record_type.family());
            observation.facts = Some(facts);
            self.all.push((self.at + took, observation));
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "an observation has this many sides"
    )]
    pub(super) fn stage(
        &mut self,
        start: f64,
        took: f64,
        stage: Stage,
        outcome: Outcome,
        attempt: Try<'_>,
        said_by: Option<SaidBy>,
        facts: Option<Facts>,
    ) {
        let mut observation = self.base(start, took, stage, outcome);
        observation.address = Some(attempt.address);
        observation.family = Some(Family::of(attempt.address));
        observation.port = (attempt.port > 0).then_some(attempt.port);
        observation.said_by = said_by;
        observation.facts = facts;
        if attempt.address.is_ipv6() {
            observation.source = Some(ip("2001:db8:3:101::10")).filter(|_| attempt.by("you"));
        }
        self.all.push((start + took, observation));
    }
}

/// The site's own, or somebody else's.
pub(super) fn certificate(own: bool) -> Certificate {
    Certificate {
        sha256: if own { "aa" } else { "bb" }.repeat(32),
        subject: "CN=shop.example".into(),
        names: vec!["shop.example".into()],
        issuer: if own { "CN=Authority" } else { "CN=Shield" }.into(),
        not_before: Timestamp(0),
        not_after: Timestamp(4_000_000_000_000_000),
    }
}

pub(super) fn micros(ms: f64) -> u64 {
    (ms * 1_000.0) as u64
}

pub(super) fn icmp_outcome(kind: u8, code: u8) -> Outcome {
    match (kind, code) {
        (3, 3) | (1, 4) => Outcome::Refused,
        (3, 9 | 10 | 13) | (1, 1) => Outcome::Denied,
        _ => Outcome::Unreachable,
    }
}
