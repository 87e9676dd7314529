//! The daemon: attached to its coordinator for as long as it runs, and attached again whenever the stream ends.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    attach::{AttachError, Worker},
    channel,
    identity::Identity,
};

/// The shortest and the longest wait between two attempts to attach.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A stream that lived so long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);

/// Where and as whom to attach.
pub struct Attachment {
    coordinator: String,
    tls: Arc<ClientConfig>,
    worker: Worker,
}

impl Attachment {
    /// To the coordinator of an identity. Fails where key and certificate do not fit together.
    pub fn new(identity: &Identity, worker: Worker) -> Result<Self, rustls::Error> {
        Ok(Self {
            coordinator: identity.coordinator.clone(),
            tls: channel::attached_tls(identity)?,
            worker,
        })
    }

    /// Stays attached until `stop` is cancelled; calls `ready` when attached for the first time.
    pub async fn keep(&self, stop: &CancellationToken, ready: impl FnOnce()) {
        let mut ready = Some(ready);
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let mut attached = false;
            let ended = self
                .attach(stop, || {
                    attached = true;
                    if let Some(ready) = ready.take() {
                        ready();
                    }
                })
                .await;
            if stop.is_cancelled() {
                return;
            }
            if attached && began.elapsed() >= GOOD {
                failures = 0;
            }
            // Somebody else has this probe's place, or has taken it away: nothing is gained by haste.
            let hopeless = ended.as_ref().err().is_some_and(is_hopeless);
            let wait = if hopeless { WAIT.1 } else { backoff(failures) };
            let wait = wait.mul_f64(rand::random::<f64>());
            failures += 1;
            let why = ended
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            tracing::warn!(coordinator = self.coordinator, %why, wait_ms = wait.as_millis() as u64, "not attached");
            tokio::select! {
                () = time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn attach(&self, stop: &CancellationToken, attached: impl FnOnce()) -> Result<(), Ended> {
        let opened = tokio::select! {
            opened = channel::open(&self.coordinator, self.tls.clone()) => opened,
            () = stop.cancelled() => return Ok(()),
        };
        let channel = opened.map_err(|error| Ended::Unreachable(channel::reason(&error)))?;
        Ok(self.worker.attach(channel, stop, attached).await?)
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Attach(#[from] AttachError),
}

fn is_hopeless(ended: &Ended) -> bool {
    let Ended::Attach(AttachError::Status(status)) = ended else {
        return false;
    };
    matches!(
        status.code(),
        Code::Aborted | Code::PermissionDenied | Code::Unauthenticated
    )
}

/// The most to wait after so many failures; what is waited is a random part of it, so that a fleet that lost its
/// coordinator does not come back as one.
fn backoff(failures: u32) -> Duration {
    let doubled = WAIT.0.saturating_mul(2u32.saturating_pow(failures.min(16)));
    doubled.min(WAIT.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_half_a_minute() {
        let waits: Vec<_> = (0..8).map(|n| backoff(n).as_millis()).collect();
        assert_eq!(
            waits,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
        assert_eq!(backoff(u32::MAX), WAIT.1);
    }
}
