//! `onlyhere watch`: checks again and again, and says what changed and since when.
//!
//! A verdict that could not be decided is shown and is no change: the next one may well be the old one. While the fault
//! is an HTTP answer the others are not asked each time ([`crate::check::again`]).

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use console::Term;
use jiff::tz::TimeZone;
use onlyhere_proto::{CauseId, Report, Scope, Timestamp};

use crate::{
    args::{Until, WatchArgs},
    check::{Asked, Checker, Concluded, may_pass},
    error::CliError,
    render::{
        self,
        watch::{self as drawn, Moment},
    },
};

/// Watches until what was asked for has come. Ends with [`CliError::Interrupted`] at Ctrl-C.
pub async fn run(args: WatchArgs) -> Result<ExitCode, CliError> {
    let checker = Checker::new(args.question.clone(), false)?;
    if let Some(warning) = checker.warning() {
        render::complain(&warning);
    }
    let mut screen = Screen::new(!args.no_bell);
    let mut seen = Seen::default();
    let mut last: Option<Asked> = None;
    loop {
        match look(&checker, last.as_ref()).await {
            Ok(Some(asked)) => last = Some(asked),
            Ok(None) => {}
            Err(error) if may_pass(&error) => {
                // What was drawn before is no longer where it was.
                screen.lines = 0;
                render::complain(&error.to_string());
            }
            Err(error) => return Err(screen.left(error)),
        }
        if let Some(asked) = &last {
            let concluded = &asked.concluded;
            let report = &concluded.report;
            let change = seen.note(report, now());
            let ends = match args.until {
                Until::Change => change == Change::Other,
                Until::Ok => report.verdict.scope == Scope::Ok,
                Until::Never => false,
            };
            screen.show(concluded, &seen, change, (!ends).then_some(args.every))?;
            if ends {
                return Ok(ExitCode::SUCCESS);
            }
        }
        let pause = args.every.mul_f64(rand::random_range(0.9..1.1));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Err(screen.left(CliError::Interrupted)),
        }
    }
}

/// What everybody sees now; none when the others may not be asked again yet and this machine sees what it saw.
async fn look(checker: &Checker, last: Option<&Asked>) -> Result<Option<Asked>, CliError> {
    match last {
        None => checker.check().await.map(|c| Some(Asked::now(c))),
        Some(asked) if asked.may_be_asked_again(checker).await? => {
            checker.check_quietly().await.map(|c| Some(Asked::now(c)))
        }
        Some(_) => Ok(None),
    }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// What makes a verdict a different one.
type Gist = (Scope, Option<CauseId>);

fn gist(report: &Report) -> Gist {
    let verdict = &report.verdict;
    let cause = verdict.causes.first().map(|cause| cause.id);
    (verdict.scope, cause.filter(|_| verdict.scope != Scope::Ok))
}

/// The verdict that stands, and since when.
#[derive(Debug, Default)]
struct Seen {
    stands: Option<(Gist, Timestamp, String)>,
    /// The one before, with its headline.
    before: Option<(Timestamp, String)>,
}

/// What a further report is to what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// There was none before.
    First,
    /// The same.
    None,
    /// Undecided; what stood still stands.
    Undecided,
    /// Another verdict.
    Other,
}

impl Seen {
    /// Takes note of a report at `now`.
    fn note(&mut self, report: &Report, now: Timestamp) -> Change {
        let gist = gist(report);
        let failing_since = report.conditions.history.failing_since;
        let since = failing_since
            .filter(|since| gist.0 != Scope::Ok && *since < now)
            .unwrap_or(now);
        let headline = report.verdict.headline.clone();
        match self.stands.take() {
            None => {
                self.stands = Some((gist, since, headline));
                Change::First
            }
            Some(stands) if stands.0 == gist => {
                self.stands = Some(stands);
                Change::None
            }
            Some(stands) if gist.0 == Scope::Inconclusive => {
                self.stands = Some(stands);
                Change::Undecided
            }
            Some((_, since, before)) => {
                self.before = Some((since, before));
                self.stands = Some((gist, now, headline));
                Change::Other
            }
        }
    }
}

