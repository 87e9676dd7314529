//! Room for what goes on at once, given out in turn ([`Turns`]): so that one token can neither use up what is there for
//! all nor keep others waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::turns::{Full, Room, Ticket, Turns};

/// When it is worth trying again.
const LATER: Duration = Duration::from_secs(10);

/// Why there is no room, in a sentence that says when to come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many of this token wait already.
    #[error("{waiting} {what} with this token are waiting already, as many as may; try again in {} seconds", LATER.as_secs())]
    Token {
        /// What it is about, in the plural.
        what: &'static str,
        /// How many wait.
        waiting: usize,
    },
    /// Too many wait already, of all tokens.
    #[error("the coordinator is busy, {waiting} {what} are waiting already; try again in {} seconds", LATER.as_secs())]
    Coordinator {
        /// What it is about, in the plural.
        what: &'static str,
        /// How many wait.
        waiting: usize,
    },
    /// Its turn did not come in time.
    #[error("{under_way} {what} with this token are under way, and in {} seconds there was no turn for another; try again in {} seconds",
        within.as_secs(), LATER.as_secs())]
    Late {
        /// What it is about, in the plural.
        what: &'static str,
        /// How many of this token are under way.
        under_way: usize,
        /// How long it waited.
        within: Duration,
    },
}

impl Busy {
    /// From when on it is worth trying again.
    pub const fn retry_after(&self) -> Duration {
        LATER
    }
}

/// Gives out room.
#[derive(Debug)]
pub struct Admission {
    what: &'static str,
    room: Room,
    /// Of one token at once, unless the token says less.
    per_token: usize,
    within: Duration,
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    turns: Turns,
    waiting: HashMap<Ticket, oneshot::Sender<Admitted>>,
}

impl Admission {
    /// Room for `what`, of which one token may have `per_token` at once; nobody waits longer than `within`.
    pub fn new(what: &'static str, room: Room, per_token: usize, within: Duration) -> Arc<Self> {
        let desk = Desk {
            turns: Turns::new(room),
            waiting: HashMap::new(),
        };
        Arc::new(Self {
            what,
            room,
            per_token,
            within,
            desk: Mutex::new(desk),
        })
    }

    /// Waits for this token's turn; it may have `most` at once, if that is less than every token may.
    pub async fn enter(
        self: &Arc<Self>,
        token: &str,
        most: Option<usize>,
    ) -> Result<Admitted, Busy> {
        let most = most.unwrap_or(self.per_token).min(self.per_token);
        let (sender, turn) = oneshot::channel();
        let arrival = {
            let mut desk = self.desk();
            let arrival = desk.turns.handle_arrival(token, most);
            if let Ok(ticket) = arrival {
                desk.waiting.insert(ticket, sender);
            }
            arrival
        };
        let ticket = arrival.map_err(|full| self.full(full))?;
        let _leaves = Leaves {
            admission: self,
            token,
            ticket,
        };
        self.give_out();
        match tokio::time::timeout(self.within, turn).await {
            Ok(Ok(admitted)) => Ok(admitted),
            _ => Err(Busy::Late {
                what: self.what,
                under_way: self.desk().turns.under_way(token),
                within: self.within,
            }),
        }
    }

    fn full(&self, full: Full) -> Busy {
        let what = self.what;
        match full {
            Full::Token => Busy::Token {
                what,
                waiting: self.room.waiting_per_token,
            },
            Full::Overall => Busy::Coordinator {
                what,
                waiting: self.room.waiting,
            },
        }
    }

    fn give_out(self: &Arc<Self>) {
        loop {
            let mut desk = self.desk();
            let Some((token, ticket)) = desk.turns.poll() else {
                return;
            };
            let waiting = desk.waiting.remove(&ticket);
            drop(desk);
            let admitted = Admitted {
                admission: Arc::clone(self),
                token,
            };
            // Who has left meanwhile gives it back at once.
            if let Some(waiting) = waiting {
                let _ = waiting.send(admitted);
            }
        }
    }

    /// Held for a few lines that cannot panic halfway.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the ticket of one that waits no more out of the queue, for whatever reason.
struct Leaves<'a> {
    admission: &'a Admission,
    token: &'a str,
    ticket: Ticket,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let mut desk = self.admission.desk();
        desk.turns.handle_gone(self.token, self.ticket);
        desk.waiting.remove(&self.ticket);
    }
}

/// The right of one to go on, until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    token: String,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.desk().turns.handle_end(&self.token);
        self.admission.give_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(at_once: usize, per_token: usize) -> Arc<Admission> {
        let room = Room {
            at_once,
            waiting: 3,
            waiting_per_token: 2,
        };
        Admission::new("checks", room, per_token, Duration::from_millis(200))
    }

    #[tokio::test]
    async fn who_waits_has_its_turn_when_another_ends_and_no_longer_than_said() {
        let admission = admission(2, 1);
        let first = admission.enter("a", None).await.unwrap();
        let late = admission.enter("a", None).await.unwrap_err();
        let within = Duration::from_millis(200);
        assert_eq!(
            late,
            Busy::Late {
                what: "checks",
                under_way: 1,
                within
            }
        );
        let (second, ()) = tokio::join!(admission.enter("a", None), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(first);
        });
        assert!(second.is_ok());
        assert!(admission.enter("b", None).await.is_ok());
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_makes_room_and_costs_no_turn() {
        let admission = admission(1, 1);
        let first = admission.enter("a", None).await.unwrap();
        let impatient = tokio::time::timeout(Duration::from_millis(10), admission.enter("b", None));
        assert!(impatient.await.is_err());
        assert_eq!(admission.desk().turns.waiting(), 0);
        assert!(admission.desk().waiting.is_empty());
        drop(first);
        assert!(admission.enter("c", None).await.is_ok());
    }

    #[tokio::test]
    async fn there_is_not_even_room_to_wait_for_everybody() {
        let admission = admission(1, 1);
        let _first = admission.enter("a", None).await.unwrap();
        let outcomes = futures::future::join_all(
            ["a", "a", "a", "b", "c"].map(|token| admission.enter(token, None)),
        )
        .await;
        let says: Vec<String> = outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_err().to_string())
            .collect();
        assert!(
            says[2].starts_with("2 checks with this token are waiting"),
            "{says:?}"
        );
        assert!(
            says[4].starts_with("the coordinator is busy, 3 checks"),
            "{says:?}"
        );
        assert!(
            says.iter()
                .all(|says| says.ends_with("try again in 10 seconds")),
            "{says:?}"
        );
        let most = admission.enter("d", Some(0)).await;
        assert!(most.is_err());
    }
}
