//! An observation as a driver writes it: what follows from the request may be left out.

use std::net::IpAddr;

use onlyhere_proto::{
    Certificate, CertificateError, CheckId, CheckRequest, DnsAnswer, DnsFacts, Facts, Family,
    HttpFacts, HttpHeader, IcmpError, Micros, Observation, Outcome, Purpose, RecordType,
    ResolverKind, SaidBy, Stage, TcpFacts, Timestamp, TlsFacts, VantageName, wire,
};
use serde::Deserialize;

/// One observation; what is left out is filled in from the request it answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObservationLine {
    pub(super) vantage: VantageName,
    pub(super) request: u32,
    pub(super) sequence: Option<u32>,
    stage: Stage,
    outcome: Outcome,
    elapsed_ms: Micros,
    address: Option<IpAddr>,
    by: Option<By>,
    icmp: Option<IcmpError>,
    facts: Option<FactsLine>,
    check: Option<CheckId>,
    purpose: Option<Purpose>,
    host: Option<String>,
    source: Option<IpAddr>,
    port: Option<u16>,
    family: Option<Family>,
    started_at: Option<Timestamp>,
    slot: Option<u32>,
    detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Rst,
    Icmp,
    Kernel,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FactsLine {
    Dns(DnsLine),
    Tcp(TcpLine),
    Tls(TlsLine),
    Http(HttpLine),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnsLine {
    record_type: RecordType,
    #[serde(default)]
    answers: Vec<AnswerLine>,
    kind: Option<ResolverKind>,
    resolver: Option<IpAddr>,
    rcode: Option<u16>,
    #[serde(default)]
    cname_chain: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a DNS answer is an address, or an object with address and ttl_s"
)]
enum AnswerLine {
    Address(IpAddr),
    Record(DnsAnswer),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpLine {
    syn_retransmits: Option<u8>,
    round_trip_ms: Option<Micros>,
    hop: Option<u8>,
    path_mtu: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsLine {
    version: Option<String>,
    alpn: Option<String>,
    server_name: Option<String>,
    #[serde(default)]
    certificates: Vec<CertificateLine>,
    error: Option<CertificateError>,
    alert: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateLine {
    sha256: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    not_before: Timestamp,
    not_after: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpLine {
    status: u16,
    version: Option<String>,
    #[serde(default)]
    headers: Vec<HttpHeader>,
    location: Option<String>,
    #[serde(default)]
    body_length: u64,
    body_sha256: Option<String>,
}

/// The end of the year 9999: of certificates whose last day does not matter.
const FAR_FUTURE: Timestamp = Timestamp(253_402_207_200_000_000);
/// Of DNS answers, where the driver does not say.
const TTL_S: u32 = 60;

impl ObservationLine {
    /// The whole observation; `sequence` and `now` stand in where the line does not say.
    pub(super) fn observation(
        self,
        request: &CheckRequest,
        sequence: u32,
        now: Timestamp,
    ) -> Result<Observation, String> {
        let place = format!("observation of {} request {}", self.vantage, self.request);
        let said_by = said_by(self.by, self.icmp).map_err(|why| format!("{place}: {why}"))?;
        let facts = self.facts.map(Facts::from);
        let started_at = self
            .started_at
            .unwrap_or(Timestamp(now.0.saturating_sub_unsigned(self.elapsed_ms.0)));
        let asks_port = !matches!(self.stage, Stage::Dns | Stage::Icmp);
        let observation = Observation {
            check: self.check.unwrap_or_else(|| request.check.clone()),
            request: self.request,
            sequence,
            vantage: self.vantage,
            purpose: self.purpose.unwrap_or(request.purpose),
            stage: self.stage,
            host: self.host.unwrap_or_else(|| request.target.host.to_string()),
            source: self.source,
            address: self.address,
            port: self.port.or(request.target.port.filter(|_| asks_port)),
            family: self.family,
            started_at,
            elapsed_ms: self.elapsed_ms,
            slot: self.slot.unwrap_or(request.slot),
            outcome: self.outcome,
            said_by,
            detail: self.detail,
            facts,
        };
        // What the network would refuse is refused here, and the family is worked out as there.
        Observation::try_from(wire::Observation::from(&observation))
            .map_err(|error| format!("{place}: {error}"))
    }
}

fn said_by(by: Option<By>, icmp: Option<IcmpError>) -> Result<Option<SaidBy>, &'static str> {
    match (by, icmp) {
        (None, None) => Ok(None),
        (Some(By::Rst), None) => Ok(Some(SaidBy::Rst)),
        (Some(By::Kernel), None) => Ok(Some(SaidBy::Kernel)),
        (Some(By::Icmp) | None, Some(icmp)) => Ok(Some(SaidBy::Icmp { icmp })),
        (Some(By::Icmp), None) => Err("by is icmp, and icmp {type, code, from} is missing"),
        (Some(By::Rst | By::Kernel), Some(_)) => Err("icmp is given, and by says another"),
    }
}

impl From<FactsLine> for Facts {
    fn from(line: FactsLine) -> Self {
        match line {
            FactsLine::Dns(dns) => Self::Dns(dns.into()),
            FactsLine::Tcp(tcp) => Self::Tcp(TcpFacts {
                syn_retransmits: tcp.syn_retransmits,
                round_trip_ms: tcp.round_trip_ms,
                hop: tcp.hop,
                path_mtu: tcp.path_mtu,
            }),
            FactsLine::Tls(tls) => Self::Tls(TlsFacts {
                version: tls.version,
                alpn: tls.alpn,
                server_name: tls.server_name,
                certificates: tls.certificates.into_iter().map(Into::into).collect(),
                error: tls.error,
                alert: tls.alert,
            }),
            FactsLine::Http(http) => Self::Http(HttpFacts {
                version: http.version.unwrap_or_else(|| "HTTP/1.1".to_owned()),
                status: http.status,
                headers: http.headers,
                location: http.location,
                body_length: http.body_length,
                body_sha256: http.body_sha256,
            }),
        }
    }
}

impl From<DnsLine> for DnsFacts {
    fn from(dns: DnsLine) -> Self {
        Self {
            resolver: dns.resolver,
            kind: dns.kind.unwrap_or(ResolverKind::System),
            record_type: dns.record_type,
            rcode: dns.rcode,
            answers: dns
                .answers
                .into_iter()
                .map(|answer| match answer {
                    AnswerLine::Address(address) => DnsAnswer {
                        address,
                        ttl_s: TTL_S,
                    },
                    AnswerLine::Record(record) => record,
                })
                .collect(),
            cname_chain: dns.cname_chain,
        }
    }
}

impl From<CertificateLine> for Certificate {
    fn from(line: CertificateLine) -> Self {
        Self {
            sha256: line.sha256,
            subject: line.subject,
            names: line.names,
            issuer: line.issuer,
            not_before: line.not_before,
            not_after: line.not_after.unwrap_or(FAR_FUTURE),
        }
    }
}
