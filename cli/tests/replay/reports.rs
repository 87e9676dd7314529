//! Reports that are judged again.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_report_is_judged_again_and_printed_like_a_check() {
    let output = replay(&["-", "--format", "json"], &report().to_string());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12), "{stderr}");
    let judged: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(judged["verdict"]["scope"], "source_address", "{judged:#}");
    assert_eq!(judged["verdict"]["causes"][0]["id"], "ip_ban");
    assert_eq!(judged["started_at"], "2026-01-02T03:04:05.678Z");
    assert!(
        stderr
            .contains("the report itself says global; judged again it is source_address (ip_ban)"),
        "{stderr}"
    );

    // Judged a second time it says the same, and nothing on stderr.
    let again = replay(&["-", "--format", "json"], &judged.to_string());
    assert_eq!(String::from_utf8(again.stderr).unwrap(), "");
    assert_eq!(
        serde_json::from_slice::<Value>(&again.stdout).unwrap(),
        judged
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), judged.to_string()).unwrap();
    let text = replay(&[file.path().to_str().unwrap(), "--fail-on", "global"], "");
    assert_eq!(text.status.code(), Some(0));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("Refused from your IP address only (203.0.113.7)"),
        "{text}"
    );
}

#[test]
fn what_is_no_report_is_one_sentence_and_exit_code_2() {
    let with = |pointer: &str, value: Value| {
        let mut report = report();
        *report
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer}")) = value;
        report.to_string()
    };
    let first = "/vantages/0/observations/0";
    let twice = report()["vantages"][0]["observations"][0].clone();
    for (text, says) in [
        (String::new(), "no report"),
        ("\u{0}\u{1b}[31m".to_owned(), "no report"),
        ("[1]".to_owned(), "no report"),
        ("{\"a\": 1}".to_owned(), "missing field `schema`"),
        (
            with("/schema", json!("onlyhere.report/2")),
            "schema is `onlyhere.report/2`",
        ),
        (with("/target/port", json!(null)), "cannot be: target.port"),
        (with("/vantages", json!([])), "0 vantages"),
        (
            with("/vantages/1/id", json!("you")),
            "two vantages are called you",
        ),
        (
            with("/subject/vantage", json!("lyo1")),
            "its subject is lyo1",
        ),
        (
            with(&format!("{first}/vantage"), json!("fra1")),
            "names fra1 as its vantage",
        ),
        (
            with(
                &format!("{first}/check"),
                json!("01JD0000000000000000000001"),
            ),
            "belongs to the check",
        ),
        (
            with(&format!("{first}/sequence"), json!(256)),
            "not below 256",
        ),
        (
            with(
                &format!("{first}/facts/dns/answers/0/address"),
                json!("1.2.3"),
            ),
            "invalid IP address",
        ),
        (with("/vantages/0/observations/1", twice), "is there twice"),
        (
            with("/vantages/0/observations/1/purpose", json!("retry")),
            "another purpose",
        ),
        (
            with("/conditions", json!({"attempt_timeout_ms": -1})),
            "0 or more",
        ),
        (
            format!("{}{}", report(), " ".repeat(17 * 1024 * 1024)),
            "longer than 16777216 bytes",
        ),
    ] {
        let output = replay(&["-"], &text);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{says}: {stderr}");
        assert!(stderr.contains(says), "{says}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!stderr.contains('\u{1b}') && output.stdout.is_empty());
    }
    for (args, says) in [
        (&[][..], "<REPORT>"),
        (&["/nonexistent/report.json"], "cannot be read"),
        (&["report.json", "--stdio"], "cannot be used with"),
        (&["--stdio", "--format", "json"], "cannot be used with"),
    ] {
        let output = replay(args, "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}
