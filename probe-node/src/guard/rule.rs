//! One rule of a guard: which targets it is about, and how it is written.
//!
//! | written | is about |
//! |---|---|
//! | `10.0.0.0/8`, `192.0.2.1`, `2001:db8::/32` | addresses, on every port |
//! | `10.0.0.0/8:25`, `192.0.2.1:25`, `[2001:db8::/32]:25` | addresses, on one port |
//! | `intranet.example`, `intranet.example:25` | one name |
//! | `.example.org`, `*.example.org`, `.example.org:25` | a domain: its own name and all below it |
//! | `*:25` | one port of everybody |

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use onlyhere_proto::{Host, embedded_ipv4, limits};
use serde::{Serialize, Serializer};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    subject: Subject,
    /// The only port it is about; none: all, and echo requests.
    port: Option<u16>,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Everybody,
    Network(IpNet),
    /// Without the dot it is written with.
    Domain(String),
    Name(String),
}

/// Whether a rule forbids or permits, which decides how far it reaches into disguises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    Allow,
    Deny,
}

/// What a rule is held against; the address is not known before the name is resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried<'a> {
    pub(super) host: &'a Host,
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
}

impl Rule {
    /// Whether the rule is about what is tried.
    pub(super) fn matches(&self, tried: Tried<'_>, sense: Sense) -> bool {
        let port_fits = self.port.is_none() || self.port == tried.port;
        port_fits
            && match (&self.subject, tried.host) {
                (Subject::Everybody, _) => true,
                (Subject::Network(network), _) => match tried.address {
                    Some(address) => holds(network, address, sense),
                    // Before it is resolved a name may still lead where it is permitted.
                    None => sense == Sense::Allow,
                },
                (Subject::Domain(domain), Host::Name(name)) => {
                    let rest = name.strip_suffix(domain.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                }
                (Subject::Name(wanted), Host::Name(name)) => wanted == name,
                (Subject::Domain(_) | Subject::Name(_), Host::Address(_)) => false,
            }
    }

    /// Whether this rule, which matches what `other` matches too, is the more specific one: not wider in whom it is
    /// about nor in ports, and narrower in one of them.
    pub(super) fn overrides(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.subject.rank(), other.subject.rank());
        let (my_port, their_port) = (self.port.is_some(), other.port.is_some());
        mine >= theirs && my_port >= their_port && (mine, my_port) != (theirs, their_port)
    }

    /// Whether it names addresses, and so may open a special range.
    pub(super) fn is_network(&self) -> bool {
        matches!(self.subject, Subject::Network(_))
    }

    /// Whether it is about an address, on whatever port.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        matches!(&self.subject, Subject::Network(network) if holds(network, address, Sense::Allow))
    }
}

impl Subject {
    /// The higher, the more specific: names before domains before networks, each the longer the better.
    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Everybody => (0, 0),
            // An IPv4 prefix is that much of an IPv6 address that holds it.
            Self::Network(IpNet::V4(network)) => (1, usize::from(network.prefix_len()) + 96),
            Self::Network(IpNet::V6(network)) => (1, network.prefix_len().into()),
            Self::Domain(domain) => (2, domain.split('.').count()),
            Self::Name(_) => (3, 0),
        }
    }
}

/// What forbids an IPv4 address forbids it in every IPv6 disguise. What permits it permits no more than the one form
/// that the kernel sends as IPv4: whoever is behind a translator or a tunnel is somebody else.
fn holds(network: &IpNet, address: IpAddr, sense: Sense) -> bool {
    let IpAddr::V6(v6) = address else {
        return network.contains(&address);
    };
    network.contains(&address)
        || match sense {
            Sense::Allow => v6
                .to_ipv4_mapped()
                .is_some_and(|v4| network.contains(&IpAddr::V4(v4))),
            Sense::Deny => embedded_ipv4(v6).any(|v4| network.contains(&IpAddr::V4(v4))),
        }
}

