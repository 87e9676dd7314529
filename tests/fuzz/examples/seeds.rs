//! Writes the seeds that are made of the project's own files: `cargo run --example seeds` in this folder. The seeds that
//! are not made here were captured: DNS answers of unbound, answers of nginx, certificates of openssl.

use std::{fs, path::Path, time::Duration};

use onlyhere_diagnosis::{Case, Investigation};
use onlyhere_fuzz::check;
use onlyhere_proto::{CheckRequest, Observation, Report, wire};
use prost::Message;

const REPORTS: [&str; 4] = ["ban", "crash-loop", "ipv6-dead", "own-firewall"];
/// Of each report, so that a seed has few KiB.
const VANTAGES: usize = 2;
const OBSERVATIONS: usize = 6;

fn main() {
    for name in REPORTS {
        let text = read(&format!("../../docs/examples/{name}.json"));
        let report: Report = serde_json::from_str(&text).expect("an example is a report");
        requests(name, &report);
        answers(name, &report);
        let short = shortened(report);
        seed(
            "wire_report",
            name,
            &wire::Report::from(&short).encode_to_vec(),
        );
        seed(
            "replay_report",
            name,
            &serde_json::to_vec(&short).expect("JSON"),
        );
    }
    lines();
    seed(
        "config",
        "coordinator",
        read("../../coordinator/sample.toml").as_bytes(),
    );
    seed(
        "config",
        "probe",
        format!("p{}", read("../../probe-node/sample.toml")).as_bytes(),
    );
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new("seeds").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("a seed");
}

fn shortened(mut report: Report) -> Report {
    report.vantages.truncate(VANTAGES);
    for seen in &mut report.vantages {
        seen.observations.truncate(OBSERVATIONS);
    }
    report.verdict.causes.truncate(1);
    report.verdict.evidence.truncate(1);
    for evidence in &mut report.verdict.evidence {
        evidence.vantages.truncate(VANTAGES);
    }
    report
}

/// What the diagnosis asks in such a case.
fn requests(name: &str, report: &Report) {
    let case = Case {
        check: report.id.clone(),
        target: report.target.clone(),
        subject: report.subject.clone(),
        vantages: report
            .vantages
            .iter()
            .map(|seen| seen.vantage.clone())
            .collect(),
        conditions: report.conditions.clone(),
    };
    let mut investigation = Investigation::new(case);
    let opening = investigation.poll_asks(Duration::ZERO);
    for seen in &report.vantages {
        for observation in &seen.observations {
            investigation.handle_observation(observation.clone());
        }
    }
    let later = investigation.poll_asks(Duration::from_secs(2));
    for (at, ask) in opening
        .iter()
        .take(2)
        .chain(later.iter().take(3))
        .enumerate()
    {
        let request: &CheckRequest = &ask.request;
        seed(
            "wire_request",
            &format!("{name}-{at}"),
            &wire::CheckRequest::from(request).encode_to_vec(),
        );
    }
}

/// What a probe sends: its greeting, what it saw, and that it is done.
fn answers(name: &str, report: &Report) {
    use wire::attach_request::Message as FromProbe;
    let seen = report.vantages.last().expect("a vantage");
    let observations = seen
        .observations
        .iter()
        .take(OBSERVATIONS)
        .map(|observation| {
            wire::Observation::from(&Observation {
                check: check(),
                request: observation.request % 4,
                ..observation.clone()
            })
        });
    let messages = [
        FromProbe::Hello(wire::Hello {
            version: "0.1.0".to_owned(),
            capabilities: vec!["ipv4".to_owned()],
            source_addresses: vec!["192.0.2.7".to_owned()],
        }),
        FromProbe::Observations(wire::ObservationBatch {
            observations: observations.collect(),
        }),
        FromProbe::Done(wire::RequestDone {
            check_id: check().to_string(),
            request: 1,
            ..Default::default()
        }),
    ];
    let mut bytes = Vec::new();
    for message in messages {
        let message = wire::AttachRequest {
            message: Some(message),
        };
        message
            .encode_length_delimited(&mut bytes)
            .expect("a vector grows");
    }
    seed("wire_answers", name, &bytes);
}

/// The session that `docs/replay.md` shows.
fn lines() {
    let page = read("../../docs/replay.md");
    let said: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("> "))
        .collect();
    assert!(!said.is_empty(), "docs/replay.md shows a session");
    for (at, length) in [1, said.len() / 2, said.len()].into_iter().enumerate() {
        seed(
            "replay_lines",
            &format!("session-{at}"),
            said[..length].join("\n").as_bytes(),
        );
    }
}
