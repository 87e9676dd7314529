//! How much a token may be used, and for which targets.

use std::{fmt, num::NonZeroU32, str::FromStr};

use onlyhere_proto::{Host, limits};
use serde::{Deserialize, Serialize};

/// Checks in a minute or an hour at most; more is as good as no limit.
const MOST_CHECKS: u32 = 1_000_000;

/// How much a token may be used; what is none is bounded by what every token may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Checks under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<NonZeroU32>,
    /// Checks begun in a minute; unused ones are not saved up beyond a minute's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<NonZeroU32>,
    /// Checks begun in an hour; unused ones are not saved up beyond an hour's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<NonZeroU32>,
    /// Vantages of one check, besides the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vantages: Option<NonZeroU32>,
}

/// One limit, as it is typed: `KEY=N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    key: usize,
    most: NonZeroU32,
}

/// Their names, and the most that may be given.
const KEYS: [(&str, u32); 4] = [
    ("at-once", 16),
    ("per-minute", MOST_CHECKS),
    ("per-hour", MOST_CHECKS),
    ("vantages", limits::VANTAGES as u32),
];

impl Limits {
    /// None of them; for serde.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// With one more; the last word counts.
    #[must_use]
    pub fn with(mut self, limit: Limit) -> Self {
        let [at_once, per_minute, per_hour, vantages] = [
            &mut self.at_once,
            &mut self.per_minute,
            &mut self.per_hour,
            &mut self.vantages,
        ];
        *[at_once, per_minute, per_hour, vantages][limit.key] = Some(limit.most);
        self
    }

    fn values(&self) -> [Option<NonZeroU32>; 4] {
        [self.at_once, self.per_minute, self.per_hour, self.vantages]
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = KEYS.iter().zip(self.values());
        let set = set.filter_map(|((key, _), value)| Some(format!("{key}={}", value?)));
        f.write_str(&set.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || KEYS.map(|(key, _)| key).join(", ");
        let Some((key, number)) = text.split_once('=') else {
            return Err(format!(
                "a limit is KEY=N, as in per-minute=10; known are {}",
                known()
            ));
        };
        let Some(at) = KEYS.iter().position(|(known, _)| *known == key) else {
            return Err(format!("`{key}` is no limit; known are {}", known()));
        };
        let most = KEYS[at].1;
        match number.parse::<NonZeroU32>() {
            Ok(number) if number.get() <= most => Ok(Self {
                key: at,
                most: number,
            }),
            _ => Err(format!("{key} is a number from 1 to {most}")),
        }
    }
}

/// A host and all names below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostSuffix(String);

impl HostSuffix {
    /// Whether a target's host is this one or below it. An address is below no name.
    pub fn covers(&self, host: &Host) -> bool {
        match host {
            Host::Address(_) => false,
            Host::Name(name) => name
                .strip_suffix(&self.0)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    }
}

impl fmt::Display for HostSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostSuffix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Host::parse(text) {
            Ok(Host::Name(name)) => Ok(Self(name)),
            Ok(Host::Address(_)) => Err(format!(
                "`{text}` is an address; a token is limited to names, as in shop.example"
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl TryFrom<String> for HostSuffix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostSuffix> for String {
    fn from(suffix: HostSuffix) -> Self {
        suffix.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_shown_and_wrong_ones_are_named() {
        let read = |texts: &[&str]| {
            let limits = texts.iter().map(|text| text.parse::<Limit>());
            limits.fold(Limits::default(), |limits, limit| {
                limits.with(limit.unwrap())
            })
        };
        let all = read(&["vantages=8", "at-once=4", "per-hour=100", "per-minute=10"]);
        assert_eq!(
            all.to_string(),
            "at-once=4,per-minute=10,per-hour=100,vantages=8"
        );
        assert_eq!(read(&["at-once=4", "at-once=5"]).to_string(), "at-once=5");
        assert!(Limits::default().is_none() && Limits::default().to_string().is_empty());
        for (wrong, says) in [
            (
                "10",
                "a limit is KEY=N, as in per-minute=10; known are at-once, per-minute, per-hour, vantages",
            ),
            ("per-day=10", "`per-day` is no limit; known are"),
            ("at-once=0", "at-once is a number from 1 to 16"),
            ("at-once=17", "at-once is a number from 1 to 16"),
            ("vantages=many", "vantages is a number from 1 to 64"),
        ] {
            let error = wrong.parse::<Limit>().unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_suffix_covers_the_host_and_what_is_below_it_alone() {
        let suffix: HostSuffix = "Shop.Example.".parse().unwrap();
        for (host, covered) in [
            ("shop.example", true),
            ("www.shop.example", true),
            ("a.b.shop.example", true),
            ("workshop.example", false),
            ("shop.example.net", false),
            ("example", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(
                suffix.covers(&Host::parse(host).unwrap()),
                covered,
                "{host}"
            );
        }
        assert!("192.0.2.1".parse::<HostSuffix>().is_err());
    }
}
