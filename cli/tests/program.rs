//! The program itself, run as people and CI run it: exit codes, what goes to which stream, settings, and checks of
//! real servers on this machine without a coordinator.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Runs the program in an environment of its own.
fn onlyhere(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let home = TempDir::new().unwrap();
    command(home.path(), args, environment).output().unwrap()
}

fn command(home: &Path, args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere"));
    command
        .args(args)
        .env_clear()
        .env("HOME", home)
        .envs(environment.iter().copied());
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Exit code 2, nothing on stdout, one sentence on stderr that contains `says`.
fn assert_usage(args: &[&str], environment: &[(&str, &str)], says: &str) {
    let output = onlyhere(args, environment);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {complaint}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    assert!(complaint.starts_with("onlyhere: "), "{args:?}: {complaint}");
    assert_eq!(complaint.lines().count(), 1, "{args:?}: {complaint}");
    assert!(complaint.contains(says), "{args:?}: {complaint}");
    assert!(
        complaint.len() < 800 && !complaint.contains('\x1b'),
        "{args:?}: {complaint:?}"
    );
}

#[test]
fn a_bad_target_is_one_sentence_with_and_without_the_subcommand() {
    let long = "a".repeat(300);
    let endless = "a".repeat(10_000);
    for (target, says) in [
        ("", "the target is empty"),
        (" ", "the target is empty"),
        ("http://", "`http://` names no host"),
        ("host:99999", "`99999` is no port"),
        ("host:0", "`0` is no port"),
        ("[::1", "opens a bracket and does not close it"),
        ("::1", "put it in brackets: [::1]"),
        (&long, "a name has at most 253 characters, this one has 300"),
        (&endless, "at most 2048 are read"),
        ("my host", "a name holds no spaces"),
        ("ftp://host", "`ftp://` is not known"),
        ("tcp://host", "tcp:// needs a port"),
        ("https://me:pw@host", "user name or password"),
        ("dns://shop.example?type=MX", "?type=A or ?type=AAAA"),
        ("a\x1b[31mb", "holds a control character"),
    ] {
        assert_usage(&[target], &[], says);
        assert_usage(&["check", target], &[], says);
        assert_usage(&["--format", "json", target], &[], says);
    }
}

#[test]
fn wrong_usage_is_one_sentence() {
    for (args, says) in [
        (&[][..], "Give a target"),
        (&["check"], "<TARGET>"),
        (
            &["shop.example", "other.example"],
            "unexpected argument 'other.example'",
        ),
        (&["shop.example", "--fast"], "unexpected argument '--fast'"),
        (
            &["shop.example", "--format", "yaml"],
            "possible values: text, json, markdown, junit, github",
        ),
        (&["shop.example", "--timeout", "never"], "from 500ms to 60s"),
        (
            &["shop.example", "--fail-on", "nowhere"],
            "known are ok, local",
        ),
        (
            &["shop.example", "--from", "eu@0"],
            "after @ stands a number",
        ),
        (&["shop.example", "--seen", "broken"], "unknown symptom"),
        (
            &["shop.example", "--coordinator", "nonsense"],
            "is no coordinator's address",
        ),
        (&["shop.example", "--no-local"], "no coordinator is set"),
        (&["127.0.0.1:1", "--no-local"], "loopback"),
        (
            &["192.0.2.1:1", "--expect-address", "192.0.2.1"],
            "192.0.2.1 is an address itself",
        ),
        (&["vantages", "a b"], "letters, digits"),
        (&["watch", "shop.example", "--every", "1s"], "from 5s to 1h"),
    ] {
        assert_usage(args, &[], says);
    }
}

#[test]
fn settings_are_read_from_file_and_environment_and_refused_by_name() {
    let home = TempDir::new().unwrap();
    let dir = home.path().join(".config/onlyhere");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.toml"), "coordinater = 'https://a.example'").unwrap();
    let output = command(home.path(), &["127.0.0.1:1"], &[])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("onlyhere/config.toml: unknown key `coordinater`; known are"),
        "{complaint}"
    );

    let elsewhere = TempDir::new().unwrap();
    std::fs::create_dir_all(elsewhere.path().join("onlyhere")).unwrap();
    std::fs::write(
        elsewhere.path().join("onlyhere/config.toml"),
        "[dns]\nresolver = []",
    )
    .unwrap();
    let set = [("XDG_CONFIG_HOME", elsewhere.path().to_str().unwrap())];
    let output = command(home.path(), &["127.0.0.1:1"], &set)
        .output()
        .unwrap();
    assert!(
        text(&output.stderr).contains("unknown key `dns.resolver`"),
        "{}",
        text(&output.stderr)
    );

    assert_usage(
        &["127.0.0.1:1"],
        &[("ONLYHERE_COORDINATER", "x")],
        "variable ONLYHERE_COORDINATER: unknown key",
    );
    assert_usage(
        &["127.0.0.1:1"],
        &[("ONLYHERE_DNS__RESOLVERS", "[x]")],
        "variable ONLYHERE_DNS__RESOLVERS",
    );
    assert_usage(
        &["127.0.0.1:1"],
        &[("ONLYHERE_COORDINATOR", "ftp://x")],
        "`ftp://x` is no coordinator's address",
    );
    assert_usage(
        &["127.0.0.1:1"],
        &[("ONLYHERE_TOKEN", "a b")],
        "the token holds spaces",
    );
    // A flag wins over the variable.
    assert_usage(
        &["127.0.0.1:1", "--coordinator", "http://[", "--token", "x"],
        &[("ONLYHERE_COORDINATOR", "https://a.example")],
        "`http://[`",
    );
}

