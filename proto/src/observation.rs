//! The observation: one stage, tried once, from one source address to one target address, with exactly one outcome.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CheckId, Micros, RecordType, Timestamp, VantageName, label::labelled};

labelled! {
    /// Why something was tried; the diagnosis weighs by purpose.
    Purpose ("purpose") {
        /// The target itself, for the first time.
        Target = "target",
        /// A site known to be healthy: is the vantage itself in order?
        Control = "control",
        /// The target again, in a later time slot.
        Retry = "retry",
        /// An address of the target that another vantage resolved.
        Address = "address",
        /// Because this vantage shares the subject's network.
        Sibling = "sibling",
        /// Another port of the target's host.
        OtherPort = "other_port",
        /// A TTL-limited attempt.
        Ladder = "ladder",
        /// Past a tunnel that carries the default route, or past a proxy that is set.
        Direct = "direct",
        /// Through a proxy that is set.
        ThroughProxy = "through_proxy",
        /// The name at another resolver.
        Resolver = "resolver",
        /// From another address of the same vantage.
        Source = "source",
        /// With small TCP segments.
        SmallSegments = "small_segments",
        /// The caller's public address at a DNS block list.
        BlockList = "block_list",
    }
}

labelled! {
    /// The layer that was tried.
    Stage ("stage") {
        /// A question to a resolver.
        Dns = "dns",
        /// A TCP connection.
        Tcp = "tcp",
        /// A TLS handshake.
        Tls = "tls",
        /// An HTTP exchange.
        Http = "http",
        /// An ICMP echo request.
        Icmp = "icmp",
    }
}

labelled! {
    /// What came of it.
    Outcome ("outcome") {
        /// It worked. For HTTP: any status below 400.
        Ok = "ok",
        /// TCP: RST to the SYN, or ICMP port-unreachable. DNS: response code REFUSED.
        Refused = "refused",
        /// No answer within the attempt's time.
        Timeout = "timeout",
        /// The connection was opened, then reset.
        Reset = "reset",
        /// ICMP net- or host-unreachable, or no route here.
        Unreachable = "unreachable",
        /// Prohibited by an administrator: ICMP 3/9, 3/10, 3/13, ICMPv6 1/1, or this machine's own rule.
        Denied = "denied",
        /// The name does not exist.
        Nxdomain = "nxdomain",
        /// The resolver failed.
        Servfail = "servfail",
        /// The name exists without a record of the type asked.
        NoAnswer = "no_answer",
        /// The certificate does not verify.
        BadCertificate = "bad_certificate",
        /// The peer ended the handshake with an alert, or does not speak TLS.
        TlsAlert = "tls_alert",
        /// An HTTP status of 400 or more.
        HttpStatus = "http_status",
        /// The peer closed the connection before it answered.
        Closed = "closed",
        /// Our own failure; never counted against the target.
        NotMeasured = "not_measured",
    }
}

labelled! {
    /// Whose resolver answered.
    ResolverKind ("resolver kind") {
        /// One of the system's.
        System = "system",
        /// One that was given.
        Configured = "configured",
        /// One of the zone's own servers.
        Authoritative = "authoritative",
        /// No resolver: the hosts file.
        HostsFile = "hosts_file",
    }
}

labelled! {
    /// Why a certificate did not verify.
    CertificateError ("certificate error") {
        /// After its last day.
        Expired = "expired",
        /// Before its first day.
        NotYetValid = "not_yet_valid",
        /// For other names.
        NameMismatch = "name_mismatch",
        /// Signed by nobody this machine trusts (also: by itself).
        UnknownIssuer = "unknown_issuer",
        /// Withdrawn by its issuer.
        Revoked = "revoked",
        /// The signature does not fit.
        BadSignature = "bad_signature",
        /// Any other reason.
        Other = "other",
    }
}

labelled! {
    /// IP family.
    Family ("family") {
        /// IPv4.
        V4 = "ipv4",
        /// IPv6.
        V6 = "ipv6",
    }
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// Who said that the attempt failed, where the kernel tells (the socket's error queue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum SaidBy {
    /// A TCP reset by the peer, or by somebody in its name.
    Rst,
    /// An ICMP error; whoever sent it need not be the target.
    Icmp {
        /// The error itself.
        icmp: IcmpError,
    },
    /// This machine's own kernel, without a packet from anyone.
    Kernel,
}

