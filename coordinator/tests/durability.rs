//! `kill -9` of the serving program, again and again, while it answers checks, enrols probes, and other processes revoke:
//! whatever was acknowledged is there afterwards, and the database is whole.
//!
//! `ONLYHERE_KILLS` says how often (20 unless set), `ONLYHERE_SEED` chooses the moments.

mod common;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{
    Coordinator,
    caller::{self, Told},
    probe,
    process::{Process, program, run_well},
    within,
};
use onlyhere_coordinator::{
    place::Place,
    tokens::{JoinToken, SecretHash, bearer_secret},
};
use onlyhere_proto::Outcome;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;

/// Callers who check at the same time.
const CALLERS: usize = 3;
/// The longest life of a serving process, from `ready` on or, mostly, from the first revocation on: a busy machine takes
/// its time.
const LONGEST_LIFE_MS: u64 = 900;
const TARGET: &str = "tcp://127.0.0.1:22";

/// What somebody was told is done.
#[derive(Debug, Clone, Default)]
struct Acknowledged {
    reports: BTreeSet<String>,
    /// Names of probes that enrolled, by the name of their one-time token.
    enrolled: BTreeSet<String>,
    revoked_probes: BTreeSet<String>,
    revoked_tokens: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (kills, seed) = (number("ONLYHERE_KILLS", 20), number("ONLYHERE_SEED", 1));
    let mut random = StdRng::seed_from_u64(seed);
    let coordinator = Arc::new(Coordinator::of_process(tempfile::tempdir().unwrap()));
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let dir = coordinator.data_dir().to_owned();
    let create = ["token", "create", "--kind", "client", "--name", "caller"];
    let token: Arc<str> = run_well(&dir, &create).trim().into();
    let secret = coordinator.probe_token("stays", Place::default()).await;
    let mut process = start(&coordinator);
    let stays = probe::enrol(&coordinator, secret.as_str(), "").await;
    let stays = Arc::new(stays.unwrap());
    for round in 0..kills {
        let mut work = JoinSet::new();
        for _ in 0..CALLERS {
            let (coordinator, token) = (Arc::clone(&coordinator), Arc::clone(&token));
            work.spawn(ask(coordinator, token, Arc::clone(&acknowledged)));
        }
        work.spawn(attach(Arc::clone(&coordinator), Arc::clone(&stays)));
        let done = Arc::clone(&acknowledged);
        work.spawn(revoke(Arc::clone(&coordinator), round, done));
        if random.random_bool(0.75) {
            revoked_more(&acknowledged).await;
        }
        let life = random.random_range(0..LONGEST_LIFE_MS);
        tokio::time::sleep(Duration::from_millis(life)).await;
        process.kill();
        // Half of the time whoever revokes dies in the middle as well; dropping the set kills its command.
        if random.random_bool(0.5) {
            work.shutdown().await;
        } else {
            work.join_all().await;
        }
        let all = acknowledged.lock().unwrap().clone();
        verify(&coordinator, &all, round).await;
        process = start(&coordinator);
    }
    process.stop();
    let all = acknowledged.lock().unwrap().clone();
    let lost = verify(&coordinator, &all, kills).await;
    println!(
        "kills: {kills}, acknowledged reports: {}, acknowledged revocations: {}, lost: {lost} \
         (seed {seed}; also {} acknowledged enrolments)",
        all.reports.len(),
        all.revoked_probes.len() + all.revoked_tokens.len(),
        all.enrolled.len(),
    );
    assert!(
        all.reports.len() as u64 > kills,
        "too little was served to show anything"
    );
    assert!(all.revoked_probes.len() + all.revoked_tokens.len() > kills as usize / 2);
}