#[test]
fn variables_of_the_other_programs_do_not_disturb() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap().to_string();
    let others = [
        ("ONLYHERE_PROBES__LISTEN", "0.0.0.0:7443"),
        ("ONLYHERE_LOG", "error"),
        ("ONLYHERE_SOURCE_ADDRESSES", "[127.0.0.1]"),
    ];
    let output = onlyhere(&[&target], &others);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_report_says_what_listens_here_and_keeps_a_proxys_password() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = format!("http://{closed}");
    let set = [("http_proxy", "http://me:s3cret@192.0.2.9:3128")];
    let output = onlyhere(&["check", &target, "--format", "json"], &set);
    let told = text(&output.stdout);
    assert!(!told.contains("s3cret"), "{told}");
    let report: serde_json::Value = serde_json::from_str(told).unwrap();
    let local = &report["subject"]["local"];
    assert_eq!(local["platform"], std::env::consts::OS);
    assert_eq!(local["proxies"][0], "http_proxy=http://192.0.2.9:3128");
    let listeners = local["listeners"].as_array().unwrap();
    assert!(
        listeners
            .iter()
            .any(|l| l["port"] == port && l["address"] == "127.0.0.1"),
        "{listeners:?}"
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    for (args, says) in [
        (
            &["--version"][..],
            concat!("onlyhere ", env!("CARGO_PKG_VERSION")),
        ),
        (&["--help"], "onlyhere TARGET"),
        (&["help"], "onlyhere TARGET"),
        (&["check", "--help"], "--fail-on"),
    ] {
        let output = onlyhere(args, &[]);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(
            text(&output.stdout).contains(says),
            "{args:?}: {}",
            text(&output.stdout)
        );
        assert_eq!(text(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn the_demo_says_how_to_get_it() {
    // Beside the test's copy of the program there is no lab.
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("onlyhere");
    std::fs::copy(env!("CARGO_BIN_EXE_onlyhere"), &program).unwrap();
    let output = Command::new(&program)
        .arg("demo")
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("run `make demo`"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout), "");

    std::fs::write(
        dir.path().join("onlyhere-lab"),
        "#!/bin/sh\necho \"lab: $*\"\nexit 7\n",
    )
    .unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path().join("onlyhere-lab"), permissions).unwrap();
    let output = Command::new(&program)
        .args(["demo", "--fast"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stdout), "lab: demo --fast\n");
}

#[test]
fn a_listening_port_of_this_machine_is_ok() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap().to_string();

    let output = onlyhere(&[&target], &[]);
    let shown = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{shown}{}",
        text(&output.stderr)
    );
    assert!(shown.starts_with("✓ "), "{shown}");
    assert!(
        shown.contains("nobody else can try 127.0.0.1 (loopback)"),
        "{shown}"
    );
    assert!(!shown.contains('\x1b'), "colours in a pipe");
    assert_eq!(text(&output.stderr), "", "nothing on stderr in a pipe");
}

