//! A record judged again gives the verdict that was given: scope, cause and confidence of every kind of case, with
//! stragglers, without a caller, alone, and on this machine.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onlyhere_diagnosis::Investigation;
use onlyhere_proto::{CertificateError, Observation, Target, VantageName, Verdict};
use world::{GATEWAY_LAN, Name, Reply, WEB4, WEB6, World, ip};

enum Event {
    Seen(Box<Observation>),
    Done(VantageName, u32),
}

/// Runs a world to its end: the verdict, and what the report of it would hold, in the report's order.
fn record(world: &World) -> (Verdict, Vec<Observation>) {
    let mut investigation = Investigation::new(world.case());
    let mut queue: BTreeMap<(u64, usize), Event> = BTreeMap::new();
    let mut recorded = Vec::new();
    let (mut now, mut count) = (0_u64, 0);
    loop {
        for ask in investigation.poll_asks(Duration::from_micros(now)) {
            let start = now as f64 / 1_000.0 + ask.delay.as_secs_f64() * 1_000.0;
            let (observations, end) = world.answer(&ask, start);
            let seen = observations
                .into_iter()
                .map(|(at, o)| (at, Event::Seen(Box::new(o))));
            let done = Event::Done(ask.vantage.clone(), ask.request.request);
            for (at, event) in seen.chain([(end, done)]) {
                count += 1;
                queue.insert(((at * 1_000.0) as u64, count), event);
            }
        }
        if investigation.is_concluded() {
            break;
        }
        let wakes = investigation.wakes_at().map(|at| at.as_micros() as u64);
        let next = queue.first_key_value().map(|((at, _), _)| *at);
        if let Some(wakes) = wakes.filter(|wakes| next.is_none_or(|at| *wakes <= at)) {
            now = wakes;
            continue;
        }
        let ((at, _), event) = queue.pop_first().expect("something is under way");
        now = at;
        match event {
            Event::Seen(observation) => {
                recorded.push((*observation).clone());
                investigation.handle_observation(*observation);
            }
            Event::Done(vantage, request) => investigation.handle_done(&vantage, request),
        }
    }
    recorded.sort_by_key(|o| (o.vantage.clone(), o.request, o.sequence));
    (investigation.verdict(), recorded)
}

fn icmp_of_site(t: world::Try<'_>) -> Reply {
    if t.v4() {
        Reply::Icmp(3, 3, WEB4, None)
    } else {
        Reply::Icmp(1, 4, WEB6, None)
    }
}

