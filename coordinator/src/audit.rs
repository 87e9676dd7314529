//! The audit log: who did what, to what, from where, when, and what came of it.
//!
//! Every administrative act and every check is a line. Where an act changes state, its line is committed together with
//! the change, so that there is no act without its line ([`crate::store::Change::Audit`]); what changes nothing, such as
//! a refused join, goes through [`Audit::record`].

use std::{
    net::IpAddr,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
};

use onlyhere_proto::{CheckId, Target, Timestamp, VantageName, limits};
use serde::{Serialize, Serializer};

use crate::{
    clock,
    store::{Change, Store, StoreError},
    tokens::Token,
};

/// Lines that strangers, who need no token for it, may cause in a minute; what is more is counted in one line.
const OF_STRANGERS: u32 = 60;
/// Longest text of a line, bytes: a target's.
const LONGEST: usize = 2_048;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A token was made.
    TokenCreated,
    /// A token was withdrawn.
    TokenRevoked,
    /// A probe joined.
    ProbeEnrolled,
    /// A probe's certificate was renewed.
    ProbeRenewed,
    /// A probe was struck off.
    ProbeRevoked,
    /// Somebody who wanted to join was turned away.
    JoinRefused,
    /// A probe whose key was replaced, or that was struck off, was turned away.
    AttachRefused,
    /// Two machines use one identity.
    ProbeDuplicated,
    /// The certificate authority has a new key.
    CaRotated,
    /// The certificate authority before it is trusted no more.
    CaRetired,
    /// A backup took the place of the state.
    Restored,
    /// What an earlier version kept in a file was taken over.
    TakenOver,
    /// A target was checked.
    Check,
    /// Written by another version of this program.
    Other(String),
}

impl Act {
    const KNOWN: [Self; 13] = [
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::ProbeEnrolled,
        Self::ProbeRenewed,
        Self::ProbeRevoked,
        Self::JoinRefused,
        Self::AttachRefused,
        Self::ProbeDuplicated,
        Self::CaRotated,
        Self::CaRetired,
        Self::Restored,
        Self::TakenOver,
        Self::Check,
    ];

    /// The stable label.
    pub fn label(&self) -> &str {
        match self {
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::ProbeEnrolled => "probe_enrolled",
            Self::ProbeRenewed => "probe_renewed",
            Self::ProbeRevoked => "probe_revoked",
            Self::JoinRefused => "join_refused",
            Self::AttachRefused => "attach_refused",
            Self::ProbeDuplicated => "probe_duplicated",
            Self::CaRotated => "ca_rotated",
            Self::CaRetired => "ca_retired",
            Self::Restored => "restored",
            Self::TakenOver => "taken_over",
            Self::Check => "check",
            Self::Other(label) => label,
        }
    }

    /// The act of a label.
    pub fn of_label(label: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|act| act.label() == label);
        known.unwrap_or_else(|| Self::Other(label.to_owned()))
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Somebody with a shell on the coordinator's machine, by the number of the user.
    Operator(String),
    /// The bearer of a token.
    Token {
        /// The token's id.
        id: String,
        /// Its name.
        name: String,
    },
    /// An enrolled probe, by its name.
    Probe(String),
    /// Somebody who has shown nothing that is known.
    Stranger,
    /// The coordinator by itself.
    Coordinator,
}

/// Who did it, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub who: Who,
    /// The address it came from; none: this machine, or unknown.
    pub from: Option<IpAddr>,
}

impl By {
    /// The user who runs this process.
    pub fn operator() -> Self {
        let user = std::fs::metadata("/proc/self").map(|data| format!("uid {}", data.uid()));
        Self {
            who: Who::Operator(user.unwrap_or_else(|_| "uid unknown".into())),
            from: None,
        }
    }

    /// The bearer of a token.
    pub fn token(token: &Token, from: Option<IpAddr>) -> Self {
        let who = Who::Token {
            id: token.id.clone(),
            name: token.name.to_string(),
        };
        Self { who, from }
    }

    /// An enrolled probe.
    pub fn probe(name: &VantageName, from: Option<IpAddr>) -> Self {
        Self {
            who: Who::Probe(name.to_string()),
            from,
        }
    }

    /// Nobody known.
    pub const fn stranger(from: IpAddr) -> Self {
        Self {
            who: Who::Stranger,
            from: Some(from),
        }
    }

