//! From observations to a verdict. Pure: no socket, no clock, no task, no randomness, no global.
//!
//! [`Investigation`] is pushed by its shell (the coordinator's engine, or the command line when no coordinator is in
//! reach): asks come out, observations go in, until [`Investigation::is_concluded`].
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use onlyhere_proto::{
    CheckId, CheckRequest, Observation, Subject, Symptom, Target, Vantage, VantageName, Verdict,
};

/// What is to be found out, and who can help.
#[derive(Debug, Clone)]
pub struct Case {
    /// The check's id; every request carries it.
    pub check: CheckId,
    /// What is checked.
    pub target: Target,
    /// Whose question it is; `subject.vantage` is `None` when the caller is no vantage (then the scopes `local`,
    /// `source*` cannot come out).
    pub subject: Subject,
    /// Everyone who can try, the subject included.
    pub vantages: Vec<Vantage>,
    /// Sites believed healthy, for telling a broken vantage from a broken target.
    pub controls: Vec<Target>,
    /// Resolvers to ask besides each vantage's own.
    pub resolvers: Vec<std::net::IpAddr>,
    /// What the person's browser showed.
    pub seen: Option<Symptom>,
    /// For one stage of one attempt.
    pub attempt_timeout: Duration,
}

/// Something to be tried by one vantage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// By whom.
    pub vantage: VantageName,
    /// Not earlier than this after the ask was returned (kernels limit ICMP errors; retries stand at least 1 s apart).
    pub delay: Duration,
    /// What.
    pub request: CheckRequest,
}

/// One check under way.
#[derive(Debug)]
pub struct Investigation {
    case: Case,
}

impl Investigation {
    /// Opens a case. Nothing is asked before [`Self::poll_asks`].
    pub fn new(case: Case) -> Self {
        Self { case }
    }

    /// What is to be asked now; each ask is returned once. Empty while more answers are awaited, or at the end.
    pub fn poll_asks(&mut self) -> Vec<Ask> {
        let _ = &self.case;
        todo!()
    }

    /// Takes an observation of a request that is under way; one that answers no such request is ignored.
    pub fn handle_observation(&mut self, _observation: Observation) {
        todo!()
    }

    /// No further observation of this request will come: it is done, or its deadline has passed.
    pub fn handle_done(&mut self, _vantage: &VantageName, _request: u32) {
        todo!()
    }

    /// The vantage is gone; everything it still owed will not come.
    pub fn handle_lost(&mut self, _vantage: &VantageName) {
        todo!()
    }

    /// Time is up: nothing more will be asked, and what is known must do.
    pub fn handle_out_of_time(&mut self) {
        todo!()
    }

    /// Whether the verdict is final. Requests still under way may be cancelled.
    pub fn is_concluded(&self) -> bool {
        todo!()
    }

    /// The verdict as of now; `complete` is false before the end.
    pub fn verdict(&self) -> Verdict {
        todo!()
    }
}
