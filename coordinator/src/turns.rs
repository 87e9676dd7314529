//! Whose turn it is: checks of many tokens wait for room, and no token can starve another. Pure.
//!
//! A token has at most its own number of checks under way. Of those that wait and may have one more, the token with the
//! fewest under way comes next; among equals the one that was served longest ago, so a token with a hundred waiting checks
//! delays another by none but those it has already begun. Within a token the order is that of arrival.
#![deny(clippy::disallowed_methods)]

use std::collections::{HashMap, VecDeque};

/// Tokens remembered that have nothing here now, so that who comes back does not pass for one who was never served.
const REMEMBERED: usize = 4_096;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Under way at once.
    pub at_once: usize,
    /// Waiting, of all tokens.
    pub waiting: usize,
    /// Waiting, of one token.
    pub waiting_per_token: usize,
}

/// There is no room even to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// For nobody.
    Overall,
    /// For this token.
    Token,
}

/// One that has come; unique within its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug, Default)]
struct Share {
    under_way: usize,
    most: usize,
    waiting: VecDeque<Ticket>,
    /// Number of the last turn that it had; 0: none yet.
    served: u64,
}

impl Share {
    fn may_have_one(&self) -> bool {
        !self.waiting.is_empty() && self.under_way < self.most
    }

    fn is_unused(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }
}

/// The queue.
#[derive(Debug)]
pub struct Turns {
    room: Room,
    shares: HashMap<String, Share>,
    under_way: usize,
    waiting: usize,
    came: u64,
    served: u64,
}

impl Turns {
    /// An empty queue.
    pub fn new(room: Room) -> Self {
        Self {
            room,
            shares: HashMap::new(),
            under_way: 0,
            waiting: 0,
            came: 0,
            served: 0,
        }
    }

    /// One more of `token`, which may have `most` under way at once. Whether it is its turn tells [`Turns::poll`].
    pub fn handle_arrival(&mut self, token: &str, most: usize) -> Result<Ticket, Full> {
        let waiting = self
            .shares
            .get(token)
            .map_or(0, |share| share.waiting.len());
        if waiting >= self.room.waiting_per_token {
            return Err(Full::Token);
        }
        if self.waiting >= self.room.waiting {
            return Err(Full::Overall);
        }
        self.forget();
        self.came += 1;
        self.waiting += 1;
        let ticket = Ticket(self.came);
        let share = self.shares.entry(token.to_owned()).or_default();
        share.most = most.max(1);
        share.waiting.push_back(ticket);
        Ok(ticket)
    }

    /// The next one whose turn it is, with its token; to be asked until there is none.
    pub fn poll(&mut self) -> Option<(String, Ticket)> {
        if self.under_way >= self.room.at_once {
            return None;
        }
        let waiting = self
            .shares
            .iter_mut()
            .filter(|(_, share)| share.may_have_one());
        let (token, share) = waiting.min_by_key(|(_, share)| {
            (
                share.under_way,
                share.served,
                share.waiting.front().copied(),
            )
        })?;
        let ticket = share.waiting.pop_front()?;
        self.served += 1;
        share.served = self.served;
        share.under_way += 1;
        self.waiting -= 1;
        self.under_way += 1;
        Some((token.clone(), ticket))
    }

    /// One of `token` that was under way has ended.
    pub fn handle_end(&mut self, token: &str) {
        if let Some(share) = self.shares.get_mut(token)
            && share.under_way > 0
        {
            share.under_way -= 1;
            self.under_way -= 1;
        }
    }

