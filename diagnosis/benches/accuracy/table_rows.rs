//! The rows of the second generator's table.

use std::net::IpAddr;

use onlyhere_proto::{Actor, CauseId, CertificateError, Family, Scope};

use crate::classes::{address_scopes, network_scopes};
use crate::network::Truth;
use crate::world::{World, YOU};

/// Who is affected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Hits {
    Nobody,
    You,
    YourV6,
    As,
    AsOrPrefix,
    Country,
    Region,
    /// The subject, and each other one half of the time.
    Half,
    Everybody,
    OneAddress,
    TheirV6,
    Datacenters,
}

/// What an affected try comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum See {
    Ok,
    Slow,
    Rst,
    Timeout,
    Icmp,
    Reset,
    /// Opens, and hangs in the handshake.
    Hang,
    Alert,
    Http(u16),
    Certificate(CertificateError),
}

/// For how long one draw of the mix holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Settled {
    Case,
    Vantage,
    Each,
    /// It follows the clock.
    Time,
}

/// Where a refusal is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    Itself,
    Near,
    Middle,
    Server,
    None,
}

/// Whether echoes, or other ports, answer the affected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ping {
    AsDrawn,
    Often,
    No,
}

/// What the affected one's resolver says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Name {
    Truth,
    Nxdomain,
    Servfail,
    Silence,
    Bogon,
    BlockPage,
    Wrong,
}

/// One row.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub hits: Hits,
    pub mix: &'static [(f64, See)],
    pub settled: Settled,
    pub place: Place,
    pub ping: Ping,
    pub other_ports: Ping,
    pub controls_too: bool,
    pub name_says: Name,
    pub every_resolver: bool,
    pub hosts_entry: bool,
    pub only_proxy: bool,
    pub spares_source: bool,
    pub spares_direct: bool,
    pub spares_small: bool,
    pub any_layer: bool,
    pub issuer: &'static str,
    pub fits: fn(&World) -> bool,
    pub furnish: fn(&mut World, IpAddr),
    pub truth: fn(&mut World, &[bool]) -> Truth,
}

const fn row(
    name: &'static str,
    hits: Hits,
    mix: &'static [(f64, See)],
    place: Place,
    truth: fn(&mut World, &[bool]) -> Truth,
) -> Row {
    Row {
        name,
        hits,
        mix,
        settled: Settled::Case,
        place,
        ping: Ping::AsDrawn,
        other_ports: Ping::AsDrawn,
        controls_too: false,
        name_says: Name::Truth,
        every_resolver: false,
        hosts_entry: false,
        only_proxy: false,
        spares_source: false,
        spares_direct: false,
        spares_small: false,
        any_layer: true,
        issuer: "CN=shop.example",
        fits: |_| true,
        furnish: |_, _| {},
        truth,
    }
}

/// With what only https targets can show.
const fn https(row: Row) -> Row {
    Row {
        any_layer: false,
        ..row
    }
}

/// With nothing that answers at all.
const fn dark(row: Row) -> Row {
    Row {
        ping: Ping::No,
        other_ports: Ping::No,
        ..row
    }
}

/// With other ports that answer more often than not.
const fn wide(row: Row) -> Row {
    Row {
        other_ports: Ping::Often,
        ..row
    }
}

const fn each(row: Row) -> Row {
    Row {
        settled: Settled::Each,
        ..row
    }
}

const fn by_vantage(row: Row) -> Row {
    Row {
        settled: Settled::Vantage,
        ..row
    }
}

use CertificateError::{Expired, NameMismatch, UnknownIssuer};
use See::{Certificate, Hang, Http, Icmp, Reset, Rst, Slow, Timeout};

const RST: &[(f64, See)] = &[(1.0, Rst)];
const FINE: &[(f64, See)] = &[(1.0, See::Ok)];
const SILENT: &[(f64, See)] = &[(1.0, Timeout)];

/// The table.
pub const ROWS: &[Row] = &[
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
    dark(row(
        "t:routing_fault",
        Hits::Region,
        SILENT,
        Place::Middle,
        |w, hit| regional(w, hit, CauseId::RoutingFault, Actor::Transit),
    )),
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

fn closed(cause: CauseId) -> Truth {
    Truth::global(cause).like(&[
        CauseId::ServiceDown,
        CauseId::BoundToLoopback,
        CauseId::WrongPort,
        CauseId::FirewallReject,
    ])
}

fn silent(cause: CauseId) -> Truth {
    Truth::global(cause).like(&[CauseId::HostDown, CauseId::FirewallDrop])
}

fn zone(cause: CauseId) -> Truth {
    Truth::new(
        Some(cause),
        &[Scope::Global],
        &[Actor::DnsOperator, Actor::Site],
    )
}

fn theirs(cause: CauseId) -> Truth {
    Truth::new(Some(cause), &[Scope::TargetAddress], &[Actor::Site])
}

fn local(cause: CauseId) -> Truth {
    Truth::new(
        Some(cause),
        &[Scope::Local],
        &[Actor::You, Actor::YourNetwork],
    )
}

fn resolver(world: &mut World) -> Truth {
    let scopes = network_scopes(world);
    let truth = Truth::new(
        Some(CauseId::LocalResolver),
        &scopes,
        &[Actor::YourNetwork, Actor::You],
    );
    if scopes.len() > 1 {
        truth.or(Some(CauseId::LocalResolver), Scope::Local)
    } else {
        truth
    }
}

fn alone(world: &World, truth: Truth, like: CauseId, at: Scope) -> Truth {
    if address_scopes(world).len() > 1 {
        truth.like(&[like]).like_at(&[at])
    } else {
        truth
    }
}

fn regional(world: &World, hit: &[bool], cause: CauseId, actor: Actor) -> Truth {
    let own = world.subject().asn;
    let other = |i: &usize| {
        hit[*i]
            && world.stations[*i].asn != own
            && world.stations[*i].health == crate::world::Health::Good
    };
    let scopes = match (1..hit.len()).filter(other).count() {
        0 => [vec![Scope::Regional], network_scopes(world)].concat(),
        _ => vec![Scope::Regional],
    };
    Truth::new(Some(cause), &scopes, &[actor, Actor::Transit])
}

fn has_v4(world: &World) -> bool {
    world.site.has(Family::V4)
}

fn has_two(world: &World) -> bool {
    let own = world.site.answers_near(world.subject().city);
    own.iter().filter(|a| a.is_ipv4()).count() > 1
}

fn is_dual(world: &World) -> bool {
    let own = world.site.answers_near(world.subject().city);
    own.iter().any(|a| a.is_ipv4())
        && own.iter().filter(|a| a.is_ipv6()).count() == 1
        && world.stations[YOU].has_v6
}

fn expect_the_real(world: &mut World, _: IpAddr) {
    world.case.conditions.expected_addresses = world.site.addresses();
}

fn set_proxy(world: &mut World, _: IpAddr) {
    world.case.subject.local.proxies = vec!["https_proxy=http://127.0.0.1:3128".to_owned()];
}

fn set_tunnel(world: &mut World, _: IpAddr) {
    world.case.subject.local.tunnel = Some("tun0".to_owned());
    world.case.subject.local.way_out = Some("eth0".to_owned());
}

fn set_hosts(world: &mut World, wrong: IpAddr) {
    world.hosts_entries = vec![wrong];
    world.case.subject.local.hosts_entries = vec![wrong];
}
