//! May this target be tried from here?
//!
//! A probe trusts nobody, its coordinator included. Every name is judged before it is resolved, every address before a
//! packet is sent to it, the peer of every connection once more, and each redirect like a new target.
//!
//! The law: a `deny` rule holds unless an `allow` rule is more specific (a name before a domain before a longer prefix
//! before a shorter one, and not without a port where the other has one); of two that are equally specific, `deny` does.
//! Where no rule matches, addresses of the public internet may be tried and those of special ranges (loopback, private,
//! link-local with the clouds' metadata services, documentation, in every IPv6 disguise) may not. A special address is
//! only ever allowed by a CIDR rule: a host rule names what a stranger's DNS can point anywhere.

mod rule;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use onlyhere_proto::{Host, special_range};
pub use rule::{InvalidRule, Rule};
use rule::{Sense, Tried};

/// What `localhost` is (RFC 6761, 6.3).
pub(crate) const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Why a target may not be tried from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    what: String,
    special: Option<&'static str>,
}

impl Denied {
    fn by_owner(what: impl fmt::Display) -> Self {
        Self {
            what: what.to_string(),
            special: None,
        }
    }

    fn special(what: impl fmt::Display, kind: &'static str) -> Self {
        Self {
            what: what.to_string(),
            special: Some(kind),
        }
    }

    /// The same for ears that must not learn which address it is: `name` leads there from here.
    pub fn without_address(&self, name: &Host) -> String {
        match self.special {
            Some(kind) => hidden(name, kind),
            None => self.to_string(),
        }
    }
}