    /// One that waited does not wait any more; false when it has had its turn already.
    pub fn handle_gone(&mut self, token: &str, ticket: Ticket) -> bool {
        let Some(share) = self.shares.get_mut(token) else {
            return false;
        };
        let before = share.waiting.len();
        share.waiting.retain(|other| *other != ticket);
        let gone = before - share.waiting.len();
        self.waiting -= gone;
        gone > 0
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many are under way, of one token.
    pub fn under_way(&self, token: &str) -> usize {
        self.shares.get(token).map_or(0, |share| share.under_way)
    }

    /// Keeps the memory of past tokens small: the older half of those that have nothing here goes.
    fn forget(&mut self) {
        if self.shares.len() < REMEMBERED + self.waiting + self.under_way {
            return;
        }
        let unused = self.shares.values().filter(|share| share.is_unused());
        let mut served: Vec<u64> = unused.map(|share| share.served).collect();
        served.sort_unstable();
        if let Some(&middle) = served.get(served.len() / 2) {
            self.shares
                .retain(|_, share| !share.is_unused() || share.served > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room {
        at_once: 3,
        waiting: 200,
        waiting_per_token: 100,
    };

    fn tokens(turns: &mut Turns) -> String {
        let mut tokens = String::new();
        while let Some((token, _)) = turns.poll() {
            tokens.push_str(&token);
        }
        tokens
    }

    fn arrive(turns: &mut Turns, token: &str, count: usize) {
        for _ in 0..count {
            turns.handle_arrival(token, 16).unwrap();
        }
    }

    #[test]
    fn a_second_token_comes_next_whatever_the_first_has_waiting() {
        for at_once in [1, 2, 3] {
            let mut turns = Turns::new(Room { at_once, ..ROOM });
            arrive(&mut turns, "a", 100);
            assert_eq!(tokens(&mut turns), "a".repeat(at_once));
            arrive(&mut turns, "b", 1);
            assert_eq!(tokens(&mut turns), "", "there is no room yet");
            turns.handle_end("a");
            assert_eq!(tokens(&mut turns), "b", "{at_once} at once");
        }
    }

    #[test]
    fn room_is_shared_alike_and_a_lone_token_may_have_all_of_it() {
        let mut turns = Turns::new(Room { at_once: 4, ..ROOM });
        arrive(&mut turns, "a", 50);
        assert_eq!(tokens(&mut turns), "aaaa");
        arrive(&mut turns, "b", 50);
        for _ in 0..2 {
            turns.handle_end("a");
            assert_eq!(tokens(&mut turns), "b");
        }
        turns.handle_end("a");
        assert_eq!(tokens(&mut turns), "a", "two each");
        turns.handle_end("b");
        assert_eq!(tokens(&mut turns), "b");
    }

    #[test]
    fn a_token_has_its_own_bound_and_does_not_hold_up_others_by_it() {
        let mut turns = Turns::new(ROOM);
        for _ in 0..3 {
            turns.handle_arrival("a", 1).unwrap();
        }
        assert_eq!(tokens(&mut turns), "a");
        arrive(&mut turns, "b", 1);
        assert_eq!(tokens(&mut turns), "b");
        assert_eq!((turns.under_way("a"), turns.waiting()), (1, 2));
    }

    #[test]
    fn waiting_is_bounded_and_who_goes_makes_room() {
        let mut turns = Turns::new(Room {
            at_once: 1,
            waiting: 3,
            waiting_per_token: 2,
        });
        arrive(&mut turns, "a", 1);
        assert_eq!(tokens(&mut turns), "a");
        arrive(&mut turns, "a", 1);
        let last = turns.handle_arrival("a", 16).unwrap();
        assert_eq!(turns.handle_arrival("a", 16), Err(Full::Token));
        arrive(&mut turns, "b", 1);
        assert_eq!(turns.handle_arrival("c", 16), Err(Full::Overall));
        assert!(turns.handle_gone("a", last));
        assert!(!turns.handle_gone("a", last));
        assert!(turns.handle_arrival("c", 16).is_ok());
    }

    #[test]
    fn who_comes_and_goes_again_and_again_does_not_get_ahead() {
        let mut turns = Turns::new(Room { at_once: 1, ..ROOM });
        arrive(&mut turns, "a", 1);
        assert_eq!(tokens(&mut turns), "a");
        arrive(&mut turns, "a", 1);
        let mut order = String::new();
        let mut ended = "a".to_owned();
        for token in ["b", "c", "b", "c", "b", "c"] {
            arrive(&mut turns, token, 1);
            turns.handle_end(&ended);
            ended = tokens(&mut turns);
            order.push_str(&ended);
        }
        assert!(
            order.starts_with("bca") || order.starts_with("ba"),
            "{order}"
        );
    }

    #[test]
    fn memory_of_past_tokens_is_bounded() {
        let mut turns = Turns::new(ROOM);
        for i in 0..20_000 {
            let token = format!("t{i}");
            arrive(&mut turns, &token, 1);
            assert_eq!(turns.poll().map(|(token, _)| token), Some(token.clone()));
            turns.handle_end(&token);
        }
        assert!(
            turns.shares.len() <= REMEMBERED + 2,
            "{}",
            turns.shares.len()
        );
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Arrive(u8),
        End(u8),
        Leave(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..4_u8, 0..5_u8).prop_map(|(kind, token)| match kind {
            0 | 1 => Step::Arrive(token),
            2 => Step::End(token),
            _ => Step::Leave(token),
        });
        prop::collection::vec(step, 0..300)
    }

    /// What a queue must come to, kept in the plainest way.
    #[derive(Default)]
    struct Ledger {
        waiting: Vec<(String, Ticket)>,
        under_way: Vec<String>,
        /// Who had a turn while a token waited with nothing of its own under way.
        passed_by: HashMap<String, Vec<String>>,
    }

    impl Ledger {
        fn count(&self, token: &str) -> usize {
            self.under_way
                .iter()
                .filter(|other| *other == token)
                .count()
        }

        fn handle_turn(&mut self, token: String, ticket: Ticket) {
            let at = self.waiting.iter().position(|(other, _)| *other == token);
            assert_eq!(
                self.waiting.remove(at.unwrap()).1,
                ticket,
                "first come, first served"
            );
            self.passed_by.remove(&token);
            let mut idle: Vec<String> = self
                .waiting
                .iter()
                .map(|(other, _)| other.clone())
                .filter(|other| self.count(other) == 0 && *other != token)
                .collect();
            idle.sort_unstable();
            idle.dedup();
            for other in idle {
                self.passed_by.entry(other).or_default().push(token.clone());
            }
            self.under_way.push(token);
        }
    }

    proptest! {
        /// Whatever comes, ends and leaves: the bounds hold, no room is left unused, a token's order is kept, and while a
        /// token waits with nothing under way every other token has at most one turn.
        #[test]
        fn it_is_fair_bounded_and_never_idle(steps in steps(), at_once in 1..5_usize, most in 1..4_usize) {
            let mut turns = Turns::new(Room { at_once, waiting: 30, waiting_per_token: 10 });
            let mut ledger = Ledger::default();
            for step in steps {
                match step {
                    Step::Arrive(token) => {
                        let token = token.to_string();
                        let of_token = ledger.waiting.iter().filter(|(other, _)| *other == token).count();
                        match turns.handle_arrival(&token, most) {
                            Ok(ticket) => ledger.waiting.push((token, ticket)),
                            Err(Full::Token) => prop_assert_eq!(of_token, 10),
                            Err(Full::Overall) => prop_assert_eq!(ledger.waiting.len(), 30),
                        }
                    }
                    Step::End(token) => {
                        let token = token.to_string();
                        turns.handle_end(&token);
                        if let Some(at) = ledger.under_way.iter().position(|other| *other == token) {
                            ledger.under_way.remove(at);
                        }
                    }
                    Step::Leave(token) => {
                        let token = token.to_string();
                        if let Some(at) = ledger.waiting.iter().rposition(|(other, _)| *other == token) {
                            let (_, ticket) = ledger.waiting.remove(at);
                            prop_assert!(turns.handle_gone(&token, ticket));
                        }
                        if !ledger.waiting.iter().any(|(other, _)| *other == token) {
                            ledger.passed_by.remove(&token);
                        }
                    }
                }
                while let Some((token, ticket)) = turns.poll() {
                    ledger.handle_turn(token, ticket);
                }
                prop_assert!(ledger.under_way.len() <= at_once);
                prop_assert_eq!(turns.waiting(), ledger.waiting.len());
                for token in 0..5_u8 {
                    let token = token.to_string();
                    prop_assert!(ledger.count(&token) <= most);
                    prop_assert_eq!(turns.under_way(&token), ledger.count(&token));
                }
                let held_up = ledger.waiting.iter().any(|(token, _)| ledger.count(token) < most);
                prop_assert!(!held_up || ledger.under_way.len() == at_once, "room is left");
                for (token, others) in &ledger.passed_by {
                    let mut unique = others.clone();
                    unique.sort_unstable();
                    unique.dedup();
                    prop_assert_eq!(unique.len(), others.len(), "{} waits while {:?} are served", token, others);
                }
            }
        }
    }
}
