//! Does a packet leave a probe that must not? The real programs are asked for every forbidden target in every disguise, and
//! nftables counts.
//!
//! Each target is asked for twice: by a real coordinator that lets everything through, as `onlyhere check` makes it do,
//! and by `onlyhere-probe check --guarded` in the probe's own network. What is permitted is asked for first, to show that
//! the counters count.

mod counters;
mod facts;
mod ground;
mod row;
mod table;
mod targets;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::LabError;
use crate::lab::Host;
use counters::{Count, Counters};
use ground::{Ground, INNER_NETWORK, PROBE, PROOF, Permits};
use row::{Asker, End, Forbidden};
use table::Table;

/// Exit code of wrong usage or a wrong target.
const NO_TARGET: i32 = 2;
/// Whatever a caller asks for.
const EVERYTHING: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plan.
    pub topology: PathBuf,
    /// Only targets whose text or disguise contains this.
    pub filter: Option<String>,
}

/// Asks for everything and prints the table. Returns how many things came out wrong.
pub fn play(options: &Options) -> Result<usize, LabError> {
    let mut rows = targets::all();
    if let Some(filter) = &options.filter {
        rows.retain(|row| row.target.contains(filter) || row.about.contains(filter));
    }
    let everything = Permits {
        coordinator: &EVERYTHING,
        private_probe: &[INNER_NETWORK],
    };
    let ground = Ground::build(&options.topology, everything)?;
    let internet = ground.stage.internet();
    let counters = Counters::start(internet, PROBE, &["web", "ns"])?;
    let mut table = Table::default();
    table.head();
    prove_counters(&ground, &counters, &mut table)?;
    for row in &rows {
        try_row(&ground, &counters, row, &mut table)?;
    }
    facts::failing_requests_are_few(&ground, &mut table)?;
    facts::the_site_hears_who_asks(&ground, &mut table)?;
    facts::the_owner_sees_it(&ground, &rows, &mut table)?;
    facts::both_must_permit(&ground, &mut table)?;
    drop(ground);
    let narrow = Permits {
        coordinator: &[],
        private_probe: &[INNER_NETWORK],
    };
    let ground = Ground::build(&options.topology, narrow)?;
    facts::the_coordinator_refuses(&ground, &mut table)?;
    Ok(table.summary())
}

/// What is permitted is counted: abroad in both families, and on the loopback device.
fn prove_counters(
    ground: &Ground,
    counters: &Counters<'_>,
    table: &mut Table,
) -> Result<(), LabError> {
    let loopback = format!("tcp://{PROOF}:9");
    for (target, is_looped) in [
        ("tcp://198.18.5.10:9", false),
        ("tcp://[2001:db8:5::10]:9", false),
        (loopback.as_str(), true),
    ] {
        let before = counters.read()?;
        ask_coordinator(ground, PROBE, target)?;
        let between = counters.read()?;
        ask_probe(ground, target)?;
        let after = counters.read()?;
        let counts = |count: Count| match is_looped {
            true => count.looped > 0 && count.out == 0,
            false => count.out > 0 && count.routed > 0 && count.looped == 0,
        };
        let both = counts(between.since(before)) && counts(after.since(between));
        table.proof(target, both, after.since(before));
    }
    Ok(())
}

fn try_row(
    ground: &Ground,
    counters: &Counters<'_>,
    row: &Forbidden,
    table: &mut Table,
) -> Result<(), LabError> {
    let mut wrong = Vec::new();
    let before = counters.read()?;
    if row.asker != Asker::OwnerOnly {
        restart_turns_for(ground, row)?;
        let output = ask_coordinator(ground, PROBE, &row.target)?;
        let seen = observations_of(&output, PROBE);
        wrong.extend(miss(ground, row, &output, &seen, "coordinator")?);
        let told = Value::Array(seen).to_string();
        let secret = row.secret.filter(|secret| told.contains(secret));
        wrong.extend(secret.map(|secret| format!("the coordinator was told {secret}")));
    }
    if row.asker != Asker::CoordinatorOnly {
        restart_turns_for(ground, row)?;
        let output = ask_probe(ground, &row.target)?;
        let seen = observations_alone(&output);
        wrong.extend(miss(ground, row, &output, &seen, "onlyhere-probe check")?);
    }
    table.row(row, counters.read()?.since(before), &wrong);
    Ok(())
}

