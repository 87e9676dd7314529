//! The rows of the likelihood table: what an affected vantage meets, and where that is made.

use crate::likelihood::Row;
use crate::sign::{Kind, Place};

/// Everything in order.
pub(crate) const HEALTHY: Row = Row::new(&[(Kind::Ok, 1.0)], &[]);

/// The server's kernel has nobody listening.
pub(crate) const RESET_BY_SERVER: Row = Row::new(
    &[(Kind::Rst, 1.0)],
    &[(Place::Server, 0.97), (Place::Edge, 0.03)],
);
/// A rule on the server or before it.
pub(crate) const PORT_UNREACHABLE_BY_SERVER: Row = Row::new(
    &[(Kind::PortUnreachable, 1.0)],
    &[(Place::Server, 0.9), (Place::Edge, 0.1)],
);
/// A rule on the server or before it.
pub(crate) const PROHIBITED_BY_SERVER: Row = Row::new(
    &[(Kind::Prohibited, 1.0)],
    &[(Place::Server, 0.8), (Place::Edge, 0.2)],
);
/// The last router finds no host.
pub(crate) const UNREACHABLE_AT_EDGE: Row = Row::new(
    &[(Kind::Unreachable, 0.7), (Kind::Timeout, 0.3)],
    &[
        (Place::Edge, 0.65),
        (Place::Middle, 0.3),
        (Place::Server, 0.05),
    ],
);
/// Silence.
pub(crate) const SILENCE: Row = Row::new(&[(Kind::Timeout, 1.0)], &[]);
/// Somebody on the way resets.
pub(crate) const RESET_ON_THE_WAY: Row = Row::new(
    &[(Kind::Rst, 0.85), (Kind::Reset, 0.15)],
    &[
        (Place::Middle, 0.9),
        (Place::Near, 0.05),
        (Place::Edge, 0.05),
    ],
);
/// Somebody on the way says no.
pub(crate) const PROHIBITED_ON_THE_WAY: Row = Row::new(
    &[(Kind::Prohibited, 0.75), (Kind::PortUnreachable, 0.25)],
    &[
        (Place::Middle, 0.92),
        (Place::Near, 0.03),
        (Place::Edge, 0.05),
    ],
);
/// A router on the way knows no route.
pub(crate) const NO_ROUTE_ON_THE_WAY: Row = Row::new(
    &[(Kind::Unreachable, 1.0)],
    &[
        (Place::Middle, 0.9),
        (Place::Near, 0.05),
        (Place::Edge, 0.05),
    ],
);
/// The own machine refuses.
pub(crate) const REJECTED_BY_OWN_MACHINE: Row = Row::new(
    &[
        (Kind::Rst, 0.4),
        (Kind::PortUnreachable, 0.35),
        (Kind::Prohibited, 0.25),
    ],
    &[(Place::Own, 1.0)],
);
/// The own network refuses.
pub(crate) const REJECTED_BY_OWN_NETWORK: Row = Row::new(
    &[
        (Kind::Rst, 0.4),
        (Kind::PortUnreachable, 0.3),
        (Kind::Prohibited, 0.3),
    ],
    &[(Place::Near, 0.97), (Place::Middle, 0.03)],
);
/// No packet leaves the place.
pub(crate) const OFFLINE: Row = Row::new(
    &[(Kind::Timeout, 0.55), (Kind::Unreachable, 0.45)],
    &[(Place::Near, 0.5), (Place::Own, 0.4), (Place::Middle, 0.1)],
);
/// One family leads nowhere from here.
pub(crate) const FAMILY_LEADS_NOWHERE: Row = Row::new(
    &[(Kind::Timeout, 0.65), (Kind::Unreachable, 0.35)],
    &[(Place::Near, 0.5), (Place::Own, 0.2), (Place::Middle, 0.3)],
);
/// What an address answers that a lying resolver gave: a block page, a sinkhole, nothing.
pub(crate) const LIED: Row = Row::new(
    &[
        (Kind::Timeout, 0.22),
        (Kind::Rst, 0.2),
        (Kind::TlsName, 0.2),
        (Kind::TlsUntrusted, 0.2),
        (Kind::TlsOther, 0.04),
        (Kind::Unreachable, 0.05),
        (Kind::HttpDenied, 0.04),
        (Kind::HttpOther, 0.02),
        (Kind::Ok, 0.03),
    ],
    &[
        (Place::Own, 0.2),
        (Place::Near, 0.2),
        (Place::Middle, 0.3),
        (Place::Server, 0.3),
    ],
);
/// The provider breaks connections to a name.
pub(crate) const KILLED_ON_THE_WAY: Row =
    Row::new(&[(Kind::Reset, 0.85), (Kind::Stalled, 0.15)], &[]);
