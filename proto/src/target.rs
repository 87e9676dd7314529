//! The target: what a person typed, read strictly, with one sentence for every way to get it wrong.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{label::labelled, limits};

labelled! {
    /// What is asked of the target.
    Layer ("layer") {
        /// DNS, TCP, TLS, and a page.
        Https = "https",
        /// DNS, TCP, and a page.
        Http = "http",
        /// DNS and a TCP connection.
        Tcp = "tcp",
        /// DNS, TCP, and a handshake.
        Tls = "tls",
        /// A TCP connection to an SSH server.
        Ssh = "ssh",
        /// A TCP connection to a mail server.
        Smtp = "smtp",
        /// The name alone.
        Dns = "dns",
        /// Echo requests.
        Ping = "ping",
    }
}

labelled! {
    /// DNS record types that lead to an address.
    RecordType ("record type") {
        /// IPv4.
        A = "A",
        /// IPv6.
        Aaaa = "AAAA",
    }
}

impl RecordType {
    /// The family its records hold.
    pub const fn family(self) -> crate::Family {
        match self {
            Self::A => crate::Family::V4,
            Self::Aaaa => crate::Family::V6,
        }
    }
}

/// A host: a name in its ASCII form (lower case, no final dot), or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host name (IDNA accepted) or an address, bracketed or bare.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let complain = |why: &str| InvalidTarget::Host {
            host: shown(text),
            why: why.to_owned(),
        };
        if text.is_empty() {
            return Err(complain("it is empty"));
        }
        if text.contains(char::is_whitespace) {
            return Err(complain("a name holds no spaces"));
        }
        if text.starts_with('[') || text.ends_with(']') {
            return Err(complain("what stands in brackets is no IPv6 address"));
        }
        let dotless = text.strip_suffix('.').unwrap_or(text);
        match url::Host::parse(dotless) {
            Ok(url::Host::Ipv4(address)) => Ok(Self::Address(address.into())),
            Ok(url::Host::Ipv6(address)) => Ok(Self::Address(address.into())),
            Ok(url::Host::Domain(name)) => check_name(&name)
                .map(|()| Self::Name(name))
                .map_err(|why| complain(&why)),
            Err(_) if dotless.len() > limits::HOST_NAME => Err(complain(&too_long(dotless.len()))),
            Err(_) => Err(complain("it is neither a host name nor an IP address")),
        }
    }
}

fn too_long(length: usize) -> String {
    format!(
        "a name has at most {} characters, this one has {length}",
        limits::HOST_NAME
    )
}

/// RFC 1035, 2.3.4 (lengths), and the letters, digits, hyphens and underscores seen in practice.
fn check_name(name: &str) -> Result<(), String> {
    if name.len() > limits::HOST_NAME {
        return Err(too_long(name.len()));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("two dots follow each other, or it starts with one".to_owned());
        }
        if label.len() > 63 {
            return Err(format!(
                "a part between dots has at most 63 characters, this one has {}",
                label.len()
            ));
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err("a name holds letters, digits, '-' and '.' only".to_owned());
        }
    }
    Ok(())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Address(address) => f.pad(&address.to_string()),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What is to be checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// As the person typed it.
    pub input: String,
    /// Name or address.
    #[schemars(with = "String")]
    pub host: Host,
    /// None for `dns` and `ping`.
    pub port: Option<u16>,
    /// What is asked of it.
    pub layer: Layer,
    /// Path and query of `http` and `https` targets, starting with `/`; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Of `dns` targets: the record type asked for; none: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<RecordType>,
}

