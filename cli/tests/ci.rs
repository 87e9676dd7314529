//! What a CI job asks for besides the verdict: try again, enough vantages, nothing worse than before, and the files of
//! the runner. The real program against real servers on this machine.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

fn onlyhere(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let home = TempDir::new().unwrap();
    Command::new(env!("CARGO_BIN_EXE_onlyhere"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A port of this machine where nobody listens.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn saved(folder: &Path, name: &str, target: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, onlyhere(&[target, "--format", "json"], &[]).stdout).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_deployment_that_comes_up_is_waited_for() {
    let address = closed_port();
    let server = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1_500));
        TcpListener::bind(address).unwrap()
    });
    let output = onlyhere(&[&address.to_string(), "--retry-for", "30s"], &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.starts_with("onlyhere: attempt 1: "), "{told}");
    assert!(told.contains("(local); trying again in "), "{told}");
    assert!(text(&output.stdout).starts_with("✓ "));
    drop(server.join());
}

#[test]
fn when_time_is_up_the_last_verdict_counts() {
    let began = Instant::now();
    let target = closed_port().to_string();
    let output = onlyhere(&[&target, "--retry-for", "1s"], &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{told}");
    assert!(told.trim_end().ends_with("time is up"), "{told}");
    assert!(told.lines().count() >= 2, "{told}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_site_that_answers_with_an_error_first_is_waited_for() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", server.local_addr().unwrap());
    static WELL_AT: AtomicUsize = AtomicUsize::new(usize::MAX);
    thread::spawn(move || {
        let began = Instant::now();
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let status = match began.elapsed().as_millis() as usize {
                since if since > 1_500 => {
                    WELL_AT.fetch_min(since, Ordering::SeqCst);
                    "200 OK"
                }
                _ => "503 Service Unavailable",
            };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let output = onlyhere(&[&target, "--retry-for", "30s"], &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("attempt 1: "), "{told}");
    assert_ne!(WELL_AT.load(Ordering::SeqCst), usize::MAX);
}

#[test]
fn too_few_vantages_are_inconclusive_whatever_they_say() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap().to_string();
    for (format, said_on_stdout) in [("text", true), ("json", false), ("markdown", true)] {
        let args = [&target, "--require-vantages", "2", "--format", format];
        let output = onlyhere(&args, &[]);
        assert_eq!(output.status.code(), Some(17), "{format}");
        let words = |bytes| text(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
        let says =
            "0 of the 2 vantages that `--require-vantages` asks for have measured the target";
        assert_eq!(
            words(&output.stdout).contains(says),
            said_on_stdout,
            "{format}"
        );
        assert_eq!(
            words(&output.stderr).contains(says),
            !said_on_stdout,
            "{format}"
        );
    }
}

#[test]
fn only_what_is_worse_than_the_baseline_fails() {
    let folder = TempDir::new().unwrap();
    let address = closed_port();
    let target = address.to_string();
    let down = saved(folder.path(), "down.json", &target);
    let output = onlyhere(&[&target, "--baseline", &down], &[]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let words: Vec<&str> = shown.split_whitespace().collect();
    let says = "scope `local`, cause `local_service_down` is old";
    assert!(words.join(" ").contains(says), "{shown}");

    let server = TcpListener::bind(address).unwrap();
    let up = saved(folder.path(), "up.json", &target);
    assert_eq!(
        onlyhere(&[&target, "--baseline", &down], &[]).status.code(),
        Some(0)
    );
    drop(server);
    let output = onlyhere(&[&target, "--baseline", &up], &[]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(10), "{shown}");
    assert!(shown.contains("worse than in the baseline"), "{shown}");

    let other = closed_port().to_string();
    let output = onlyhere(&[&other, "--baseline", &up], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("give a report of the same target"));
    let output = onlyhere(&[&target, "--baseline", "/nowhere.json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere.json: cannot be read"));
}

#[test]
fn the_runners_files_are_written() {
    let folder = TempDir::new().unwrap();
    let [summary, output] = ["summary.md", "output"].map(|name| folder.path().join(name));
    let set = [
        ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
        ("GITHUB_OUTPUT", output.to_str().unwrap()),
    ];
    let target = closed_port().to_string();
    let args = [&target, "--format", "github", "--fail-on", "global"];
    let run = onlyhere(&args, &set);
    assert_eq!(run.status.code(), Some(0));
    let commands = text(&run.stdout);
    assert!(
        commands.starts_with("::warning title=onlyhere%3A local::"),
        "{commands}"
    );
    let outputs = fs::read_to_string(&output).unwrap();
    let expected = "scope=local\ncause=local_service_down\nexit_code=0\nreport_id=";
    assert!(outputs.starts_with(expected), "{outputs}");
    assert!(fs::read_to_string(&summary).unwrap().starts_with("## ✗ "));

    let nowhere = [("GITHUB_STEP_SUMMARY", "/nowhere/summary.md")];
    let run = onlyhere(&args, &nowhere);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("/nowhere/summary.md"));
}
