//! Random cases in the model world: every fault class, with the noise, the ill vantages and the habits of hosts that
//! the field has. It measures how often scope and cause are right; figures in the documentation come from here:
//!
//! ```text
//! cargo test -p onlyhere-diagnosis --test simulation -- --nocapture
//! ```
//!
//! The generator knows the shapes of the faults and is written by the same hands as the model, so this is a bound on
//! what the model gets wrong by itself, not a measurement of the field. The lab is the other half.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use onlyhere_proto::{CauseId, CertificateError, Scope, VantageClass};
use world::{CALLER, GATEWAY_LAN, Name, Reply, Run, Try, WEB4, WEB6, World, ip};

/// A small generator (splitmix64): the same seed gives the same cases everywhere.
#[derive(Clone, Copy)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, p: f64) -> bool {
        ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < p
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }
}

/// What each attempt meets by bad luck, the same however often it is asked for.
fn luck(seed: u64, t: &Try<'_>) -> f64 {
    let text = format!("{} {} {} {}", t.vantage, t.address, t.port, t.slot);
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (Dice(hash).next() >> 11) as f64 / (1u64 << 53) as f64
}

struct Truth {
    scopes: &'static [Scope],
    causes: &'static [CauseId],
}

type Rule = Box<dyn Fn(Try<'_>) -> Option<Reply>>;

struct Class {
    name: &'static str,
    truth: Truth,
    make: fn(&mut Dice, &mut World) -> Rule,
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

const CLASSES: &[Class] = {
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

/// A case: the fault, and around it ill vantages, habits of the host, missing IPv6, loss.
fn case(class: &Class, seed: u64, noise: f64) -> World {
    let mut dice = Dice(seed);
    let mut world = World::new();
    let rule = (class.make)(&mut dice, &mut world);
    let needed: &[&str] = match class.name {
        "region" => &["fra", "ams", "par", "nyc", "sgp"],
        "datacenters denied" => &["par", "fra", "ams"],
        _ => &["fra"],
    };
    for name in ["ams", "nyc", "sgp", "par"] {
        if !needed.contains(&name) && dice.chance(0.2) {
            world.vantages.retain(|v| v.name != name);
        }
    }
    let mut broken = BTreeSet::new();
    let mut banned = BTreeSet::new();
    for v in &world.vantages {
        if v.name != "you" && v.name != "sibling" {
            if dice.chance(0.03 * noise) {
                broken.insert(v.name.clone());
            } else if dice.chance(0.009 * noise) {
                banned.insert(v.name.clone());
            }
        }
    }
    let no_v6 = ["fra", "ams", "nyc", "sgp", "par"].map(|n| (n.to_owned(), dice.chance(0.2)));
    let no_v6: BTreeMap<String, bool> = no_v6.into_iter().collect();
    let answers_ping = dice.chance(0.75);
    let other_port = match dice.next() % 20 {
        0..13 => Reply::Ok,
        13..15 => Reply::Rst(None),
        _ => Reply::Drop,
    };
    let echo = std::mem::replace(&mut world.echo, Box::new(|_| true));
    let ill = broken.clone();
    world.echo = Box::new(move |t| answers_ping && !ill.contains(t.vantage) && echo(t));
    let resolve = std::mem::replace(&mut world.resolve, Box::new(|_, _| Name::Missing));
    let ill = broken.clone();
    world.resolve = Box::new(move |v, control| match ill.contains(v) {
        true => Name::Silent,
        false => resolve(v, control),
    });
    world.connect(move |t| {
        if no_v6.get(t.vantage) == Some(&true) && !t.v4() {
            return Reply::NoFamily;
        }
        if broken.contains(t.vantage) {
            return Reply::Drop;
        }
        if banned.contains(t.vantage) && t.web() {
            return Reply::Drop;
        }
        let chance = luck(seed, &t);
        if chance < 0.01 * noise {
            return Reply::Drop;
        }
        if chance < 0.013 * noise {
            return Reply::Reset;
        }
        rule(t).unwrap_or(if t.target() && t.port != 443 {
            other_port
        } else {
            Reply::Ok
        })
    })
}

#[derive(Default)]
struct Score {
    cases: usize,
    scope: usize,
    cause: usize,
    inconclusive: usize,
    wrong: usize,
    asks: usize,
    slowest: f64,
    /// Verdicts that did not wait for somebody's word, and those that this word would have changed.
    early: usize,
    hasty: usize,
    brier: f64,
}

impl Score {
    fn add(&mut self, truth: &Truth, run: &Run) {
        let v = &run.verdict;
        let scope = truth.scopes.contains(&v.scope);
        let cause = match v.causes.first() {
            Some(cause) => truth.causes.contains(&cause.id),
            None => truth.causes.is_empty(),
        };
        let inconclusive = v.scope == Scope::Inconclusive;
        self.cases += 1;
        self.scope += usize::from(scope);
        self.cause += usize::from(cause);
        self.inconclusive += usize::from(inconclusive);
        self.wrong += usize::from(!scope && !inconclusive);
        self.asks += run.asks;
        self.slowest = self.slowest.max(run.ms);
        if let Some(patient) = &run.had_all_been_heard {
            self.early += 1;
            self.hasty += usize::from(patient.scope != v.scope);
        }
        if !inconclusive {
            self.brier += (v.confidence - f64::from(u8::from(scope))).powi(2);
        }
    }

    fn sum(&mut self, other: &Score) {
        self.cases += other.cases;
        self.scope += other.scope;
        self.cause += other.cause;
        self.inconclusive += other.inconclusive;
        self.wrong += other.wrong;
        self.asks += other.asks;
        self.slowest = self.slowest.max(other.slowest);
        self.early += other.early;
        self.hasty += other.hasty;
        self.brier += other.brier;
    }

    fn line(&self, name: &str) -> String {
        let share = |n: usize| 100.0 * n as f64 / self.cases as f64;
        format!(
            "{name:24} {:5} cases  scope {:5.1} %  cause {:5.1} %  inconclusive {:4.1} %  wrong {:4.1} %  asks {:4.1}  slowest {:.1} s",
            self.cases,
            share(self.scope),
            share(self.cause),
            share(self.inconclusive),
            share(self.wrong),
            self.asks as f64 / self.cases as f64,
            self.slowest / 1_000.0
        )
    }
}

/// Runs so many cases of every class; the seed space is its own for every noise.
fn simulate(per_class: u64, noise: f64) -> Score {
    let mut all = Score::default();
    eprintln!("noise x {noise}");
    for (index, class) in CLASSES.iter().enumerate() {
        let mut score = Score::default();
        for n in 0..per_class {
            let seed = ((index as u64) << 32) + (noise * 10.0) as u64 * 1_000_003 + n;
            let run = case(class, seed, noise).run();
            if !class.truth.scopes.contains(&run.verdict.scope)
                && std::env::var_os("VERBOSE").is_some()
            {
                eprintln!(
                    "  {} #{n}: {} {:?}",
                    class.name,
                    run.verdict.headline,
                    run.verdict
                        .scopes
                        .iter()
                        .filter(|(_, p)| **p > 0.02)
                        .collect::<Vec<_>>()
                );
                for e in &run.verdict.evidence {
                    eprintln!("      {:.2} {}", e.log10_bayes_factor, e.says);
                }
            }
            if run.ms > 8_000.0 && std::env::var_os("VERBOSE").is_some() {
                eprintln!(
                    "  SLOW {} #{n} {:.0} ms {} asks {} rounds {:?}",
                    class.name, run.ms, run.asks, run.rounds, run.log
                );
            }
            if let Some(patient) = &run.had_all_been_heard
                && patient.scope != run.verdict.scope
            {
                eprintln!(
                    "  HASTY {} #{n}: {} {:.3} | {} {:.3} {:?} {:?}",
                    class.name,
                    run.verdict.headline,
                    run.verdict.confidence,
                    patient.headline,
                    patient.confidence,
                    patient
                        .scopes
                        .iter()
                        .filter(|(_, p)| **p > 0.02)
                        .collect::<Vec<_>>(),
                    run.verdict
                        .advisories
                        .iter()
                        .map(|a| &a.says)
                        .collect::<Vec<_>>()
                );
            }
            score.add(&class.truth, &run);
        }
        eprintln!("{}", score.line(class.name));
        all.sum(&score);
    }
    let reported = (all.cases - all.inconclusive).max(1);
    eprintln!(
        "{}\nreported and right {:.1} %, Brier of the scope {:.3}, {} early stops, {} of them hasty",
        all.line("all"),
        100.0 * (reported - all.wrong) as f64 / reported as f64,
        all.brier / reported as f64,
        all.early,
        all.hasty
    );
    all
}

/// Cases of each class: enough to notice a break in seconds; `CASES=100` for figures.
fn per_class() -> u64 {
    std::env::var("CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4)
}

#[test]
fn faults_are_found_in_noise() {
    let score = simulate(per_class(), 1.0);
    let share = |n: usize| n as f64 / score.cases as f64;
    assert!(share(score.scope) >= 0.97, "scope");
    assert!(share(score.cause) >= 0.97, "cause");
    assert!(share(score.wrong) <= 0.01, "wrong");
    assert!(score.slowest < 8_000.0, "slow");
    assert_eq!(score.hasty, 0, "verdicts that waiting would have changed");
}

#[test]
fn more_noise_makes_it_silent_before_it_makes_it_wrong() {
    let score = simulate(per_class(), 2.5);
    let share = |n: usize| n as f64 / score.cases as f64;
    assert!(share(score.scope) >= 0.95, "scope");
    assert!(share(score.cause) >= 0.95, "cause");
    assert!(share(score.wrong) <= 0.02, "wrong");
    assert!(score.slowest < 8_000.0, "slow");
    assert_eq!(score.hasty, 0, "verdicts that waiting would have changed");
}
