//! What both generators have in common: a network that can be tried, stage by stage, at a simulated time. How a request
//! becomes tries and tries become observations is in `answer`; what the tries come to is each generator's own.

use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    Actor, CauseId, Facts, Family, Outcome, RecordType, ResolverKind, SaidBy, Scope, Stage, Way,
};

/// What one stage came to.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) stage: Stage,
    pub(crate) elapsed_ms: f64,
    pub(crate) outcome: Outcome,
    pub(crate) said_by: Option<SaidBy>,
    pub(crate) facts: Option<Facts>,
    pub(crate) detail: Option<&'static str>,
    /// Where it went, when that is not the address of the trip (a proxy).
    pub(crate) to: Option<(IpAddr, u16)>,
}

impl Step {
    pub(crate) fn new(stage: Stage, elapsed_ms: f64, outcome: Outcome) -> Self {
        Self {
            stage,
            elapsed_ms,
            outcome,
            said_by: None,
            facts: None,
            detail: None,
            to: None,
        }
    }

    pub(crate) fn not_measured(stage: Stage, why: &'static str) -> Self {
        Self {
            detail: Some(why),
            ..Self::new(stage, 0.0, Outcome::NotMeasured)
        }
    }
}

/// One address, tried by one station.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trip<'a> {
    pub(crate) station: usize,
    pub(crate) host: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) web: bool,
    pub(crate) way: &'a Way,
    /// Since the beginning of the check, ms.
    pub(crate) at: f64,
    pub(crate) timeout_ms: f64,
}

/// One name, asked by one station.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) station: usize,
    pub(crate) host: &'a str,
    pub(crate) record_type: RecordType,
    pub(crate) kind: ResolverKind,
    /// Of `Configured`: who is asked.
    pub(crate) resolver: Option<IpAddr>,
    pub(crate) timeout_ms: f64,
}

/// What is asked of a generated world.
pub(crate) trait Network {
    /// What the diagnosis is told.
    fn case(&self) -> &Case;
    /// What is the matter.
    fn truth(&self) -> &Truth;
    /// To the coordinator, one way, ms; `None` from the moment on at which the station is gone without a word.
    fn link_ms(&mut self, station: usize, at: f64) -> Option<f64>;
    /// The local address that the station tries from.
    fn source(&self, station: usize, family: Family) -> Option<IpAddr>;
    /// What the station's hosts file says.
    fn hosts_entries(&self, station: usize, host: &str) -> Vec<IpAddr>;
    /// One step for everybody who was asked.
    fn resolve(&mut self, question: &Question<'_>) -> Vec<Step>;
    /// TCP, TLS and HTTP as far as asked and as far as they succeed.
    fn climb(&mut self, trip: &Trip<'_>) -> Vec<Step>;
    /// An echo request.
    fn echo(&mut self, trip: &Trip<'_>) -> Step;
    /// A SYN with this time to live; the step's `said_by` tells who answered.
    fn rung(&mut self, trip: &Trip<'_>, ttl: u8) -> Step;
    /// Whether the caller's address is on this list; `None`: the list does not answer.
    fn listed(&mut self, zone: &str) -> Option<bool>;
}

/// What is the matter with a case, and what counts as having found it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Truth {
    /// `None`: nothing.
    pub(crate) cause: Option<CauseId>,
    /// Any of these is right, the first one best: which can be told depends on who is there to tell.
    pub(crate) scopes: Vec<Scope>,
    /// Any of these is right.
    pub(crate) actors: Vec<Actor>,
    /// Causes that nobody outside can tell from it, here.
    pub(crate) lookalikes: Vec<CauseId>,
    /// Scopes that these would lead to.
    pub(crate) lookalike_scopes: Vec<Scope>,
    /// Other verdicts that are as right: a fault that ends while one looks.
    pub(crate) also: Vec<(Option<CauseId>, Scope)>,
}

impl Truth {
    pub(crate) fn new(cause: Option<CauseId>, scopes: &[Scope], actors: &[Actor]) -> Self {
        Self {
            cause,
            scopes: scopes.to_vec(),
            actors: actors.to_vec(),
            lookalikes: Vec::new(),
            lookalike_scopes: Vec::new(),
            also: Vec::new(),
        }
    }

    pub(crate) fn global(cause: CauseId) -> Self {
        Self::new(Some(cause), &[Scope::Global], &[Actor::Site])
    }

    pub(crate) fn local(cause: CauseId) -> Self {
        Self::new(Some(cause), &[Scope::Local], &[Actor::You])
    }

    pub(crate) fn like(mut self, lookalikes: &[CauseId]) -> Self {
        self.lookalikes.extend(lookalikes);
        self
    }

    pub(crate) fn like_at(mut self, scopes: &[Scope]) -> Self {
        self.lookalike_scopes.extend(scopes);
        self
    }

    pub(crate) fn or(mut self, cause: Option<CauseId>, scope: Scope) -> Self {
        self.also.push((cause, scope));
        self
    }

    /// The cause's id, or `ok`.
    pub(crate) fn label(&self) -> &'static str {
        self.cause.map_or("ok", CauseId::label)
    }
}
