//! What every store must do, shown on this one.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use onlyhere_proto::{
    Actor, LocalFacts, Mechanism, Micros, Observation, Outcome, Purpose, REPORT_SCHEMA, Scope,
    Stage, Vantage, VantageReport, Verdict,
};
use tempfile::TempDir;

use super::*;
use crate::{
    audit::{Act, By},
    place::Place,
    tokens::TokenKind,
};

async fn store() -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&dir.path().join(FILE)).await.unwrap();
    (dir, store)
}

async fn put(store: &Sqlite, owner: &str, report: Report) {
    let change = Change::Report {
        owner: owner.into(),
        report: Box::new(report),
    };
    assert_eq!(store.commit(vec![change]).await.unwrap(), Committed::Done);
}

/// A report of `number` seconds after the epoch, for a caller at 203.0.113.7.
fn judged(number: i64, scope: Scope) -> Report {
    let target = Target::parse("https://shop.example").unwrap();
    Report {
        conditions: Default::default(),
        schema: REPORT_SCHEMA.into(),
        id: format!("{number:026}").parse().unwrap(),
        started_at: Timestamp(number * 1_000_000),
        duration_ms: Micros(0),
        target,
        verdict: Verdict {
            scope,
            mechanism: Mechanism::None,
            headline: String::new(),
            actor: Actor::Nobody,
            confidence: 1.0,
            intermittent: false,
            complete: true,
            scopes: BTreeMap::new(),
            causes: Vec::new(),
            evidence: Vec::new(),
            advisories: Vec::new(),
            next: Vec::new(),
        },
        subject: caller("203.0.113.7"),
        vantages: Vec::new(),
    }
}

fn caller(address: &str) -> Subject {
    Subject {
        vantage: Some(VantageName::you()),
        public_address: address.parse().ok(),
        asn: None,
        local: LocalFacts::default(),
    }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp(seconds * 1_000_000))
}

#[tokio::test]
async fn a_report_comes_back_as_it_was_and_the_file_is_its_owners_alone() {
    let (dir, store) = store().await;
    let report = judged(1, Scope::Global);
    put(&store, "me", report.clone()).await;
    let found = store.report(&report.id).await.unwrap();
    assert_eq!(found, Some(("me".into(), report)));
    let missing = "00000000000000000000000009".parse().unwrap();
    assert_eq!(store.report(&missing).await.unwrap(), None);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn history_is_the_last_success_and_the_first_failure_after_it() {
    use Scope::{Global, Inconclusive, Local, Ok, SourceAddress};
    let told = |last_ok, failing_since| History {
        last_ok,
        failing_since,
    };
    let cases: [(&[Scope], History); 6] = [
        (&[], History::default()),
        (&[Inconclusive], History::default()),
        (&[Ok], told(at(1), None)),
        (
            &[Global, Ok, Inconclusive, SourceAddress, Local],
            told(at(2), at(4)),
        ),
        (&[Global, Global], told(None, at(1))),
        (&[Ok, Global, Ok], told(at(3), None)),
    ];
    for (scopes, expected) in cases {
        let (_dir, store) = store().await;
        for (number, scope) in (1..).zip(scopes) {
            put(&store, "me", judged(number, *scope)).await;
        }
        let target = Target::parse("https://shop.example/cart").unwrap();
        let history = store.history("me", &target, &caller("203.0.113.7")).await;
        assert_eq!(history.unwrap(), expected, "{scopes:?}");
    }
}

#[tokio::test]
async fn history_is_of_one_owner_address_and_target() {
    let (_dir, store) = store().await;
    put(&store, "me", judged(1, Scope::Ok)).await;
    let you = caller("203.0.113.7");
    let knows = async |owner: &str, target: &str, subject: &Subject| {
        let target = Target::parse(target).unwrap();
        store.history(owner, &target, subject).await.unwrap() != History::default()
    };
    let shop = "https://shop.example";
    assert!(knows("me", shop, &you).await);
    assert!(!knows("somebody", shop, &you).await);
    assert!(!knows("me", "http://shop.example", &you).await, "a port");
    assert!(!knows("me", "tcp://shop.example:443", &you).await, "layer");
    assert!(!knows("me", shop, &caller("203.0.113.8")).await);
    let no_vantage = Subject {
        vantage: None,
        ..you.clone()
    };
    assert!(!knows("me", shop, &no_vantage).await);
    let unknown = caller("");
    let mut of_nobody = judged(2, Scope::Ok);
    of_nobody.subject = unknown.clone();
    put(&store, "me", of_nobody).await;
    assert!(!knows("me", shop, &unknown).await, "any of many callers");
}

#[tokio::test]
async fn a_fault_elsewhere_is_none_of_the_callers() {
    let shop = Target::parse("https://shop.example").unwrap();
    for (outcome, reachable) in [(Outcome::Ok, true), (Outcome::Timeout, false)] {
        let (_dir, store) = store().await;
        let mut report = judged(1, Scope::Regional);
        report.vantages = vec![VantageReport {
            vantage: Vantage::named(VantageName::you()),
            observations: vec![observation(outcome)],
        }];
        put(&store, "me", report).await;
        let history = store.history("me", &shop, &caller("203.0.113.7")).await;
        let history = history.unwrap();
        assert_eq!(history.last_ok.is_some(), reachable, "{outcome}");
        assert_eq!(history.failing_since.is_some(), !reachable, "{outcome}");
    }
}

fn observation(outcome: Outcome) -> Observation {
    Observation {
        check: judged(1, Scope::Ok).id,
        request: 1,
        sequence: 0,
        vantage: VantageName::you(),
        purpose: Purpose::Target,
        stage: Stage::Http,
        host: "shop.example".into(),
        source: None,
        address: "192.0.2.1".parse().ok(),
        port: Some(443),
        family: None,
        started_at: Timestamp(0),
        elapsed_ms: Micros(1_000),
        slot: 0,
        outcome,
        said_by: None,
        detail: None,
        facts: None,
    }
}

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let (_dir, store) = store().await;
    let (token, _) = crate::tokens::Token::generate(
        TokenKind::Client,
        "ci".parse().unwrap(),
        Timestamp(1_000_000),
    );
    let added = Change::Token {
        was: None,
        now: Some(Box::new(token.clone())),
    };
    let line = || Change::Audit(Event::new(Act::TokenCreated, By::operator(), "ci", ""));
    let first = store.commit(vec![line(), added.clone()]).await;
    assert_eq!(first.unwrap(), Committed::Done);
    // It is there already: neither the line nor anything else of the second commit is kept.
    let revoked = crate::tokens::Token {
        revoked: true,
        ..token.clone()
    };
    let change = Change::Token {
        was: Some(Box::new(token)),
        now: Some(Box::new(revoked)),
    };
    let second = store.commit(vec![change, line(), added]).await;
    assert_eq!(second.unwrap(), Committed::Conflict);
    assert!(!store.tokens().await.unwrap()[0].revoked);
    assert_eq!(store.audit(&everything()).await.unwrap().len(), 1);
}

