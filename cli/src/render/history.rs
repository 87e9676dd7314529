//! Since when it fails, as earlier checks tell.

use onlyhere_proto::{Evidence, Report, Timestamp};

/// The sentence, unless there is none to say or the evidence that is shown says it itself.
pub(super) fn since(report: &Report, shown: &[&Evidence]) -> Option<String> {
    let history = report.conditions.history;
    let known = [history.failing_since, history.last_ok];
    let told = |at: &Timestamp| {
        let minute = minute(*at);
        shown.iter().any(|evidence| evidence.says.contains(&minute))
    };
    if known.iter().flatten().any(told) {
        return None;
    }
    let now = report.started_at;
    let shown = |at| clock(at, now);
    Some(match (history.failing_since, history.last_ok) {
        (Some(since), Some(ok)) => format!(
            "{} UTC ({}), last reachable {}",
            shown(since),
            ago(since, now),
            shown(ok)
        ),
        (Some(since), None) => format!("{} UTC ({}) at the latest", shown(since), ago(since, now)),
        (None, Some(ok)) => format!(
            "after {} UTC ({}), when it was last reachable",
            shown(ok),
            ago(ok, now)
        ),
        (None, None) => return None,
    })
}

/// `2026-01-02 03:04`
fn minute(at: Timestamp) -> String {
    let text = at.to_string().replace('T', " ");
    text.get(..16).unwrap_or(&text).to_owned()
}

/// The time of day, with the date where it is another.
fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (minute(at), minute(now));
    match (at.split_once(' '), now.split_once(' ')) {
        (Some((day, time)), Some((today, _))) if day == today => time.to_owned(),
        _ => at,
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.0.saturating_sub(at.0).max(0) / 1_000_000;
    match seconds {
        0..60 => "less than a minute ago".to_owned(),
        s if s < 2 * 3_600 => format!("{} min ago", s / 60),
        s if s < 48 * 3_600 => format!("{} hours ago", s / 3_600),
        s => format!("{} days ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds of 2026-01-02 at this hour and minute.
    fn at(hour: i64, minute: i64) -> Timestamp {
        const DAY: i64 = 1_767_312_000;
        Timestamp((DAY + hour * 3_600 + minute * 60) * 1_000_000)
    }

    #[test]
    fn times_are_told_as_people_read_them() {
        let now = at(14, 15);
        assert_eq!(clock(at(14, 3), now), "14:03");
        assert_eq!(clock(at(-1, 0), now), "2026-01-01 23:00");
        for (then, told) in [
            (at(14, 15), "less than a minute ago"),
            (at(14, 16), "less than a minute ago"),
            (at(14, 3), "12 min ago"),
            (at(12, 20), "115 min ago"),
            (at(2, 14), "12 hours ago"),
            (at(-60, 0), "3 days ago"),
        ] {
            assert_eq!(ago(then, now), told);
        }
    }
}
