//! Observations.

use super::{
    Invalid, address, at_most, check::vantage_name, known, known_or_none, nonempty,
    optional_address, port, text, value,
};
use crate::{
    Certificate, DnsAnswer, DnsFacts, Facts, Family, HttpFacts, HttpHeader, IcmpError, Micros,
    Observation, Outcome, SaidBy, TcpFacts, Timestamp, TlsFacts, limits, limits::plain_text, wire,
};

impl From<&Observation> for wire::Observation {
    fn from(observation: &Observation) -> Self {
        Self {
            check_id: observation.check.to_string(),
            request: observation.request,
            sequence: observation.sequence,
            vantage: observation.vantage.to_string(),
            purpose: wire::Purpose::from(observation.purpose).into(),
            stage: wire::Stage::from(observation.stage).into(),
            host: observation.host.clone(),
            source: text(observation.source),
            address: text(observation.address),
            port: observation.port.unwrap_or(0).into(),
            started_at_us: observation.started_at.0,
            elapsed_us: observation.elapsed_ms.0,
            slot: observation.slot,
            outcome: wire::Outcome::from(observation.outcome).into(),
            said_by: observation.said_by.map(Into::into),
            detail: observation.detail.clone().unwrap_or_default(),
            facts: observation.facts.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Observation> for Observation {
    type Error = Invalid;

    fn try_from(o: wire::Observation) -> Result<Self, Invalid> {
        at_most("host", o.host.len(), limits::HOST_NAME)?;
        let address = optional_address("address", &o.address)?;
        let facts: Option<Facts> = o.facts.map(TryInto::try_into).transpose()?;
        let family = address.map(Family::of).or(match &facts {
            Some(Facts::Dns(dns)) => Some(dns.record_type.family()),
            _ => None,
        });
        let mut detail = nonempty(plain_text(&o.detail, limits::TEXT));
        // An outcome from a newer probe is kept, shown, and judged as not measured.
        let outcome = match known(o.outcome) {
            Ok(outcome) => outcome,
            Err(Invalid::Missing(what)) => return Err(Invalid::Missing(what)),
            Err(_) => {
                let known = detail.map(|d| format!(" ({d})")).unwrap_or_default();
                detail = Some(plain_text(
                    &format!("outcome {} of a newer probe{known}", o.outcome),
                    limits::TEXT,
                ));
                Outcome::NotMeasured
            }
        };
        Ok(Self {
            check: o
                .check_id
                .parse()
                .map_err(|_| value("check_id", &o.check_id, "check id"))?,
            request: o.request,
            sequence: o.sequence,
            vantage: vantage_name(&o.vantage)?,
            purpose: known(o.purpose)?,
            stage: known(o.stage)?,
            host: plain_text(&o.host, limits::HOST_NAME),
            source: optional_address("source", &o.source)?,
            address,
            port: port("port", o.port)?,
            family,
            started_at: timestamp("started_at_us", o.started_at_us)?,
            elapsed_ms: elapsed("elapsed_us", o.elapsed_us)?,
            slot: o.slot,
            outcome,
            said_by: o.said_by.map(TryInto::try_into).transpose()?,
            detail,
            facts,
        })
    }
}

pub(super) fn elapsed(field: &'static str, micros: u64) -> Result<Micros, Invalid> {
    let max = Micros::from(limits::ELAPSED);
    if Micros(micros) <= max {
        Ok(Micros(micros))
    } else {
        Err(Invalid::TooMany {
            field,
            got: micros,
            max: max.0,
        })
    }
}

pub(super) fn timestamp(field: &'static str, micros: i64) -> Result<Timestamp, Invalid> {
    Timestamp::from_micros(micros).ok_or_else(|| value(field, micros, "point in time"))
}

impl From<SaidBy> for wire::SaidBy {
    fn from(said_by: SaidBy) -> Self {
        use wire::said_by::Who;
        let who = match said_by {
            SaidBy::Rst => Who::Rst(wire::Rst {}),
            SaidBy::Kernel => Who::Kernel(wire::Kernel {}),
            SaidBy::Icmp { icmp } => Who::Icmp(wire::IcmpError {
                r#type: icmp.icmp_type.into(),
                code: icmp.code.into(),
                from: icmp.from.to_string(),
            }),
        };
        Self { who: Some(who) }
    }
}

impl TryFrom<wire::SaidBy> for SaidBy {
    type Error = Invalid;

    fn try_from(said_by: wire::SaidBy) -> Result<Self, Invalid> {
        use wire::said_by::Who;
        Ok(match said_by.who.ok_or(Invalid::Missing("said_by"))? {
            Who::Rst(_) => Self::Rst,
            Who::Kernel(_) => Self::Kernel,
            Who::Icmp(icmp) => Self::Icmp {
                icmp: IcmpError {
                    icmp_type: byte("icmp.type", icmp.r#type)?,
                    code: byte("icmp.code", icmp.code)?,
                    from: address("icmp.from", &icmp.from)?,
                },
            },
        })
    }
}

fn byte(field: &'static str, number: u32) -> Result<u8, Invalid> {
    number
        .try_into()
        .map_err(|_| value(field, number, "number below 256"))
}

impl From<&Facts> for wire::observation::Facts {
    fn from(facts: &Facts) -> Self {
        match facts {
            Facts::Dns(dns) => Self::Dns(dns.into()),
            Facts::Tcp(tcp) => Self::Tcp(wire::TcpFacts {
                syn_retransmits: tcp.syn_retransmits.map(Into::into),
                round_trip_us: tcp.round_trip_ms.map(|micros| micros.0),
                hop: tcp.hop.map(Into::into),
                path_mtu: tcp.path_mtu,
            }),
            Facts::Tls(tls) => Self::Tls(tls.into()),
            Facts::Http(http) => Self::Http(http.into()),
        }
    }
}

impl TryFrom<wire::observation::Facts> for Facts {
    type Error = Invalid;

    fn try_from(facts: wire::observation::Facts) -> Result<Self, Invalid> {
        use wire::observation::Facts as Wire;
        Ok(match facts {
            Wire::Dns(dns) => Self::Dns(dns.try_into()?),
            Wire::Tcp(tcp) => Self::Tcp(TcpFacts {
                syn_retransmits: tcp
                    .syn_retransmits
                    .map(|n| byte("syn_retransmits", n))
                    .transpose()?,
                round_trip_ms: tcp
                    .round_trip_us
                    .map(|us| elapsed("round_trip_us", us))
                    .transpose()?,
                hop: tcp.hop.map(|n| byte("hop", n)).transpose()?,
                path_mtu: tcp.path_mtu,
            }),
            Wire::Tls(tls) => Self::Tls(tls.try_into()?),
            Wire::Http(http) => Self::Http(http.try_into()?),
        })
    }
}

impl From<&DnsFacts> for wire::DnsFacts {
    fn from(dns: &DnsFacts) -> Self {
        Self {
            resolver: text(dns.resolver),
            kind: wire::ResolverKind::from(dns.kind).into(),
            record_type: wire::RecordType::from(dns.record_type).into(),
            rcode: dns.rcode.map(Into::into),
            answers: dns
                .answers
                .iter()
                .map(|answer| wire::DnsAnswer {
                    address: answer.address.to_string(),
                    ttl_s: answer.ttl_s,
                })
                .collect(),
            cname_chain: dns.cname_chain.clone(),
        }
    }
}

impl TryFrom<wire::DnsFacts> for DnsFacts {
    type Error = Invalid;

    fn try_from(dns: wire::DnsFacts) -> Result<Self, Invalid> {
        at_most("dns.answers", dns.answers.len(), limits::DNS_ANSWERS)?;
        at_most(
            "dns.cname_chain",
            dns.cname_chain.len(),
            limits::CNAME_CHAIN,
        )?;
        let answer = |a: wire::DnsAnswer| {
            Ok(DnsAnswer {
                address: address("dns.answers", &a.address)?,
                ttl_s: a.ttl_s,
            })
        };
        let rcode = |n: u32| {
            n.try_into()
                .map_err(|_| value("dns.rcode", n, "response code"))
        };
        Ok(Self {
            resolver: optional_address("dns.resolver", &dns.resolver)?,
            kind: known(dns.kind)?,
            record_type: known(dns.record_type)?,
            rcode: dns.rcode.map(rcode).transpose()?,
            answers: dns
                .answers
                .into_iter()
                .map(answer)
                .collect::<Result<_, Invalid>>()?,
            cname_chain: dns
                .cname_chain
                .iter()
                .map(|name| plain_text(name, limits::HOST_NAME))
                .collect(),
        })
    }
}

impl From<&TlsFacts> for wire::TlsFacts {
    fn from(tls: &TlsFacts) -> Self {
        Self {
            version: tls.version.clone().unwrap_or_default(),
            alpn: tls.alpn.clone().unwrap_or_default(),
            server_name: tls.server_name.clone().unwrap_or_default(),
            certificates: tls.certificates.iter().map(Into::into).collect(),
            error: tls
                .error
                .map_or(0, |error| wire::CertificateError::from(error).into()),
            alert: tls.alert.map(Into::into),
        }
    }
}

impl TryFrom<wire::TlsFacts> for TlsFacts {
    type Error = Invalid;

    fn try_from(tls: wire::TlsFacts) -> Result<Self, Invalid> {
        at_most(
            "tls.certificates",
            tls.certificates.len(),
            limits::CERTIFICATES,
        )?;
        Ok(Self {
            version: nonempty(plain_text(&tls.version, limits::TEXT)),
            alpn: nonempty(plain_text(&tls.alpn, limits::TEXT)),
            server_name: nonempty(plain_text(&tls.server_name, limits::HOST_NAME)),
            certificates: tls
                .certificates
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            error: known_or_none(tls.error)?,
            alert: tls.alert.map(|n| byte("tls.alert", n)).transpose()?,
        })
    }
}

impl From<&Certificate> for wire::Certificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            sha256: certificate.sha256.clone(),
            subject: certificate.subject.clone(),
            names: certificate.names.clone(),
            issuer: certificate.issuer.clone(),
            not_before_s: certificate.not_before.0.div_euclid(1_000_000),
            not_after_s: certificate.not_after.0.div_euclid(1_000_000),
        }
    }
}

impl TryFrom<wire::Certificate> for Certificate {
    type Error = Invalid;

