//! The program as a person or a script runs it: what it prints where, and how it ends.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere-coordinator"));
    // Nothing of this machine's settings.
    command
        .env_clear()
        .env("XDG_STATE_HOME", dir)
        .env("HOME", dir)
        .current_dir(dir);
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    program(dir)
        .args(args)
        .args(["--data-dir", "data"])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn version_and_help_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for (arg, says) in [
        ("--version", "onlyhere-coordinator 0."),
        ("--help", "Usage: onlyhere-coordinator"),
    ] {
        let output = program(dir.path()).arg(arg).output().unwrap();
        assert!(output.status.success());
        assert!(text(&output.stdout).contains(says), "{output:?}");
    }
}

#[test]
fn a_token_stands_alone_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let probe = [
        "token",
        "create",
        "--kind",
        "probe",
        "--name",
        "fra1",
        "--region",
        "EU",
        "--country",
        "de",
        "--asn",
        "AS24940",
        "--class",
        "datacenter",
        "--label",
        "city=fra",
        "--label",
        "operator=x",
    ];
    let client = ["token", "create", "--kind", "client", "--name", "ci"];
    for (args, start) in [
        (&probe[..], "onlyhere-join-1."),
        (&client, "onlyhere-client-1."),
    ] {
        let output = run(dir.path(), args);
        assert!(output.status.success(), "{output:?}");
        let out = text(&output.stdout);
        assert!(
            out.starts_with(start) && out.ends_with('\n') && out.lines().count() == 1,
            "{out}"
        );
    }
    let list = run(dir.path(), &["token", "list"]);
    let list = text(&list.stdout);
    let row = list.lines().find(|line| line.contains("fra1")).expect(list);
    assert!(row.contains("probe") && row.ends_with("good"), "{row}");
    let revoked = run(dir.path(), &["token", "revoke", "fra1"]);
    assert_eq!(text(&revoked.stdout), "revoked 1\n");
    let list = run(dir.path(), &["token", "list"]);
    assert!(
        text(&list.stdout)
            .lines()
            .any(|line| line.contains("fra1") && line.ends_with("revoked"))
    );
}

#[test]
fn what_a_token_may_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let create = [
        "token",
        "create",
        "--kind",
        "client",
        "--name",
        "ci",
        "--scope",
        "check,read",
        "--limit",
        "at-once=2",
        "--limit",
        "per-hour=100,vantages=8",
        "--host",
        "shop.example",
    ];
    let output = run(dir.path(), &create);
    assert!(output.status.success(), "{output:?}");
    assert!(
        run(
            dir.path(),
            &["token", "create", "--kind", "admin", "--name", "root"]
        )
        .status
        .success()
    );
    let list = run(dir.path(), &["token", "list"]);
    let list = text(&list.stdout);
    let words = |name: &str| -> Vec<&str> {
        let row = list.lines().find(|line| line.contains(name)).expect(list);
        row.split_whitespace().skip(1).collect()
    };
    let limits = "at-once=2,per-hour=100,vantages=8,host=shop.example";
    let expected = [
        "client",
        "ci",
        "unlimited",
        "never",
        "check,read",
        limits,
        "good",
    ];
    assert_eq!(words(" ci "), expected);
    let all = "check,read,read-all,vantages";
    assert_eq!(
        words(" root "),
        ["admin", "root", "unlimited", "never", all, "-", "good"]
    );
    assert!(
        !list.contains(text(&output.stdout).trim()),
        "the token itself is shown once"
    );
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "[api]\nlisen = 1\n").unwrap();
    std::fs::write(dir.path().join("open.toml"), "[api]\nlisten = '[::]:0'\n").unwrap();
    std::fs::write(
        dir.path().join("mapped.toml"),
        "[api]\nlisten = '[::ffff:0.0.0.0]:0'\n",
    )
    .unwrap();
    let create = ["token", "create", "--kind"];
    let cases: &[(&[&str], &str)] = &[
        (
            &["serve", "--config", "bad.toml"],
            "bad.toml: unknown key `api.lisen`",
        ),
        (
            &["serve", "--config", "open.toml"],
            "api.listen is [::]:0, which others can reach",
        ),
        (
            &["serve", "--config", "mapped.toml"],
            "api.listen is [::ffff:0.0.0.0]:0, which others can reach",
        ),
        (&["serve", "--config", "none.toml"], "cannot read none.toml"),
        (&["config", "check", "--config", "bad.toml"], "unknown key"),
        (&["token", "revoke", "nobody"], "no token `nobody`"),
        (&["probe", "revoke", "nobody"], "no probe `nobody`"),
        (
            &[create[0], create[1], create[2], "probe", "--name", "you"],
            "`you` is the caller's name",
        ),
        (
            &[
                create[0], create[1], create[2], "client", "--name", "x", "--region", "eu",
            ],
            "they go with --kind probe",
        ),
        (
            &[create[0], create[1], create[2], "guest", "--name", "x"],
            "possible values: probe, client, admin",
        ),
        (
            &[
                create[0], create[1], create[2], "probe", "--name", "No Name",
            ],
            "is no vantage name",
        ),
        (
            &[
                create[0],
                create[1],
                create[2],
                "probe",
                "--name",
                "x",
                "--expires",
                "soon",
            ],
            "a time is a number and a unit",
        ),
        (
            &[
                create[0], create[1], create[2], "probe", "--name", "x", "--class", "moon",
            ],
            "known are datacenter, residential, mobile",
        ),
        (
            &[
                create[0], create[1], create[2], "client", "--name", "x", "--scope", "read-all",
            ],
            "a client token cannot have the scope read-all: it goes with --kind admin",
        ),
        (
            &[
                create[0],
                create[1],
                create[2],
                "client",
                "--name",
                "x",
                "--scope",
                "everything",
            ],
            "`everything` is no scope; known are check, read, read-all, vantages",
        ),
        (
            &[
                create[0],
                create[1],
                create[2],
                "probe",
                "--name",
                "x",
                "--limit",
                "at-once=2",
            ],
            "they go with --kind client or admin",
        ),
        (
            &[
                create[0],
                create[1],
                create[2],
                "client",
                "--name",
                "x",
                "--limit",
                "per-day=2",
            ],
            "`per-day` is no limit; known are at-once, per-minute, per-hour, vantages",
        ),
        (
            &[
                create[0],
                create[1],
                create[2],
                "client",
                "--name",
                "x",
                "--host",
                "192.0.2.1",
            ],
            "a token is limited to names",
        ),
        (
            &[
                create[0],
                create[1],
                create[2],
                "client",
                "--name",
                "x",
                "--scope",
                "read",
                "--host",
                "shop.example",
            ],
            "it goes with --scope check",
        ),
        (&["nonsense"], "unrecognized subcommand"),
    ];
    for (args, says) in cases {
        let output = run(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(
            text(&output.stderr).contains(says),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(
        program(dir.path()).output().unwrap().status.code(),
        Some(2),
        "nothing asked"
    );
}

#[test]
fn our_own_failure_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program(dir.path())
        .args(["serve", "--data-dir", "data"])
        .env("ONLYHERE_PROBES__LISTEN", &address)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let says = format!("cannot listen on probes.listen = {address}");
    assert!(
        text(&output.stderr).contains(&says),
        "{}",
        text(&output.stderr)
    );
}

/// A serving program; killed when a test fails.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The line of `/proc/PID/status` that begins with this word.
fn status(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field));
    line.unwrap_or_default().replace('\t', " ")
}

