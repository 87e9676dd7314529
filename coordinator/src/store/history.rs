//! What earlier checks of the same target by the same caller came to.

use onlyhere_proto::{History, Observation, Outcome, Purpose, Report, Scope, Subject, Target};

/// Whether a report answers the same question: the same host, port and layer, asked from the same address, by a caller
/// who was as much of a vantage. Of a caller whose address is unknown nothing is remembered.
pub(super) fn is_same_question(report: &Report, target: &Target, subject: &Subject) -> bool {
    let of = |t: &Target| (t.host.clone(), t.port, t.layer, t.record_type);
    subject.public_address.is_some()
        && report.subject.public_address == subject.public_address
        && report.subject.vantage == subject.vantage
        && of(&report.target) == of(target)
}

/// The history that these reports tell, the latest first: the last success, and the first failure after it.
pub(super) fn of<'a>(latest_first: impl IntoIterator<Item = &'a Report>) -> History {
    let mut history = History::default();
    for report in latest_first {
        match was_reachable(report) {
            Some(true) => {
                history.last_ok = Some(report.started_at);
                break;
            }
            Some(false) => history.failing_since = Some(report.started_at),
            None => {}
        }
    }
    history
}

/// Whether the caller could use the target; none where the check did not decide.
fn was_reachable(report: &Report) -> Option<bool> {
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
