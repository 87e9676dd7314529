//! Every scope, exit code and format once, through the real program: each row is a fault of a scenario, each cell one
//! `onlyhere check` in one format and one `onlyhere replay` of its report, read by a real parser of that format.

mod read;
mod rows;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::LabError;
use crate::lab::{Topology, tail};
use crate::scenario::{Scenario, When};
use crate::service::Programs;
use crate::stage::{CheckRun, Stage};
use read::Reader;
use rows::{Row, SCENES, Scene, Way};

/// All there are, as the command line names them.
pub const FORMATS: [&str; 5] = ["text", "json", "markdown", "junit", "github"];

/// How to play.
#[derive(Debug)]
pub struct Options {
    /// Where the scenarios are.
    pub scenarios: PathBuf,
    /// Where the plans are.
    pub topologies: PathBuf,
    /// The report's JSON schema.
    pub schema: PathBuf,
    /// Only scenes whose scenario's name contains this.
    pub filter: Option<String>,
}

/// Plays all scenes, prints the table, and returns how many cells are wrong.
pub fn play(options: &Options) -> Result<usize, LabError> {
    let programs = Programs::beside_me()?;
    let reader = Reader::new(&options.schema)?;
    let scenarios = Scenario::read_all(&options.scenarios)?;
    let mut wrong = Vec::new();
    let mut cells = 0;
    head();
    for scene in SCENES {
        if let Some(filter) = &options.filter
            && !scene.scenario.contains(filter.as_str())
        {
            continue;
        }
        let scenario = scenarios
            .iter()
            .find(|scenario| scenario.name == scene.scenario)
            .ok_or_else(|| LabError::Unknown {
                kind: "scenario",
                name: scene.scenario.into(),
            })?;
        let stage = set(scenario, options, &programs)?;
        for row in scene.rows {
            let found = play_row(&stage, scenario, row, &programs, &reader)?;
            cells += found.len();
            print(scene, row, &found);
            wrong.extend(found.into_iter().filter_map(|cell| cell.miss));
        }
    }
    for miss in &wrong {
        anstream::println!("{miss}");
    }
    anstream::println!(
        "cells: {cells}, right: {}, wrong: {}, skipped: 0",
        cells - wrong.len(),
        wrong.len()
    );
    Ok(wrong.len())
}

/// One format of a row.
struct Cell {
    exit: Option<i32>,
    miss: Option<String>,
}

fn set(scenario: &Scenario, options: &Options, programs: &Programs) -> Result<Stage, LabError> {
    let file = format!("{}.toml", scenario.topology);
    let plan = Topology::read(&options.topologies.join(file))?;
    let mut stage = Stage::set(plan.without(&scenario.without)?, 1, programs.clone())?;
    for fault in &scenario.faults {
        match fault.at {
            When::Before => stage.apply(&fault.action)?,
            When::Seconds(_) => {
                let what = "a scenario of the table whose fault comes later";
                return Err(LabError::panicked(what.to_owned()));
            }
        }
    }
    Ok(stage)
}

fn play_row(
    stage: &Stage,
    scenario: &Scenario,
    row: &Row,
    programs: &Programs,
    reader: &Reader,
) -> Result<Vec<Cell>, LabError> {
    let mut cells = Vec::new();
    for format in FORMATS {
        let folder = tempfile::tempdir().map_err(LabError::io("make a folder"))?;
        let told = one(stage, scenario, row, programs, format, folder.path())?;
        let mut misses = Vec::new();
        for (how, run) in &told {
            let what = format!("{} {} ({how} {format})", scenario.name, row.label);
            for miss in judge(row, format, run, folder.path(), reader) {
                misses.push(format!("{what}: {miss}\n{}", tail(&run.stderr, 4)));
            }
        }
        cells.push(Cell {
            exit: told.first().and_then(|(_, run)| run.exit),
            miss: (!misses.is_empty()).then(|| misses.join("\n")),
        });
    }
    Ok(cells)
}

