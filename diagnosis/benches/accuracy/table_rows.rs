//! The rows of the second generator's table.

use onlyhere_proto::{Actor, CauseId, CertificateError, Scope};

use crate::classes::{address_scopes, has_region, network_scopes};
use crate::network::Truth;
use crate::table_columns::{Hits, Name, Place, Row, See, Settled};
use crate::table_columns::{by_vantage, dark, each, https, row, wide};
use crate::table_truth::*;

use CertificateError::{Expired, NameMismatch, UnknownIssuer};
use See::{Certificate, Hang, Http, Icmp, Reset, Rst, Slow, Timeout};

const RST: &[(f64, See)] = &[(1.0, Rst)];
const FINE: &[(f64, See)] = &[(1.0, See::Ok)];
const SILENT: &[(f64, See)] = &[(1.0, Timeout)];

/// The table.
pub(crate) const ROWS: &[Row] = &[
    row("t:ok", Hits::Nobody, RST, Place::None, |_, _| {
        Truth::new(None, &[Scope::Ok], &[Actor::Nobody])
    }),
    row(
        "t:service_down",
        Hits::Everybody,
        RST,
        Place::Server,
        |_, _| closed(CauseId::ServiceDown),
    ),
    by_vantage(row(
        "t:firewall_reject",
        Hits::Everybody,
        &[(0.92, Icmp), (0.08, Timeout)],
        Place::Server,
        |_, _| Truth::global(CauseId::FirewallReject),
    )),
    row(
        "t:firewall_drop",
        Hits::Everybody,
        SILENT,
        Place::None,
        |_, _| silent(CauseId::FirewallDrop),
    ),
    dark(by_vantage(row(
        "t:host_down",
        Hits::Everybody,
        &[(0.75, Timeout), (0.25, Icmp)],
        Place::Middle,
        |_, _| silent(CauseId::HostDown),
    ))),
    https(row(
        "t:certificate_expired",
        Hits::Everybody,
        &[(1.0, Certificate(Expired))],
        Place::Server,
        |_, _| Truth::global(CauseId::CertificateExpired),
    )),
    https(row(
        "t:certificate_mismatch",
        Hits::Everybody,
        &[(1.0, Certificate(NameMismatch))],
        Place::Server,
        |_, _| Truth::global(CauseId::CertificateMismatch).like(&[CauseId::WrongAddress]),
    )),
    https(row(
        "t:certificate_untrusted",
        Hits::Everybody,
        &[(1.0, Certificate(UnknownIssuer))],
        Place::Server,
        |_, _| Truth::global(CauseId::CertificateUntrusted),
    )),
    https(row(
        "t:http_error",
        Hits::Everybody,
        &[(0.4, Http(500)), (0.3, Http(502)), (0.3, Http(503))],
        Place::Server,
        |_, _| Truth::global(CauseId::HttpError),
    )),
    Row {
        settled: Settled::Time,
        ..row(
            "t:crash_loop",
            Hits::Everybody,
            &[(0.96, Rst), (0.04, Reset)],
            Place::Server,
            |_, _| closed(CauseId::CrashLoop).or(None, Scope::Ok),
        )
    },
    https(each(row(
        "t:overloaded",
        Hits::Everybody,
        &[
            (0.32, Timeout),
            (0.27, Slow),
            (0.15, Http(503)),
            (0.09, Reset),
            (0.17, See::Ok),
        ],
        Place::Server,
        |_, _| Truth::global(CauseId::Overloaded),
    ))),
    https(each(row(
        "t:backend_partial",
        Hits::Everybody,
        &[(0.33, Rst), (0.67, See::Ok)],
        Place::Server,
        |_, _| Truth::global(CauseId::BackendPartial),
    ))),
    Row {
        name_says: Name::Nxdomain,
        every_resolver: true,
        ..row(
            "t:dns_missing",
            Hits::Everybody,
            FINE,
            Place::None,
            |_, _| zone(CauseId::DnsMissing),
        )
    },
    Row {
        name_says: Name::Servfail,
        every_resolver: true,
        ..row(
            "t:dns_broken",
            Hits::Everybody,
            FINE,
            Place::None,
            |_, _| zone(CauseId::DnsBroken),
        )
    },
    Row {
        name_says: Name::Wrong,
        every_resolver: true,
        furnish: expect_the_real,
        ..row(
            "t:wrong_address",
            Hits::Everybody,
            &[(0.4, Rst), (0.3, Timeout), (0.3, Certificate(NameMismatch))],
            Place::Server,
            |_, _| zone(CauseId::WrongAddress),
        )
    },
    Row {
        name_says: Name::Wrong,
        fits: has_v4,
        ..row(
            "t:dns_stale",
            Hits::Half,
            &[(0.5, Rst), (0.3, Timeout), (0.2, Certificate(NameMismatch))],
            Place::Server,
            |_, _| {
                Truth::new(
                    Some(CauseId::DnsStale),
                    &[Scope::TargetAddress],
                    &[Actor::DnsOperator, Actor::Nobody, Actor::Site],
                )
            },
        )
    },
    Row {
        fits: has_two,
        ..row(
            "t:address_down",
            Hits::OneAddress,
            &[(0.5, Rst), (0.5, Timeout)],
            Place::Server,
            |_, _| theirs(CauseId::AddressDown),
        )
    },
    Row {
        fits: is_dual,
        ..row(
            "t:family_broken_theirs",
            Hits::TheirV6,
            &[(0.65, Timeout), (0.35, Rst)],
            Place::Server,
            |_, _| theirs(CauseId::FamilyBroken).like(&[CauseId::AddressDown]),
        )
    },
    Row {
        fits: is_dual,
        ..row(
            "t:family_broken_yours",
            Hits::YourV6,
            &[(0.7, Timeout), (0.3, Icmp)],
            Place::Near,
            |_, _| local(CauseId::FamilyBroken),
        )
    },
    Row {
        spares_source: true,
        ..wide(row(
            "t:ip_ban",
            Hits::You,
            &[(0.45, Icmp), (0.35, Timeout), (0.2, Rst)],
            Place::Server,
            |w, _| {
                let truth = Truth::new(Some(CauseId::IpBan), &address_scopes(w), &[Actor::Site]);
                alone(w, truth, CauseId::NetworkBlock, Scope::SourceNetwork)
            },
        ))
    },
    https(row(
        "t:waf_block",
        Hits::You,
        &[(1.0, Http(403))],
        Place::Server,
        |w, _| {
            Truth::new(Some(CauseId::WafBlock), &address_scopes(w), &[Actor::Site])
                .like(&[CauseId::IpBan])
        },
    )),
    https(row(
        "t:rate_limited",
        Hits::You,
        &[(1.0, Http(429))],
        Place::Server,
        |w, _| {
            Truth::new(
                Some(CauseId::RateLimited),
                &address_scopes(w),
                &[Actor::Site, Actor::You],
            )
        },
    )),
    https(wide(row(
        "t:network_block_isp",
        Hits::As,
        &[(0.45, Timeout), (0.35, Rst), (0.1, Icmp), (0.1, Reset)],
        Place::Middle,
        |w, _| {
            Truth::new(
                Some(CauseId::NetworkBlock),
                &network_scopes(w),
                &[Actor::YourNetwork],
            )
            .like(&[CauseId::RoutingFault])
        },
    ))),
    https(wide(row(
        "t:network_block_site",
        Hits::AsOrPrefix,
        &[
            (0.45, Timeout),
            (0.25, Icmp),
            (0.15, Rst),
            (0.15, Http(403)),
        ],
        Place::Server,
        |w, hit| {
            let mut truth = Truth::new(
                Some(CauseId::NetworkBlock),
                &network_scopes(w),
                &[Actor::Site],
            );
            if hit.iter().filter(|h| **h).count() == 1 {
                truth.scopes = vec![Scope::Source, Scope::SourceNetwork];
                truth = truth
                    .like(&[CauseId::IpBan, CauseId::WafBlock, CauseId::RoutingFault])
                    .like_at(&[Scope::SourceAddress]);
            }
            truth
        },
    ))),
    https(wide(row(
        "t:geo_block",
        Hits::Country,
        &[(0.4, Timeout), (0.4, Http(403)), (0.1, Rst), (0.1, Reset)],
        Place::Server,
        |w, hit| {
            let truth = regional(w, hit, CauseId::GeoBlock, Actor::Site);
            if truth.scopes.len() > 1 {
                truth.like(&[CauseId::NetworkBlock, CauseId::IpBan, CauseId::WafBlock])
            } else {
                truth
            }
        },
    ))),
    Row {
        fits: has_region,
        ..dark(row(
            "t:routing_fault",
            Hits::Region,
            SILENT,
            Place::Middle,
            |w, hit| regional(w, hit, CauseId::RoutingFault, Actor::Transit),
        ))
    },
    https(row(
        "t:cdn_edge_fault",
        Hits::Half,
        &[(0.6, Timeout), (0.2, Rst), (0.2, Http(502))],
        Place::Server,
        |w, hit| {
            regional(w, hit, CauseId::CdnEdgeFault, Actor::Site).like(&[CauseId::RoutingFault])
        },
    )),
    https(row(
        "t:local_firewall",
        Hits::You,
        &[(0.5, Rst), (0.25, Timeout), (0.15, Reset), (0.1, Icmp)],
        Place::Itself,
        |_, _| local(CauseId::LocalFirewall).like(&[CauseId::NetworkBlock]),
    )),
    Row {
        controls_too: true,
        name_says: Name::Silence,
        ..dark(row(
            "t:local_offline",
            Hits::You,
            &[(0.7, Timeout), (0.3, Icmp)],
            Place::Near,
            |_, _| local(CauseId::LocalOffline),
        ))
    },
    Row {
        controls_too: true,
        only_proxy: true,
        furnish: set_proxy,
        ..row(
            "t:local_proxy",
            Hits::You,
            &[(0.6, Rst), (0.2, Timeout), (0.2, Http(503))],
            Place::Near,
            |_, _| local(CauseId::LocalProxy),
        )
    },
    Row {
        controls_too: true,
        spares_direct: true,
        furnish: set_tunnel,
        ..dark(row(
            "t:local_vpn",
            Hits::You,
            SILENT,
            Place::None,
            |_, _| local(CauseId::LocalVpn),
        ))
    },
    Row {
        hosts_entry: true,
        furnish: set_hosts,
        fits: has_v4,
        ..row(
            "t:hosts_file",
            Hits::You,
            &[
                (0.7, Rst),
                (0.15, Timeout),
                (0.15, Certificate(NameMismatch)),
            ],
            Place::Server,
            |_, _| local(CauseId::HostsFile),
        )
    },
    Row {
        name_says: Name::Nxdomain,
        ..row(
            "t:local_resolver_nxdomain",
            Hits::As,
            FINE,
            Place::None,
            |w, _| resolver(w),
        )
    },
    Row {
        name_says: Name::Bogon,
        ..row(
            "t:local_resolver_bogon",
            Hits::As,
            FINE,
            Place::None,
            |w, _| resolver(w),
        )
    },
    https(Row {
        name_says: Name::BlockPage,
        ..row(
            "t:local_resolver_page",
            Hits::As,
            FINE,
            Place::Server,
            |w, _| resolver(w),
        )
    }),
    https(Row {
        controls_too: true,
        issuer: "CN=Web Shield Root",
        ..row(
            "t:tls_interception",
            Hits::You,
            &[(1.0, Certificate(UnknownIssuer))],
            Place::Near,
            |_, _| local(CauseId::TlsInterception),
        )
    }),
    https(Row {
        spares_small: true,
        ..row(
            "t:mtu_blackhole",
            Hits::As,
            &[(1.0, Hang)],
            Place::None,
            |w, _| {
                Truth::new(
                    Some(CauseId::MtuBlackhole),
                    &network_scopes(w),
                    &[Actor::Transit, Actor::YourNetwork, Actor::You],
                )
            },
        )
    }),
    https(by_vantage(row(
        "t:ok+waf_of_probes",
        Hits::Datacenters,
        &[(0.4, Http(403)), (0.25, Timeout), (0.2, Reset), (0.15, Rst)],
        Place::Server,
        |_, _| Truth::new(None, &[Scope::Ok], &[Actor::Nobody, Actor::Site]),
    ))),
];