impl From<IpNet> for Rule {
    fn from(network: IpNet) -> Self {
        Self {
            subject: Subject::Network(network.trunc()),
            port: None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.subject, self.port) {
            (Subject::Everybody, _) => f.write_str("*")?,
            (Subject::Network(network), None) => write!(f, "{network}")?,
            (Subject::Network(network), Some(_)) => {
                let single = network.prefix_len() == network.max_prefix_len();
                let text = match single {
                    true => network.addr().to_string(),
                    false => network.to_string(),
                };
                match network {
                    IpNet::V4(_) => f.write_str(&text)?,
                    IpNet::V6(_) => write!(f, "[{text}]")?,
                }
            }
            (Subject::Domain(domain), _) => write!(f, ".{domain}")?,
            (Subject::Name(name), _) => f.write_str(name)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no guard rule: {right}")]
pub struct InvalidRule {
    text: String,
    right: String,
}

/// All that can be written.
const FORMS: &str = "write a CIDR (10.0.0.0/8), a host (intranet.example), a domain (.example.org), \
                     or a port (*:25); CIDR, host and domain may have a port (shop.example:25)";

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let wrong = |right: String| InvalidRule {
            text: limits::plain_text(text, 80),
            right,
        };
        if text.contains("://") {
            return Err(wrong(
                "write the host alone, without https:// and path".to_owned(),
            ));
        }
        if text == "*" {
            let right = "write 0.0.0.0/0 and ::/0 for all addresses, *:25 for one port of all";
            return Err(wrong(right.to_owned()));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong(format!("write *:{text} for the port of everybody")));
        }
        let (subject, port) = split_port(text);
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
                _ => {
                    let port = limits::plain_text(port, 20);
                    return Err(wrong(format!(
                        "`{port}` is no port, which is one number from 1 to 65535"
                    )));
                }
            },
        };
        let subject = read_subject(subject).map_err(|right| wrong(right.to_owned()))?;
        match (&subject, port) {
            (Subject::Everybody, None) => Err(wrong(FORMS.to_owned())),
            _ => Ok(Self { subject, port }),
        }
    }
}

/// The subject, and the port behind it; a bare IPv6 address or prefix has none.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match unbracketed {
        Some((subject, "")) => (subject, None),
        Some((subject, behind)) if behind.starts_with(':') => (subject, Some(&behind[1..])),
        Some(_) => (text, None),
        None if text.matches(':').count() > 1 => (text, None),
        None => match text.rsplit_once(':') {
            Some((subject, port)) => (subject, Some(port)),
            None => (text, None),
        },
    }
}

fn read_subject(text: &str) -> Result<Subject, &'static str> {
    if text == "*" {
        return Ok(Subject::Everybody);
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Ok(Subject::Network(network.trunc()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Subject::Network(address.into()));
    }
    if text.contains('/') || text.parse::<Ipv6Addr>().is_ok() {
        return Err("a CIDR is an address and a length, as in 10.0.0.0/8 or 2001:db8::/32");
    }
    let domain = text.strip_prefix("*.").or(text.strip_prefix('.'));
    match Host::parse(domain.unwrap_or(text)) {
        Ok(Host::Name(name)) if domain.is_some() => Ok(Subject::Domain(name)),
        Ok(Host::Name(name)) => Ok(Subject::Name(name)),
        Ok(Host::Address(_)) => Err("write the address as four decimal numbers, as in 127.0.0.1"),
        Err(_) => Err(FORMS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("[2001:db8::/32]", "2001:db8::/32"),
            ("10.0.0.0/8:25", "10.0.0.0/8:25"),
            ("192.0.2.1:443", "192.0.2.1:443"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[2001:db8::/32]:443", "[2001:db8::/32]:443"),
            ("Shop.example.", "shop.example"),
            ("shop.example:443", "shop.example:443"),
            (".example.org", ".example.org"),
            ("*.Example.org", ".example.org"),
            ("*.example.org:25", ".example.org:25"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("*:25", "*:25"),
        ] {
            let rule: Rule = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(rule.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_would_be_right() {
        for (text, says) in [
            ("10.0.0.0/33", "a CIDR is an address and a length"),
            ("a b", "write a CIDR (10.0.0.0/8), a host"),
            ("", "write a CIDR"),
            ("host:99999", "`99999` is no port"),
            ("host:0", "`0` is no port"),
            ("host:+25", "`+25` is no port"),
            ("host:port:1", "write a CIDR"),
            ("host:", "`` is no port"),
            ("*:20-25", "`20-25` is no port"),
            ("*", "write 0.0.0.0/0 and ::/0"),
            ("25", "write *:25"),
            (":25", "write a CIDR"),
            ("*example.org", "a domain (.example.org)"),
            ("mail.*", "a domain (.example.org)"),
            (".", "write a CIDR"),
            ("https://shop.example", "write the host alone"),
            ("0x7f.1", "four decimal numbers"),
            ("10.0.0.1-10.0.0.9", "write a CIDR"),
            ("[2001:db8::1]443", "write a CIDR"),
            ("10.0.0.0/8/24", "a CIDR is an address and a length"),
        ] {
            let error = match text.parse::<Rule>() {
                Ok(rule) => panic!("`{text}` is read as {rule}"),
                Err(error) => error.to_string(),
            };
            assert!(
                error.contains("is no guard rule") && error.contains(says),
                "{error}"
            );
            assert!(!error.contains('\n'));
        }
    }
}
