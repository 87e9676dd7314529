//! Enrolment and renewal: how a probe becomes somebody and stays it.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use ground::{Ground, Server, authority, request};
use onlyhere_probe_node::{
    enrol::{self, EnrolError},
    identity::{Existing, Identity},
};
use onlyhere_proto::wire;
use rustls::{ServerConfig, version::TLS13};
use sha2::{Digest, Sha256};
use wire::attach_response::Message as ToProbe;

use super::*;

#[tokio::test]
async fn a_token_becomes_an_identity_once() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let wish = "ams1".parse().unwrap();
    let joined = enrol::join(&coordinator.token(), Some(&wish), &dir, Existing::Keep)
        .await
        .unwrap();
    assert_eq!(joined.name, wish);
    assert_eq!(joined.authorities, [coordinator.authority.der().clone()]);
    assert_eq!(Identity::load(&dir).unwrap().chain, joined.chain);
    let again = enrol::join(&coordinator.token(), None, &dir, Existing::Keep)
        .await
        .unwrap_err();
    assert!(
        again
            .to_string()
            .contains("already holds the identity `ams1`"),
        "{again}"
    );
    let replaced = enrol::join(&coordinator.token(), None, &dir, Existing::Replace)
        .await
        .unwrap();
    assert_eq!(Identity::load(&dir).unwrap().chain, replaced.chain);
    assert_eq!(Identity::load(&dir).unwrap().name.as_str(), "fra1");
}

#[tokio::test]
async fn a_certificate_is_renewed_when_the_coordinator_asks_and_the_probe_attaches_with_it() {
    let mut coordinator = Coordinator::start().await;
    coordinator.renewals_to_refuse.store(1, Ordering::SeqCst);
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let old = Identity::load(&dir).unwrap();
    // What runs is not broken off for it.
    let server = silent().await;
    line.check(&request(&format!("http://127.0.0.1:{}/", server.port())))
        .await;
    line.order(ToProbe::Renew(wire::RenewOrder {})).await;
    let all = line.answers_to(7).await;
    assert_eq!(ground::stages(&all), ["tcp ok", "http timeout"]);
    let began = Instant::now();
    while coordinator.renewals_to_refuse.load(Ordering::SeqCst) > 0 {
        assert!(began.elapsed() < SOON, "it does not renew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // That was refused once, and of a certificate that holds for centuries the next try comes after an hour; but over a
    // new stream the coordinator asks again.
    drop(line);
    let line = coordinator.line().await;
    line.order(ToProbe::Renew(wire::RenewOrder {})).await;
    let mut line = coordinator.line().await;
    line.check(&request("tcp://127.0.0.1:9")).await;
    assert_eq!(ground::stages(&line.answers_to(7).await), ["tcp refused"]);
    let new = Identity::load(&dir).unwrap();
    assert_ne!(new.key, old.key);
    assert_ne!(new.chain, old.chain);
    assert_eq!(new.authorities.len(), 2);
    assert_eq!(new.authorities[1], *coordinator.authority.der());
    probe.stopped().await;
}

#[tokio::test]
async fn the_secret_is_shown_to_nobody_but_the_coordinator_that_made_the_token() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let mut token = coordinator.token();
    token.ca_sha256 = Sha256::digest(authority("Somebody else").der()).into();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("it is not the coordinator that made the token"),
        "{error}"
    );
    assert!(Identity::load(&dir).is_err(), "nothing was stored");

    // The right CA beside a certificate that somebody else signed.
    let impostor = Coordinator::start().await;
    let mut both = tls(&impostor.authority);
    let mut identity = ground::signed(
        &impostor.authority,
        ground::params(&["coordinator.onlyhere.internal"]),
    );
    identity.chain.push(coordinator.authority.der().clone());
    both = ServerConfig::builder_with_provider(both.crypto_provider().clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let server = Server::https(both, "").await;
    let mut token = coordinator.token();
    token.address = server.address.to_string();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_used_token_and_an_absent_coordinator_are_said_in_a_sentence() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let mut token = coordinator.token();
    token.secret = "used".into();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the coordinator refused: the join token is used up");
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    token.address = closed.to_string();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err()
        .to_string();
    let expected = format!("the coordinator at {closed} cannot be reached: Connection refused");
    assert!(error.starts_with(&expected), "{error}");
}
