//! What `onlyhere watch` shows: a block that is drawn again on a terminal, or a line for each change.

use std::time::Duration;

use jiff::tz::TimeZone;
use onlyhere_proto::{Report, Scope, Timestamp};

use super::{
    page::{Page, clean},
    style::{BAD, CARE, DIM, GOOD, PLAIN},
    table,
    words::{named, symbol},
};

/// When what is shown was seen.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The clock.
    pub now: Timestamp,
    /// Since when the verdict stands.
    pub since: Timestamp,
    /// The verdict before, and since when it stood.
    pub before: Option<(Timestamp, &'a str)>,
    /// Why it is one vantage's word, where it is.
    pub alone: Option<&'a str>,
    /// When it is checked again; none: no more.
    pub again: Option<Duration>,
    /// The person's time zone.
    pub zone: &'a TimeZone,
}

/// The verdict, since when, and who sees what.
pub fn block(report: &Report, moment: &Moment<'_>, width: usize) -> String {
    let mut page = Page::new(width);
    let verdict = &report.verdict;
    let colour = match verdict.scope {
        Scope::Ok => GOOD,
        Scope::Inconclusive => CARE,
        _ => BAD,
    };
    let lead = format!("{} ", symbol(verdict.scope));
    page.paragraph(&lead, colour.bold(), 2, &verdict.headline, colour.bold());
    if verdict.scope != Scope::Ok
        && let Some(cause) = verdict.causes.first()
    {
        page.paragraph("  ", PLAIN, 2, &named(cause), PLAIN);
    }
    let mut times = vec![
        report.target.input.clone(),
        format!("since {}", clock(moment.since, moment)),
        format!("checked {}", clock(moment.now, moment)),
    ];
    if let Some(again) = moment.again {
        times.push(format!("every {:.0} s", again.as_secs_f64()));
    }
    page.paragraph("  ", PLAIN, 2, &times.join(" · "), DIM);
    if let Some((since, headline)) = moment.before {
        let before = format!("before, from {}: {headline}", clock(since, moment));
        page.paragraph("  ", PLAIN, 2, &before, DIM);
    }
    if let Some(why) = moment.alone {
        let alone = format!("one vantage judged this alone: {why}");
        page.paragraph("  ", PLAIN, 2, &alone, DIM);
    }
    page.gap();
    table::outcomes(&mut page, report);
    page.finish()
}

/// The same in one line, with the date, for a log.
pub fn line(report: &Report, moment: &Moment<'_>) -> String {
    let verdict = &report.verdict;
    let cause = verdict
        .causes
        .first()
        .filter(|_| verdict.scope != Scope::Ok);
    let cause = cause
        .map(|cause| format!(", {}", cause.id))
        .unwrap_or_default();
    let mut line = format!(
        "{} {} {} ({}{cause})",
        local(moment.now, moment.zone, "%Y-%m-%d %H:%M:%S"),
        symbol(verdict.scope),
        verdict.headline,
        verdict.scope
    );
    if let Some((since, headline)) = moment.before {
        let since = local(since, moment.zone, "%H:%M");
        line.push_str(&format!("; before, from {since}: {headline}"));
    }
    clean(&line) + "\n"
}

/// The time of day where the person is, with the date where it is another day's.
fn clock(at: Timestamp, moment: &Moment<'_>) -> String {
    let day = |at| local(at, moment.zone, "%Y-%m-%d");
    match day(at) == day(moment.now) {
        true => local(at, moment.zone, "%H:%M"),
        false => local(at, moment.zone, "%Y-%m-%d %H:%M"),
    }
}

fn local(at: Timestamp, zone: &TimeZone, format: &str) -> String {
    match jiff::Timestamp::from_microsecond(at.0) {
        Ok(time) => time.to_zoned(zone.clone()).strftime(format).to_string(),
        // Beyond what has a date.
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::baseline::tests::report;

    #[test]
    fn times_are_those_of_the_persons_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        // 2026-01-02 22:03 UTC is the third there.
        let at = Timestamp(1_767_391_380_000_000);
        let later = Timestamp(at.0 + 26 * 3_600_000_000);
        let moment = |now, since| Moment {
            now,
            since,
            before: Some((at, "Reachable")),
            alone: None,
            again: Some(Duration::from_secs(30)),
            zone: &zone,
        };
        assert_eq!(clock(at, &moment(at, at)), "00:03");
        assert_eq!(clock(at, &moment(later, at)), "2026-01-03 00:03");
        let mut down = report(Scope::Global, &[onlyhere_proto::CauseId::ServiceDown], &[]);
        down.verdict.headline = "Refused\neverywhere".into();
        assert_eq!(
            line(&down, &moment(at, at)),
            "2026-01-03 00:03:00 ✗ Refused\u{fffd}everywhere (global, service_down); before, from 00:03: Reachable\n"
        );
        let shown = block(&down, &moment(at, at), 80);
        let shown = anstream::adapter::strip_str(&shown).to_string();
        assert!(
            shown.contains("https://shop.example · since 00:03 · checked 00:03 · every 30 s"),
            "{shown}"
        );
    }
}
