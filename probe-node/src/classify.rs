//! The one place where a raw error becomes an outcome.
//!
//! An errno alone says little: `ECONNREFUSED` is a reset as well as an ICMP port-unreachable. What decides is the error
//! queue ([`crate::kernel`]): an ICMP error there names its type, code and sender; with an empty queue a refusal was a
//! reset, and anything else was said by this machine's own kernel without a packet from anyone.

use std::{error::Error as _, io};

use nix::errno::Errno;
use onlyhere_proto::{CertificateError, IcmpError, Outcome, SaidBy};

use crate::kernel::QueuedError;

/// What came of an attempt that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) said_by: Option<SaidBy>,
    pub(crate) detail: Option<String>,
}

impl Failure {
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            said_by: None,
            detail: None,
        }
    }

    /// Our own failure, which never counts against the target.
    pub(crate) fn not_measured(why: impl Into<String>) -> Self {
        Self::of(Outcome::NotMeasured).because(why)
    }

    pub(crate) fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn by(mut self, said_by: SaidBy) -> Self {
        self.said_by = Some(said_by);
        self
    }
}

/// An error of a socket that was not connected yet (TCP), or never is (UDP, ICMP).
pub(crate) fn unconnected(error: &io::Error, queued: Option<QueuedError>) -> Failure {
    match queued {
        Some(QueuedError {
            icmp: Some(icmp), ..
        }) => by_icmp(icmp),
        Some(QueuedError { errno, icmp: None }) => by_kernel(Errno::from_raw(errno)),
        None => match errno_of(error) {
            Some(Errno::ECONNREFUSED) => Failure::of(Outcome::Refused).by(SaidBy::Rst),
            Some(Errno::ECONNRESET | Errno::ECONNABORTED) => {
                Failure::of(Outcome::Reset).by(SaidBy::Rst)
            }
            Some(Errno::ETIMEDOUT) => Failure::of(Outcome::Timeout),
            Some(errno) => by_kernel(errno),
            None => Failure::not_measured(error.to_string()),
        },
    }
}

/// ICMP: RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1; ICMPv6: RFC 4443 3.1. The family is that of the sender.
pub(crate) fn by_icmp(icmp: IcmpError) -> Failure {
    let outcome = match (icmp.from.is_ipv4(), icmp.icmp_type, icmp.code) {
        (true, 3, 3) | (false, 1, 4) => Outcome::Refused,
        (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => Outcome::Denied,
        _ => Outcome::Unreachable,
    };
    let protocol = if icmp.from.is_ipv4() {
        "ICMP"
    } else {
        "ICMPv6"
    };
    let name = icmp_name(icmp)
        .map(|name| format!(" {name}"))
        .unwrap_or_default();
    Failure::of(outcome)
        .by(SaidBy::Icmp { icmp })
        .because(format!(
            "{protocol}{name} ({}/{}) from {}",
            icmp.icmp_type, icmp.code, icmp.from
        ))
}

fn icmp_name(icmp: IcmpError) -> Option<&'static str> {
    Some(match (icmp.from.is_ipv4(), icmp.icmp_type, icmp.code) {
        (true, 3, 0) => "network unreachable",
        (true, 3, 1) => "host unreachable",
        (true, 3, 2) => "protocol unreachable",
        (true, 3, 3) | (false, 1, 4) => "port unreachable",
        (true, 3, 9) => "network prohibited",
        (true, 3, 10) => "host prohibited",
        (true, 3, 13) | (false, 1, 1) => "administratively prohibited",
        (true, 11, _) | (false, 3, _) => "time exceeded",
        (false, 1, 0) => "no route",
        (false, 1, 2) => "beyond scope of source",
        (false, 1, 3) => "address unreachable",
        (false, 1, 5) => "failed policy",
        (false, 1, 6) => "rejected route",
        (false, 2, _) => "packet too big",
        _ => return None,
    })
}

