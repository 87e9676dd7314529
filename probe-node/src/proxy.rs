//! The way through an HTTP proxy, as a client of this machine goes it: the proxy's name is resolved here, the target's
//! by the proxy.
//!
//! The first stage told is the connection to the proxy itself. A proxy that says no where a tunnel is asked for, or that
//! stays silent there, is told as an HTTP exchange and ends it; behind an open tunnel the target's own stages follow.
//! Their address and port are the proxy's, for that is the only peer there is.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use onlyhere_proto::{Family, Host, Layer, Outcome, Stage, Target};
use url::Url;

use crate::{classify::Failure, guard::LOOPBACK, hosts, probe::Seen, resolve, visit::Visit};

/// Addresses of a proxy that are tried, one after the other.
const ADDRESSES: usize = 4;

/// What a proxy wants to hear from whoever uses it. Known to this process alone: no request carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyCredentials {
    proxy: String,
    authorization: HeaderValue,
}

impl ProxyCredentials {
    /// User and password (RFC 7617) for the proxy of this URL, written as requests write it: `http://HOST:PORT`.
    pub fn basic(proxy: &str, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        let mut authorization = HeaderValue::try_from(format!("Basic {pair}"))
            .expect("base64 holds nothing but printable ASCII");
        authorization.set_sensitive(true);
        Self {
            proxy: proxy.to_owned(),
            authorization,
        }
    }

    /// The `Proxy-Authorization` for the proxy of a way, if it wants one.
    pub(crate) fn of(all: &[Self], proxy: &str) -> Option<HeaderValue> {
        let its = all.iter().find(|credentials| credentials.proxy == proxy);
        its.map(|credentials| credentials.authorization.clone())
    }
}

impl fmt::Debug for ProxyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyCredentials({})", self.proxy)
    }
}

/// Where a proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proxy {
    host: Host,
    port: u16,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("the proxy is no URL: {error}"))?;
        if url.scheme() != "http" {
            return Err(format!(
                "proxies are spoken to in plain HTTP only, not by {}",
                url.scheme()
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a request carries no password for a proxy".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            host: Host::parse(host).map_err(|error| format!("the proxy has no name: {error}"))?,
            port: url.port_or_known_default().unwrap_or(80),
        })
    }
}

impl Visit<'_> {
    /// Tries a target through the proxy, at its addresses one after the other until one lets itself be connected to.
    pub(crate) async fn through_proxy(
        &self,
        proxy: &str,
        target: &Target,
        depth: Stage,
        trail: &[String],
    ) {
        let say = |address, seen| self.say_of(target, Stage::Tcp, address, seen);
        if matches!(depth, Stage::Dns | Stage::Icmp) {
            let why = "nothing is resolved or pinged through a proxy";
            return self
                .say_of(target, depth, None, Seen::not_measured(why))
                .await;
        }
        let guard = &self.shared.settings.guard;
        if let Err(denied) = guard.judge_host(&target.host, target.port) {
            return say(None, Seen::not_measured(denied.to_string())).await;
        }
        let proxy = match Proxy::parse(proxy) {
            Ok(proxy) => proxy,
            Err(why) => return say(None, Seen::not_measured(why)).await,
        };
        let addresses = match self.addresses_of(&proxy).await {
            Ok(addresses) => addresses,
            Err(failure) => return say(None, Seen::failed(failure, Default::default())).await,
        };
        for address in addresses {
            if let Err(denied) = guard.judge_address(&proxy.host, address, Some(proxy.port)) {
                say(Some(address), Seen::not_measured(denied.to_string())).await;
                continue;
            }
            let to = SocketAddr::new(address, proxy.port);
            if self.climb(target, to, depth, trail).await {
                return;
            }
        }
    }

    /// Where the proxy is: the hosts file, then the system's resolvers, as for any client. IPv4 first, since that is
    /// where most proxies listen.
    async fn addresses_of(&self, proxy: &Proxy) -> Result<Vec<IpAddr>, Failure> {
        let settings = &self.shared.settings;
        let name = match &proxy.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        let mut found = hosts::entries(&settings.hosts_file, name);
        if proxy.host.is_localhost() {
            found.extend(LOOPBACK);
        }
        let mut why = Outcome::NoAnswer.to_string();
        if found.is_empty() {
            for answer in resolve::quietly(self, name).await {
                match answer {
                    Ok(addresses) => found.extend(addresses),
                    Err(failure) => why = failure.detail.unwrap_or(failure.outcome.to_string()),
                }
            }
        }
        if found.is_empty() {
            return Err(Failure::of(Outcome::Unreachable)
                .because(format!("the proxy's name {name} is not resolved ({why})")));
        }
        found.sort_by_key(|address| Family::of(*address));
        found.dedup();
        found.truncate(ADDRESSES);
        Ok(found)
    }
}

/// Whether a tunnel is asked for: plain HTTP goes through a proxy as a request for the whole URL (RFC 9112, 3.2.2), and
/// where a deeper stage was not asked for, none is needed.
pub(crate) fn needs_tunnel(target: &Target, depth: Stage) -> bool {
    match target.layer {
        Layer::Http => false,
        Layer::Https | Layer::Tls => depth > Stage::Tcp,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_plain_address_without_secrets() {
        for (text, says) in [
            ("http://10.0.0.1:3128", "10.0.0.1:3128"),
            ("http://proxy.example", "proxy.example:80"),
            ("http://proxy.example:8080/", "proxy.example:8080"),
            ("http://[2001:db8::1]:3128", "2001:db8::1:3128"),
            (
                "https://proxy.example",
                "proxies are spoken to in plain HTTP only, not by https",
            ),
            (
                "socks5://proxy.example",
                "proxies are spoken to in plain HTTP only, not by socks5",
            ),
            (
                "http://me:secret@proxy.example",
                "a request carries no password for a proxy",
            ),
            (
                "proxy.example",
                "the proxy is no URL: relative URL without a base",
            ),
        ] {
            let said = match Proxy::parse(text) {
                Ok(proxy) => proxy.to_string(),
                Err(why) => why,
            };
            assert_eq!(said, says, "{text}");
        }
    }

    #[test]
    fn only_what_is_not_plain_http_needs_a_tunnel() {
        for (target, depth, needs) in [
            ("https://a.example", Stage::Http, true),
            ("https://a.example", Stage::Tls, true),
            ("https://a.example", Stage::Tcp, false),
            ("http://a.example", Stage::Http, false),
            ("ssh://a.example", Stage::Tcp, true),
        ] {
            let target = Target::parse(target).unwrap();
            assert_eq!(needs_tunnel(&target, depth), needs);
        }
    }
}