/// An ICMP or ICMPv6 error message (RFC 792, RFC 4443); the family is that of `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct IcmpError {
    /// ICMP type.
    #[serde(rename = "type")]
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// Who sent it.
    #[schemars(with = "String")]
    pub from: IpAddr,
}

/// One stage, tried once, with exactly one outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// The check it belongs to.
    pub check: CheckId,
    /// The request it answers; unique within check and vantage.
    pub request: u32,
    /// Number within the request, from 0.
    pub sequence: u32,
    /// Set by the coordinator from the connection, never by the vantage.
    pub vantage: VantageName,
    /// Why it was tried.
    pub purpose: Purpose,
    /// The layer that was tried.
    pub stage: Stage,
    /// The host that was tried: the target's, or a control's.
    pub host: String,
    /// The local address it was tried from.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub source: Option<IpAddr>,
    /// The address that was tried; for DNS none.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// The port that was tried.
    #[serde(default)]
    pub port: Option<u16>,
    /// Family of the address; for DNS that of the record type.
    #[serde(default)]
    pub family: Option<Family>,
    /// On the vantage's own clock.
    pub started_at: Timestamp,
    /// Monotonic; of this stage alone.
    pub elapsed_ms: Micros,
    /// Two observations in one slot say nothing about intermittence.
    pub slot: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Who said so.
    #[serde(flatten)]
    pub said_by: Option<SaidBy>,
    /// For people: the raw error, or why it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What else was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
}

/// What a stage learned besides its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    /// Of a DNS question.
    Dns(DnsFacts),
    /// Of a TCP connection.
    Tcp(TcpFacts),
    /// Of a TLS handshake.
    Tls(TlsFacts),
    /// Of an HTTP exchange.
    Http(HttpFacts),
}

/// One address of a DNS answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsAnswer {
    /// The address.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// Time to live, seconds.
    pub ttl_s: u32,
}

/// What a resolver said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsFacts {
    /// Who was asked; none for the hosts file.
    #[schemars(with = "Option<String>")]
    pub resolver: Option<IpAddr>,
    /// Whose resolver it is.
    pub kind: ResolverKind,
    /// What was asked for.
    pub record_type: RecordType,
    /// Response code (RFC 6895), when there was a response.
    pub rcode: Option<u16>,
    /// Addresses, in the order given.
    pub answers: Vec<DnsAnswer>,
    /// Names passed through, the last one holding the addresses.
    pub cname_chain: Vec<String>,
}

/// What the kernel tells of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TcpFacts {
    /// SYNs sent again; more than 0 is loss, not distance.
    pub syn_retransmits: Option<u8>,
    /// The kernel's smoothed round trip of the handshake.
    pub round_trip_ms: Option<Micros>,
    /// Time to live of the SYN, when it was limited: a rung of the ladder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<u8>,
    /// The path's MTU as the kernel knows it, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u32>,
}

/// One certificate as presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// SHA-256 of the DER form, hexadecimal.
    pub sha256: String,
    /// Distinguished name.
    pub subject: String,
    /// DNS names and addresses it is for.
    pub names: Vec<String>,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

/// What a TLS handshake showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// Application protocol agreed.
    pub alpn: Option<String>,
    /// Server name sent.
    pub server_name: Option<String>,
    /// The chain as presented, the server's own first.
    pub certificates: Vec<Certificate>,
    /// Why the chain did not verify.
    pub error: Option<CertificateError>,
    /// Alert description (RFC 8446, 6) when the peer sent one.
    pub alert: Option<u8>,
}

/// One HTTP header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpHeader {
    /// Lower-case name.
    pub name: String,
    /// Value, control characters replaced.
    pub value: String,
}

/// What an HTTP exchange showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpFacts {
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// A few headers (server, location, retry-after, via, and such as name a firewall).
    pub headers: Vec<HttpHeader>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// Bytes read, at most 64 KiB.
    pub body_length: u64,
    /// SHA-256 of those, hexadecimal.
    pub body_sha256: Option<String>,
}
