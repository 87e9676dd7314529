//! What a probe keeps in its data directory: its key and the certificate that the coordinator signed, in one file that is
//! readable by its owner alone; the authorities under which the coordinator shows itself; and where the coordinator is.
//!
//! Key and certificate lie in one file because they are renewed together: whoever reads after a crash finds the old pair
//! or the new one, never a key beside another key's certificate.

use std::{
    fs::{self, File},
    io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use onlyhere_proto::{Timestamp, VantageName};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use crate::validity::Validity;

/// The key, then the probe's own certificate, then those that lead to its authority.
const IDENTITY: &str = "identity.pem";
const AUTHORITIES: &str = "ca.pem";
/// Written last, and removed first: where it is, the rest is whole.
const PROBE: &str = "probe.toml";

/// Who this probe is, and whom it belongs to.
#[derive(Debug)]
pub struct Identity {
    /// The name that the coordinator gave.
    pub name: VantageName,
    /// `HOST:PORT` of the coordinator's probe port.
    pub coordinator: String,
    /// Under which the coordinator may show itself; more than one while its CA is being replaced.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The probe's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub key: PrivateKeyDer<'static>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Belonging {
    coordinator: String,
    name: VantageName,
}

/// What becomes of an identity that is there already when a probe joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and joining is refused, unless its certificate has expired.
    Keep,
    /// It is replaced.
    Replace,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nobody enrolled here.
    #[error(
        "{0} holds no identity: run `onlyhere-probe join TOKEN` first, with the same --data-dir"
    )]
    None(PathBuf),
    /// Somebody did already.
    #[error(
        "{dir} already holds the identity `{name}`: run it, join with another --data-dir, or give it up with --replace"
    )]
    Taken {
        /// The data directory.
        dir: PathBuf,
        /// Who lives there.
        name: VantageName,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// Read, write or create.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file with something else in it.
    #[error("{path} is damaged ({why}): join again with a new token and --replace")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Identity {
    /// Reads the identity of a data directory.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let belonging = belonging(dir)?.ok_or_else(|| IdentityError::None(dir.to_owned()))?;
        let (path, identity) = match dir.join(IDENTITY).exists() {
            true => read(dir, IDENTITY)?,
            false => read_of_version_0_1(dir)?,
        };
        let chain = certificates(&path, &identity)?;
        let key = PrivateKeyDer::from_pem_slice(&identity).map_err(damaged(&path))?;
        let (path, authorities) = read(dir, AUTHORITIES)?;
        Ok(Self {
            name: belonging.name,
            coordinator: belonging.coordinator,
            authorities: certificates(&path, &authorities)?,
            chain,
            key,
        })
    }

    /// Makes the data directory, and refuses one where somebody lives who may stay.
    pub fn prepare(dir: &Path, existing: Existing, now: Timestamp) -> Result<(), IdentityError> {
        if existing == Existing::Keep
            && let Some(belonging) = belonging(dir)?
            && !Self::load(dir)?.has_expired(now)
        {
            return Err(IdentityError::Taken {
                dir: dir.to_owned(),
                name: belonging.name,
            });
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed("create", dir))
    }

    /// Stores the identity; whoever reads finds all of it or nothing.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        let belonging = Belonging {
            coordinator: self.coordinator.clone(),
            name: self.name.clone(),
        };
        let text = toml::to_string(&belonging).expect("two texts are always TOML");
        let old = dir.join(PROBE);
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("replace", &old)(error));
            }
            _ => {}
        }
        self.store_renewed(dir)?;
        replace(dir, PROBE, &text)
    }

    /// Stores key, certificate and authorities of a probe that is known here already. Whoever reads in between finds the
    /// old key with its old certificate.
    pub fn store_renewed(&self, dir: &Path) -> Result<(), IdentityError> {
        let pem_of = |list: &[CertificateDer<'_>]| -> String {
            list.iter().map(|der| pem("CERTIFICATE", der)).collect()
        };
        let key = pem("PRIVATE KEY", self.key.secret_der());
        // First what to trust: the old certificate goes well with it.
        replace(dir, AUTHORITIES, &pem_of(&self.authorities))?;
        replace(dir, IDENTITY, &(key + &pem_of(&self.chain)))?;
        // Of version 0.1: a key that nobody needs any more.
        let _ = fs::remove_file(dir.join("key.pem"));
        Ok(())
    }

    /// When its certificate begins and ends; none where it cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        Validity::of(self.chain.first()?)
    }

    /// Whether its certificate is over; one that cannot be read is left for the coordinator to judge.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.validity()
            .is_some_and(|validity| validity.until <= now)
    }

    /// A copy of what is shown at the handshake.
    pub(crate) fn clone_parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }
}

