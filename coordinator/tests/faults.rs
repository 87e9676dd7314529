//! What happens when the state cannot be kept or read: a full disk, a size limit, a lock that another process holds,
//! damage, a file that may only be read, a later schema, another program's database. Each ends in one clear sentence, and
//! nothing that was acknowledged is lost.

mod common;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use common::{
    Coordinator, caller,
    probe::{self, Manner},
    process::{Process, run, run_well},
};
use onlyhere_coordinator::tokens::TokenKind;
use onlyhere_proto::Outcome;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tonic::{Code, Status};

const TARGET: &str = "tcp://shop.example:22";
const NOT_KEPT: &str = "could not keep this report";

fn database(coordinator: &Coordinator) -> PathBuf {
    coordinator.data_dir().join("coordinator.db")
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

fn create_client(coordinator: &Coordinator) -> String {
    let args = ["token", "create", "--kind", "client", "--name", "ci"];
    run_well(coordinator.data_dir(), &args).trim().to_owned()
}

/// Whether a check's report was kept, and its id.
async fn check(coordinator: &Coordinator, token: &str) -> Result<(bool, String), Status> {
    let told = caller::check(coordinator, token, TARGET, Outcome::Ok).await?;
    let report = told.report();
    let advisories = &report.verdict.advisories;
    let kept = !advisories.iter().any(|a| a.says.contains(NOT_KEPT));
    Ok((kept, report.id.to_string()))
}

/// What a failing command says; it must be one sentence, and exit code 1.
fn says(coordinator: &Coordinator, args: &[&str]) -> String {
    let output = run(coordinator.data_dir(), args);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    assert_eq!(says.lines().count(), 1, "{args:?}: {says}");
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    says
}

/// What `serve` says that does not come to serve.
fn refuses_to_serve(coordinator: &Coordinator) -> String {
    let output = briefly(coordinator, "30");
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(says.lines().count(), 1, "{says}");
    says
}

/// A coordinator that has served and has a token and a report; it is stopped.
async fn stopped() -> (Coordinator, String, String) {
    let coordinator = Coordinator::of_process(tempfile::tempdir().unwrap());
    let token = create_client(&coordinator);
    let mut process = Process::start(&coordinator);
    let (kept, report) = check(&coordinator, &token).await.unwrap();
    assert!(kept);
    process.stop();
    (coordinator, token, report)
}

async fn is_kept(coordinator: &Coordinator, report: &str) -> bool {
    let mut file = open(&database(coordinator)).await;
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM reports WHERE check_id = ?")
        .bind(report)
        .fetch_one(&mut file)
        .await
        .unwrap();
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut file)
        .await
        .unwrap();
    assert_eq!(whole, "ok");
    file.close().await.unwrap();
    found == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_another_process_holds_keeps_no_caller_waiting() {
    let (coordinator, token, before) = stopped().await;
    let _process = Process::start(&coordinator);
    let _probe = probe::start(&coordinator, "fra1", 64500, Manner::Healthy).await;
    let counted = coordinator.token(TokenKind::Client, "counted", |token| {
        onlyhere_coordinator::tokens::Token {
            uses: Some(5),
            uses_left: Some(5),
            ..token
        }
    });
    let counted = format!("onlyhere-client-1.{}", counted.await.as_str());
    let mut holder = open(&database(&coordinator)).await;
    let held = holder.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let began = Instant::now();
    let (kept, _) = check(&coordinator, &token).await.unwrap();
    assert!(!kept, "the caller is told that the report was not kept");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    // A use that cannot be counted is not given.
    let refused = check(&coordinator, &counted).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused}");
    let says = says(&coordinator, &["token", "revoke", "counted"]);
    assert!(
        says.contains("coordinator.db is locked: another process has been writing"),
        "{says}"
    );
    // Reading goes on.
    assert!(run_well(coordinator.data_dir(), &["token", "list"]).contains("counted"));
    held.rollback().await.unwrap();
    holder.close().await.unwrap();
    let (kept, after) = check(&coordinator, &token).await.unwrap();
    assert!(kept);
    assert!(check(&coordinator, &counted).await.unwrap().0);
    assert!(is_kept(&coordinator, &before).await && is_kept(&coordinator, &after).await);
}

