//! The people's side: gRPC for programs, a few HTTP routes for scripts and load balancers, on one port.

mod admission;
mod auth;
mod check;
mod fit;
mod grpc;
mod http;

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{config::Config, fleet::Fleet, store::ReportStore, tokens::Tokens};

pub use admission::Admission;
pub use grpc::PublicPort;
pub use http::routes;

/// What every call may need.
#[derive(Clone)]
pub struct Api {
    /// Settings.
    pub config: Arc<Config>,
    /// Who is attached.
    pub fleet: Arc<Fleet>,
    /// Who may ask.
    pub tokens: Arc<Tokens>,
    /// Reports.
    pub store: Arc<dyn ReportStore>,
    /// How much goes on at once.
    pub admission: Arc<Admission>,
    /// Checks under way.
    pub checks: TaskTracker,
    /// Cancelled when the coordinator takes no new checks.
    pub draining: CancellationToken,
}