    /// The coordinator by itself.
    pub const fn coordinator() -> Self {
        Self {
            who: Who::Coordinator,
            from: None,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: Act,
    /// Who, from where.
    pub by: By,
    /// To what: a token's id and name, a probe's name, a target.
    pub subject: String,
    /// What came of it: a verdict's scope, why it was refused; empty when there is nothing to add.
    pub outcome: String,
    /// Of a check.
    pub check: Option<CheckId>,
}

impl Event {
    /// The outcome of a check that is under way, or was when the coordinator was killed.
    pub const BEGUN: &str = "begun";

    /// Something done now. Texts are cut and rid of control characters, whoever wrote them.
    pub fn new(act: Act, by: By, subject: &str, outcome: &str) -> Self {
        Self {
            at: clock::now(),
            act,
            by,
            subject: limits::plain_text(subject, LONGEST),
            outcome: limits::plain_text(outcome, LONGEST),
            check: None,
        }
    }

    /// A check that begins now.
    pub fn check(check: &CheckId, target: &Target, by: By) -> Self {
        Self {
            check: Some(check.clone()),
            ..Self::new(Act::Check, by, &target.input, Self::BEGUN)
        }
    }

    /// The same with what came of it.
    pub fn with_outcome(&self, outcome: &str) -> Self {
        Self {
            outcome: limits::plain_text(outcome, LONGEST),
            ..self.clone()
        }
    }
}

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// None older than this.
    pub since: Option<Timestamp>,
    /// Of this act only.
    pub act: Option<Act>,
    /// No more than this, the latest.
    pub limit: u32,
}

/// Writes lines for acts that change nothing else.
#[derive(Debug)]
pub struct Audit {
    store: Arc<dyn Store>,
    strangers: Mutex<Allowance>,
}

impl Audit {
    /// Into this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            strangers: Mutex::default(),
        }
    }

    /// Writes a line. What cannot be written is told in the log, with the line; strangers get no more than
    /// a bounded number of lines a minute.
    pub async fn record(&self, event: Event) {
        let mut events = vec![event];
        if events[0].by.who == Who::Stranger {
            let mut allowance = self
                .strangers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match allowance.take(events[0].at) {
                None => return,
                Some(0) => {}
                Some(missed) => {
                    let says = format!("{missed} more were turned away");
                    let more = Event::new(Act::JoinRefused, By::coordinator(), "", &says);
                    events.insert(0, more);
                }
            }
        }
        let lost = events.clone();
        if let Err(error) = self.write(events).await {
            for event in lost {
                tracing::error!(%error, act = event.act.label(), by = ?event.by, subject = event.subject,
                    outcome = event.outcome, "the audit log cannot be written");
            }
        }
    }

    async fn write(&self, events: Vec<Event>) -> Result<(), StoreError> {
        let changes = events.into_iter().map(Change::Audit).collect();
        self.store.commit(changes).await.map(|_| ())
    }
}

/// What strangers may still cause in this minute.
#[derive(Debug, Default)]
struct Allowance {
    minute: i64,
    used: u32,
    missed: u64,
}

impl Allowance {
    /// None: no more in this minute; else how many were missed in an earlier one.
    fn take(&mut self, now: Timestamp) -> Option<u64> {
        let minute = now.0.div_euclid(60_000_000);
        if minute != self.minute {
            self.minute = minute;
            self.used = 0;
        }
        if self.used >= OF_STRANGERS {
            self.missed += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.missed))
    }
}

impl Who {
    /// Kind, id and name, as they are stored.
    pub(crate) fn parts(&self) -> (&'static str, Option<&str>, Option<&str>) {
        match self {
            Self::Operator(user) => ("operator", None, Some(user)),
            Self::Token { id, name } => ("token", Some(id), Some(name)),
            Self::Probe(name) => ("probe", None, Some(name)),
            Self::Stranger => ("stranger", None, None),
            Self::Coordinator => ("coordinator", None, None),
        }
    }

    /// The other way.
    pub(crate) fn of_parts(kind: &str, id: Option<String>, name: Option<String>) -> Self {
        let name = name.unwrap_or_default();
        match (kind, id) {
            ("operator", _) => Self::Operator(name),
            ("token", id) => Self::Token {
                id: id.unwrap_or_default(),
                name,
            },
            ("probe", _) => Self::Probe(name),
            ("coordinator", _) => Self::Coordinator,
            _ => Self::Stranger,
        }
    }
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, id, name) = self.who.parts();
        f.write_str(kind)?;
        for part in [id, name].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        match self.from {
            Some(from) => write!(f, " from {from}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: Timestamp,
            act: &'a str,
            who: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            who_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            who_name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            from: Option<IpAddr>,
            subject: &'a str,
            outcome: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            check: Option<&'a CheckId>,
        }
        let (who, who_id, who_name) = self.by.who.parts();
        Line {
            at: self.at,
            act: self.act.label(),
            who,
            who_id,
            who_name,
            from: self.by.from,
            subject: &self.subject,
            outcome: &self.outcome,
            check: self.check.as_ref(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_read_back_by_their_label_and_unknown_ones_are_kept() {
        for act in Act::KNOWN {
            assert_eq!(Act::of_label(act.label()), act);
        }
        let other = Act::of_label("moon_landed");
        assert_eq!(other.label(), "moon_landed");
    }

    #[test]
    fn strangers_fill_no_more_than_their_share_and_what_is_missed_is_counted() {
        let mut allowance = Allowance::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        for _ in 0..OF_STRANGERS {
            assert_eq!(allowance.take(at(0)), Some(0));
        }
        for _ in 0..37 {
            assert_eq!(allowance.take(at(59)), None);
        }
        assert_eq!(allowance.take(at(60)), Some(37));
        assert_eq!(allowance.take(at(60)), Some(0));
    }

    #[test]
    fn text_from_strangers_steers_no_terminal() {
        let by = By::stranger("192.0.2.1".parse().unwrap());
        let event = Event::new(Act::JoinRefused, by, "a\u{1b}[31mb\r\n", &"x".repeat(9_000));
        assert!(!event.subject.contains(char::is_control), "{event:?}");
        assert_eq!(event.outcome.len(), LONGEST);
    }
}
