//! Wire <-> domain, once, at the edge. From the wire comes `TryFrom` with an [`Invalid`] that names the field;
//! to the wire goes `From`, which cannot fail.

mod check;
mod observation;
mod report;
mod subject;

use std::net::IpAddr;

use crate::{
    CertificateError, InvalidTarget, Layer, Mechanism, Outcome, Purpose, RecordType, ResolverKind,
    Scope, Stage, VantageClass, report::Actor, wire,
};

/// A message that cannot be believed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field with a value that is not possible.
    #[error("{field} is `{value}`, which is no {expected}")]
    Value {
        /// Which field.
        field: &'static str,
        /// Its value, shortened.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// More than the limit.
    #[error("{field} has {got}, more than {max}")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many or how long.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// The target.
    #[error("target: {0}")]
    Target(#[from] InvalidTarget),
}

pub(crate) fn value(field: &'static str, value: impl ToString, expected: &'static str) -> Invalid {
    Invalid::Value {
        field,
        value: crate::limits::plain_text(&value.to_string(), 64),
        expected,
    }
}

pub(crate) fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), Invalid> {
    if got <= max {
        Ok(())
    } else {
        Err(Invalid::TooMany {
            field,
            got: got as u64,
            max: max as u64,
        })
    }
}

pub(crate) fn address(field: &'static str, text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| value(field, text, "IP address"))
}

pub(crate) fn addresses(
    field: &'static str,
    texts: &[String],
    max: usize,
) -> Result<Vec<IpAddr>, Invalid> {
    at_most(field, texts.len(), max)?;
    texts.iter().map(|text| address(field, text)).collect()
}

pub(crate) fn optional_address(field: &'static str, text: &str) -> Result<Option<IpAddr>, Invalid> {
    if text.is_empty() {
        Ok(None)
    } else {
        address(field, text).map(Some)
    }
}

pub(crate) fn port(field: &'static str, number: u32) -> Result<Option<u16>, Invalid> {
    let port = u16::try_from(number).map_err(|_| value(field, number, "port"))?;
    Ok((port > 0).then_some(port))
}

pub(crate) fn nonempty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(crate) fn text(address: Option<IpAddr>) -> String {
    address.map(|a| a.to_string()).unwrap_or_default()
}

/// Pairs a domain enum with its generated twin, value by value; a value that is missing on either side does not compile.
macro_rules! twin {
    ($domain:ident, $what:literal: $($variant:ident),+ $(,)?) => {
        impl From<$domain> for wire::$domain {
            fn from(value: $domain) -> Self {
                match value { $($domain::$variant => Self::$variant),+ }
            }
        }

        impl TryFrom<i32> for Wired<$domain> {
            type Error = Invalid;

            fn try_from(number: i32) -> Result<Self, Invalid> {
                match wire::$domain::try_from(number) {
                    $(Ok(wire::$domain::$variant) => Ok(Wired($domain::$variant)),)+
                    Ok(wire::$domain::Unspecified) => Err(Invalid::Missing($what)),
                    Err(_) => Err(value($what, number, concat!("known ", $what))),
                }
            }
        }
    };
}

/// A domain value as read from a wire enum's number.
pub(crate) struct Wired<T>(pub(crate) T);

twin!(VantageClass, "vantage class": Datacenter, Residential, Mobile);
twin!(Layer, "layer": Https, Http, Tcp, Tls, Ssh, Smtp, Dns, Ping);
twin!(RecordType, "record type": A, Aaaa);
twin!(Purpose, "purpose": Target, Control, Retry, Address, Sibling, OtherPort, Ladder, Direct, ThroughProxy, Resolver,
    Source, SmallSegments, BlockList);
twin!(Stage, "stage": Dns, Tcp, Tls, Http, Icmp);
twin!(Outcome, "outcome": Ok, Refused, Timeout, Reset, Unreachable, Denied, Nxdomain, Servfail, NoAnswer,
    BadCertificate, TlsAlert, HttpStatus, Closed, NotMeasured);
twin!(ResolverKind, "resolver kind": System, Configured, Authoritative, HostsFile);
twin!(CertificateError, "certificate error": Expired, NotYetValid, NameMismatch, UnknownIssuer, Revoked, BadSignature,
    Other);
twin!(Scope, "scope": Ok, Local, Source, SourceAddress, SourceNetwork, Regional, TargetAddress, Global, Inconclusive);
twin!(Mechanism, "mechanism": None, Refused, Timeout, Reset, Unreachable, Dns, Tls, Http);
twin!(Actor, "actor": You, YourNetwork, Site, DnsOperator, Transit, Nobody, Unknown);

/// Reads an enum's number.
pub(crate) fn known<T>(number: i32) -> Result<T, Invalid>
where
    Wired<T>: TryFrom<i32, Error = Invalid>,
{
    Wired::try_from(number).map(|Wired(value)| value)
}

/// Reads an enum's number where "unspecified" means "not said".
pub(crate) fn known_or_none<T>(number: i32) -> Result<Option<T>, Invalid>
where
    Wired<T>: TryFrom<i32, Error = Invalid>,
{
    if number == 0 {
        Ok(None)
    } else {
        known(number).map(Some)
    }
}
