//! The daemon: attached to its coordinator for as long as it runs, and attached again whenever the stream ends.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use onlyhere_proto::{Timestamp, VantageName};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};

use crate::{
    attach::{AttachError, Signals, Worker},
    channel,
    identity::Identity,
    renew::renew,
    standing::{Attached, Standing},
};

/// The shortest and the longest wait between two attempts to attach.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A stream that lived so long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);
/// When the coordinator wants certificates renewed it wants it of the whole fleet; so far apart.
const SPREAD: Duration = Duration::from_secs(3);
/// A renewed certificate waits so long for a moment in which no request runs; then what runs is finished in haste.
const LEAVE: Duration = Duration::from_secs(60);
/// The machine's clock may be set, or the machine may have slept: looked at so often.
const LOOK: Duration = Duration::from_secs(60);
/// For the answer to a renewal.
const RENEWAL: Duration = Duration::from_secs(30);

/// Where and as whom to attach.
pub struct Attachment {
    dir: PathBuf,
    identity: Mutex<Arc<Identity>>,
    worker: Worker,
}

/// Nothing helps but to join again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the certificate of `{name}` expired at {expired_at} (it is {now} here), so this probe cannot attach any more: \
     on the coordinator run `onlyhere-coordinator token create --kind probe --name {name}`, and here \
     `onlyhere-probe join TOKEN --data-dir {}` with what it prints", dir.display()
)]
pub struct Expired {
    /// Who.
    pub name: VantageName,
    /// When.
    pub expired_at: Timestamp,
    /// This machine's clock.
    pub now: Timestamp,
    /// Where the identity lies.
    pub dir: PathBuf,
}

impl Attachment {
    /// To the coordinator of the identity that lies in `dir`. Fails where key and certificate do not fit together.
    pub fn new(dir: PathBuf, identity: Identity, worker: Worker) -> Result<Self, rustls::Error> {
        channel::attached_tls(&identity)?;
        Ok(Self {
            dir,
            identity: Mutex::new(Arc::new(identity)),
            worker,
        })
    }

