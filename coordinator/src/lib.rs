//! The coordinator: asks the probes and the caller, combines what they saw, concludes.
//!
//! The way of one check: [`api`] reads the question and its bearer token -> [`plan`] picks vantages out of the [`fleet`]
//! -> [`engine`] pushes the diagnosis: what it wants to know goes out as requests, what comes back passes [`collect`] ->
//! the report goes into the [`store`] and to the caller, and a line into the [`audit`] log. [`identity`], [`tokens`] and
//! the roll of probes ([`fleet::roll`]) say who is who; [`listen`] is the way in; [`serve`] ties it together.

pub mod api;
pub mod audit;
pub mod clock;
pub mod collect;
pub mod command;
pub mod config;
pub mod confine;
pub mod data_file;
pub mod engine;
pub mod fleet;
pub mod geo;
pub mod identity;
pub mod listen;
pub mod place;
pub mod plan;
mod serve;
pub mod store;
pub mod tokens;
pub mod turns;

pub use serve::{Listeners, ServeError, serve};
