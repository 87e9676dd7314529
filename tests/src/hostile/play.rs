//! Sets every behaviour against the real programs, and holds what must hold.
//!
//! For each: one check asks about it and another, at the same time and of the same vantages, about an honest site. Then the
//! programs must still run, within their memory, with no socket more than before, and idle.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::plain::unplain;
use super::room::{Asked, Room};
use super::table;
use super::vantage::MARK;
use super::watch::Watch;
use super::{Act, Behaviour};
use crate::LabError;
use crate::lab::{Topology, tail};
use crate::service::Programs;

/// Bounds of memory, KiB: what is resident at the most, the program's own text included.
const PROBE_KIB: u64 = 64 * 1024;
const COORDINATOR_KIB: u64 = 256 * 1024;
/// What a check is given.
const TIMEOUT: Duration = Duration::from_secs(8);
/// On top of it: starting and ending a program of 60 MB that was not optimised, on a machine that does other things as well.
const GRACE: Duration = Duration::from_secs(2);
/// Nothing is waited for beyond this.
const LIMIT: Duration = Duration::from_secs(40);
/// The honest check begins when the hostile one is at work.
const HEAD_START: Duration = Duration::from_millis(300);
/// After a check its connections may take so long to go away, and the programs to come to rest.
const SETTLING: Duration = Duration::from_secs(4);
/// Processor time that a program at rest may take, in hundredths of a second, during [`REST`].
const AT_REST_CENTIS: u64 = 10;
const REST: Duration = Duration::from_millis(500);
/// A hostile probe that can attach has done so by then.
const ATTACHING: u64 = 6;

const HONEST: &str = "https://shop.example";

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plan.
    pub topology: PathBuf,
    /// How many internets at once.
    pub jobs: usize,
    /// Which packets are lost, were any wire lossy.
    pub seed: u64,
    /// Keep every internet's files.
    pub keep: bool,
}

/// What became of one behaviour.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Scope, mechanism and headline.
    pub(super) verdict: String,
    pub(super) probe_kib: u64,
    pub(super) coordinator_kib: u64,
    pub(super) caller_kib: u64,
    pub(super) took: Duration,
    pub(super) honest: String,
    /// What does not hold; empty when all does.
    pub(super) misses: Vec<String>,
}

/// Plays all behaviours and prints the table. Returns how many did not hold.
pub fn all(behaviours: &[Behaviour], options: &Options) -> Result<usize, LabError> {
    let programs = Programs::beside_me()?;
    let topology = Topology::read(&options.topology)?;
    let started = Instant::now();
    let queue: Mutex<VecDeque<&Behaviour>> = Mutex::new(behaviours.iter().collect());
    let next = || lock(&queue).pop_front();
    // Also whose turn it is to print.
    let broken = Mutex::new(0);
    table::head().map_err(LabError::io("print"))?;
    let work = |job: usize| -> Result<(), LabError> {
        let seed = options.seed.wrapping_add(job as u64);
        let mut room = Room::open(topology.clone(), seed, &programs)?;
        if options.keep {
            eprintln!("files stay in {}", room.keep_files().display());
        }
        while let Some(behaviour) = next() {
            let outcome = meet(&room, behaviour)?;
            let mut broken = lock(&broken);
            *broken += usize::from(!outcome.misses.is_empty());
            // A reader who has gone away must not stop the count.
            let _ = table::row(behaviour, &outcome);
        }
        Ok(())
    };
    let jobs = options.jobs.clamp(1, behaviours.len().max(1));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|job| scope.spawn(move || work(job)))
            .collect();
        for worker in workers {
            let done = worker.join();
            done.unwrap_or_else(|_| Err(LabError::panicked("play hostile behaviours")))?;
        }
        Ok::<_, LabError>(())
    })?;
    let broken = *lock(&broken);
    table::total(behaviours.len(), broken, started.elapsed());
    Ok(broken)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The programs under test before a behaviour is met.
struct Before {
    probes: Vec<(Watch, usize)>,
    coordinator: (Watch, usize),
    /// Length of each log.
    logs: Vec<usize>,
}

