//! How much may be done from here, whoever asks.
//!
//! Checks of many people can meet at one target; this is what keeps a fleet of probes from becoming a flood or a scanner,
//! and from causing the very ban that it looks for. What is over a cap is not measured, and does not wait: it would tell
//! about another moment than the one that was asked for. Pure: the time is an argument.
#![deny(clippy::disallowed_methods)]

mod window;

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use onlyhere_proto::Host;
use window::Window;

/// For connections to one address.
const BURST: Duration = Duration::from_secs(10);
/// For connections to one prefix, and to anybody.
const MINUTE: Duration = Duration::from_secs(60);
/// For HTTP requests that fail.
const MEMORY_OF_BANS: Duration = Duration::from_secs(600);
/// What is one network for this purpose: the least that is routed on its own.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 48;

/// The caps of a vantage that works for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Connections, echo requests and questions to one address within ten seconds.
    pub per_address: usize,
    /// The same to one IPv4 /24 or IPv6 /48 within a minute.
    pub per_prefix: usize,
    /// The same to anybody within a minute.
    pub per_minute: usize,
    /// HTTP requests to one host, and to one address, that fail within ten minutes.
    pub failing_requests: usize,
}

/// A ban tool's usual patience is five failures within ten minutes (fail2ban, jail.conf(5): `maxretry`, `findtime`).
pub const MOST_FAILING_REQUESTS: usize = 4;

impl Default for Caps {
    fn default() -> Self {
        Self {
            per_address: 100,
            per_prefix: 600,
            per_minute: 6_000,
            failing_requests: MOST_FAILING_REQUESTS,
        }
    }
}

/// What was done lately.
#[derive(Debug)]
pub(crate) struct Pace {
    caps: Caps,
    by_address: Window<IpAddr>,
    by_prefix: Window<IpNet>,
    overall: Window<()>,
    failed: Window<Asked>,
    under_way: HashMap<Asked, usize>,
}

/// Who an HTTP request goes to, each counted on its own: the host as the asker knows it, and the address as the
/// target's ban tool does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asked {
    Name(String),
    Address(IpAddr),
}

/// May an HTTP request be sent?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes; it counts as under way until [`Pace::ended`].
    Go,
    /// Not before one that is under way has ended: if it failed as well, it would be one too many.
    Wait,
    /// No, and why.
    Spent(String),
}

impl Pace {
    pub(crate) fn new(caps: Caps) -> Self {
        Self {
            by_address: Window::new(caps.per_address, BURST),
            by_prefix: Window::new(caps.per_prefix, MINUTE),
            overall: Window::new(caps.per_minute, MINUTE),
            failed: Window::new(caps.failing_requests, MEMORY_OF_BANS),
            under_way: HashMap::new(),
            caps,
        }
    }

    /// Counts a connection, an echo request or a question to `address` at `now`, or says which cap forbids it.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), String> {
        let address = address.to_canonical();
        let prefix = prefix_of(address);
        if !self.by_address.has_room(&address, now) {
            return Err(format!(
                "this address was tried from here too often in the last ten seconds (limits.per_address = {})",
                self.caps.per_address
            ));
        }
        if !self.by_prefix.has_room(&prefix, now) {
            return Err(format!(
                "addresses of {prefix} were tried from here too often in the last minute (limits.per_prefix = {})",
                self.caps.per_prefix
            ));
        }
        if !self.overall.has_room(&(), now) {
            return Err(format!(
                "this vantage has tried as much in the last minute as it may (limits.per_minute = {})",
                self.caps.per_minute
            ));
        }
        self.by_address.add(address, now);
        self.by_prefix.add(prefix, now);
        self.overall.add((), now);
        Ok(())
    }

    /// Whether an HTTP request to `host` at `address` may be sent at `now`.
    pub(crate) fn begin(&mut self, host: &Host, address: IpAddr, now: Instant) -> Admission {
        let (limit, asked) = (self.caps.failing_requests, asked(host, address));
        let mut must_wait = false;
        for who in &asked {
            let failed = self.failed.count_of(who, now);
            if failed >= limit {
                return Admission::Spent(format!(
                    "{failed} HTTP requests to this target failed from here in the last ten minutes, and one more could \
                     get this vantage banned (limits.failing_requests = {limit})"
                ));
            }
            if !self.failed.has_room(who, now) || self.under_way.len() >= window::REMEMBERED {
                return Admission::Spent(
                    "HTTP requests to so many targets failed from here lately that no more can be counted"
                        .to_owned(),
                );
            }
            must_wait |= failed + self.under_way.get(who).unwrap_or(&0) >= limit;
        }
        if must_wait {
            return Admission::Wait;
        }
        for who in asked {
            *self.under_way.entry(who).or_default() += 1;
        }
        Admission::Go
    }

    /// A request that was let go has ended.
    pub(crate) fn ended(&mut self, host: &Host, address: IpAddr, failed: bool, now: Instant) {
        for who in asked(host, address) {
            if let Some(count) = self.under_way.get_mut(&who) {
                *count -= 1;
                if *count == 0 {
                    self.under_way.remove(&who);
                }
            }
            if failed {
                self.failed.add(who, now);
            }
        }
    }
}

fn asked(host: &Host, address: IpAddr) -> Vec<Asked> {
    let address = Asked::Address(address.to_canonical());
    match host {
        Host::Name(name) => vec![Asked::Name(name.clone()), address],
        Host::Address(_) => vec![address],
    }
}

