//! The certificate authorities that targets are verified against.

use std::sync::Arc;

use rustls::{RootCertStore, crypto::CryptoProvider};

/// This system's authorities (honouring `SSL_CERT_FILE` and `SSL_CERT_DIR`); Mozilla's list where the system has none.
pub fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a certificate authority of this system cannot be read");
    }
    let (added, ignored) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        tracing::debug!(ignored, "this system trusts nobody: taking Mozilla's list");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The cryptography used everywhere: ring.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
