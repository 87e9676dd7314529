//! The proxies that programs on this machine would follow for a target: from the environment, and from the system's
//! settings where a plain read gives them.
//!
//! Told is scheme, host and port. Credentials stay in this process, for its own attempts through the proxy.

mod system;

use std::{collections::BTreeMap, fmt, net::IpAddr};

use ipnet::IpNet;
use onlyhere_proto::{Host, Layer, Target, limits};
use url::Url;

/// Settings told at most.
const MOST: usize = 4;

/// A proxy that is set, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The variable's name, or whose settings.
    setting: String,
    /// `scheme://host:port`.
    url: String,
    credentials: Option<(String, String)>,
}

impl Proxy {
    /// As set; without a scheme it is an HTTP proxy.
    pub(crate) fn new(setting: &str, written: &str) -> Self {
        let written = written.trim();
        let full = if written.contains("://") {
            written.to_owned()
        } else {
            format!("http://{written}")
        };
        let read = Url::parse(&full)
            .ok()
            .and_then(|url| Some((bare(&url)?, credentials(&url))));
        // Whatever else it is, it might hold a password.
        let (url, credentials) = read.unwrap_or(("(unreadable)".to_owned(), None));
        Self {
            setting: limits::plain_text(setting, 64),
            url: limits::plain_text(&url, limits::TEXT),
            credentials,
        }
    }

    /// `scheme://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// User and password, where they are set.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        let (user, password) = self.credentials.as_ref()?;
        Some((user, password))
    }
}

/// `NAME=scheme://host:port`
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting, self.url)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

fn bare(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    })
}

fn credentials(url: &Url) -> Option<(String, String)> {
    let plain = |text: &str| {
        let bytes = percent_decoded(text);
        String::from_utf8(bytes).ok()
    };
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    (!user.is_empty() || !password.is_empty())
        .then(|| Some((plain(user)?, plain(password)?)))
        .flatten()
}

/// RFC 3986, 2.1; what is no escape stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = text
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escape.unwrap_or(byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}

/// The proxies in force for this target, each once: the environment's, which tools follow, then the system's, which
/// browsers follow.
pub fn in_force(target: &Target) -> Vec<Proxy> {
    let Some(scheme) = scheme(target) else {
        return Vec::new();
    };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut all: Vec<Proxy> = of_environment(target, variables).into_iter().collect();
    for setting in system::settings() {
        let proxy = setting.of(scheme, &target.host);
        if let Some(proxy) = proxy.filter(|proxy| all.iter().all(|known| known.url != proxy.url)) {
            all.push(proxy);
        }
    }
    all.truncate(MOST);
    all
}

