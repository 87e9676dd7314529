//! The report as Markdown, for an issue tracker or the summary of a CI job.
//!
//! Names, headlines and certificates come from strangers, so nothing of a sentence may become markup: outside of
//! `code spans` what Markdown knows is escaped, and a word that trackers turn into a link, a mention or a reference by
//! themselves (`https://…`, `@name`, `#12`) becomes a code span, where they do not. No text holds a line break.

use std::fmt::Write as _;

use onlyhere_proto::{CauseReport, Report, Scope, Verdict};

use super::{
    history,
    page::clean,
    table,
    words::{
        certainty, circumstances, further_causes, lower_first, named, shown_causes, shown_evidence,
        still_to_do, symbol, upper_first, who_acts,
    },
};
use crate::answer::Answer;

/// Rows of the table of vantages, so that the whole stays well below what trackers take (GitHub: 65,536 characters).
const ROWS: usize = 100;

/// Writes an answer as a section with a heading of the second level.
pub fn answer(answer: &Answer<'_>) -> String {
    let report = answer.report;
    let verdict = &report.verdict;
    let mut out = format!(
        "## {} {}\n\n",
        symbol(verdict.scope),
        text(&verdict.headline)
    );
    let mut about = vec![code(&report.target.input)];
    about.extend(circumstances(report));
    about.push(utc(report));
    line(&mut out, &about.join(" · "));
    out.push('\n');
    facts(&mut out, answer);
    for cause in shown_causes(verdict) {
        remedy(&mut out, verdict, cause);
    }
    evidence(&mut out, verdict);
    out.push_str("\n### Vantages\n\n");
    vantages(&mut out, report);
    let advisories: Vec<&String> = verdict.advisories.iter().map(|a| &a.says).collect();
    section(&mut out, "Also seen", &advisories);
    section(&mut out, "Next", &still_to_do(verdict));
    let _ = write!(out, "\nReport {}\n", code(report.id.as_str()));
    out
}

/// When the check began, to the second.
pub(super) fn utc(report: &Report) -> String {
    let at = report.started_at.to_string().replace('T', " ");
    format!("{} UTC", at.get(..19).unwrap_or(&at))
}

fn facts(out: &mut String, answer: &Answer<'_>) {
    let report = answer.report;
    let verdict = &report.verdict;
    fact(out, "Scope", &code(verdict.scope.label()));
    if verdict.scope != Scope::Ok {
        let label = match verdict.scope {
            Scope::Inconclusive => "Perhaps",
            _ => "Cause",
        };
        if let Some(first) = verdict.causes.first() {
            fact(out, label, &text(&named(first)));
        }
        for cause in further_causes(verdict) {
            fact(out, "Or", &text(&lower_first(&named(cause))));
        }
        if let Some(since) = history::since(report, &shown_evidence(&verdict.evidence)) {
            fact(out, "Since", &text(&since));
        }
        fact(out, "Certainty", &text(&certainty(verdict)));
        fact(out, "Who acts", who_acts(verdict.actor));
    }
    if let Some(why) = answer.standing.why() {
        let code = answer.standing.exit_code();
        fact(out, "Counts", &text(&format!("exit code {code}: {why}")));
    }
    if let Some(why) = answer.alone {
        fact(
            out,
            "One vantage",
            &text(&format!("judged this alone: {why}")),
        );
    }
}

pub(super) fn fact(out: &mut String, label: &str, markdown: &str) {
    line(out, &format!("- **{label}:** {markdown}"));
}

fn remedy(out: &mut String, verdict: &Verdict, cause: &CauseReport) {
    if cause.fix.is_empty() && cause.confirm.is_empty() {
        return;
    }
    let title = match shown_causes(verdict).len() {
        1 => "What to do".to_owned(),
        _ => format!("If {}", lower_first(&cause.title)),
    };
    let _ = write!(out, "\n### {}\n\n", text(&title));
    if !cause.time_to_fix.is_empty() {
        line(out, &format!("Takes {}.\n", text(&cause.time_to_fix)));
    }
    items(out, &cause.fix.iter().collect::<Vec<_>>());
    if !cause.confirm.is_empty() {
        out.push_str("\nTo make sure:\n\n");
        items(out, &cause.confirm.iter().collect::<Vec<_>>());
    }
}

pub(super) fn evidence(out: &mut String, verdict: &Verdict) {
    let shown = shown_evidence(&verdict.evidence);
    if shown.is_empty() {
        return;
    }
    out.push_str("\n### Evidence\n\n");
    for evidence in &shown {
        let (id, says) = (text(&evidence.id), text(&evidence.says));
        line(out, &format!("- **{id}** {says}"));
    }
    let left_out = verdict.evidence.len() - shown.len();
    if left_out > 0 {
        line(out, &format!("- and {left_out} that weigh less"));
    }
}