fn worlds() -> Vec<(&'static str, World)> {
    let refuse = |t: world::Try<'_>| {
        if t.web() { Reply::Rst(None) } else { Reply::Ok }
    };
    let mut dead = World::new().connect(move |t| {
        if t.by("you") && t.web() {
            icmp_of_site(t)
        } else {
            Reply::Ok
        }
    });
    dead.dead = ["sgp", "nyc"].map(str::to_owned).into();
    let mut hosts = World::new().connect(|t| {
        if t.address == ip("198.18.9.9") {
            Reply::Rst(Some(0.4))
        } else {
            Reply::Ok
        }
    });
    hosts
        .hosts_file
        .insert("you".into(), vec![ip("198.18.9.9")]);
    let mut loopback = World::new().alone().connect(refuse);
    loopback.target = Target::parse("https://127.0.0.1").unwrap();
    let mut private =
        World::new().connect(move |t| if t.target() { Reply::Drop } else { Reply::Ok });
    private.target = Target::parse("tcp://192.168.77.5:22").unwrap();
    let mut bare = World::new().resolve(|_, _| Name::Missing);
    bare.target = Target::parse("dns://shop.example").unwrap();
    let mut elsewhere = World::new().resolve(|by, control| match (by, control) {
        ("you" | "sibling", false) => Name::Is(vec![ip("198.18.9.9")]),
        _ => Name::Is(Vec::new()),
    });
    elsewhere.resolvers = vec![ip("198.18.0.99")];
    vec![
        ("all is well", World::new()),
        (
            "a ban by ICMP",
            World::new().connect(|t| {
                if t.by("you") && t.web() {
                    icmp_of_site(t)
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "a ban by silence",
            World::new()
                .connect(|t| {
                    if t.by("you") && t.target() {
                        Reply::Drop
                    } else {
                        Reply::Ok
                    }
                })
                .echo(|t| !t.by("you")),
        ),
        (
            "a ban without a sibling",
            World::new().without(&["sibling"]).connect(|t| {
                if t.by("you") && t.web() {
                    Reply::Rst(None)
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "a block of the network",
            World::new().connect(|t| {
                if (t.by("you") || t.by("sibling")) && t.target() {
                    Reply::Drop
                } else {
                    Reply::Ok
                }
            }),
        ),
        ("the service is down", World::new().connect(refuse)),
        (
            "the host is silent",
            World::new()
                .connect(|t| if t.target() { Reply::Drop } else { Reply::Ok })
                .echo(|_| false),
        ),
        ("two vantages say nothing", dead),
        ("no caller", World::new().no_subject().connect(refuse)),
        (
            "no caller, Europe silent",
            World::new().no_subject().connect(|t| {
                let europe = ["fra", "ams", "par", "sibling"].contains(&t.vantage);
                if europe && t.target() {
                    Reply::Drop
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "alone, refused by the router",
            World::new().alone().connect(|t| {
                if t.target() {
                    Reply::Icmp(3, 13, GATEWAY_LAN, Some(1.0))
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "alone, silence",
            World::new()
                .alone()
                .connect(|t| if t.target() { Reply::Drop } else { Reply::Ok }),
        ),
        (
            "refused at once",
            World::new().connect(|t| {
                if t.by("you") && t.web() {
                    Reply::Rst(Some(0.1))
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "IPv6 of the site",
            World::new().connect(|t| {
                if t.web() && !t.v4() {
                    Reply::Drop
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "IPv6 of the caller",
            World::new().connect(|t| {
                if t.by("you") && !t.v4() {
                    Reply::NoFamily
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "an expired certificate",
            World::new().connect(|t| {
                if t.web() {
                    Reply::Tls(CertificateError::Expired)
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "an error page",
            World::new().connect(|t| if t.web() { Reply::Http(502) } else { Reply::Ok }),
        ),
        (
            "opened, then silence, here",
            World::new().connect(|t| {
                if t.by("you") && t.web() {
                    Reply::Stall
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "a crash loop",
            World::new().connect(|t| {
                if t.web() && t.slot % 2 == 0 {
                    Reply::Rst(None)
                } else {
                    Reply::Ok
                }
            }),
        ),
        (
            "the caller's resolver fails",
            World::new().resolve(|by, _| {
                if by == "you" {
                    Name::Failed
                } else {
                    Name::Is(Vec::new())
                }
            }),
        ),
        (
            "the name is gone",
            World::new().resolve(|_, control| {
                if control {
                    Name::Is(Vec::new())
                } else {
                    Name::Missing
                }
            }),
        ),
        (
            "the caller is offline",
            World::new().connect(|t| if t.by("you") { Reply::Drop } else { Reply::Ok }),
        ),
        (
            "a probe is broken",
            World::new().connect(|t| if t.by("fra") { Reply::Drop } else { Reply::Ok }),
        ),
        ("the resolver lies", elsewhere),
        ("an entry in the hosts file", hosts),
        ("this machine", loopback),
        ("this network", private),
        ("a bare name", bare),
    ]
}

#[test]
fn a_record_gives_the_verdict_that_was_given() {
    let mut differing = Vec::new();
    let mut scopes = BTreeSet::new();
    for (name, world) in worlds() {
        let (given, recorded) = record(&world);
        let again = Investigation::replay(world.case(), recorded);
        scopes.insert(given.scope);
        let gist = |v: &Verdict| {
            let causes: Vec<_> = v.causes.iter().map(|c| c.id).collect();
            (
                v.scope,
                causes,
                v.mechanism,
                v.actor,
                v.intermittent,
                v.complete,
            )
        };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let same = gist(&given) == gist(&again)
            && close(given.confidence, again.confidence)
            && given
                .scopes
                .iter()
                .all(|(scope, p)| close(*p, again.scopes[scope]))
            && given.headline == again.headline
            && given.advisories == again.advisories;
        if !same {
            differing.push(format!("{name}\n  {given:?}\n  {again:?}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    // Worlds that are all alike would prove nothing.
    assert!(scopes.len() >= 6, "{scopes:?}");
}

#[test]
fn the_order_of_a_record_does_not_matter_and_strangers_do_not_count() {
    let world = World::new().connect(|t| {
        if t.by("you") && t.target() {
            Reply::Drop
        } else {
            Reply::Ok
        }
    });
    let (_, mut recorded) = record(&world);
    let straight = Investigation::replay(world.case(), recorded.clone());
    recorded.reverse();
    let mut stranger = recorded[0].clone();
    stranger.vantage = "elsewhere".parse().unwrap();
    recorded.push(stranger);
    let mut other = recorded[1].clone();
    other.check = "01JD0000000000000000000009".parse().unwrap();
    other.request += 90;
    recorded.insert(0, other);
    assert_eq!(Investigation::replay(world.case(), recorded), straight);
    let nothing = Investigation::replay(world.case(), []);
    assert_eq!(nothing.scope, onlyhere_proto::Scope::Inconclusive);
}
