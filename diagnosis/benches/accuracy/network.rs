//! What both generators have in common: a network that can be tried, stage by stage, at a simulated time. How a request
//! becomes tries and tries become observations is in `answer`; what the tries come to is each generator's own.

use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    Actor, CauseId, Facts, Family, Outcome, RecordType, ResolverKind, SaidBy, Scope, Stage, Way,
};

/// What one stage came to.
#[derive(Debug, Clone)]
pub struct Step {
    pub stage: Stage,
    pub elapsed_ms: f64,
    pub outcome: Outcome,
    pub said_by: Option<SaidBy>,
    pub facts: Option<Facts>,
    pub detail: Option<&'static str>,
    /// Where it went, when that is not the address of the trip (a proxy).
    pub to: Option<(IpAddr, u16)>,
}

impl Step {
    pub fn new(stage: Stage, elapsed_ms: f64, outcome: Outcome) -> Self {
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

    pub fn not_measured(stage: Stage, why: &'static str) -> Self {
        Self {
            detail: Some(why),
            ..Self::new(stage, 0.0, Outcome::NotMeasured)
        }
    }
}

/// One address, tried by one station.
#[derive(Debug, Clone, Copy)]
pub struct Trip<'a> {
    pub station: usize,
    pub host: &'a str,
    pub address: IpAddr,
    pub port: u16,
    pub tls: bool,
    pub web: bool,
    pub way: &'a Way,
    /// Since the beginning of the check, ms.
    pub at: f64,
    pub timeout_ms: f64,
}

/// One name, asked by one station.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub station: usize,
    pub host: &'a str,
    pub record_type: RecordType,
    pub kind: ResolverKind,
    /// Of `Configured`: who is asked.
    pub resolver: Option<IpAddr>,
    pub timeout_ms: f64,
}

/// What is asked of a generated world.
pub trait Network {
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
pub struct Truth {
    /// `None`: nothing.
    pub cause: Option<CauseId>,
    /// Any of these is right, the first one best: which can be told depends on who is there to tell.
    pub scopes: Vec<Scope>,
    /// Any of these is right.
    pub actors: Vec<Actor>,
    /// Causes that nobody outside can tell from it, here.
    pub lookalikes: Vec<CauseId>,
    /// Scopes that these would lead to.
    pub lookalike_scopes: Vec<Scope>,
    /// Other verdicts that are as right: a fault that ends while one looks.
    pub also: Vec<(Option<CauseId>, Scope)>,
}

impl Truth {
    pub fn new(cause: Option<CauseId>, scopes: &[Scope], actors: &[Actor]) -> Self {
        Self {
            cause,
            scopes: scopes.to_vec(),
            actors: actors.to_vec(),
            lookalikes: Vec::new(),
            lookalike_scopes: Vec::new(),
            also: Vec::new(),
        }
    }

    pub fn global(cause: CauseId) -> Self {
        Self::new(Some(cause), &[Scope::Global], &[Actor::Site])
    }

    pub fn local(cause: CauseId) -> Self {
        Self::new(Some(cause), &[Scope::Local], &[Actor::You])
    }

    pub fn like(mut self, lookalikes: &[CauseId]) -> Self {
        self.lookalikes.extend(lookalikes);
        self
    }

    pub fn like_at(mut self, scopes: &[Scope]) -> Self {
        self.lookalike_scopes.extend(scopes);
        self
    }

    pub fn or(mut self, cause: Option<CauseId>, scope: Scope) -> Self {
        self.also.push((cause, scope));
        self
    }

    /// The cause's id, or `ok`.
    pub fn label(&self) -> &'static str {
        self.cause.map_or("ok", CauseId::label)
    }
}
