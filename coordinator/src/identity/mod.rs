//! Who is a probe: the coordinator's own certificate authority, made on first start and kept in the data directory.
//!
//! No public authority ever decides who is a probe. The CA ([`Authority`]) signs two things: the certificate of the probe
//! port, made anew at every start and never stored, and the certificates of probes, which hold the name the coordinator
//! gave and the probe's key, and nothing else of what the probe's signing request said.
//!
//! The CA can be replaced while probes are attached ([`rotate`]): the new one signs from then on, the old one stays trusted
//! until it is retired ([`retire`]). A running server follows what happens in the data directory ([`LiveAuthority`]).

pub mod acme;
mod authority;
mod file;
mod live;
mod peer;
pub mod public;
mod refusal;
pub mod tls;

use std::time::Duration;

use crate::data_file::DataError;

pub use authority::{Authority, Previous, Signed, fingerprint};
pub use file::{CaRefused, retire, rotate};
pub use live::LiveAuthority;
pub use peer::{InvalidPeer, Peer};
pub use refusal::Refusals;

/// The name that the probe port's certificate is for, whatever address a probe dials.
pub const SERVER_NAME: &str = "coordinator.onlyhere.internal";

/// A probe's certificate holds so long, unless `probes.certificate_life` says otherwise.
pub const PROBE_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What stands in them, or what was to be signed.
    #[error("certificate authority: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A CA's file that lacks what it should hold.
    #[error(
        "{path} is damaged: it holds {holds}, where a key and one or three certificates belong"
    )]
    Damaged {
        /// Which file.
        path: String,
        /// What was found.
        holds: String,
    },
    /// A PEM file that is none.
    #[error("{path} holds no {what}: {source}")]
    Pem {
        /// Which file.
        path: String,
        /// What was looked for.
        what: &'static str,
        /// Why not.
        source: rustls_pki_types::pem::Error,
    },
    /// rustls does not take it.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// rustls does not take the CA.
    #[error("TLS: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}
