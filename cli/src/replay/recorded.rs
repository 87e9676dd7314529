//! A report judged again: the observations that it holds, by the diagnosis as it is today.
//!
//! A report comes from a file that anybody may have written, so it passes the same doors as what comes off the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use onlyhere_diagnosis::{Case, Investigation};
use onlyhere_proto::{
    CheckId, Conditions, Observation, Purpose, REPORT_SCHEMA, Report, Subject, Target, Vantage,
    VantageName, VantageReport, Verdict, limits, wire,
};
use serde::Deserialize;

use super::VANTAGES;
use crate::{
    answer::Answer,
    args::{DemandArgs, ShowArgs},
    error::CliError,
    render,
    standing::{Demands, Standing},
};

/// Longest report that is read, bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Judges the report in a file (`-`: standard input) again, prints it with the new verdict, and gives the exit code.
pub fn run(path: &Path, show: &ShowArgs, demands: &DemandArgs) -> Result<ExitCode, CliError> {
    let report = load(path)?;
    let demands = Demands::read(demands, &report.target)?;
    let was = gist(&report.verdict);
    let report = judge(report).map_err(|why| refused(path, why))?;
    let is = gist(&report.verdict);
    if was != is {
        render::complain(&format!(
            "the report itself says {was}; judged again it is {is}"
        ));
    }
    let answer = Answer {
        report: &report,
        alone: None,
        standing: Standing::of(&report, &demands),
    };
    answer.tell(show)
}

/// The report in a file (`-`: standard input), as it stands there.
pub fn load(path: &Path) -> Result<Report, CliError> {
    let bytes = read(path).map_err(|error| refused(path, format!("cannot be read: {error}")))?;
    parse(&bytes).map_err(|why| refused(path, why))
}

fn refused(path: &Path, why: String) -> CliError {
    CliError::Usage(format!("{}: {why}", path.display()))
}

/// One byte more than allowed, at most.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(LONGEST + 1)
            .read_to_end(&mut bytes)?;
    } else {
        File::open(path)?
            .take(LONGEST + 1)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// What makes a verdict a different one.
fn gist(verdict: &Verdict) -> String {
    match verdict.causes.first() {
        Some(cause) => format!("{} ({})", verdict.scope, cause.id),
        None => verdict.scope.to_string(),
    }
}

/// Reads a report; the sentence says what it is instead.
pub fn parse(bytes: &[u8]) -> Result<Report, String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    if bytes.len() as u64 > LONGEST {
        return Err(format!(
            "this is longer than {LONGEST} bytes, and no report"
        ));
    }
    let Schema { schema } = serde_json::from_slice(bytes).map_err(|error| {
        shown(format_args!(
            "this is no report as `--format json` prints it: {error}"
        ))
    })?;
    if schema != REPORT_SCHEMA {
        return Err(format!(
            "the report's schema is `{}`, and {REPORT_SCHEMA} is what can be judged again",
            limits::plain_text(&schema, 64)
        ));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| shown(format_args!("the report cannot be: {error}")))
}

/// A library's error repeats what it has read.
fn shown(error: std::fmt::Arguments<'_>) -> String {
    limits::plain_text(&error.to_string(), limits::TEXT)
}

/// The same report with the verdict of today; whether it was provisional stays. The sentence says why it cannot be.
pub fn judge(report: Report) -> Result<Report, String> {
    let vantages = vantages(&report.id, report.vantages)?;
    let case = Case {
        check: report.id.clone(),
        target: Target::try_from(wire::Target::from(&report.target)).map_err(impossible)?,
        subject: subject(&report.subject, &vantages)?,
        vantages: vantages.iter().map(|seen| seen.vantage.clone()).collect(),
        conditions: Conditions::try_from(wire::Conditions::from(&report.conditions))
            .map_err(impossible)?,
    };
    let (subject, conditions, target) = (
        case.subject.clone(),
        case.conditions.clone(),
        case.target.clone(),
    );
    let observations = vantages
        .iter()
        .flat_map(|seen| seen.observations.iter().cloned());
    let verdict = Verdict {
        complete: report.verdict.complete,
        ..Investigation::replay(case, observations)
    };
    Ok(Report {
        target,
        subject,
        conditions,
        vantages,
        verdict,
        ..report
    })
}

fn impossible(error: onlyhere_proto::Invalid) -> String {
    format!("the report cannot be: {error}")
}

fn subject(subject: &Subject, vantages: &[VantageReport]) -> Result<Subject, String> {
    let subject = Subject::try_from(wire::Subject::from(subject)).map_err(impossible)?;
    match &subject.vantage {
        Some(name) if !vantages.iter().any(|seen| seen.vantage.id == *name) => Err(format!(
            "the report cannot be: its subject is {name}, which is none of its vantages"
        )),
        _ => Ok(subject),
    }
}

fn vantages(check: &CheckId, reports: Vec<VantageReport>) -> Result<Vec<VantageReport>, String> {
    if reports.is_empty() || reports.len() > VANTAGES {
        return Err(format!(
            "the report cannot be: it has {} vantages, and from 1 to {VANTAGES} are possible",
            reports.len()
        ));
    }
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(reports.len());
    for report in reports {
        let name = report.vantage.id.clone();
        if !names.insert(name.clone()) {
            return Err(format!(
                "the report cannot be: two vantages are called {name}"
            ));
        }
        let vantage =
            Vantage::try_from(wire::Vantage::from(&report.vantage)).map_err(impossible)?;
        all.push(VantageReport {
            vantage: Vantage {
                name: limits::plain_text(&report.vantage.name, limits::TEXT),
                ..vantage
            },
            observations: observations(check, &name, &report.observations)?,
        });
    }
    Ok(all)
}

/// What one vantage saw, each observation possible by itself and beside the others.
fn observations(
    check: &CheckId,
    vantage: &VantageName,
    recorded: &[Observation],
) -> Result<Vec<Observation>, String> {
    let mut numbers = BTreeSet::new();
    let mut requests: BTreeMap<u32, (Purpose, u32)> = BTreeMap::new();
    let mut all = Vec::with_capacity(recorded.len());
    for observation in recorded {
        let refuse = |why: String| {
            Err(format!(
                "the report cannot be: observation {} of request {} of {vantage} {why}",
                observation.sequence, observation.request
            ))
        };
        if observation.vantage != *vantage {
            return refuse(format!("names {} as its vantage", observation.vantage));
        }
        if observation.check != *check {
            return refuse(format!("belongs to the check {}", observation.check));
        }
        if observation.sequence as usize >= limits::OBSERVATIONS_PER_REQUEST {
            return refuse(format!(
                "has a number that is not below {}",
                limits::OBSERVATIONS_PER_REQUEST
            ));
        }
        if !numbers.insert((observation.request, observation.sequence)) {
            return refuse("is there twice".to_owned());
        }
        let question = (observation.purpose, observation.slot);
        if *requests.entry(observation.request).or_insert(question) != question {
            return refuse("has another purpose or slot than the others of its request".to_owned());
        }
        match Observation::try_from(wire::Observation::from(observation)) {
            Ok(possible) => all.push(possible),
            Err(error) => return refuse(format!("is impossible: {error}")),
        }
    }
    Ok(all)
}