/// Only pages are fetched through proxies.
const fn scheme(target: &Target) -> Option<Scheme> {
    match target.layer {
        Layer::Https => Some(Scheme::Https),
        Layer::Http => Some(Scheme::Http),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// The proxy variable that a tool would follow for this target: the scheme's own before `all_proxy`, and lower case
/// before upper case, as in curl.
fn of_environment(
    target: &Target,
    environment: impl Iterator<Item = (String, String)>,
) -> Option<Proxy> {
    let own = match scheme(target)? {
        Scheme::Https => "https_proxy",
        Scheme::Http => "http_proxy",
    };
    let set: BTreeMap<String, String> = environment
        .filter(|(_, value)| !value.trim().is_empty())
        .collect();
    let lookup = |name: &str| {
        let upper = name.to_ascii_uppercase();
        set.get_key_value(name)
            .or_else(|| set.get_key_value(&upper))
    };
    if lookup("no_proxy").is_some_and(|(_, exempt)| is_exempt(&target.host, exempt)) {
        return None;
    }
    lookup(own)
        .or_else(|| lookup("all_proxy"))
        .map(|(name, value)| Proxy::new(name, value))
}

/// `no_proxy` as curl reads it, and as desktops write theirs: names with their subdomains, addresses, CIDRs, `*`,
/// separated by commas or spaces.
fn is_exempt(host: &Host, no_proxy: &str) -> bool {
    let host_text = host.to_string();
    let bare_host = host_text.trim_matches(['[', ']']);
    no_proxy
        .split([',', ' ', ';'])
        .map(|entry| entry.trim().trim_matches(['[', ']']).to_ascii_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            if entry == "*" {
                return true;
            }
            if let Host::Address(address) = host {
                return covers(&entry, *address);
            }
            let name = entry.trim_start_matches('*').trim_start_matches('.');
            !name.is_empty()
                && (bare_host == name
                    || bare_host
                        .strip_suffix(name)
                        .is_some_and(|rest| rest.ends_with('.')))
        })
}

fn covers(entry: &str, address: IpAddr) -> bool {
    let single = entry.parse::<IpAddr>().is_ok_and(|one| one == address);
    let network = entry.parse::<IpNet>();
    single || network.is_ok_and(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(target: &str, environment: &[(&str, &str)]) -> Option<Proxy> {
        let owned = environment
            .iter()
            .map(|&(n, v)| (n.to_owned(), v.to_owned()));
        of_environment(&Target::parse(target).unwrap(), owned)
    }

    fn told(target: &str, environment: &[(&str, &str)]) -> Option<String> {
        set(target, environment).map(|proxy| proxy.to_string())
    }

    #[test]
    fn proxies_are_told_without_credentials() {
        let variables = [
            ("HTTPS_PROXY", "http://upper.example:1"),
            ("https_proxy", "http://me:s3cret@proxy.example:3128/path"),
            ("ALL_PROXY", "socks5://proxy.example:1080"),
            ("http_proxy", "me:s3cret@proxy.example:8080"),
            ("ftp_proxy", "http://proxy.example:1"),
        ];
        for (target, expected) in [
            (
                "https://shop.example",
                Some("https_proxy=http://proxy.example:3128"),
            ),
            (
                "http://shop.example",
                Some("http_proxy=http://proxy.example:8080"),
            ),
            ("ssh://shop.example", None),
        ] {
            assert_eq!(told(target, &variables).as_deref(), expected, "{target}");
        }
        let all = [("ALL_PROXY", "socks5://me:pw@proxy.example:1080")];
        assert_eq!(
            told("shop.example", &all).as_deref(),
            Some("ALL_PROXY=socks5://proxy.example:1080")
        );
        for odd in [
            "http://me:s3cret@",
            "://s3cret",
            "s3cret word",
            "http://\x1b[s3cret",
        ] {
            let proxy = set("http://shop.example", &[("http_proxy", odd)]).unwrap();
            assert_eq!(proxy.to_string(), "http_proxy=(unreadable)", "{odd}");
            assert_eq!(proxy.credentials(), None);
        }
        assert_eq!(told("http://shop.example", &[("http_proxy", " ")]), None);
    }

    #[test]
    fn credentials_are_kept_for_this_process_and_never_shown() {
        let proxy = Proxy::new("https_proxy", "http://me:p%40ss%zz@[2001:db8::1]:3128");
        assert_eq!(proxy.credentials(), Some(("me", "p@ss%zz")));
        assert_eq!(proxy.url(), "http://[2001:db8::1]:3128");
        for shown in [proxy.to_string(), format!("{proxy:?}")] {
            assert!(!shown.contains("ss") && !shown.contains("me:"), "{shown}");
        }
        assert_eq!(
            Proxy::new("x", "proxy.example").url(),
            "http://proxy.example:80"
        );
        assert_eq!(Proxy::new("x", "proxy.example").credentials(), None);
    }

    #[test]
    fn exempt_hosts_have_no_proxy() {
        for (host, exempt, is) in [
            ("shop.example", "shop.example", true),
            ("www.shop.example", "other, .shop.example", true),
            ("www.shop.example", "*.shop.example", true),
            ("workshop.example", "shop.example", false),
            ("shop.example", "*", true),
            ("shop.example", "", false),
            ("shop.example", ".", false),
            ("https://192.0.2.7", "192.0.2.0/24", true),
            ("https://192.0.2.7", "192.0.2.7", true),
            ("https://192.0.2.7", "2.7,192.0.3.0/24", false),
            ("https://[2001:db8::7]", "2001:db8::/32", true),
            ("https://[2001:db8::7]", "[2001:db8::7]", true),
        ] {
            let variables = [("https_proxy", "http://p.example:1"), ("NO_PROXY", exempt)];
            assert_eq!(told(host, &variables).is_none(), is, "{host} {exempt}");
        }
    }
}