pub(super) fn vantages(out: &mut String, report: &Report) {
    let columns = table::plain(report);
    let row =
        |out: &mut String, cells: Vec<String>| line(out, &format!("| {} |", cells.join(" | ")));
    row(out, columns.iter().map(|(head, _)| cell(head)).collect());
    row(out, columns.iter().map(|_| "---".to_owned()).collect());
    let rows = report.vantages.len();
    for number in 0..rows.min(ROWS) {
        let cells = columns.iter().filter_map(|(_, cells)| cells.get(number));
        row(out, cells.map(|text| cell(text)).collect());
    }
    if rows > ROWS {
        line(out, &format!("\nand {} more vantages", rows - ROWS));
    }
}

fn section(out: &mut String, title: &str, texts: &[&String]) {
    if !texts.is_empty() {
        let _ = write!(out, "\n### {title}\n\n");
        items(out, texts);
    }
}

pub(super) fn items(out: &mut String, texts: &[&String]) {
    for item in texts {
        line(out, &format!("- {}", text(&upper_first(item))));
    }
}

pub(super) fn line(out: &mut String, markdown: &str) {
    out.push_str(markdown);
    out.push('\n');
}

/// A sentence in which only `code spans` are markup.
pub fn text(sentence: &str) -> String {
    escaped(sentence, code)
}

/// The same for a cell of a table, where a bar would end the cell even in a code span.
fn cell(sentence: &str) -> String {
    escaped(sentence, |inside| code(inside).replace('|', "\\|"))
}

/// Turns of prose and code: backticks that have no partner are prose.
fn escaped(sentence: &str, code: impl Fn(&str) -> String) -> String {
    let sentence = clean(sentence);
    let sentence = sentence.trim();
    let parts: Vec<&str> = sentence.split('`').collect();
    let mut out = String::new();
    let mut number = 0;
    while number < parts.len() {
        prose(&mut out, parts[number], &code);
        match parts.get(number + 1) {
            Some(inside) if number + 2 < parts.len() && !inside.trim().is_empty() => {
                out.push_str(&code(inside));
                number += 2;
            }
            Some(_) => {
                out.push_str("\\`");
                number += 1;
            }
            None => number += 1,
        }
    }
    out
}

fn prose(out: &mut String, text: &str, code: impl Fn(&str) -> String) {
    for word in text.split_inclusive(' ') {
        let bare = word.trim_matches([' ', '(', ')', ',', ';', '.']);
        if is_turned_into_something(bare)
            && let Some((before, after)) = word.split_once(bare)
        {
            escape(out, before);
            out.push_str(&code(bare));
            escape(out, after);
        } else {
            escape(out, word);
        }
    }
}

/// Words that trackers make links, mentions, references or formulas of without any markup.
fn is_turned_into_something(word: &str) -> bool {
    let refers = |pair: &[u8]| {
        matches!(pair[0], b'!' | b'%' | b'~' | b'&')
            && (pair[1].is_ascii_alphanumeric() || pair[1] == b'"')
    };
    word.contains(['@', '#', '$'])
        || word.contains("://")
        || word.to_ascii_lowercase().contains("www.")
        || word.as_bytes().windows(2).any(refers)
}

fn escape(out: &mut String, text: &str) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let ends_word = chars.peek().is_none_or(|next| *next == ' ');
        let begins = out.is_empty() || out.ends_with(['\n']);
        let is_markup = matches!(
            c,
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '!' | '`'
        ) || (begins && matches!(c, '-' | '+' | '='))
            // `1.` and `1)` at the beginning would be a list.
            || (matches!(c, '.' | ')') && ends_word && is_number(out));
        if is_markup {
            out.push('\\');
        }
        out.push(c);
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A code span, whatever the text holds: its fence is longer than every run of backticks inside (CommonMark 0.31, 6.1).
pub fn code(text: &str) -> String {
    let text = clean(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        " "
    } else {
        ""
    };
    match text.is_empty() {
        true => String::new(),
        false => format!("{fence}{pad}{text}{pad}{fence}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_spans_are_markup() {
        for (said, written) in [
            ("see `ss -tlnp`, then look", "see `ss -tlnp`, then look"),
            ("one ` alone", "one \\` alone"),
            ("`` empty", "\\`\\` empty"),
            ("a*b_c [x](y) <b>", "a\\*b\\_c \\[x\\](y) \\<b\\>"),
            (
                "from https://evil.example/x, or",
                "from `https://evil.example/x`, or",
            ),
            ("ask @everyone (#12)", "ask `@everyone` (`#12`)"),
            ("www.evil.example", "`www.evil.example`"),
            ("- x", "\\- x"),
            ("1. x", "1\\. x"),
            ("198.18.1.10 fails", "198.18.1.10 fails"),
            ("28-181 ms", "28-181 ms"),
            ("&lt;script&gt; &", "`&lt;script&gt`; \\&"),
            ("a\nb", "a\u{fffd}b"),
        ] {
            assert_eq!(text(said), written, "{said}");
        }
        assert_eq!(cell("a|b `c|d`"), "a\\|b `c\\|d`");
    }

    #[test]
    fn code_holds_backticks() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code(""), "");
    }
}