fn restart_turns_for(ground: &Ground, row: &Forbidden) -> Result<(), LabError> {
    match row.target.contains("rebind.example") {
        true => ground.restart_turns(),
        false => Ok(()),
    }
}

/// How it ended, where it did not end as it must; a target that nobody was asked for proves nothing.
fn miss(
    ground: &Ground,
    row: &Forbidden,
    output: &Output,
    seen: &[Value],
    who: &str,
) -> Result<Option<String>, LabError> {
    let ends = match row.end {
        End::NoTarget => output.status.code() == Some(NO_TARGET),
        End::NameServer => row.end.is_shown_by(seen) && was_server_refused(ground)?,
        end => end.is_shown_by(seen),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((!ends).then(|| {
        let seen = Value::Array(seen.to_vec());
        let said = said.lines().next_back().unwrap_or_default();
        let status = output.status;
        format!(
            "{who}: not {}; {status}; it saw {seen} {said}",
            row.end.shown()
        )
    }))
}

fn was_server_refused(ground: &Ground) -> Result<bool, LabError> {
    Ok(owners_log(ground)?.iter().any(|entry| {
        let denied = entry["denied"].to_string();
        denied.contains("the name server") && denied.contains(targets::INNER_SERVER.1)
    }))
}

/// `onlyhere check` of a caller who leaves it to one probe.
fn ask_coordinator(ground: &Ground, probe: &str, target: &str) -> Result<Output, LabError> {
    let from = format!("probe:{probe}");
    let args = [
        "--no-local",
        "--from",
        &from,
        "--format",
        "json",
        "--timeout",
        "8s",
    ];
    let args: Vec<String> = args.map(str::to_owned).into();
    let mut command = ground.stage.check(target, &args)?;
    run(&mut command, "onlyhere check")
}

/// `onlyhere-probe check --guarded` on the probe's own host, with the settings that its daemon runs with.
fn ask_probe(ground: &Ground, target: &str) -> Result<Output, LabError> {
    let host = ground.stage.internet().host(PROBE)?;
    let mut command = probe_program(ground, host)?;
    let config = host.dir().join("probe/config.toml");
    command
        .args(["check", target, "--format", "json", "--guarded", "--config"])
        .arg(config);
    run(&mut command, "onlyhere-probe check")
}

fn probe_program(ground: &Ground, host: &Host) -> Result<Command, LabError> {
    let fleet = ground.stage.fleet().ok_or_else(|| LabError::Unknown {
        kind: "program",
        name: "onlyhere-probe".into(),
    })?;
    Ok(host.command(&fleet.programs().probe))
}

fn run(command: &mut Command, what: &str) -> Result<Output, LabError> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(LabError::io(format!("run {what}")))
}

/// What a probe saw, from the report of a check.
fn observations_of(output: &Output, probe: &str) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let vantages = report["vantages"].as_array().into_iter().flatten();
    let mut own = vantages.filter(|vantage| vantage["id"] == probe);
    let seen = own.next().map(|vantage| vantage["observations"].clone());
    seen.and_then(|seen| seen.as_array().cloned())
        .unwrap_or_default()
}

fn observations_alone(output: &Output) -> Vec<Value> {
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let seen = whole["observations"].as_array();
    seen.cloned().unwrap_or_default()
}

/// What `onlyhere-probe log` shows.
fn owners_log(ground: &Ground) -> Result<Vec<Value>, LabError> {
    let host = ground.stage.internet().host(PROBE)?;
    let mut command = probe_program(ground, host)?;
    command
        .args(["log", "--since", "1h", "--limit", "100000"])
        .args(["--format", "json", "--data-dir"])
        .arg(host.dir().join("probe/data"));
    let output = run(&mut command, "onlyhere-probe log")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines();
    Ok(lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}
