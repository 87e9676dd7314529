//! The real program: usage, exit codes, and what goes to stdout.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

fn probe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onlyhere-probe"))
        .args(arguments)
        .env_remove("ONLYHERE_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn wrong_usage_ends_with_2_and_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("probe.toml");
    std::fs::write(&config, "[guard]\nalow = []\n").unwrap();
    let config = config.to_str().unwrap();
    for (arguments, says) in [
        (vec!["check", "http://"], "names no host"),
        (vec!["check", "host:99999"], "is no port"),
        (vec!["check", ""], "the target is empty"),
        (vec!["join", "nonsense"], "this is no join token"),
        (
            vec!["join", "onlyhere-join-1.AAAA"],
            "the join token is damaged",
        ),
        (vec!["run", "--config", config], "unknown key `guard.alow`"),
        (vec!["run", "--config", "/nowhere"], "cannot read /nowhere"),
    ] {
        let output = probe(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(
            error.starts_with("onlyhere-probe: ") && error.contains(says),
            "{error}"
        );
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(probe(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn running_without_an_identity_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = probe(&["run", "--data-dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("run `onlyhere-probe join TOKEN` first"));
}

/// An identity as it lies in a data directory, whose certificate ended at the end of 2025.
fn expired(dir: &std::path::Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2025, 12, 24);
    params.not_after = rcgen::date_time_ymd(2025, 12, 31);
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(dir.join("identity.pem"), key.serialize_pem() + &pem).unwrap();
    std::fs::write(dir.join("ca.pem"), pem).unwrap();
    let belonging = "name = 'fra1'\ncoordinator = '127.0.0.1:9'\n";
    std::fs::write(dir.join("probe.toml"), belonging).unwrap();
}

#[test]
fn a_probe_whose_certificate_has_expired_ends_with_4_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    expired(dir.path());
    let data_dir = dir.path().to_str().unwrap();
    let output = probe(&["run", "--data-dir", data_dir]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    let sentences = told
        .lines()
        .filter(|line| line.starts_with("onlyhere-probe: "));
    assert_eq!(sentences.count(), 1, "{told}");
    for part in [
        "the certificate of `fra1` expired at 2025-12-31T00:00:01.000Z (it is 2",
        "on the coordinator run `onlyhere-coordinator token create --kind probe --name fra1`",
        &format!("here `onlyhere-probe join TOKEN --data-dir {data_dir}`"),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let doctor = text(&probe(&["doctor", "--data-dir", data_dir]).stdout);
    let line = doctor.lines().find(|line| line.starts_with("identity"));
    let line = line.expect(&doctor);
    assert!(
        line.contains("--") && line.contains("certificate until 2025-12-31T00:00:01.000Z"),
        "{line}"
    );
}

#[test]
fn a_check_says_what_it_saw_as_text_and_as_json() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().to_string();
    let output = probe(&["check", &open]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    let tcp = told
        .lines()
        .find(|line| line.starts_with("tcp "))
        .expect(&told);
    assert!(tcp.contains(&open) && tcp.contains(" ok "), "{tcp}");

    drop(listener);
    let output = probe(&["check", &open, "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let whole: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(whole["target"]["input"], open);
    let seen = whole["observations"].as_array().unwrap();
    let tcp = seen.iter().find(|o| o["stage"] == "tcp").unwrap();
    assert_eq!(
        (&tcp["outcome"], &tcp["by"]),
        (&"refused".into(), &"rst".into())
    );
}

#[test]
fn help_version_and_doctor_answer() {
    assert!(text(&probe(&["--version"]).stdout).starts_with("onlyhere-probe "));
    assert!(text(&probe(&["--help"]).stdout).contains("doctor"));
    let dir = tempfile::tempdir().unwrap();
    let output = probe(&["doctor", "--data-dir", dir.path().to_str().unwrap()]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for what in [
        "IPv4",
        "IPv6",
        "ICMP",
        "error queue",
        "ladder",
        "segments",
        "device",
        "clock",
        "roots",
        "resolver",
        "identity",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
}
