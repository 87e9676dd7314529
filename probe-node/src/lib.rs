//! One vantage: a [`CheckRequest`](onlyhere_proto::CheckRequest) goes in, [`Observation`](onlyhere_proto::Observation)s
//! come out. It sees and never judges: what the observations mean is decided elsewhere.
//!
//! The way of a request: [`Prober::run`] -> `visit` (`resolve`, then every address on its own) -> `climb`, stage by stage,
//! or `ladder`, hop by hop -> `probe` (one file per protocol) -> `classify` (raw error to outcome) -> an observation in the
//! caller's channel (`tell`). `way` and `proxy` lead past the ordinary route, `authoritative` past the resolvers. [`guard`] decides
//! before every packet whether the target may be tried at all.
//!
//! What strangers' bytes are read as can be seen without a socket: [`untrusted`].
//!
//! The daemon around it: `enrol` gets a certificate, `renew` a new one before it ends, `attach` keeps the stream to the
//! coordinator.

pub mod attach;
mod authoritative;
pub mod capabilities;
mod channel;
mod classify;
mod climb;
pub mod command;
pub mod config;
pub mod confine;
pub mod daemon;
pub mod enrol;
pub mod guard;
pub mod hosts;
pub mod identity;
pub mod join_token;
pub mod journal;
mod kernel;
mod ladder;
pub mod pace;
mod probe;
mod prober;
mod proxy;
mod redirect;
mod renew;
mod resolve;
pub mod resolvers;
pub mod standing;
mod tell;
mod timing;
pub mod trust;
mod turns;
pub mod untrusted;
pub mod upgrade;
pub mod user_agent;
mod validity;
mod visit;
mod way;

pub use guard::Guard;
pub use pace::Caps;
pub use prober::{Prober, ProberError, ProberSettings};
pub use proxy::ProxyCredentials;