fn prefix_of(address: IpAddr) -> IpNet {
    let length = match address {
        IpAddr::V4(_) => PREFIX_V4,
        IpAddr::V6(_) => PREFIX_V6,
    };
    IpNet::new(address, length)
        .unwrap_or(IpNet::from(address))
        .trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn caps() -> Caps {
        Caps {
            per_address: 3,
            per_prefix: 5,
            per_minute: 7,
            failing_requests: 4,
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn why(pace: &mut Pace, to: &str, now: Instant) -> String {
        pace.admit(address(to), now).err().unwrap_or_default()
    }

    #[test]
    fn each_cap_is_named_by_what_it_stops() {
        let mut pace = Pace::new(caps());
        let now = start();
        for _ in 0..3 {
            assert_eq!(why(&mut pace, "192.0.2.1", now), "");
        }
        let said = why(&mut pace, "::ffff:192.0.2.1", now);
        assert!(said.contains("limits.per_address = 3"), "{said}");
        for to in ["192.0.2.2", "192.0.2.3"] {
            assert_eq!(why(&mut pace, to, now), "");
        }
        let said = why(&mut pace, "192.0.2.4", now);
        assert!(said.contains("192.0.2.0/24") && said.contains("limits.per_prefix = 5"));
        for to in ["2001:db8:1::1", "2001:db8:2::1"] {
            assert_eq!(why(&mut pace, to, now), "");
        }
        let said = why(&mut pace, "198.51.100.1", now);
        assert!(said.contains("limits.per_minute = 7"), "{said}");
        assert_eq!(why(&mut pace, "198.51.100.1", now + MINUTE), "");
    }

    #[test]
    fn an_ipv6_network_is_counted_as_one() {
        let mut pace = Pace::new(caps());
        let now = start();
        for place in 0..5 {
            assert_eq!(why(&mut pace, &format!("2001:db8:1:{place}::1"), now), "");
        }
        let said = why(&mut pace, "2001:db8:1:ffff::1", now);
        assert!(said.contains("2001:db8:1::/48"), "{said}");
    }

    #[test]
    fn four_requests_may_fail_in_ten_minutes_and_no_more_are_under_way_than_may_still_fail() {
        let mut pace = Pace::new(caps());
        let (shop, at) = (Host::parse("shop.example").unwrap(), address("192.0.2.1"));
        let now = start();
        let after = |seconds| now + Duration::from_secs(seconds);
        for _ in 0..4 {
            assert_eq!(pace.begin(&shop, at, now), Admission::Go);
        }
        assert_eq!(pace.begin(&shop, at, now), Admission::Wait);
        pace.ended(&shop, at, false, now);
        assert_eq!(pace.begin(&shop, at, now), Admission::Go, "it did not fail");
        for second in 0..4 {
            pace.ended(&shop, at, true, after(second));
        }
        assert!(matches!(
            pace.begin(&shop, at, after(5)),
            Admission::Spent(_)
        ));
        let Admission::Spent(said) = pace.begin(&shop, at, after(599)) else {
            panic!("four have failed");
        };
        assert!(
            said.starts_with("4 HTTP requests") && said.contains("limits.failing_requests = 4")
        );
        assert_eq!(pace.begin(&shop, at, after(600)), Admission::Go);
        assert_eq!(
            pace.begin(&shop, at, after(600)),
            Admission::Wait,
            "three are still remembered"
        );
    }

    #[test]
    fn neither_another_name_nor_another_address_is_a_way_around() {
        let mut pace = Pace::new(caps());
        let now = start();
        let host = |name: &str| Host::parse(name).unwrap();
        let (one, two) = (address("192.0.2.1"), address("192.0.2.2"));
        for to in [one, two, one, two] {
            assert_eq!(pace.begin(&host("a.example"), to, now), Admission::Go);
            pace.ended(&host("a.example"), to, true, now);
        }
        let three = address("192.0.2.3");
        let spent = |pace: &mut Pace, name: &str, to| {
            matches!(pace.begin(&host(name), to, now), Admission::Spent(_))
        };
        assert!(
            spent(&mut pace, "a.example", three),
            "the same name elsewhere"
        );
        for _ in 0..2 {
            assert_eq!(pace.begin(&host("b.example"), one, now), Admission::Go);
            pace.ended(&host("b.example"), one, true, now);
        }
        assert!(
            spent(&mut pace, "c.example", one),
            "the same address under another name"
        );
        assert!(spent(&mut pace, "192.0.2.1", one), "or under none");
        assert!(!spent(&mut pace, "c.example", three));
    }

    #[test]
    fn what_failed_is_remembered_in_bounded_memory() {
        let mut pace = Pace::new(caps());
        let now = start();
        let host = |n: u32| Host::Address(IpAddr::from(n.to_be_bytes()));
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..window::REMEMBERED as u32 {
            assert_eq!(pace.begin(&host(n), address(n), now), Admission::Go);
            pace.ended(&host(n), address(n), true, now);
        }
        assert!(matches!(
            pace.begin(&host(9_999), address(9_999), now),
            Admission::Spent(_)
        ));
        let later = now + MEMORY_OF_BANS;
        assert_eq!(
            pace.begin(&host(9_999), address(9_999), later),
            Admission::Go
        );
    }
}
