//! Checks over plain HTTP, as curl makes them: a real server, real sockets, and each bound hit once.

mod common;

use std::time::{Duration, Instant};

use common::{
    Coordinator,
    probe::{self, Manner},
    rest::{self, get, post, question},
};
use http::Request;
use http_body_util::{BodyExt, Full};
use onlyhere_coordinator::{
    audit::Act,
    config::Config,
    tokens::{ADMIN, CLIENT, Limits, Token, TokenKind},
};
use onlyhere_proto::Scope;
use serde_json::{Value, json};

const QUESTION: &str = r#"{"target": "tcp://shop.example:22"}"#;

async fn coordinator(manners: &[Manner]) -> (Coordinator, Vec<probe::Running>, String) {
    let coordinator = Coordinator::start(Config {
        allow_private: vec!["192.0.2.0/24".parse().unwrap()],
        ..Config::default()
    })
    .await;
    let mut fleet = Vec::new();
    for (i, manner) in (0..).zip(manners) {
        fleet.push(probe::start(&coordinator, &format!("p{i}"), 64500 + i, *manner).await);
    }
    let token = coordinator.client_token().await;
    (coordinator, fleet, token)
}

/// Asks until the check is over.
async fn await_end(coordinator: &Coordinator, path: &str, token: &str) -> rest::Answer {
    common::within(async {
        loop {
            let answer = get(coordinator, path, token).await;
            if answer.json()["status"] != "running" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_caller_that_waits_gets_the_report_and_it_can_be_read_again() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Refused; 3]).await;
    let answer = post(&coordinator, "/v1/checks?wait=true", &token, QUESTION).await;
    let report = answer.report();
    assert_eq!(report.verdict.scope, Scope::Global, "{}", answer.body);
    assert!(report.verdict.complete);
    assert_eq!(report.subject.vantage, None, "the caller is no vantage");
    assert_eq!(
        report.subject.public_address,
        "127.0.0.1".parse().ok(),
        "and has an address"
    );
    assert_eq!(report.vantages.len(), 3);
    assert_eq!(answer.location(), format!("/v1/checks/{}", report.id));
    assert_eq!(answer.headers["content-type"], "application/json");
    let again = get(&coordinator, answer.location(), &token).await;
    assert_eq!(again.report(), report);
    let lines = coordinator.audit(Act::Check).await;
    assert!(lines[0].ends_with(": global"), "{lines:?}");
}

#[tokio::test]
async fn a_caller_that_does_not_wait_is_told_where_to_look_and_the_check_goes_on() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Refused, Manner::Dead]).await;
    let question = json!({
        "target": "tcp://shop.example:22", "from": ["probe:p0,probe:p1"], "seen": "refused",
        "timeout_ms": 2_000, "expected_addresses": ["192.0.2.80"],
    });
    let began = Instant::now();
    let answer = post(&coordinator, "/v1/checks", &token, question.to_string()).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(answer.status, 202);
    let status = answer.json();
    assert_eq!(status["schema"], "onlyhere.check/1");
    assert_eq!(status["status"], "running");
    assert_eq!(status["target"]["host"], "shop.example");
    assert_eq!(status["links"]["self"], answer.location());
    assert_eq!(
        status["links"]["events"],
        format!("{}/events", answer.location())
    );
    let running = get(&coordinator, answer.location(), &token).await;
    assert_eq!(running.json()["status"], "running");
    assert_eq!(running.headers["retry-after"], "1");
    let report = await_end(&coordinator, answer.location(), &token)
        .await
        .report();
    assert_eq!(status["id"], report.id.to_string());
    let conditions = &report.conditions;
    assert_eq!(
        conditions.expected_addresses,
        ["192.0.2.80".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(conditions.seen, Some("refused".parse().unwrap()));
    assert!(report.duration_ms.as_millis() < 2_000.0);
}

#[tokio::test]
async fn the_events_of_a_check_end_with_its_report_whenever_they_are_asked_for() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Refused, Manner::Dead]).await;
    let ask = json!({"target": "tcp://shop.example:22", "timeout_ms": 2_000}).to_string();
    let answer = post(&coordinator, "/v1/checks", &token, ask).await;
    let path = format!("{}/events", answer.location());
    let (early, late) = tokio::join!(get(&coordinator, &path, &token), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        get(&coordinator, &path, &token).await
    });
    assert_eq!(early.headers["content-type"], "text/event-stream");
    let told = rest::events(&early.body);
    let names: Vec<&str> = told.iter().map(|event| event.name.as_str()).collect();
    for name in ["observation", "verdict", "report"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let of = |told: &[rest::Event], name: &str| -> Vec<Value> {
        let events = told.iter().filter(|event| event.name == name);
        events
            .map(|event| serde_json::from_str(&event.data).unwrap())
            .collect()
    };
    let verdicts = of(&told, "verdict");
    assert_eq!(verdicts[0]["complete"], false);
    let report = get(&coordinator, answer.location(), &token).await.report();
    let last = told.last().unwrap();
    assert_eq!((last.name.as_str(), last.id.as_str()), ("report", "end"));
    assert_eq!(
        serde_json::from_str::<onlyhere_proto::Report>(&last.data).unwrap(),
        report
    );
    let seen = report.vantages.iter().map(|v| v.observations.len());
    assert_eq!(of(&told, "observation").len(), seen.sum::<usize>());
    // Who comes late has missed nothing but verdicts that were replaced.
    let told_late = rest::events(&late.body);
    assert_eq!(of(&told_late, "observation"), of(&told, "observation"));
    assert_eq!(of(&told_late, "report"), of(&told, "report"));
    // Who comes when it is over gets the report, and who comes again after that is sent away.
    let after = rest::events(&get(&coordinator, &path, &token).await.body);
    assert_eq!(after, std::slice::from_ref(last));
    let again = rest::request("GET", &path, &token).header("last-event-id", "end");
    let again = rest::send(&coordinator, again.body(Full::default()).unwrap()).await;
    assert_eq!((again.status, again.body.as_str()), (204, ""));
}