fn read(dir: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), IdentityError> {
    let path = dir.join(name);
    let content = fs::read(&path).map_err(failed("read", &path))?;
    Ok((path, content))
}

/// Version 0.1 kept key and certificate apart; the first renewal brings them together.
fn read_of_version_0_1(dir: &Path) -> Result<(PathBuf, Vec<u8>), IdentityError> {
    let (path, mut key) = read(dir, "key.pem")?;
    let (_, certificate) = read(dir, "cert.pem")?;
    key.extend(certificate);
    Ok((path, key))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all.map_err(damaged(path))? {
        empty if empty.is_empty() => Err(damaged(path)(rustls_pki_types::pem::Error::NoItemsFound)),
        all => Ok(all),
    }
}

fn damaged(path: &Path) -> impl FnOnce(rustls_pki_types::pem::Error) -> IdentityError {
    let path = path.to_owned();
    move |why| IdentityError::Damaged {
        path,
        why: why.to_string(),
    }
}

/// A private key as rustls takes it.
pub(crate) fn private_key(pkcs8: Vec<u8>) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(pkcs8).into()
}

fn belonging(dir: &Path) -> Result<Option<Belonging>, IdentityError> {
    let path = dir.join(PROBE);
    match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text)
            .map(Some)
            .map_err(|error: toml::de::Error| IdentityError::Damaged {
                path,
                why: error.message().to_owned(),
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Written beside its place, synced, then renamed into it; for its owner alone.
fn replace(dir: &Path, name: &str, text: &str) -> Result<(), IdentityError> {
    let path = dir.join(name);
    let new = dir.join(format!("{name}.new"));
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        // The rename itself is on disk only when the directory is.
        File::open(dir)?.sync_all()
    };
    write().map_err(failed("write", &path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::File { what, path, source }
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        Identity {
            name: "fra1".parse().unwrap(),
            coordinator: "c.example:7443".into(),
            authorities: vec![made.cert.der().clone(), made.cert.der().clone()],
            chain: vec![made.cert.der().clone(), made.cert.der().clone()],
            key: private_key(made.signing_key.serialize_der()),
        }
    }

    #[test]
    fn an_identity_is_stored_for_its_owner_alone_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        assert!(matches!(Identity::load(&dir), Err(IdentityError::None(_))));
        Identity::prepare(&dir, Existing::Keep, NOW).unwrap();
        let identity = identity();
        identity.store(&dir).unwrap();
        let read = Identity::load(&dir).unwrap();
        assert_eq!(read.name, identity.name);
        assert_eq!(read.coordinator, identity.coordinator);
        assert_eq!(read.chain, identity.chain);
        assert_eq!(read.authorities, identity.authorities);
        assert_eq!(read.key, identity.key);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join(IDENTITY)), 0o600);
        assert_eq!(mode(&dir), 0o700);
        let prepare = |existing, now| Identity::prepare(&dir, existing, now);
        let taken = prepare(Existing::Keep, NOW).unwrap_err().to_string();
        assert!(
            taken.contains("already holds the identity `fra1`"),
            "{taken}"
        );
    }

    #[test]
    fn an_identity_of_version_0_1_is_read_and_its_key_goes_with_the_first_renewal() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, identity) = (dir.path(), identity());
        identity.store(dir).unwrap();
        let whole = fs::read_to_string(dir.join(IDENTITY)).unwrap();
        let at = whole.find("-----BEGIN CERTIFICATE").unwrap();
        fs::write(dir.join("key.pem"), &whole[..at]).unwrap();
        fs::write(dir.join("cert.pem"), &whole[at..]).unwrap();
        fs::remove_file(dir.join(IDENTITY)).unwrap();
        let read = Identity::load(dir).unwrap();
        assert_eq!((&read.key, &read.chain), (&identity.key, &identity.chain));
        read.store_renewed(dir).unwrap();
        assert!(!dir.join("key.pem").exists());
        assert_eq!(Identity::load(dir).unwrap().key, identity.key);
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        identity().store(dir.path()).unwrap();
        fs::write(dir.path().join(IDENTITY), "nothing").unwrap();
        let error = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("identity.pem is damaged"), "{error}");
        fs::write(dir.path().join(PROBE), "name = 7").unwrap();
        let error = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("probe.toml is damaged"), "{error}");
    }
}