    /// Stays attached until `stop` is cancelled, and renews the certificate in time; calls `ready` when attached for the
    /// first time. Fails when the certificate has expired.
    pub async fn keep(
        &self,
        stop: &CancellationToken,
        ready: impl FnOnce(),
    ) -> Result<(), Expired> {
        let standing = self.standing();
        let mut ready = Some(ready);
        let mut failures = 0;
        loop {
            self.check_expiry()?;
            let began = Instant::now();
            let mut attached = false;
            let ended = self
                .attach(stop, || {
                    attached = true;
                    self.mark(standing.as_ref());
                    if let Some(ready) = ready.take() {
                        ready();
                    }
                })
                .await;
            if let Some(standing) = &standing {
                standing.end();
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            let Err(ended) = ended else {
                // With the new certificate at once.
                failures = 0;
                continue;
            };
            if attached && began.elapsed() >= GOOD {
                failures = 0;
            }
            // Somebody else has this probe's place, or has taken it away: nothing is gained by haste.
            let wait = if is_hopeless(&ended) {
                WAIT.1
            } else {
                backoff(failures)
            };
            let wait = wait.mul_f64(rand::random::<f64>());
            failures += 1;
            tracing::warn!(coordinator = self.identity().coordinator, why = %ended,
                wait_ms = wait.as_millis() as u64, "not attached");
            // With its certificate over a further attempt is in vain, and its owner should know.
            let expiry = self.identity().validity().map(|validity| validity.until);
            tokio::select! {
                () = time::sleep(wait) => {}
                () = wait_until(expiry.unwrap_or_default()), if expiry.is_some() => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Where other processes see that it is attached. A disk that is full does not keep anybody from measuring.
    fn standing(&self) -> Option<Standing> {
        Standing::open(&self.dir)
            .inspect_err(|error| tracing::warn!(%error, "`onlyhere-probe status` cannot be told"))
            .ok()
    }

    fn mark(&self, standing: Option<&Standing>) {
        let Some(standing) = standing else { return };
        let identity = self.identity();
        let attached = Attached {
            name: identity.name.clone(),
            coordinator: identity.coordinator.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            since: jiff::Timestamp::now(),
        };
        if let Err(error) = standing.begin(&attached) {
            tracing::warn!(%error, "`onlyhere-probe status` cannot be told");
        }
    }

    fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_expiry(&self) -> Result<(), Expired> {
        let (identity, now) = (self.identity(), now());
        match identity.validity() {
            Some(validity) if validity.until <= now => Err(Expired {
                name: identity.name.clone(),
                expired_at: validity.until,
                now,
                dir: self.dir.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// One stream. Ends well when it was told to stop, or when the certificate was renewed.
    async fn attach(&self, stop: &CancellationToken, attached: impl FnOnce()) -> Result<(), Ended> {
        let identity = self.identity();
        let tls = channel::attached_tls(&identity)?;
        let opened = tokio::select! {
            opened = channel::open(&identity.coordinator, tls) => opened,
            () = stop.cancelled() => return Ok(()),
        };
        let channel =
            opened.map_err(|error| Ended::Unreachable(explain(channel::reason(&error))))?;
        let signals = Signals {
            stop: stop.child_token(),
            ..Signals::default()
        };
        tokio::select! {
            ended = self.worker.attach(channel.clone(), &signals, attached) => Ok(ended?),
            never = self.renew_in_time(&identity, channel, &signals) => match never {},
        }
    }

    /// Renews when it is time, or when the coordinator says so, and then bids the stream leave.
    async fn renew_in_time(
        &self,
        old: &Identity,
        channel: Channel,
        signals: &Signals,
    ) -> Infallible {
        let Some(validity) = old.validity() else {
            return std::future::pending().await;
        };
        let due = validity.renew_at(rand::random());
        tracing::info!(until = %validity.until, renewal = %due, "certificate");
        tokio::select! {
            () = wait_until(due) => {}
            () = signals.renew.notified() => {
                tracing::info!("the coordinator asks for the renewal of the certificate");
                time::sleep(SPREAD.mul_f64(rand::random())).await;
            }
        }
        while let Err(why) = self.renew(old, channel.clone()).await {
            let wait = validity.retry_after(now());
            tracing::warn!(why, until = %validity.until, wait_s = wait.as_secs(), "the certificate is not renewed");
            time::sleep(wait).await;
        }
        signals.leave.cancel();
        time::sleep(LEAVE).await;
        signals.stop.cancel();
        std::future::pending().await
    }

    async fn renew(&self, old: &Identity, channel: Channel) -> Result<(), String> {
        let renewed = time::timeout(RENEWAL, renew(channel, old)).await;
        let renewed = renewed.map_err(|_| "the coordinator does not answer".to_owned())?;
        let new = renewed.map_err(|error| error.to_string())?;
        // What cannot be kept must not be used: after a restart the old one would be shown again.
        new.store_renewed(&self.dir)
            .map_err(|error| error.to_string())?;
        if let Some(validity) = new.validity() {
            tracing::info!(until = %validity.until, "the certificate is renewed");
        }
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

/// By the machine's clock, which is what certificates go by; whatever is done to it.
async fn wait_until(due: Timestamp) {
    loop {
        let left = due.0.saturating_sub(now().0);
        if left <= 0 {
            return;
        }
        time::sleep(Duration::from_micros(left.unsigned_abs()).min(LOOK)).await;
    }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// What the library says of the two ends of a CA's replacement, in words that help.
fn explain(reason: String) -> String {
    let join = "join again with a new token and --replace";
    if reason.contains("invalid peer certificate: UnknownIssuer") {
        return format!(
            "what answers there is under no authority that this probe trusts: another coordinator, or one whose old CA was \
             retired before this probe had renewed; if it is yours, {join}"
        );
    }
    reason
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
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
