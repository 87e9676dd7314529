//! Judging what somebody recorded, without having asked for it.
//!
//! A record holds observations and not the requests behind them. What the digest reads of a request (why, what, how deep,
//! which way) is worked out from the observations that answer it: they carry purpose, slot, host, port and stage.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use onlyhere_proto::{
    CheckRequest, Facts, Host, Layer, Observation, Outcome, Purpose, ResolverKind, Stage, Target,
    Verdict, Way, limits,
};

use crate::addresses::is_host;
use crate::case::Case;
use crate::investigation::Investigation;
use crate::progress::Progress;

impl Investigation {
    /// The verdict on observations that were made earlier, all there will ever be. Their order does not matter; those of
    /// other checks, and of vantages that the case does not have, do not count.
    pub fn replay(case: Case, observations: impl IntoIterator<Item = Observation>) -> Verdict {
        let mut by_request: BTreeMap<(usize, u32), Vec<Observation>> = BTreeMap::new();
        for observation in observations {
            let vantage = case
                .vantages
                .iter()
                .position(|v| v.id == observation.vantage);
            if let Some(vantage) = vantage {
                by_request
                    .entry((vantage, observation.request))
                    .or_default()
                    .push(observation);
            }
        }
        let mut progress = Progress::default();
        for ((vantage, number), mut group) in by_request {
            group.sort_by_key(|o| o.sequence);
            let Some(request) = asked(&case, number, &group) else {
                continue;
            };
            let broken_off = is_broken_off(&request, &group);
            progress.sent(vantage, request);
            for observation in group {
                progress.take(vantage, observation);
            }
            if !broken_off {
                progress.done(vantage, number);
            }
        }
        Self::recorded(case, progress).verdict()
    }
}

/// The request that these observations, in their order, answer.
fn asked(case: &Case, number: u32, group: &[Observation]) -> Option<CheckRequest> {
    let first = group.first()?;
    let target = target(case, first, group);
    Some(CheckRequest {
        check: case.check.clone(),
        request: number,
        purpose: first.purpose,
        depth: depth(case, first.purpose, &target, group),
        addresses: addresses(&target, group),
        ping: target.layer == Layer::Ping || group.iter().any(|o| o.stage == Stage::Icmp),
        resolvers: resolvers(group),
        deadline: limits::DEADLINE,
        attempt_timeout: Duration::from(case.conditions.attempt_timeout_ms),
        max_connections: limits::CONNECTIONS,
        slot: first.slot,
        way: way(case, first.purpose, group),
        authoritative: group
            .iter()
            .any(|o| resolver_kind(o) == Some(ResolverKind::Authoritative)),
        target,
    })
}

/// What was tried: the host of the first observation tells, since only later ones can be of a redirect.
fn target(case: &Case, first: &Observation, group: &[Observation]) -> Target {
    let own = is_host(&case.target.host, &first.host);
    match first.purpose {
        Purpose::Control | Purpose::ThroughProxy => {
            let port = |t: &Target| group.iter().any(|o| o.port.is_some() && o.port == t.port);
            let named = || {
                let controls = case.conditions.controls.iter();
                controls.filter(|t| is_host(&t.host, &first.host))
            };
            match named().find(|t| port(t)).or_else(|| named().next()) {
                Some(control) if !own || first.purpose == Purpose::Control => control.clone(),
                _ => case.target.clone(),
            }
        }
        Purpose::OtherPort => Target {
            port: group.iter().find_map(|o| o.port),
            layer: Layer::Tcp,
            path: String::new(),
            ..case.target.clone()
        },
        Purpose::BlockList => match Host::parse(&first.host) {
            Ok(host) => Target {
                host,
                port: None,
                layer: Layer::Dns,
                path: String::new(),
                ..case.target.clone()
            },
            Err(_) => case.target.clone(),
        },
        _ => case.target.clone(),
    }
}

/// How deep it was meant to go. Where a record does not tell, as deep as anybody got.
fn depth(case: &Case, purpose: Purpose, target: &Target, group: &[Observation]) -> Stage {
    match purpose {
        Purpose::Target | Purpose::Address | Purpose::Sibling => case.target.depth(),
        Purpose::Control => target.depth().min(Stage::Tls),
        Purpose::Resolver | Purpose::BlockList => Stage::Dns,
        _ => {
            let stages = group.iter().map(|o| o.stage);
            stages
                .filter(|stage| *stage != Stage::Icmp)
                .max()
                .unwrap_or(Stage::Icmp)
        }
    }
}

