//! Who asks: the bearer token, and the address the caller has for the rest of the world.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use tonic::{Status, metadata::MetadataMap};

use super::{Api, Busy, TooOften};
use crate::{
    clock,
    store::StoreError,
    tokens::{HostSuffix, Refused, Scope, Token, TokenKind, bearer_secret},
};

/// Kinds of token that may ask.
const PEOPLE: &[TokenKind] = &[TokenKind::Client, TokenKind::Admin];

/// Why a call is refused. The words are for the client; they do not tell a stranger what is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// No token, or not a token of ours.
    #[error(
        "a client token is needed: send `authorization: Bearer onlyhere-client-1.…`; `onlyhere-coordinator token create --kind client` makes one"
    )]
    NoToken,
    /// Not a good one.
    #[error("{0}; `onlyhere-coordinator token create --kind client` makes a new one")]
    Refused(#[from] Refused),
    /// A good one, for something else.
    #[error(
        "this token may not {allows}: it lacks the scope `{scope}`, which `onlyhere-coordinator token create --scope {scope}` gives",
        allows = .0.allows(), scope = .0
    )]
    Scope(Scope),
    /// Too much goes on.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Too many checks in a while.
    #[error(transparent)]
    TooOften(#[from] TooOften),
    /// A target that is not the token's business.
    #[error("this token may check {} and hosts below it, not {host}", listed(.allowed))]
    Host {
        /// Those that it may check.
        allowed: Vec<HostSuffix>,
        /// What was asked.
        host: String,
    },
    /// The store.
    #[error("the coordinator cannot use its tokens; its log says why")]
    Unreadable(#[from] StoreError),
}

impl Refusal {
    /// When it is worth trying again, if waiting helps; seconds, rounded up.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        let wait = match self {
            Self::Busy(busy) => busy.retry_after(),
            Self::TooOften(too_often) => too_often.retry_after(),
            _ => return None,
        };
        Some(wait.as_millis().div_ceil(1_000) as u64)
    }
}

impl From<Refusal> for Status {
    fn from(why: Refusal) -> Self {
        let says = why.to_string();
        match why {
            Refusal::NoToken | Refusal::Refused(_) => Self::unauthenticated(says),
            Refusal::Scope(_) | Refusal::Host { .. } => Self::permission_denied(says),
            Refusal::Unreadable(_) => Self::internal(says),
            Refusal::Busy(_) | Refusal::TooOften(_) => {
                let mut headers = HeaderMap::new();
                if let Some(seconds) = why.retry_after_s() {
                    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                let headers = MetadataMap::from_headers(headers);
                Self::with_metadata(tonic::Code::ResourceExhausted, says, headers)
            }
        }
    }
}

fn listed(hosts: &[HostSuffix]) -> String {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(", ")
}

/// Whether a use of the token is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A check.
    Spend,
    /// Anything else.
    Look,
}

/// The token of a call.
pub(super) async fn authorize(api: &Api, headers: &HeaderMap, how: Use) -> Result<Token, Refusal> {
    let secret = bearer(headers).ok_or(Refusal::NoToken)?;
    let found = match how {
        Use::Look => api.tokens.find(secret, PEOPLE, clock::now()).await,
        Use::Spend => api.tokens.spend(secret, PEOPLE, clock::now()).await,
    };
    match found {
        Ok(found) => Ok(found?),
        Err(error) => {
            tracing::error!(%error, "tokens cannot be used");
            Err(error.into())
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    bearer_secret(token.trim())
}

/// The caller's address: that of the connection, or behind a proxy the last hop of X-Forwarded-For, which is the one that
/// our own proxy wrote. Behind a proxy that writes none it is unknown.
pub(super) fn public_address(
    remote: IpAddr,
    headers: &HeaderMap,
    behind_proxy: bool,
) -> Option<IpAddr> {
    if !behind_proxy {
        return Some(remote.to_canonical());
    }
    let last = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()?
        .to_str()
        .ok()?;
    let hop = last.rsplit(',').next()?.trim();
    let address: Option<IpAddr> = hop
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
        .or_else(|| {
            hop.parse::<std::net::SocketAddr>()
                .ok()
                .map(|socket| socket.ip())
        });
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(*name, value.parse().unwrap());
                headers
            })
    }

    #[test]
    fn a_bearer_token_is_read_and_nothing_else() {
        for (value, secret) in [
            ("Bearer onlyhere-client-1.abc", Some("abc")),
            ("bearer onlyhere-admin-1.abc", Some("abc")),
            ("Basic onlyhere-client-1.abc", None),
            ("onlyhere-client-1.abc", None),
            ("Bearer abc", None),
            ("Bearer", None),
        ] {
            assert_eq!(
                bearer(&headers(&[("authorization", value)])),
                secret,
                "{value}"
            );
        }
    }

    #[test]
    fn a_forwarded_address_counts_only_behind_a_proxy_and_only_the_last() {
        let remote: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let forged = headers(&[("x-forwarded-for", "198.51.100.1")]);
        assert_eq!(
            public_address(remote, &forged, false),
            "192.0.2.1".parse().ok()
        );
        for (hops, address) in [
            (
                vec![("x-forwarded-for", "198.51.100.1, 203.0.113.7")],
                "203.0.113.7",
            ),
            (
                vec![
                    ("x-forwarded-for", "198.51.100.1"),
                    ("x-forwarded-for", "203.0.113.8"),
                ],
                "203.0.113.8",
            ),
            (
                vec![("x-forwarded-for", "[2001:db8::1]:443")],
                "2001:db8::1",
            ),
            (vec![("x-forwarded-for", "2001:db8::1")], "2001:db8::1"),
            (vec![("x-forwarded-for", "203.0.113.7:5555")], "203.0.113.7"),
        ] {
            assert_eq!(
                public_address(remote, &headers(&hops), true),
                address.parse().ok()
            );
        }
        assert_eq!(public_address(remote, &HeaderMap::new(), true), None);
    }
}