fn everything() -> Filter {
    Filter {
        since: None,
        act: None,
        limit: u32::MAX,
    }
}

#[tokio::test]
async fn the_audit_log_reads_back_the_latest_first_and_a_check_is_one_line() {
    let (_dir, store) = store().await;
    let from = "203.0.113.7".parse().unwrap();
    let by = By {
        who: crate::audit::Who::Token {
            id: "0a1b".into(),
            name: "ci".into(),
        },
        from: Some(from),
    };
    let report = judged(1, Scope::Global);
    let begun = Event::check(&report.id, &report.target, by);
    let joined = Event::new(Act::JoinRefused, By::stranger(from), "token 77", "expired");
    // The end may be written before the beginning.
    let ended = begun.with_outcome("global");
    for event in [ended.clone(), joined.clone(), begun] {
        store.commit(vec![Change::Audit(event)]).await.unwrap();
    }
    assert_eq!(
        store.audit(&everything()).await.unwrap(),
        [joined.clone(), ended]
    );
    let latest = Filter {
        limit: 1,
        ..everything()
    };
    assert_eq!(
        store.audit(&latest).await.unwrap(),
        std::slice::from_ref(&joined)
    );
    let refused = Filter {
        act: Some(Act::JoinRefused),
        ..everything()
    };
    assert_eq!(store.audit(&refused).await.unwrap(), [joined]);
    let later = Filter {
        since: Some(Timestamp(i64::MAX)),
        ..everything()
    };
    assert_eq!(store.audit(&later).await.unwrap(), []);
}

