//! Who is at the other end of a probe's connection, read from the certificate that the handshake has verified.

use onlyhere_proto::{Timestamp, VantageName};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

use super::authority::signed_at;

/// What stands before the name in a probe certificate's URI.
pub(super) const URI: &str = "onlyhere://probe/";

/// A probe, as its certificate says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Given by the coordinator at enrolment.
    pub name: VantageName,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), hexadecimal.
    pub key_sha256: String,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// From when on it does not hold any more.
    pub expires_at: Timestamp,
    /// The key identifier of the CA that signed it (RFC 5280, 4.2.1.1), hexadecimal.
    pub authority: Option<String>,
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
        // RFC 5280, 4.1.2.5: the end is the last second of it.
        let end_s = certificate.validity().not_after.timestamp() + 1;
        Ok(Self {
            name: name.and_then(|name| name.parse().ok()).ok_or(InvalidPeer)?,
            key_sha256: hex::encode(Sha256::digest(certificate.public_key().raw)),
            signed_at: signed_at(&certificate.serial.to_bytes_be()).unwrap_or_default(),
            expires_at: Timestamp(end_s.saturating_mul(1_000_000)),
            authority: signer(&certificate),
        })
    }
}

/// The identifier of a CA's own key, hexadecimal.
pub(super) fn key_id(ca: &CertificateDer<'_>) -> Option<String> {
    let (_, ca) = parse_x509_certificate(ca).ok()?;
    ca.extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(hex::encode(id.0)),
            _ => None,
        })
}

fn signer(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| hex::encode(id.0))
            }
            _ => None,
        })
}
