//! When to check again. Pure: time and chance are arguments.
//!
//! A probe sends one target at most a few HTTP requests that fail within ten minutes, lest it be banned for asking; what is
//! over that is not measured, and a verdict would seem to change by itself. So while the fault is an HTTP answer, this
//! machine alone looks, and the others are asked again when it sees something else, or when the ten minutes are over.

use std::time::Duration;

use onlyhere_proto::{Mechanism, Report};

use crate::render::summary;

/// The first pause; each is twice the one before.
const FIRST: Duration = Duration::from_secs(2);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(15);
/// With less time left there is no further attempt.
pub const SHORTEST: Duration = Duration::from_millis(500);
/// For how long a probe counts requests that failed (`probe-node/src/pace/mod.rs`).
const PROBES_FORGET: Duration = Duration::from_secs(600);

/// How long to wait after this attempt, counted from 1; `chance` from 0 to 1 spreads many callers over a fifth of it.
pub fn pause(attempt: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(8));
    doubled
        .min(LONGEST)
        .mul_f64(1.1 - 0.2 * chance.clamp(0.0, 1.0))
}

/// Whether the others may be asked again, `since` after they came to `then`; `own` is what this machine sees now, if it
/// has looked.
pub fn others(then: &Report, own: Option<&Report>, since: Duration) -> bool {
    then.verdict.mechanism != Mechanism::Http
        || since >= PROBES_FORGET
        || own.is_some_and(|own| seen_from_here(then) != seen_from_here(own))
}

/// Whether this machine fails; none where it did not try.
fn seen_from_here(report: &Report) -> Option<bool> {
    let own = report.vantages.iter().find(|seen| seen.vantage.id.is_you());
    own.filter(|seen| summary::has_measured(&report.target, &seen.observations))
        .map(|seen| summary::fails(&report.target, &seen.observations))
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::Scope;

    use super::*;
    use crate::standing::baseline::tests::report;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let middle: Vec<u128> = (1..=6).map(|n| pause(n, 0.5).as_millis()).collect();
        assert_eq!(middle, [2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
        assert!(pause(u32::MAX, 0.0) <= Duration::from_millis(16_500));
        assert_eq!(pause(1, 1.0), Duration::from_millis(1_800));
        assert_eq!(pause(1, 7.0), Duration::from_millis(1_800));
    }

    #[test]
    fn while_an_http_answer_is_the_fault_the_others_are_asked_when_this_machine_sees_another() {
        let minute = Duration::from_secs(60);
        let mut then = report(Scope::Global, &[], &[("you", false), ("fra1", false)]);
        assert!(
            others(&then, None, minute),
            "refused: nobody is banned for that"
        );
        then.verdict.mechanism = Mechanism::Http;
        let same = report(Scope::Inconclusive, &[], &[("you", false)]);
        let through = report(Scope::Ok, &[], &[("you", true)]);
        assert!(!others(&then, None, minute));
        assert!(!others(&then, Some(&same), minute));
        assert!(others(&then, Some(&through), minute));
        assert!(others(&then, Some(&same), PROBES_FORGET));
    }
}
