//! What a verdict counts for: whether a check has passed, and with which exit code. Pure but for reading the baseline.

pub(crate) mod baseline;

use onlyhere_proto::{Report, Scope, Target};

use crate::{args::DemandArgs, error::CliError, render::summary, replay::recorded};

/// What was said beforehand of what counts.
#[derive(Debug, Default)]
pub struct Demands {
    /// Every other scope passes.
    pub fail_on: Option<Vec<Scope>>,
    /// Fewer vantages than this, without the caller, decide nothing.
    pub require_vantages: Option<usize>,
    /// Only what is worse than in this report counts.
    pub baseline: Option<Report>,
}

impl Demands {
    /// Reads the baseline, if one is given, and sees that it is of the same target.
    pub fn read(args: &DemandArgs, target: &Target) -> Result<Self, CliError> {
        let baseline = args.baseline.as_deref().map(recorded::load).transpose()?;
        if let Some(report) = &baseline
            && (&report.target.host, report.target.port, report.target.layer)
                != (&target.host, target.port, target.layer)
        {
            return Err(CliError::Usage(format!(
                "--baseline is a report of {}, and {} is checked; give a report of the same target",
                report.target.input, target.input
            )));
        }
        Ok(Self {
            fail_on: args.fail_on.clone(),
            require_vantages: args.require_vantages.map(usize::from),
            baseline,
        })
    }
}

/// What a verdict counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The target is reachable.
    Passed,
    /// There is a fault, and it was said beforehand that it does not count; the sentence says why not.
    Tolerated(String),
    /// There is a fault that counts; the sentence says why, where that was asked.
    Failed(Scope, Option<String>),
    /// Nothing is known for sure; the sentence says why, where it is not the verdict itself that says so.
    Undecided(Option<String>),
}

impl Standing {
    /// Too few vantages decide nothing, whatever they say; then `fail_on`; then the baseline.
    pub fn of(report: &Report, demands: &Demands) -> Self {
        let scope = report.verdict.scope;
        let answered = answered(report);
        if let Some(required) = demands.require_vantages
            && answered < required
        {
            return Self::Undecided(Some(format!(
                "{answered} of the {required} vantages that `--require-vantages` asks for have measured the target"
            )));
        }
        if scope == Scope::Ok {
            return Self::Passed;
        }
        if let Some(listed) = &demands.fail_on
            && !listed.contains(&scope)
        {
            return Self::Tolerated(format!("`--fail-on` leaves `{scope}` out"));
        }
        match &demands.baseline {
            None if scope == Scope::Inconclusive => Self::Undecided(None),
            None => Self::Failed(scope, None),
            Some(then) => against(then, report),
        }
    }

    /// The exit code of `onlyhere check`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Passed | Self::Tolerated(_) => 0,
            Self::Failed(scope, _) => scope.exit_code(),
            Self::Undecided(_) => Scope::Inconclusive.exit_code(),
        }
    }

    /// What was asked for beforehand and made it this exit code.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Tolerated(why) => Some(why),
            Self::Failed(_, why) | Self::Undecided(why) => why.as_deref(),
        }
    }
}

/// Vantages besides the caller that have measured anything of the target.
fn answered(report: &Report) -> usize {
    let others = report
        .vantages
        .iter()
        .filter(|seen| !seen.vantage.id.is_you());
    others
        .filter(|seen| summary::has_measured(&report.target, &seen.observations))
        .count()
}

fn against(then: &Report, now: &Report) -> Standing {
    let scope = now.verdict.scope;
    let (old, worse) = baseline::compare(then, now);
    let id = &then.id;
    match worse.is_empty() {
        true => Standing::Tolerated(format!(
            "nothing is worse than in the baseline {id}: {} is old",
            old.join(", ")
        )),
        false if scope == Scope::Inconclusive => Standing::Undecided(Some(format!(
            "the baseline {id} was decided, and this is not"
        ))),
        false => {
            let mut why = format!("worse than in the baseline {id}: {}", worse.join(", "));
            if !old.is_empty() {
                why.push_str(&format!("; {} is old", old.join(", ")));
            }
            Standing::Failed(scope, Some(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::baseline::tests::report;

    fn code(scope: Scope, fail_on: Option<&[Scope]>) -> u8 {
        let demands = Demands {
            fail_on: fail_on.map(<[Scope]>::to_vec),
            ..Demands::default()
        };
        Standing::of(&report(scope, &[], &[]), &demands).exit_code()
    }

    #[test]
    fn fail_on_lets_every_other_scope_pass() {
        assert_eq!(code(Scope::Global, None), 16);
        assert_eq!(code(Scope::Global, Some(&[Scope::Global])), 16);
        assert_eq!(
            code(Scope::Local, Some(&[Scope::Global, Scope::Regional])),
            0
        );
        assert_eq!(code(Scope::Ok, Some(&[Scope::Ok])), 0);
        assert_eq!(code(Scope::Inconclusive, None), 17);
        assert_eq!(code(Scope::Inconclusive, Some(&[Scope::Global])), 0);
    }

    #[test]
    fn what_is_let_pass_is_told_apart_from_what_passes() {
        let demands = Demands {
            fail_on: Some(vec![Scope::Global]),
            ..Demands::default()
        };
        let standing = |scope| Standing::of(&report(scope, &[], &[]), &demands);
        assert_eq!(
            standing(Scope::SourceAddress).why(),
            Some("`--fail-on` leaves `source_address` out")
        );
        assert_eq!(standing(Scope::Ok), Standing::Passed);
    }

    #[test]
    fn too_few_vantages_decide_nothing_whatever_they_say() {
        let seen = [("you", true), ("fra1", true), ("nyc1", false)];
        let standing = |scope, required| {
            let demands = Demands {
                fail_on: Some(vec![Scope::Global]),
                require_vantages: Some(required),
                ..Demands::default()
            };
            Standing::of(&report(scope, &[], &seen), &demands)
        };
        assert_eq!(standing(Scope::Ok, 2), Standing::Passed);
        for scope in [Scope::Ok, Scope::Global, Scope::Local] {
            let three = standing(scope, 3);
            assert_eq!(three.exit_code(), 17, "{scope}");
            assert!(three.why().unwrap().starts_with("2 of the 3 vantages"));
        }
    }

    #[test]
    fn against_a_baseline_only_the_worse_counts() {
        use onlyhere_proto::CauseId::{FamilyBroken, ServiceDown};
        let old = || report(Scope::TargetAddress, &[FamilyBroken], &[]);
        let against = |now: &Report| {
            let demands = Demands {
                baseline: Some(old()),
                ..Demands::default()
            };
            Standing::of(now, &demands)
        };
        let same = against(&old());
        assert_eq!(same.exit_code(), 0);
        assert!(same.why().unwrap().contains("family_broken"), "{same:?}");
        let down = against(&report(Scope::Global, &[ServiceDown], &[]));
        assert_eq!(down.exit_code(), 16);
        assert!(down.why().unwrap().contains("service_down"), "{down:?}");
        let unknown = against(&report(Scope::Inconclusive, &[], &[]));
        assert_eq!(unknown.exit_code(), 17);
        assert_eq!(against(&report(Scope::Ok, &[], &[])), Standing::Passed);
    }
}