/// Starts `serve` under a limit for the size of a file; the kernel then refuses to write more, as with a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_size_limit_ends_in_reports_that_are_not_kept_and_nothing_is_lost() {
    let (coordinator, token, before) = stopped().await;
    let size = fs::metadata(database(&coordinator)).unwrap().len();
    // In units of 1024 bytes; room for some reports in the journal.
    let limit = size / 1024 + 64;
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    let mut process = Process::start_under(&coordinator, &["bash", "-c", &script]);
    let (mut kept, mut refused) = (vec![before], 0);
    for _ in 0..200 {
        match check(&coordinator, &token).await.unwrap() {
            (true, report) if refused == 0 => kept.push(report),
            (true, report) => {
                kept.push(report);
                refused = 0;
            }
            (false, _) => refused += 1,
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the limit was never reached");
    let log = process.log().join("\n");
    assert!(
        log.contains("coordinator.db cannot grow")
            || log.contains("coordinator.db cannot be written to"),
        "{log}"
    );
    process.kill();
    // Without the limit everything goes on, and everything that was kept is there.
    let _process = Process::start(&coordinator);
    let (is_good, report) = check(&coordinator, &token).await.unwrap();
    assert!(is_good);
    kept.push(report);
    for report in &kept {
        assert!(is_kept(&coordinator, report).await, "{report}");
    }
}

#[tokio::test]
async fn a_later_schema_is_refused_and_not_touched() {
    let (coordinator, ..) = stopped().await;
    let mut file = open(&database(&coordinator)).await;
    sqlx::raw_sql("PRAGMA user_version = 99")
        .execute(&mut file)
        .await
        .unwrap();
    file.close().await.unwrap();
    let before = fs::read(database(&coordinator)).unwrap();
    let expected = "was written by a newer version (schema 99, this version knows 1)";
    let backup = coordinator.data_dir().join("b");
    let backup = backup.to_str().unwrap();
    for args in [
        &["token", "list"][..],
        &["probe", "list"],
        &["audit"],
        &["backup", backup],
    ] {
        let says = says(&coordinator, args);
        assert!(says.contains(expected), "{says}");
    }
    let says = refuses_to_serve(&coordinator);
    assert!(says.contains(expected), "{says}");
    assert!(
        fs::read(database(&coordinator)).unwrap() == before,
        "it was changed"
    );
}

#[tokio::test]
async fn another_programs_database_is_refused_and_not_touched() {
    let coordinator = Coordinator::of_process(tempfile::tempdir().unwrap());
    let mut file = SqliteConnectOptions::new()
        .filename(database(&coordinator))
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    let theirs = "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)";
    sqlx::raw_sql(theirs).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    let before = fs::read(database(&coordinator)).unwrap();
    let says = refuses_to_serve(&coordinator);
    assert!(
        says.contains("is a database of another program: let store.url name another"),
        "{says}"
    );
    assert!(
        fs::read(database(&coordinator)).unwrap() == before,
        "it was changed"
    );
}

/// Bytes flipped all over the file: either it is found at the start, or nothing that is used was hit; never a wrong answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_kept() {
    let (coordinator, token, report) = stopped().await;
    let path = database(&coordinator);
    let whole = fs::read(&path).unwrap();
    let backup = coordinator.data_dir().join("backup");
    run_well(
        coordinator.data_dir(),
        &["backup", backup.to_str().unwrap()],
    );
    let page = 4_096;
    let mut found = 0;
    // The head of the file, and the head of every page: there SQLite's own structure stands.
    let pages: Vec<usize> = (0..whole.len() / page).collect();
    for number in &pages {
        let file = File::options().write(true).open(&path).unwrap();
        let at = number * page;
        let flipped: Vec<u8> = whole[at..at + 16].iter().map(|byte| !byte).collect();
        file.write_all_at(&flipped, at as u64).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let damaged = fs::read(&path).unwrap();
        let says = refuses_to_serve(&coordinator);
        assert!(
            says.contains("coordinator.db is damaged (")
                && says.contains("onlyhere-coordinator restore FILE"),
            "page {number}: {says}"
        );
        assert!(
            fs::read(&path).unwrap() == damaged,
            "page {number}: it was changed"
        );
        found += 1;
        fs::write(&path, &whole).unwrap();
    }
    println!("damage found in {found} of {} pages", pages.len());
    assert!(found == pages.len() && found > 10);
    // What the sentence says works.
    fs::write(&path, "no database").unwrap();
    assert!(refuses_to_serve(&coordinator).contains("is damaged"));
    let output = run(
        coordinator.data_dir(),
        &["restore", backup.to_str().unwrap()],
    );
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not be read"));
    let _process = Process::start(&coordinator);
    assert!(is_kept(&coordinator, &report).await);
    assert!(check(&coordinator, &token).await.unwrap().0);
}

/// Runs a test's body where a small disk can be mounted: as root in a mount namespace, as anybody else in a user
/// namespace. Where neither is allowed it says so, and the test of the size limit is what remains.
fn with_own_mounts(test: &str, body: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os("SMALL_TEST_DISK") {
        return body(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let is_root = fs::metadata("/proc/self").is_ok_and(|data| {
        use std::os::unix::fs::MetadataExt;
        data.uid() == 0
    });
    let namespaces: &[&str] = if is_root {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(namespaces);
        command
    };
    if !unshare()
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        return eprintln!("{test}: skipped: needs mount namespaces");
    }
    let status = unshare()
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=3m,mode=0700 disk \"$SMALL_TEST_DISK\" && exec \"$0\" \"$@\"",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SMALL_TEST_DISK", dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed on its small disk");
}

