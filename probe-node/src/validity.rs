//! How long a probe's certificate holds, and when it is renewed. Pure: the clock is handed in.

#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use onlyhere_proto::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// A fleet that joined together shall not renew together: a probe renews earlier by up to this part of the whole time.
const SPREAD: i64 = 12;

/// From when until when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment at which it does not hold any more.
    pub until: Timestamp,
}

impl Validity {
    /// Of a certificate; none when it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        let time = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000));
        Some(Self {
            from: time(validity.not_before.timestamp()),
            // RFC 5280, 4.1.2.5: the end is the last second of it.
            until: time(validity.not_after.timestamp() + 1),
        })
    }

    /// When to renew: two thirds through, or earlier by up to a twelfth. `dice` is from 0 to 1.
    pub fn renew_at(self, dice: f64) -> Timestamp {
        let whole = self.until.0.saturating_sub(self.from.0).max(0);
        let earlier = (whole / SPREAD) as f64 * dice.clamp(0.0, 1.0);
        Timestamp(self.from.0.saturating_add(whole / 3 * 2 - earlier as i64))
    }

    /// How long to wait after a renewal that failed: a twentieth of what is left, from a second to an hour.
    pub fn retry_after(self, now: Timestamp) -> Duration {
        let left = Duration::from_micros(self.until.0.saturating_sub(now.0).max(0) as u64);
        (left / 20).clamp(Duration::from_secs(1), Duration::from_secs(3_600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn week() -> Validity {
        Validity {
            from: Timestamp(0),
            until: Timestamp(12 * DAY),
        }
    }

    #[test]
    fn two_thirds_through_and_never_later() {
        assert_eq!(week().renew_at(0.0), Timestamp(8 * DAY));
        assert_eq!(week().renew_at(1.0), Timestamp(7 * DAY));
        assert_eq!(week().renew_at(9.0), Timestamp(7 * DAY));
    }

    #[test]
    fn the_nearer_the_end_the_sooner_it_is_tried_again() {
        let after = |now| week().retry_after(Timestamp(now)).as_secs();
        assert_eq!(after(8 * DAY), 3_600);
        assert_eq!(after(12 * DAY - 1_200_000_000), 60);
        assert_eq!(after(12 * DAY), 1);
        assert_eq!(after(13 * DAY), 1);
    }

    #[test]
    fn a_certificate_says_how_long_it_holds() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 8);
        let made = params.self_signed(&key).unwrap();
        let read = Validity::of(made.der()).unwrap();
        assert_eq!(read.until.0 - read.from.0, 7 * DAY + 1_000_000);
        assert_eq!(read.from.to_string(), "2026-01-01T00:00:00.000Z");
        assert_eq!(Validity::of(&CertificateDer::from(vec![1, 2])), None);
    }
}
