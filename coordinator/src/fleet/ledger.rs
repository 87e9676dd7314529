//! What one vantage has been asked over one stream, and how much it has answered. Pure.
//!
//! The ledger bounds what a stream may cost: a request has at most [`limits::OBSERVATIONS_PER_REQUEST`] answers, and what
//! answers nothing that was ever asked here is a strike. Who is over the allowance is cut off. Answers that cross a
//! withdrawal on the wire are everyday and no strike.

use std::collections::{HashMap, VecDeque};

use onlyhere_proto::{CheckId, limits};

/// Answers to nothing that one stream may send before it is cut off.
const STRIKES: u32 = 32;
/// Bytes that the answers to one request may have on the wire; the answers to a generous one have a tenth of that.
const BYTES: usize = 2 * 1024 * 1024;
/// Requests remembered per stream; the oldest are forgotten first.
const REMEMBERED: usize = 4_096;

/// Identifies a request within one vantage.
pub type RequestKey = (CheckId, u32);

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It answers a request; pass it on.
    Pass,
    /// It answers nothing; drop it.
    Drop,
    /// Drop it and end the stream.
    CutOff(Offence),
}

/// Why a stream is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Offence {
    /// More observations, or larger ones, than a request may have.
    #[error(
        "more than {max} observations or {BYTES} bytes for one request",
        max = limits::OBSERVATIONS_PER_REQUEST
    )]
    Flood,
    /// Too many answers to what was never asked.
    #[error("more than {STRIKES} answers to requests that are not its own")]
    NotAsked,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    observations: usize,
    bytes: usize,
    done: bool,
}

/// The requests of one stream.
#[derive(Debug, Default)]
pub struct Ledger {
    requests: HashMap<RequestKey, Entry>,
    order: VecDeque<RequestKey>,
    strikes: u32,
}

impl Ledger {
    /// A request is about to be sent.
    pub fn sent(&mut self, key: RequestKey) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.requests.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.requests.insert(
            key,
            Entry {
                observations: 0,
                bytes: 0,
                done: false,
            },
        );
    }

    /// An observation of so many bytes has come.
    pub fn handle_observation(&mut self, key: &RequestKey, bytes: usize) -> Judgement {
        match self.requests.get_mut(key) {
            Some(entry) if !entry.done => {
                entry.observations += 1;
                entry.bytes += bytes;
                if entry.observations > limits::OBSERVATIONS_PER_REQUEST || entry.bytes > BYTES {
                    Judgement::CutOff(Offence::Flood)
                } else {
                    Judgement::Pass
                }
            }
            _ => self.strike(),
        }
    }

    /// The vantage says that nothing more will come.
    pub fn handle_done(&mut self, key: &RequestKey) -> Judgement {
        match self.requests.get_mut(key) {
            Some(entry) if !entry.done => {
                entry.done = true;
                Judgement::Pass
            }
            _ => self.strike(),
        }
    }

    fn strike(&mut self) -> Judgement {
        self.strikes += 1;
        if self.strikes > STRIKES {
            Judgement::CutOff(Offence::NotAsked)
        } else {
            Judgement::Drop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(request: u32) -> RequestKey {
        ("01JD0000000000000000000000".parse().unwrap(), request)
    }

    #[test]
    fn a_request_has_a_bounded_number_of_answers() {
        let mut ledger = Ledger::default();
        ledger.sent(key(1));
        for _ in 0..limits::OBSERVATIONS_PER_REQUEST {
            assert_eq!(ledger.handle_observation(&key(1), 100), Judgement::Pass);
        }
        assert_eq!(
            ledger.handle_observation(&key(1), 100),
            Judgement::CutOff(Offence::Flood)
        );
    }

    #[test]
    fn the_answers_to_a_request_have_a_bounded_size() {
        let mut ledger = Ledger::default();
        ledger.sent(key(1));
        assert_eq!(ledger.handle_observation(&key(1), BYTES), Judgement::Pass);
        assert_eq!(
            ledger.handle_observation(&key(1), 1),
            Judgement::CutOff(Offence::Flood)
        );
    }

    #[test]
    fn answers_to_nothing_are_dropped_and_then_end_the_stream() {
        let mut ledger = Ledger::default();
        ledger.sent(key(1));
        assert_eq!(ledger.handle_done(&key(1)), Judgement::Pass);
        for n in 0..STRIKES {
            let judgement = if n % 2 == 0 {
                ledger.handle_observation(&key(1), 100)
            } else {
                ledger.handle_done(&key(9))
            };
            assert_eq!(judgement, Judgement::Drop);
        }
        assert_eq!(
            ledger.handle_observation(&key(9), 100),
            Judgement::CutOff(Offence::NotAsked)
        );
    }

    #[test]
    fn the_ledger_itself_is_bounded() {
        let mut ledger = Ledger::default();
        for n in 0..10_000 {
            ledger.sent(key(n));
        }
        assert_eq!(ledger.requests.len(), REMEMBERED);
        assert_eq!(ledger.handle_observation(&key(9_999), 100), Judgement::Pass);
        assert_eq!(ledger.handle_observation(&key(0), 100), Judgement::Drop);
    }
}