#[tokio::test]
async fn who_comes_back_to_the_events_hears_what_is_new() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Refused, Manner::Dead]).await;
    let ask = json!({"target": "tcp://shop.example:22", "timeout_ms": 2_000}).to_string();
    let answer = post(&coordinator, "/v1/checks", &token, ask).await;
    let path = format!("{}/events", answer.location());
    let back = rest::request("GET", &path, &token).header("last-event-id", "2");
    let told = rest::send(&coordinator, back.body(Full::default()).unwrap()).await;
    let told = rest::events(&told.body);
    let first = told.iter().find(|event| event.name == "observation");
    assert_eq!(first.unwrap().id, "3");
}

#[tokio::test]
async fn who_waits_and_hangs_up_has_the_check_withdrawn() {
    let (coordinator, mut fleet, token) = coordinator(&[Manner::Dead, Manner::Dead]).await;
    let response = rest::open(
        &coordinator,
        question("/v1/checks?wait=true", &token, QUESTION),
    )
    .await;
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(
        get(&coordinator, &path, &token).await.json()["status"],
        "running"
    );
    drop(response);
    for probe in &mut fleet {
        let withdrawn = tokio::time::timeout(Duration::from_secs(2), probe.cancellations.recv());
        assert!(withdrawn.await.expect("soon").is_some());
    }
    let failed = await_end(&coordinator, &path, &token).await;
    let failed = failed.json();
    assert_eq!(
        (failed["status"].as_str(), failed["detail"].as_str()),
        (Some("failed"), Some("the caller left"))
    );
    let told = get(&coordinator, &format!("{path}/events"), &token).await;
    let told = rest::events(&told.body);
    assert_eq!(told.last().unwrap().name, "failed");
    let lines = coordinator.audit(Act::Check).await;
    assert!(lines[0].ends_with(": the caller left"), "{lines:?}");
}

#[tokio::test]
async fn checks_and_their_events_are_their_owners_and_admins_alone() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Dead]).await;
    let admin = coordinator
        .token(TokenKind::Admin, "root", |token| token)
        .await;
    let admin = format!("{ADMIN}{}", admin.as_str());
    let other = coordinator.client_token().await;
    let ask = json!({"target": "tcp://shop.example:22", "timeout_ms": 1_000}).to_string();
    let answer = post(&coordinator, "/v1/checks", &token, ask).await;
    let events = format!("{}/events", answer.location());
    for over in [false, true] {
        if over {
            await_end(&coordinator, answer.location(), &token).await;
        }
        for path in [answer.location(), &events] {
            let refused = get(&coordinator, path, &other).await.problem(404);
            assert!(refused.starts_with("no check 01"), "{refused}");
            assert_eq!(get(&coordinator, path, &admin).await.status, 200);
        }
    }
}

