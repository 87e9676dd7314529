//! Runs scenarios, each in a fresh internet of its own, several at once, as often as asked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::table::{Table, explain};
use super::{Judge, Judged, Scenario, When};
use crate::LabError;
use crate::lab::{Topology, tail};
use crate::service::Programs;
use crate::stage::{CheckRun, Stage};

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the plans.
    pub topologies: PathBuf,
    /// The report's JSON schema.
    pub schema: PathBuf,
    /// How often the whole set is run.
    pub repeat: u32,
    /// How many scenarios run at once.
    pub jobs: usize,
    /// Decides the order from the second round on, and which packets are lost.
    pub seed: u64,
    /// Keep every internet's files.
    pub keep: bool,
    /// Keep all cores busy meanwhile.
    pub load: bool,
}

/// One scenario's turn.
#[derive(Debug)]
struct Turn<'a> {
    scenario: &'a Scenario,
    seed: u64,
}

/// What is left of a turn.
struct Played {
    judged: Judged,
    took: Duration,
    stderr: String,
    logs: String,
}

/// Runs all scenarios and prints the table. Returns how many turns came out wrong.
pub fn run_all(scenarios: &[Scenario], options: &Options) -> Result<usize, LabError> {
    let judge = Judge::new(&options.schema)?;
    let programs = Programs::beside_me()?;
    let table = Table::new(scenarios);
    let turns = turns(scenarios, options);
    let count = turns.len();
    // Also whose turn it is to print.
    let wrong = Mutex::new(0);
    let started = Instant::now();
    let load = options.load.then(Load::start);
    table.head().map_err(LabError::io("print"))?;
    share_out(turns, options.jobs, |turn| {
        let played = play(&turn, options, &judge, &programs)?;
        let mut wrong = lock(&wrong);
        *wrong += usize::from(!played.judged.misses.is_empty());
        // A reader who has gone away must not stop the count.
        let _ = show(&table, turn.scenario, &played);
        Ok(())
    })?;
    drop(load);
    let wrong = *lock(&wrong);
    summarize(count, wrong, started.elapsed(), options);
    Ok(wrong)
}

/// Hands the turns to `jobs` threads, in order. The first failure ends it when the turns under way are over.
fn share_out<T: Send>(
    turns: VecDeque<T>,
    jobs: usize,
    play: impl Fn(T) -> Result<(), LabError> + Sync,
) -> Result<(), LabError> {
    let queue = Mutex::new(turns);
    let failure: Mutex<Option<LabError>> = Mutex::new(None);
    // A function of its own: what `while let` looks at would stay locked for the whole turn.
    let next = || lock(&queue).pop_front();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(turn) = next() {
                    if let Err(error) = play(turn) {
                        lock(&queue).clear();
                        lock(&failure).get_or_insert(error);
                    }
                }
            });
        }
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

/// The first round in the files' order, the others shuffled.
fn turns<'a>(scenarios: &'a [Scenario], options: &Options) -> VecDeque<Turn<'a>> {
    let mut luck = SmallRng::seed_from_u64(options.seed);
    let mut turns = VecDeque::new();
    for round in 0..options.repeat {
        let mut order: Vec<&Scenario> = scenarios.iter().collect();
        if round > 0 {
            order.shuffle(&mut luck);
        }
        let seed = options.seed.wrapping_add(u64::from(round));
        turns.extend(order.into_iter().map(|scenario| Turn { scenario, seed }));
    }
    turns
}

fn play(
    turn: &Turn<'_>,
    options: &Options,
    judge: &Judge,
    programs: &Programs,
) -> Result<Played, LabError> {
    let scenario = turn.scenario;
    let plan = Topology::read(
        &options
            .topologies
            .join(format!("{}.toml", scenario.topology)),
    )?;
    let mut stage = Stage::set(
        plan.without(&scenario.without)?,
        turn.seed,
        programs.clone(),
    )?;
    if options.keep {
        eprintln!(
            "{}: files stay in {}",
            scenario.name,
            stage.keep_files().display()
        );
    }
    let run = check_while_breaking(&mut stage, scenario)?;
    let judged = judge.judge(&scenario.expect, &run);
    let logs = if judged.misses.is_empty() {
        String::new()
    } else {
        stage.log_tails(12)
    };
    Ok(Played {
        judged,
        took: run.elapsed,
        stderr: tail(&run.stderr, 30),
        logs,
    })
}

