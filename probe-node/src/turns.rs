//! Whether something more may be done now: the caps of [`crate::pace`], and the turns of what must not be done by two at
//! once.

use std::{
    net::IpAddr,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use onlyhere_proto::Host;
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::timeout_at,
};

use crate::{
    pace::{Admission, Caps, Pace},
    visit::BUSY,
};

/// What all requests of one process keep to.
pub(crate) struct Turns {
    /// None where everything that is asked for is done: a person's own machine.
    pace: Option<Mutex<Pace>>,
    request_ended: Notify,
    ladder: Semaphore,
}

impl Turns {
    pub(crate) fn new(caps: Option<Caps>) -> Self {
        Self {
            pace: caps.map(|caps| Mutex::new(Pace::new(caps))),
            request_ended: Notify::new(),
            ladder: Semaphore::new(1),
        }
    }

    /// Counts a connection, an echo request or a question to an address, or says which cap forbids it.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(), String> {
        match self.pace() {
            Some(mut pace) => pace.admit(address, Instant::now()),
            None => Ok(()),
        }
    }

    /// The turn of a ladder: there is one at a time. Nothing when the deadline comes first.
    pub(crate) async fn ladder(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        let turn = self.ladder.acquire();
        timeout_at(deadline.into(), turn).await.ok()?.ok()
    }

    /// The turn of an HTTP request.
    ///
    /// # Errors
    /// Why it may not be sent.
    pub(crate) async fn request(
        &self,
        host: &Host,
        address: IpAddr,
        deadline: Instant,
    ) -> Result<RequestTurn<'_>, String> {
        loop {
            let mut ended = pin!(self.request_ended.notified());
            // From here on no end is missed.
            ended.as_mut().enable();
            let admission = match self.pace() {
                Some(mut pace) => pace.begin(host, address, Instant::now()),
                None => Admission::Go,
            };
            match admission {
                Admission::Go => {
                    return Ok(RequestTurn {
                        turns: self,
                        host: host.clone(),
                        address,
                        may_have_failed: false,
                    });
                }
                Admission::Wait if timeout_at(deadline.into(), ended).await.is_ok() => {}
                Admission::Wait => return Err(BUSY.to_owned()),
                Admission::Spent(why) => return Err(why),
            }
        }
    }

    fn pace(&self) -> Option<MutexGuard<'_, Pace>> {
        let pace = self.pace.as_ref()?;
        Some(pace.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to send one HTTP request. It counts as failed from when it is sent until it is known that it was not, so
/// that one that is given up half-way counts.
pub(crate) struct RequestTurn<'a> {
    turns: &'a Turns,
    host: Host,
    address: IpAddr,
    may_have_failed: bool,
}

impl RequestTurn<'_> {
    pub(crate) fn sends(&mut self) {
        self.may_have_failed = true;
    }

    pub(crate) fn did_not_fail(&mut self) {
        self.may_have_failed = false;
    }
}

impl Drop for RequestTurn<'_> {
    fn drop(&mut self) {
        if let Some(mut pace) = self.turns.pace() {
            pace.ended(
                &self.host,
                self.address,
                self.may_have_failed,
                Instant::now(),
            );
        }
        self.turns.request_ended.notify_waiters();
    }
}
