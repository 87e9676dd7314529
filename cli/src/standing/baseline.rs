//! What is worse than in an earlier report of the same target. Pure.
//!
//! Worse is: a scope that shuts out more people than the one of then; a likely cause that was none then; a kind of
//! vantage (datacenter, residential, mobile, the caller itself) that fails and of which none failed then. Undecided is
//! worse than decided, because it may hide anything; after an undecided baseline it is old.

use std::collections::BTreeSet;

use onlyhere_proto::{CauseId, Report, Scope};

use crate::render::summary;

/// A cause counts as one of the report's from this probability on.
const LIKELY: f64 = 0.2;

/// What was so then already, and what is worse now; words for the person. Of a report that is not reachable now.
pub(super) fn compare(then: &Report, now: &Report) -> (Vec<String>, Vec<String>) {
    let (mut old, mut worse) = (Vec::new(), Vec::new());
    let (was, is) = (then.verdict.scope, now.verdict.scope);
    if is_worse(was, is) {
        worse.push(format!("scope `{was}` is now `{is}`"));
    } else {
        old.push(format!("scope `{was}`"));
    }
    let known = causes(then);
    for cause in causes(now) {
        match known.contains(&cause) {
            true => old.push(format!("cause `{cause}`")),
            // Of an undecided verdict causes are guesses.
            false if is == Scope::Inconclusive => {}
            false => worse.push(format!("cause `{cause}` is new")),
        }
    }
    let failed = failing(then);
    for kind in failing(now).difference(&failed) {
        worse.push(format!("{kind} fails now"));
    }
    (old, worse)
}

fn is_worse(was: Scope, is: Scope) -> bool {
    match (was, is) {
        (was, is) if was == is => false,
        (_, Scope::Inconclusive) => true,
        (Scope::Inconclusive, _) => true,
        (was, is) => reach(is) > reach(was),
    }
}

/// How many are shut out, in order of size.
const fn reach(scope: Scope) -> u8 {
    match scope {
        Scope::Ok | Scope::Inconclusive => 0,
        Scope::Local => 1,
        Scope::SourceAddress => 2,
        Scope::Source => 3,
        Scope::SourceNetwork => 4,
        Scope::TargetAddress => 5,
        Scope::Regional => 6,
        Scope::Global => 7,
    }
}

fn causes(report: &Report) -> BTreeSet<CauseId> {
    let likely = report.verdict.causes.iter();
    likely
        .filter(|cause| cause.probability >= LIKELY)
        .map(|cause| cause.id)
        .collect()
}

/// Kinds of vantages of which at least one fails.
fn failing(report: &Report) -> BTreeSet<String> {
    let failing = report
        .vantages
        .iter()
        .filter(|seen| summary::fails(&report.target, &seen.observations));
    failing
        .map(
            |seen| match (seen.vantage.id.is_you(), seen.vantage.class) {
                (true, _) => "this machine".to_owned(),
                (false, Some(class)) => format!("a {class} vantage"),
                (false, None) => "a vantage of unknown kind".to_owned(),
            },
        )
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use onlyhere_proto::{
        Actor, CauseReport, Family, Mechanism, Micros, Observation, Outcome, Purpose,
        REPORT_SCHEMA, Stage, Subject, Target, Timestamp, Vantage, VantageClass, VantageReport,
        Verdict,
    };

    use super::*;

    /// Causes are as likely as each other; a vantage is named with whether it gets through.
    pub(crate) fn report(scope: Scope, causes: &[CauseId], seen: &[(&str, bool)]) -> Report {
        let cause = |&id| CauseReport {
            id,
            probability: 0.5,
            title: String::new(),
            confirm: Vec::new(),
            fix: Vec::new(),
            time_to_fix: String::new(),
        };
        Report {
            schema: REPORT_SCHEMA.into(),
            id: "01JD0000000000000000000000".parse().unwrap(),
            started_at: Timestamp(0),
            duration_ms: Micros(0),
            target: Target::parse("https://shop.example").unwrap(),
            verdict: Verdict {
                scope,
                mechanism: Mechanism::None,
                headline: String::new(),
                actor: Actor::Unknown,
                confidence: 0.9,
                intermittent: false,
                complete: true,
                scopes: Default::default(),
                causes: causes.iter().map(cause).collect(),
                evidence: Vec::new(),
                advisories: Vec::new(),
                next: Vec::new(),
            },
            subject: Subject {
                vantage: None,
                public_address: None,
                asn: None,
                local: Default::default(),
            },
            conditions: Default::default(),
            vantages: seen.iter().map(|(name, ok)| vantage(name, *ok)).collect(),
        }
    }

    fn vantage(name: &str, ok: bool) -> VantageReport {
        let vantage = Vantage {
            class: name.contains("home").then_some(VantageClass::Residential),
            ..Vantage::named(name.parse().unwrap())
        };
        VantageReport {
            observations: vec![Observation {
                check: "01JD0000000000000000000000".parse().unwrap(),
                request: 1,
                sequence: 0,
                vantage: vantage.id.clone(),
                purpose: Purpose::Target,
                stage: Stage::Tcp,
                host: "shop.example".into(),
                source: None,
                address: "192.0.2.1".parse().ok(),
                port: Some(443),
                family: Some(Family::V4),
                started_at: Timestamp(0),
                elapsed_ms: Micros(1),
                slot: 0,
                outcome: if ok { Outcome::Ok } else { Outcome::Refused },
                said_by: None,
                detail: None,
                facts: None,
            }],
            vantage,
        }
    }

    #[test]
    fn a_wider_scope_is_worse_and_a_narrower_is_not() {
        use Scope::{
            Global, Inconclusive, Local, Ok, Regional, Source, SourceAddress, SourceNetwork,
            TargetAddress,
        };
        for (was, is, worse) in [
            (Ok, Local, true),
            (Local, SourceAddress, true),
            (SourceAddress, SourceNetwork, true),
            (SourceAddress, Source, true),
            (TargetAddress, Regional, true),
            (Regional, Global, true),
            (Global, Regional, false),
            (Global, Global, false),
            (SourceNetwork, SourceAddress, false),
            (Ok, Inconclusive, true),
            (Global, Inconclusive, true),
            (Inconclusive, Inconclusive, false),
            (Inconclusive, Global, true),
        ] {
            assert_eq!(is_worse(was, is), worse, "{was} -> {is}");
        }
    }

    #[test]
    fn a_new_cause_and_a_new_kind_of_vantage_are_worse() {
        use CauseId::{FamilyBroken, IpBan};
        let then = report(
            Scope::Global,
            &[FamilyBroken],
            &[("fra1", false), ("home-b", true)],
        );
        let now = report(
            Scope::Global,
            &[FamilyBroken, IpBan],
            &[("fra1", false), ("home-b", false), ("you", false)],
        );
        let (old, worse) = compare(&then, &now);
        assert_eq!(old, ["scope `global`", "cause `family_broken`"]);
        assert_eq!(
            worse,
            [
                "cause `ip_ban` is new",
                "a residential vantage fails now",
                "this machine fails now"
            ]
        );
        assert!(compare(&now, &then).1.is_empty());
        assert!(compare(&now, &now).1.is_empty());
    }

    #[test]
    fn the_guesses_of_an_undecided_verdict_are_not_new_causes() {
        let then = report(Scope::Inconclusive, &[], &[]);
        let now = report(Scope::Inconclusive, &[CauseId::HostDown], &[]);
        assert!(compare(&then, &now).1.is_empty());
    }
}