fn block_on(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().unwrap().block_on(work);
}

/// A data directory on the small disk.
fn on_disk(disk: &Path) -> Coordinator {
    Coordinator::of_process(tempfile::tempdir_in(disk).unwrap())
}

/// Takes all room that is left.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = File::create(&path).unwrap();
    for size in [65_536, 4_096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[test]
fn a_full_disk_is_named_and_nothing_is_lost() {
    with_own_mounts("a_full_disk_is_named_and_nothing_is_lost", |disk| {
        block_on(full_disk(disk));
    });
}

async fn full_disk(disk: &Path) {
    let coordinator = on_disk(disk);
    let token = create_client(&coordinator);
    let mut process = Process::start(&coordinator);
    let _probe = probe::start(&coordinator, "fra1", 64500, Manner::Healthy).await;
    let (kept, report) = check(&coordinator, &token).await.unwrap();
    assert!(kept);
    let mut all = vec![report];
    let filler = fill(disk);
    let mut refused = 0;
    for _ in 0..100 {
        let (kept, report) = check(&coordinator, &token).await.unwrap();
        match kept {
            true => all.push(report),
            false => refused += 1,
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the disk was never full");
    let log = process.log().join("\n");
    assert!(
        log.contains("coordinator.db cannot grow: the disk is full"),
        "{log}"
    );
    // A revocation that cannot be kept is not confirmed.
    let args = ["token", "create", "--kind", "client", "--name", "x"];
    let words = says(&coordinator, &args);
    assert!(words.contains("the disk is full"), "{words}");
    let backup = disk.join("backup");
    let words = says(&coordinator, &["backup", backup.to_str().unwrap()]);
    assert!(words.contains("the disk is full"), "{words}");
    assert!(!backup.exists(), "half a backup stays");
    // Killed and started on the full disk it serves, or says why not.
    process.kill();
    let restarted = briefly(&coordinator, "2");
    let restarted = String::from_utf8_lossy(&restarted.stderr).into_owned();
    assert!(
        restarted.contains("ready") || restarted.contains("the disk is full"),
        "{restarted}"
    );
    println!(
        "started on a full disk: {}",
        restarted.lines().last().unwrap_or_default()
    );
    fs::remove_file(filler).unwrap();
    let mut process = Process::start(&coordinator);
    let (kept, report) = check(&coordinator, &token).await.unwrap();
    assert!(kept);
    all.push(report);
    process.stop();
    for report in &all {
        assert!(is_kept(&coordinator, report).await, "{report}");
    }
    println!("full disk: {} reports acknowledged, all there", all.len());
}

/// `serve`, and SIGTERM after so many seconds.
fn briefly(coordinator: &Coordinator, seconds: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_onlyhere-coordinator");
    Command::new("timeout")
        .args(["--signal=TERM", seconds, program, "serve", "--data-dir"])
        .arg(coordinator.data_dir())
        .env("ONLYHERE_PROBES__LISTEN", "127.0.0.1:0")
        .env("ONLYHERE_API__LISTEN", "127.0.0.1:0")
        .env("ONLYHERE_LOG", "off")
        .output()
        .unwrap()
}

#[test]
fn a_read_only_file_system_is_named() {
    with_own_mounts("a_read_only_file_system_is_named", |disk| {
        block_on(read_only(disk));
    });
}

async fn read_only(disk: &Path) {
    let coordinator = on_disk(disk);
    let token = create_client(&coordinator);
    let mut process = Process::start(&coordinator);
    let (kept, report) = check(&coordinator, &token).await.unwrap();
    assert!(kept);
    process.stop();
    remount(disk, "ro");
    for words in [
        refuses_to_serve(&coordinator),
        says(&coordinator, &["token", "revoke", "ci"]),
    ] {
        assert!(
            words.contains("ead-only") && words.contains(coordinator.data_dir().to_str().unwrap()),
            "{words}"
        );
    }
    remount(disk, "rw");
    let _process = Process::start(&coordinator);
    assert!(is_kept(&coordinator, &report).await);
    assert!(check(&coordinator, &token).await.unwrap().0);
}

fn remount(disk: &Path, how: &str) {
    let status = Command::new("mount")
        .args(["-o", &format!("remount,bind,{how}")])
        .arg(disk)
        .status()
        .unwrap();
    assert!(status.success());
}

/// As whoever copies the file as another user makes it. Root may write to it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_only_be_read_is_named() {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return eprintln!(
            "a_file_that_may_only_be_read_is_named: as root nothing is read-only by its mode; see the file system's"
        );
    }
    let (coordinator, ..) = stopped().await;
    let path = database(&coordinator);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let words = refuses_to_serve(&coordinator);
    assert!(
        words.contains("cannot be written: it, its directory or its file system is read-only"),
        "{words}"
    );
}
