//! What a verdict counts for: whether a check has passed, and with which exit code. Pure.

use onlyhere_proto::Scope;

/// What a verdict counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The target is reachable.
    Passed,
    /// There is a fault, and it was said beforehand that it does not count; the sentence says why not.
    Tolerated(String),
    /// There is a fault that counts.
    Failed(Scope),
    /// Nothing is known for sure.
    Undecided,
}

impl Standing {
    /// A scope against the list of those that count; without one all count.
    pub fn of(scope: Scope, fail_on: Option<&[Scope]>) -> Self {
        match (scope, fail_on) {
            (Scope::Ok, _) => Self::Passed,
            (_, Some(listed)) if !listed.contains(&scope) => {
                Self::Tolerated(format!("`--fail-on` leaves `{scope}` out"))
            }
            (Scope::Inconclusive, _) => Self::Undecided,
            _ => Self::Failed(scope),
        }
    }

    /// The exit code of `onlyhere check`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Passed | Self::Tolerated(_) => 0,
            Self::Failed(scope) => scope.exit_code(),
            Self::Undecided => Scope::Inconclusive.exit_code(),
        }
    }

    /// Why the exit code is not that of the scope, if it is not.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Tolerated(why) => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_on_lets_every_other_scope_pass() {
        let code = |scope, list| Standing::of(scope, list).exit_code();
        assert_eq!(code(Scope::Global, None), 16);
        assert_eq!(code(Scope::Global, Some(&[Scope::Global][..])), 16);
        assert_eq!(
            code(Scope::Local, Some(&[Scope::Global, Scope::Regional][..])),
            0
        );
        assert_eq!(code(Scope::Ok, Some(&[Scope::Ok][..])), 0);
        assert_eq!(code(Scope::Inconclusive, None), 17);
        assert_eq!(code(Scope::Inconclusive, Some(&[Scope::Global][..])), 0);
    }

    #[test]
    fn what_is_let_pass_is_told_apart_from_what_passes() {
        let standing = Standing::of(Scope::SourceAddress, Some(&[Scope::Global]));
        assert_eq!(
            standing.why(),
            Some("`--fail-on` leaves `source_address` out")
        );
        assert_eq!(Standing::of(Scope::Ok, Some(&[Scope::Global])).why(), None);
    }
}
