//! May this target be tried from here?
//!
//! A probe trusts nobody, its coordinator included. Every name is judged before it is resolved, every address before a
//! packet is sent to it, the peer of every connection once more, and each redirect like a new target.
//!
//! The law: the most specific rule that matches decides (`host:port`, then `host`, then the longer prefix); of two that
//! are equally specific, `deny` does. Where no rule matches, addresses of the public internet may be tried and those of
//! special ranges (loopback, private, link-local with the clouds' metadata services, documentation, in every IPv6
//! disguise) may not. A special address is only ever allowed by a CIDR rule: a host rule names what a stranger's DNS
//! can point anywhere.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use onlyhere_proto::{Host, special_range};
use serde::{Serialize, Serializer};

/// One rule: a CIDR (or single address), a host name, or a host with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Addresses of a prefix, on every port.
    Network(IpNet),
    /// A host name or address, on one port.
    HostPort(Host, u16),
    /// A host name, on every port.
    Host(Host),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(host) => host.fmt(f),
            Self::HostPort(Host::Address(IpAddr::V6(address)), port) => {
                write!(f, "[{address}]:{port}")
            }
            Self::HostPort(host, port) => write!(f, "{host}:{port}"),
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
#[error(
    "`{0}` is no guard rule: write a CIDR (10.0.0.0/8), a host (intranet.example) or a host and port (shop.example:25)"
)]
pub struct InvalidRule(String);

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let wrong = || InvalidRule(onlyhere_proto::limits::plain_text(text, 80));
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        if let Some((host, port)) = text.rsplit_once(':') {
            let port: u16 = port.parse().map_err(|_| wrong())?;
            return Ok(Self::HostPort(
                Host::parse(host).map_err(|_| wrong())?,
                port,
            ));
        }
        if text.contains('/') {
            return Err(wrong());
        }
        match Host::parse(text).map_err(|_| wrong())? {
            Host::Address(address) => Ok(Self::Network(address.into())),
            name => Ok(Self::Host(name)),
        }
    }
}

impl Rule {
    /// How specific the rule is where it matches; `None` where it does not.
    fn matches(&self, host: &Host, address: Option<IpAddr>, port: Option<u16>) -> Option<u16> {
        match self {
            Self::HostPort(wanted, at) => {
                let names = wanted == host || address.is_some_and(|a| *wanted == Host::Address(a));
                (names && port == Some(*at)).then_some(1_000)
            }
            Self::Host(wanted) => (wanted == host).then_some(500),
            Self::Network(network) => disguises(address?)
                .into_iter()
                .flatten()
                .find(|address| network.contains(address))
                .map(|_| u16::from(network.prefix_len())),
        }
    }
}

/// The address itself and the IPv4 address inside it: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn disguises(address: IpAddr) -> [Option<IpAddr>; 2] {
    let inside = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded_v4(v6),
    };
    [Some(address), inside.map(IpAddr::V4)]
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Why a target may not be tried from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    what: String,
    why: &'static str,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not tried from here: {}", self.what, self.why)
    }
}

/// Which targets may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    /// Whether special ranges are closed where no rule says otherwise.
    public_only: bool,
}

impl Guard {
    /// For a probe that works for others.
    pub fn for_probe(allow: Vec<Rule>, deny: Vec<Rule>) -> Self {
        Self {
            allow,
            deny,
            public_only: true,
        }
    }

    /// For a caller's own machine, which may try whatever its owner names.
    pub fn open() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            public_only: false,
        }
    }

    /// Whether this is the guard of a caller's own machine.
    pub fn is_open(&self) -> bool {
        !self.public_only
    }

    /// Judges a target before its name is resolved.
    pub fn judge_host(&self, host: &Host, port: Option<u16>) -> Result<(), Denied> {
        match host {
            Host::Address(address) => self.judge_address(host, *address, port),
            Host::Name(name) => match self.ruling(host, None, port) {
                Some(Ruling::Denied) => Err(denied(name, "the owner of this vantage forbids it")),
                _ => Ok(()),
            },
        }
    }

    /// Judges one address of a host: after resolution, as the peer of a connection, and as a resolver to be asked.
    pub fn judge_address(
        &self,
        host: &Host,
        address: IpAddr,
        port: Option<u16>,
    ) -> Result<(), Denied> {
        let shown = address.to_string();
        match self.ruling(host, Some(address), port) {
            Some(Ruling::Denied) => {
                return Err(denied(&shown, "the owner of this vantage forbids it"));
            }
            Some(Ruling::AllowedNetwork) => return Ok(()),
            Some(Ruling::AllowedHost) | None => {}
        }
        match special_range(address) {
            Some(kind) if self.public_only && !self.network_allowed(address) => Err(denied(
                &format!("{shown} ({kind})"),
                "only public addresses are",
            )),
            _ => Ok(()),
        }
    }

    fn network_allowed(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|rule| {
            matches!(rule, Rule::Network(_))
                && rule
                    .matches(&Host::Address(address), Some(address), None)
                    .is_some()
        })
    }

    fn ruling(&self, host: &Host, address: Option<IpAddr>, port: Option<u16>) -> Option<Ruling> {
        let best = |rules: &[Rule]| {
            rules
                .iter()
                .filter_map(|rule| Some((rule.matches(host, address, port)?, is_network(rule))))
                .max()
        };
        match (best(&self.allow), best(&self.deny)) {
            (Some((allow, _)), Some((deny, _))) if deny >= allow => Some(Ruling::Denied),
            (None, Some(_)) => Some(Ruling::Denied),
            (Some((_, true)), _) => Some(Ruling::AllowedNetwork),
            (Some((_, false)), _) => Some(Ruling::AllowedHost),
            (None, None) => None,
        }
    }
}

