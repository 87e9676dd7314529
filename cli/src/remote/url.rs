//! The coordinator's address: `https://HOST[:PORT]`, or `http://HOST[:PORT]` without encryption.

use std::{fmt, str::FromStr};

use onlyhere_proto::{limits, special_range};
use url::{Host, Url};

/// Port of a coordinator's people's side.
const DEFAULT_PORT: u16 = 7080;

/// Where the coordinator answers people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorUrl {
    tls: bool,
    host: Host,
    port: u16,
}

/// A text that is no coordinator's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no coordinator's address: {why}; write it as in https://onlyhere.example:7080"
)]
pub struct InvalidCoordinatorUrl {
    given: String,
    why: &'static str,
}

impl FromStr for CoordinatorUrl {
    type Err = InvalidCoordinatorUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why| InvalidCoordinatorUrl {
            given: limits::plain_text(text, 80),
            why,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| fail("it starts with neither https:// nor http://"))?;
        if !matches!(scheme, "https" | "http") {
            return Err(fail("it starts with neither https:// nor http://"));
        }
        let url = Url::parse(text).map_err(|_| fail("host or port cannot be read"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail(
                "it holds a user name or password; the token is given apart",
            ));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(fail("nothing stands behind host and port"));
        }
        let authority = rest.trim_end_matches('/');
        // `Url` forgets a port that is the scheme's own, and then ours must not take its place.
        let written = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        Ok(Self {
            tls: scheme == "https",
            port: url.port().or(written).unwrap_or(DEFAULT_PORT),
            host: url
                .host()
                .ok_or_else(|| fail("it names no host"))?
                .to_owned(),
        })
    }
}

impl CoordinatorUrl {
    /// Whether the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Name or address, an IPv6 address without brackets.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the token would cross a network in clear text.
    pub fn exposes_token(&self) -> bool {
        let loopback = match &self.host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => special_range((*address).into()) == Some("loopback"),
            Host::Ipv6(address) => special_range((*address).into()) == Some("loopback"),
        };
        !self.tls && !loopback
    }
}

impl fmt::Display for CoordinatorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_our_port_unless_another_is_written() {
        for (text, shown, exposes) in [
            ("https://a.example", "https://a.example:7080", false),
            ("https://a.example/", "https://a.example:7080", false),
            ("https://a.example:443", "https://a.example:443", false),
            ("http://127.0.0.1:80", "http://127.0.0.1:80", false),
            ("http://localhost:7080/", "http://localhost:7080", false),
            ("http://[::1]", "http://[::1]:7080", false),
            ("http://a.example:80", "http://a.example:80", true),
        ] {
            let url: CoordinatorUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(url.exposes_token(), exposes, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, says) in [
            ("a.example", "starts with neither"),
            ("ftp://a.example", "starts with neither"),
            ("https://", "cannot be read"),
            ("https://a:99999", "cannot be read"),
            ("https://me:pw@a.example", "user name or password"),
            ("https://a.example/api", "nothing stands behind"),
            ("https://a.example?x", "nothing stands behind"),
        ] {
            let error = text.parse::<CoordinatorUrl>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
