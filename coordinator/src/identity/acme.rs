//! The certificate of the people's port by ACME (RFC 8555): fetched before the old one ends, proved by tls-alpn-01
//! (RFC 8737) on the port itself.

use std::{
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::StreamExt;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_acme::{
    AccountCache, AcmeConfig, AcmeState, CertCache, EventError, EventOk, OrderError,
    ResolvesServerCertAcme, is_tls_alpn_challenge,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::IdentityError;
use crate::{
    config,
    data_file::{self, DataError},
};

/// The protocol by which the authority proves that a name leads here (RFC 8737, 4).
pub const CHALLENGE: &[u8] = b"acme-tls/1";

/// An order that hangs is begun anew; the library itself knows no time.
const ANEW: Duration = Duration::from_secs(6 * 60 * 60);

/// A certificate that keeps itself renewed while [`AcmeCertificate::renew`] runs.
pub struct AcmeCertificate {
    settings: config::Acme,
    cache: PathBuf,
    client: Arc<ClientConfig>,
    /// Has the certificate in use, if there is one.
    current: RwLock<Arc<ResolvesServerCertAcme>>,
    /// Answers the authority.
    ordering: RwLock<Arc<ResolvesServerCertAcme>>,
}

type State = AcmeState<DataError, DataError>;

impl AcmeCertificate {
    /// Nothing is fetched yet. The cache is made for its owner alone.
    pub fn new(settings: config::Acme, data_dir: &Path) -> Result<(Self, Renewal), IdentityError> {
        let cache = settings.cache.clone();
        let cache = cache.unwrap_or_else(|| data_dir.join("acme"));
        create_private(&cache).map_err(DataError::io("create", &cache))?;
        let client = client(settings.ca.as_deref())?;
        let state = state(&settings, &cache, &client);
        let resolver = state.resolver();
        let certificate = Self {
            settings,
            cache,
            client,
            current: RwLock::new(Arc::clone(&resolver)),
            ordering: RwLock::new(resolver),
        };
        Ok((certificate, Renewal(state)))
    }

    /// Fetches and renews for ever; what goes wrong is logged and tried again, at first after a second, then less and less
    /// often.
    pub async fn renew(&self, Renewal(mut state): Renewal) -> Infallible {
        loop {
            let until = Instant::now() + ANEW;
            while let Ok(Some(event)) = tokio::time::timeout_at(until, state.next()).await {
                self.handle(event, &state);
            }
            state = self::state(&self.settings, &self.cache, &self.client);
            set(&self.ordering, state.resolver());
        }
    }

    fn handle(&self, event: Result<EventOk, EventError<DataError, DataError>>, state: &State) {
        match event {
            Ok(EventOk::DeployedCachedCert) => set(&self.current, state.resolver()),
            Ok(EventOk::DeployedNewCert) => {
                set(&self.current, state.resolver());
                tracing::info!("api.tls.acme: a new certificate is in use");
            }
            Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
            Err(EventError::Order(error)) => {
                tracing::warn!(error = %says(&error), "api.tls.acme: no new certificate yet; it is tried again");
            }
            Err(error) => tracing::error!(%error, "api.tls.acme: the cache cannot be used"),
        }
    }
}

/// What [`AcmeCertificate::renew`] goes on with.
pub struct Renewal(State);

impl std::fmt::Debug for AcmeCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeCertificate")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for AcmeCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let resolver = if is_tls_alpn_challenge(&hello) {
            &self.ordering
        } else {
            &self.current
        };
        let resolver = Arc::clone(&resolver.read().unwrap_or_else(PoisonError::into_inner));
        resolver.resolve(hello)
    }
}

fn set(place: &RwLock<Arc<ResolvesServerCertAcme>>, resolver: Arc<ResolvesServerCertAcme>) {
    *place.write().unwrap_or_else(PoisonError::into_inner) = resolver;
}

/// An invalid authorization says why in its challenges, deep inside; the rest is noise for an operator.
fn says(error: &OrderError) -> String {
    if let OrderError::BadAuth(auth) = error {
        let problems = auth.challenges.iter().filter_map(|c| c.error.as_ref());
        let details: Vec<&str> = problems.filter_map(|p| p.detail.as_deref()).collect();
        if !details.is_empty() {
            return format!("the authority says: {}", details.join("; "));
        }
    }
    error.to_string()
}

fn state(settings: &config::Acme, cache: &Path, client: &Arc<ClientConfig>) -> State {
    let domains = settings.domains.iter().map(|domain| &domain.0);
    let contact = settings.contact.iter().map(|mail| format!("mailto:{mail}"));
    AcmeConfig::new_with_client_config(domains, Arc::clone(client))
        .contact(contact)
        .directory(&settings.directory)
        .cache(Cache(cache.to_owned()))
        .state()
}

/// How the authority itself is trusted.
fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, IdentityError> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let pem = |source| IdentityError::Pem {
                path: path.display().to_string(),
                what: "certificate",
                source,
            };
            for root in CertificateDer::pem_file_iter(path).map_err(pem)? {
                roots.add(root.map_err(pem)?)?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Account key and certificate as files for their owner alone; the library's own would be readable by everybody.
struct Cache(PathBuf);

impl Cache {
    fn path(&self, what: &str, of: &[String], directory: &str) -> PathBuf {
        let mut hash = Sha256::new();
        for part in of.iter().map(String::as_str).chain([directory]) {
            hash.update(part);
            hash.update([0]);
        }
        let hash = hex::encode(&hash.finalize()[..8]);
        self.0.join(format!("{what}-{hash}"))
    }

    async fn read(path: PathBuf) -> Result<Option<Vec<u8>>, DataError> {
        match tokio::fs::read(&path).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataError::io("read", &path)(error)),
        }
    }

    async fn write(path: PathBuf, content: &[u8]) -> Result<(), DataError> {
        let content = content.to_owned();
        let failed = path.clone();
        tokio::task::spawn_blocking(move || {
            let _lock = data_file::lock_file(&path.with_extension("lock"))?;
            data_file::replace(&path, &content)
        })
        .await
        .map_err(|error| DataError::io("write", &failed)(io::Error::other(error)))?
    }
}

#[tonic::async_trait]
impl CertCache for Cache {
    type EC = DataError;

    async fn load_cert(
        &self,
        domains: &[String],
        directory: &str,
    ) -> Result<Option<Vec<u8>>, DataError> {
        Self::read(self.path("certificate", domains, directory)).await
    }

    async fn store_cert(
        &self,
        domains: &[String],
        directory: &str,
        certificate: &[u8],
    ) -> Result<(), DataError> {
        Self::write(self.path("certificate", domains, directory), certificate).await
    }
}

#[tonic::async_trait]
impl AccountCache for Cache {
    type EA = DataError;

    async fn load_account(
        &self,
        contact: &[String],
        directory: &str,
    ) -> Result<Option<Vec<u8>>, DataError> {
        Self::read(self.path("account", contact, directory)).await
    }

    async fn store_account(
        &self,
        contact: &[String],
        directory: &str,
        account: &[u8],
    ) -> Result<(), DataError> {
        Self::write(self.path("account", contact, directory), account).await
    }
}

fn create_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}
