//! The people's side: gRPC for programs, a few HTTP routes for scripts and load balancers, on one port.

mod access;
mod admission;
mod auth;
mod check;
mod fit;
mod grpc;
mod problem;
mod rates;
mod rest;

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::Audit, config::Config, fleet::Fleet, geo::Geo, store::Store, tokens::Tokens, turns::Room,
};

pub use access::{Access, METHODS, Method, Takes};
pub use admission::{Admission, Admitted, Busy};
pub use check::Live;
pub use grpc::PublicPort;
pub use rates::{Rates, TooOften};
pub use rest::{ROUTES, Route, routes};

/// What every call may need.
#[derive(Clone)]
pub struct Api {
    /// Settings.
    pub config: Arc<Config>,
    /// Who is attached.
    pub fleet: Arc<Fleet>,
    /// Where addresses are.
    pub geo: Arc<Geo>,
    /// Who may ask.
    pub tokens: Arc<Tokens>,
    /// Reports.
    pub store: Arc<dyn Store>,
    /// Who asked for what.
    pub audit: Arc<Audit>,
    /// Room for calls whose question is not read yet, or that wait for their turn.
    pub openings: Arc<Admission>,
    /// How often each token begins a check.
    pub rates: Arc<Rates>,
    /// Room for checks.
    pub turns: Arc<Admission>,
    /// Room for answers of other calls, until they are taken.
    pub reads: Arc<Admission>,
    /// Room for streams of events.
    pub streams: Arc<Admission>,
    /// Checks under way, for whoever follows one.
    pub live: Arc<Live>,
    /// The same, to be waited for.
    pub checks: TaskTracker,
    /// Cancelled when the coordinator takes no new checks.
    pub draining: CancellationToken,
}

/// Checks that one token may have at once, unless it is told otherwise.
const CHECKS_PER_TOKEN: usize = 16;

/// Calls that have been opened and have not begun to check.
pub fn openings() -> Arc<Admission> {
    let room = Room {
        at_once: 1_280,
        waiting: 256,
        waiting_per_token: 8,
    };
    // Each of them is waited for below, and a few more for their question.
    let per_token = WAITING_PER_TOKEN + 16;
    Admission::new("calls", room, per_token, Duration::from_secs(5))
}

const WAITING_PER_TOKEN: usize = 64;

/// Checks under way.
pub fn turns() -> Arc<Admission> {
    let room = Room {
        at_once: 256,
        waiting: 1_024,
        waiting_per_token: WAITING_PER_TOKEN,
    };
    Admission::new("checks", room, CHECKS_PER_TOKEN, Duration::from_secs(10))
}

/// Reports and lists that are being read: each may be a few megabytes.
pub fn reads() -> Arc<Admission> {
    let room = Room {
        at_once: 16,
        waiting: 256,
        waiting_per_token: 16,
    };
    Admission::new("answers", room, 2, Duration::from_secs(5))
}

/// Streams of events: each is a connection that stays open as long as its check.
pub fn streams() -> Arc<Admission> {
    let room = Room {
        at_once: 256,
        waiting: 64,
        waiting_per_token: 4,
    };
    Admission::new("event streams", room, 8, Duration::from_secs(1))
}
