//! The vocabulary of Onlyhere.
//!
//! `schema/onlyhere/v1/*.proto` is the wire; [`wire`] is the code generated from it, named only by gRPC services
//! and by the conversions in [`convert`]. Everything else speaks the domain types of this crate, which cannot hold
//! an invalid value: what comes off the wire passes through a `TryFrom` that names what was wrong ([`Invalid`]).
//!
//! The way of the data: [`Target`] and [`Selector`] (what a person asks) -> [`CheckRequest`] (what a vantage is
//! asked) -> [`Observation`] (what it saw) -> [`Report`] (what is concluded).

pub mod codec;
pub mod convert;
mod label;
pub mod limits;
mod observation;
mod report;
mod request;
mod selector;
mod special;
mod symptom;
mod target;
mod time;
mod vantage;

pub use convert::Invalid;
pub use label::UnknownLabel;
pub use observation::{
    Certificate, CertificateError, DnsAnswer, DnsFacts, Facts, Family, HttpFacts, HttpHeader,
    IcmpError, Observation, Outcome, Purpose, ResolverKind, SaidBy, Stage, TcpFacts, TlsFacts,
};
pub use report::{
    Actor, Advisory, CauseId, CauseReport, Conditions, Evidence, History, Listener, LocalFacts,
    Mechanism, REPORT_SCHEMA, Report, Scope, Subject, VantageReport, Verdict,
};
pub use request::{CheckId, CheckRequest, InvalidCheckId, Way};
pub use selector::{InvalidSelector, Selector};
pub use special::{embedded_ipv4, special_range};
pub use symptom::{Symptom, UnknownSymptom};
pub use target::{Host, InvalidTarget, Layer, RecordType, Target};
pub use time::{Micros, Timestamp};
pub use vantage::{InvalidVantageName, Vantage, VantageClass, VantageName, line_of};

/// Generated from the schema; for gRPC services and conversions only.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod wire {
    tonic::include_proto!("onlyhere.v1");

    /// The encoded `FileDescriptorSet`, for the reflection service.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
