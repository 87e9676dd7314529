//! How often the diagnosis is right, on cases that know what is the matter with them.
//!
//! `make bench-diagnosis`, or `cargo bench -p onlyhere-diagnosis --bench accuracy`. Settings from the environment:
//! `SEED`, `CASES` (of the main table; the others are fractions of it), `POOL` (remote vantages), `NOISE`, `JOBS` (threads),
//! `BUDGET` (seconds a check may take), `CLASS` (a part of a class's name), `QUICK=1` (the main table alone),
//! `ONLY=healthy` (the healthy alone),
//! `WORLD=table` (the main table from the second generator), `ONE=stream:class` (one case in full).
//!
//! The generators know nothing of the diagnosis: they answer requests as a network would.

mod answer;
mod baseline;
mod classes;
mod draw;
mod drive;
mod exchange;
mod metrics;
mod network;
mod nuisance;
mod path;
mod place;
mod random;
mod resolving;
mod rule;
mod scene;
mod show;
mod table;
mod table_columns;
mod table_outcome;
mod table_rows;
mod table_truth;
mod table_world;
mod world;

use std::str::FromStr;
use std::time::Instant;

use baseline::{Baseline, Learned, Lesson};
use drive::Extent;
use metrics::{Judged, Share};
use network::Network;

/// Which generator draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    Mechanism,
    Table,
}

/// What is to be drawn.
#[derive(Debug, Clone, Copy)]
struct Draw {
    generator: Generator,
    seed: u64,
    cases: usize,
    pool: usize,
    noise: f64,
    budget_ms: f64,
    jobs: usize,
}

fn main() {
    let table = std::env::var("WORLD").is_ok_and(|world| world == "table");
    let draw = Draw {
        generator: if table {
            Generator::Table
        } else {
            Generator::Mechanism
        },
        seed: setting("SEED", 1),
        cases: setting("CASES", 1_000),
        pool: setting("POOL", 16),
        noise: setting("NOISE", 1.0),
        budget_ms: setting("BUDGET", 10.0) * 1e3,
        jobs: setting("JOBS", 1),
    };
    println!("{draw:?}");
    if let Ok(one) = std::env::var("ONE") {
        return show_one(&one, draw);
    }
    if std::env::var("ONLY").is_ok_and(|part| part == "healthy") {
        return healthy(draw);
    }
    let judged = judge_all(draw);
    table::classes(&judged);
    table::causes(&judged);
    table::summary("all", &judged);
    table::misses(&judged);
    if std::env::var_os("QUICK").is_none() {
        others(draw);
    }
}

/// The other generator, more noise, smaller and larger pools, the healthy, and the baselines.
fn others(draw: Draw) {
    let third = Draw {
        cases: draw.cases / 3,
        ..draw
    };
    let second = Draw {
        generator: Generator::Table,
        ..third
    };
    let judged = judge_all(second);
    table::summary("second generator (table)", &judged);
    table::misses(&judged);
    let noisy = Draw {
        noise: 2.5,
        ..third
    };
    table::summary("noise x2.5", &judge_all(noisy));
    for pool in [3, 6, 24] {
        let draw = Draw {
            pool,
            cases: draw.cases / 5,
            ..draw
        };
        table::summary(&format!("{pool} remote vantages"), &judge_all(draw));
    }
    healthy(draw);
    baselines(draw);
}

/// Nothing is the matter, and much is noisy: who cries wolf?
fn healthy(draw: Draw) {
    let draw = Draw {
        noise: 2.5,
        pool: 6,
        cases: draw.cases * 2,
        ..draw
    };
    let judged = judge_these(&["ok"], draw, Extent::Final);
    let share = |hit: fn(&Judged) -> bool| Share::count(&judged, hit);
    println!(
        "\n== healthy, noise x2.5, 6 remote vantages: {} cases",
        judged.len()
    );
    println!("said to be well            {}", share(|j| j.right.scope));
    println!(
        "inconclusive               {}",
        share(|j| !j.right.reported)
    );
    println!(
        "false alarms               {}",
        share(|j| j.right.reported && !j.right.scope)
    );
    table::alarms(&judged);
    table::misses(&judged);
}

