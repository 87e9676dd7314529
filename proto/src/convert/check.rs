//! Targets, vantages and check requests.

use std::time::Duration;

use super::{
    Invalid, address, addresses, at_most, known, known_or_none, nonempty, optional_address, port,
    text, value,
};
use crate::{CheckRequest, Host, Layer, Target, Vantage, VantageName, Way, limits, wire};

impl From<&Target> for wire::Target {
    fn from(target: &Target) -> Self {
        Self {
            input: target.input.clone(),
            layer: wire::Layer::from(target.layer).into(),
            host: target.host.to_string(),
            port: target.port.unwrap_or(0).into(),
            path: target.path.clone(),
            record_type: target
                .record_type
                .map_or(0, |kind| wire::RecordType::from(kind).into()),
        }
    }
}

impl TryFrom<wire::Target> for Target {
    type Error = Invalid;

    fn try_from(target: wire::Target) -> Result<Self, Invalid> {
        at_most("target.input", target.input.len(), limits::TARGET_INPUT)?;
        at_most("target.path", target.path.len(), limits::TARGET_INPUT)?;
        let layer: Layer = known(target.layer)?;
        let web = matches!(layer, Layer::Https | Layer::Http);
        let clean = target.path.bytes().all(|b| b.is_ascii_graphic());
        if !clean || web != target.path.starts_with('/') {
            return Err(value("target.path", target.path, "path of this layer"));
        }
        let port = port("target.port", target.port)?;
        if port.is_none() != matches!(layer, Layer::Dns | Layer::Ping) {
            return Err(value("target.port", target.port, "port of this layer"));
        }
        Ok(Self {
            host: Host::parse(&target.host)?,
            port,
            layer,
            path: target.path,
            record_type: known_or_none(target.record_type)?,
            input: limits::plain_text(&target.input, limits::TARGET_INPUT),
        })
    }
}

impl From<&Vantage> for wire::Vantage {
    fn from(vantage: &Vantage) -> Self {
        Self {
            name: vantage.id.to_string(),
            region: vantage.region.clone().unwrap_or_default(),
            country: vantage.country.clone().unwrap_or_default(),
            asn: vantage.asn.unwrap_or(0),
            class: vantage
                .class
                .map_or(0, |class| wire::VantageClass::from(class).into()),
            labels: vantage.labels.clone().into_iter().collect(),
            public_address: text(vantage.public_address),
            source_addresses: vantage
                .source_addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }
}

impl TryFrom<wire::Vantage> for Vantage {
    type Error = Invalid;

    fn try_from(vantage: wire::Vantage) -> Result<Self, Invalid> {
        at_most("vantage.labels", vantage.labels.len(), limits::LABELS)?;
        let plain = |text: &str| limits::plain_text(text, limits::TEXT);
        Ok(Self {
            region: nonempty(plain(&vantage.region)),
            country: nonempty(plain(&vantage.country)),
            asn: (vantage.asn > 0).then_some(vantage.asn),
            class: known_or_none(vantage.class)?,
            labels: vantage
                .labels
                .iter()
                .map(|(key, value)| (plain(key), plain(value)))
                .collect(),
            public_address: optional_address("vantage.public_address", &vantage.public_address)?,
            source_addresses: addresses(
                "vantage.source_addresses",
                &vantage.source_addresses,
                limits::SOURCE_ADDRESSES,
            )?,
            ..Self::named(vantage_name(&vantage.name)?)
        })
    }
}

pub(super) fn vantage_name(text: &str) -> Result<VantageName, Invalid> {
    text.parse()
        .map_err(|_| value("vantage", text, "vantage name"))
}

impl From<&CheckRequest> for wire::CheckRequest {
    fn from(request: &CheckRequest) -> Self {
        Self {
            check_id: request.check.to_string(),
            request: request.request,
            purpose: wire::Purpose::from(request.purpose).into(),
            target: Some((&request.target).into()),
            addresses: request.addresses.iter().map(ToString::to_string).collect(),
            depth: wire::Stage::from(request.depth).into(),
            ping: request.ping,
            resolvers: request.resolvers.iter().map(ToString::to_string).collect(),
            deadline_ms: millis(request.deadline),
            attempt_timeout_ms: millis(request.attempt_timeout),
            max_connections: request.max_connections.into(),
            slot: request.slot,
            way: (request.way != Way::default()).then(|| (&request.way).into()),
            authoritative: request.authoritative,
        }
    }
}

impl From<&Way> for wire::Way {
    fn from(way: &Way) -> Self {
        Self {
            source: text(way.source),
            interface: way.interface.clone().unwrap_or_default(),
            proxy: way.proxy.clone().unwrap_or_default(),
            max_segment: way.max_segment.unwrap_or(0).into(),
            hops: way.hops.unwrap_or(0).into(),
        }
    }
}

impl TryFrom<wire::Way> for Way {
    type Error = Invalid;