/// The addresses that were given, which is so where nobody asked for the name.
fn addresses(target: &Target, group: &[Observation]) -> Vec<IpAddr> {
    if matches!(target.host, Host::Address(_)) || group.iter().any(|o| o.stage == Stage::Dns) {
        return Vec::new();
    }
    let mut addresses: Vec<IpAddr> = group.iter().filter_map(|o| o.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn resolver_kind(observation: &Observation) -> Option<ResolverKind> {
    match &observation.facts {
        Some(Facts::Dns(facts)) => Some(facts.kind),
        _ => None,
    }
}

fn resolvers(group: &[Observation]) -> Vec<IpAddr> {
    let mut resolvers: Vec<IpAddr> = group
        .iter()
        .filter_map(|o| match &o.facts {
            Some(Facts::Dns(facts)) if facts.kind == ResolverKind::Configured => facts.resolver,
            _ => None,
        })
        .collect();
    resolvers.sort_unstable();
    resolvers.dedup();
    resolvers
}

/// Which way it went, as far as what is read of it depends on it.
fn way(case: &Case, purpose: Purpose, group: &[Observation]) -> Way {
    match purpose {
        Purpose::Ladder => Way {
            hops: group.iter().filter_map(hop).max(),
            ..Way::default()
        },
        Purpose::Source => Way {
            source: group.iter().find_map(|o| o.source),
            ..Way::default()
        },
        Purpose::SmallSegments => Way {
            max_segment: Some(limits::SMALLEST_SEGMENT),
            ..Way::default()
        },
        Purpose::ThroughProxy => Way {
            proxy: proxy(case, group),
            ..Way::default()
        },
        Purpose::Direct => Way {
            interface: case.subject.local.way_out.clone(),
            ..Way::default()
        },
        _ => Way::default(),
    }
}

fn hop(observation: &Observation) -> Option<u8> {
    match &observation.facts {
        Some(Facts::Tcp(facts)) => facts.hop,
        _ => None,
    }
}

/// The proxy that is set for the address and port that were connected to; where none fits, that address.
fn proxy(case: &Case, group: &[Observation]) -> Option<String> {
    let (address, port) = group
        .iter()
        .find(|o| o.stage == Stage::Tcp)
        .and_then(|o| Some((o.address?, o.port?)))?;
    let at_address = format!("http://{}", std::net::SocketAddr::new(address, port));
    let set = case.subject.local.proxies.iter().filter_map(|setting| {
        let (_, url) = setting.split_once('=')?;
        Some(url.trim_end_matches('/'))
    });
    let here = format!(":{port}");
    let mut fitting = set.filter(|url| url.ends_with(&here));
    match (
        fitting.clone().find(|url| **url == at_address),
        fitting.next(),
    ) {
        (Some(url), _) | (None, Some(url)) => Some(url.to_owned()),
        (None, None) => Some(at_address),
    }
}

/// Whether the vantage found the way to the target and nothing of its attempts was heard: it was not waited for.
fn is_broken_off(request: &CheckRequest, group: &[Observation]) -> bool {
    request.purpose == Purpose::Target
        && !matches!(request.depth, Stage::Dns | Stage::Icmp)
        && group
            .iter()
            .all(|o| matches!(o.stage, Stage::Dns | Stage::Icmp))
        && group.iter().any(|o| o.outcome == Outcome::Ok)
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::{
        Conditions, DnsFacts, LocalFacts, Micros, RecordType, Subject, TcpFacts, Timestamp,
        Vantage, VantageName,
    };

    use super::*;

    fn case() -> Case {
        let you = VantageName::you();
        let control = |text| Target::parse(text).unwrap();
        Case {
            check: "01JD0000000000000000000000".parse().unwrap(),
            target: control("https://shop.example"),
            subject: Subject {
                vantage: Some(you.clone()),
                public_address: None,
                asn: None,
                local: LocalFacts {
                    proxies: vec![
                        "http_proxy=http://192.0.2.3:8080".into(),
                        "https_proxy=http://proxy.lan:3128/".into(),
                    ],
                    way_out: Some("eth0".into()),
                    ..LocalFacts::default()
                },
            },
            vantages: vec![Vantage::named(you)],
            conditions: Conditions {
                controls: vec![
                    control("https://control.example"),
                    control("tcp://control.example:25"),
                ],
                block_lists: vec!["bl.example".into()],
                ..Conditions::default()
            },
        }
    }

    fn seen(purpose: Purpose, stage: Stage, host: &str, to: Option<(&str, u16)>) -> Observation {
        Observation {
            check: case().check,
            request: 7,
            sequence: 0,
            vantage: VantageName::you(),
            purpose,
            stage,
            host: host.into(),
            source: Some("192.0.2.77".parse().unwrap()),
            address: to.map(|(address, _)| address.parse().unwrap()),
            port: to.map(|(_, port)| port),
            family: None,
            started_at: Timestamp(0),
            elapsed_ms: Micros(1_000),
            slot: 2,
            outcome: Outcome::Ok,
            said_by: None,
            detail: None,
            facts: None,
        }
    }

    fn of(group: &[Observation]) -> CheckRequest {
        asked(&case(), 7, group).unwrap()
    }

    #[test]
    fn what_was_tried_is_told_by_host_and_port() {
        let at = Some(("192.0.2.10", 443));
        let request = of(&[
            seen(Purpose::Target, Stage::Dns, "shop.example", None),
            seen(Purpose::Target, Stage::Tcp, "shop.example", at),
            seen(Purpose::Target, Stage::Tcp, "www.shop.example", at),
        ]);
        assert_eq!(request.target, case().target);
        assert_eq!((request.depth, request.slot), (Stage::Http, 2));
        assert!(request.addresses.is_empty());

        let request = of(&[seen(Purpose::Address, Stage::Tcp, "shop.example", at)]);
        assert_eq!(request.addresses, ["192.0.2.10".parse::<IpAddr>().unwrap()]);
        let other = Some(("192.0.2.10", 22));
        let request = of(&[seen(Purpose::OtherPort, Stage::Tcp, "shop.example", other)]);
        assert_eq!((request.target.port, request.depth), (Some(22), Stage::Tcp));

        for (port, index) in [(443, 0), (25, 1)] {
            let at = Some(("192.0.2.99", port));
            let request = of(&[seen(Purpose::Control, Stage::Tcp, "control.example", at)]);
            assert_eq!(request.target, case().conditions.controls[index]);
        }
        let listed = "7.2.0.192.bl.example";
        let request = of(&[seen(Purpose::BlockList, Stage::Dns, listed, None)]);
        assert_eq!(request.target.host.to_string(), listed);
        assert_eq!(
            (request.target.layer, request.depth),
            (Layer::Dns, Stage::Dns)
        );
    }

    #[test]
    fn the_way_is_told_by_what_it_left_behind() {
        let site = Some(("192.0.2.10", 443));
        let rung = |hop| Observation {
            facts: Some(Facts::Tcp(TcpFacts {
                hop: Some(hop),
                ..TcpFacts::default()
            })),
            ..seen(Purpose::Ladder, Stage::Tcp, "shop.example", site)
        };
        assert_eq!(of(&[rung(1), rung(5), rung(3)]).way.hops, Some(5));

        let other = of(&[seen(Purpose::Source, Stage::Tcp, "shop.example", site)]);
        assert_eq!(other.way.source, Some("192.0.2.77".parse().unwrap()));
        let small = of(&[seen(
            Purpose::SmallSegments,
            Stage::Tls,
            "shop.example",
            site,
        )]);
        assert_eq!(
            (small.way.max_segment, small.depth),
            (Some(536), Stage::Tls)
        );
        let direct = of(&[seen(Purpose::Direct, Stage::Tcp, "shop.example", site)]);
        assert_eq!(direct.way.interface.as_deref(), Some("eth0"));

        for (host, at, proxy) in [
            ("shop.example", ("192.0.2.4", 3128), "http://proxy.lan:3128"),
            (
                "control.example",
                ("192.0.2.3", 8080),
                "http://192.0.2.3:8080",
            ),
            ("shop.example", ("192.0.2.5", 9), "http://192.0.2.5:9"),
        ] {
            let request = of(&[
                seen(Purpose::ThroughProxy, Stage::Tcp, host, Some(at)),
                seen(Purpose::ThroughProxy, Stage::Tls, host, Some(at)),
            ]);
            assert_eq!(request.way.proxy.as_deref(), Some(proxy));
            assert_eq!(request.target.host.to_string(), host);
        }

        let answer = |kind, resolver: &str| Observation {
            facts: Some(Facts::Dns(DnsFacts {
                resolver: Some(resolver.parse().unwrap()),
                kind,
                record_type: RecordType::A,
                rcode: Some(0),
                answers: Vec::new(),
                cname_chain: Vec::new(),
            })),
            ..seen(Purpose::Resolver, Stage::Dns, "shop.example", None)
        };
        let request = of(&[
            answer(ResolverKind::Authoritative, "192.0.2.53"),
            answer(ResolverKind::Configured, "192.0.2.54"),
        ]);
        assert!(request.authoritative && request.depth == Stage::Dns);
        assert_eq!(request.resolvers, ["192.0.2.54".parse::<IpAddr>().unwrap()]);
    }
}
