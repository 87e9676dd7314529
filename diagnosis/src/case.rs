//! What an investigation starts from, and what it asks for.

use std::time::Duration;

use onlyhere_proto::{
    CheckId, CheckRequest, Conditions, Host, Subject, Target, Vantage, VantageName, special_range,
};

/// What is to be found out, and who can help.
#[derive(Debug, Clone)]
pub struct Case {
    /// The check's id; every request carries it.
    pub check: CheckId,
    /// What is checked.
    pub target: Target,
    /// Whose question it is; `subject.vantage` is `None` when the caller is no vantage (then the scopes `local`,
    /// `source*` cannot come out).
    pub subject: Subject,
    /// Everyone who can try, the subject included.
    pub vantages: Vec<Vantage>,
    /// What is known beside what will be observed.
    pub conditions: Conditions,
}

/// Something to be tried by one vantage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// By whom.
    pub vantage: VantageName,
    /// Not earlier than this after the ask was returned (kernels limit ICMP errors; retries stand at least 1 s apart).
    pub delay: Duration,
    /// What.
    pub request: CheckRequest,
}

impl Case {
    /// The subject's place among the vantages; `None` when the caller is no vantage of this check.
    pub(crate) fn subject_index(&self) -> Option<usize> {
        let name = self.subject.vantage.as_ref()?;
        self.vantages.iter().position(|v| v.id == *name)
    }

    /// The kind of private range the target lies in, when it is nobody's but this machine's or this network's.
    ///
    /// Documentation and benchmarking ranges count as public: they are nobody's own network. So does a range that the
    /// coordinator of a private fleet permits: there the fleet's vantages are everybody.
    pub(crate) fn private_target(&self) -> Option<&'static str> {
        self.target
            .special_range()
            .filter(|kind| is_private_kind(kind) && !self.conditions.private_permitted)
    }

    /// Whether the target is this machine itself.
    pub(crate) fn loopback_target(&self) -> bool {
        self.private_target() == Some("loopback")
    }

    /// For one stage of one attempt.
    pub(crate) fn attempt_timeout(&self) -> Duration {
        Duration::from_micros(self.conditions.attempt_timeout_ms.0)
    }

    /// Whether the host has to be resolved first.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self.target.host, Host::Name(_))
    }
}

fn is_private_kind(kind: &str) -> bool {
    matches!(
        kind,
        "loopback" | "private" | "link-local" | "unspecified" | "this network" | "site-local"
    )
}

/// Whether an address can only mean something inside one network, so that nobody else should be sent there.
pub(crate) fn is_private_address(address: std::net::IpAddr) -> bool {
    special_range(address).is_some_and(|kind| {
        is_private_kind(kind)
            || matches!(
                kind,
                "multicast" | "reserved" | "carrier-grade NAT" | "local translation"
            )
    })
}
