//! What a report answers, for those that follow it: the question, and whether the caller could use the target.

use onlyhere_proto::{Observation, Outcome, Purpose, Report, Scope, Subject, Target};

/// Equal for reports that answer the same question: the same host, port and layer, asked from the same address, by a
/// caller who was as much of a vantage. None of a caller whose address is unknown: of those nothing is remembered.
pub(super) fn question(target: &Target, subject: &Subject) -> Option<String> {
    let address = subject.public_address?;
    let parts = (
        &target.host,
        target.port,
        target.layer,
        target.record_type,
        address,
        &subject.vantage,
    );
    serde_json::to_string(&parts).ok()
}

/// Whether the caller could use the target; none where the check did not decide.
pub(super) fn was_reachable(report: &Report) -> Option<bool> {
    match report.verdict.scope {
        Scope::Ok => Some(true),
        Scope::Inconclusive => None,
        // Something is wrong, and the caller may have come through all the same.
        Scope::TargetAddress | Scope::Regional => Some(subject_came_through(report)),
        _ => Some(false),
    }
}

fn subject_came_through(report: &Report) -> bool {
    let own = report
        .vantages
        .iter()
        .filter(|seen| Some(&seen.vantage.id) == report.subject.vantage.as_ref());
    let depth = report.target.depth();
    let reached = |o: &Observation| {
        let about_target = matches!(
            o.purpose,
            Purpose::Target | Purpose::Retry | Purpose::Address
        );
        about_target && o.stage == depth && o.outcome == Outcome::Ok
    };
    own.flat_map(|seen| &seen.observations).any(reached)
}
