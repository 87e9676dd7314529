//! A line: the open stream to one vantage, a probe or the caller.

use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use onlyhere_proto::{CheckId, CheckRequest, Vantage, VantageName};
use tokio_util::sync::CancellationToken;

use super::{Ledger, answers::Offence};
use crate::identity::Peer;

/// What a vantage is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Try this.
    Check(Box<CheckRequest>),
    /// Stop trying that.
    Cancel(CheckId, u32),
    /// Renew the certificate now.
    Renew,
}

/// Why a line is ended from our side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The same probe has attached again.
    #[error("attached again over another connection")]
    Replaced,
    /// It misbehaved.
    #[error("cut off: {0}")]
    Offence(#[from] Offence),
    /// It is no longer on the roll.
    #[error("not enrolled any more")]
    StruckOff,
    /// Its name stands on the roll with another key.
    #[error(
        "its key was replaced: it was enrolled anew, or somebody else has renewed its certificate"
    )]
    OtherKey,
    /// The CA that signed its certificate is trusted no more.
    #[error("its certificate is of a CA that was retired; with a new token it can join again")]
    Retired,
    /// Its certificate is over.
    #[error("its certificate has expired")]
    Expired,
    /// The vantage has gone by itself.
    #[error("the stream was closed")]
    Closed,
    /// The coordinator stops.
    #[error("the coordinator is stopping")]
    Stopping,
}

type SendOrder = Box<dyn Fn(Order) -> bool + Send + Sync>;

/// The open stream to one vantage. Sending never waits: a vantage that does not read its orders is a lost one.
pub struct Line {
    vantage: Vantage,
    source_addresses: OnceLock<Vec<IpAddr>>,
    peer: Option<Peer>,
    ledger: Mutex<Ledger>,
    send: SendOrder,
    ended: CancellationToken,
    why: OnceLock<End>,
}

impl Line {
    /// A line to `vantage`; `send` hands an order to its stream, and says false when the stream's queue is full or gone.
    pub fn new(vantage: Vantage, send: impl Fn(Order) -> bool + Send + Sync + 'static) -> Self {
        Self {
            vantage,
            source_addresses: OnceLock::new(),
            peer: None,
            ledger: Mutex::default(),
            send: Box::new(send),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
        }
    }

    /// The same, opened with a probe's certificate.
    pub fn of_probe(self, peer: Peer) -> Self {
        Self {
            peer: Some(peer),
            ..self
        }
    }

    /// The certificate it was opened with; the caller has none.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The key of that, SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
    pub fn key_sha256(&self) -> Option<&str> {
        self.peer.as_ref().map(|peer| peer.key_sha256.as_str())
    }

    /// The address it was opened from.
    pub fn public_address(&self) -> Option<IpAddr> {
        self.vantage.public_address
    }

    /// Whose line it is.
    pub fn vantage(&self) -> Vantage {
        let told = self.source_addresses.get();
        Vantage {
            source_addresses: told.cloned().unwrap_or_default(),
            ..self.vantage.clone()
        }
    }

    /// Takes the vantage's word for the further addresses that it can try from; the first word counts.
    pub fn can_try_from(&self, addresses: Vec<IpAddr>) {
        let _ = self.source_addresses.set(addresses);
    }

    /// The vantage's name.
    pub fn name(&self) -> &VantageName {
        &self.vantage.id
    }

    /// Sends a request; false when it cannot be sent.
    pub fn ask(&self, request: CheckRequest) -> bool {
        if self.ended.is_cancelled() {
            return false;
        }
        // First the ledger: the answer may be here before this function returns.
        self.ledger().sent((request.check.clone(), request.request));
        (self.send)(Order::Check(Box::new(request)))
    }

    /// Withdraws a request. When the queue is full the vantage does a little work in vain.
    pub fn cancel(&self, check: &CheckId, request: u32) {
        let _ = (self.send)(Order::Cancel(check.clone(), request));
    }

    /// Sends an order that is no request; one that does not fit into the queue is lost.
    pub fn order(&self, order: Order) {
        let _ = (self.send)(order);
    }

    /// Ends the line from our side; the first reason counts.
    pub fn end(&self, why: End) {
        let _ = self.why.set(why);
        self.ended.cancel();
    }

    /// Waits until our side ends the line.
    pub async fn ended(&self) -> End {
        self.ended.cancelled().await;
        self.why.get().cloned().unwrap_or(End::Closed)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("vantage", &self.vantage.id)
            .finish_non_exhaustive()
    }
}