#[tokio::test]
async fn wrong_questions_are_told_what_would_be_right() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Healthy]).await;
    let ask = async |json: &str| post(&coordinator, "/v1/checks", &token, json.to_owned()).await;
    let long = format!(r#"{{"target": "{}"}}"#, "x".repeat(9_000));
    let deep = "[".repeat(8_000);
    for (json, status, says) in [
        ("", 400, "EOF while parsing"),
        ("{", 400, "EOF while parsing"),
        (&deep, 422, "a question is a JSON object; one looks like {"),
        (r#"["a.example"]"#, 422, "a question is a JSON object"),
        (&long, 413, "a question has at most 8192 bytes"),
        ("{}", 422, "missing field `target`"),
        (
            r#"{"target": "a.example", "observations": []}"#,
            422,
            "unknown field `observations`, expected one of `target`, `from`",
        ),
        (
            r#"{"target": "a.example", "target": "b.example"}"#,
            422,
            "duplicate field `target`",
        ),
        (r#"{"target": 1}"#, 422, "expected a string"),
        (r#"{"target": "https://"}"#, 422, "names no host"),
        (
            r#"{"target": "tcp://10.0.0.1:22"}"#,
            422,
            "private targets are judged locally",
        ),
        (
            r#"{"target": "a.example", "from": ["eu+"]}"#,
            422,
            "selectors look like",
        ),
        (
            r#"{"target": "a.example", "from": ["mobile"]}"#,
            409,
            "no vantage that is attached now fits `mobile`",
        ),
        (
            r#"{"target": "a.example", "seen": "nonsense"}"#,
            422,
            "nonsense",
        ),
        (
            r#"{"target": "a.example", "timeout_ms": 60001}"#,
            422,
            "`timeout_ms` is from 500 to 60000, not 60001",
        ),
        (
            r#"{"target": "a.example", "expected_addresses": ["here"]}"#,
            422,
            "`here`, an expected address, is no IP address",
        ),
    ] {
        let detail = ask(json).await.problem(status);
        assert!(detail.contains(says), "{detail}");
    }
    let untyped = rest::request("POST", "/v1/checks", &token).body(Full::from(QUESTION));
    let detail = rest::send(&coordinator, untyped.unwrap())
        .await
        .problem(415);
    assert!(detail.contains("content-type: application/json"));
    let detail = post(&coordinator, "/v1/checks?wait=yes", &token, QUESTION).await;
    assert!(detail.problem(400).contains("the only one is `wait=true`"));
    for (path, status) in [
        ("/v1/checks/nonsense", 400),
        ("/v1/checks/01JD0000000000000000000000", 404),
        ("/v1/checks/01JD0000000000000000000000/events", 404),
        ("/v1/checks/%ff", 400),
        ("/v1/nothing", 404),
    ] {
        get(&coordinator, path, &token).await.problem(status);
    }
    let wrong = Request::builder().method("DELETE").uri("/v1/checks");
    let wrong = wrong.header("host", "c.example").body(Full::default());
    let refused = rest::send(&coordinator, wrong.unwrap()).await;
    assert_eq!(refused.headers["allow"], "POST");
    refused.problem(405);
    assert_eq!(coordinator.audit(Act::Check).await, [""; 0]);
}

#[tokio::test]
async fn nobody_attached_and_nobody_here_means_that_nobody_can_try() {
    let (coordinator, _fleet, token) = coordinator(&[]).await;
    let refused = post(&coordinator, "/v1/checks", &token, QUESTION).await;
    assert!(refused.problem(409).contains("nobody can try"));
}

#[tokio::test]
async fn a_token_has_its_limits_here_as_elsewhere() {
    let (coordinator, _fleet, _) = coordinator(&[Manner::Dead]).await;
    let token = async |change: fn(Token) -> Token| {
        let secret = coordinator.token(TokenKind::Client, "bounded", change);
        format!("{CLIENT}{}", secret.await.as_str())
    };
    let once = token(|token| Token {
        uses_left: Some(1),
        ..token
    })
    .await;
    assert_eq!(
        post(&coordinator, "/v1/checks", &once, QUESTION)
            .await
            .status,
        202
    );
    let refused = post(&coordinator, "/v1/checks", &once, QUESTION).await;
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    refused.problem(401);

    let host = token(|token| Token {
        hosts: vec!["other.example".parse().unwrap()],
        ..token
    })
    .await;
    let refused = post(&coordinator, "/v1/checks", &host, QUESTION).await;
    assert!(refused.problem(403).contains("not shop.example"));

    let seldom = token(|token| Token {
        limits: Limits {
            per_minute: 1.try_into().ok(),
            ..Limits::default()
        },
        ..token
    })
    .await;
    assert_eq!(
        post(&coordinator, "/v1/checks", &seldom, QUESTION)
            .await
            .status,
        202
    );
    let refused = post(&coordinator, "/v1/checks", &seldom, QUESTION).await;
    assert_eq!(refused.headers["retry-after"], "60");
    refused.problem(429);

    let one = token(|token| Token {
        limits: Limits {
            at_once: 1.try_into().ok(),
            ..Limits::default()
        },
        ..token
    })
    .await;
    let long = r#"{"target": "tcp://shop.example:22", "timeout_ms": 60000}"#;
    let first = rest::open(&coordinator, question("/v1/checks?wait=true", &one, long)).await;
    assert_eq!(first.status(), 200);
    let (waited, ()) = tokio::join!(
        post(&coordinator, "/v1/checks", &one, QUESTION),
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(first);
        }
    );
    assert_eq!(waited.status, 202, "its turn came when the other ended");
}

#[tokio::test]
async fn streams_of_events_are_bounded_for_each_token() {
    let (coordinator, _fleet, token) = coordinator(&[Manner::Refused, Manner::Dead]).await;
    let long = r#"{"target": "tcp://shop.example:22", "timeout_ms": 20000}"#;
    let answer = post(&coordinator, "/v1/checks", &token, long).await;
    let path = format!("{}/events", answer.location());
    let events = || {
        rest::request("GET", &path, &token)
            .body(Full::default())
            .unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..8 {
        let stream = rest::open(&coordinator, events()).await;
        assert_eq!(stream.status(), 200);
        open.push(stream);
    }
    let refused = rest::send(&coordinator, events()).await;
    let detail = refused.problem(429);
    assert!(
        detail.starts_with("8 event streams with this token are under way"),
        "{detail}"
    );
    // They are kept alive, and a place is free again once one is left.
    let sign = common::within(open[0].body_mut().frame()).await.unwrap();
    assert!(sign.unwrap().is_data());
    open.pop();
    assert_eq!(rest::open(&coordinator, events()).await.status(), 200);
}

#[tokio::test]
async fn stopping_lets_a_check_end_and_takes_no_new_one() {
    let (mut coordinator, _fleet, token) = coordinator(&[Manner::Healthy, Manner::Dead]).await;
    let ask = r#"{"target": "tcp://shop.example:22", "timeout_ms": 2000}"#;
    let waits = rest::open(&coordinator, question("/v1/checks?wait=true", &token, ask)).await;
    let aside = rest::open(&coordinator, question("/v1/checks", &token, ask)).await;
    assert_eq!(
        (waits.status(), aside.status()),
        (200.try_into().unwrap(), 202.try_into().unwrap())
    );
    coordinator.stop();
    rest::read(waits).await.report();
    drop(aside);
    common::within(coordinator.served.take().unwrap())
        .await
        .unwrap();
    let lines = coordinator.audit(Act::Check).await;
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| line.ends_with(": ok")),
        "both have their reports: {lines:?}"
    );
}

/// What `docs/rest.md` shows to those who have only curl, or only Python.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_programs_ask_and_end_with_the_scopes_code() {
    for (manners, code, headline) in [
        (
            [Manner::Healthy, Manner::Healthy],
            0,
            "Reachable from 2 networks",
        ),
        ([Manner::Refused, Manner::Refused], 16, "Refused everywhere"),
    ] {
        let (coordinator, _fleet, token) = coordinator(&manners).await;
        for (program, example) in [("sh", "check.sh"), ("python3", "check.py")] {
            let run = async |token: &str, target: &str| {
                let mut command = tokio::process::Command::new(program);
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rest/");
                command.arg(format!("{folder}{example}")).arg(target);
                let url = format!("http://{}", coordinator.api);
                command.env("ONLYHERE_COORDINATOR", url);
                command.env("ONLYHERE_TOKEN", token);
                command.env("no_proxy", "*");
                let output = common::within(command.output()).await.unwrap();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let said = (text(&output.stdout), text(&output.stderr));
                (output.status.code(), said.0, said.1)
            };
            let (status, says, why) = run(&token, "tcp://shop.example:22").await;
            assert_eq!(status, Some(code), "{example}: {says}{why}");
            assert_eq!(says.trim(), headline, "{example}");
            let (status, _, why) = run("wrong", "tcp://shop.example:22").await;
            assert_eq!(status, Some(3), "{example}: {why}");
            assert!(why.contains("token"), "{example}: {why}");
            let (status, _, why) = run(&token, r#"a"b\c"#).await;
            assert_eq!(status, Some(3), "{example}: {why}");
            assert!(why.contains("is no host"), "{example}: {why}");
        }
    }
}