impl Before {
    fn of(room: &Room) -> Result<Self, LabError> {
        let with_sockets = |watch: Watch| {
            watch.forget_peak()?;
            let sockets = watch.sockets().unwrap_or(0);
            Ok((watch, sockets))
        };
        let probes = room.probes()?.into_iter().map(with_sockets);
        Ok(Self {
            probes: probes.collect::<Result<_, LabError>>()?,
            coordinator: with_sockets(room.coordinator()?)?,
            logs: room.logs()?.iter().map(|(_, said)| said.len()).collect(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &(Watch, usize)> {
        self.probes.iter().chain([&self.coordinator])
    }
}

fn meet(room: &Room, behaviour: &Behaviour) -> Result<Outcome, LabError> {
    let before = Before::of(room)?;
    let mallory = match behaviour.does {
        Act::Probe(_) => Some(room.unleash(behaviour.name)?),
        _ => None,
    };
    let mallory = mallory.map(|mut daemon| {
        // One that is cut off at its greeting never attaches.
        let _ = daemon.wait_for("attached", ATTACHING, |line| line == "attached");
        daemon
    });
    let mut hostile = room.ask("hostile", &behaviour.target(), TIMEOUT)?;
    thread::sleep(HEAD_START);
    let mut honest = room.ask("honest", HONEST, TIMEOUT)?;
    let started = Instant::now();
    while !(hostile.is_over()? & honest.is_over()?) && started.elapsed() < LIMIT {
        thread::sleep(Duration::from_millis(10));
    }
    let (hostile, honest) = (hostile.finish(), honest.finish());
    drop(mallory);
    room.is_hostile()?;
    let mut misses = Vec::new();
    judge_programs(&before, &mut misses);
    let logs = new_logs(room, &before)?;
    judge_texts(room, &hostile, &logs, &mut misses)?;
    let verdict = judge_verdict(behaviour, &hostile, &logs, &mut misses);
    if hostile.took > TIMEOUT + GRACE {
        misses.push(format!(
            "the check took {:.1} s",
            hostile.took.as_secs_f64()
        ));
    }
    let of_honest = in_short(&honest);
    if !of_honest.starts_with("ok none") || honest.took > TIMEOUT + GRACE {
        let took = honest.took.as_secs_f64();
        misses.push(format!("the honest check: {of_honest}, {took:.1} s"));
    }
    let peak = |(watch, _): &(Watch, usize)| watch.peak_kib().unwrap_or(u64::MAX);
    let outcome = Outcome {
        verdict,
        probe_kib: before.probes.iter().map(peak).max().unwrap_or(0),
        coordinator_kib: peak(&before.coordinator),
        caller_kib: hostile.peak_kib,
        took: hostile.took,
        honest: of_honest,
        misses,
    };
    Ok(with_memory_judged(outcome))
}

fn with_memory_judged(mut outcome: Outcome) -> Outcome {
    for (who, kib, most) in [
        ("a probe", outcome.probe_kib, PROBE_KIB),
        ("the coordinator", outcome.coordinator_kib, COORDINATOR_KIB),
        // The caller's own machine looks at the target like any probe, and has the same bound for it.
        ("the caller", outcome.caller_kib, PROBE_KIB),
    ] {
        if kib > most {
            let (mib, most) = (kib / 1024, most / 1024);
            outcome
                .misses
                .push(format!("{who} took {mib} MiB, more than {most}"));
        }
    }
    outcome
}

/// Alive, no socket more than before, and at rest.
fn judge_programs(before: &Before, misses: &mut Vec<String>) {
    let until = Instant::now() + SETTLING;
    for (watch, sockets) in before.all() {
        if !watch.is_alive() {
            misses.push(format!("{} has ended", watch.name));
            continue;
        }
        let left = || watch.sockets().unwrap_or(0).saturating_sub(*sockets);
        while left() > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        if left() > 0 {
            misses.push(format!(
                "{} still holds {} sockets more",
                watch.name,
                left() + 1
            ));
        }
    }
    let cpu = |watch: &Watch| watch.cpu_centis().unwrap_or(0);
    let took_at_rest = || {
        let start: Vec<u64> = before.all().map(|(watch, _)| cpu(watch)).collect();
        thread::sleep(REST);
        let end = before.all().map(|(watch, _)| cpu(watch));
        end.zip(start)
            .map(|(end, start)| end - start)
            .collect::<Vec<_>>()
    };
    let busy = |took: &[u64]| took.iter().any(|centis| *centis > AT_REST_CENTIS);
    let mut took = took_at_rest();
    while busy(&took) && Instant::now() < until {
        took = took_at_rest();
    }
    for ((watch, _), centis) in before.all().zip(took) {
        if centis > AT_REST_CENTIS {
            let percent = centis * 1_000 / REST.as_millis() as u64;
            misses.push(format!("{} still takes {percent} % of a core", watch.name));
        }
    }
}

fn new_logs(room: &Room, before: &Before) -> Result<Vec<(String, String)>, LabError> {
    let logs = room.logs()?.into_iter().zip(&before.logs);
    Ok(logs
        .map(|((name, said), from)| (name, said.get(*from..).unwrap_or("").to_owned()))
        .collect())
}

/// Nothing that could steer a terminal stands in what was printed or logged.
fn judge_texts(
    room: &Room,
    hostile: &Asked,
    logs: &[(String, String)],
    misses: &mut Vec<String>,
) -> Result<(), LabError> {
    let words = room.in_words(&hostile.stdout)?;
    let texts = [
        ("stdout", hostile.stdout.as_str()),
        ("stderr", hostile.stderr.as_str()),
        ("the report in words", words.as_str()),
    ];
    let logs = logs
        .iter()
        .map(|(name, said)| (name.as_str(), said.as_str()));
    for (name, text) in texts.into_iter().chain(logs) {
        if let Some(found) = unplain(text) {
            misses.push(format!("{name} could steer a terminal: {found}"));
        }
    }
    Ok(())
}

fn judge_verdict(
    behaviour: &Behaviour,
    hostile: &Asked,
    logs: &[(String, String)],
    misses: &mut Vec<String>,
) -> String {
    let mut verdict = in_short(hostile);
    let is_expected = |wanted: &&str| verdict.starts_with(&format!("{wanted}:"));
    if !behaviour.verdicts.iter().any(is_expected) {
        let wanted = behaviour.verdicts.join(" or ");
        misses.push(format!("the verdict is {verdict}, and should be {wanted}"));
    }
    if let Act::Probe(mallory) = behaviour.does {
        misses.extend(impersonated(&hostile.stdout));
        let log = logs.iter().find(|(name, _)| name == "coordinator");
        let mut lines = log.iter().flat_map(|(_, said)| said.lines());
        let cut = lines.rfind(|line| line.contains("mallory") && line.contains("cut off"));
        if let Some(why) = cut.and_then(|line| line.split_once("why=")) {
            verdict = format!("{verdict}; cut off: {}", why.1);
        }
        if !mallory.cut_off.is_empty() && !cut.is_some_and(|line| line.contains(mallory.cut_off)) {
            misses.push(format!(
                "the log does not say that it was cut off ({})",
                mallory.cut_off
            ));
        }
    }
    verdict
}

/// What a hostile probe wrote and stands under another's name.
fn impersonated(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    let vantages = report["vantages"].as_array().into_iter().flatten();
    vantages
        .filter(|vantage| vantage["id"] != "mallory")
        .filter(|vantage| vantage.to_string().contains(MARK))
        .map(|vantage| format!("mallory speaks for {}", vantage["id"]))
        .collect()
}

fn in_short(asked: &Asked) -> String {
    let report: Value = serde_json::from_str(&asked.stdout).unwrap_or_default();
    let verdict = &report["verdict"];
    let text = |key: &str| verdict[key].as_str().unwrap_or("-");
    if verdict.is_null() {
        let exit = asked
            .exit
            .map_or("killed".into(), |code| format!("exit {code}"));
        return format!("no report ({exit}): {}", tail(asked.stderr.trim(), 1));
    }
    format!(
        "{} {}: {}",
        text("scope"),
        text("mechanism"),
        text("headline")
    )
}