/// What this machine's kernel says of itself, without a packet from anyone.
fn by_kernel(errno: Errno) -> Failure {
    let outcome = match errno {
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN => {
            Outcome::Unreachable
        }
        // `EINVAL` is what a blackhole route answers.
        Errno::EPERM | Errno::EACCES | Errno::EINVAL => Outcome::Denied,
        Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL => {
            return Failure::not_measured(format!(
                "this machine has no address to try it from ({errno})"
            ));
        }
        _ => return Failure::not_measured(format!("this machine's own failure: {errno}")),
    };
    Failure::of(outcome)
        .by(SaidBy::Kernel)
        .because(format!("{}, says this machine's own kernel", errno.desc()))
}

/// An error on a connection that stands.
pub(crate) fn connected(error: &io::Error) -> Failure {
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return handshake(tls).0;
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Failure::of(Outcome::Closed);
    }
    match errno_of(error) {
        Some(Errno::ECONNRESET | Errno::ECONNABORTED) => {
            Failure::of(Outcome::Reset).by(SaidBy::Rst)
        }
        Some(Errno::EPIPE) => Failure::of(Outcome::Closed),
        Some(Errno::ETIMEDOUT) => Failure::of(Outcome::Timeout),
        Some(errno) => by_kernel(errno),
        None if error.kind() == io::ErrorKind::BrokenPipe => Failure::of(Outcome::Closed),
        None if error.kind() == io::ErrorKind::ConnectionReset => {
            Failure::of(Outcome::Reset).by(SaidBy::Rst)
        }
        None => Failure::of(Outcome::Closed).because(error.to_string()),
    }
}

/// A TLS error, and the alert (RFC 8446, 6) if the peer sent one.
pub(crate) fn handshake(error: &rustls::Error) -> (Failure, Option<u8>) {
    use rustls::Error as Tls;
    match error {
        Tls::AlertReceived(alert) => (
            Failure::of(Outcome::TlsAlert).because(format!("the server sent the alert {alert:?}")),
            Some(u8::from(*alert)),
        ),
        Tls::InvalidMessage(_) => (
            Failure::of(Outcome::TlsAlert).because("what answers there does not speak TLS"),
            None,
        ),
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => (
            Failure::of(Outcome::BadCertificate).because(error.to_string()),
            None,
        ),
        Tls::FailedToGetCurrentTime
        | Tls::FailedToGetRandomBytes
        | Tls::UnsupportedNameType
        | Tls::General(_) => (Failure::not_measured(error.to_string()), None),
        other => (
            Failure::of(Outcome::TlsAlert).because(other.to_string()),
            None,
        ),
    }
}

/// Why a chain did not verify.
pub(crate) fn certificate(error: &rustls::Error) -> CertificateError {
    use rustls::CertificateError as Tls;
    let rustls::Error::InvalidCertificate(error) = error else {
        return CertificateError::Other;
    };
    match error {
        Tls::Expired | Tls::ExpiredContext { .. } => CertificateError::Expired,
        Tls::NotValidYet | Tls::NotValidYetContext { .. } => CertificateError::NotYetValid,
        Tls::NotValidForName | Tls::NotValidForNameContext { .. } => CertificateError::NameMismatch,
        Tls::UnknownIssuer => CertificateError::UnknownIssuer,
        Tls::Revoked => CertificateError::Revoked,
        Tls::BadSignature => CertificateError::BadSignature,
        // A certificate that signs itself without being an authority: no chain leads to anybody who is trusted.
        Tls::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            CertificateError::UnknownIssuer
        }
        _ => CertificateError::Other,
    }
}

