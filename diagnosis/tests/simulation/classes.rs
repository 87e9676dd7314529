//! The classes of faults: what the truth is, and what attempts meet.

use std::collections::BTreeSet;

use onlyhere_proto::{CauseId, CertificateError, Scope, VantageClass};

use super::Dice;
use super::world::{CALLER, GATEWAY_LAN, Name, Reply, Try, WEB4, WEB6, World, ip};

pub(crate) struct Truth {
    pub(crate) scopes: &'static [Scope],
    pub(crate) causes: &'static [CauseId],
}

pub(crate) type Rule = Box<dyn Fn(Try<'_>) -> Option<Reply>>;

pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) truth: Truth,
    pub(crate) make: fn(&mut Dice, &mut World) -> Rule,
}

const fn class(
    name: &'static str,
    scopes: &'static [Scope],
    causes: &'static [CauseId],
    make: fn(&mut Dice, &mut World) -> Rule,
) -> Class {
    Class {
        name,
        truth: Truth { scopes, causes },
        make,
    }
}

fn everybody(reply: Reply) -> Rule {
    Box::new(move |t| t.web().then_some(reply))
}

fn own(reply: Reply) -> Rule {
    Box::new(move |t| (t.web() && t.by("you")).then_some(reply))
}

fn network(reply: Reply) -> Rule {
    Box::new(move |t| (t.web() && (t.by("you") || t.by("sibling"))).then_some(reply))
}

fn icmp(code: u8, v4: &'static str, v6: &'static str, ms: Option<f64>) -> [Reply; 2] {
    let code6 = if code == 3 { 4 } else { 1 };
    [Reply::Icmp(3, code, v4, ms), Reply::Icmp(1, code6, v6, ms)]
}

