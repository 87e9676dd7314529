//! What a probe keeps in its data directory: its key (readable by its owner alone), the certificate that the coordinator
//! signed, the coordinator's CA, and where the coordinator is.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use onlyhere_proto::VantageName;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "cert.pem";
const CA: &str = "ca.pem";
/// Written last: where it is, the rest is whole.
const PROBE: &str = "probe.toml";

/// Who this probe is, and whom it belongs to.
#[derive(Debug)]
pub struct Identity {
    /// The name that the coordinator gave.
    pub name: VantageName,
    /// `HOST:PORT` of the coordinator's probe port.
    pub coordinator: String,
    /// The coordinator's CA.
    pub ca: CertificateDer<'static>,
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

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nobody enrolled here.
    #[error(
        "{0} holds no identity: run `onlyhere-probe join TOKEN` first, with the same --data-dir"
    )]
    None(PathBuf),
    /// Somebody did already.
    #[error("{dir} already holds the identity `{name}`: run it, or join with another --data-dir")]
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
    #[error("{path} is damaged ({why}): join again with a new token and another --data-dir")]
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
        let damaged = |file: &str| {
            let path = dir.join(file);
            move |why: rustls_pki_types::pem::Error| IdentityError::Damaged {
                path,
                why: why.to_string(),
            }
        };
        let chain = CertificateDer::pem_file_iter(dir.join(CERTIFICATE))
            .and_then(Iterator::collect)
            .map_err(damaged(CERTIFICATE))?;
        Ok(Self {
            name: belonging.name,
            coordinator: belonging.coordinator,
            ca: CertificateDer::from_pem_file(dir.join(CA)).map_err(damaged(CA))?,
            chain,
            key: PrivateKeyDer::from_pem_file(dir.join(KEY)).map_err(damaged(KEY))?,
        })
    }

    /// Refuses a data directory where somebody lives, and makes it where there is none.
    pub fn prepare(dir: &Path) -> Result<(), IdentityError> {
        if let Some(belonging) = belonging(dir)? {
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
        let chain: String = self
            .chain
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect();
        let belonging = Belonging {
            coordinator: self.coordinator.clone(),
            name: self.name.clone(),
        };
        let text = toml::to_string(&belonging).expect("two texts are always TOML");
        replace(dir, KEY, &pem("PRIVATE KEY", self.key.secret_der()))?;
        replace(dir, CERTIFICATE, &chain)?;
        replace(dir, CA, &pem("CERTIFICATE", &self.ca))?;
        replace(dir, PROBE, &text)
    }

    /// A copy of what is shown at the handshake.
    pub(crate) fn clone_parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
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
        fs::rename(&new, &path)
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

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        Identity {
            name: "fra1".parse().unwrap(),
            coordinator: "c.example:7443".into(),
            ca: made.cert.der().clone(),
            chain: vec![made.cert.der().clone(), made.cert.der().clone()],
            key: private_key(made.signing_key.serialize_der()),
        }
    }

    #[test]
    fn an_identity_is_stored_for_its_owner_alone_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        assert!(matches!(Identity::load(&dir), Err(IdentityError::None(_))));
        Identity::prepare(&dir).unwrap();
        let identity = identity();
        identity.store(&dir).unwrap();
        let read = Identity::load(&dir).unwrap();
        assert_eq!(read.name, identity.name);
        assert_eq!(read.coordinator, identity.coordinator);
        assert_eq!(read.chain, identity.chain);
        assert_eq!(read.ca, identity.ca);
        assert_eq!(read.key, identity.key);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join(KEY)), 0o600);
        assert_eq!(mode(&dir), 0o700);
        let taken = Identity::prepare(&dir).unwrap_err().to_string();
        assert!(
            taken.contains("already holds the identity `fra1`"),
            "{taken}"
        );
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        identity().store(dir.path()).unwrap();
        fs::write(dir.path().join(KEY), "nothing").unwrap();
        let error = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("key.pem is damaged"), "{error}");
        fs::write(dir.path().join(PROBE), "name = 7").unwrap();
        let error = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("probe.toml is damaged"), "{error}");
    }
}
