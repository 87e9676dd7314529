//! The table a run prints, and what it says about a miss.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::{Judged, Scenario};

const RIGHT: Style = AnsiColor::Green.on_default();
const WRONG: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Widths of the columns, from what will be printed.
#[derive(Debug)]
pub(super) struct Table {
    name: usize,
    expected: usize,
}

impl Table {
    pub(super) fn new(scenarios: &[Scenario]) -> Self {
        let widest = |text: fn(&Scenario) -> usize, least: usize| {
            scenarios.iter().map(text).max().unwrap_or(0).max(least)
        };
        Self {
            name: widest(|scenario| scenario.name.chars().count(), "scenario".len()),
            expected: widest(
                |scenario| scenario.expect.in_short().chars().count(),
                "expected".len(),
            ),
        }
    }

    pub(super) fn head(&self) -> io::Result<()> {
        let (name, expected) = (self.name, self.expected);
        let mut out = anstream::stdout().lock();
        writeln!(
            out,
            "{FAINT}  {:name$}  {:expected$}  {:>7}  got{FAINT:#}",
            "scenario", "expected", "seconds"
        )
    }

    pub(super) fn row(
        &self,
        scenario: &Scenario,
        judged: &Judged,
        took: Duration,
    ) -> io::Result<()> {
        let (name, expected) = (self.name, self.expected);
        let (mark, style) = if judged.misses.is_empty() {
            ("✓", RIGHT)
        } else {
            ("✗", WRONG)
        };
        let mut out = anstream::stdout().lock();
        writeln!(
            out,
            "{style}{mark}{style:#} {:name$}  {FAINT}{:expected$}{FAINT:#}  {:7.2}  {style}{}{style:#}",
            scenario.name,
            scenario.expect.in_short(),
            took.as_secs_f64(),
            judged.got,
        )?;
        out.flush()
    }
}

/// Everything one needs to understand a miss.
pub(super) fn explain(
    scenario: &Scenario,
    judged: &Judged,
    stderr: &str,
    logs: &str,
) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "    {}", scenario.about)?;
    for miss in &judged.misses {
        writeln!(out, "    {WRONG}{miss}{WRONG:#}")?;
    }
    if let Some(report) = &judged.report {
        for line in gist(report) {
            writeln!(out, "    {line}")?;
        }
    }
    if !stderr.trim().is_empty() {
        writeln!(out, "    standard error:\n{}", indented(stderr))?;
    }
    writeln!(out, "{FAINT}{}{FAINT:#}", indented(logs))?;
    out.flush()
}

/// The verdict, the evidence and what every vantage saw, one line each.
fn gist(report: &Value) -> Vec<String> {
    let verdict = &report["verdict"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "{} (confidence {}, actor {}, scopes {})",
        verdict["headline"], verdict["confidence"], verdict["actor"], verdict["scopes"]
    )];
    lines.extend(
        list(&verdict["causes"])
            .iter()
            .take(4)
            .map(|cause| format!("cause {} {}", cause["id"], cause["probability"])),
    );
    lines.extend(list(&verdict["evidence"]).iter().map(|item| {
        format!(
            "evidence {} favours {} by 10^{}",
            item["says"], item["favours"], item["log10_bayes_factor"]
        )
    }));
    lines.extend(
        list(&verdict["advisories"])
            .iter()
            .map(|advisory| format!("advisory {advisory}")),
    );
    lines.push(format!("subject {}", report["subject"]));
    for vantage in list(&report["vantages"]) {
        lines.push(format!(
            "{}, {}",
            word(&vantage["name"]),
            word(&vantage["class"])
        ));
        lines.extend(
            list(&vantage["observations"])
                .iter()
                .map(|seen| format!("    {}", seen_in_short(seen))),
        );
    }
    lines
}

/// `tcp 198.18.1.10:443 refused 28.7 ms, by icmp 3/3 from 198.18.1.10 (target, request 1, slot 0)`
fn seen_in_short(seen: &Value) -> String {
    let facts = &seen["facts"];
    let asked = if facts["dns"].is_object() {
        format!(
            "{} {} @{} ({})",
            word(&seen["host"]),
            word(&facts["dns"]["record_type"]),
            word(&facts["dns"]["resolver"]),
            word(&facts["dns"]["kind"])
        )
    } else {
        format!("{}:{}", word(&seen["address"]), word(&seen["port"]))
    };
    let mut line = format!(
        "{} {asked} {} {} ms",
        word(&seen["stage"]),
        word(&seen["outcome"]),
        word(&seen["elapsed_ms"])
    );
    if !seen["by"].is_null() {
        line.push_str(&format!(", by {}", word(&seen["by"])));
    }
    let icmp = &seen["icmp"];
    if icmp.is_object() {
        line.push_str(&format!(
            " {}/{} from {}",
            icmp["type"],
            icmp["code"],
            word(&icmp["from"])
        ));
    }
    if seen["outcome"] != "ok" && !seen["detail"].is_null() {
        line.push_str(&format!(", {}", word(&seen["detail"])));
    }
    line + &format!(
        " ({}, request {}, slot {})",
        word(&seen["purpose"]),
        seen["request"],
        seen["slot"]
    )
}

/// A value without quotes; `-` for none.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
