//! What a token may be used for and how much, as its caller finds out.

mod common;

use std::num::NonZeroU32;

use common::{
    Coordinator,
    caller::{self, Check},
    get,
    probe::{self, Manner},
    within,
};
use onlyhere_coordinator::{
    config::Config,
    tokens::{CLIENT, Limits, Token, TokenKind},
};
use onlyhere_proto::{
    Outcome,
    wire::{self, public_service_check_response::Message as FromCoordinator},
};
use tokio::net::TcpStream;
use tonic::{Code, Status};

const TARGET: &str = "tcp://shop.example:22";

async fn token(coordinator: &Coordinator, change: impl FnOnce(Token) -> Token) -> String {
    let secret = coordinator.token(TokenKind::Client, "me", change).await;
    format!("{CLIENT}{}", secret.as_str())
}

fn limited(token: Token, limits: Limits) -> Token {
    Token { limits, ..token }
}

async fn open(coordinator: &Coordinator, token: &str, start: wire::Start) -> Check {
    within(caller::open(coordinator, token, start))
        .await
        .unwrap()
}

/// Why a check does not begin; none: it does.
async fn refused(check: &mut Check) -> Option<Status> {
    match within(check.hear()).await {
        Ok(Some(FromCoordinator::Accepted(_))) => None,
        Ok(other) => panic!("{other:?}"),
        Err(status) => Some(status),
    }
}

#[tokio::test]
async fn so_many_checks_in_a_minute_and_then_a_time_to_come_back() {
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Healthy).await;
    let limits = Limits {
        per_minute: NonZeroU32::new(2),
        ..Limits::default()
    };
    let token = token(&coordinator, |token| limited(token, limits)).await;
    for _ in 0..2 {
        caller::check(&coordinator, &token, TARGET, Outcome::Ok)
            .await
            .unwrap();
    }
    let status = caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let seconds: u64 = status
        .metadata()
        .get("retry-after")
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(
        status.message(),
        format!(
            "this token may begin 2 checks in a minute, and has; try again in {seconds} seconds"
        )
    );
    // Looking is no check, and another token is another's.
    assert_eq!(caller::vantages(&coordinator, &token).await, ["p0"]);
    let other = coordinator.client_token().await;
    caller::check(&coordinator, &other, TARGET, Outcome::Ok)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_of_one_at_once_has_one_at_once() {
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Dead).await;
    let limits = Limits {
        at_once: NonZeroU32::new(1),
        ..Limits::default()
    };
    let token = token(&coordinator, |token| limited(token, limits)).await;
    let slow = wire::Start {
        timeout_ms: 60_000,
        ..caller::start(TARGET)
    };
    let mut first = open(&coordinator, &token, slow.clone()).await;
    assert!(refused(&mut first).await.is_none());
    let mut second = open(&coordinator, &token, slow.clone()).await;
    let status = refused(&mut second).await.unwrap();
    assert_eq!(
        status.message(),
        "1 checks with this token are under way, and in 10 seconds there was no turn for another; try again in 10 seconds"
    );
    let mut third = open(&coordinator, &token, slow).await;
    drop(first);
    assert!(refused(&mut third).await.is_none());
}

#[tokio::test]
async fn a_token_of_few_vantages_gets_few_and_is_told_when_it_asks_for_more() {
    let coordinator = Coordinator::start(Config::default()).await;
    let mut fleet = Vec::new();
    for (i, asn) in (0..4).zip(64500..) {
        fleet.push(probe::start(&coordinator, &format!("p{i}"), asn, Manner::Healthy).await);
    }
    let limits = Limits {
        vantages: NonZeroU32::new(2),
        ..Limits::default()
    };
    let token = token(&coordinator, |token| limited(token, limits)).await;
    let told = caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
    assert_eq!(told.vantages.len(), 3, "two, and the caller");
    let start = wire::Start {
        from: vec!["!mobile@3".into()],
        ..caller::start(TARGET)
    };
    let status = refused(&mut open(&coordinator, &token, start).await)
        .await
        .unwrap();
    assert_eq!(
        status.message(),
        "3 vantages are asked for, and a check with this token has 2 at most"
    );
}

#[tokio::test]
async fn a_token_for_one_host_checks_that_host_and_what_is_below_it() {
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Healthy).await;
    let token = token(&coordinator, |token| Token {
        hosts: vec!["shop.example".parse().unwrap()],
        ..token
    })
    .await;
    for (target, may) in [
        ("tcp://shop.example:22", true),
        ("https://www.SHOP.example", true),
        ("dns://a.shop.example?type=A", true),
        ("https://workshop.example", false),
        ("https://shop.example.net", false),
        ("tcp://198.51.100.1:22", false),
    ] {
        let mut check = open(&coordinator, &token, caller::start(target)).await;
        let status = refused(&mut check).await;
        assert_eq!(status.is_none(), may, "{target}: {status:?}");
        if let Some(status) = status {
            assert_eq!(status.code(), Code::PermissionDenied);
            let says = "this token may check shop.example and hosts below it, not ";
            assert!(status.message().starts_with(says), "{}", status.message());
        }
    }
}

#[tokio::test]
async fn what_a_token_lacks_is_named() {
    let coordinator = Coordinator::start(Config::default()).await;
    let token = token(&coordinator, |token| Token {
        scopes: Some([onlyhere_coordinator::tokens::Scope::Read].into()),
        ..token
    })
    .await;
    let check = caller::check(&coordinator, &token, TARGET, Outcome::Ok).await;
    let check = check.unwrap_err();
    assert_eq!(check.code(), Code::PermissionDenied);
    assert_eq!(
        check.message(),
        "this token may not begin checks: it lacks the scope `check`, which `onlyhere-coordinator token create --scope check` gives"
    );
    let stream = TcpStream::connect(coordinator.api).await.unwrap();
    let (status, answer) = get(stream, "/v1/vantages", &token).await;
    assert_eq!(status, 403);
    assert!(
        answer.contains("application/problem+json")
            && answer.contains("this token may not list vantages"),
        "{answer}"
    );
}
