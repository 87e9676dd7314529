//! A vantage: a place from which a target is tried.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::label::labelled;

/// A vantage's name, unique in one coordinator's fleet: 1-63 of `a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct VantageName(String);

impl VantageName {
    /// The caller, a vantage for the length of its own check. No probe may carry this name.
    pub const YOU: &'static str = "you";

    /// The caller's name.
    pub fn you() -> Self {
        Self(Self::YOU.to_owned())
    }

    /// Whether this is the caller.
    pub fn is_you(&self) -> bool {
        self.0 == Self::YOU
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no vantage name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no vantage name: 1-63 of a-z, 0-9, '.', '_', '-', starting with a letter or digit, as in fra1"
)]
pub struct InvalidVantageName(pub String);

impl FromStr for VantageName {
    type Err = InvalidVantageName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = (1..=63).contains(&text.len())
            && text.starts_with(legal)
            && text
                .chars()
                .all(|c| legal(c) || matches!(c, '.' | '_' | '-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidVantageName(crate::limits::plain_text(text, 80)))
        }
    }
}

impl TryFrom<String> for VantageName {
    type Error = InvalidVantageName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VantageName> for String {
    fn from(name: VantageName) -> Self {
        name.0
    }
}

impl fmt::Display for VantageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

labelled! {
    /// What kind of network a vantage sits in.
    VantageClass ("vantage class") {
        /// A hosting provider's.
        Datacenter = "datacenter",
        /// A home or office line.
        Residential = "residential",
        /// A mobile operator's.
        Mobile = "mobile",
    }
}

/// What the coordinator knows of a vantage. Nothing here comes from the vantage's own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vantage {
    /// Unique in the fleet, and the same as `name`; kept apart so that a display name can come later.
    pub id: VantageName,
    /// For people.
    pub name: String,
    /// Lower-case region, such as `eu`.
    #[serde(default)]
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    #[serde(default)]
    pub country: Option<String>,
    /// Autonomous system number.
    #[serde(default)]
    pub asn: Option<u32>,
    /// What kind of network it is.
    #[serde(default)]
    pub class: Option<VantageClass>,
    /// Operator's labels, such as `city=fra`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The address from which it reached the coordinator.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub public_address: Option<IpAddr>,
    /// Further addresses that it can try from. The one thing here that is the vantage's own word: it only decides what
    /// the vantage is asked, never what is believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub source_addresses: Vec<IpAddr>,
}

/// The line that an address is seen to belong to from outside: an IPv4 address itself, the first of an IPv6 /64.
pub fn line_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
        v4 => v4,
    }
}

impl Vantage {
    /// A vantage of which nothing but the name is known.
    pub fn named(id: VantageName) -> Self {
        Self {
            name: id.as_str().to_owned(),
            id,
            region: None,
            country: None,
            asn: None,
            class: None,
            labels: BTreeMap::new(),
            public_address: None,
            source_addresses: Vec::new(),
        }
    }

    /// Whether both are seen from outside as one: the same IPv4 address, or addresses of one IPv6 /64.
    pub fn same_line(&self, other: &Self) -> bool {
        match (self.public_address, other.public_address) {
            (Some(a), Some(b)) => line_of(a) == line_of(b),
            _ => false,
        }
    }

    /// Whether both have addresses of one IPv4 /24 or one IPv6 /48.
    pub fn same_prefix(&self, other: &Self) -> bool {
        match (self.public_address, other.public_address) {
            (Some(IpAddr::V4(a)), Some(IpAddr::V4(b))) => a.octets()[..3] == b.octets()[..3],
            (Some(IpAddr::V6(a)), Some(IpAddr::V6(b))) => a.segments()[..3] == b.segments()[..3],
            _ => false,
        }
    }

    /// Whether both sit in one network: the same AS, or addresses of one IPv4 /24 or one IPv6 /48.
    ///
    /// What is unknown is not equal.
    pub fn same_network(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.asn, other.asn) {
            return a == b;
        }
        self.same_prefix(other)
    }
}
