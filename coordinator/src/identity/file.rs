//! The CA's place in the data directory, and the commands that change it.
//!
//! `ca-key.pem` (0600) holds the key, then the CA's certificate, then, while an older CA is still trusted, that one and the
//! present CA's certificate as the older one signed it. One file, because key and certificates are replaced together, and
//! a crash must leave all of the old or all of the new. `ca.pem` is a copy of the trusted certificates for people.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{Authority, IdentityError, Previous};
use crate::data_file::{self, DataError};

/// Why the CA is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaRefused {
    /// Two at once are enough.
    #[error(
        "an older CA is still trusted: `onlyhere-coordinator ca show` says by whom it is needed, `ca retire` ends it; then rotate again"
    )]
    NotRetired,
    /// There is only one.
    #[error(
        "there is no older CA: `onlyhere-coordinator ca rotate` makes a new one beside the present one"
    )]
    NothingToRetire,
}

/// Where the key lies.
pub(super) fn key_path(dir: &Path) -> PathBuf {
    dir.join("ca-key.pem")
}

impl Authority {
    /// Reads the CA of a data directory, or makes it. Safe while another process does the same.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        let _lock = data_file::lock_file(&dir.join("ca.lock"))?;
        if let Some(authority) = load(dir)? {
            publish(&authority, dir)?;
            return Ok(authority);
        }
        let authority = Self::generate(None)?;
        store(&authority, dir)?;
        Ok(authority)
    }
}

/// Makes a new CA, which signs from now on; the present one stays trusted until it is retired.
pub fn rotate(dir: &Path) -> Result<Result<Authority, CaRefused>, IdentityError> {
    let _lock = data_file::lock_file(&dir.join("ca.lock"))?;
    let present = match load(dir)? {
        Some(present) => present,
        None => Authority::generate(None)?,
    };
    if present.previous.is_some() {
        return Ok(Err(CaRefused::NotRetired));
    }
    let new = Authority::generate(Some(&present))?;
    store(&new, dir)?;
    Ok(Ok(new))
}

/// Ends the trust in the older CA.
pub fn retire(dir: &Path) -> Result<Result<Authority, CaRefused>, IdentityError> {
    let _lock = data_file::lock_file(&dir.join("ca.lock"))?;
    let Some(present) = load(dir)?.filter(|present| present.previous.is_some()) else {
        return Ok(Err(CaRefused::NothingToRetire));
    };
    let alone = Authority {
        previous: None,
        ..present
    };
    store(&alone, dir)?;
    Ok(Ok(alone))
}

/// The CA that is there; none when there is none.
fn load(dir: &Path) -> Result<Option<Authority>, IdentityError> {
    let path = key_path(dir);
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::io("read", &path)(error).into()),
    };
    warn_if_open(&path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|source| IdentityError::Pem {
        path: path.display().to_string(),
        what: "certificate",
        source,
    })?;
    let text = String::from_utf8_lossy(&pem);
    let key = KeyPair::from_pem(&text)?;
    let damaged = |found: &[CertificateDer<'_>]| IdentityError::Damaged {
        path: path.display().to_string(),
        holds: format!("a key and {} certificates", found.len()),
    };
    let (certificate, previous) = match <[_; 3]>::try_from(certificates) {
        Ok([present, old, cross]) => {
            let previous = Previous {
                certificate: old,
                cross,
            };
            (present, Some(previous))
        }
        Err(mut alone) if alone.len() == 1 => (alone.remove(0), None),
        // Version 0.1 kept the certificate in ca.pem only.
        Err(none) if none.is_empty() => {
            let ca = CertificateDer::from_pem_file(dir.join("ca.pem"));
            (ca.map_err(|_| damaged(&none))?, None)
        }
        Err(others) => return Err(damaged(&others)),
    };
    Ok(Some(Authority {
        issuer: Issuer::from_ca_cert_der(&certificate, key)?,
        certificate,
        previous,
    }))
}

