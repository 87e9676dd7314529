//! What a vantage's resolvers said of the target's name, as one word.

use onlyhere_proto::{Facts, Observation, Outcome, RecordType, ResolverKind};

/// What a resolver came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Resolution {
    /// At least one address.
    Answer,
    /// The name does not exist.
    Missing,
    /// The name exists, without an address.
    Empty,
    /// The resolver failed (SERVFAIL).
    Failed,
    /// The resolver refused to answer.
    Refused,
    /// The resolver did not answer.
    Silent,
}

/// How many there are.
pub(crate) const RESOLUTIONS: usize = 6;

/// The best that any resolver of a kind said, in one request, for any record type that was wanted; `None` when none was
/// measured.
///
/// A person's machine takes the first answer it can get, so one answer is worth more than any failure; among failures
/// the more definite one counts.
pub(crate) fn resolution_of(
    observations: &[&Observation],
    kind: ResolverKind,
    wanted: Option<RecordType>,
) -> Option<Resolution> {
    observations
        .iter()
        .filter(|o| match &o.facts {
            Some(Facts::Dns(facts)) => {
                facts.kind == kind && wanted.is_none_or(|w| w == facts.record_type)
            }
            // A resolver that never answered may leave no facts; then it was the system's.
            _ => kind == ResolverKind::System,
        })
        .filter_map(|o| {
            Some(match o.outcome {
                Outcome::Ok => Resolution::Answer,
                Outcome::Nxdomain => Resolution::Missing,
                Outcome::NoAnswer => Resolution::Empty,
                Outcome::Servfail => Resolution::Failed,
                Outcome::Refused | Outcome::Denied | Outcome::Unreachable | Outcome::Closed => {
                    Resolution::Refused
                }
                Outcome::Timeout => Resolution::Silent,
                _ => return None,
            })
        })
        .min()
}