    fn try_from(certificate: wire::Certificate) -> Result<Self, Invalid> {
        at_most(
            "certificate.names",
            certificate.names.len(),
            limits::CERTIFICATE_NAMES,
        )?;
        let seconds = |field, s: i64| timestamp(field, s.saturating_mul(1_000_000));
        Ok(Self {
            sha256: plain_text(&certificate.sha256, 64),
            subject: plain_text(&certificate.subject, limits::TEXT),
            names: certificate
                .names
                .iter()
                .map(|name| plain_text(name, limits::HOST_NAME))
                .collect(),
            issuer: plain_text(&certificate.issuer, limits::TEXT),
            not_before: seconds("certificate.not_before_s", certificate.not_before_s)?,
            not_after: seconds("certificate.not_after_s", certificate.not_after_s)?,
        })
    }
}

impl From<&HttpFacts> for wire::HttpFacts {
    fn from(http: &HttpFacts) -> Self {
        let header = |h: &HttpHeader| wire::HttpHeader {
            name: h.name.clone(),
            value: h.value.clone(),
        };
        Self {
            version: http.version.clone(),
            status: http.status.into(),
            headers: http.headers.iter().map(header).collect(),
            location: http.location.clone().unwrap_or_default(),
            body_length: http.body_length,
            body_sha256: http.body_sha256.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::HttpFacts> for HttpFacts {
    type Error = Invalid;

    fn try_from(http: wire::HttpFacts) -> Result<Self, Invalid> {
        at_most("http.headers", http.headers.len(), limits::HTTP_HEADERS)?;
        let header = |h: wire::HttpHeader| HttpHeader {
            name: plain_text(&h.name, limits::TEXT),
            value: plain_text(&h.value, limits::TEXT),
        };
        Ok(Self {
            version: plain_text(&http.version, 16),
            status: http
                .status
                .try_into()
                .map_err(|_| value("http.status", http.status, "status code"))?,
            headers: http.headers.into_iter().map(header).collect(),
            location: nonempty(plain_text(&http.location, limits::TARGET_INPUT)),
            body_length: http.body_length.min(limits::HTTP_BODY as u64),
            body_sha256: nonempty(plain_text(&http.body_sha256, 64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateError, Purpose, RecordType, ResolverKind, Stage};

    fn observation(facts: Option<Facts>, said_by: Option<SaidBy>) -> Observation {
        Observation {
            check: "01JD0000000000000000000000".parse().unwrap(),
            request: 1,
            sequence: 2,
            vantage: "fra1".parse().unwrap(),
            purpose: Purpose::Target,
            stage: Stage::Tcp,
            host: "shop.example".into(),
            source: Some("198.18.4.2".parse().unwrap()),
            address: Some("2001:db8::1".parse().unwrap()),
            port: Some(443),
            family: Some(Family::V6),
            started_at: Timestamp(1_700_000_000_123_000),
            elapsed_ms: Micros(71_901),
            slot: 0,
            outcome: Outcome::Refused,
            said_by,
            detail: Some("connection refused".into()),
            facts,
        }
    }

    fn every_kind() -> Vec<Observation> {
        let icmp = IcmpError {
            icmp_type: 1,
            code: 4,
            from: "2001:db8::1".parse().unwrap(),
        };
        let certificate = Certificate {
            sha256: "ab".repeat(32),
            subject: "CN=shop.example".into(),
            names: vec!["shop.example".into()],
            issuer: "CN=CA".into(),
            not_before: Timestamp(1_600_000_000_000_000),
            not_after: Timestamp(1_800_000_000_000_000),
        };
        vec![
            observation(None, Some(SaidBy::Rst)),
            observation(None, Some(SaidBy::Kernel)),
            observation(
                Some(Facts::Tcp(TcpFacts {
                    syn_retransmits: Some(1),
                    round_trip_ms: Some(Micros(5)),
                    hop: Some(3),
                    path_mtu: Some(1_400),
                })),
                Some(SaidBy::Icmp { icmp }),
            ),
            observation(
                Some(Facts::Dns(DnsFacts {
                    resolver: Some("192.0.2.53".parse().unwrap()),
                    kind: ResolverKind::System,
                    record_type: RecordType::Aaaa,
                    rcode: Some(0),
                    answers: vec![DnsAnswer {
                        address: "2001:db8::1".parse().unwrap(),
                        ttl_s: 60,
                    }],
                    cname_chain: vec!["www.shop.example".into()],
                })),
                None,
            ),
            observation(
                Some(Facts::Tls(TlsFacts {
                    version: Some("TLSv1.3".into()),
                    certificates: vec![certificate],
                    error: Some(CertificateError::Expired),
                    alert: Some(42),
                    ..TlsFacts::default()
                })),
                None,
            ),
            observation(
                Some(Facts::Http(HttpFacts {
                    version: "HTTP/2".into(),
                    status: 503,
                    headers: vec![HttpHeader {
                        name: "server".into(),
                        value: "nginx".into(),
                    }],
                    location: None,
                    body_length: 12,
                    body_sha256: Some("cd".repeat(32)),
                })),
                None,
            ),
        ]
    }

    #[test]
    fn every_kind_survives_the_wire_and_json() {
        for observation in every_kind() {
            let wired = Observation::try_from(wire::Observation::from(&observation));
            assert_eq!(wired.as_ref(), Ok(&observation));
            let json = serde_json::to_string(&observation).unwrap();
            assert_eq!(
                serde_json::from_str::<Observation>(&json).unwrap(),
                observation,
                "{json}"
            );
        }
    }

    #[test]
    fn json_says_who_said_it_as_the_contract_writes_it() {
        let json = serde_json::to_value(&every_kind()[2]).unwrap();
        assert_eq!(json["by"], "icmp");
        assert_eq!(
            json["icmp"],
            serde_json::json!({"type": 1, "code": 4, "from": "2001:db8::1"})
        );
        assert_eq!(json["outcome"], "refused");
        assert_eq!(json["elapsed_ms"], 71.901);
        assert_eq!(serde_json::to_value(&every_kind()[0]).unwrap()["by"], "rst");
    }

    #[test]
    fn an_outcome_of_a_newer_probe_is_kept_and_counts_as_not_measured() {
        let mut wire = wire::Observation::from(&every_kind()[0]);
        wire.outcome = 97;
        let observation = Observation::try_from(wire).unwrap();
        assert_eq!(observation.outcome, Outcome::NotMeasured);
        assert_eq!(
            observation.detail.as_deref(),
            Some("outcome 97 of a newer probe (connection refused)")
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let mut wire = wire::Observation::from(&every_kind()[0]);
        wire.outcome = 0;
        assert_eq!(
            Observation::try_from(wire.clone()),
            Err(Invalid::Missing("outcome"))
        );
        wire.outcome = 1;
        wire.port = 70_000;
        assert!(
            Observation::try_from(wire)
                .unwrap_err()
                .to_string()
                .contains("port is `70000`")
        );
    }
}
