//! The lab's certificate authority. Everything in the lab trusts this one and no other.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde::Deserialize;

use crate::LabError;
use crate::error::write;

/// What is wrong with a site's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateKind {
    /// Nothing.
    #[default]
    Valid,
    /// Its last day is long past.
    Expired,
    /// It is for another name.
    WrongName,
    /// An authority nobody knows has signed it.
    Untrusted,
}

/// A certificate authority with its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn new(name: &str) -> Result<Self, LabError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Its own certificate, to be trusted.
    pub fn write_certificate(&self, file: &Path) -> Result<(), LabError> {
        write(file, &self.pem)
    }

    /// Writes its certificate and those of `others` into one file, to be trusted together.
    pub fn write_with(&self, others: &[&Self], file: &Path) -> Result<(), LabError> {
        let others: String = others.iter().map(|other| other.pem.as_str()).collect();
        write(file, self.pem.clone() + &others)
    }

    /// Issues a server certificate for `names` and writes `NAME.crt` (with the chain) and `NAME.key` into `dir`.
    pub fn issue(
        &self,
        names: &[String],
        kind: CertificateKind,
        dir: &Path,
        name: &str,
    ) -> Result<(PathBuf, PathBuf), LabError> {
        let key = KeyPair::generate()?;
        let names = match kind {
            CertificateKind::WrongName => vec!["parked.example".to_owned()],
            _ => names.to_vec(),
        };
        let mut params = CertificateParams::new(names.clone())?;
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        if kind == CertificateKind::Expired {
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let pem = match kind {
            CertificateKind::Untrusted => {
                let stranger = Self::new("Nobody's Authority")?;
                params.signed_by(&key, &stranger.issuer)?.pem() + &stranger.pem
            }
            _ => params.signed_by(&key, &self.issuer)?.pem() + &self.pem,
        };
        let files = (
            dir.join(format!("{name}.crt")),
            dir.join(format!("{name}.key")),
        );
        write(&files.0, pem)?;
        write(&files.1, key.serialize_pem())?;
        Ok(files)
    }
}
