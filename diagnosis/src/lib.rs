//! From observations to a verdict. Pure: no socket, no clock, no task, no randomness, no global.
//!
//! [`Investigation`] is pushed by its shell (the coordinator's engine, or the command line when no coordinator is in
//! reach): asks come out, observations go in, until [`Investigation::is_concluded`].
//!
//! The way of the data: observations -> `digest` (what each vantage saw, as signs) -> `posterior` (exact Bayes over
//! the `hypothesis` list that `model` and the case give, each vantage's `latent` state summed out) -> `verdict` (the
//! rules that are not probabilities) -> `explain` (sentences). `plan` names the next check from the same posterior.
#![deny(clippy::disallowed_methods)]

mod addresses;
mod case;
mod causes;
mod closer;
mod digest;
mod early;
mod effect;
mod expand;
mod explain;
mod follow_up;
mod hidden;
mod hypotheses;
mod hypothesis;
mod investigation;
mod latent;
mod likelihood;
mod look;
mod model;
mod plan;
mod posterior;
mod progress;
mod replay;
mod resolution;
mod rows;
mod rules;
mod sign;
mod value;
mod verdict;

pub use case::{Ask, Case};
pub use causes::Cause;
pub use investigation::Investigation;
