//! Reports to be shown: a fleet of seven, and what each of it saw.

use std::time::Duration;

use onlyhere_proto::{
    Actor, CauseId, CauseReport, DnsFacts, Evidence, Facts, Family, LocalFacts, Mechanism,
    Observation, Outcome, Purpose, REPORT_SCHEMA, RecordType, Report, ResolverKind, Scope, Stage,
    Subject, Target, Timestamp, Vantage, VantageClass, VantageName, VantageReport, Verdict,
};

const CHECK: &str = "01JD0000000000000000000000";
const V4: &str = "203.0.113.80";
const V6: &str = "2001:db8:80::1";

/// What a vantage saw over both families, with the time in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) v4: Option<(Outcome, u64)>,
    pub(crate) v6: Option<(Outcome, u64)>,
}

impl Seen {
    pub(crate) fn both(outcome: Outcome) -> Self {
        let micros = if outcome == Outcome::Timeout {
            3_001_000
        } else {
            31_400
        };
        Self {
            v4: Some((outcome, micros)),
            v6: Some((outcome, micros + 2_000)),
        }
    }

    pub(crate) fn at_once(outcome: Outcome) -> Self {
        Self {
            v4: Some((outcome, 96)),
            v6: Some((outcome, 104)),
        }
    }

    pub(crate) fn dns(outcome: Outcome) -> Self {
        Self {
            v4: Some((outcome, 12_000)),
            v6: Some((outcome, 12_000)),
        }
    }
}

pub(crate) fn fleet(seen: impl Fn(&str) -> Seen) -> Vec<VantageReport> {
    use VantageClass::{Datacenter, Residential};
    [
        ("you", None, Some(64_500), None),
        ("ams1", Some(("eu", "NL")), Some(64_511), Some(Datacenter)),
        ("fra1", Some(("eu", "DE")), Some(64_512), Some(Datacenter)),
        (
            "home-b",
            Some(("eu", "DE")),
            Some(64_500),
            Some(Residential),
        ),
        ("isp-b", Some(("eu", "FR")), Some(64_520), Some(Residential)),
        ("nyc1", Some(("us", "US")), Some(64_513), Some(Datacenter)),
        ("sgp1", Some(("asia", "SG")), Some(64_514), Some(Datacenter)),
    ]
    .into_iter()
    .map(|(name, place, asn, class)| vantage(name, place, asn, class, seen(name)))
    .collect()
}

pub(crate) fn vantage(
    name: &str,
    place: Option<(&str, &str)>,
    asn: Option<u32>,
    class: Option<VantageClass>,
    seen: Seen,
) -> VantageReport {
    let id: VantageName = name.parse().unwrap();
    let mut observations = Vec::new();
    for (family, seen) in [(Family::V4, seen.v4), (Family::V6, seen.v6)] {
        if let Some((outcome, micros)) = seen {
            observations.extend(stages(&id, family, outcome, micros));
        }
    }
    VantageReport {
        vantage: Vantage {
            region: place.map(|(region, _)| region.to_owned()),
            country: place.map(|(_, country)| country.to_owned()),
            asn,
            class,
            ..Vantage::named(id)
        },
        observations,
    }
}

/// Name resolution, then stages until the outcome.
pub(crate) fn stages(
    vantage: &VantageName,
    family: Family,
    outcome: Outcome,
    micros: u64,
) -> Vec<Observation> {
    let address = if family == Family::V4 { V4 } else { V6 }.parse().unwrap();
    let observation = |stage: Stage, outcome: Outcome, sequence: u32| Observation {
        check: CHECK.parse().unwrap(),
        request: 1,
        sequence: sequence + if family == Family::V4 { 0 } else { 10 },
        vantage: vantage.clone(),
        purpose: Purpose::Target,
        stage,
        host: "shop.example".into(),
        source: None,
        address: (stage != Stage::Dns).then_some(address),
        port: (stage != Stage::Dns).then_some(443),
        family: Some(family),
        started_at: Timestamp(1_767_323_045_678_000),
        elapsed_ms: Duration::from_micros(micros).into(),
        slot: 0,
        outcome,
        said_by: None,
        detail: (outcome == Outcome::NotMeasured).then(|| {
            format!(
                "no {} here",
                if family == Family::V4 { "IPv4" } else { "IPv6" }
            )
        }),
        facts: None,
    };
    if outcome == Outcome::Nxdomain {
        return vec![observation(Stage::Dns, outcome, 0)];
    }
    let mut dns = observation(Stage::Dns, Outcome::Ok, 0);
    dns.facts = Some(Facts::Dns(DnsFacts {
        resolver: None,
        kind: ResolverKind::System,
        record_type: if family == Family::V4 {
            RecordType::A
        } else {
            RecordType::Aaaa
        },
        rcode: Some(0),
        answers: Vec::new(),
        cname_chain: Vec::new(),
    }));
    let mut all = vec![dns, observation(Stage::Tcp, outcome, 1)];
    if outcome == Outcome::Ok {
        all.extend([
            observation(Stage::Tls, outcome, 2),
            observation(Stage::Http, outcome, 3),
        ]);
    }
    all
}

pub(crate) fn report(target: &str, vantages: Vec<VantageReport>, scope: Scope) -> Report {
    Report {
        conditions: Default::default(),
        schema: REPORT_SCHEMA.into(),
        id: CHECK.parse().unwrap(),
        started_at: Timestamp(1_767_323_045_678_000),
        duration_ms: Duration::from_millis(2_412).into(),
        target: Target::parse(target).unwrap(),
        verdict: Verdict {
            scope,
            mechanism: Mechanism::None,
            headline: String::new(),
            actor: Actor::Unknown,
            confidence: 0.97,
            intermittent: false,
            complete: true,
            scopes: [(scope, 1.0)].into(),
            causes: Vec::new(),
            evidence: Vec::new(),
            advisories: Vec::new(),
            next: Vec::new(),
        },
        subject: Subject {
            vantage: Some(VantageName::you()),
            public_address: None,
            asn: None,
            local: LocalFacts::default(),
        },
        vantages,
    }
}

pub(crate) fn cause(id: CauseId, probability: f64, title: &str) -> CauseReport {
    CauseReport {
        id,
        probability,
        title: title.into(),
        confirm: Vec::new(),
        fix: Vec::new(),
        time_to_fix: String::new(),
    }
}

pub(crate) fn evidence(number: usize, says: &str) -> Evidence {
    Evidence {
        id: format!("E{number}"),
        says: says.into(),
        favours: Vec::new(),
        log10_bayes_factor: 2.0,
        vantages: Vec::new(),
    }
}

/// The caller alone, who is refused.
pub(crate) fn refused_alone() -> Report {
    let seen = Seen::both(Outcome::Refused);
    let alone = vec![vantage("you", None, None, None, seen)];
    let mut report = report("https://shop.example", alone, Scope::Inconclusive);
    report.verdict.headline = "Refused here, and one vantage cannot tell whether only here".into();
    report
}
