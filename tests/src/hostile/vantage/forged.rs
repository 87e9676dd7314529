//! Observations that were never made, and messages that should not be.

use bytes::Bytes;
use onlyhere_proto::wire::{
    AttachRequest, Certificate, CheckRequest, DnsAnswer, DnsFacts, Hello, HttpFacts, HttpHeader,
    Observation, ObservationBatch, RequestDone, Rst, SaidBy, TcpFacts, TlsFacts,
    attach_request::Message as Said, observation::Facts, said_by::Who,
};
use prost::Message;

use super::MARK;

/// Stages and outcomes by their numbers in `observation.proto`.
const DNS: i32 = 1;
pub(super) const TCP: i32 = 2;
const TLS: i32 = 3;
const HTTP: i32 = 4;
pub(super) const OK: i32 = 1;
const REFUSED: i32 = 2;

/// Where the honest site is; a lie is about something.
const SHOP: &str = "198.18.1.10";

pub(super) fn message(said: Said) -> Bytes {
    let message = AttachRequest {
        message: Some(said),
    };
    message.encode_to_vec().into()
}

pub(super) fn hello() -> Hello {
    Hello {
        version: "0.1.0".into(),
        capabilities: vec!["ipv4".into()],
        source_addresses: Vec::new(),
        instance: "mallory".into(),
    }
}

pub(super) fn batch(observations: Vec<Observation>) -> Bytes {
    message(Said::Observations(ObservationBatch { observations }))
}

pub(super) fn done(request: &CheckRequest) -> Bytes {
    message(Said::Done(RequestDone {
        check_id: request.check_id.clone(),
        request: request.request,
    }))
}

/// An observation as it would answer a request.
pub(super) fn observation(
    request: &CheckRequest,
    sequence: u32,
    stage: i32,
    outcome: i32,
) -> Observation {
    let target = request.target.clone().unwrap_or_default();
    let address = request.addresses.first().map_or(SHOP, String::as_str);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Observation {
        check_id: request.check_id.clone(),
        request: request.request,
        sequence,
        vantage: "mallory".into(),
        purpose: request.purpose,
        stage,
        host: target.host.clone(),
        source: String::new(),
        address: if stage == DNS {
            String::new()
        } else {
            address.into()
        },
        port: if stage == DNS { 0 } else { target.port },
        started_at_us: now.map_or(0, |now| now.as_micros() as i64),
        elapsed_us: 20_000,
        slot: request.slot,
        outcome,
        said_by: (outcome == REFUSED).then_some(SaidBy {
            who: Some(Who::Rst(Rst {})),
        }),
        detail: MARK.into(),
        facts: Some(match stage {
            DNS => Facts::Dns(DnsFacts {
                resolver: "198.18.0.53".into(),
                kind: 1,
                record_type: 1,
                rcode: Some(0),
                answers: vec![DnsAnswer {
                    address: SHOP.into(),
                    ttl_s: 60,
                }],
                cname_chain: Vec::new(),
            }),
            TLS => Facts::Tls(TlsFacts {
                version: "TLSv1.3".into(),
                server_name: target.host,
                ..TlsFacts::default()
            }),
            HTTP => Facts::Http(HttpFacts {
                version: "HTTP/2".into(),
                status: 200,
                headers: vec![HttpHeader {
                    name: "server".into(),
                    value: MARK.into(),
                }],
                ..HttpFacts::default()
            }),
            _ => Facts::Tcp(TcpFacts::default()),
        }),
    }
}

/// All that a request asks for, with one result: everything is well, or nothing connects.
pub(super) fn answers(request: &CheckRequest, well: bool) -> Vec<Observation> {
    let mut stages = vec![(DNS, OK), (TCP, if well { OK } else { REFUSED })];
    if well && (TLS..=HTTP).contains(&request.depth) {
        stages.push((TLS, OK));
    }
    if well && request.depth == HTTP {
        stages.push((HTTP, OK));
    }
    stages.retain(|(stage, _)| *stage <= request.depth);
    (0..)
        .zip(stages)
        .map(|(sequence, (stage, outcome))| observation(request, sequence, stage, outcome))
        .collect()
}

/// That the name leads elsewhere, and that nobody is there.
pub(super) fn elsewhere(request: &CheckRequest, addresses: u8) -> Vec<Observation> {
    let nobody = (0..addresses).map(|n| format!("198.19.253.{}", n + 2));
    let mut all = vec![observation(request, 0, DNS, OK)];
    if let Some(Facts::Dns(dns)) = &mut all[0].facts {
        let answer = |address| DnsAnswer { address, ttl_s: 60 };
        dns.answers = nobody.clone().map(answer).collect();
    }
    for (sequence, address) in (1..).zip(nobody) {
        all.push(Observation {
            address,
            ..observation(request, sequence, TCP, REFUSED)
        });
    }
    all
}

/// An observation with one certificate of a hundred long names, some 8 kB.
pub(super) fn large(request: &CheckRequest, sequence: u32) -> Observation {
    let names = (0..100).map(|n| format!("{n}.{}.{}", "a".repeat(60), MARK));
    let facts = TlsFacts {
        version: "TLSv1.3".into(),
        certificates: vec![Certificate {
            names: names.collect(),
            ..Certificate::default()
        }],
        ..TlsFacts::default()
    };
    Observation {
        facts: Some(Facts::Tls(facts)),
        ..observation(request, sequence, TLS, OK)
    }
}

/// `AttachRequest { observations { observations {} observations {} ... } }`, two bytes for each.
pub(super) fn empty_observations(count: usize) -> Bytes {
    nested(&[2], &[0x0a, 0].repeat(count))
}

/// An observation with nothing but empty certificates: `observations.observations.tls.certificates`.
pub(super) fn empty_certificates(request: &CheckRequest, count: usize) -> Bytes {
    let start = observation(request, 0, TLS, OK);
    let mut bytes = Observation {
        facts: None,
        ..start
    }
    .encode_to_vec();
    bytes.extend(field(22, &[0x22, 0].repeat(count)));
    nested(&[2, 1], &bytes)
}

/// A greeting with nothing but empty capabilities.
pub(super) fn empty_capabilities(count: usize) -> Bytes {
    nested(&[1], &[0x12, 0].repeat(count))
}

fn nested(path: &[u32], inner: &[u8]) -> Bytes {
    path.iter()
        .rev()
        .fold(inner.to_vec(), |bytes, number| field(*number, &bytes))
        .into()
}

/// A length-delimited field.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(
        number,
        prost::encoding::WireType::LengthDelimited,
        &mut bytes,
    );
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}