/// Until one more revocation is acknowledged.
async fn revoked_more(acknowledged: &Mutex<Acknowledged>) {
    let count = || {
        let all = acknowledged.lock().unwrap();
        all.revoked_probes.len() + all.revoked_tokens.len()
    };
    let before = count();
    within(async {
        while count() == before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn start(coordinator: &Coordinator) -> Process {
    Process::start_with(coordinator, &[("ONLYHERE_ALLOW_PRIVATE", "127.0.0.0/8")])
}

/// Checks until the coordinator is gone.
async fn ask(coordinator: Arc<Coordinator>, token: Arc<str>, done: Arc<Mutex<Acknowledged>>) {
    loop {
        let Ok(channel) = coordinator.try_api_channel().await else {
            return;
        };
        let mut told = Told::default();
        let ended = match caller::open_over(channel, &token, caller::start(TARGET)).await {
            Ok(check) => check.follow_into(Outcome::Ok, &mut told).await,
            Err(status) => Err(status),
        };
        if let Some(report) = &told.report {
            let kept = !report
                .verdict
                .advisories
                .iter()
                .any(|a| a.says.contains("could not keep"));
            if kept {
                done.lock().unwrap().reports.insert(report.id.to_string());
            }
        }
        if ended.is_err() {
            return;
        }
    }
}

/// A probe that answers until the coordinator is gone.
async fn attach(coordinator: Arc<Coordinator>, identity: Arc<probe::Identity>) {
    if let Ok(stream) = probe::attach(&coordinator, &identity).await {
        let (cancelled, _cancellations) = tokio::sync::mpsc::unbounded_channel();
        probe::answer(stream, probe::Manner::Healthy, cancelled).await;
    }
}

/// Makes tokens, enrols probes, and has other processes revoke both, until the coordinator is gone.
async fn revoke(coordinator: Arc<Coordinator>, round: u64, done: Arc<Mutex<Acknowledged>>) {
    for number in 0.. {
        let name = format!("r{round}-{number}");
        // Every other round begins with a probe.
        let is_probe = (round + number) % 2 == 1;
        let create = ["token", "create", "--name", &name, "--kind"];
        if is_probe {
            let join = command(&coordinator, &create, "probe").await;
            let join = JoinToken::parse(&join).expect("a join token");
            let enrolled = probe::enrol(&coordinator, &join.secret, "").await;
            if enrolled.is_err() {
                return;
            }
            done.lock().unwrap().enrolled.insert(name.clone());
            let said = command(&coordinator, &["probe", "revoke"], &name).await;
            if said == format!("revoked {name}\n") {
                done.lock().unwrap().revoked_probes.insert(name);
            }
        } else {
            let client = command(&coordinator, &create, "client").await;
            let secret = bearer_secret(client.trim()).expect("a client token");
            let id = SecretHash::of_presented(secret).unwrap().id();
            if command(&coordinator, &["token", "revoke"], &id).await == "revoked 1\n" {
                done.lock().unwrap().revoked_tokens.insert(id);
            }
        }
    }
}

/// What a command prints. It is killed when this is dropped.
async fn command(coordinator: &Coordinator, args: &[&str], last: &str) -> String {
    let mut command = tokio::process::Command::from(program(coordinator.data_dir()));
    let command = command
        .args(args)
        .arg(last)
        .arg("--data-dir")
        .arg(coordinator.data_dir());
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{args:?} {last}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Looks at the file itself, while nobody else does; the number of what is lost, which must be none.
async fn verify(coordinator: &Coordinator, all: &Acknowledged, round: u64) -> usize {
    let path = coordinator.data_dir().join("coordinator.db");
    let mut file = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    let says = texts(&mut file, "PRAGMA integrity_check").await;
    assert_eq!(says, ["ok".to_owned()].into(), "after kill {round}");
    let reports = texts(&mut file, "SELECT check_id FROM reports").await;
    let logged = "SELECT check_id FROM audit WHERE act = 'check' AND outcome NOT IN ('begun')";
    let logged = texts(&mut file, logged).await;
    let probes = texts(&mut file, "SELECT name FROM probes").await;
    let struck = texts(&mut file, "SELECT probe FROM revocations").await;
    let good = "SELECT json_extract(record, '$.id') FROM tokens WHERE NOT json_extract(record, '$.revoked')";
    let good = texts(&mut file, good).await;
    let unspent = "SELECT json_extract(record, '$.name') FROM tokens WHERE json_extract(record, '$.uses_left') > 0";
    let unspent = texts(&mut file, unspent).await;
    file.close().await.unwrap();
    let mut lost = Vec::new();
    lost.extend(
        all.reports
            .difference(&reports)
            .map(|id| format!("report {id}")),
    );
    lost.extend(
        all.reports
            .difference(&logged)
            .map(|id| format!("audit of {id}")),
    );
    lost.extend(
        all.revoked_tokens
            .intersection(&good)
            .map(|id| format!("revocation of token {id}")),
    );
    for probe in &all.revoked_probes {
        if probes.contains(probe) || !struck.contains(probe) {
            lost.push(format!("revocation of probe {probe}"));
        }
    }
    for probe in &all.enrolled {
        if !probes.contains(probe) && !struck.contains(probe) {
            lost.push(format!("enrolment of {probe}"));
        }
        if unspent.contains(probe) {
            lost.push(format!("the use of the token of {probe}"));
        }
    }
    assert!(lost.is_empty(), "lost after kill {round}: {lost:#?}");
    lost.len()
}

async fn texts(file: &mut SqliteConnection, select: &'static str) -> BTreeSet<String> {
    let found: Vec<String> = sqlx::query_scalar(select).fetch_all(file).await.unwrap();
    found.into_iter().collect()
}
