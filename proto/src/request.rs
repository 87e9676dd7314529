//! What a vantage is asked to try.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Purpose, Stage, Target};

/// The id of one whole check: a ULID (26 characters of Crockford's base 32), sortable by time.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CheckId(String);

impl CheckId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no check id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no check id: 26 characters of 0-9 and A-Z without I, L, O, U are expected")]
pub struct InvalidCheckId(pub String);

impl FromStr for CheckId {
    type Err = InvalidCheckId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |b: u8| b.is_ascii_digit() || (b.is_ascii_uppercase() && !b"ILOU".contains(&b));
        let valid = text.len() == 26 && text.bytes().all(legal);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCheckId(crate::limits::plain_text(text, 40)))
        }
    }
}

impl TryFrom<String> for CheckId {
    type Error = InvalidCheckId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CheckId> for String {
    fn from(id: CheckId) -> Self {
        id.0
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One thing a vantage is asked to try, answered by observations and one "done".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRequest {
    /// The whole check this belongs to.
    pub check: CheckId,
    /// Unique within check and vantage.
    pub request: u32,
    /// Why it is asked.
    pub purpose: Purpose,
    /// What to try.
    pub target: Target,
    /// Addresses to try, each on its own; empty: resolve the host and try every address found.
    pub addresses: Vec<IpAddr>,
    /// The deepest stage to try: `Dns` resolves only, `Tcp` connects, `Tls` shakes hands, `Http` asks for a page,
    /// `Icmp` sends echo requests and nothing else.
    pub depth: Stage,
    /// Send an ICMP echo request to every address as well.
    pub ping: bool,
    /// Resolvers to ask besides the system's.
    pub resolvers: Vec<IpAddr>,
    /// For the whole request, from its receipt; at most [`crate::limits::DEADLINE`].
    pub deadline: Duration,
    /// For one stage of one attempt; at most [`crate::limits::ATTEMPT_TIMEOUT`].
    pub attempt_timeout: Duration,
    /// Budget: connections opened at most.
    pub max_connections: u16,
    /// Observations of one time slot say nothing about intermittence.
    pub slot: u32,
    /// How to get there.
    pub way: Way,
    /// Ask the zone's own name servers as well.
    pub authoritative: bool,
}

/// A way to the target that differs from the ordinary one; the default is the ordinary one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Way {
    /// Local address to try from, one of the vantage's own.
    pub source: Option<IpAddr>,
    /// Device to send through, past the routing table.
    pub interface: Option<String>,
    /// HTTP proxy to go through, as `http://HOST:PORT`; never with credentials.
    pub proxy: Option<String>,
    /// Largest TCP segment to allow in either direction, bytes: what still comes through where large packets do not.
    pub max_segment: Option<u16>,
    /// Try with every time to live from 1 to this, to learn who is on the way; at most [`crate::limits::HOPS`].
    pub hops: Option<u8>,
}