fn check_while_breaking(stage: &mut Stage, scenario: &Scenario) -> Result<CheckRun, LabError> {
    let mut later = Vec::new();
    for fault in &scenario.faults {
        match fault.at {
            When::Before => stage.apply(&fault.action)?,
            When::Seconds(seconds) => later.push((Duration::from_secs_f64(seconds), &fault.action)),
        }
    }
    later.sort_by_key(|(at, _)| *at);
    let mut args = vec!["--format".to_owned(), "json".to_owned()];
    args.extend(scenario.args.iter().cloned());
    let check = stage.start_check(&scenario.target, &args, &scenario.env)?;
    let started = Instant::now();
    for (at, action) in later {
        thread::sleep(at.saturating_sub(started.elapsed()));
        stage.apply(action)?;
    }
    check.finish()
}

fn show(table: &Table, scenario: &Scenario, played: &Played) -> std::io::Result<()> {
    table.row(scenario, &played.judged, played.took)?;
    if played.judged.misses.is_empty() {
        return Ok(());
    }
    explain(scenario, &played.judged, &played.stderr, &played.logs)
}

fn summarize(count: usize, wrong: usize, took: Duration, options: &Options) {
    let seed = options.seed;
    let minutes = took.as_secs_f64() / 60.0;
    let right = count - wrong;
    anstream::println!(
        "runs: {count}, right: {right}, wrong: {wrong}, skipped: 0; {minutes:.1} min, seed {seed}"
    );
}

/// A thread per core that computes until it is dropped, to show that verdicts do not depend on an idle machine.
#[derive(Debug)]
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..cores)
            .map(|_| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(seed: u64) -> Vec<String> {
        let text = |name: &str| {
            format!(
                "name = \"{name}\"\nabout = \"a\"\n[expect]\nscope = \"ok\"\nmechanism = \"none\"\nexit = 0\n"
            )
        };
        let scenarios: Vec<Scenario> = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .map(|name| Scenario::parse(&text(name)).expect("it is right"))
            .collect();
        let options = Options {
            topologies: PathBuf::new(),
            schema: PathBuf::new(),
            repeat: 3,
            jobs: 1,
            seed,
            keep: false,
            load: false,
        };
        turns(&scenarios, &options)
            .iter()
            .map(|turn| turn.scenario.name.clone())
            .collect()
    }

    #[test]
    fn every_round_plays_every_scenario_once_in_an_order_that_the_seed_decides() {
        let played = names(1);
        assert_eq!(played[..6].concat(), "abcdef");
        for round in played.chunks(6) {
            let mut sorted = round.to_vec();
            sorted.sort();
            assert_eq!(sorted.concat(), "abcdef");
        }
        assert_eq!(played, names(1));
        assert_ne!(played, names(2));
    }

    #[test]
    fn as_many_turns_as_there_are_jobs_are_played_at_once() {
        let (now, most) = (Mutex::new(0), Mutex::new(0));
        let deadline = Instant::now() + Duration::from_secs(10);
        let played = share_out((0..4).collect(), 2, |_turn: i32| {
            *lock(&now) += 1;
            // Each waits for the other; alone it would wait in vain.
            while *lock(&now) < 2 && *lock(&most) < 2 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            let at_once = *lock(&now);
            let mut most = lock(&most);
            *most = at_once.max(*most);
            drop(most);
            *lock(&now) -= 1;
            Ok(())
        });
        assert!(played.is_ok());
        assert_eq!(*lock(&most), 2);
    }

    #[test]
    fn a_failure_ends_the_run_and_is_returned() {
        let count = Mutex::new(0);
        let played = share_out((0..10).collect(), 1, |turn: i32| {
            *lock(&count) += 1;
            if turn < 3 {
                Ok(())
            } else {
                Err(LabError::panicked(format!("turn {turn}")))
            }
        });
        assert_eq!(
            played.expect_err("turn 3 failed").to_string(),
            "turn 3: its thread panicked"
        );
        assert_eq!(*lock(&count), 4);
    }
}
