//! Who is a probe: the coordinator's own certificate authority, made on first start and kept in the data directory.
//!
//! No public authority ever decides who is a probe. The CA signs two things: the certificate of the probe port, made
//! anew at every start and never stored, and the certificates of probes, which hold the name the coordinator gave and
//! the probe's key, and nothing else of what the probe's signing request said.

pub mod acme;
mod peer;
pub mod public;
pub mod tls;

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use onlyhere_proto::VantageName;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject,
};
use sha2::{Digest, Sha256};

use crate::data_file::{self, DataError};

pub use peer::{InvalidPeer, Peer};

/// The name that the probe port's certificate is for, whatever address a probe dials.
pub const SERVER_NAME: &str = "coordinator.onlyhere.internal";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The CA outlives everything it signs.
const CA_LIFE: Duration = DAY.saturating_mul(20 * 365);
/// A coordinator is started anew more often than that.
const SERVER_LIFE: Duration = DAY.saturating_mul(5 * 365);
/// A probe enrols anew before that.
const PROBE_LIFE: Duration = DAY.saturating_mul(2 * 365);
/// Certificates begin a day ago, so that a machine whose clock is behind still accepts them.
const CLOCK_SKEW: Duration = DAY;
/// Larger than any signing request for one key.
const SIGNING_REQUEST: usize = 8 * 1024;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What stands in them, or what was to be signed.
    #[error("certificate authority: {0}")]
    Certificate(#[from] rcgen::Error),
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

/// The coordinator's certificate authority.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a probe gets for its signing request.
pub struct Signed {
    /// The probe's certificate, then the CA's.
    pub chain: Vec<CertificateDer<'static>>,
    /// SHA-256 of the probe's public key (SubjectPublicKeyInfo), hexadecimal.
    pub key_sha256: String,
}

impl Authority {
    /// Reads the CA of a data directory, or makes it: `ca.pem` and `ca-key.pem` (0600). Safe while another process
    /// does the same.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        let _lock = data_file::lock_file(&dir.join("ca.lock"))?;
        let (ca, key) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
        match fs::read_to_string(&key) {
            Ok(key) => {
                let pem = fs::read_to_string(&ca).map_err(DataError::io("read", &ca))?;
                Self::from_pem(&ca, &pem, &key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (pem, key_pem) = generate()?;
                // The key last: where it is, the certificate is too.
                data_file::replace(&ca, pem.as_bytes())?;
                data_file::replace(&key, key_pem.as_bytes())?;
                Self::from_pem(&ca, &pem, &key_pem)
            }
            Err(error) => Err(DataError::io("read", &key)(error).into()),
        }
    }

    fn from_pem(path: &Path, ca: &str, key: &str) -> Result<Self, IdentityError> {
        let certificate =
            CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|source| IdentityError::Pem {
                path: path.display().to_string(),
                what: "certificate",
                source,
            })?;
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key)?)?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the CA's DER form, hexadecimal: what join tokens carry.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }

    /// A new key and certificate for the probe port.
    pub fn server_certificate(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, SERVER_NAME);
        valid_for(&mut params, SERVER_LIFE);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![leaf.into(), self.certificate.clone()], key.into()))
    }

    /// Signs a probe's key under the name the coordinator gives it. The request must prove that the probe holds the key.
    pub fn sign_probe(&self, request: &[u8], name: &VantageName) -> Result<Signed, IdentityError> {
        if request.len() > SIGNING_REQUEST {
            return Err(rcgen::Error::CouldNotParseCertificationRequest.into());
        }
        let request = CertificateSigningRequestParams::from_der(
            &CertificateSigningRequestDer::from(request),
        )?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
        let uri = format!("{}{name}", peer::URI);
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        valid_for(&mut params, PROBE_LIFE);
        let leaf = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(Signed {
            chain: vec![leaf.into(), self.certificate.clone()],
            key_sha256: hex::encode(Sha256::digest(request.public_key.subject_public_key_info())),
        })
    }
}

fn generate() -> Result<(String, String), IdentityError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Onlyhere coordinator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    valid_for(&mut params, CA_LIFE);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn valid_for(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + life).into();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(dir.path()).unwrap().fingerprint();
        assert_eq!(
            Authority::load_or_create(dir.path()).unwrap().fingerprint(),
            first
        );
        let mode = fs::metadata(dir.path().join("ca-key.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_that_start_at_once_agree_on_one_authority() {
        let dir = tempfile::tempdir().unwrap();
        let prints: Vec<String> = std::thread::scope(|scope| {
            let start =
                || scope.spawn(|| Authority::load_or_create(dir.path()).unwrap().fingerprint());
            let threads: Vec<_> = (0..4).map(|_| start()).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(prints.iter().all(|p| *p == prints[0]));
    }

    #[test]
    fn a_probe_gets_its_name_from_the_coordinator_whatever_it_asks_for() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(dir.path()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(["evil.example".to_owned()]).unwrap();
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.subject_alt_names
            .push(SanType::URI("onlyhere://probe/other".try_into().unwrap()));
        let request = wish.serialize_request(&key).unwrap();
        let signed = authority
            .sign_probe(request.der(), &"fra1".parse().unwrap())
            .unwrap();
        let peer = Peer::read(&signed.chain[0]).unwrap();
        assert_eq!(peer.name.as_str(), "fra1");
        assert_eq!(peer.key_sha256, signed.key_sha256);
        let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).unwrap();
        assert!(!leaf.is_ca());
    }

    #[test]
    fn what_is_no_signing_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(dir.path()).unwrap();
        let name = "fra1".parse().unwrap();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let mut forged = request.der().to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        for wrong in [Vec::new(), vec![0x30; 9000], forged] {
            assert!(authority.sign_probe(&wrong, &name).is_err());
        }
    }
}
