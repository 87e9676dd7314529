//! The prober: what all requests of one process share, and the one way in.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use http::HeaderValue;
use onlyhere_proto::{CheckRequest, Observation, VantageName};
use rustls::{
    RootCertStore,
    client::{VerifierBuilderError, WebPkiServerVerifier},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Guard,
    journal::{Journal, Recording},
    pace::Caps,
    proxy::ProxyCredentials,
    tell,
    timing::TimingThread,
    trust,
    turns::Turns,
    user_agent,
    visit::Visit,
};

/// What a [`Prober`] is made of.
#[derive(Debug, Clone)]
pub struct ProberSettings {
    /// Which targets may be tried.
    pub guard: Guard,
    /// Certificate authorities that a target's certificate is verified against; one at least.
    pub roots: Arc<RootCertStore>,
    /// Attempts under way at once, over all requests. Above about 100 a vantage measures its own queue.
    pub in_flight: usize,
    /// How much is done within some time, over all requests; none: as much as is asked for.
    pub caps: Option<Caps>,
    /// What every HTTP request says of who asks.
    pub user_agent: HeaderValue,
    /// Where it is written down what was done for whom; none: nowhere.
    pub journal: Option<Arc<Journal>>,
    /// Further addresses of this machine that may be tried from, besides what its owner asks for himself.
    pub source_addresses: Vec<IpAddr>,
    /// What proxies of this machine want to hear.
    pub proxy_credentials: Vec<ProxyCredentials>,
    /// The hosts file, read anew for every request.
    pub hosts_file: PathBuf,
    /// The system's resolvers, read anew for every request.
    pub resolv_conf: PathBuf,
    /// Where resolvers listen: 53.
    pub dns_port: u16,
}

impl ProberSettings {
    /// This system's own roots, hosts file and resolvers.
    pub fn of_this_system(guard: Guard) -> Self {
        Self {
            guard,
            roots: Arc::new(trust::roots()),
            in_flight: 100,
            caps: None,
            user_agent: user_agent::of_a_person(),
            journal: None,
            source_addresses: Vec::new(),
            proxy_credentials: Vec::new(),
            hosts_file: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            dns_port: 53,
        }
    }
}

/// Why a prober could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The thread that waits on sockets did not start.
    #[error("the thread that times the connections cannot be started: {0}")]
    Timing(#[source] std::io::Error),
    /// There is nobody to verify certificates against.
    #[error("certificates cannot be verified: {0}")]
    Roots(#[from] VerifierBuilderError),
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) settings: ProberSettings,
    pub(crate) timing: TimingThread,
    pub(crate) verifier: Arc<WebPkiServerVerifier>,
    pub(crate) in_flight: Semaphore,
    pub(crate) turns: Turns,
}

/// Tries what it is asked and says what it saw. Cheap to clone; clones share all bounds.
#[derive(Clone)]
pub struct Prober {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober")
            .field("settings", &self.shared.settings)
            .finish()
    }
}

impl Prober {
    /// Makes a prober; within a tokio runtime or without.
    pub fn new(settings: ProberSettings) -> Result<Self, ProberError> {
        let roots = settings.roots.clone();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots, trust::provider()).build()?;
        Ok(Self {
            shared: Arc::new(Shared {
                timing: TimingThread::start().map_err(ProberError::Timing)?,
                verifier,
                in_flight: Semaphore::new(settings.in_flight.max(1)),
                turns: Turns::new(settings.caps.clone()),
                settings,
            }),
        })
    }

    /// Tries everything that the request asks for and sends an observation for each stage as soon as it is known.
    ///
    /// Returns when all is tried, when `cancel` is cancelled, when nobody reads `sink` any more, or soon after the
    /// request's deadline, whichever is first. Attempts that the deadline cut short are reported as timeouts when they
    /// had half of the time that the request grants an attempt or more, otherwise as not measured.
    pub async fn run(
        &self,
        vantage: VantageName,
        request: CheckRequest,
        sink: mpsc::Sender<Observation>,
        cancel: CancellationToken,
    ) {
        let visit = Visit::new(&self.shared, &request, vantage, sink.clone());
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = sink.closed() => {}
            () = visit.walk() => {}
        }
    }

    /// Further addresses that may be tried from.
    pub(crate) fn source_addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.shared.settings.source_addresses.iter()
    }

    /// The observation of a vantage that cannot take a request on.
    pub fn decline(&self, vantage: &VantageName, request: &CheckRequest, why: &str) -> Observation {
        Recording::of(request, self.shared.settings.journal.as_ref()).denied(why);
        tell::declined(vantage, request, why)
    }
}
