//! `onlyhere-lab`: runs the scenarios, plays the demo, or opens a shell in the little internet.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use onlyhere_lab::lab::permission;
use onlyhere_lab::scenario::{Options, Scenario, run_all};
use onlyhere_lab::{LabError, demo, formats, guard, hostile};

/// A small real internet on this machine, in which Onlyhere is tried.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios and print a table; exits with 1 when one comes out wrong, with 77 when none can be run here
    Run(Run),
    /// Ask a probe for everything that it must not try, count the packets, and print a table; exit codes as for `run`
    Guard(Guard),
    /// Set hostile targets, names and probes against the real programs and print a table; exit codes as for `run`
    Hostile(Hostile),
    /// Run every scope and exit code through every format of `onlyhere check` and print a table; exit codes as for `run`
    Formats {
        /// Only faults of scenarios whose name contains this
        #[arg(long)]
        filter: Option<String>,
    },
    /// Show one real ban from the first failed login to the verdict and back
    Demo,
    /// Build an internet and open a shell on one of its hosts
    Shell {
        /// The plan: a file in topologies/ without its ending
        #[arg(default_value = "eight-networks")]
        topology: String,
        /// The host to stand on
        #[arg(long, default_value = "caller")]
        host: String,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Run the whole set this often, shuffled from the second time on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Run this many scenarios at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Run only scenarios whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Decides the shuffling and which packets are lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the files of every internet
    #[arg(long)]
    keep: bool,
    /// Keep all cores busy meanwhile
    #[arg(long)]
    load: bool,
    /// Read the scenarios from here
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"))]
    scenarios: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Guard {
    /// Only targets whose text or disguise contains this
    #[arg(long)]
    filter: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Hostile {
    /// Only behaviours whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Build this many internets and share the behaviours out among them
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Keep the files of every internet
    #[arg(long)]
    keep: bool,
    /// Only say which behaviours there are
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<LabError>() {
            Some(LabError::NoNamespaces { .. }) => {
                println!("{error}");
                ExitCode::from(permission::SKIPPED)
            }
            _ => {
                eprintln!("onlyhere-lab: {error:#}");
                ExitCode::from(2)
            }
        },
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(run) => run_scenarios(&run),
        Command::Guard(wanted) => ask_for_the_forbidden(wanted),
        Command::Hostile(hostile) => play_hostile(&hostile),
        Command::Formats { filter } => read_every_format(filter),
        Command::Demo => {
            permission::obtain()?;
            Ok(if demo::play()? {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Shell { topology, host } => {
            permission::obtain()?;
            demo::shell(&topologies().join(format!("{topology}.toml")), &host)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_scenarios(run: &Run) -> anyhow::Result<ExitCode> {
    let mut scenarios = Scenario::read_all(&run.scenarios)?;
    if let Some(filter) = &run.filter {
        scenarios.retain(|scenario| scenario.name.contains(filter));
        if scenarios.is_empty() {
            bail!("no scenario's name contains {filter:?}");
        }
    }
    if let Err(reason) = permission::obtain() {
        println!("runs: 0, right: 0, wrong: 0, skipped: {}", scenarios.len());
        return Err(reason.into());
    }
    let options = Options {
        topologies: topologies(),
        schema: Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.schema.json"),
        repeat: run.repeat,
        jobs: run.jobs.into(),
        seed: run.seed,
        keep: run.keep,
        load: run.load,
    };
    let wrong = run_all(&scenarios, &options).context("the lab itself failed")?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn ask_for_the_forbidden(wanted: Guard) -> anyhow::Result<ExitCode> {
    if let Err(reason) = permission::obtain() {
        println!("forbidden targets: 0, packets: not counted, skipped: all");
        return Err(reason.into());
    }
    let options = guard::Options {
        topology: topologies().join("guard.toml"),
        filter: wanted.filter,
    };
    let wrong = guard::play(&options).context("the lab itself failed")?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play_hostile(wanted: &Hostile) -> anyhow::Result<ExitCode> {
    let mut behaviours = hostile::behaviours();
    if let Some(filter) = &wanted.filter {
        behaviours.retain(|behaviour| behaviour.name.contains(filter));
        if behaviours.is_empty() {
            bail!("no hostile behaviour's name contains {filter:?}");
        }
    }
    if wanted.list {
        behaviours.iter().for_each(|b| println!("{}", b.name));
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(reason) = permission::obtain() {
        println!(
            "hostile behaviours: {}, held: 0, skipped: all",
            behaviours.len()
        );
        return Err(reason.into());
    }
    let options = hostile::play::Options {
        topology: topologies().join("hostile.toml"),
        jobs: wanted.jobs.into(),
        seed: 1,
        keep: wanted.keep,
    };
    let broken = hostile::play::all(&behaviours, &options).context("the lab itself failed")?;
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read_every_format(filter: Option<String>) -> anyhow::Result<ExitCode> {
    if let Err(reason) = permission::obtain() {
        println!("cells: 0, right: 0, wrong: 0, skipped: all");
        return Err(reason.into());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = formats::Options {
        scenarios: here.join("scenarios"),
        topologies: topologies(),
        schema: here.join("../docs/report.schema.json"),
        filter,
    };
    let wrong = formats::play(&options).context("the lab itself failed")?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn topologies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies")
}
