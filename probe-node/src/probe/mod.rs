//! One protocol, one file, one signature: an [`Attempt`] goes in, what was [`Seen`] comes out, and a deeper stage finds
//! in the attempt the connection that the shallower one left there.

mod bounded;
pub(crate) mod dns;
pub(crate) mod http;
mod icmp;
mod tcp;
pub(crate) mod tls;
mod tunnel;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use onlyhere_proto::{Facts, Outcome, RecordType, ResolverKind, SaidBy, Stage, Target};
use rustls::client::WebPkiServerVerifier;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use bounded::Bounded;

use crate::{classify::Failure, timing::TimingThread, way::SocketWay};

/// One stage, tried once.
pub(crate) struct Attempt<'a> {
    /// What is asked for.
    pub(crate) target: &'a Target,
    /// Who is asked: the target's address, or a resolver's. The port is 0 for ICMP.
    pub(crate) to: SocketAddr,
    /// Of a DNS attempt: what is asked of whom.
    pub(crate) question: Option<Question>,
    /// How long the stage may take.
    pub(crate) timeout: Duration,
    /// How its sockets get on their way.
    pub(crate) way: SocketWay,
    /// Whether `to` is a proxy's address, and no tunnel stands yet.
    pub(crate) proxied: bool,
    /// What an HTTP request says of who asks.
    pub(crate) user_agent: &'a ::http::HeaderValue,
    /// What that proxy wants to hear.
    pub(crate) authorization: Option<::http::HeaderValue>,
    /// What the shallower stages opened.
    pub(crate) connection: Connection,
    /// Where sockets are waited for.
    pub(crate) timing: &'a TimingThread,
    /// Whom certificates are verified against.
    pub(crate) verifier: &'a Arc<WebPkiServerVerifier>,
}

/// What a resolver is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) record_type: RecordType,
    pub(crate) kind: ResolverKind,
}

/// The connection of an attempt, stage by stage.
#[derive(Default)]
pub(crate) enum Connection {
    #[default]
    None,
    Plain(TcpStream),
    Tls(Box<TlsStream<Bounded<TcpStream>>>),
}

/// What came of a stage.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    pub(crate) said_by: Option<SaidBy>,
    pub(crate) detail: Option<String>,
    pub(crate) facts: Option<Facts>,
    /// Of this stage alone.
    pub(crate) elapsed: Duration,
    /// The local address it was tried from.
    pub(crate) source: Option<IpAddr>,
}

impl Seen {
    pub(crate) fn ok(elapsed: Duration) -> Self {
        Self::failed(Failure::of(Outcome::Ok), elapsed)
    }

    pub(crate) fn failed(failure: Failure, elapsed: Duration) -> Self {
        Self {
            outcome: failure.outcome,
            said_by: failure.said_by,
            detail: failure.detail,
            facts: None,
            elapsed,
            source: None,
        }
    }

    pub(crate) fn not_measured(why: impl Into<String>) -> Self {
        Self::failed(Failure::not_measured(why), Duration::ZERO)
    }

    pub(crate) fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = Some(facts);
        self
    }

    pub(crate) fn from(mut self, source: Option<IpAddr>) -> Self {
        self.source = source;
        self
    }
}

/// What can be tried: a stage, or what must stand between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Stage(Stage),
    /// A way on through the proxy that the attempt is connected to.
    Tunnel,
}

impl From<Stage> for Step {
    fn from(stage: Stage) -> Self {
        Self::Stage(stage)
    }
}

/// The registry: tries one step.
pub(crate) async fn probe(step: Step, attempt: &mut Attempt<'_>) -> Seen {
    match step {
        Step::Stage(Stage::Dns) => dns::probe(attempt).await,
        Step::Stage(Stage::Tcp) => tcp::probe(attempt).await,
        Step::Stage(Stage::Tls) => tls::probe(attempt).await,
        Step::Stage(Stage::Http) => http::probe(attempt).await,
        Step::Stage(Stage::Icmp) => icmp::probe(attempt).await,
        Step::Tunnel => tunnel::open(attempt).await,
    }
}
