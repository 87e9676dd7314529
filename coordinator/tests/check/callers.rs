//! Who may ask, for what, and what becomes of a caller that goes.

use std::time::Duration;

use common::{
    Coordinator,
    caller::{self},
    probe::Manner,
    within,
};
use onlyhere_coordinator::{
    config::Config,
    tokens::{Token, TokenKind},
};
use onlyhere_proto::{Outcome, Scope, wire};
use tonic::Code;
use wire::public_service_check_response::Message as FromCoordinator;

use super::*;

#[tokio::test]
async fn checks_at_once_do_not_mix() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy; 3]).await;
    let (one, two) = tokio::join!(
        ask(&coordinator, Outcome::Ok),
        ask(&coordinator, Outcome::Ok)
    );
    assert_ne!(one.report().id, two.report().id);
    for told in [one, two] {
        let id = &told.report().id;
        assert!(told.requests.iter().all(|request| request.check == *id));
        assert!(told.observations.iter().all(|o| o.check == *id));
        let all = told.report().vantages.iter().flat_map(|v| &v.observations);
        assert!(all.clone().count() > 0 && all.clone().all(|o| o.check == *id));
        assert_eq!(told.report().verdict.scope, Scope::Ok);
    }
}

#[tokio::test]
async fn when_the_caller_goes_the_probes_are_told_to_stop() {
    let coordinator = coordinator().await;
    let mut fleet = fleet(&coordinator, &[Manner::Dead, Manner::Dead]).await;
    let token = coordinator.client_token().await;
    let mut check = caller::open(&coordinator, &token, caller::start(TARGET))
        .await
        .unwrap();
    while !matches!(check.hear().await.unwrap(), Some(FromCoordinator::Check(_))) {}
    drop(check);
    for probe in &mut fleet {
        let withdrawn = tokio::time::timeout(Duration::from_secs(2), probe.cancellations.recv());
        assert!(withdrawn.await.expect("soon").is_some());
    }
}

#[tokio::test]
async fn a_caller_that_is_no_vantage_is_not_asked() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy; 3]).await;
    let token = coordinator.client_token().await;
    let start = wire::Start {
        no_local: true,
        from: vec!["probe:p0,probe:p2".into()],
        ..caller::start(TARGET)
    };
    let check = caller::open(&coordinator, &token, start).await.unwrap();
    let told = check.follow(Outcome::Refused).await.unwrap();
    assert!(told.requests.is_empty());
    assert_eq!(names(&told), ["p0", "p2"]);
    assert_eq!(told.report().subject.vantage, None);
    assert_eq!(told.report().verdict.scope, Scope::Ok);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    let coordinator = coordinator().await;
    let join = coordinator
        .token(TokenKind::Probe, "fra1", |token| token)
        .await;
    let revoked = coordinator
        .token(TokenKind::Client, "gone", |token| Token {
            revoked: true,
            ..token
        })
        .await;
    for (token, says) in [
        ("", "a client token is needed"),
        ("onlyhere-client-1.wrong", "the token is not known"),
        (
            &format!("onlyhere-client-1.{}", join.as_str()),
            "the token is not known",
        ),
        (
            &format!("onlyhere-client-1.{}", revoked.as_str()),
            "the token has been revoked",
        ),
    ] {
        let refused = caller::check(&coordinator, token, TARGET, Outcome::Ok)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
        assert!(refused.message().starts_with(says), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_token_for_one_use_gives_one_check() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy; 2]).await;
    let secret = coordinator
        .token(TokenKind::Client, "once", |token| Token {
            uses_left: Some(1),
            ..token
        })
        .await;
    let token = format!("onlyhere-client-1.{}", secret.as_str());
    assert_eq!(
        caller::vantages(&coordinator, &token).await,
        ["p0", "p1"],
        "looking spends nothing"
    );
    caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap();
    let refused = caller::check(&coordinator, &token, TARGET, Outcome::Ok)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn wrong_questions_are_refused_in_one_sentence() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy]).await;
    let token = coordinator.client_token().await;
    type Change = fn(&mut wire::Start);
    let cases: [(Change, Code, &str); 10] = [
        (
            |s| {
                s.target = "tcp://192.0.2.80:22".into();
                s.expected_addresses = vec!["192.0.2.80".into()];
            },
            Code::InvalidArgument,
            "192.0.2.80 is an address itself",
        ),
        (
            |s| s.expected_addresses = vec!["here".into()],
            Code::InvalidArgument,
            "`here`, an expected address, is no IP address",
        ),
        (
            |s| s.expected_addresses = vec!["192.0.2.80".into(); 17],
            Code::InvalidArgument,
            "at most 16 expected addresses",
        ),
        (
            |s| s.target = "https://".into(),
            Code::InvalidArgument,
            "names no host",
        ),
        (
            |s| s.target = "tcp://10.0.0.1:22".into(),
            Code::InvalidArgument,
            "10.0.0.1 is private: private targets are judged locally",
        ),
        (
            |s| s.target = "localhost:22".into(),
            Code::InvalidArgument,
            "localhost is loopback",
        ),
        (
            |s| s.from = vec!["eu+".into()],
            Code::InvalidArgument,
            "selectors look like",
        ),
        (
            |s| s.from = vec!["mobile".into()],
            Code::FailedPrecondition,
            "no vantage that is attached now fits `mobile`",
        ),
        (
            |s| s.from = vec!["eu".into(); 17],
            Code::InvalidArgument,
            "at most 16 selectors",
        ),
        (
            |s| s.seen = "nonsense".into(),
            Code::InvalidArgument,
            "nonsense",
        ),
    ];
    for (change, code, says) in cases {
        let mut start = caller::start(TARGET);
        change(&mut start);
        let check = caller::open(&coordinator, &token, start).await.unwrap();
        let refused = check.follow(Outcome::Ok).await.unwrap_err();
        assert_eq!(refused.code(), code, "{says}: {refused}");
        assert!(refused.message().contains(says), "{}", refused.message());
    }
}

#[tokio::test]
async fn private_targets_are_asked_for_where_the_operator_allows_it() {
    let config = Config {
        allow_private: vec!["10.0.0.0/8".parse().unwrap()],
        ..Config::default()
    };
    let coordinator = Coordinator::start(config).await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy; 2]).await;
    let token = coordinator.client_token().await;
    let told = caller::check(&coordinator, &token, "tcp://10.1.2.3:22", Outcome::Ok)
        .await
        .unwrap();
    assert_eq!(names(&told), ["you", "p0", "p1"]);
    for vantage in &told.report().vantages {
        let name = &vantage.vantage.id;
        assert!(!vantage.observations.is_empty(), "{name} was not asked");
    }
}

#[tokio::test]
async fn stopping_lets_a_check_end_and_takes_no_new_one() {
    let mut coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy, Manner::Dead]).await;
    let token = coordinator.client_token().await;
    let mut check = caller::open(&coordinator, &token, caller::start(TARGET))
        .await
        .unwrap();
    while !matches!(check.hear().await.unwrap(), Some(FromCoordinator::Check(_))) {}
    let channel = coordinator.api_channel().await;
    coordinator.stop();
    let told = check.follow(Outcome::Ok).await.unwrap();
    assert!(told.report.is_some());
    drop(channel);
    within(coordinator.served.take().unwrap()).await.unwrap();
}
