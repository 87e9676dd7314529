//! The report for people: the verdict first, then who must do what, then what it stands on.

use onlyhere_proto::{Report, Scope, Verdict};

use super::{
    history,
    page::{Page, width_of},
    style::{BAD, BOLD, CARE, DIM, GOOD, PLAIN},
    table,
    words::{
        certainty, circumstances, further_causes, lower_first, named, objects, shown_causes,
        shown_evidence, still_to_do, symbol, upper_first, who_acts,
    },
};
use crate::answer::Answer;

/// Where the text of the facts under the headline begins.
const FACTS: usize = 13;

/// Draws an answer in `width` columns.
pub fn answer(answer: &Answer<'_>, width: usize) -> String {
    let mut page = Page::new(width);
    verdict(&mut page, answer.report);
    evidence(&mut page, &answer.report.verdict);
    surroundings(&mut page, answer.report);
    remarks(&mut page, answer);
    page.finish()
}

/// The verdict itself: what, why, who acts and how.
pub(super) fn verdict(page: &mut Page, report: &Report) {
    headline(page, report);
    if report.verdict.scope != Scope::Ok {
        facts(page, report);
        remedies(page, &report.verdict);
    }
}

/// Who saw what, and what is left.
pub(super) fn surroundings(page: &mut Page, report: &Report) {
    section(page, "Vantages");
    table::outcomes(page, report);
    advisories(page, &report.verdict);
    next(page, &report.verdict);
}

/// Of how the verdict came about, and what it counts for.
pub(super) fn remarks(page: &mut Page, answer: &Answer<'_>) {
    let mut remark = |text: String| {
        page.gap();
        page.paragraph("", PLAIN, 0, &text, DIM);
    };
    if let Some(why) = answer.alone {
        remark(format!("One vantage judged this alone: {why}."));
    }
    if let Some(why) = answer.standing.why() {
        remark(format!("Exit code {}: {why}.", answer.standing.exit_code()));
    }
}

fn headline(page: &mut Page, report: &Report) {
    let verdict = &report.verdict;
    let colour = match verdict.scope {
        Scope::Ok => GOOD,
        Scope::Inconclusive => CARE,
        _ => BAD,
    };
    page.paragraph(
        &format!("{} ", symbol(verdict.scope)),
        colour.bold(),
        2,
        &verdict.headline,
        colour.bold(),
    );
    let mut about = vec![report.target.input.clone()];
    about.extend(circumstances(report));
    page.paragraph("  ", PLAIN, 2, &about.join(" · "), DIM);
}

fn facts(page: &mut Page, report: &Report) {
    let verdict = &report.verdict;
    page.gap();
    if let Some(first) = verdict.causes.first() {
        let label = if verdict.scope == Scope::Inconclusive {
            "  Perhaps"
        } else {
            "  Cause"
        };
        page.paragraph(label, DIM, FACTS, &named(first), BOLD);
        for cause in further_causes(verdict) {
            let other = format!("or: {}", lower_first(&named(cause)));
            page.paragraph("", PLAIN, FACTS, &other, PLAIN);
        }
    }
    if let Some(since) = history::since(report, &shown_evidence(&verdict.evidence)) {
        page.paragraph("  Since", DIM, FACTS, &since, PLAIN);
    }
    page.paragraph("  Certainty", DIM, FACTS, &certainty(verdict), PLAIN);
    page.paragraph("  Who acts", DIM, FACTS, who_acts(verdict.actor), PLAIN);
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
        let more = format!("and {left_out} that weigh less; `--explain` shows them");
        page.paragraph("", PLAIN, hang, &more, DIM);
    }
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

fn next(page: &mut Page, verdict: &Verdict) {
    let texts = still_to_do(verdict);
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

pub(super) fn section(page: &mut Page, title: &str) {
    page.gap();
    page.line(&[(title, BOLD)]);
}
