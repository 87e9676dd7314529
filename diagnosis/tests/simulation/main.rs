//! Random cases in the model world: every fault class, with the noise, the ill vantages and the habits of hosts that
//! the field has. It measures how often scope and cause are right; figures in the documentation come from here:
//!
//! ```text
//! cargo test -p onlyhere-diagnosis --test simulation -- --nocapture
//! ```
//!
//! The generator knows the shapes of the faults and is written by the same hands as the model, so this is a bound on
//! what the model gets wrong by itself, not a measurement of the field. The lab is the other half.

mod classes;
#[path = "../world/mod.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use classes::{CLASSES, Class, Truth};
use onlyhere_proto::Scope;
use world::{Name, Reply, Run, Try, World};

/// A small generator (splitmix64): the same seed gives the same cases everywhere.
#[derive(Clone, Copy)]
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < p
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
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
