//! Whose question it was, and what was known beside the observations.

use super::{
    Invalid, addresses, at_most, check::vantage_name, nonempty, observation::timestamp,
    optional_address, port, text, value,
};
use crate::{
    Conditions, History, Listener, LocalFacts, Micros, Subject, Target, Timestamp, limits,
    limits::plain_text, wire,
};

impl From<&Subject> for wire::Subject {
    fn from(subject: &Subject) -> Self {
        Self {
            vantage: subject
                .vantage
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            public_address: text(subject.public_address),
            asn: subject.asn.unwrap_or(0),
            local: Some((&subject.local).into()),
        }
    }
}

impl TryFrom<wire::Subject> for Subject {
    type Error = Invalid;

    fn try_from(subject: wire::Subject) -> Result<Self, Invalid> {
        Ok(Self {
            vantage: nonempty(subject.vantage)
                .map(|name| vantage_name(&name))
                .transpose()?,
            public_address: optional_address("subject.public_address", &subject.public_address)?,
            asn: (subject.asn > 0).then_some(subject.asn),
            local: subject.local.unwrap_or_default().try_into()?,
        })
    }
}

impl From<&LocalFacts> for wire::LocalFacts {
    fn from(local: &LocalFacts) -> Self {
        Self {
            proxies: local.proxies.clone(),
            hosts_entries: texts(&local.hosts_entries),
            tunnel: local.tunnel.clone().unwrap_or_default(),
            platform: local.platform.clone().unwrap_or_default(),
            listeners: local
                .listeners
                .iter()
                .map(|listener| wire::Listener {
                    address: listener.address.to_string(),
                    port: listener.port.into(),
                    program: listener.program.clone().unwrap_or_default(),
                })
                .collect(),
            way_out: local.way_out.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::LocalFacts> for LocalFacts {
    type Error = Invalid;

    fn try_from(local: wire::LocalFacts) -> Result<Self, Invalid> {
        at_most("local.proxies", local.proxies.len(), limits::LOCAL_ENTRIES)?;
        at_most("local.listeners", local.listeners.len(), limits::LISTENERS)?;
        Ok(Self {
            proxies: local
                .proxies
                .iter()
                .map(|text| plain_text(text, limits::TEXT))
                .collect(),
            hosts_entries: addresses(
                "local.hosts_entries",
                &local.hosts_entries,
                limits::ADDRESSES,
            )?,
            tunnel: nonempty(plain_text(&local.tunnel, 64)),
            platform: nonempty(plain_text(&local.platform, 16)),
            listeners: local
                .listeners
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            way_out: nonempty(plain_text(&local.way_out, 64)),
        })
    }
}

impl TryFrom<wire::Listener> for Listener {
    type Error = Invalid;

    fn try_from(listener: wire::Listener) -> Result<Self, Invalid> {
        Ok(Self {
            address: super::address("listener.address", &listener.address)?,
            port: port("listener.port", listener.port)?.ok_or(Invalid::Missing("listener.port"))?,
            program: nonempty(plain_text(&listener.program, 64)),
        })
    }
}

impl From<&Conditions> for wire::Conditions {
    fn from(conditions: &Conditions) -> Self {
        Self {
            seen: conditions
                .seen
                .map(|symptom| symptom.to_string())
                .unwrap_or_default(),
            controls: conditions.controls.iter().map(Into::into).collect(),
            resolvers: texts(&conditions.resolvers),
            expected_addresses: texts(&conditions.expected_addresses),
            block_lists: conditions.block_lists.clone(),
            attempt_timeout_ms: u32::try_from(conditions.attempt_timeout_ms.0 / 1_000)
                .unwrap_or(u32::MAX),
            history: Some(wire::History {
                last_ok_us: conditions.history.last_ok.map_or(0, |at| at.0),
                failing_since_us: conditions.history.failing_since.map_or(0, |at| at.0),
            }),
            private_permitted: conditions.private_permitted,
        }
    }
}

impl TryFrom<wire::Conditions> for Conditions {
    type Error = Invalid;

    fn try_from(conditions: wire::Conditions) -> Result<Self, Invalid> {
        at_most("conditions.controls", conditions.controls.len(), 16)?;
        at_most("conditions.block_lists", conditions.block_lists.len(), 16)?;
        let seen = match conditions.seen.as_str() {
            "" => None,
            symptom => Some(
                symptom
                    .parse()
                    .map_err(|_| value("conditions.seen", symptom, "symptom"))?,
            ),
        };
        Ok(Self {
            private_permitted: conditions.private_permitted,
            seen,
            controls: conditions
                .controls
                .into_iter()
                .map(Target::try_from)
                .collect::<Result<_, _>>()?,
            resolvers: addresses(
                "conditions.resolvers",
                &conditions.resolvers,
                limits::RESOLVERS,
            )?,
            expected_addresses: addresses(
                "conditions.expected_addresses",
                &conditions.expected_addresses,
                limits::ADDRESSES,
            )?,
            block_lists: conditions
                .block_lists
                .iter()
                .map(|zone| plain_text(zone, limits::HOST_NAME))
                .collect(),
            attempt_timeout_ms: Micros(u64::from(conditions.attempt_timeout_ms) * 1_000),
            history: conditions.history.unwrap_or_default().try_into()?,
        })
    }
}

impl TryFrom<wire::History> for History {
    type Error = Invalid;

    fn try_from(history: wire::History) -> Result<Self, Invalid> {
        let time = |micros: i64| -> Result<Option<Timestamp>, Invalid> {
            if micros == 0 {
                return Ok(None);
            }
            timestamp("history", micros).map(Some)
        };
        Ok(Self {
            last_ok: time(history.last_ok_us)?,
            failing_since: time(history.failing_since_us)?,
        })
    }
}

fn texts(addresses: &[std::net::IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