/// Why a text is no target, in one sentence that says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Nothing was given.
    #[error(
        "the target is empty; give a host, as in shop.example, or a URL, as in https://shop.example/"
    )]
    Empty,
    /// Longer than any URL in use.
    #[error("the target has {0} bytes; at most {max} are read", max = limits::TARGET_INPUT)]
    TooLong(usize),
    /// What could steer a terminal that shows it.
    #[error("the target holds a control character; write it out, in a path as %0A")]
    ControlCharacter,
    /// A scheme without a host behind it.
    #[error("`{0}` names no host; write {0}HOST, as in {0}shop.example")]
    NoHost(String),
    /// A scheme that is not known.
    #[error("`{0}://` is not known; use https, http, tcp, tls, ssh, smtp, dns or ping")]
    Scheme(String),
    /// A bracket that opens and never closes.
    #[error(
        "`{0}` opens a bracket and does not close it; write an IPv6 address as [2001:db8::1] or [2001:db8::1]:443"
    )]
    Bracket(String),
    /// A bare IPv6 address, which cannot be told from HOST:PORT.
    #[error("`{0}` is a bare IPv6 address; put it in brackets: [{0}]")]
    BareIpv6(String),
    /// No number, or out of range.
    #[error("`{0}` is no port; a port is a number from 1 to 65535, as in shop.example:443")]
    Port(String),
    /// A layer that needs a port.
    #[error("{0}:// needs a port; write {0}://HOST:PORT, as in {0}://shop.example:443")]
    PortMissing(String),
    /// A layer that has none.
    #[error("{0}:// takes no port; write {0}://HOST")]
    PortUnexpected(String),
    /// A path behind a layer that has none.
    #[error("{0}:// takes no path; write {0}://HOST:PORT")]
    Path(String),
    /// User name or password in the target.
    #[error(
        "the target holds a user name or password; leave out everything up to and with the '@'"
    )]
    Credentials,
    /// A question that dns:// does not know.
    #[error("`?{0}` is not known; dns:// takes ?type=A or ?type=AAAA")]
    DnsQuery(String),
    /// An address where a name is needed.
    #[error("dns:// asks for a name, and `{0}` is an address; use ping://{0}")]
    DnsAddress(String),
    /// The host itself.
    #[error(
        "`{host}` is no host: {why}; write a name as in shop.example, or an address as in 192.0.2.1 or [2001:db8::1]"
    )]
    Host {
        /// What was given, shortened.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

/// At most 64 characters, so that an error stays one readable sentence.
fn shown(text: &str) -> String {
    let plain = limits::plain_text(text, 64);
    if plain.len() < text.len() {
        format!("{plain}…")
    } else {
        plain
    }
}

impl Target {
    /// Reads `https://…`, `http://…`, `HOST` (= https), `HOST:PORT` (= tcp), `tcp://HOST:PORT`, `tls://HOST:PORT`,
    /// `ssh://HOST`, `smtp://HOST`, `dns://NAME?type=A`, `ping://HOST`.
    pub fn parse(input: &str) -> Result<Self, InvalidTarget> {
        let text = input.trim();
        if text.is_empty() {
            return Err(InvalidTarget::Empty);
        }
        if text.len() > limits::TARGET_INPUT {
            return Err(InvalidTarget::TooLong(text.len()));
        }
        if text.contains(char::is_control) {
            return Err(InvalidTarget::ControlCharacter);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if authority.contains('@') {
            return Err(InvalidTarget::Credentials);
        }
        if authority.is_empty() {
            return Err(match scheme {
                Some(scheme) => InvalidTarget::NoHost(format!("{}://", shown(&scheme))),
                None => InvalidTarget::Host {
                    host: shown(text),
                    why: "it starts with a path".to_owned(),
                },
            });
        }
        let (host, port) = split_authority(authority)?;
        let host = Host::parse(host)?;
        let layer = match scheme.as_deref() {
            None if port.is_some() => Layer::Tcp,
            None => Layer::Https,
            Some(scheme) => scheme
                .parse()
                .map_err(|_| InvalidTarget::Scheme(shown(scheme)))?,
        };
        Self::assemble(input, layer, host, port, tail)
    }

    fn assemble(
        input: &str,
        layer: Layer,
        host: Host,
        port: Option<u16>,
        tail: &str,
    ) -> Result<Self, InvalidTarget> {
        let label = || layer.label().to_owned();
        let mut target = Self {
            input: written_out(input.trim(), &host),
            host,
            port: None,
            layer,
            path: String::new(),
            record_type: None,
        };
        if target.input.len() > limits::TARGET_INPUT {
            return Err(InvalidTarget::TooLong(target.input.len()));
        }
        match layer {
            Layer::Https | Layer::Http => {
                target.port = Some(port.unwrap_or(if layer == Layer::Https { 443 } else { 80 }));
                target.path = path_of(tail);
                // Written out in ASCII a path is up to three times as long.
                if target.path.len() > limits::TARGET_INPUT {
                    return Err(InvalidTarget::TooLong(target.path.len()));
                }
                return Ok(target);
            }
            Layer::Tcp | Layer::Tls => {
                target.port = Some(port.ok_or_else(|| InvalidTarget::PortMissing(label()))?)
            }
            Layer::Ssh => target.port = Some(port.unwrap_or(22)),
            Layer::Smtp => target.port = Some(port.unwrap_or(25)),
            Layer::Dns | Layer::Ping => {
                if port.is_some() {
                    return Err(InvalidTarget::PortUnexpected(label()));
                }
            }
        }
        if layer == Layer::Dns {
            if let Host::Address(address) = target.host {
                return Err(InvalidTarget::DnsAddress(address.to_string()));
            }
            target.record_type = match tail.trim_start_matches('/') {
                "" => None,
                query => {
                    let unknown = || InvalidTarget::DnsQuery(shown(query.trim_start_matches('?')));
                    let kind = query.strip_prefix("?type=").ok_or_else(unknown)?;
                    Some(kind.to_ascii_uppercase().parse().map_err(|_| unknown())?)
                }
            };
        } else if !matches!(tail, "" | "/") {
            return Err(InvalidTarget::Path(label()));
        }
        Ok(target)
    }

    /// The deepest stage this target's layer asks for.
    pub const fn depth(&self) -> crate::Stage {
        match self.layer {
            Layer::Https | Layer::Http => crate::Stage::Http,
            Layer::Tls => crate::Stage::Tls,
            Layer::Tcp | Layer::Ssh | Layer::Smtp => crate::Stage::Tcp,
            Layer::Dns => crate::Stage::Dns,
            Layer::Ping => crate::Stage::Icmp,
        }
    }

    /// Whether a TLS handshake belongs to it.
    pub const fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Https | Layer::Tls)
    }
}

