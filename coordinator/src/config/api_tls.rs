//! `[api.tls]`: where the certificate of the people's port comes from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Zone;

/// Names of one certificate.
const DOMAINS: usize = 32;

/// Files that somebody else renews, or a certificate that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum ApiTls {
    /// PEM files.
    Files {
        /// The certificate, then those that lead to its root.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Fetched and renewed by ACME (RFC 8555), proved by tls-alpn-01 (RFC 8737) on the port itself.
    Acme(Acme),
}

/// `[api.tls.acme]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Names of the certificate. The authority connects to port 443 of each of them.
    pub domains: Vec<Zone>,
    /// Mail addresses that the authority may write to.
    #[serde(default)]
    pub contact: Vec<String>,
    /// The authority's directory.
    #[serde(default = "lets_encrypt")]
    pub directory: String,
    /// Where account and certificate are kept; none: `acme` in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// PEM file with the roots that vouch for the authority's own address; none: those that browsers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

fn lets_encrypt() -> String {
    rustls_acme::acme::LETS_ENCRYPT_PRODUCTION_DIRECTORY.to_owned()
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acme: Option<Acme>,
}

impl TryFrom<Written> for ApiTls {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match (written.cert, written.key, written.acme) {
            (Some(cert), Some(key), None) => Ok(Self::Files { cert, key }),
            (None, None, Some(acme)) => acme.check().map(Self::Acme),
            (None, None, None) => Err("it names neither cert and key nor acme".into()),
            (Some(_), None, None) => {
                Err("`key` is missing: cert and key are named together".into())
            }
            (None, Some(_), None) => {
                Err("`cert` is missing: cert and key are named together".into())
            }
            (_, _, Some(_)) => Err("files and acme are both named: one of them is enough".into()),
        }
    }
}

impl From<ApiTls> for Written {
    fn from(tls: ApiTls) -> Self {
        match tls {
            ApiTls::Files { cert, key } => Self {
                cert: Some(cert),
                key: Some(key),
                acme: None,
            },
            ApiTls::Acme(acme) => Self {
                cert: None,
                key: None,
                acme: Some(acme),
            },
        }
    }
}

impl Acme {
    fn check(self) -> Result<Self, String> {
        if self.domains.is_empty() {
            return Err("acme.domains names no domain".into());
        }
        if self.domains.len() > DOMAINS {
            return Err(format!("acme.domains names more than {DOMAINS} domains"));
        }
        for contact in &self.contact {
            let is_mail = contact
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
            if !is_mail || contact.contains(':') {
                return Err(format!(
                    "acme.contact: `{contact}` is no mail address, as in admin@coordinator.example"
                ));
            }
        }
        if !self.directory.starts_with("https://") {
            return Err(format!(
                "acme.directory: `{}` is no https address",
                self.directory
            ));
        }
        Ok(self)
    }
}
