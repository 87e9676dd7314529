//! Renewal: a new key and a new certificate, over the connection that the old ones have opened.
//!
//! Each renewal makes a new key. What somebody copied off this machine is then worth nothing from the next renewal on, and
//! whoever of the two, owner or thief, comes with the old key afterwards is refused and reported. The coordinator lets the
//! old key in until the new one has attached, so an answer that is lost on the way locks nobody out.

use onlyhere_proto::wire::{RenewRequest, probe_service_client::ProbeServiceClient};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tonic::{Status, transport::Channel};

use crate::{
    channel,
    identity::{Identity, private_key},
};

/// Certificates in one list at most, and the length of one, bytes.
const CERTIFICATES: usize = 8;
const CERTIFICATE: usize = 16 * 1024;

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    /// The coordinator's own word, or a broken connection.
    #[error("{}", .0.message())]
    Status(Box<Status>),
    /// The key or the signing request.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// An answer that cannot be used.
    #[error("the coordinator's answer cannot be used: {0}")]
    Answer(String),
}

/// Asks for a new certificate over `channel`, which `old` has opened. Nothing is stored.
pub(crate) async fn renew(channel: Channel, old: &Identity) -> Result<Identity, RenewError> {
    let key = KeyPair::generate()?;
    let signing_request = CertificateParams::default().serialize_request(&key)?;
    let request = RenewRequest {
        signing_request: signing_request.der().to_vec(),
    };
    let answer = ProbeServiceClient::new(channel).renew(request).await;
    let answer = answer
        .map_err(|status| RenewError::Status(Box::new(status)))?
        .into_inner();
    let authorities = certificates("authorities", answer.authorities);
    let authorities = authorities.map_err(RenewError::Answer)?;
    let chain = certificates("certificates", answer.certificate_chain);
    let new = Identity {
        name: old.name.clone(),
        coordinator: old.coordinator.clone(),
        authorities: match authorities.is_empty() {
            true => old.authorities.clone(),
            false => authorities,
        },
        chain: chain.map_err(RenewError::Answer)?,
        key: private_key(key.serialize_der()),
    };
    // Refuses a certificate for another key, and authorities that are none.
    channel::attached_tls(&new).map_err(|error| RenewError::Answer(error.to_string()))?;
    Ok(new)
}

/// Reads a list of certificates off the wire.
pub(crate) fn certificates(
    what: &'static str,
    told: Vec<Vec<u8>>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    if told.len() > CERTIFICATES {
        return Err(format!(
            "{} {what}, where {CERTIFICATES} is the most",
            told.len()
        ));
    }
    if let Some(long) = told.iter().find(|der| der.len() > CERTIFICATE) {
        return Err(format!(
            "{what} of {} bytes, where {CERTIFICATE} is the most",
            long.len()
        ));
    }
    Ok(told.into_iter().map(CertificateDer::from).collect())
}
