//! What a caller wants to know, read strictly, whichever way it came.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use ipnet::IpNet;
use onlyhere_proto::{Host, LocalFacts, Selector, Symptom, Target, limits};

use super::CheckError;
use crate::{api::auth::Refusal, config::private, tokens::Token};

/// For a check whose caller does not say.
pub(in crate::api) const TIMEOUT: Duration = Duration::from_secs(10);
/// No check is worth less time.
pub(in crate::api) const SHORTEST: Duration = Duration::from_millis(500);

/// As it came.
#[derive(Debug, Default)]
pub(in crate::api) struct Asked {
    /// The target as a person types it.
    pub(in crate::api) target: String,
    /// Selectors; none: whoever tells most.
    pub(in crate::api) from: Vec<String>,
    /// What the person's browser showed; empty when not said.
    pub(in crate::api) seen: String,
    /// Addresses that the owner expects.
    pub(in crate::api) expected_addresses: Vec<String>,
    /// For everything.
    pub(in crate::api) timeout: Option<Duration>,
    /// What the caller's machine says of itself; none: the caller is no vantage.
    pub(in crate::api) local: Option<LocalFacts>,
}

/// What can be asked.
#[derive(Debug)]
pub(in crate::api) struct Question {
    pub(super) target: Target,
    pub(super) from: Vec<Selector>,
    pub(super) local: Option<LocalFacts>,
    pub(super) seen: Option<Symptom>,
    pub(super) expected_addresses: Vec<IpAddr>,
    pub(super) timeout: Duration,
}

impl Question {
    /// Reads it for this token, where private targets are judged locally but for `allow_private`.
    pub(in crate::api) fn read(
        asked: Asked,
        token: &Token,
        allow_private: &[IpNet],
    ) -> Result<Self, CheckError> {
        let refuse = |why: String| CheckError::Question(why);
        let target = Target::parse(&asked.target).map_err(|e| refuse(e.to_string()))?;
        let hosts = &token.hosts;
        if !hosts.is_empty() && !hosts.iter().any(|suffix| suffix.covers(&target.host)) {
            let refusal = Refusal::Host {
                allowed: hosts.clone(),
                host: target.host.to_string(),
            };
            return Err(refusal.into());
        }
        if let Some(kind) = private(&target, allow_private) {
            return Err(refuse(format!(
                "{} is {kind}: private targets are judged locally, no remote vantage is asked (unless the coordinator's allow_private covers it)",
                target.host
            )));
        }
        if asked.from.len() > limits::SELECTORS {
            return Err(refuse(format!(
                "at most {} selectors can be given",
                limits::SELECTORS
            )));
        }
        let from = asked.from.iter().map(|text| text.parse::<Selector>());
        let from = from
            .collect::<Result<_, _>>()
            .map_err(|e| refuse(e.to_string()))?;
        let seen = match asked.seen.as_str() {
            "" => None,
            seen => Some(seen.parse::<Symptom>().map_err(|e| refuse(e.to_string()))?),
        };
        let expected_addresses =
            expected_addresses(&asked.expected_addresses, &target).map_err(refuse)?;
        let timeout = asked.timeout.unwrap_or(TIMEOUT);
        Ok(Self {
            target,
            from,
            local: asked.local,
            seen,
            expected_addresses,
            timeout: timeout.clamp(SHORTEST, limits::DEADLINE),
        })
    }

    /// What is left of the caller's time when the report must be on its way.
    pub(super) fn budget(&self) -> Duration {
        self.timeout - (self.timeout / 20).min(Duration::from_millis(300))
    }

    /// One attempt of one stage: 3/10 of the whole, so that two silent stages and a round of retries fit.
    pub(super) fn attempt_timeout(&self) -> Duration {
        (self.timeout * 3 / 10)
            .max(SHORTEST)
            .min(limits::ATTEMPT_TIMEOUT)
    }
}

/// The addresses that the owner expects, each once; only a name can lead anywhere.
fn expected_addresses(told: &[String], target: &Target) -> Result<Vec<IpAddr>, String> {
    if told.is_empty() {
        return Ok(Vec::new());
    }
    if let Host::Address(address) = &target.host {
        return Err(format!(
            "addresses are expected of a name, and {address} is an address itself"
        ));
    }
    if told.len() > limits::ADDRESSES {
        return Err(format!(
            "at most {} expected addresses can be given",
            limits::ADDRESSES
        ));
    }
    let read = |text: &String| {
        text.parse::<IpAddr>().map_err(|_| {
            let shown = limits::plain_text(text, 64);
            format!("`{shown}`, an expected address, is no IP address")
        })
    };
    let mut expected: Vec<IpAddr> = told.iter().map(read).collect::<Result<_, _>>()?;
    let mut unique = BTreeSet::new();
    expected.retain(|address| unique.insert(*address));
    Ok(expected)
}