/// What is told of a name that leads to a special address from here.
pub(crate) fn hidden(name: &Host, kind: &str) -> String {
    format!("from here {name} leads to a special address ({kind}), which is neither told nor tried")
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match self.special {
            Some(kind) => write!(
                f,
                "{what} ({kind}) is not tried from here: only public addresses are, and what guard.allow names by CIDR"
            ),
            None => write!(
                f,
                "{what} is not tried from here: the owner of this vantage forbids it"
            ),
        }
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
        let name = match host {
            Host::Address(address) => return self.judge_address(host, *address, port),
            Host::Name(name) => name,
        };
        let tried = Tried {
            host,
            address: None,
            port,
        };
        if self.is_denied(tried) {
            return Err(Denied::by_owner(name));
        }
        let opened = LOOPBACK.iter().any(|address| self.opens(*address));
        if self.public_only && host.is_localhost() && !opened {
            return Err(Denied::special(name, "loopback"));
        }
        Ok(())
    }

    /// Judges one address of a host: after resolution, as the peer of a connection, and as a resolver to be asked.
    pub fn judge_address(
        &self,
        host: &Host,
        address: IpAddr,
        port: Option<u16>,
    ) -> Result<(), Denied> {
        let tried = Tried {
            host,
            address: Some(address),
            port,
        };
        if self.is_denied(tried) {
            return Err(Denied::by_owner(address));
        }
        let opens = |rule: &Rule| rule.is_network() && rule.matches(tried, Sense::Allow);
        match special_range(address) {
            Some(kind) if self.public_only && !self.allow.iter().any(opens) => {
                Err(Denied::special(address, kind))
            }
            _ => Ok(()),
        }
    }

    /// The kind of special range of an address that nobody but the owner may learn of: it says how the network around
    /// this vantage is built. The unspecified addresses, 127.0.0.1 and ::1 mean the same everywhere and are what resolvers
    /// that lie like to answer.
    pub fn hides(&self, address: IpAddr) -> Option<&'static str> {
        let tells_nothing = address.is_unspecified()
            || address == Ipv4Addr::LOCALHOST
            || address == Ipv6Addr::LOCALHOST;
        special_range(address)
            .filter(|_| self.public_only && !tells_nothing && !self.opens(address))
    }

    /// Whether a CIDR of `allow` covers an address, on some port at least.
    fn opens(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|rule| rule.covers(address))
    }

    fn is_denied(&self, tried: Tried<'_>) -> bool {
        let allowing: Vec<&Rule> = (self.allow.iter())
            .filter(|rule| rule.matches(tried, Sense::Allow))
            .collect();
        self.deny
            .iter()
            .filter(|rule| rule.matches(tried, Sense::Deny))
            .any(|deny| !allowing.iter().any(|allow| allow.overrides(deny)))
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
            "169.254.169.254 (link-local) is not tried from here: only public addresses are, and what guard.allow names by CIDR"
        );
        assert_eq!(
            denied.without_address(&Host::parse("shop.example").unwrap()),
            "from here shop.example leads to a special address (link-local), which is neither told nor tried"
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
    fn this_machine_by_name_is_refused_before_anybody_is_asked() {
        let name = |n: &str| Host::parse(n).unwrap();
        for text in ["localhost", "LOCALHOST.", "a.b.localhost", "localhost."] {
            let denied = guard(&[], &[]).judge_host(&name(text), None).unwrap_err();
            assert!(denied.to_string().contains("(loopback)"), "{denied}");
            assert!(Guard::open().judge_host(&name(text), None).is_ok());
            let opened = guard(&["127.0.0.0/8"], &[]);
            assert!(opened.judge_host(&name(text), None).is_ok());
        }
    }

    #[test]
    fn a_port_can_be_forbidden_for_everybody_or_permitted_in_a_network_alone() {
        let g = guard(&["10.0.0.0/8:443", "mx.example:25"], &["*:25"]);
        assert!(may(&g, "a.example", "10.0.0.1", 443));
        assert!(!may(&g, "a.example", "10.0.0.1", 80));
        assert!(!may(&g, "a.example", "1.1.1.1", 25));
        assert!(may(&g, "mx.example", "1.1.1.1", 25));
        let echo = g.judge_address(
            &Host::parse("10.0.0.1").unwrap(),
            "10.0.0.1".parse().unwrap(),
            None,
        );
        assert!(echo.is_err(), "a port is no echo request");

        let g = guard(&["10.0.0.0/8:443"], &["10.0.0.5", "*:443"]);
        assert!(
            !may(&g, "a.example", "10.0.0.5", 443),
            "narrower in one, wider in the other"
        );
        assert!(may(&g, "a.example", "10.0.0.6", 443));
        let name = Host::parse("a.example").unwrap();
        assert!(
            g.judge_host(&name, Some(443)).is_ok(),
            "it may lead into 10.0.0.0/8"
        );
        assert!(guard(&[], &["*:443"]).judge_host(&name, Some(443)).is_err());
    }

    #[test]
    fn a_domain_is_its_own_name_and_all_below_it() {
        let g = guard(&["www.example.org"], &["*.example.org", ".net:25"]);
        for (host, port, allowed) in [
            ("example.org", 443, false),
            ("a.b.example.org", 443, false),
            ("www.example.org", 443, true),
            ("notexample.org", 443, true),
            ("a.net", 443, true),
            ("a.net", 25, false),
        ] {
            let judged = g.judge_host(&Host::parse(host).unwrap(), Some(port));
            assert_eq!(judged.is_ok(), allowed, "{host}:{port}");
        }
    }

    #[test]
    fn what_is_permitted_is_not_permitted_in_every_disguise_but_what_is_forbidden_is() {
        let g = guard(&["10.0.0.0/8"], &["8.8.8.8"]);
        for disguise in [
            "64:ff9b::a00:4",
            "2002:a00:4::",
            "::10.0.0.4",
            "::ffff:0:10.0.0.4",
            "2a00::5efe:10.0.0.4",
        ] {
            assert!(!may(&g, "a.example", disguise, 80), "{disguise}");
        }
        for disguise in ["64:ff9b::808:808", "2a00::200:5efe:8.8.8.8"] {
            assert!(!may(&g, "a.example", disguise, 80), "{disguise}");
        }
        assert!(may(&g, "a.example", "64:ff9b::808:809", 80));
    }

    #[test]
    fn only_what_is_special_and_closed_is_hidden() {
        let g = guard(&["10.0.0.0/8:443"], &["1.1.1.1"]);
        let hides = |address: &str| g.hides(address.parse().unwrap());
        assert_eq!(hides("192.168.0.1"), Some("private"));
        assert_eq!(hides("10.0.0.1"), None);
        assert_eq!(hides("1.1.1.1"), None);
        for sinkhole in ["0.0.0.0", "::", "127.0.0.1", "::1"] {
            assert_eq!(hides(sinkhole), None, "{sinkhole}");
        }
        assert_eq!(Guard::open().hides("192.168.0.1".parse().unwrap()), None);
    }
}