fn store(authority: &Authority, dir: &Path) -> Result<(), IdentityError> {
    let mut whole = authority.issuer.key().serialize_pem();
    whole.push_str(&pem(&authority.certificate));
    if let Some(previous) = &authority.previous {
        whole.push_str(&pem(&previous.certificate));
        whole.push_str(&pem(&previous.cross));
    }
    data_file::replace(&key_path(dir), whole.as_bytes())?;
    publish(authority, dir)
}

/// The copy for people.
fn publish(authority: &Authority, dir: &Path) -> Result<(), IdentityError> {
    let path = dir.join("ca.pem");
    let trusted: String = authority.trusted().map(pem).collect();
    if fs::read(&path).is_ok_and(|there| there == trusted.as_bytes()) {
        return Ok(());
    }
    Ok(data_file::replace(&path, trusted.as_bytes())?)
}

/// Who can read the key can make probes.
fn warn_if_open(path: &Path) -> Result<(), DataError> {
    let data = fs::metadata(path).map_err(DataError::io("look at", path))?;
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(%path, mode = format!("{mode:o}"), "others can read the CA's key: chmod 600 it, and rotate the CA");
    }
    Ok(())
}

/// RFC 7468: lines of 64 characters.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(dir.path()).unwrap().fingerprint();
        assert_eq!(
            Authority::load_or_create(dir.path()).unwrap().fingerprint(),
            first
        );
        let mode = fs::metadata(key_path(dir.path())).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
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
    fn a_new_authority_stands_beside_the_old_until_that_is_retired() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Authority::load_or_create(dir.path()).unwrap();
        let old = load();
        assert_eq!(
            retire(dir.path()).unwrap().err(),
            Some(CaRefused::NothingToRetire)
        );
        let new = rotate(dir.path()).unwrap().unwrap();
        assert_ne!(new.fingerprint(), old.fingerprint());
        assert_eq!(load().fingerprint(), new.fingerprint());
        assert_eq!(load().previous(), new.previous());
        assert_eq!(new.previous().unwrap().certificate, old.certificate);
        assert_eq!(
            rotate(dir.path()).unwrap().err(),
            Some(CaRefused::NotRetired)
        );
        let mode = fs::metadata(key_path(dir.path())).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let key = fs::read_to_string(key_path(dir.path())).unwrap();
        assert_eq!(key.matches("PRIVATE KEY").count(), 2, "the old key is gone");

        retire(dir.path()).unwrap().unwrap();
        assert_eq!(load().fingerprint(), new.fingerprint());
        assert_eq!(load().previous(), None);
        rotate(dir.path()).unwrap().unwrap();
    }

    #[test]
    fn an_authority_of_version_0_1_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let old = Authority::load_or_create(dir.path()).unwrap().fingerprint();
        let key = fs::read_to_string(key_path(dir.path())).unwrap();
        let (alone, _) = key.split_once("-----BEGIN CERTIFICATE").unwrap();
        fs::write(key_path(dir.path()), alone).unwrap();
        let read = Authority::load_or_create(dir.path()).unwrap();
        assert_eq!(read.fingerprint(), old);
        let new = rotate(dir.path()).unwrap().unwrap();
        assert_eq!(
            super::super::fingerprint(&new.previous().unwrap().certificate),
            old
        );
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Authority::load_or_create(dir.path()).unwrap();
        let key = fs::read_to_string(key_path(dir.path())).unwrap();
        let (alone, _) = key.split_once("-----BEGIN CERTIFICATE").unwrap();
        fs::write(key_path(dir.path()), alone).unwrap();
        fs::remove_file(dir.path().join("ca.pem")).unwrap();
        let error = Authority::load_or_create(dir.path()).err().unwrap();
        assert!(
            error.to_string().contains("a key and 0 certificates"),
            "{error}"
        );
    }
}