/// What a tunnel's far end meets that the target does not want.
pub(crate) const EXIT_UNWANTED: Row = Row::new(
    &[
        (Kind::Timeout, 0.4),
        (Kind::Rst, 0.2),
        (Kind::Reset, 0.1),
        (Kind::Unreachable, 0.1),
        (Kind::PortUnreachable, 0.05),
        (Kind::Prohibited, 0.05),
        (Kind::HttpDenied, 0.1),
    ],
    &[
        (Place::Middle, 0.4),
        (Place::Server, 0.4),
        (Place::Edge, 0.2),
    ],
);
/// One of a CDN's edges fails.
pub(crate) const EDGE_FAILS: Row = Row::new(
    &[
        (Kind::Timeout, 0.5),
        (Kind::Rst, 0.2),
        (Kind::HttpServer, 0.25),
        (Kind::Reset, 0.05),
    ],
    &[(Place::Server, 0.7), (Place::Edge, 0.3)],
);
/// A rule that answers so many a second, and is silent to the rest.
pub(crate) const REJECTED_NOW_AND_THEN: Row = Row::new(
    &[
        (Kind::PortUnreachable, 0.45),
        (Kind::Prohibited, 0.2),
        (Kind::Timeout, 0.35),
    ],
    &[(Place::Server, 0.9), (Place::Edge, 0.1)],
);
/// A web shield that does not let TLS through.
pub(crate) const SHIELDED: Row = Row::new(
    &[
        (Kind::Reset, 0.5),
        (Kind::TlsOther, 0.35),
        (Kind::Stalled, 0.15),
    ],
    &[],
);
/// The connection opens and dies.
pub(crate) const KILLED: Row = Row::new(&[(Kind::Reset, 1.0)], &[]);
/// The handshake is swallowed: full-size packets do not come through.
pub(crate) const SWALLOWED: Row = Row::new(&[(Kind::Stalled, 0.9), (Kind::Reset, 0.1)], &[]);
/// A certificate out of its days.
pub(crate) const EXPIRED: Row = Row::new(&[(Kind::TlsExpired, 1.0)], &[]);
/// A certificate for another name.
pub(crate) const WRONG_NAME: Row = Row::new(&[(Kind::TlsName, 1.0)], &[]);
/// A certificate nobody signed.
pub(crate) const UNTRUSTED: Row = Row::new(&[(Kind::TlsUntrusted, 1.0)], &[]);
/// Somebody else's certificate.
pub(crate) const INTERCEPTED: Row = Row::new(
    &[
        (Kind::TlsUntrusted, 0.85),
        (Kind::TlsName, 0.08),
        (Kind::TlsOther, 0.07),
    ],
    &[],
);
/// A portal in place of the site.
pub(crate) const PORTAL: Row = Row::new(
    &[
        (Kind::TlsName, 0.4),
        (Kind::TlsUntrusted, 0.3),
        (Kind::Timeout, 0.15),
        (Kind::Rst, 0.15),
    ],
    &[(Place::Near, 0.9), (Place::Middle, 0.1)],
);
/// The handshake fails otherwise.
pub(crate) const HANDSHAKE_FAILS: Row = Row::new(&[(Kind::TlsOther, 0.8), (Kind::Reset, 0.2)], &[]);
/// The application fails.
pub(crate) const SERVER_ERROR: Row = Row::new(&[(Kind::HttpServer, 1.0)], &[]);
/// The page is not there, or not for everybody.
pub(crate) const CLIENT_ERROR: Row = Row::new(
    &[
        (Kind::HttpOther, 0.54),
        (Kind::HttpDenied, 0.42),
        (Kind::HttpUnlawful, 0.01),
        (Kind::HttpLimited, 0.03),
    ],
    &[],
);
/// A web application firewall does not want this caller.
pub(crate) const DENIED_BY_WAF: Row = Row::new(
    &[
        (Kind::HttpDenied, 0.71),
        (Kind::HttpUnlawful, 0.01),
        (Kind::HttpLimited, 0.06),
        (Kind::HttpServer, 0.12),
        (Kind::Reset, 0.07),
        (Kind::HttpOther, 0.03),
    ],
    &[],
);
/// The same, of datacenters as such.
pub(crate) const DATACENTERS_DENIED: Row = Row::new(
    &[
        (Kind::HttpDenied, 0.50),
        (Kind::HttpLimited, 0.12),
        (Kind::Timeout, 0.05),
        (Kind::Reset, 0.18),
        (Kind::Rst, 0.09),
        (Kind::HttpServer, 0.06),
    ],
    &[(Place::Server, 0.6), (Place::Edge, 0.4)],
);
/// An address of somebody's inside network, tried from outside it.
pub(crate) const LEADS_INSIDE: Row = Row::new(
    &[
        (Kind::Timeout, 0.5),
        (Kind::Rst, 0.2),
        (Kind::Unreachable, 0.2),
        (Kind::TlsName, 0.05),
        (Kind::TlsUntrusted, 0.03),
        (Kind::Ok, 0.02),
    ],
    &[
        (Place::Server, 0.5),
        (Place::Near, 0.3),
        (Place::Middle, 0.2),
    ],
);
/// Too many requests.
pub(crate) const LIMITED: Row =
    Row::new(&[(Kind::HttpLimited, 0.95), (Kind::HttpServer, 0.05)], &[]);
