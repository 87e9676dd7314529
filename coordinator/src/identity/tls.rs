//! TLS of both listeners. Ring everywhere, always named.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{Authority, IdentityError};
use crate::data_file::DataError;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The probe port: TLS 1.3, our own CA on both sides; TLS 1.3 has no renegotiation. A client without certificate is let
/// in, because that is how a probe enrols; one with a certificate that no CA trusted here signed is not.
pub fn probe_port(authority: &Authority) -> Result<Arc<ServerConfig>, IdentityError> {
    let mut roots = RootCertStore::empty();
    for ca in authority.trusted() {
        roots.add(ca.clone())?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()?;
    let (chain, key) = authority.server_certificate()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // After a restart of the coordinator's network the whole fleet dials at once; a resumed handshake costs half. It does
    // not look at the certificate again: who is let in by it is asked of the roll and the clock.
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The people's port, with a certificate that may be renewed while it serves; `further` protocols come last.
pub(super) fn api_port(
    certificate: Arc<dyn ResolvesServerCert>,
    further: &[&[u8]],
) -> Result<Arc<ServerConfig>, IdentityError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let further = further.iter().map(|protocol| protocol.to_vec());
    config.alpn_protocols.extend(further);
    Ok(Arc::new(config))
}

/// The files that `api.tls` names; public certificates are renewed every few weeks, and nobody restarts for that.
#[derive(Debug)]
pub struct ApiCertificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<(Written, Arc<CertifiedKey>)>,
}

/// When the two files were last written.
type Written = [SystemTime; 2];

impl ApiCertificate {
    /// Reads both files.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        let written = written(cert, key)?;
        Ok(Self {
            current: RwLock::new((written, Arc::new(read(cert, key)?))),
            cert: cert.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads them again if they were written since; says whether a new certificate is in use. What cannot be used, such
    /// as a certificate whose key is not there yet, leaves the old one in place and is tried again.
    pub fn refresh(&self) -> Result<bool, IdentityError> {
        let written = written(&self.cert, &self.key)?;
        let known = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        if known == written {
            return Ok(false);
        }
        let new = (written, Arc::new(read(&self.cert, &self.key)?));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }
}

impl ResolvesServerCert for ApiCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.1))
    }
}

fn written(cert: &Path, key: &Path) -> Result<Written, IdentityError> {
    let time = |path: &Path| {
        let time = fs::metadata(path).and_then(|data| data.modified());
        time.map_err(DataError::io("read", path))
    };
    Ok([time(cert)?, time(key)?])
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, IdentityError> {
    let pem = |path: &Path, what| {
        let path = path.display().to_string();
        move |source| IdentityError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(cert, "certificate"))?;
    if chain.is_empty() {
        return Err(pem(cert, "certificate")(
            rustls_pki_types::pem::Error::NoItemsFound,
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    Ok(CertifiedKey::from_der(chain, private, &provider())?)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn write(dir: &Path, certificate: &KeyPair, key: &KeyPair, when: u64) {
        let params = CertificateParams::new(["coordinator.example".to_owned()]).unwrap();
        let pem = params.self_signed(certificate).unwrap().pem();
        for (name, text) in [("c.pem", pem), ("k.pem", key.serialize_pem())] {
            fs::write(dir.join(name), text).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(when);
            fs::File::options()
                .write(true)
                .open(dir.join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_half_renewed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        write(dir.path(), &old, &old, 1);
        let files =
            ApiCertificate::load(&dir.path().join("c.pem"), &dir.path().join("k.pem")).unwrap();
        let served = || Arc::clone(&files.current.read().unwrap().1).cert[0].clone();
        let first = served();
        assert!(!files.refresh().unwrap());
        write(dir.path(), &new, &old, 2);
        assert!(files.refresh().is_err());
        assert_eq!(served(), first);
        write(dir.path(), &new, &new, 3);
        assert!(files.refresh().unwrap());
        assert_ne!(served(), first);
    }

    #[test]
    fn files_that_hold_no_certificate_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let says = |wanted: &str| {
            let error = ApiCertificate::load(&cert, &key).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        };
        says("cannot read");
        fs::write(&cert, "").unwrap();
        fs::write(&key, "").unwrap();
        says("c.pem holds no certificate");
        let pair = KeyPair::generate().unwrap();
        write(dir.path(), &pair, &pair, 1);
        fs::write(&key, "").unwrap();
        says("k.pem holds no private key");
    }
}
