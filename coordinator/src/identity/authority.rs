//! The certificate authority itself: what it signs, and how one follows another.
//!
//! While an old CA is still trusted, the port shows the new CA's certificate twice: signed by itself, for who knows the new
//! one, and signed by the old one, for who knows only that. The old CA's key signs that one certificate and is then gone.

use std::time::{Duration, SystemTime};

use onlyhere_proto::{Timestamp, VantageName};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use sha2::{Digest, Sha256};

use super::{IdentityError, SERVER_NAME, peer};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The CA outlives everything it signs.
const CA_LIFE: Duration = DAY.saturating_mul(20 * 365);
/// A coordinator is started anew more often than that.
const SERVER_LIFE: Duration = DAY.saturating_mul(5 * 365);
/// Certificates begin so much in the past, so that a machine whose clock is behind still accepts them; those that hold
/// for less than a week begin by a seventh of that.
const CLOCK_SKEW: Duration = DAY;
/// Larger than any signing request for one key.
const SIGNING_REQUEST: usize = 8 * 1024;

/// The coordinator's certificate authority.
pub struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) previous: Option<Previous>,
}

/// The CA before, while it is still trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Signed by itself.
    pub certificate: CertificateDer<'static>,
    /// The present CA's key and name, signed by the previous one.
    pub(super) cross: CertificateDer<'static>,
}

/// What a probe gets for its signing request.
#[derive(Debug)]
pub struct Signed {
    /// The probe's certificate, then the CA's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Who the certificate says it is.
    pub peer: peer::Peer,
}

impl Authority {
    /// A new one; after `previous`, if there is one, which is trusted beside it.
    pub(super) fn generate(previous: Option<&Self>) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let params = ca_params(&key);
        let certificate: CertificateDer<'static> = params.self_signed(&key)?.into();
        let previous = previous.map(|old| {
            // Nothing stands between this one and what it signs.
            let mut params = ca_params(&key);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.use_authority_key_identifier_extension = true;
            Ok::<_, rcgen::Error>(Previous {
                certificate: old.certificate.clone(),
                cross: params.signed_by(&key, &old.issuer)?.into(),
            })
        });
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
            certificate,
            previous: previous.transpose()?,
        })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA before, while it is still trusted.
    pub fn previous(&self) -> Option<&Previous> {
        self.previous.as_ref()
    }

    /// Every CA that is trusted, this one first.
    pub fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        let previous = self.previous.iter().map(|previous| &previous.certificate);
        std::iter::once(&self.certificate).chain(previous)
    }

    /// SHA-256 of the CA's DER form, hexadecimal: what join tokens carry.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }

    /// When it was made, as its serial number says it; none for one of version 0.1.
    pub fn made_at(&self) -> Option<Timestamp> {
        let (_, ca) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        signed_at(&ca.serial.to_bytes_be())
    }

    /// What the certificates that this CA signs call it: see [`peer::Peer::authority`].
    pub fn key_id(&self) -> Option<String> {
        peer::key_id(&self.certificate)
    }

    /// Whether this CA signed the certificate; the one before it may have.
    pub fn has_signed(&self, peer: &peer::Peer) -> bool {
        peer.authority.is_some() && peer.authority == self.key_id()
    }

    /// Whether this CA, or the one before while it is trusted, signed the certificate.
    pub fn trusts(&self, peer: &peer::Peer) -> bool {
        let by = |ca: &CertificateDer<'_>| {
            peer.authority.is_none() || peer.authority == peer::key_id(ca)
        };
        self.trusted().any(by)
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
        valid_for(&mut params, SERVER_LIFE, SystemTime::now());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut chain = vec![leaf.into(), self.certificate.clone()];
        if let Some(previous) = &self.previous {
            // The old CA itself too: a join token that was made under it finds it here by its hash.
            chain.extend([previous.cross.clone(), previous.certificate.clone()]);
        }
        Ok((chain, key.into()))
    }

    /// Signs a probe's key for `life`, under the name the coordinator gives it. The request must prove that the probe
    /// holds the key.
    pub fn sign_probe(
        &self,
        request: &[u8],
        name: &VantageName,
        life: Duration,
    ) -> Result<Signed, IdentityError> {
        if request.len() > SIGNING_REQUEST {
            return Err(rcgen::Error::CouldNotParseCertificationRequest.into());
        }
        let request = CertificateSigningRequestParams::from_der(
            &CertificateSigningRequestDer::from(request),
        )?;
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
        let uri = format!("{}{name}", peer::URI);
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(now));
        valid_for(&mut params, life, now);
        let leaf: CertificateDer<'static> =
            params.signed_by(&request.public_key, &self.issuer)?.into();
        let peer = peer::Peer::read(&leaf).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        Ok(Signed {
            chain: vec![leaf, self.certificate.clone()],
            peer,
        })
    }
}

/// SHA-256 of a certificate's DER form, hexadecimal.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate))
}

/// Two CAs of one coordinator need two names: a part of the key's hash tells them apart.
fn ca_params(key: &KeyPair) -> CertificateParams {
    let hash = hex::encode(Sha256::digest(key.subject_public_key_info()));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("Onlyhere coordinator CA {}", &hash[..8]),
    );
    // Room for the certificate that it signs for the one after it.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let now = SystemTime::now();
    params.serial_number = Some(serial(now));
    valid_for(&mut params, CA_LIFE, now);
    params
}

/// Begins with the time of signing in microseconds, so that of two certificates of one probe the later is known; ends
/// with 64 random bits.
fn serial(now: SystemTime) -> SerialNumber {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let mut bytes = micros.to_be_bytes().to_vec();
    bytes.extend(rand::random::<[u8; 8]>());
    SerialNumber::from_slice(&bytes)
}

/// The time of signing that a serial number of ours begins with.
pub(super) fn signed_at(serial: &[u8]) -> Option<Timestamp> {
    let (micros, _) = serial.split_at_checked(serial.len().checked_sub(8)?)?;
    let mut bytes = [0; 8];
    bytes
        .get_mut(8usize.checked_sub(micros.len())?..)?
        .copy_from_slice(micros);
    Some(Timestamp(i64::from_be_bytes(bytes)))
}

fn valid_for(params: &mut CertificateParams, life: Duration, now: SystemTime) {
    params.not_before = (now - CLOCK_SKEW.min(life / 7)).into();
    params.not_after = (now + life).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

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
        let name = "fra1".parse().unwrap();
        let signed = authority.sign_probe(request.der(), &name, LIFE).unwrap();
        assert_eq!(signed.peer.name.as_str(), "fra1");
        let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).unwrap();
        assert!(!leaf.is_ca());
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
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
            assert!(authority.sign_probe(&wrong, &name, LIFE).is_err());
        }
    }
}