#[test]
fn a_closed_port_of_this_machine_is_judged_alone() {
    let target = closed_port().to_string();

    let output = onlyhere(&["check", &target, "--format", "json"], &[]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "onlyhere.report/1");
    assert_eq!(report["verdict"]["scope"], "local", "{report:#}");
    assert_eq!(report["verdict"]["mechanism"], "refused");
    assert_eq!(
        report["verdict"]["causes"][0]["id"], "local_service_down",
        "{report:#}"
    );
    assert_eq!(report["verdict"]["complete"], true);
    assert_eq!(report["vantages"][0]["id"], "you");
    assert_eq!(output.status.code(), Some(10));
    assert_eq!(text(&output.stderr), "");

    for (list, code) in [
        ("local", 10),
        ("global,regional", 0),
        ("inconclusive,local", 10),
    ] {
        let output = onlyhere(&[&target, "--fail-on", list], &[]);
        assert_eq!(output.status.code(), Some(code), "{list}");
    }
}

#[test]
fn localhost_by_name_is_judged_like_its_address() {
    let port = closed_port().port();
    let output = onlyhere(
        &["check", &format!("localhost:{port}"), "--format", "json"],
        &[],
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["verdict"]["causes"][0]["id"], "local_service_down",
        "{report:#}"
    );
    assert_eq!(output.status.code(), Some(10));

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let output = onlyhere(&[&format!("tcp://localhost:{port}")], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn a_web_server_of_this_machine_is_checked_to_the_page() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}/health", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
            );
        }
    });
    let output = onlyhere(&["check", &target, "--format", "json"], &[]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let seen = report["vantages"][0]["observations"].as_array().unwrap();
    assert!(
        seen.iter()
            .any(|o| o["stage"] == "http" && o["outcome"] == "http_status"),
        "{report:#}"
    );
    assert_ne!(output.status.code(), Some(0), "{report:#}");
}

#[test]
fn a_coordinator_out_of_reach_is_told_in_one_line_and_required_on_demand() {
    let nobody = format!("http://{}", closed_port());
    let set = [
        ("ONLYHERE_COORDINATOR", nobody.as_str()),
        ("ONLYHERE_TOKEN", "x"),
        ("ONLYHERE_CONTROLS", "[]"),
    ];
    // Nothing answers at 192.0.2.1 (RFC 5737) from anywhere; it is allowed so that a coordinator is asked for it.
    let target = "tcp://192.0.2.1:9";
    let allow = ("ONLYHERE_ALLOW_PRIVATE", "[192.0.2.0/24]");

    let output = onlyhere(
        &["check", target, "--timeout", "2s", "--format", "json"],
        &[&set[..], &[allow]].concat(),
    );
    let complaint = text(&output.stderr);
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(
        complaint
            .contains("cannot be reached: connection refused; judging from this machine alone"),
        "{complaint}"
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["vantages"].as_array().unwrap().len(), 1);
    assert!(
        output.status.code().is_some_and(|code| code >= 10),
        "{complaint}"
    );

    for args in [
        &["check", target, "--require-coordinator"][..],
        &["check", target, "--no-local"],
        &["vantages"],
    ] {
        let output = onlyhere(args, &[&set[..], &[allow]].concat());
        assert_eq!(
            output.status.code(),
            Some(3),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "", "{args:?}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{args:?}");
    }
    let output = onlyhere(&["check", target, "--require-coordinator"], &[allow]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("no coordinator is set"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_coordinator_that_accepts_and_says_nothing_costs_three_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let began = Instant::now();
    let output = onlyhere(
        &[
            "check",
            "tcp://192.0.2.1:9",
            "--require-coordinator",
            "--coordinator",
            &url,
            "--token",
            "x",
        ],
        &[("ONLYHERE_ALLOW_PRIVATE", "[192.0.2.0/24]")],
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("no answer within 3.0 s"),
        "{}",
        text(&output.stderr)
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn ctrl_c_ends_a_check_with_130() {
    // Connected by the kernel and never answered: the check waits for a handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tls://{}", silent.local_addr().unwrap());
    let home = TempDir::new().unwrap();
    let mut child = command(home.path(), &["check", &target, "--timeout", "30s"], &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(child.try_wait().unwrap(), None, "it still waits");
    let began = Instant::now();
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(text(&output.stdout), "");
}

/// A port of this machine where nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
