//! How often the diagnosis is right, on cases that know what is the matter with them.
//!
//! `cargo bench -p onlyhere-diagnosis --bench accuracy`, or `make bench-diagnosis`. Settings from the environment:
//! `SEED`, `CASES` (of the main table), `POOL` (remote vantages), `NOISE`, `JOBS` (threads), `BUDGET` (seconds a check may
//! take), `CLASS` (a part of a class's name), `QUICK=1` (the main table alone), `ONE=stream:class` (one case in full),
//! `WORLD=table` (the second generator).
//!
//! The generators know nothing of the diagnosis: they answer requests as a network would.

mod answer;
mod classes;
mod drive;
mod exchange;
mod metrics;
mod network;
mod nuisance;
mod path;
mod place;
mod random;
mod rule;
mod show;
mod table;
mod world;

use std::str::FromStr;

use classes::{CLASSES, Class};
use drive::Extent;
use metrics::Judged;

/// What is to be drawn.
#[derive(Debug, Clone, Copy)]
struct Draw {
    seed: u64,
    cases: usize,
    pool: usize,
    noise: f64,
    budget_ms: f64,
    jobs: usize,
}

fn main() {
    let draw = Draw {
        seed: setting("SEED", 1),
        cases: setting("CASES", 3_000),
        pool: setting("POOL", 16),
        noise: setting("NOISE", 1.0),
        budget_ms: setting("BUDGET", 10.0) * 1e3,
        jobs: setting("JOBS", 1),
    };
    println!("{draw:?}");
    if let Ok(one) = std::env::var("ONE") {
        return show_one(&one, draw);
    }
    let judged = judge_all(draw);
    table::classes(&judged);
    table::causes(&judged);
    table::summary("all", &judged);
    table::misses(&judged);
}

fn setting<T: FromStr + Copy>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} cannot be read")),
        Err(_) => default,
    }
}

/// The classes that are wanted.
fn wanted() -> Vec<&'static Class> {
    let part = std::env::var("CLASS").unwrap_or_default();
    CLASSES.iter().filter(|c| c.name.contains(&part)).collect()
}

/// Every class as often, on `jobs` threads; the result does not depend on their number.
fn judge_all(draw: Draw) -> Vec<Judged> {
    let classes = wanted();
    let all: Vec<(&Class, u64)> = (0..draw.cases)
        .map(|i| (classes[i % classes.len()], (i / classes.len()) as u64))
        .collect();
    let mut judged: Vec<(usize, Judged)> = std::thread::scope(|scope| {
        let worker = |job: usize| {
            let all = &all;
            scope.spawn(move || {
                let mine = all.iter().enumerate().skip(job).step_by(draw.jobs.max(1));
                mine.map(|(i, (class, stream))| (i, judge_one(class, *stream, draw)))
                    .collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..draw.jobs.max(1)).map(worker).collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().expect("a worker"))
            .collect()
    });
    judged.sort_by_key(|(i, j)| (i % classes.len(), j.stream));
    judged.into_iter().map(|(_, j)| j).collect()
}

fn judge_one(class: &'static Class, stream: u64, draw: Draw) -> Judged {
    let mut scene = classes::draw(class, draw.seed, stream, draw.pool, draw.noise);
    let run = drive::run(&mut scene, draw.budget_ms, Extent::Whole);
    metrics::judge(class.name, stream, &scene.truth, &run)
}

fn show_one(one: &str, draw: Draw) {
    let (stream, class) = one.split_once(':').expect("ONE=stream:class");
    let class = CLASSES.iter().find(|c| c.name == class).expect("a class");
    let stream = stream.parse().expect("a number");
    let mut scene = classes::draw(class, draw.seed, stream, draw.pool, draw.noise);
    show::world(&scene);
    let run = drive::run(&mut scene, draw.budget_ms, Extent::Whole);
    show::run(&run);
    let judged = metrics::judge(class.name, stream, &scene.truth, &run);
    println!("truth {:?}\nright {:?}", judged.truth, judged.right);
}
