//! Handshakes on the probe port that end because of the client's certificate: told to the log, in words for its reader.

use std::{
    io,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{CertificateError, Error, PeerIncompatible};

/// A stranger can fail as often as it likes; the log gets a line that often, with the number of those left out.
const EVERY: Duration = Duration::from_secs(1);

/// Counts refused handshakes, so that the log is not flooded.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<(Option<Instant>, u64)>);

impl Refusals {
    /// Takes note of a handshake that failed.
    pub fn note(&self, remote: IpAddr, error: &io::Error) {
        let Some(why) = reason(error) else {
            tracing::debug!(%remote, %error, "handshake failed");
            return;
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            *left_out += 1;
            return;
        }
        tracing::warn!(%remote, why, left_out = *left_out, "refused in the handshake");
        *state = (Some(Instant::now()), 0);
    }
}

/// Why a client was refused; nothing for failures that say nothing about who it is.
fn reason(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired: the probe must join again"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate does not hold yet: look at this machine's clock"
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is of no CA that is trusted here: another coordinator's, or one that was retired"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is no client's"
            }
            _ => "its certificate cannot be accepted",
        },
        Error::PeerIncompatible(
            PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls12NotOffered,
        ) => "it speaks no TLS 1.3",
        _ => return None,
    })
}
