//! The state beside a serving process: what other processes change counts at once, backups, the audit log.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use common::{
    Coordinator, caller,
    probe::{self, Manner},
    process::{Process, run, run_well},
    within,
};
use onlyhere_coordinator::place::Place;
use onlyhere_proto::Outcome;
use tonic::Code;

const TARGET: &str = "tcp://shop.example:22";

/// A serving process on a data directory of its own.
fn serving() -> (Coordinator, Process) {
    let coordinator = Coordinator::of_process(tempfile::tempdir().unwrap());
    let process = Process::start(&coordinator);
    (coordinator, process)
}

fn create_client(data_dir: &Path, name: &str) -> String {
    let args = ["token", "create", "--kind", "client", "--name", name];
    run_well(data_dir, &args).trim().to_owned()
}

/// From the end of `probe revoke` to the end of the stream; ten times, because the moment within the watch varies.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_another_process_revokes_is_out_within_a_second() {
    let (coordinator, _process) = serving();
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let name = format!("fra{round}");
        let secret = coordinator.probe_token(&name, Place::default()).await;
        let identity = probe::enrol(&coordinator, secret.as_str(), "")
            .await
            .unwrap();
        let mut stream = probe::attach(&coordinator, &identity).await.unwrap();
        tokio::time::sleep(Duration::from_millis(37 * round)).await;
        run_well(coordinator.data_dir(), &["probe", "revoke", &name]);
        let revoked = Instant::now();
        assert_eq!(stream.hear_the_end().await.code(), Code::PermissionDenied);
        slowest = slowest.max(revoked.elapsed());
        let again = probe::attach(&coordinator, &identity).await;
        let again = again.map(|_| ()).unwrap_err();
        assert_eq!(again.code(), Code::PermissionDenied, "{again}");
    }
    println!("10 probes revoked by another process, the slowest out after {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_another_process_revokes_is_refused_at_once() {
    let (coordinator, _process) = serving();
    let token = create_client(coordinator.data_dir(), "ci");
    caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
    assert_eq!(
        run_well(coordinator.data_dir(), &["token", "revoke", "ci"]),
        "revoked 1\n"
    );
    let revoked = Instant::now();
    let refused = caller::check(&coordinator, &token, TARGET, Outcome::Ok).await;
    let refused = refused.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(refused.message().contains("has been revoked"), "{refused}");
    assert!(revoked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_did_what_to_what_from_where() {
    let (coordinator, mut process) = serving();
    let dir = coordinator.data_dir();
    let token = create_client(dir, "ci");
    let running = probe::start(&coordinator, "fra1", 64500, Manner::Healthy).await;
    let told = caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
    let spent = coordinator.probe_token("nyc1", Place::default()).await;
    let enrol = async || {
        let enrolled = probe::enrol(&coordinator, spent.as_str(), "").await;
        enrolled.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(enrol().await, Ok(()));
    assert_eq!(enrol().await, Err(Code::Unauthenticated));
    // A caller who goes in the middle of a check leaves a line as well.
    let _dead = probe::start(&coordinator, "ams1", 64501, Manner::Dead).await;
    let mut check = caller::open(&coordinator, &token, caller::start(TARGET))
        .await
        .unwrap();
    within(check.hear()).await.unwrap();
    drop(check);
    run_well(dir, &["probe", "revoke", "fra1"]);
    run_well(dir, &["token", "revoke", "ci"]);
    let left = |line: &serde_json::Value| line["outcome"] == "the caller left";
    let lines = within(async {
        loop {
            let printed = run_well(dir, &["audit", "--since", "1h", "--format", "json"]);
            let lines: Vec<serde_json::Value> = printed
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            if lines.iter().any(left) {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let find = |act: &str, subject: &str| {
        let is = |line: &&serde_json::Value| {
            line["act"] == act && line["subject"].as_str().unwrap().contains(subject)
        };
        let found: Vec<_> = lines.iter().filter(is).collect();
        assert!(!found.is_empty(), "no {act} of {subject} in {lines:#?}");
        found[0].clone()
    };
    assert_eq!(find("token_created", " ci")["who"], "operator");
    assert_eq!(find("token_revoked", " ci")["who"], "operator");
    assert_eq!(find("probe_revoked", "fra1")["who"], "operator");
    let joined = find("probe_enrolled", "nyc1");
    assert_eq!(joined["from"], "127.0.0.1");
    let refused = find("join_refused", "token ");
    assert_eq!(refused["who"], "stranger");
    assert_eq!(refused["from"], "127.0.0.1");
    assert_eq!(refused["outcome"], "the token has been used up");
    let checked = find("check", TARGET);
    let report = told.report();
    assert_eq!(checked["check"], report.id.to_string());
    assert_eq!(checked["who"], "token");
    assert_eq!(checked["who_name"], "ci");
    assert_eq!(checked["from"], "127.0.0.1");
    assert_eq!(checked["outcome"], report.verdict.scope.to_string());
    drop(running);
    process.stop();
    // As text, the latest last, no more than asked for.
    let printed = run_well(dir, &["audit", "--limit", "2"]);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    let last = printed.lines().last().unwrap();
    assert!(
        last.contains("token_revoked") && last.contains("operator uid "),
        "{last}"
    );
    let none = run_well(dir, &["audit", "--since", "1s", "--limit", "1"]);
    assert!(none.lines().count() <= 1);
}

/// A coordinator with a probe, a client token, a revoked token and a report; and its backup, made while it serves.
async fn with_backup() -> (Coordinator, Process, probe::Identity, String, String) {
    let (coordinator, process) = serving();
    let dir = coordinator.data_dir();
    let token = create_client(dir, "ci");
    let secret = coordinator.probe_token("fra1", Place::default()).await;
    let identity = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    let told = caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
    let check = told.report().id.to_string();
    let backup = dir.join("backup");
    let printed = run_well(dir, &["backup", backup.to_str().unwrap()]);
    assert_eq!(printed.trim(), backup.to_str().unwrap());
    let mode = fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    (coordinator, process, identity, token, check)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_everything_back_on_another_machine() {
    let (coordinator, mut process, identity, token, check) = with_backup().await;
    process.stop();
    let elsewhere = Coordinator::of_process(tempfile::tempdir().unwrap());
    let backup = coordinator.data_dir().join("backup");
    let printed = run_well(elsewhere.data_dir(), &["restore", backup.to_str().unwrap()]);
    assert!(printed.starts_with("restored: as of 20"), "{printed}");
    let _process = Process::start(&elsewhere);
    // The probe attaches with the certificate that it has: the CA is back too.
    probe::attach(&elsewhere, &identity).await.unwrap();
    caller::check(&elsewhere, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
    let found = elsewhere
        .store()
        .await
        .report(&check.parse().unwrap())
        .await
        .unwrap();
    assert!(found.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_since_the_backup_stays_revoked_and_what_was_there_is_kept() {
    let (coordinator, mut process, identity, token, check) = with_backup().await;
    let dir = coordinator.data_dir();
    run_well(dir, &["probe", "revoke", "fra1"]);
    run_well(dir, &["token", "revoke", "ci"]);
    let later = create_client(dir, "later");
    let backup = dir.join("backup");
    let backup = backup.to_str().unwrap();
    let refused = run(dir, &["restore", backup]);
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{says}");
    assert!(says.contains("is in use: stop the coordinator"), "{says}");
    process.stop();
    let printed = run_well(dir, &["restore", backup]);
    assert!(
        printed.contains("revoked since then, and still revoked: 2"),
        "{printed}"
    );
    let kept = printed
        .lines()
        .find_map(|line| line.strip_prefix("kept: "))
        .expect(&printed);
    let mut process = Process::start(&coordinator);
    let attached = probe::attach(&coordinator, &identity).await;
    assert_eq!(
        attached.map(|_| ()).unwrap_err().code(),
        Code::PermissionDenied
    );
    for (token, says) in [(&token, "has been revoked"), (&later, "is not known")] {
        let refused = caller::check(&coordinator, token, TARGET, Outcome::Ok).await;
        let refused = refused.map(|_| ()).unwrap_err();
        assert!(refused.message().contains(says), "{refused}");
    }
    let audit = run_well(dir, &["audit"]);
    assert!(audit.contains("restored"), "{audit}");
    process.stop();
    // The way back: what was kept is a database like any other.
    fs::rename(kept, dir.join("coordinator.db")).unwrap();
    let _process = Process::start(&coordinator);
    caller::check(&coordinator, &later, TARGET, Outcome::Ok)
        .await
        .unwrap();
    let check = check.parse().unwrap();
    let found = coordinator.store().await.report(&check).await.unwrap();
    assert!(found.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_overwrites_nothing_and_what_is_no_whole_backup_changes_nothing() {
    let (coordinator, mut process, _, token, _) = with_backup().await;
    process.stop();
    let dir = coordinator.data_dir();
    let backup = dir.join("backup");
    let whole = fs::read(&backup).unwrap();
    let again = run(dir, &["backup", backup.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("a backup overwrites nothing"));
    assert_eq!(fs::read(&backup).unwrap(), whole);

    let state = || {
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.file_name().unwrap() != "wrong")
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = state();
    let wrong = dir.join("wrong");
    let refused = |content: &[u8], what: &str| {
        fs::write(&wrong, content).unwrap();
        let output = run(dir, &["restore", wrong.to_str().unwrap()]);
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what}: {output:?}");
        assert!(
            says.contains("is no whole backup of a coordinator (")
                && says.contains("nothing was changed"),
            "{what}: {says}"
        );
        assert_eq!(says.lines().count(), 1, "{what}: {says}");
        assert!(state() == before, "{what} has changed the data directory");
    };
    refused(b"", "an empty file");
    refused(b"{\"not\": \"a database\"}", "text");
    refused(&whole[..whole.len() / 2], "half a backup");
    refused(
        &fs::read(dir.join("coordinator.db")).unwrap(),
        "the database itself",
    );
    // A byte changed within a row is found, wherever the row is: SQLite alone would not see it.
    let mut found = 0;
    for text in [&b"fra1"[..], b"tcp://shop.example:22", b"PRIVATE KEY"] {
        let at = whole.windows(text.len()).position(|part| part == text);
        let mut changed = whole.clone();
        changed[at.expect("it is in the backup")] ^= 1;
        refused(&changed, &String::from_utf8_lossy(text));
        found += 1;
    }
    assert_eq!(found, 3);
    let missing = run(dir, &["restore", dir.join("none").to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read"));

    let _process = Process::start(&coordinator);
    caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
}
