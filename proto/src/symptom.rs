//! What the person's browser showed.

use std::str::FromStr;

use crate::label::labelled;

labelled! {
    /// What the person saw, reduced to an error class.
    Symptom ("symptom") {
        /// Connection refused.
        Refused = "refused",
        /// No answer in time.
        Timeout = "timeout",
        /// Connection opened, then killed.
        Reset = "reset",
        /// The name did not resolve.
        Dns = "dns",
        /// A certificate or handshake error.
        Tls = "tls",
        /// An HTTP error page.
        Http = "http",
    }
}

/// Neither a symptom nor a browser's error code that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown symptom `{0}`; give one of refused, timeout, reset, dns, tls, http, or the browser's own code, as in ERR_CONNECTION_REFUSED"
)]
pub struct UnknownSymptom(pub String);

impl Symptom {
    /// Reads a symptom or the error code that Chrome or Firefox shows, in any case.
    pub fn parse(text: &str) -> Result<Self, UnknownSymptom> {
        if let Ok(symptom) = Symptom::from_str(&text.to_ascii_lowercase()) {
            return Ok(symptom);
        }
        let code = text.to_ascii_uppercase();
        let code = code.strip_prefix("NET::").unwrap_or(&code);
        match code {
            "ERR_CONNECTION_REFUSED"
            | "NS_ERROR_CONNECTION_REFUSED"
            | "ERR_PROXY_CONNECTION_FAILED"
            | "NS_ERROR_PROXY_CONNECTION_REFUSED" => Ok(Symptom::Refused),
            // A proxy answered CONNECT with an error.
            "ERR_TUNNEL_CONNECTION_FAILED" => Ok(Symptom::Http),
            "ERR_CONNECTION_TIMED_OUT"
            | "ERR_TIMED_OUT"
            | "NS_ERROR_NET_TIMEOUT"
            | "ERR_ADDRESS_UNREACHABLE"
            | "ERR_INTERNET_DISCONNECTED"
            | "NS_ERROR_OFFLINE" => Ok(Symptom::Timeout),
            "ERR_CONNECTION_RESET"
            | "NS_ERROR_NET_RESET"
            | "ERR_CONNECTION_CLOSED"
            | "ERR_EMPTY_RESPONSE"
            | "NS_ERROR_NET_INTERRUPT"
            | "ERR_CONNECTION_ABORTED" => Ok(Symptom::Reset),
            "ERR_NAME_NOT_RESOLVED"
            | "NS_ERROR_UNKNOWN_HOST"
            | "ERR_DNS_TIMED_OUT"
            | "DNS_PROBE_FINISHED_NXDOMAIN"
            | "DNS_PROBE_FINISHED_NO_INTERNET"
            | "DNS_PROBE_FINISHED_BAD_CONFIG" => Ok(Symptom::Dns),
            _ if code.starts_with("ERR_CERT_")
                || code.starts_with("ERR_SSL_")
                || code.starts_with("SEC_ERROR_")
                || code.starts_with("SSL_ERROR_")
                || code.starts_with("MOZILLA_PKIX_") =>
            {
                Ok(Symptom::Tls)
            }
            _ if code.starts_with("ERR_HTTP") || code == "ERR_TOO_MANY_REDIRECTS" => {
                Ok(Symptom::Http)
            }
            _ => Err(UnknownSymptom(crate::limits::plain_text(text, 64))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Symptom;

    #[test]
    fn browsers_codes_are_known_in_any_case() {
        for (text, symptom) in [
            ("refused", Symptom::Refused),
            ("ERR_CONNECTION_REFUSED", Symptom::Refused),
            ("ns_error_connection_refused", Symptom::Refused),
            ("net::ERR_CERT_DATE_INVALID", Symptom::Tls),
            ("DNS_PROBE_FINISHED_NXDOMAIN", Symptom::Dns),
        ] {
            assert_eq!(Symptom::parse(text), Ok(symptom), "{text}");
        }
        assert!(
            Symptom::parse("broken")
                .unwrap_err()
                .to_string()
                .contains("refused, timeout")
        );
    }
}