/// An HTTP exchange that broke off.
pub(crate) fn exchange(error: &hyper::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return connected(io);
        }
        source = cause.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Failure::of(Outcome::Closed).because("the connection ended before the answer did");
    }
    if error.is_parse() {
        return Failure::of(Outcome::Closed)
            .because(format!("what answers there does not speak HTTP: {error}"));
    }
    Failure::of(Outcome::Closed).because(match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

/// A DNS response code (RFC 6895) and whether addresses came with it.
pub(crate) fn response_code(rcode: u16, answered: bool) -> Outcome {
    match rcode {
        0 if answered => Outcome::Ok,
        0 => Outcome::NoAnswer,
        3 => Outcome::Nxdomain,
        5 => Outcome::Refused,
        _ => Outcome::Servfail,
    }
}

fn errno_of(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn icmp(from: &str, icmp_type: u8, code: u8) -> IcmpError {
        let from: IpAddr = from.parse().unwrap();
        IcmpError {
            icmp_type,
            code,
            from,
        }
    }

    #[test]
    fn every_way_a_connect_can_fail() {
        let queue = |errno: Errno, icmp: IcmpError| {
            Some(QueuedError {
                errno: errno as i32,
                icmp: Some(icmp),
            })
        };
        let v4 = |t, c| icmp("192.0.2.1", t, c);
        let v6 = |t, c| icmp("2001:db8::1", t, c);
        // errno, error queue -> outcome; the order of the measured table of what far sides do.
        for (errno, queued, outcome, by_icmp, by_kernel) in [
            (Errno::ECONNREFUSED, None, Outcome::Refused, false, false),
            (
                Errno::ECONNREFUSED,
                queue(Errno::ECONNREFUSED, v4(3, 3)),
                Outcome::Refused,
                true,
                false,
            ),
            (
                Errno::EHOSTUNREACH,
                queue(Errno::EHOSTUNREACH, v4(3, 13)),
                Outcome::Denied,
                true,
                false,
            ),
            (
                Errno::EHOSTUNREACH,
                queue(Errno::EHOSTUNREACH, v4(3, 10)),
                Outcome::Denied,
                true,
                false,
            ),
            (
                Errno::EHOSTUNREACH,
                queue(Errno::EHOSTUNREACH, v4(3, 9)),
                Outcome::Denied,
                true,
                false,
            ),
            (
                Errno::EHOSTUNREACH,
                queue(Errno::EHOSTUNREACH, v4(3, 1)),
                Outcome::Unreachable,
                true,
                false,
            ),
            (
                Errno::ENETUNREACH,
                queue(Errno::ENETUNREACH, v4(3, 0)),
                Outcome::Unreachable,
                true,
                false,
            ),
            (
                Errno::ENOPROTOOPT,
                queue(Errno::ENOPROTOOPT, v4(3, 2)),
                Outcome::Unreachable,
                true,
                false,
            ),
            (
                Errno::EHOSTUNREACH,
                queue(Errno::EHOSTUNREACH, v4(11, 0)),
                Outcome::Unreachable,
                true,
                false,
            ),
            (
                Errno::ECONNREFUSED,
                queue(Errno::ECONNREFUSED, v6(1, 4)),
                Outcome::Refused,
                true,
                false,
            ),
            (
                Errno::EACCES,
                queue(Errno::EACCES, v6(1, 1)),
                Outcome::Denied,
                true,
                false,
            ),
            (
                Errno::EACCES,
                queue(Errno::EACCES, v6(1, 5)),
                Outcome::Denied,
                true,
                false,
            ),
            (
                Errno::EHOSTUNREACH,
                queue(Errno::EHOSTUNREACH, v6(1, 3)),
                Outcome::Unreachable,
                true,
                false,
            ),
            (
                Errno::ENETUNREACH,
                queue(Errno::ENETUNREACH, v6(1, 0)),
                Outcome::Unreachable,
                true,
                false,
            ),
            (Errno::EACCES, None, Outcome::Denied, false, true),
            (Errno::EPERM, None, Outcome::Denied, false, true),
            (Errno::EINVAL, None, Outcome::Denied, false, true),
            (Errno::ENETUNREACH, None, Outcome::Unreachable, false, true),
            (Errno::EHOSTUNREACH, None, Outcome::Unreachable, false, true),
            (Errno::ETIMEDOUT, None, Outcome::Timeout, false, false),
            (Errno::ECONNRESET, None, Outcome::Reset, false, false),
            (
                Errno::EADDRNOTAVAIL,
                None,
                Outcome::NotMeasured,
                false,
                false,
            ),
            (
                Errno::EAFNOSUPPORT,
                None,
                Outcome::NotMeasured,
                false,
                false,
            ),
            (Errno::EMFILE, None, Outcome::NotMeasured, false, false),
            (Errno::ENOBUFS, None, Outcome::NotMeasured, false, false),
        ] {
            let failure = unconnected(&io::Error::from_raw_os_error(errno as i32), queued);
            assert_eq!(failure.outcome, outcome, "{errno} {queued:?}");
            assert_eq!(
                matches!(failure.said_by, Some(SaidBy::Icmp { .. })),
                by_icmp,
                "{errno}"
            );
            assert_eq!(
                failure.said_by == Some(SaidBy::Kernel),
                by_kernel,
                "{errno}"
            );
        }
    }

    #[test]
    fn a_refusal_without_icmp_is_a_reset_and_one_with_it_names_the_sender() {
        let refused = io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32);
        assert_eq!(unconnected(&refused, None).said_by, Some(SaidBy::Rst));
        let queued = QueuedError {
            errno: Errno::ECONNREFUSED as i32,
            icmp: Some(icmp("192.0.2.7", 3, 3)),
        };
        let failure = unconnected(&refused, Some(queued));
        assert_eq!(
            failure.detail.unwrap(),
            "ICMP port unreachable (3/3) from 192.0.2.7"
        );
    }

    #[test]
    fn every_way_a_standing_connection_can_fail() {
        let raw = |errno: Errno| io::Error::from_raw_os_error(errno as i32);
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        for (error, outcome) in [
            (raw(Errno::ECONNRESET), Outcome::Reset),
            (raw(Errno::EPIPE), Outcome::Closed),
            (raw(Errno::ETIMEDOUT), Outcome::Timeout),
            (raw(Errno::EHOSTUNREACH), Outcome::Unreachable),
            (raw(Errno::ENOMEM), Outcome::NotMeasured),
            (
                io::Error::from(io::ErrorKind::UnexpectedEof),
                Outcome::Closed,
            ),
            (tls(alert), Outcome::TlsAlert),
            (
                tls(rustls::Error::InvalidMessage(
                    rustls::InvalidMessage::InvalidContentType,
                )),
                Outcome::TlsAlert,
            ),
            (
                tls(rustls::Error::PeerIncompatible(
                    rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13,
                )),
                Outcome::TlsAlert,
            ),
            (
                tls(rustls::Error::FailedToGetRandomBytes),
                Outcome::NotMeasured,
            ),
        ] {
            assert_eq!(connected(&error).outcome, outcome, "{error}");
        }
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName);
        assert_eq!(handshake(&alert).1, Some(112));
    }

    #[test]
    fn every_reason_against_a_certificate() {
        use rustls::CertificateError as Tls;
        for (error, reason) in [
            (Tls::Expired, CertificateError::Expired),
            (Tls::NotValidYet, CertificateError::NotYetValid),
            (Tls::NotValidForName, CertificateError::NameMismatch),
            (Tls::UnknownIssuer, CertificateError::UnknownIssuer),
            (Tls::Revoked, CertificateError::Revoked),
            (Tls::BadSignature, CertificateError::BadSignature),
            (Tls::InvalidPurpose, CertificateError::Other),
            (Tls::BadEncoding, CertificateError::Other),
        ] {
            assert_eq!(
                certificate(&rustls::Error::InvalidCertificate(error)),
                reason
            );
        }
    }

    #[test]
    fn every_response_code_that_matters() {
        for (rcode, answered, outcome) in [
            (0, true, Outcome::Ok),
            (0, false, Outcome::NoAnswer),
            (1, false, Outcome::Servfail),
            (2, false, Outcome::Servfail),
            (3, false, Outcome::Nxdomain),
            (4, false, Outcome::Servfail),
            (5, false, Outcome::Refused),
            (9, false, Outcome::Servfail),
        ] {
            assert_eq!(response_code(rcode, answered), outcome, "{rcode}");
        }
    }
}
