//! The machine's clock, as reports write it; and lengths of time, as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onlyhere_proto::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// 24 hours.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a length of time such as 90s, 30m, 24h or 7d.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number and a unit (s, m, h, d), as in 30m, 24h or 7d".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let unit = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(unit.1) {
        Some(total @ 1..=3_153_600_000) => Ok(Duration::from_secs(total)),
        _ => Err("a time is from a second to a hundred years".into()),
    }
}

/// Writes it in the largest unit that leaves no rest; parts of a second are left out.
pub fn show_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let fits = |(_, unit): &&(&str, u64)| seconds.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(fits).unwrap_or(&("s", 1));
    format!("{}{name}", seconds / unit)
}

/// Each with its seconds, the largest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, time) in [
            ("90s", Duration::from_secs(90)),
            ("24h", DAY),
            ("7d", 7 * DAY),
        ] {
            assert_eq!(parse_duration(text), Ok(time));
        }
        for time in ["90s", "1d", "7d", "36h", "5m"] {
            assert_eq!(show_duration(parse_duration(time).unwrap()), time);
        }
        for wrong in [
            "",
            "24",
            "h",
            "1w",
            "-1h",
            "0s",
            "1.5h",
            "99999999999999999999d",
            "9999999999999d",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
