//! Values that need more than `FromStr`: each error is one sentence that says what would be right.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use onlyhere_proto::limits;

/// Shortest and longest time a check may take.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(500)..=limits::DEADLINE;
/// For how long a check may be tried again.
const RETRY_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// How often `watch` checks: more often would only load the target and the vantages.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3_600);

/// Brackets around an IPv6 address, as targets have them, do no harm.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .map_err(|_| "write an IP address, as in 192.0.2.1 or 2001:db8::1".to_owned())
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    duration(text, &TIMEOUT, "from 500ms to 60s", "10s")
}

pub(super) fn retry_for(text: &str) -> Result<Duration, String> {
    duration(text, &RETRY_FOR, "from 1s to 1h", "2m")
}

pub(super) fn every(text: &str) -> Result<Duration, String> {
    duration(text, &EVERY, "from 5s to 1h", "30s")
}

fn duration(
    text: &str,
    allowed: &RangeInclusive<Duration>,
    words: &str,
    example: &str,
) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is no duration {words}; write a number and ms, s, m or h, as in {example}"
        )
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| allowed.contains(duration))
        .ok_or_else(wrong)
}
