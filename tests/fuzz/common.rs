//! What every fuzz target holds true of what it was given back: one place for the laws, so that each target is short.
//!
//! A target fails by a panic, its own or the code's.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use onlyhere_proto::{
    Certificate, CheckId, DnsFacts, Facts, HttpFacts, Micros, Observation, Outcome, Purpose, Stage,
    Timestamp, TlsFacts, Vantage, limits, wire,
};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

/// The check of every made-up observation and request.
pub const CHECK: &str = "01JD0000000000000000000000";

/// That a text can be shown on a terminal and has no more than so many bytes.
pub fn plain(text: &str, most: usize) {
    assert!(
        !text.contains(char::is_control),
        "control characters: {text:?}"
    );
    assert!(text.len() <= most, "{} bytes, more than {most}", text.len());
}

/// That an error is one sentence for people.
pub fn sentence(error: &impl fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty());
    plain(&text, 1_024);
}

/// That a value is the same after a way over the wire.
pub fn survives_the_wire<T, W>(value: &T)
where
    T: TryFrom<W, Error: fmt::Debug> + PartialEq + fmt::Debug,
    W: for<'a> From<&'a T> + Message + Default,
{
    let bytes = W::from(value).encode_to_vec();
    let message = W::decode(bytes.as_slice()).expect("what was encoded is decoded");
    let again = T::try_from(message).expect("what was read once is read again");
    assert_eq!(&again, value);
}

/// That a value can be written as JSON, and that what was read from there is written the same.
pub fn survives_json<T: Serialize + DeserializeOwned>(value: &T) {
    let text = serde_json::to_string(value).expect("plain values have a JSON form");
    let again: T = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert_eq!(text, serde_json::to_string(&again).expect("as before"));
}

/// The laws of an observation that was believed.
pub fn observation(observation: &Observation) {
    survives_the_wire::<_, wire::Observation>(observation);
    survives_json(observation);
    plain(&observation.host, limits::HOST_NAME);
    if let Some(detail) = &observation.detail {
        plain(detail, limits::TEXT);
    }
    match &observation.facts {
        Some(Facts::Dns(facts)) => dns(facts),
        Some(Facts::Tls(facts)) => tls(facts),
        Some(Facts::Http(facts)) => http(facts),
        Some(Facts::Tcp(_)) | None => (),
    }
}

fn dns(facts: &DnsFacts) {
    assert!(facts.answers.len() <= limits::DNS_ANSWERS);
    assert!(facts.cname_chain.len() <= limits::CNAME_CHAIN);
    for name in &facts.cname_chain {
        plain(name, limits::HOST_NAME);
    }
}

fn tls(facts: &TlsFacts) {
    assert!(facts.certificates.len() <= limits::CERTIFICATES);
    facts.certificates.iter().for_each(certificate);
    for text in [&facts.version, &facts.alpn, &facts.server_name]
        .into_iter()
        .flatten()
    {
        plain(text, limits::TEXT);
    }
}

/// The laws of a certificate, read from its DER form or off the wire.
pub fn certificate(certificate: &Certificate) {
    plain(&certificate.sha256, 64);
    plain(&certificate.subject, limits::TEXT);
    plain(&certificate.issuer, limits::TEXT);
    assert!(certificate.names.len() <= limits::CERTIFICATE_NAMES);
    for name in &certificate.names {
        plain(name, limits::HOST_NAME);
    }
}

fn http(facts: &HttpFacts) {
    assert!(facts.headers.len() <= limits::HTTP_HEADERS);
    plain(&facts.version, limits::TEXT);
    for header in &facts.headers {
        plain(&header.name, limits::TEXT);
        plain(&header.value, limits::TEXT);
    }
    if let Some(location) = &facts.location {
        plain(location, limits::TARGET_INPUT);
    }
}

/// The laws of what a coordinator says of a vantage.
pub fn vantage(vantage: &Vantage) {
    plain(&vantage.name, limits::TEXT);
    assert!(vantage.source_addresses.len() <= limits::SOURCE_ADDRESSES);
    for text in [&vantage.region, &vantage.country].into_iter().flatten() {
        plain(text, limits::TEXT);
    }
    for (key, value) in &vantage.labels {
        plain(key, limits::TEXT);
        plain(value, limits::TEXT);
    }
}

/// What a stage saw, as the observation that a probe would send.
pub fn observed(
    stage: Stage,
    outcome: Outcome,
    detail: Option<String>,
    facts: Facts,
) -> Observation {
    let family = match &facts {
        Facts::Dns(dns) => Some(dns.record_type.family()),
        _ => None,
    };
    Observation {
        check: check(),
        request: 0,
        sequence: 0,
        vantage: "fra1".parse().expect("a name"),
        purpose: Purpose::Target,
        stage,
        host: "shop.example".to_owned(),
        source: None,
        address: None,
        port: None,
        family,
        started_at: Timestamp(0),
        elapsed_ms: Micros(0),
        slot: 0,
        outcome,
        said_by: None,
        detail: detail.map(|text| limits::plain_text(&text, limits::TEXT)),
        facts: Some(facts),
    }
}

/// [`CHECK`], read.
pub fn check() -> CheckId {
    CHECK.parse().expect("a check id")
}

/// A vantage of which much is known.
pub fn probe(name: &str) -> Vantage {
    Vantage {
        region: Some("eu".to_owned()),
        country: Some("DE".to_owned()),
        asn: Some(64_500),
        labels: BTreeMap::from([("city".to_owned(), "fra".to_owned())]),
        ..Vantage::named(name.parse().expect("a name"))
    }
}

/// The IPv4 addresses that an IPv6 address may lead to, worked out another way than the programs do.
pub fn inside(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let octets = v6.octets();
    let four =
        |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).octets();
    if octets[..12] == nat64[..12] {
        return Some(four(12));
    }
    if octets[..2] == [0x20, 0x02] {
        return Some(four(2));
    }
    v6.to_ipv4_mapped()
}