/// A site that is not for this country.
pub(crate) const GEO_DENIED: Row = Row::new(
    &[
        (Kind::HttpDenied, 0.25),
        (Kind::HttpUnlawful, 0.15),
        (Kind::Timeout, 0.4),
        (Kind::Rst, 0.1),
        (Kind::Reset, 0.1),
    ],
    &[(Place::Server, 0.6), (Place::Edge, 0.4)],
);
/// The same, said in so many words.
pub(crate) const GEO_PAGE: Row =
    Row::new(&[(Kind::HttpDenied, 0.65), (Kind::HttpUnlawful, 0.35)], &[]);
/// A server out of breath.
pub(crate) const OVERLOAD: Row = Row::new(
    &[
        (Kind::Timeout, 0.42),
        (Kind::Stalled, 0.16),
        (Kind::HttpServer, 0.25),
        (Kind::Reset, 0.15),
        (Kind::Rst, 0.02),
    ],
    &[],
);
/// Anything.
pub(crate) const ANYTHING: Row = Row::new(
    &[
        (Kind::Ok, 0.3),
        (Kind::Timeout, 0.18),
        (Kind::Stalled, 0.04),
        (Kind::Rst, 0.13),
        (Kind::Unreachable, 0.05),
        (Kind::Prohibited, 0.03),
        (Kind::PortUnreachable, 0.03),
        (Kind::Reset, 0.08),
        (Kind::TlsOther, 0.03),
        (Kind::TlsName, 0.02),
        (Kind::TlsUntrusted, 0.02),
        (Kind::TlsExpired, 0.01),
        (Kind::HttpServer, 0.04),
        (Kind::HttpDenied, 0.02),
        (Kind::HttpLimited, 0.01),
        (Kind::HttpOther, 0.01),
    ],
    &[
        (Place::Own, 0.2),
        (Place::Near, 0.2),
        (Place::Middle, 0.2),
        (Place::Edge, 0.2),
        (Place::Server, 0.2),
    ],
);
/// A remote vantage that is itself broken.
pub(crate) const BROKEN_VANTAGE: Row = Row::new(
    &[
        (Kind::Timeout, 0.58),
        (Kind::Unreachable, 0.18),
        (Kind::Prohibited, 0.05),
        (Kind::PortUnreachable, 0.04),
        (Kind::Rst, 0.05),
        (Kind::Ok, 0.1),
    ],
    &[
        (Place::Own, 0.45),
        (Place::Near, 0.35),
        (Place::Middle, 0.2),
    ],
);
/// A remote vantage that only does not get to this target.
pub(crate) const BAD_PATH: Row = Row::new(
    &[
        (Kind::Timeout, 0.65),
        (Kind::Unreachable, 0.12),
        (Kind::Prohibited, 0.08),
        (Kind::Rst, 0.1),
        (Kind::Reset, 0.05),
    ],
    &[
        (Place::Middle, 0.85),
        (Place::Near, 0.1),
        (Place::Edge, 0.05),
    ],
);
/// A vantage that the target has banned.
pub(crate) const BANNED: Row = Row::new(
    &[
        (Kind::PortUnreachable, 0.38),
        (Kind::Prohibited, 0.07),
        (Kind::Timeout, 0.35),
        (Kind::Rst, 0.2),
    ],
    &[(Place::Server, 0.85), (Place::Edge, 0.15)],
);
