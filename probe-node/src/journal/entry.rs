//! One line of the journal.

use std::net::IpAddr;

use jiff::Timestamp;
use onlyhere_proto::limits::plain_text;
use serde::{Deserialize, Serialize};

/// Addresses named in one line.
pub(super) const ADDRESSES: usize = 24;
/// Refusals named in one line.
pub(super) const DENIED: usize = 8;
/// Outcomes named in one line.
const OUTCOMES: usize = 24;
/// Bytes of the target, and of any one refusal.
const TARGET: usize = 512;
const REFUSAL: usize = 240;

/// What one request came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it came.
    pub at: Timestamp,
    /// Who asked: the coordinator's address.
    pub coordinator: String,
    /// The whole check it belongs to; the coordinator knows whose it is.
    pub check: String,
    /// Its number within the check.
    pub request: u32,
    /// Why it was asked.
    pub purpose: String,
    /// What was asked for.
    pub target: String,
    /// Who was sent packets, besides this machine's own resolvers.
    pub addresses: Vec<IpAddr>,
    /// TCP connections tried.
    pub connections: u32,
    /// Stage and outcome, with how often: `tcp ok x2`.
    pub outcomes: Vec<String>,
    /// What was not done, and why not.
    pub denied: Vec<String>,
    /// From its receipt to its end, milliseconds.
    pub ms: u64,
}

impl Entry {
    /// One line of JSON with its end, at most 8 KiB, without control characters.
    pub(super) fn to_line(&self) -> String {
        let bounded = Self {
            target: plain_text(&self.target, TARGET),
            addresses: self.addresses.iter().take(ADDRESSES).copied().collect(),
            outcomes: self.outcomes.iter().take(OUTCOMES).cloned().collect(),
            denied: (self.denied.iter().take(DENIED))
                .map(|why| plain_text(why, REFUSAL))
                .collect(),
            coordinator: plain_text(&self.coordinator, TARGET),
            ..self.clone()
        };
        let mut line =
            serde_json::to_string(&bounded).expect("texts, numbers and lists are always JSON");
        line.push('\n');
        line
    }

    /// For a person: a line, and one more for each refusal.
    pub fn to_text(&self) -> String {
        let plain = |text: &str| plain_text(text, TARGET);
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let listed = |all: &[String], none: &str| match all {
            [] => none.to_owned(),
            some => plain(&some.join(", ")),
        };
        let seconds = self.at.strftime("%Y-%m-%d %H:%M:%SZ");
        let connections = match self.connections {
            1 => "1 connection".to_owned(),
            n => format!("{n} connections"),
        };
        let mut text = format!(
            "{seconds}  {}  {} to {}  {}  {} ms  {} for {} of {}",
            plain(&self.target),
            connections,
            listed(&addresses, "nobody"),
            listed(&self.outcomes, "nothing"),
            self.ms,
            plain(&self.purpose),
            plain(&self.check),
            plain(&self.coordinator),
        );
        for why in &self.denied {
            text.push_str("\n    not done: ");
            text.push_str(&plain(why));
        }
        text
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            coordinator: "coordinator.example:7443".to_owned(),
            check: "01JD0000000000000000000000".to_owned(),
            request: 1,
            purpose: "target".to_owned(),
            target: "https://shop.example".to_owned(),
            addresses: vec![[192, 0, 2, 1].into()],
            connections: 1,
            outcomes: vec!["tcp ok".to_owned()],
            denied: Vec::new(),
            ms: 12,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_a_line_that_cannot_steer_a_terminal() {
        let entry = Entry {
            target: "https://shop.example/\u{1b}]0;x\u{7}".to_owned(),
            denied: vec!["10.0.0.1 (private)\r\nis not tried".to_owned()],
            ..Entry::example()
        };
        assert_eq!(
            entry.to_text(),
            "2026-01-02 03:04:05Z  https://shop.example/\u{fffd}]0;x\u{fffd}  1 connection to 192.0.2.1  tcp ok  \
             12 ms  target for 01JD0000000000000000000000 of coordinator.example:7443\n    \
             not done: 10.0.0.1 (private)\u{fffd}\u{fffd}is not tried"
        );
        let nothing = Entry {
            addresses: Vec::new(),
            connections: 0,
            outcomes: Vec::new(),
            ..Entry::example()
        };
        assert!(
            nothing
                .to_text()
                .contains("0 connections to nobody  nothing")
        );
    }
}
