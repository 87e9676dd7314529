//! What goes on over one connection, and when patience with its peer is at an end. Time is handed in.
//!
//! A call lasts from its request until the last byte of its answer is taken. While an answer has bytes that the peer does
//! not take, the peer stalls, by a full socket or by an HTTP/2 window that it keeps shut; while we have nothing to send,
//! nobody does.
#![deny(clippy::disallowed_methods)]

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the connection to its first request.
    pub first_request: Duration,
    /// Without a call.
    pub idle: Duration,
    /// Without taking any of the bytes that wait for it.
    pub stall: Duration,
    /// For one call, its answer included; none: without end.
    pub call: Option<Duration>,
}

/// Why a connection is closed from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overdue {
    #[error("no request came")]
    Silent,
    #[error("no call for a while")]
    Idle,
    #[error("it does not read its answers")]
    Stalled,
    #[error("a call takes too long")]
    TooLong,
}

/// Names a call within its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CallId(u64);

#[derive(Debug, Clone, Copy)]
struct Call {
    began: Instant,
    /// Since when bytes wait to be taken; none: nothing is there to take.
    offered: Option<Instant>,
}

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    patience: Patience,
    calls: HashMap<CallId, Call>,
    begun: u64,
    idle_since: Instant,
}

impl Activity {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            calls: HashMap::new(),
            begun: 0,
            idle_since: now,
        }
    }

    /// A request has come.
    pub(super) fn handle_call(&mut self, now: Instant) -> CallId {
        self.begun += 1;
        let id = CallId(self.begun);
        let call = Call {
            began: now,
            offered: None,
        };
        self.calls.insert(id, call);
        id
    }

    /// Bytes of its answer are there for the peer to take; those before have been taken.
    pub(super) fn handle_offered(&mut self, id: CallId, now: Instant) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.offered = Some(now);
        }
    }

    /// The peer has taken what was there.
    pub(super) fn handle_nothing_to_send(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.offered = None;
        }
    }

    /// The call is over.
    pub(super) fn handle_end(&mut self, id: CallId, now: Instant) {
        self.calls.remove(&id);
        if self.calls.is_empty() {
            self.idle_since = now;
        }
    }

    /// Why the connection must be closed now, or when to look again.
    pub(super) fn poll(&self, now: Instant) -> Result<Instant, Overdue> {
        let Patience {
            first_request,
            idle,
            stall,
            call: longest,
        } = self.patience;
        if self.calls.is_empty() {
            let (end, why) = match self.begun {
                0 => (self.idle_since + first_request, Overdue::Silent),
                _ => (self.idle_since + idle, Overdue::Idle),
            };
            return if end <= now { Err(why) } else { Ok(end) };
        }
        // Whatever begins after this look is not over before that.
        let mut next = now + stall;
        for call in self.calls.values() {
            let stalled = call.offered.map(|since| (since + stall, Overdue::Stalled));
            let too_long = longest.map(|longest| (call.began + longest, Overdue::TooLong));
            for (end, why) in stalled.into_iter().chain(too_long) {
                if end <= now {
                    return Err(why);
                }
                next = next.min(end);
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const PATIENCE: Patience = Patience {
        first_request: s(10),
        idle: s(60),
        stall: s(15),
        call: Some(s(180)),
    };

    #[allow(clippy::disallowed_methods, reason = "an instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn who_says_nothing_and_who_is_done_must_go() {
        let at = start();
        let mut activity = Activity::new(PATIENCE, at);
        assert_eq!(activity.poll(at), Ok(at + s(10)));
        assert_eq!(activity.poll(at + s(10)), Err(Overdue::Silent));
        let call = activity.handle_call(at + s(9));
        assert!(activity.poll(at + s(10)).is_ok());
        activity.handle_end(call, at + s(20));
        assert_eq!(activity.poll(at + s(79)), Ok(at + s(80)));
        assert_eq!(activity.poll(at + s(80)), Err(Overdue::Idle));
    }

    #[test]
    fn who_takes_nothing_stalls_and_who_waits_for_us_does_not() {
        let at = start();
        let mut activity = Activity::new(PATIENCE, at);
        let call = activity.handle_call(at);
        assert!(
            activity.poll(at + s(100)).is_ok(),
            "we have said nothing yet"
        );
        activity.handle_offered(call, at + s(100));
        activity.handle_offered(call, at + s(114));
        assert_eq!(activity.poll(at + s(115)), Ok(at + s(129)));
        assert_eq!(activity.poll(at + s(129)), Err(Overdue::Stalled));
        activity.handle_nothing_to_send(call);
        assert!(activity.poll(at + s(179)).is_ok());
        assert_eq!(activity.poll(at + s(180)), Err(Overdue::TooLong));
    }

    #[test]
    fn one_that_stalls_is_seen_among_others_that_do_not() {
        let at = start();
        let mut activity = Activity::new(PATIENCE, at);
        let [one, two] = [activity.handle_call(at), activity.handle_call(at)];
        activity.handle_offered(one, at);
        for second in 0..15 {
            activity.handle_offered(two, at + s(second));
            assert!(activity.poll(at + s(second)).is_ok());
        }
        assert_eq!(activity.poll(at + s(15)), Err(Overdue::Stalled));
    }
}
