//! The prober: what all requests of one process share, and the one way in.

use std::{path::PathBuf, sync::Arc};

use onlyhere_proto::{CheckRequest, Observation, VantageName};
use rustls::RootCertStore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Guard, trust};

/// What a [`Prober`] is made of.
#[derive(Debug, Clone)]
pub struct ProberSettings {
    /// Which targets may be tried.
    pub guard: Guard,
    /// Certificate authorities that a target's certificate is verified against.
    pub roots: Arc<RootCertStore>,
    /// Attempts under way at once, over all requests. Above about 100 a vantage measures its own queue.
    pub in_flight: usize,
    /// The hosts file, read anew for every request.
    pub hosts_file: PathBuf,
    /// The system's resolvers, read anew for every request.
    pub resolv_conf: PathBuf,
}

impl ProberSettings {
    /// This system's own roots, hosts file and resolvers.
    pub fn of_this_system(guard: Guard) -> Self {
        Self {
            guard,
            roots: Arc::new(trust::roots()),
            in_flight: 100,
            hosts_file: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// Why a prober could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The thread that waits on sockets did not start.
    #[error("the thread that times the connections cannot be started: {0}")]
    Timing(#[source] std::io::Error),
}

/// Tries what it is asked and says what it saw. Cheap to clone; clones share all bounds.
#[derive(Debug, Clone)]
pub struct Prober {
    settings: Arc<ProberSettings>,
}

impl Prober {
    /// Makes a prober; within a tokio runtime or without.
    pub fn new(settings: ProberSettings) -> Result<Self, ProberError> {
        Ok(Self {
            settings: Arc::new(settings),
        })
    }

    /// Tries everything that the request asks for and sends an observation for each stage as soon as it is known.
    ///
    /// Returns when all is tried, when `cancel` is cancelled, when nobody reads `sink` any more, or soon after the
    /// request's deadline, whichever is first. Attempts that the deadline cut short are reported as timeouts when they
    /// had most of the time that the request grants an attempt, otherwise as not measured.
    pub async fn run(
        &self,
        vantage: VantageName,
        request: CheckRequest,
        sink: mpsc::Sender<Observation>,
        cancel: CancellationToken,
    ) {
        let _ = (vantage, request, sink, cancel, &self.settings);
        todo!("lands within the hour")
    }
}