#[tokio::test]
async fn the_oldest_are_forgotten_by_number_age_and_size() {
    let (_dir, store) = store().await;
    let day = |days: i64| days * 86_400;
    let now = Timestamp(day(100) * 1_000_000);
    for number in 0..1_210 {
        put(&store, "me", judged(day(99) + number, Scope::Ok)).await;
    }
    put(&store, "me", judged(day(3), Scope::Ok)).await;
    let kept = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM reports");
        count.fetch_one(&store.readers).await.unwrap()
    };
    let keep = |reports, reports_days| Retention {
        reports,
        reports_days,
        ..Retention::default()
    };
    let gone = async |keep| store.prune(&keep, now).await.unwrap().reports;
    assert_eq!(gone(keep(2_000, 97)).await, 0);
    assert_eq!(gone(keep(2_000, 96)).await, 1, "by age");
    assert_eq!(gone(keep(10, 90)).await, 1_200, "by number");
    assert_eq!(kept().await, 10);
    let oldest_left = judged(day(99) + 1_200, Scope::Ok).id;
    assert!(store.report(&oldest_left).await.unwrap().is_some());
    for number in 0..3 {
        let mut large = judged(day(99) + 5_000 + number, Scope::Ok);
        large.verdict.headline = "x".repeat(700_000);
        put(&store, "me", large).await;
    }
    let small = Retention {
        reports_mib: 1,
        ..Retention::default()
    };
    assert_eq!(gone(small).await, 12, "by size");
    assert_eq!(kept().await, 1);
}

#[tokio::test]
async fn the_audit_log_is_bounded_too() {
    let (_dir, store) = store().await;
    for number in 0..20 {
        let mut event = Event::new(Act::TokenCreated, By::operator(), "x", "");
        event.at = Timestamp(number * 86_400_000_000);
        store.commit(vec![Change::Audit(event)]).await.unwrap();
    }
    let keep = |audit, audit_days| Retention {
        audit,
        audit_days,
        ..Retention::default()
    };
    let now = Timestamp(20 * 86_400_000_000);
    let gone = async |keep| store.prune(&keep, now).await.unwrap().audit;
    assert_eq!(gone(keep(100, 15)).await, 5);
    assert_eq!(gone(keep(7, 15)).await, 8);
    assert_eq!(store.audit(&everything()).await.unwrap().len(), 7);
}

#[tokio::test]
async fn what_earlier_versions_kept_is_taken_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let (token, secret) = crate::tokens::Token::generate(
        TokenKind::Client,
        "ci".parse().unwrap(),
        Timestamp(1_000_000),
    );
    let fra: VantageName = "fra".parse().unwrap();
    let enrolled = Enrolled {
        place: Place {
            region: Some("eu".into()),
            ..Place::default()
        },
        key_sha256: "00".into(),
        enrolled_at: Timestamp(2_000_000),
        token: "t".into(),
        certificate: None,
        next: None,
        seen: None,
    };
    let names: Names = [(fra.clone(), enrolled.clone())].into();
    let write = |name: &str, text: Vec<u8>| std::fs::write(dir.path().join(name), text).unwrap();
    write("tokens.json", serde_json::to_vec(&[&token]).unwrap());
    write("probes.json", serde_json::to_vec(&names).unwrap());
    let url = crate::config::Store::default().url;
    let store = crate::store::open(&url, dir.path()).await.unwrap();
    assert_eq!(
        store.tokens().await.unwrap(),
        std::slice::from_ref(&token),
        "{}",
        secret.as_str()
    );
    assert_eq!(store.probe(&fra).await.unwrap(), Some(enrolled));
    let aside = |name: &str| dir.path().join(name).exists();
    assert!(aside("tokens.json.taken-over") && aside("probes.json.taken-over"));
    assert!(!aside("tokens.json") && !aside("probes.json"));
    // As after a crash before the rename: what was changed since stays so.
    let roll = crate::fleet::roll::Roll::new(std::sync::Arc::clone(&store));
    assert!(roll.strike(&fra, &By::operator()).await.unwrap());
    write("probes.json", serde_json::to_vec(&names).unwrap());
    let again = crate::store::open(&url, dir.path()).await.unwrap();
    assert_eq!(again.probe(&fra).await.unwrap(), None);
    assert!(aside("probes.json.taken-over-2"), "nothing is overwritten");
    // What cannot be read stays where it is.
    write("tokens.json", b"[{".to_vec());
    let error = crate::store::open(&url, dir.path()).await.unwrap_err();
    let says = error.to_string();
    assert!(says.contains("tokens.json does not hold"), "{says}");
    assert!(aside("tokens.json"));
}

/// `serve` and a first `token create` are often started at the same moment: whoever is second waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_a_new_database_at_once() {
    for _ in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("coordinator.db");
        let open = || {
            let file = file.clone();
            tokio::spawn(async move { super::open::open(&file, None).await.map(|_| ()) })
        };
        let all: Vec<_> = (0..6).map(|_| open()).collect();
        for opened in all {
            opened.await.unwrap().unwrap();
        }
    }
}
