//! Small pieces of sentences.

use onlyhere_proto::{Timestamp, VantageName};

use super::Finding;
use crate::digest::Attempt;
use crate::sign::Kind;

/// `31 ms`, `0.1 ms`, `1.2 s`.
pub(super) fn time(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1_000.0),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1_000.0),
        _ => format!("{:.1} s", micros as f64 / 1_000_000.0),
    }
}

/// `31-120 ms`, or one value.
pub(super) fn range(mut values: Vec<u64>) -> String {
    values.sort_unstable();
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return String::new();
    };
    let (a, b) = (time(*first), time(*last));
    if a == b {
        return a;
    }
    match (a.strip_suffix(" ms"), b.ends_with(" ms")) {
        (Some(a), true) => format!("{a}-{b}"),
        _ => format!("{a} to {b}"),
    }
}

/// `1 network`, `6 networks`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`; more than five are counted.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= 5 => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..4].join(", "), names.len() - 4),
    }
}

/// A vantage as a sentence names it.
pub(super) fn name(finding: Finding<'_>, vantage: usize) -> String {
    if finding.subject() == Some(vantage) {
        "you".to_owned()
    } else {
        finding.case.vantages[vantage].id.to_string()
    }
}

/// Vantages' ids.
pub(super) fn ids(finding: Finding<'_>, vantages: &[usize]) -> Vec<VantageName> {
    vantages
        .iter()
        .map(|v| finding.case.vantages[*v].id.clone())
        .collect()
}

/// What an attempt came to, as a predicate: `is refused`, `gets no answer`.
pub(super) fn predicate(attempt: &Attempt) -> String {
    let icmp = || {
        attempt.icmp.map_or(String::new(), |icmp| {
            format!(
                " (ICMP {}/{} from {})",
                icmp.icmp_type, icmp.code, icmp.from
            )
        })
    };
    match attempt.sign.kind {
        Kind::Ok => "connects".to_owned(),
        Kind::Rst => "is refused (reset)".to_owned(),
        Kind::PortUnreachable => format!("is refused{}", icmp()),
        Kind::Prohibited => format!("is turned away{}", icmp()),
        Kind::Unreachable => format!("is told that it is unreachable{}", icmp()),
        Kind::Timeout => "gets no answer".to_owned(),
        Kind::Stalled => "connects and then gets no answer".to_owned(),
        Kind::Reset => "connects and is cut off".to_owned(),
        Kind::TlsExpired => "gets a certificate that is not valid today".to_owned(),
        Kind::TlsName => "gets a certificate for other names".to_owned(),
        Kind::TlsUntrusted => "gets a certificate that nobody trusted has signed".to_owned(),
        Kind::TlsOther => "fails at the TLS handshake".to_owned(),
        Kind::HttpDenied
        | Kind::HttpUnlawful
        | Kind::HttpLimited
        | Kind::HttpServer
        | Kind::HttpOther => match attempt.status {
            Some(status) => format!("gets HTTP {status}"),
            None => "gets an HTTP error".to_owned(),
        },
    }
}

/// What an attempt through a proxy came to.
pub(super) fn came_to(kind: Kind) -> &'static str {
    match kind {
        Kind::Ok => "it works",
        Kind::Rst | Kind::PortUnreachable => "refused",
        Kind::Prohibited => "turned away",
        Kind::Unreachable => "unreachable",
        Kind::Timeout => "no answer",
        Kind::Stalled => "opened, then no answer",
        Kind::Reset => "opened, then cut off",
        Kind::TlsExpired | Kind::TlsName | Kind::TlsUntrusted => "a certificate that does not hold",
        Kind::TlsOther => "the TLS handshake fails",
        _ => "an HTTP error",
    }
}

/// The same of several vantages.
pub(super) fn plural(predicate: &str) -> String {
    predicate
        .replacen("is ", "are ", 1)
        .replacen("connects", "connect", 1)
        .replacen("gets ", "get ", 1)
        .replacen("fails ", "fail ", 1)
}

/// Without its capital, unless that is a name's or an abbreviation's.
pub(super) fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// `2026-01-02 03:04 UTC`.
pub(super) fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    match text.get(..16) {
        Some(minute) if text.ends_with('Z') => format!("{} UTC", minute.replace('T', " ")),
        _ => text,
    }
}

/// Text from outside, cut to what a sentence can hold.
pub(super) fn quoted(text: &str) -> String {
    onlyhere_proto::limits::plain_text(text, 60)
}

/// With a capital.
pub(super) fn upper(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}