fn both(replies: [Reply; 2], hits: fn(&Try<'_>) -> bool) -> Rule {
    Box::new(move |t| hits(&t).then_some(replies[usize::from(!t.v4())]))
}

fn is_own(t: &Try<'_>) -> bool {
    t.web() && t.by("you")
}

fn is_network(t: &Try<'_>) -> bool {
    t.web() && (t.by("you") || t.by("sibling"))
}

fn without_sibling(world: &mut World) {
    world.vantages.retain(|v| v.name != "sibling");
}

pub(crate) const CLASSES: &[Class] = {
    use CauseId::*;
    use Scope::{
        Global, Local, Ok as Fine, Regional, Source, SourceAddress, SourceNetwork, TargetAddress,
    };
    &[
        class("ok", &[Fine], &[], |_, _| Box::new(|_| None)),
        class("service down", &[Global], &[ServiceDown], |_, _| {
            everybody(Reply::Rst(None))
        }),
        class("firewall rejects", &[Global], &[FirewallReject], |d, _| {
            both(icmp(d.pick(&[3, 13]), WEB4, WEB6, None), |t| t.web())
        }),
        class(
            "firewall drops",
            &[Global],
            &[FirewallDrop, HostDown],
            |_, _| everybody(Reply::Drop),
        ),
        class("host down", &[Global], &[HostDown], |_, world| {
            world.echo = Box::new(|t| t.control);
            Box::new(|t| t.target().then_some(Reply::Drop))
        }),
        class("name missing", &[Global], &[DnsMissing], |_, world| {
            world.resolve = Box::new(|_, control| {
                if control {
                    Name::Is(vec![])
                } else {
                    Name::Missing
                }
            });
            Box::new(|_| None)
        }),
        class(
            "name servers broken",
            &[Global],
            &[DnsBroken],
            |_, world| {
                world.resolve = Box::new(|_, control| {
                    if control {
                        Name::Is(vec![])
                    } else {
                        Name::Failed
                    }
                });
                Box::new(|_| None)
            },
        ),
        class(
            "certificate expired",
            &[Global],
            &[CertificateExpired],
            |_, _| everybody(Reply::Tls(CertificateError::Expired)),
        ),
        class(
            "certificate for others",
            &[Global],
            &[CertificateMismatch],
            |_, _| everybody(Reply::Tls(CertificateError::NameMismatch)),
        ),
        class(
            "certificate untrusted",
            &[Global],
            &[CertificateUntrusted],
            |_, _| everybody(Reply::Tls(CertificateError::UnknownIssuer)),
        ),
        class("http error", &[Global], &[HttpError], |d, _| {
            everybody(Reply::Http(d.pick(&[500, 502, 503, 404])))
        }),
        class("ban by icmp", &[SourceAddress], &[IpBan], |_, _| {
            both(icmp(3, WEB4, WEB6, None), is_own)
        }),
        class("ban by silence", &[SourceAddress], &[IpBan], |d, world| {
            let all = d.chance(0.35);
            if all {
                world.echo = Box::new(|t| t.control || !t.by("you"));
            }
            Box::new(move |t| {
                (t.by("you") && (t.web() || (all && t.target()))).then_some(Reply::Drop)
            })
        }),
        class("ban by reset", &[SourceAddress], &[IpBan], |_, _| {
            own(Reply::Rst(None))
        }),
        class("ban of IPv4 alone", &[SourceAddress], &[IpBan], |_, _| {
            Box::new(|t| (is_own(&t) && t.v4()).then_some(Reply::Icmp(3, 3, WEB4, None)))
        }),
        class("ban without a sibling", &[Source], &[IpBan], |_, world| {
            without_sibling(world);
            both(icmp(3, WEB4, WEB6, None), is_own)
        }),
        class(
            "provider rejects",
            &[SourceNetwork],
            &[NetworkBlock],
            |d, _| match d.chance(0.5) {
                true => both(
                    icmp(13, "198.18.3.1", "2001:db8:3::1", Some(12.0)),
                    is_network,
                ),
                false => network(Reply::Rst(Some(14.0))),
            },
        ),
        class(
            "provider drops",
            &[SourceNetwork, Source],
            &[NetworkBlock, RoutingFault],
            |_, _| network(Reply::Drop),
        ),
        class(
            "site rejects provider",
            &[SourceNetwork],
            &[NetworkBlock],
            |_, _| both(icmp(3, WEB4, WEB6, None), is_network),
        ),
        class("own firewall", &[Local], &[LocalFirewall], |d, _| {
            match d.chance(0.5) {
                true => both(icmp(3, CALLER, "2001:db8:3:101::10", Some(0.1)), is_own),
                false => {
                    Box::new(|t| (t.by("you") && t.port == 443).then_some(Reply::Rst(Some(0.1))))
                }
            }
        }),
        class("own gateway", &[Local], &[LocalFirewall], |d, _| {
            match d.chance(0.5) {
                true => both(
                    icmp(13, GATEWAY_LAN, "2001:db8:3:101::1", Some(0.8)),
                    is_own,
                ),
                false => own(Reply::Rst(Some(1.5))),
            }
        }),
        class("offline", &[Local], &[LocalOffline], |_, world| {
            world.echo = Box::new(|t| !t.by("you"));
            world.resolve = Box::new(|v, _| match v {
                "you" => Name::Silent,
                _ => Name::Is(vec![]),
            });
            Box::new(|t| t.by("you").then_some(Reply::Drop))
        }),
        class("own resolver", &[Local], &[LocalResolver], |d, world| {
            let dead = d.chance(0.5);
            world.resolve = Box::new(move |v, control| match (v, dead) {
                ("you", true) => Name::Failed,
                ("you", false) if !control => Name::Missing,
                _ => Name::Is(vec![]),
            });
            Box::new(|_| None)
        }),
        class(
            "one address down",
            &[TargetAddress],
            &[AddressDown],
            |d, world| {
                world.addresses = vec![ip(WEB4), ip("198.18.1.11"), ip(WEB6)];
                let reply = d.pick(&[Reply::Rst(None), Reply::Drop]);
                Box::new(move |t| (t.web() && t.address == ip("198.18.1.11")).then_some(reply))
            },
        ),
        class(
            "IPv6 dead",
            &[TargetAddress],
            &[FamilyBroken, AddressDown],
            |d, _| {
                let reply = d.pick(&[Reply::Rst(None), Reply::Drop]);
                Box::new(move |t| (t.target() && !t.v4()).then_some(reply))
            },
        ),
        class("own IPv6 dead", &[Local], &[FamilyBroken], |_, world| {
            world.echo = Box::new(|t| t.v4() || !t.by("you"));
            Box::new(|t| (t.by("you") && !t.v4()).then_some(Reply::Drop))
        }),
        class("interception", &[Local], &[TlsInterception], |d, _| {
            let all = d.chance(0.5);
            Box::new(move |t| {
                (t.by("you") && t.port == 443 && (all || t.target()))
                    .then_some(Reply::Tls(CertificateError::UnknownIssuer))
            })
        }),
        class(
            "firewall of the site",
            &[SourceAddress],
            &[WafBlock],
            |_, _| own(Reply::Http(403)),
        ),
        class("datacenters denied", &[Fine], &[], |_, world| {
            let denied: BTreeSet<String> = world
                .vantages
                .iter()
                .filter(|v| v.class == Some(VantageClass::Datacenter))
                .map(|v| v.name.clone())
                .collect();
            Box::new(move |t| (t.web() && denied.contains(t.vantage)).then_some(Reply::Http(403)))
        }),
        // A loop that is up while it is looked at is no fault now; here it is down at first.
        class("crash loop", &[Global], &[CrashLoop], |_, _| {
            Box::new(|t| (t.web() && t.slot % 2 == 0).then_some(Reply::Rst(None)))
        }),
        class(
            "region",
            &[Regional],
            &[GeoBlock, RoutingFault, NetworkBlock],
            |d, world| {
                let reply = d.pick(&[Reply::Drop, Reply::Http(451)]);
                for v in &mut world.vantages {
                    if v.name == "sibling" || v.name == "you" {
                        v.region = Some("us".into());
                        v.country = Some("US".into());
                    }
                }
                Box::new(move |t| {
                    (t.web() && matches!(t.vantage, "fra" | "ams" | "par")).then_some(reply)
                })
            },
        ),
        class("hosts file", &[Local], &[HostsFile], |d, world| {
            world
                .hosts_file
                .insert("you".into(), vec![ip("198.18.9.9")]);
            let reply = d.pick(&[
                Reply::Drop,
                Reply::Rst(None),
                Reply::Tls(CertificateError::NameMismatch),
            ]);
            Box::new(move |t| (t.by("you") && t.address == ip("198.18.9.9")).then_some(reply))
        }),
    ]
};
