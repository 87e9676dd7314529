//! The certificate of the people's port: none, files that somebody else renews, or one that is fetched by ACME.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use rustls::{ServerConfig, server::ResolvesServerCert};

use super::{
    IdentityError,
    acme::{AcmeCertificate, CHALLENGE, Renewal},
    tls::{self, ApiCertificate},
};
use crate::config::{Api, ApiTls};

/// How soon a renewed file is used.
const WATCH: Duration = Duration::from_secs(2);

/// Where the certificate comes from.
pub enum PublicCertificate {
    /// There is none: the port is plain.
    None,
    /// Files, read again when they change.
    Files(Arc<ApiCertificate>),
    /// Fetched and renewed.
    Acme(Arc<AcmeCertificate>, Renewal),
}

impl PublicCertificate {
    /// As the settings say; files must be in order already, a certificate that is to be fetched need not be there.
    pub fn load(settings: &Api, data_dir: &Path) -> Result<Self, IdentityError> {
        Ok(match &settings.tls {
            None => Self::None,
            Some(ApiTls::Files { cert, key }) => {
                Self::Files(Arc::new(ApiCertificate::load(cert, key)?))
            }
            Some(ApiTls::Acme(acme)) => {
                let (certificate, renewal) = AcmeCertificate::new(acme.clone(), data_dir)?;
                Self::Acme(Arc::new(certificate), renewal)
            }
        })
    }

    /// What the port shakes hands with; none: it is plain.
    pub fn server_config(&self) -> Result<Option<Arc<ServerConfig>>, IdentityError> {
        let (resolver, further): (Arc<dyn ResolvesServerCert>, &[&[u8]]) = match self {
            Self::None => return Ok(None),
            Self::Files(certificate) => (Arc::clone(certificate) as _, &[]),
            Self::Acme(certificate, _) => (Arc::clone(certificate) as _, &[CHALLENGE]),
        };
        tls::api_port(resolver, further).map(Some)
    }

    /// Takes renewed certificates into use, for ever. One that cannot be used leaves the old one in use, which is said
    /// once.
    pub async fn renew(self) -> Infallible {
        match self {
            Self::None => std::future::pending().await,
            Self::Files(certificate) => watch(&certificate).await,
            Self::Acme(certificate, renewal) => certificate.renew(renewal).await,
        }
    }
}

async fn watch(certificate: &ApiCertificate) -> Infallible {
    let mut said = String::new();
    loop {
        tokio::time::sleep(WATCH).await;
        match certificate.refresh() {
            Ok(is_new) => {
                said.clear();
                if is_new {
                    tracing::info!("api.tls: the renewed certificate is in use");
                }
            }
            Err(error) => {
                let says = error.to_string();
                if says != said {
                    tracing::warn!(%error, "api.tls: the old certificate stays in use");
                    said = says;
                }
            }
        }
    }
}