    fn try_from(way: wire::Way) -> Result<Self, Invalid> {
        at_most("way.interface", way.interface.len(), 15)?;
        at_most("way.proxy", way.proxy.len(), limits::TEXT)?;
        at_most("way.hops", way.hops as usize, limits::HOPS.into())?;
        let segment = match u16::try_from(way.max_segment) {
            Ok(0) => None,
            Ok(bytes) if bytes >= limits::SMALLEST_SEGMENT => Some(bytes),
            _ => {
                return Err(value(
                    "way.max_segment",
                    way.max_segment,
                    "segment of 536 bytes or more",
                ));
            }
        };
        let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if !visible(&way.interface) || !visible(&way.proxy) {
            return Err(value("way", way.proxy, "device or proxy"));
        }
        Ok(Self {
            source: optional_address("way.source", &way.source)?,
            interface: nonempty(way.interface),
            proxy: nonempty(way.proxy),
            max_segment: segment,
            hops: u8::try_from(way.hops).ok().filter(|hops| *hops > 0),
        })
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn bounded(field: &'static str, millis: u32, max: Duration) -> Result<Duration, Invalid> {
    match Duration::from_millis(millis.into()) {
        Duration::ZERO => Err(Invalid::Missing(field)),
        duration if duration > max => Err(Invalid::TooMany {
            field,
            got: millis.into(),
            max: max.as_millis() as u64,
        }),
        duration => Ok(duration),
    }
}

impl TryFrom<wire::CheckRequest> for CheckRequest {
    type Error = Invalid;

    fn try_from(request: wire::CheckRequest) -> Result<Self, Invalid> {
        at_most("addresses", request.addresses.len(), limits::ADDRESSES)?;
        at_most("resolvers", request.resolvers.len(), limits::RESOLVERS)?;
        at_most(
            "max_connections",
            request.max_connections as usize,
            limits::CONNECTIONS.into(),
        )?;
        Ok(Self {
            check: request
                .check_id
                .parse()
                .map_err(|_| value("check_id", &request.check_id, "check id"))?,
            request: request.request,
            purpose: known(request.purpose)?,
            target: request
                .target
                .ok_or(Invalid::Missing("target"))?
                .try_into()?,
            addresses: request
                .addresses
                .iter()
                .map(|a| address("addresses", a))
                .collect::<Result<_, _>>()?,
            depth: known(request.depth)?,
            ping: request.ping,
            resolvers: request
                .resolvers
                .iter()
                .map(|a| address("resolvers", a))
                .collect::<Result<_, _>>()?,
            deadline: bounded("deadline_ms", request.deadline_ms, limits::DEADLINE)?,
            attempt_timeout: bounded(
                "attempt_timeout_ms",
                request.attempt_timeout_ms,
                limits::ATTEMPT_TIMEOUT,
            )?,
            max_connections: request.max_connections as u16,
            slot: request.slot,
            way: request
                .way
                .map(TryInto::try_into)
                .transpose()?
                .unwrap_or_default(),
            authoritative: request.authoritative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, Stage};

    fn request() -> CheckRequest {
        let target = Target::parse("https://shop.example/a?b").unwrap();
        CheckRequest {
            check: "01JD0000000000000000000000".parse().unwrap(),
            request: 3,
            purpose: Purpose::Retry,
            depth: target.depth(),
            target,
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            ping: true,
            resolvers: vec!["192.0.2.53".parse().unwrap()],
            deadline: Duration::from_secs(8),
            attempt_timeout: Duration::from_secs(4),
            max_connections: 8,
            slot: 1,
            way: Way {
                source: Some("192.0.2.7".parse().unwrap()),
                interface: Some("eth0".into()),
                proxy: Some("http://192.0.2.9:3128".into()),
                max_segment: Some(536),
                hops: Some(8),
            },
            authoritative: true,
        }
    }

    #[test]
    fn a_request_survives_the_wire() {
        assert_eq!(
            CheckRequest::try_from(wire::CheckRequest::from(&request())),
            Ok(request())
        );
    }

    #[test]
    fn a_request_that_cannot_be_is_refused_by_name() {
        type Spoil = fn(&mut wire::CheckRequest);
        let cases: [(Spoil, &str); 9] = [
            (
                |r| r.way.as_mut().unwrap().hops = 25,
                "way.hops has 25, more than 24",
            ),
            (
                |r| r.way.as_mut().unwrap().max_segment = 40,
                "way.max_segment is `40`",
            ),
            (|r| r.check_id = "x".into(), "check_id is `x`"),
            (|r| r.deadline_ms = 0, "deadline_ms is missing"),
            (
                |r| r.deadline_ms = 3_600_000,
                "deadline_ms has 3600000, more than 60000",
            ),
            (
                |r| r.addresses = vec!["1.2.3".into()],
                "addresses is `1.2.3`, which is no IP address",
            ),
            (
                |r| r.addresses = vec!["::1".into(); 17],
                "addresses has 17, more than 16",
            ),
            (
                |r| r.depth = Stage::ALL.len() as i32 + 9,
                "which is no known stage",
            ),
            (
                |r| r.target.as_mut().unwrap().path = "/a\r\nHost: b".into(),
                "target.path",
            ),
        ];
        for (spoil, says) in cases {
            let mut wire = wire::CheckRequest::from(&request());
            spoil(&mut wire);
            let error = CheckRequest::try_from(wire).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