/// A check, and its report judged again; the runner's files stay in the folder.
fn one(
    stage: &Stage,
    scenario: &Scenario,
    row: &Row,
    programs: &Programs,
    format: &str,
    folder: &Path,
) -> Result<Vec<(&'static str, CheckRun)>, LabError> {
    let words = |all: &[&str]| {
        all.iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let args = [&["--format", format], row.args].concat();
    let target = row.target.unwrap_or(&scenario.target);
    let env = runners_files(folder, "");
    match row.way {
        Way::Check => {
            let report =
                stage.start_check(target, &words(&["--format", "json"]), &BTreeMap::new())?;
            let report = report.finish()?;
            let live = stage.start_check(target, &words(&args), &env)?.finish()?;
            let file = folder.join("report.json");
            std::fs::write(&file, &report.stdout).map_err(LabError::io("write the report"))?;
            let env = runners_files(folder, "-again");
            let again = replay(programs, &file, &args, &env, folder, false)?;
            Ok(vec![("check", live), ("replay", again)])
        }
        Way::NoVerdict => {
            let live = stage.start_check(target, &words(&args), &env)?.finish()?;
            Ok(vec![("check", live)])
        }
        Way::FullDisk => {
            let report =
                stage.start_check(target, &words(&["--format", "json"]), &BTreeMap::new())?;
            let file = folder.join("report.json");
            std::fs::write(&file, report.finish()?.stdout)
                .map_err(LabError::io("write the report"))?;
            let again = replay(programs, &file, &args, &env, folder, true)?;
            Ok(vec![("replay", again)])
        }
    }
}

/// Where a runner of GitHub Actions would want its summary and outputs.
fn runners_files(folder: &Path, which: &str) -> BTreeMap<String, String> {
    [
        ("GITHUB_STEP_SUMMARY", "summary"),
        ("GITHUB_OUTPUT", "output"),
    ]
    .map(|(name, file)| {
        let path = folder.join(format!("{file}{which}"));
        (name.to_owned(), path.display().to_string())
    })
    .into()
}

fn replay(
    programs: &Programs,
    report: &Path,
    args: &[&str],
    env: &BTreeMap<String, String>,
    folder: &Path,
    full: bool,
) -> Result<CheckRun, LabError> {
    let output = folder.join("stdout");
    let stdout = match full {
        true => File::options().write(true).open("/dev/full"),
        false => File::create(&output),
    };
    let started = std::time::Instant::now();
    let run = Command::new(&programs.onlyhere)
        .arg("replay")
        .arg(report)
        .args(args)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(stdout.map_err(LabError::io("open the standard output"))?)
        .output()
        .map_err(LabError::io("start onlyhere replay"))?;
    Ok(CheckRun {
        exit: run.status.code(),
        elapsed: started.elapsed(),
        stdout: std::fs::read_to_string(&output).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&run.stderr).into_owned(),
    })
}

/// Every way in which what was printed differs from what the row expects.
fn judge(row: &Row, format: &str, run: &CheckRun, folder: &Path, reader: &Reader) -> Vec<String> {
    let mut misses = Vec::new();
    if run.exit != Some(row.exit) {
        misses.push(format!("exit code {:?}, not {}", run.exit, row.exit));
    }
    let Some(scope) = row.scope else {
        if !run.stdout.is_empty() {
            misses.push(format!(
                "there is no verdict, and yet it prints {}",
                run.stdout
            ));
        }
        if run.stderr.lines().count() != 1 || !run.stderr.starts_with("onlyhere: ") {
            misses.push("why is not told in one sentence".to_owned());
        }
        return misses;
    };
    misses.extend(reader.read(format, &run.stdout, scope, row.exit).err());
    if format == "github" {
        for which in ["", "-again"] {
            let text = |file| std::fs::read_to_string(folder.join(format!("{file}{which}")));
            let (Ok(summary), Ok(output)) = (text("summary"), text("output")) else {
                misses.push("a file of the runner is missing".to_owned());
                continue;
            };
            misses.extend(reader.read("markdown", &summary, scope, row.exit).err());
            misses.extend(read::outputs(&output, scope, row.exit).err());
        }
    }
    misses
}

fn head() {
    let mut line = format!("  {:20} {:26} {:4}", "scenario", "row", "exit");
    for format in FORMATS {
        let _ = write!(line, "  {format:8}");
    }
    anstream::println!("{}", line.trim_end());
}

fn print(scene: &Scene, row: &Row, cells: &[Cell]) {
    let mut line = format!("  {:20} {:26} {:4}", scene.scenario, row.label, row.exit);
    for cell in cells {
        let exit = cell.exit.map_or("–".to_owned(), |code| code.to_string());
        let mark = if cell.miss.is_none() { '✓' } else { '✗' };
        let _ = write!(line, "  {mark} {exit:6}");
    }
    anstream::println!("{}", line.trim_end());
}