/// What was typed, with whatever hides in it or turns the reading direction ([`limits::steers`]) written in ASCII: some
/// languages need such characters in names, and nobody who reads a report could tell that they are there.
fn written_out(text: &str, host: &Host) -> String {
    if !text.contains(limits::steers) {
        return text.to_owned();
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (name, port) = authority.split_at(authority.rfind(':').unwrap_or(authority.len()));
    // An address in brackets, whose colons are none of a port, holds no such character.
    let host = match name.contains(limits::steers) {
        true => format!("{host}{port}"),
        false => authority.to_owned(),
    };
    let mut out = scheme + &host;
    for c in tail.chars() {
        match limits::steers(c) {
            true => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                out += &format!("%{byte:02X}");
            }),
            false => out.push(c),
        }
    }
    out
}

/// Path and query with the fragment cut off, written as the URL standard writes them: in visible ASCII.
fn path_of(tail: &str) -> String {
    let mut url = url::Url::parse("http://host.invalid/").expect("a constant URL");
    let tail = tail.split_once('#').map_or(tail, |(before, _)| before);
    let (path, query) = match tail.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (tail, None),
    };
    // `//other.host/` would be read as another host wherever the path is joined to something: it is a path here.
    url.set_path(path.trim_start_matches(['/', '\\']));
    url.set_query(query);
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), InvalidTarget> {
    let (host, port) = if authority.starts_with('[') {
        let close = authority
            .find(']')
            .ok_or_else(|| InvalidTarget::Bracket(shown(authority)))?;
        let (host, behind) = authority.split_at(close + 1);
        match behind.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if behind.is_empty() => (host, None),
            None => return Err(InvalidTarget::Port(shown(behind))),
        }
    } else if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(InvalidTarget::BareIpv6(authority.to_owned()));
    } else {
        match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let Some(text) = port else {
        return Ok((host, None));
    };
    match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok((host, Some(port))),
        _ => Err(InvalidTarget::Port(shown(text))),
    }
}

#[cfg(test)]
mod tests;
