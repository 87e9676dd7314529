//! TLS of both listeners. Ring everywhere, always named.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{Authority, IdentityError};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The probe port: TLS 1.3, our own CA on both sides. A client without certificate is let in, because that is how a
/// probe enrols; one with a certificate that our CA did not sign is not.
pub fn probe_port(authority: &Authority) -> Result<Arc<ServerConfig>, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()?;
    let (chain, key) = authority.server_certificate()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // After a restart of the coordinator's network the whole fleet dials at once; a resumed handshake costs half.
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The people's port, with the certificate that `api.tls` names.
pub fn api_port(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, IdentityError> {
    let pem = |path: &Path, what| {
        let path = path.display().to_string();
        move |source| IdentityError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(cert, "certificate"))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
