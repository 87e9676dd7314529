//! The sentences of a report that every form of it says alike, and the choice of what is said.

use onlyhere_proto::{Actor, CauseReport, Evidence, Report, Scope, Verdict};

use super::summary::time;

/// A further cause is named from this probability on.
const WORTH_NAMING: f64 = 0.05;
/// Its remedy is shown from this probability on.
const WORTH_MENDING: f64 = 0.2;
/// Causes named besides the first.
const FURTHER: usize = 3;

/// Sentences of evidence shown, so that the vantages stay on the screen.
const EVIDENCE: usize = 8;
/// Of those, what speaks against the verdict.
const OBJECTIONS: usize = 3;

/// `✓`, `?` or `✗`.
pub(super) const fn symbol(scope: Scope) -> &'static str {
    match scope {
        Scope::Ok => "✓",
        Scope::Inconclusive => "?",
        _ => "✗",
    }
}

/// Who tried.
pub(super) fn tried_from(report: &Report) -> String {
    let others = report
        .vantages
        .iter()
        .filter(|seen| !seen.vantage.id.is_you())
        .count();
    let vantages = |count| if count == 1 { "vantage" } else { "vantages" };
    match (report.vantages.len() > others, others) {
        (true, 0) => "tried from this machine alone".to_owned(),
        (true, n) => format!("tried from here and {n} other {}", vantages(n)),
        (false, n) => format!("tried from {n} {}", vantages(n)),
    }
}

/// What stands behind the headline: who tried, how long it took, and what is not settled.
pub(super) fn circumstances(report: &Report) -> Vec<String> {
    let mut about = vec![tried_from(report), time(report.duration_ms)];
    if report.verdict.intermittent {
        about.push("comes and goes".to_owned());
    }
    if !report.verdict.complete {
        about.push("provisional".to_owned());
    }
    about
}

/// How long the check took.
pub(super) fn time_of(report: &Report) -> String {
    time(report.duration_ms)
}

/// A cause with its probability.
pub(super) fn named(cause: &CauseReport) -> String {
    format!("{} ({})", cause.title, percent(cause.probability))
}

/// Causes besides the first that are worth a line.
pub(super) fn further_causes(verdict: &Verdict) -> impl Iterator<Item = &CauseReport> {
    verdict
        .causes
        .iter()
        .skip(1)
        .filter(|cause| cause.probability >= WORTH_NAMING)
        .take(FURTHER)
}

/// How sure it is.
pub(super) fn certainty(verdict: &Verdict) -> String {
    let share = percent(verdict.confidence);
    if verdict.scope == Scope::Inconclusive {
        return "not enough to decide; below stands what would".to_owned();
    }
    let words = match verdict.confidence {
        p if p >= 0.97 => "almost certain",
        p if p >= 0.9 => "very likely",
        p if p >= 0.8 => "likely",
        _ => "more likely than not",
    };
    format!("{words} ({share})")
}

/// Whole percents; never claims 0 or 100.
pub(super) fn percent(probability: f64) -> String {
    match (probability * 100.0).round() {
        p if p < 1.0 => "under 1%".to_owned(),
        p if p > 99.0 => "over 99%".to_owned(),
        p => format!("{p:.0}%"),
    }
}

/// In words.
pub(super) const fn who_acts(actor: Actor) -> &'static str {
    match actor {
        Actor::You => "you, on this machine",
        Actor::YourNetwork => "whoever runs your network: router, company or provider",
        Actor::Site => "whoever runs the site",
        Actor::DnsOperator => "whoever runs the name's DNS",
        Actor::Transit => "a network in between; tell your provider",
        Actor::Nobody => "nobody",
        Actor::Unknown => "not known yet",
    }
}

/// The causes whose remedies are shown: the likeliest, and another that is as good as likely.
pub(super) fn shown_causes(verdict: &Verdict) -> Vec<&CauseReport> {
    let worth = |(i, cause): &(usize, &CauseReport)| *i == 0 || cause.probability >= WORTH_MENDING;
    let fault = verdict.scope != Scope::Ok;
    let causes = verdict
        .causes
        .iter()
        .enumerate()
        .filter(|_| fault)
        .filter(worth);
    causes.map(|(_, cause)| cause).take(2).collect()
}

/// Names such as `IP` and `DNS` keep their capitals.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => text.to_owned(),
    }
}

/// A sentence begins with a capital.
pub(super) fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.collect::<String>() + chars.as_str()
}

/// Whether it speaks against the verdict.
pub(super) fn objects(evidence: &Evidence) -> bool {
    evidence.log10_bayes_factor < 0.0
}

/// In the order given. An objection is not left out for a further confirmation.
pub(super) fn shown_evidence(all: &[Evidence]) -> Vec<&Evidence> {
    let objections = all.iter().filter(|e| objects(e)).count().min(OBJECTIONS);
    let (mut supports, mut objected) = (0, 0);
    let keep = |evidence: &&Evidence| {
        let (count, most) = if objects(evidence) {
            (&mut objected, objections)
        } else {
            (&mut supports, EVIDENCE - objections)
        };
        *count += 1;
        *count <= most
    };
    all.iter().filter(keep).collect()
}

/// What is still to be done, without what already stands under a shown cause.
pub(super) fn still_to_do(verdict: &Verdict) -> Vec<&String> {
    let said = |text: &String| {
        let shown = shown_causes(verdict);
        shown
            .iter()
            .flat_map(|cause| &cause.confirm)
            .any(|confirm| text.ends_with(confirm.as_str()))
    };
    verdict.next.iter().filter(|text| !said(text)).collect()
}