#[test]
fn serving_it_has_given_up_its_rights_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let own = status(std::process::id(), "NoNewPrivs:");
    for (sandbox, says, privileges) in [("on", true, "NoNewPrivs: 1"), ("off", false, own.as_str())]
    {
        let child = program(dir.path())
            .args(["serve", "--data-dir", "data"])
            .env("ONLYHERE_PROBES__LISTEN", "127.0.0.1:0")
            .env("ONLYHERE_API__LISTEN", "127.0.0.1:0")
            .env("ONLYHERE_SANDBOX", sandbox)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut serving = Serving(child);
        let errors = BufReader::new(serving.0.stderr.take().unwrap());
        let log: Vec<String> = errors
            .lines()
            .map_while(Result::ok)
            .take_while(|line| line != "ready")
            .collect();
        assert_eq!(
            log.iter().any(|line| line.contains("confined itself")),
            says,
            "{log:?}"
        );
        assert_eq!(
            status(serving.0.id(), "NoNewPrivs:"),
            privileges,
            "sandbox {sandbox}"
        );
    }
}

#[test]
fn serve_says_ready_on_stderr_and_sigterm_ends_it_well() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = systemd.recv(&mut message).unwrap();
        text(&message[..length]).trim().to_owned()
    };
    let mut child = program(dir.path())
        .args(["serve", "--data-dir", "data", "--log-format", "json"])
        .env("ONLYHERE_PROBES__LISTEN", "127.0.0.1:0")
        .env("ONLYHERE_API__LISTEN", "127.0.0.1:0")
        .env("NOTIFY_SOCKET", &socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut out = child.stdout.take().unwrap();
    let mut serving = Serving(child);
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert!(
            errors.read_line(&mut line).unwrap() > 0,
            "it has ended before it was ready"
        );
        assert!(
            line.trim() == "ready" || line.starts_with('{'),
            "no JSON log line: {line}"
        );
    }
    assert_eq!(told(), "READY=1");
    // A token made while it serves needs no restart; that it works is shown elsewhere.
    assert!(
        run(
            dir.path(),
            &["token", "create", "--kind", "client", "--name", "x"]
        )
        .status
        .success()
    );
    let pid = serving.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(told(), "STOPPING=1");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = serving.0.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    let mut printed = String::new();
    out.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "", "stdout is for answers");
}