/// Where it is shown: redrawn on a terminal, a line for each change elsewhere.
struct Screen {
    terminal: Option<Term>,
    zone: TimeZone,
    bell: bool,
    lines: usize,
}

impl Screen {
    fn new(bell: bool) -> Self {
        let terminal = Some(Term::stdout()).filter(Term::is_term);
        Self {
            bell: bell && terminal.is_some(),
            terminal,
            zone: TimeZone::system(),
            lines: 0,
        }
    }

    fn show(
        &mut self,
        concluded: &Concluded,
        seen: &Seen,
        change: Change,
        again: Option<Duration>,
    ) -> Result<(), CliError> {
        let report = &concluded.report;
        let since = seen.stands.as_ref().map_or(report.started_at, |s| s.1);
        let moment = Moment {
            now: now(),
            since: if change == Change::Undecided {
                now()
            } else {
                since
            },
            before: seen.before.as_ref().map(|(at, text)| (*at, text.as_str())),
            alone: concluded.alone.as_deref(),
            again,
            zone: &self.zone,
        };
        let shown = match &self.terminal {
            Some(terminal) => {
                if self.bell && change == Change::Other {
                    // A bell that does not ring is no failure.
                    let _ = terminal.write_str("\x07");
                }
                let lines = std::mem::take(&mut self.lines);
                terminal.clear_last_lines(lines).and_then(|()| {
                    let mut drawn_lines = 0;
                    render::print(|width| {
                        let text = drawn::block(report, &moment, width);
                        drawn_lines = text.lines().count();
                        text
                    })?;
                    self.lines = drawn_lines;
                    Ok(())
                })
            }
            None if change == Change::None || change == Change::Undecided => Ok(()),
            None => render::print_plain(&drawn::line(report, &moment)),
        };
        shown.map_err(|error| CliError::own("what is watched cannot be shown", error))
    }

    /// The terminal has echoed Ctrl-C; what comes next begins on a line of its own.
    fn left(&self, error: CliError) -> CliError {
        if self.terminal.is_some() && matches!(error, CliError::Interrupted) {
            let _ = writeln!(io::stdout());
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::baseline::tests::report;

    #[test]
    fn an_undecided_verdict_is_no_change() {
        let at = |minute: i64| Timestamp(minute * 60_000_000);
        let well = report(Scope::Ok, &[], &[]);
        let down = report(Scope::Global, &[CauseId::ServiceDown], &[]);
        let other = report(Scope::Global, &[CauseId::HostDown], &[]);
        let unknown = report(Scope::Inconclusive, &[CauseId::HostDown], &[]);
        let mut seen = Seen::default();
        for (minute, report, change, since) in [
            (1, &well, Change::First, 1),
            (2, &well, Change::None, 1),
            (3, &unknown, Change::Undecided, 1),
            (4, &well, Change::None, 1),
            (5, &down, Change::Other, 5),
            (6, &unknown, Change::Undecided, 5),
            (7, &down, Change::None, 5),
            (8, &other, Change::Other, 8),
        ] {
            assert_eq!(seen.note(report, at(minute)), change, "{minute}");
            assert_eq!(seen.stands.as_ref().unwrap().1, at(since), "{minute}");
        }
        assert_eq!(seen.before.as_ref().unwrap().0, at(5));
    }

    #[test]
    fn a_fault_that_began_before_is_told_from_its_beginning() {
        let mut down = report(Scope::Global, &[], &[]);
        down.conditions.history.failing_since = Some(Timestamp(5));
        let mut seen = Seen::default();
        seen.note(&down, Timestamp(9));
        assert_eq!(seen.stands.unwrap().1, Timestamp(5));
    }
}