/// What simpler readings of the same openings come to.
fn baselines(draw: Draw) {
    let taught = openings(Draw {
        seed: draw.seed + 1_000_000,
        cases: draw.cases * 10,
        ..draw
    });
    let asked = openings(draw);
    println!(
        "\n== baselines, on the same openings: {} cases, taught on {} of other seeds",
        asked.len(),
        taught.len()
    );
    for (baseline, name) in Baseline::ALL {
        let learned = Learned::from(baseline, &taught);
        let mut right = [Share {
            hits: 0,
            of: asked.len(),
        }; 2];
        for lesson in &asked {
            let (cause, scope) = baseline::is_right(&lesson.truth, learned.say(&lesson.opening));
            right[0].hits += usize::from(cause);
            right[1].hits += usize::from(scope);
        }
        println!("{name:<26} cause {}   scope {}", right[0], right[1]);
    }
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
fn wanted(generator: Generator) -> Vec<&'static str> {
    let part = std::env::var("CLASS").unwrap_or_default();
    let mut names = match generator {
        Generator::Mechanism => classes::names(),
        Generator::Table => table_world::names(),
    };
    names.retain(|name| name.contains(&part));
    names
}

fn judge_all(draw: Draw) -> Vec<Judged> {
    judge_these(&wanted(draw.generator), draw, Extent::Whole)
}

fn judge_these(classes: &[&'static str], draw: Draw, extent: Extent) -> Vec<Judged> {
    each_case(classes, draw, |class, stream| {
        let mut scene = scene(class, stream, draw);
        let run = drive::run(&mut *scene, draw.budget_ms, extent);
        metrics::judge(class, stream, scene.truth(), &run)
    })
}

fn openings(draw: Draw) -> Vec<Lesson> {
    each_case(&wanted(draw.generator), draw, |class, stream| {
        let mut scene = scene(class, stream, draw);
        let run = drive::run(&mut *scene, draw.budget_ms, Extent::Opening);
        Lesson {
            opening: baseline::opening(scene.case(), &run.observations),
            truth: scene.truth().clone(),
        }
    })
}

fn scene(class: &'static str, stream: u64, draw: Draw) -> Box<dyn Network> {
    let Draw {
        seed, pool, noise, ..
    } = draw;
    match draw.generator {
        Generator::Mechanism => Box::new(classes::draw(class, seed, stream, pool, noise)),
        Generator::Table => Box::new(table_world::draw(class, seed, stream, pool, noise)),
    }
}

/// Every class as often, on `jobs` threads, in the order of the classes; the result does not depend on their number.
fn each_case<T: Send>(
    classes: &[&'static str],
    draw: Draw,
    each: impl Fn(&'static str, u64) -> T + Sync,
) -> Vec<T> {
    let began = Instant::now();
    let share = draw.cases.div_ceil(classes.len().max(1));
    let all: Vec<(&'static str, u64)> = classes
        .iter()
        .flat_map(|class| (0..share).map(|stream| (*class, stream as u64)))
        .collect();
    let jobs = draw.jobs.max(1);
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let (all, each) = (&all, &each);
        let worker = |job: usize| {
            scope.spawn(move || {
                let mine = all.iter().enumerate().skip(job).step_by(jobs);
                mine.map(|(i, (class, stream))| (i, each(class, *stream)))
                    .collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..jobs).map(worker).collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().expect("a worker"))
            .collect()
    });
    done.sort_by_key(|(i, _)| *i);
    println!(
        "\n({} cases in {:.1} s)",
        done.len(),
        began.elapsed().as_secs_f64()
    );
    done.into_iter().map(|(_, value)| value).collect()
}

fn show_one(one: &str, draw: Draw) {
    let (stream, class) = one.split_once(':').expect("ONE=stream:class");
    let stream = stream.parse().expect("a number");
    let names = [classes::names(), table_world::names()].concat();
    let class = *names.iter().find(|name| **name == class).expect("a class");
    let generator = if class.starts_with("t:") {
        Generator::Table
    } else {
        Generator::Mechanism
    };
    let draw = Draw { generator, ..draw };
    if generator == Generator::Mechanism {
        show::world(&classes::draw(
            class, draw.seed, stream, draw.pool, draw.noise,
        ));
    }
    let mut scene = scene(class, stream, draw);
    let run = drive::run(&mut *scene, draw.budget_ms, Extent::Whole);
    show::run(&run);
    let judged = metrics::judge(class, stream, scene.truth(), &run);
    println!("truth {:?}\nright {:?}", judged.truth, judged.right);
}
