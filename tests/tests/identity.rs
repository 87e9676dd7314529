//! Who is a probe, with the real programs on loopback: what a person types, what the programs say, and how they end.
//!
//! Every test prints what it saw.

mod fleet;

use std::{
    fs,
    time::{Duration, Instant},
};

use fleet::{Coordinator, text};

/// Longer than anything here takes when it works.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_stolen_join_token_fails_the_second_time_and_is_reported() {
    let coordinator = Coordinator::start("");
    let token = coordinator.join_token("fra1");
    let owner = coordinator.join(&token, "owner", &[]);
    assert!(owner.status.success(), "{owner:?}");
    println!("owner:  {}", text(&owner.stdout).trim());

    let thief = coordinator.join(&token, "thief", &["--name", "evil1"]);
    println!(
        "thief:  exit {:?}: {}",
        thief.status.code(),
        text(&thief.stderr).trim()
    );
    assert_eq!(thief.status.code(), Some(1));
    assert!(text(&thief.stderr).contains("the token has been used up"));
    assert!(!coordinator.data_dir("thief").join("probe.toml").exists());

    let log = coordinator.log_line("enrolment refused");
    println!("log:    {log}");
    for part in ["WARN", "remote=127.0.0.1", "used up", "fra1", "evil1"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let audit = coordinator.ask(&["audit"]);
    let row = line_with(&audit, "join_refused");
    println!("audit:  {row}");
    for part in ["127.0.0.1", "fra1", "used up", "evil1"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    let list = coordinator.ask(&["token", "list"]);
    let row = line_with(&list, "fra1");
    println!("tokens: {row}");
    assert!(
        row.contains("used up") && row.contains("from 127.0.0.1"),
        "{row}"
    );
    assert_eq!(list.matches("from 127.0.0.1").count(), 1, "{list}");
}

#[test]
fn a_revoked_probe_is_out_within_a_second_and_cannot_come_back() {
    let coordinator = Coordinator::start("");
    let client = coordinator.ask(&["token", "create", "--kind", "client", "--name", "me"]);
    coordinator.joined("fra1", &[]);
    let mut probe = coordinator.run_probe("fra1");
    probe.wait_for("ready", PATIENCE);
    assert!(coordinator.vantages(client.trim()).contains("fra1"));

    let began = Instant::now();
    coordinator.ask(&["probe", "revoke", "fra1"]);
    let returned = began.elapsed();
    let end = probe.wait_for("not enrolled any more", PATIENCE);
    let after = began.elapsed();
    println!(
        "`probe revoke` said so after {} ms, and the stream had ended {} ms after the command began",
        returned.as_millis(),
        after.as_millis()
    );
    println!("probe:  {end}");
    let late = after.saturating_sub(returned);
    assert!(late < Duration::from_secs(1), "{late:?} after it was said");
    assert!(!coordinator.vantages(client.trim()).contains("fra1"));

    drop(probe);
    let mut probe = coordinator.run_probe("fra1");
    let refused = probe.wait_for("not attached", PATIENCE);
    println!("again:  {refused}");
    for part in [
        "not enrolled",
        "onlyhere-coordinator token create --kind probe --name fra1",
        "onlyhere-probe join TOKEN --replace",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(!coordinator.vantages(client.trim()).contains("fra1"));
}

#[test]
fn a_probe_restarted_after_its_certificate_expired_says_what_to_do_and_that_works() {
    let coordinator = Coordinator::start("[probes]\ncertificate_life = '5s'");
    let place = ["--region", "eu", "--asn", "64500"];
    coordinator.joined("fra1", &place);
    let mut probe = coordinator.run_probe("fra1");
    probe.wait_for("ready", PATIENCE);
    drop(probe);
    std::thread::sleep(Duration::from_millis(6_500));

    let mut probe = coordinator.run_probe("fra1");
    let code = probe.wait_for_end(PATIENCE);
    let said = probe.log();
    println!("exit {code:?}: {}", said.trim());
    assert_eq!(code, Some(4));
    let sentences = said
        .lines()
        .filter(|line| line.starts_with("onlyhere-probe: "));
    assert_eq!(sentences.count(), 1, "one sentence: {said}");
    let dir = coordinator.data_dir("fra1").display().to_string();
    for part in [
        "the certificate of `fra1` expired at 2",
        "on the coordinator run `onlyhere-coordinator token create --kind probe --name fra1`",
        &format!("and here `onlyhere-probe join TOKEN --data-dir {dir}`"),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // To the letter.
    let token = coordinator.join_token("fra1");
    let joined = coordinator.join(&token, "fra1", &[]);
    assert!(joined.status.success(), "{joined:?}");
    coordinator.run_probe("fra1").wait_for("ready", PATIENCE);
    let list = coordinator.ask(&["probe", "list"]);
    let row = line_with(&list, "fra1");
    println!("back:   {row}");
    assert!(
        row.contains("AS64500"),
        "the place that it had is kept: {row}"
    );
}

#[test]
fn a_running_probe_whose_certificate_expires_ends_with_the_same_words() {
    let mut coordinator = Coordinator::start("[probes]\ncertificate_life = '5s'");
    coordinator.joined("fra1", &[]);
    let mut probe = coordinator.run_probe("fra1");
    probe.wait_for("ready", PATIENCE);
    coordinator.stop();
    // However long it would have waited for its next attempt.
    let code = probe.wait_for_end(Duration::from_secs(10));
    let said = probe.log();
    let last = said.lines().last().unwrap_or_default();
    println!("exit {code:?}: {last}");
    assert_eq!(code, Some(4));
    assert!(
        last.starts_with("onlyhere-probe: the certificate of `fra1` expired at 2"),
        "{said}"
    );
}

#[test]
fn a_probe_renews_its_certificate_by_itself_and_stays() {
    let coordinator = Coordinator::start("[probes]\ncertificate_life = '6s'");
    coordinator.joined("fra1", &[]);
    let key = || fs::read(coordinator.data_dir("fra1").join("identity.pem")).unwrap();
    let first = key();
    let mut probe = coordinator.run_probe("fra1");
    probe.wait_for("ready", PATIENCE);
    std::thread::sleep(Duration::from_secs(13));
    let log = probe.log();
    let renewals: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("the certificate is renewed"))
        .collect();
    println!(
        "{} renewals in 13 s of certificates that hold for 6 s; the last: {}",
        renewals.len(),
        renewals[renewals.len() - 1]
    );
    assert!(renewals.len() >= 2, "{log}");
    assert!(!log.contains("not attached"), "{log}");
    assert_ne!(key(), first);
    // And after a restart with what lies on disk.
    drop(probe);
    coordinator.run_probe("fra1").wait_for("ready", PATIENCE);
    let audit = coordinator.ask(&["audit"]);
    assert!(audit.matches("probe_renewed").count() >= 2, "{audit}");
}

#[test]
fn the_ca_is_replaced_under_attached_probes_and_who_stayed_away_is_told_what_to_do() {
    let coordinator = Coordinator::start("");
    let early = coordinator.join_token("par1");
    coordinator.joined("fra1", &[]);
    coordinator.joined("away1", &[]);
    coordinator.joined("old1", &[]);
    let mut probe = coordinator.run_probe("fra1");
    probe.wait_for("ready", PATIENCE);

    let rotated = coordinator.ask(&["ca", "rotate"]);
    println!("rotate: {}", rotated.trim());
    println!(
        "probe:  {}",
        probe.wait_for("the certificate is renewed", PATIENCE)
    );
    drop(probe);
    coordinator.run_probe("fra1").wait_for("ready", PATIENCE);
    // Knows only the old CA, and is let in by it; and so does a token that was made before.
    coordinator.run_probe("away1").wait_for("ready", PATIENCE);
    let joined = coordinator.join(&early, "par1", &[]);
    assert!(joined.status.success(), "{joined:?}");
    let late = coordinator.join_token("nyc1");
    let joined = coordinator.join(&late, "nyc1", &[]);
    assert!(joined.status.success(), "{joined:?}");

    // And `old1` has not been attached since.
    let show = coordinator.ask(&["ca", "show"]);
    println!("{}", show.trim());
    let refused = coordinator.command(&["ca", "retire"]).output().unwrap();
    println!(
        "retire: exit {:?}: {}",
        refused.status.code(),
        text(&refused.stderr).trim()
    );
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("old1"), "{refused:?}");
    let retired = coordinator.ask(&["ca", "retire", "--force"]);
    println!("retire --force: {}", retired.trim());
    coordinator.log_line("the certificate authority was replaced");

    coordinator.run_probe("fra1").wait_for("ready", PATIENCE);
    let mut old = coordinator.run_probe("old1");
    let said = old.wait_for("not attached", PATIENCE);
    println!("old1:   {said}");
    // Who meets the old certificate of the port for a moment longer is told by the coordinator.
    let why = [
        "under no authority that this probe trusts",
        "of a CA that was retired",
    ];
    assert!(why.iter().any(|why| said.contains(why)), "{said}");
    let remedy = ["join again", "`onlyhere-probe join TOKEN --replace`"];
    assert!(remedy.iter().any(|remedy| said.contains(remedy)), "{said}");
}

#[test]
fn a_copied_identity_is_noticed_and_shown() {
    let coordinator = Coordinator::start("");
    coordinator.joined("fra1", &[]);
    let (original, copy) = (coordinator.data_dir("fra1"), coordinator.data_dir("copy"));
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&original).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let mut first = coordinator.run_probe("fra1");
    first.wait_for("ready", PATIENCE);
    let mut second = coordinator.run_probe("copy");
    second.wait_for("ready", PATIENCE);
    println!(
        "probe:  {}",
        first.wait_for("attached again over another connection", PATIENCE)
    );
    let log = coordinator.log_line("two machines use the identity of one probe");
    println!("log:    {log}");
    let audit = coordinator.ask(&["audit"]);
    println!("audit:  {}", line_with(&audit, "probe_duplicated"));
    let list = coordinator.ask(&["probe", "list"]);
    println!("{}", list.trim());
    assert!(list.contains("two machines use its identity"), "{list}");
}

fn line_with<'a>(text: &'a str, word: &str) -> &'a str {
    let line = text.lines().find(|line| line.contains(word));
    line.unwrap_or_else(|| panic!("no line with {word}: {text}"))
}
