//! Who is at the other end of a probe's connection, read from the certificate that the handshake has verified.

use onlyhere_proto::VantageName;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// What stands before the name in a probe certificate's URI.
pub(super) const URI: &str = "onlyhere://probe/";

/// A probe, as its certificate says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Given by the coordinator at enrolment.
    pub name: VantageName,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), hexadecimal.
    pub key_sha256: String,
    /// When the certificate ends, seconds since the Unix epoch.
    pub not_after_s: i64,
}

/// A certificate of our own CA that is no probe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client certificate names no probe")]
pub struct InvalidPeer;

impl Peer {
    /// Reads a certificate whose signature has been verified already.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, InvalidPeer> {
        let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| InvalidPeer)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| InvalidPeer)?;
        let mut names = names.ok_or(InvalidPeer)?.value.general_names.iter();
        let name = names.find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(URI),
            _ => None,
        });
        Ok(Self {
            name: name.and_then(|name| name.parse().ok()).ok_or(InvalidPeer)?,
            key_sha256: hex::encode(Sha256::digest(certificate.public_key().raw)),
            not_after_s: certificate.validity().not_after.timestamp(),
        })
    }
}
