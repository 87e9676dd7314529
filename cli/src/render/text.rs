//! The report for people: the verdict first, then who must do what, then what it stands on.

use onlyhere_proto::{Actor, CauseReport, Evidence, Report, Scope, Verdict};

use super::{
    history,
    page::{Page, width_of},
    style::{BAD, BOLD, CARE, DIM, GOOD, PLAIN},
    summary::time,
    table,
};

/// Where the text of the facts under the headline begins.
const FACTS: usize = 13;
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

/// Draws a report in `width` columns. `alone` says why it is one vantage's word, where it is.
pub fn report(report: &Report, alone: Option<&str>, width: usize) -> String {
    let mut page = Page::new(width);
    headline(&mut page, report);
    if report.verdict.scope != Scope::Ok {
        facts(&mut page, report);
        remedies(&mut page, &report.verdict);
    }
    evidence(&mut page, &report.verdict);
    section(&mut page, "Vantages");
    table::outcomes(&mut page, report);
    advisories(&mut page, &report.verdict);
    next(&mut page, &report.verdict);
    if let Some(why) = alone {
        page.gap();
        page.paragraph(
            "",
            PLAIN,
            0,
            &format!("One vantage judged this alone: {why}."),
            DIM,
        );
    }
    page.finish()
}

fn headline(page: &mut Page, report: &Report) {
    let verdict = &report.verdict;
    let (symbol, colour) = match verdict.scope {
        Scope::Ok => ("✓", GOOD),
        Scope::Inconclusive => ("?", CARE),
        _ => ("✗", BAD),
    };
    page.paragraph(
        &format!("{symbol} "),
        colour.bold(),
        2,
        &verdict.headline,
        colour.bold(),
    );
    let mut about = vec![
        report.target.input.clone(),
        tried_from(report),
        time(report.duration_ms),
    ];
    if verdict.intermittent {
        about.push("comes and goes".to_owned());
    }
    if !verdict.complete {
        about.push("provisional".to_owned());
    }
    page.paragraph("  ", PLAIN, 2, &about.join(" · "), DIM);
}

fn tried_from(report: &Report) -> String {
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

fn facts(page: &mut Page, report: &Report) {
    let verdict = &report.verdict;
    page.gap();
    if let Some((first, rest)) = verdict.causes.split_first() {
        let label = if verdict.scope == Scope::Inconclusive {
            "  Perhaps"
        } else {
            "  Cause"
        };
        page.paragraph(label, DIM, FACTS, &named(first), BOLD);
        for cause in rest
            .iter()
            .filter(|cause| cause.probability >= WORTH_NAMING)
            .take(FURTHER)
        {
            page.paragraph(
                "",
                PLAIN,
                FACTS,
                &format!("or: {}", lower_first(&named(cause))),
                PLAIN,
            );
        }
    }
    if let Some(since) = history::since(report, &shown_evidence(&verdict.evidence)) {
        page.paragraph("  Since", DIM, FACTS, &since, PLAIN);
    }
    page.paragraph("  Certainty", DIM, FACTS, &certainty(verdict), PLAIN);
    page.paragraph("  Who acts", DIM, FACTS, who_acts(verdict.actor), PLAIN);
}

fn named(cause: &CauseReport) -> String {
    format!("{} ({})", cause.title, percent(cause.probability))
}

fn certainty(verdict: &Verdict) -> String {
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
fn percent(probability: f64) -> String {
    match (probability * 100.0).round() {
        p if p < 1.0 => "under 1%".to_owned(),
        p if p > 99.0 => "over 99%".to_owned(),
        p => format!("{p:.0}%"),
    }
}

const fn who_acts(actor: Actor) -> &'static str {
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
fn shown_causes(verdict: &Verdict) -> Vec<&CauseReport> {
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

fn remedies(page: &mut Page, verdict: &Verdict) {
    let causes = shown_causes(verdict);
    for cause in &causes {
        if cause.fix.is_empty() && cause.confirm.is_empty() {
            continue;
        }
        let title = match causes.len() {
            1 => "What to do".to_owned(),
            _ => format!("If {}", lower_first(&cause.title)),
        };
        page.gap();
        heading(page, &title, &cause.time_to_fix);
        items(page, &cause.fix);
        if !cause.confirm.is_empty() {
            page.line(&[("  To make sure:", DIM)]);
            items(page, &cause.confirm);
        }
    }
}

/// A title and how long it takes, on one line where both fit.
fn heading(page: &mut Page, title: &str, time_to_fix: &str) {
    if width_of(title) + 2 + width_of(time_to_fix) <= page.width() {
        page.line(&[(title, BOLD), ("  ", PLAIN), (time_to_fix, DIM)]);
    } else {
        page.paragraph("", PLAIN, 0, title, BOLD);
        page.paragraph("  ", PLAIN, 2, time_to_fix, DIM);
    }
}

/// Names such as `IP` and `DNS` keep their capitals.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => text.to_owned(),
    }
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.collect::<String>() + chars.as_str()
}

/// What weighs most, and whatever speaks against the verdict.
fn evidence(page: &mut Page, verdict: &Verdict) {
    let shown = shown_evidence(&verdict.evidence);
    if shown.is_empty() {
        return;
    }
    section(page, "Evidence");
    let widths = shown.iter().map(|e| e.id.chars().count());
    let hang = 4 + widths.max().unwrap_or(0);
    for evidence in &shown {
        let style = if objects(evidence) { CARE } else { DIM };
        let id = format!("  {}", evidence.id);
        page.paragraph(&id, style, hang, &evidence.says, PLAIN);
    }
    let left_out = verdict.evidence.len() - shown.len();
    if left_out > 0 {
        let more = format!("and {left_out} that weigh less; --format json has them all");
        page.paragraph("", PLAIN, hang, &more, DIM);
    }
}

fn objects(evidence: &Evidence) -> bool {
    evidence.log10_bayes_factor < 0.0
}

/// In the order given. An objection is not left out for a further confirmation.
fn shown_evidence(all: &[Evidence]) -> Vec<&Evidence> {
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

fn advisories(page: &mut Page, verdict: &Verdict) {
    if verdict.advisories.is_empty() {
        return;
    }
    section(page, "Also seen");
    for advisory in &verdict.advisories {
        page.paragraph("  !", CARE, 4, &advisory.says, PLAIN);
    }
}

/// What is still to be done, without what already stands under a shown cause.
fn next(page: &mut Page, verdict: &Verdict) {
    let said = |text: &String| {
        let shown = shown_causes(verdict);
        shown
            .iter()
            .flat_map(|cause| &cause.confirm)
            .any(|confirm| text.ends_with(confirm.as_str()))
    };
    let texts: Vec<&String> = verdict.next.iter().filter(|text| !said(text)).collect();
    if !texts.is_empty() {
        section(page, "Next");
        items(page, texts);
    }
}

fn items<'a>(page: &mut Page, texts: impl IntoIterator<Item = &'a String>) {
    for text in texts {
        page.paragraph("  •", DIM, 4, &upper_first(text), PLAIN);
    }
}

fn section(page: &mut Page, title: &str) {
    page.gap();
    page.line(&[(title, BOLD)]);
}
