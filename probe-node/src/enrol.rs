//! Enrolment: a join token becomes an identity.
//!
//! The token holds the hash of the coordinator's CA, so that the very first connection is to nobody else: the chain that
//! the server presents must hold that CA, and the server's certificate must be signed by it. Only then is the one-time
//! secret sent, together with a signing request for a key that never leaves this machine.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use onlyhere_proto::{
    Timestamp, VantageName,
    wire::{EnrolRequest, probe_service_client::ProbeServiceClient},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::{
    channel,
    identity::{Existing, Identity, IdentityError, private_key},
    join_token::JoinToken,
    renew, trust,
};

/// Why a probe could not join.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No connection.
    #[error("the coordinator at {address} cannot be reached: {why}")]
    Unreachable {
        /// `HOST:PORT`.
        address: String,
        /// The innermost reason.
        why: String,
    },
    /// The coordinator's own word.
    #[error("the coordinator refused: {0}")]
    Refused(String),
    /// An answer that cannot be used.
    #[error("the coordinator's answer cannot be used: {0}")]
    Answer(String),
    /// The key or the signing request.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Enrols with the token and stores the identity in `dir`, where `existing` says what becomes of one that is there.
/// `name` is a wish; the coordinator decides.
pub async fn join(
    token: &JoinToken,
    name: Option<&VantageName>,
    dir: &Path,
    existing: Existing,
) -> Result<Identity, EnrolError> {
    let now = Timestamp(jiff::Timestamp::now().as_microsecond());
    Identity::prepare(dir, existing, now)?;
    let key = KeyPair::generate()?;
    let signing_request = CertificateParams::default().serialize_request(&key)?;
    let pin = Arc::new(PinnedAuthority::new(token.ca_sha256));
    let mut tls = ClientConfig::builder_with_provider(trust::provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pin.clone())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let opened = channel::open(&token.address, Arc::new(tls)).await;
    let opened = opened.map_err(|error| EnrolError::Unreachable {
        address: token.address.clone(),
        why: channel::reason(&error),
    })?;
    let request = EnrolRequest {
        secret: token.secret.clone(),
        signing_request: signing_request.der().to_vec(),
        name: name.map(ToString::to_string).unwrap_or_default(),
    };
    let answer = ProbeServiceClient::new(opened)
        .enrol(request)
        .await
        .map_err(|status| EnrolError::Refused(status.message().to_owned()))?
        .into_inner();
    let pinned = pin
        .authority()
        .ok_or_else(|| EnrolError::Answer("no CA was presented".to_owned()))?;
    let told = renew::certificates("authorities", answer.authorities);
    let told = told.map_err(EnrolError::Answer)?;
    let chain = renew::certificates("certificates", answer.certificate_chain);
    let identity = Identity {
        name: answer
            .name
            .parse()
            .map_err(|error| EnrolError::Answer(format!("{error}")))?,
        coordinator: token.address.clone(),
        authorities: if told.is_empty() { vec![pinned] } else { told },
        chain: chain.map_err(EnrolError::Answer)?,
        key: private_key(key.serialize_der()),
    };
    // Refuses a certificate for another key.
    channel::attached_tls(&identity).map_err(|error| EnrolError::Answer(error.to_string()))?;
    identity.store(dir)?;
    Ok(identity)
}

/// Trusts the one authority whose hash the token holds, and remembers it.
#[derive(Debug)]
struct PinnedAuthority {
    sha256: [u8; 32],
    authority: Mutex<Option<CertificateDer<'static>>>,
}

impl PinnedAuthority {
    fn new(sha256: [u8; 32]) -> Self {
        Self {
            sha256,
            authority: Mutex::new(None),
        }
    }

    fn authority(&self) -> Option<CertificateDer<'static>> {
        self.authority
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .clone()
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|der| Sha256::digest(der).as_slice() == self.sha256)
            .ok_or_else(|| {
                rustls::Error::General("it is not the coordinator that made the token".to_owned())
            })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verified =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), trust::provider())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let mut kept = self.authority.lock().unwrap_or_else(|p| p.into_inner());
        *kept = Some(authority.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = trust::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = trust::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        trust::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
