//! The table that a run prints.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::Behaviour;
use super::play::Outcome;

const RIGHT: Style = AnsiColor::Green.on_default();
const WRONG: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();
/// Widths of the first two columns; what is longer is cut, or moves the others.
const NAME: usize = 31;
const VERDICT: usize = 64;

pub(super) fn head() -> io::Result<()> {
    writeln!(
        anstream::stdout().lock(),
        "{FAINT}  {:NAME$} {:VERDICT$} {:>6} {:>6} {:>6} {:>6}  honest check{FAINT:#}\n\
         {FAINT}  {:NAME$} {:VERDICT$} {:>6} {:>6} {:>6} {:>6}{FAINT:#}",
        "behaviour",
        "reported",
        "probe",
        "coord.",
        "caller",
        "check",
        "",
        "",
        "MiB",
        "MiB",
        "MiB",
        "s"
    )
}

pub(super) fn row(behaviour: &Behaviour, outcome: &Outcome) -> io::Result<()> {
    let (mark, style) = if outcome.misses.is_empty() {
        ("✓", RIGHT)
    } else {
        ("✗", WRONG)
    };
    let mib = |kib: u64| kib as f64 / 1024.0;
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let honest = match outcome.honest.split_once(':') {
        Some(("ok none", _)) => "ok",
        _ => "wrong",
    };
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{style}{mark}{style:#} {:NAME$} {:VERDICT$} {:6.1} {:6.1} {:6.1} {:6.1}  {honest}",
        behaviour.name,
        cut(&outcome.verdict, VERDICT),
        mib(outcome.probe_kib),
        mib(outcome.coordinator_kib),
        mib(outcome.caller_kib),
        outcome.took.as_secs_f64(),
    )?;
    for miss in &outcome.misses {
        writeln!(out, "    {WRONG}{miss}{WRONG:#}")?;
    }
    out.flush()
}

pub(super) fn total(count: usize, broken: usize, took: Duration) {
    let held = count - broken;
    let minutes = took.as_secs_f64() / 60.0;
    anstream::println!("hostile behaviours: {count}, held: {held}; {minutes:.1} min");
}
