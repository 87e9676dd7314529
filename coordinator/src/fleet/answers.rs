//! Answers off the wire: read strictly, given the name of the line they came over, judged by the line's ledger.
//!
//! Whatever name a vantage writes into an observation is discarded.

use std::{collections::BTreeSet, net::IpAddr};

use onlyhere_proto::{CheckId, Invalid, Observation, limits, wire};

use prost::Message;

use super::{Judgement, Line, RequestKey, ledger};

/// Why a vantage is cut off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Offence {
    /// A message that cannot be.
    #[error("a message that cannot be believed: {0}")]
    Invalid(#[from] Invalid),
    /// Too many observations in one message.
    #[error("a message with {0} observations, more than {max}", max = limits::BATCH)]
    Batch(usize),
    /// More than it was asked for.
    #[error(transparent)]
    Ledger(#[from] ledger::Offence),
    /// Bytes that are no message, or one that is too large or holds too much.
    #[error("a message that cannot be read: {0}")]
    Unreadable(String),
    /// A message out of its turn.
    #[error("a {0} message out of its turn")]
    OutOfTurn(&'static str),
}

/// Reads the answers of one line.
pub struct Answers<'a>(pub &'a Line);

impl Answers<'_> {
    /// The further addresses that a probe says in its greeting it can try from, each once.
    pub fn source_addresses(&self, hello: &wire::Hello) -> Result<Vec<IpAddr>, Offence> {
        let field = "hello.source_addresses";
        let told = &hello.source_addresses;
        if told.len() > limits::SOURCE_ADDRESSES {
            return Err(Offence::Invalid(Invalid::TooMany {
                field,
                got: told.len() as u64,
                max: limits::SOURCE_ADDRESSES as u64,
            }));
        }
        let read = |text: &String| {
            text.parse::<IpAddr>().map_err(|_| Invalid::Value {
                field,
                value: limits::plain_text(text, 64),
                expected: "IP address",
            })
        };
        let addresses: BTreeSet<IpAddr> = told.iter().map(read).collect::<Result<_, _>>()?;
        Ok(addresses.into_iter().collect())
    }

    /// The observations of a batch that answer requests of this line.
    pub fn observations(&self, batch: wire::ObservationBatch) -> Result<Vec<Observation>, Offence> {
        if batch.observations.len() > limits::BATCH {
            return Err(Offence::Batch(batch.observations.len()));
        }
        let mut passed = Vec::with_capacity(batch.observations.len());
        for mut observation in batch.observations {
            observation.vantage = self.0.name().to_string();
            let bytes = observation.encoded_len();
            let observation = Observation::try_from(observation)?;
            let key = (observation.check.clone(), observation.request);
            let judgement = self.0.ledger().handle_observation(&key, bytes);
            if self.is_passed(judgement)? {
                passed.push(observation);
            }
        }
        Ok(passed)
    }

    /// The request that is done, if it is one of this line.
    pub fn done(&self, done: wire::RequestDone) -> Result<Option<RequestKey>, Offence> {
        let check: CheckId = done.check_id.parse().map_err(|_| Invalid::Value {
            field: "check_id",
            value: limits::plain_text(&done.check_id, 64),
            expected: "check id",
        })?;
        let key = (check, done.request);
        let judgement = self.0.ledger().handle_done(&key);
        Ok(self.is_passed(judgement)?.then_some(key))
    }

    fn is_passed(&self, judgement: Judgement) -> Result<bool, Offence> {
        match judgement {
            Judgement::Pass => Ok(true),
            Judgement::Drop => {
                tracing::debug!(vantage = %self.0.name(), "an answer to nothing that was asked here");
                Ok(false)
            }
            Judgement::CutOff(offence) => Err(offence.into()),
        }
    }
}
