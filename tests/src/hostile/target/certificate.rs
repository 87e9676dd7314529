//! Certificates that are too many, too large, or full of what should not be shown; and one that is good, for servers that
//! are hostile later.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, ServerConfig, SupportedProtocolVersion, version};

use super::{Chain, Session, Version};
use crate::LabError;

/// The certificates of the hostile host.
#[derive(Debug)]
pub struct Shelf {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Made once: the largest take a while.
    made: [OnceLock<Arc<CertifiedKey>>; 5],
}

impl Shelf {
    /// With a good certificate, read from files in PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, LabError> {
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        Ok(Self {
            chain: chain.map_err(|error| LabError::bad_file(certificate, error))?,
            key: PrivateKeyDer::from_pem_file(key)
                .map_err(|error| LabError::bad_file(key, error))?,
            made: Default::default(),
        })
    }

    /// For a server that behaves until the handshake is over.
    pub(super) fn good(&self, kind: Session) -> io::Result<ServerConfig> {
        let mut config = self.config(&version::TLS13)?;
        config.alpn_protocols = match kind {
            Session::Http1 => vec![b"http/1.1".to_vec()],
            Session::Http2 => vec![b"h2".to_vec()],
        };
        Ok(config)
    }

    /// The same, with AES-128-GCM alone, and keys that can be taken out.
    pub(super) fn extractable(
        &self,
        of: Version,
        key_log: Arc<dyn KeyLog>,
    ) -> io::Result<ServerConfig> {
        let mut config = self.config(match of {
            Version::Tls12 => &version::TLS12,
            Version::Tls13 => &version::TLS13,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.enable_secret_extraction = true;
        config.key_log = key_log;
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn config(&self, version: &'static SupportedProtocolVersion) -> io::Result<ServerConfig> {
        ServerConfig::builder_with_provider(Arc::new(aes_128()))
            .with_protocol_versions(&[version])
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(self.chain.clone(), self.key.clone_key())
            })
            .map_err(io::Error::other)
    }

    /// For a server whose certificates are the trouble.
    pub(super) fn with_chain(&self, chain: Chain) -> io::Result<ServerConfig> {
        let made = match self.made[chain as usize].get() {
            Some(made) => Arc::clone(made),
            None => {
                let made = Arc::new(make(chain).map_err(io::Error::other)?);
                Arc::clone(self.made[chain as usize].get_or_init(|| made))
            }
        };
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(config
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(made))))
    }
}

fn aes_128() -> CryptoProvider {
    use rustls::CipherSuite;
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

/// Shows the same certificates to everybody, whatever is in them.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn make(chain: Chain) -> Result<CertifiedKey, Box<dyn std::error::Error + Send + Sync>> {
    let key = KeyPair::generate()?;
    let name = "hostile.example".to_owned();
    let certificates = match chain {
        Chain::Megabyte => {
            // Padding in an extension that nobody knows, in 16 certificates of 64 KiB each.
            let mut params = CertificateParams::new(vec![name])?;
            let oid = [1, 3, 6, 1, 4, 1, 99_999, 1];
            let padding = CustomExtension::from_oid_content(&oid, vec![0; 65_000]);
            params.custom_extensions.push(padding);
            let one = params.self_signed(&key)?.der().clone();
            vec![one; 16]
        }
        Chain::Names => {
            let names = (0..10_000).map(|n| format!("n{n}.hostile.example"));
            let params = CertificateParams::new(names.collect::<Vec<_>>())?;
            vec![params.self_signed(&key)?.der().clone()]
        }
        Chain::Hundred => {
            let one = CertificateParams::new(vec![name])?.self_signed(&key)?;
            vec![one.der().clone(); 100]
        }
        Chain::Escapes => vec![with_escapes(&key)?],
        Chain::Broken => vec![CertificateDer::from(vec![0x30; 3_000])],
    };
    let signer = ring::sign::any_ecdsa_type(&PrivateKeyDer::try_from(key.serialize_der())?)?;
    Ok(CertifiedKey::new(certificates, signer))
}

fn with_escapes(key: &KeyPair) -> Result<CertificateDer<'static>, rcgen::Error> {
    const TEXT: &str = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}moc.elpmaxe\u{2066}<script>alert(1)</script>\r\n\x08";
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, TEXT);
    name.push(DnType::OrganizationName, format!("{TEXT}{TEXT}"));
    params.distinguished_name = name;
    // A name is ASCII, which has controls enough.
    let ascii: String = TEXT.chars().filter(char::is_ascii).collect();
    params.subject_alt_names = vec![SanType::DnsName(ascii.try_into()?)];
    Ok(params.self_signed(key)?.der().clone())
}