enum Ruling {
    Denied,
    AllowedHost,
    AllowedNetwork,
}

fn is_network(rule: &Rule) -> bool {
    matches!(rule, Rule::Network(_))
}

fn denied(what: &str, why: &'static str) -> Denied {
    Denied {
        what: what.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], deny: &[&str]) -> Guard {
        let read = |rules: &[&str]| rules.iter().map(|r| r.parse().unwrap()).collect();
        Guard::for_probe(read(allow), read(deny))
    }

    fn may(guard: &Guard, host: &str, address: &str, port: u16) -> bool {
        guard
            .judge_address(
                &Host::parse(host).unwrap(),
                address.parse().unwrap(),
                Some(port),
            )
            .is_ok()
    }

    #[test]
    fn without_rules_only_public_addresses_may_be_tried() {
        let guard = guard(&[], &[]);
        assert!(may(&guard, "shop.example", "1.1.1.1", 443));
        assert!(may(&guard, "shop.example", "2a00::1", 443));
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "0.0.0.0",
        ] {
            assert!(!may(&guard, "shop.example", address, 443), "{address}");
            assert!(
                may(&Guard::open(), "shop.example", address, 443),
                "{address}"
            );
        }
        let denied = guard
            .judge_address(
                &Host::parse("shop.example").unwrap(),
                "169.254.169.254".parse().unwrap(),
                Some(80),
            )
            .unwrap_err();
        assert_eq!(
            denied.to_string(),
            "169.254.169.254 (link-local) is not tried from here: only public addresses are"
        );
    }

    #[test]
    fn the_most_specific_rule_decides_and_deny_wins_a_tie() {
        let g = guard(&["10.0.0.0/8"], &["10.0.0.5", "2a00::/16"]);
        assert!(may(&g, "a.example", "10.0.0.4", 80));
        assert!(may(&g, "a.example", "::ffff:10.0.0.4", 80));
        assert!(!may(&g, "a.example", "10.0.0.5", 80));
        assert!(!may(&g, "a.example", "::ffff:10.0.0.5", 80));
        assert!(!may(&g, "a.example", "2a00::7", 80));
        assert!(!may(&g, "a.example", "192.168.0.1", 80));

        let g = guard(&["1.1.1.0/24"], &["1.1.1.0/24"]);
        assert!(!may(&g, "a.example", "1.1.1.1", 80));

        let g = guard(&["shop.example"], &["0.0.0.0/0", "shop.example:25"]);
        assert!(may(&g, "shop.example", "1.1.1.1", 443));
        assert!(!may(&g, "shop.example", "1.1.1.1", 25));
        assert!(!may(&g, "other.example", "1.1.1.1", 443));
    }

    #[test]
    fn a_host_rule_never_opens_a_special_range() {
        let g = guard(&["shop.example", "shop.example:443"], &[]);
        assert!(!may(&g, "shop.example", "127.0.0.1", 443));
        let g = guard(&["shop.example", "127.0.0.0/8"], &[]);
        assert!(may(&g, "shop.example", "127.0.0.1", 443));
    }

    #[test]
    fn a_forbidden_name_is_refused_before_it_is_resolved() {
        let g = guard(&[], &["intranet.example", "mail.example:25"]);
        let name = |n: &str| Host::parse(n).unwrap();
        assert!(g.judge_host(&name("INTRANET.example"), Some(443)).is_err());
        assert!(g.judge_host(&name("mail.example"), Some(25)).is_err());
        assert!(g.judge_host(&name("mail.example"), Some(443)).is_ok());
        assert!(g.judge_host(&name("127.0.0.1"), Some(443)).is_err());
    }

    #[test]
    fn what_is_no_rule_is_refused_by_name() {
        for text in ["10.0.0.0/33", "a b", "host:99999", "", "host:port:1"] {
            let error = text.parse::<Rule>().expect_err(text).to_string();
            assert!(error.contains("is no guard rule"), "{error}");
        }
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("Shop.example.", "shop.example"),
            ("shop.example:443", "shop.example:443"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ] {
            let rule: Rule = text.parse().expect(text);
            assert_eq!(rule.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rule));
        }
    }
}
