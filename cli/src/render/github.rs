//! The verdict for GitHub Actions: workflow commands on stdout, which become annotations; a summary of the job; outputs
//! of the step. Forgejo and Gitea read the same.
//!
//! A command is one line, `::error title=…::…`; what would end a line or a property is written as a percent code, as
//! GitHub's own toolkit does (`actions/toolkit`, `packages/core/src/command.ts`).

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

use onlyhere_proto::Scope;

use super::{
    markdown,
    page::clean,
    words::{named, shown_causes, upper_first, who_acts},
};
use crate::{answer::Answer, standing::Standing};

/// Of advisories; GitHub shows ten annotations of a kind in each step.
const ADVISORIES: usize = 5;

/// Commands for stdout, a line each.
pub fn commands(answer: &Answer<'_>) -> String {
    let verdict = &answer.report.verdict;
    let level = match answer.standing {
        Standing::Passed => "notice",
        Standing::Tolerated(_) => "warning",
        Standing::Failed(..) | Standing::Undecided(_) => "error",
    };
    let mut out = command(level, verdict.scope.label(), &message(answer));
    for advisory in verdict.advisories.iter().take(ADVISORIES) {
        out.push_str(&command("notice", "also seen", &clean(&advisory.says)));
    }
    out
}

fn message(answer: &Answer<'_>) -> String {
    let verdict = &answer.report.verdict;
    let mut lines = vec![format!(
        "{}: {}",
        answer.report.target.input, verdict.headline
    )];
    let causes = shown_causes(verdict);
    let label = match verdict.scope {
        Scope::Inconclusive => "Perhaps",
        _ => "Cause",
    };
    let named = causes
        .iter()
        .map(|cause| format!("{label}: {}", named(cause)));
    lines.extend(named);
    if !causes.is_empty() {
        lines.push(format!("Who acts: {}", who_acts(verdict.actor)));
    }
    let fixes = causes.iter().take(1).flat_map(|cause| &cause.fix);
    lines.extend(fixes.map(|fix| format!("• {}", upper_first(fix))));
    if let Some(why) = answer.standing.why() {
        lines.push(format!("Exit code {}: {why}", answer.standing.exit_code()));
    }
    if let Some(why) = answer.alone {
        lines.push(format!("One vantage judged this alone: {why}"));
    }
    let lines: Vec<String> = lines.iter().map(|line| clean(line)).collect();
    lines.join("\n")
}

fn command(level: &str, title: &str, message: &str) -> String {
    let title = property(&format!("onlyhere: {title}"));
    format!("::{level} title={title}::{}\n", data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Where the runner wants the summary and the outputs, if it says so (`$GITHUB_STEP_SUMMARY`, `$GITHUB_OUTPUT`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// Markdown is appended here.
    pub summary: Option<&'a Path>,
    /// Lines `name=value` are appended here.
    pub output: Option<&'a Path>,
}

impl Files<'_> {
    /// Appends both. The error says which file could not be written.
    pub fn append(&self, answer: &Answer<'_>) -> io::Result<()> {
        append(self.summary, &markdown::answer(answer))?;
        append(self.output, &outputs(answer))
    }
}

/// The outputs of the step.
fn outputs(answer: &Answer<'_>) -> String {
    let report = answer.report;
    let cause = report.verdict.causes.first().map(|cause| cause.id.label());
    let values = [
        ("scope", report.verdict.scope.label().to_owned()),
        ("cause", cause.unwrap_or_default().to_owned()),
        ("exit_code", answer.standing.exit_code().to_string()),
        ("report_id", report.id.as_str().to_owned()),
        ("headline", clean(&report.verdict.headline)),
    ];
    let line = |(name, value): (&str, String)| format!("{name}={value}\n");
    values.into_iter().map(line).collect()
}

fn append(file: Option<&Path>, text: &str) -> io::Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .map_err(told)
}
