//! The scenarios of the lab in a model world: what is concluded, how fast, and in which words.

mod forms;
mod layers;
mod local;
mod source;
mod target;
mod vantages;
#[path = "../world/mod.rs"]
mod world;

use onlyhere_proto::{CauseId, Mechanism, Scope, Target};
use world::{Reply, Run, WEB4, WEB6, World};

pub(crate) fn expect(run: &Run, scope: Scope, cause: Option<CauseId>, mechanism: Mechanism) {
    let v = &run.verdict;
    let told = || {
        format!(
            "{:.0} ms, {} asks in {} rounds\n{}",
            run.ms,
            run.asks,
            run.rounds,
            serde_json::to_string_pretty(v).unwrap()
        )
    };
    assert_eq!(v.scope, scope, "{}", told());
    assert_eq!(v.causes.first().map(|c| c.id), cause, "{}", told());
    assert_eq!(v.mechanism, mechanism, "{}", told());
    assert!(
        v.complete && v.confidence > 0.0 && v.confidence <= 1.0,
        "{}",
        told()
    );
    assert!(
        (v.scopes.values().sum::<f64>() - 1.0).abs() < 1e-6,
        "{}",
        told()
    );
    assert!(
        v.causes.is_sorted_by(|a, b| a.probability >= b.probability),
        "{}",
        told()
    );
    assert!(
        v.evidence
            .is_sorted_by(|a, b| a.log10_bayes_factor >= b.log10_bayes_factor),
        "{}",
        told()
    );
    eprintln!(
        "{:5.0} ms {:2} asks {} rounds {:.3} {}",
        run.ms, run.asks, run.rounds, v.confidence, v.headline
    );
    for e in &v.evidence {
        eprintln!(
            "      {} {:5.2} {:?} {}",
            e.id, e.log10_bayes_factor, e.favours, e.says
        );
    }
    for a in &v.advisories {
        eprintln!("      ! {} {:?}", a.says, a.cause);
    }
    for n in &v.next {
        eprintln!("      > {n}");
    }
    eprintln!(
        "      causes {:?}",
        v.causes
            .iter()
            .map(|c| (c.id.label(), c.probability))
            .collect::<Vec<_>>()
    );
}

/// Nobody timed out: fast.
pub(crate) fn quick(run: &Run) {
    assert!(
        run.ms < 3_000.0,
        "{:.0} ms: {}",
        run.ms,
        run.verdict.headline
    );
}

pub(crate) fn patient(run: &Run) {
    assert!(
        run.ms < 8_000.0,
        "{:.0} ms: {}",
        run.ms,
        run.verdict.headline
    );
}

pub(crate) fn banned(t: world::Try<'_>) -> Reply {
    if t.web() && t.by("you") {
        if t.v4() {
            Reply::Icmp(3, 3, WEB4, None)
        } else {
            Reply::Icmp(1, 4, WEB6, None)
        }
    } else {
        Reply::Ok
    }
}

pub(crate) fn aimed(target: &str) -> World {
    let mut world = World::new();
    world.target = Target::parse(target).unwrap();
    world
}
