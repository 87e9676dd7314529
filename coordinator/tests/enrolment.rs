//! Who may enrol and who may attach, over real TLS sockets.

mod common;

use common::{
    Coordinator,
    probe::{self, Identity},
    within,
};
use onlyhere_coordinator::{
    audit::By,
    clock,
    config::Config,
    fleet::roll::Roll,
    identity::{Authority, PROBE_LIFE},
    place::Place,
    tokens::{Token, TokenKind},
};
use onlyhere_proto::{CheckId, Timestamp, limits, wire};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tonic::Code;
use wire::attach_request::Message as ToCoordinator;

async fn coordinator() -> Coordinator {
    Coordinator::start(Config::default()).await
}

fn place() -> Place {
    Place {
        region: Some("eu".into()),
        asn: Some(24940),
        ..Place::default()
    }
}

#[tokio::test]
async fn a_probe_enrols_once_and_is_then_a_vantage() {
    let coordinator = coordinator().await;
    let secret = coordinator.probe_token("fra1", place()).await;
    let identity = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    assert_eq!(identity.name, "fra1");
    let stream = probe::attach(&coordinator, &identity).await.unwrap();
    coordinator.wait_for(&["fra1"]).await;

    let again = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .map(|i| i.name)
        .unwrap_err();
    assert_eq!(
        (again.code(), again.message()),
        (Code::Unauthenticated, "the token has been used up")
    );
    drop(stream);
    coordinator.wait_for(&[]).await;
}

#[tokio::test]
async fn wrong_expired_and_client_tokens_do_not_enrol() {
    let coordinator = coordinator().await;
    let client = coordinator
        .token(TokenKind::Client, "me", |token| token)
        .await;
    let expired = coordinator
        .token(TokenKind::Probe, "late", |token| Token {
            expires_at: Some(Timestamp(clock::now().0 - 1)),
            ..token
        })
        .await;
    for (secret, says) in [
        ("wrong", "the token is not known"),
        ("", "the token is not known"),
        (client.as_str(), "the token is not known"),
        (expired.as_str(), "the token has expired"),
    ] {
        let refused = probe::enrol(&coordinator, secret, "")
            .await
            .map(|i| i.name)
            .unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unauthenticated, says),
            "{secret}"
        );
    }
    let roll = Roll::new(coordinator.store().await);
    assert!(roll.all().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_is_refused_spends_no_token() {
    let coordinator = coordinator().await;
    let first = coordinator.probe_token("fra1", place()).await;
    probe::enrol(&coordinator, first.as_str(), "")
        .await
        .unwrap();
    let second = coordinator.probe_token("nyc1", place()).await;
    for (name, code) in [
        ("fra1", Code::AlreadyExists),
        ("you", Code::AlreadyExists),
        ("No Name", Code::InvalidArgument),
    ] {
        let refused = probe::enrol(&coordinator, second.as_str(), name)
            .await
            .map(|i| i.name)
            .unwrap_err();
        assert_eq!(refused.code(), code, "{name}: {}", refused.message());
    }
    let identity = probe::enrol(&coordinator, second.as_str(), "ams1")
        .await
        .unwrap();
    assert_eq!(identity.name, "ams1");
}

#[tokio::test]
async fn attaching_needs_a_certificate_of_this_coordinator() {
    let coordinator = coordinator().await;
    let refused = probe::open(&coordinator, None)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");

    // Name and key are right and on the roll; only the signature is another coordinator's.
    let secret = coordinator.probe_token("fra1", place()).await;
    let enrolled = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::load_or_create(elsewhere.path()).unwrap();
    let stranger = Identity {
        chain: signed_by(&other, "fra1", &enrolled.key),
        ..enrolled
    };
    let refused = probe::attach(&coordinator, &stranger)
        .await
        .map(|_| ())
        .unwrap_err();
    let in_the_handshake = [Code::Unavailable, Code::Unknown];
    assert!(in_the_handshake.contains(&refused.code()), "{refused}");

    // Signed by the right CA, yet nobody on the roll.
    let chain = signed_by(&coordinator.authority(), "ghost", &stranger.key);
    let ghost = Identity {
        name: "ghost".into(),
        chain,
        key: stranger.key,
    };
    let refused = probe::attach(&coordinator, &ghost)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

fn signed_by(authority: &Authority, name: &str, key: &KeyPair) -> Vec<CertificateDer<'static>> {
    let request = CertificateParams::default().serialize_request(key).unwrap();
    authority
        .sign_probe(request.der(), &name.parse().unwrap(), PROBE_LIFE)
        .unwrap()
        .chain
}

#[tokio::test]
async fn a_newer_attachment_replaces_the_older_and_a_new_key_shuts_the_old_one_out() {
    let coordinator = coordinator().await;
    let secret = coordinator.probe_token("fra1", place()).await;
    let old = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    let mut first = probe::attach(&coordinator, &old).await.unwrap();
    let mut second = probe::attach(&coordinator, &old).await.unwrap();
    assert_eq!(first.hear_the_end().await.code(), Code::Aborted);
    coordinator.wait_for(&["fra1"]).await;

    let secret = coordinator.probe_token("fra1", place()).await;
    let new = probe::enrol(&coordinator, secret.as_str(), "fra1")
        .await
        .unwrap();
    let refused = probe::attach(&coordinator, &old)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // Nor does who is attached with the old key stay.
    assert_eq!(second.hear_the_end().await.code(), Code::PermissionDenied);
    probe::attach(&coordinator, &new).await.unwrap();
}

#[tokio::test]
async fn who_is_struck_off_loses_the_stream() {
    let coordinator = coordinator().await;
    let secret = coordinator.probe_token("fra1", place()).await;
    let identity = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    let mut stream = probe::attach(&coordinator, &identity).await.unwrap();
    let roll = Roll::new(coordinator.store().await);
    let fra1 = "fra1".parse().unwrap();
    assert!(roll.strike(&fra1, &By::operator()).await.unwrap());
    assert_eq!(stream.hear_the_end().await.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn garbage_and_floods_end_the_stream() {
    let check: CheckId = "01JD0000000000000000000000".parse().unwrap();
    let done = |request| {
        ToCoordinator::Done(wire::RequestDone {
            check_id: check.to_string(),
            request,
        })
    };
    let nonsense = wire::ObservationBatch {
        observations: vec![wire::Observation::default()],
    };
    let too_many = wire::ObservationBatch {
        observations: vec![wire::Observation::default(); limits::BATCH + 1],
    };
    let never_asked: Vec<_> = (0..40).map(done).collect();
    for (messages, says) in [
        (
            vec![ToCoordinator::Observations(nonsense)],
            "cannot be believed",
        ),
        (vec![ToCoordinator::Observations(too_many)], "more than 256"),
        (
            vec![ToCoordinator::Done(wire::RequestDone::default())],
            "check_id",
        ),
        (
            vec![ToCoordinator::Hello(wire::Hello::default())],
            "second hello",
        ),
        (never_asked, "requests that are not its own"),
    ] {
        let coordinator = coordinator().await;
        let secret = coordinator.probe_token("fra1", place()).await;
        let identity = probe::enrol(&coordinator, secret.as_str(), "")
            .await
            .unwrap();
        let mut stream = probe::attach(&coordinator, &identity).await.unwrap();
        for message in messages {
            stream.say(message).await;
        }
        let end = stream.hear_the_end().await;
        assert_eq!(end.code(), Code::InvalidArgument, "{says}: {end}");
        assert!(end.message().contains(says), "{}", end.message());
        coordinator.wait_for(&[]).await;
    }
}

#[tokio::test]
async fn stopping_tells_the_probes() {
    let mut coordinator = coordinator().await;
    let secret = coordinator.probe_token("fra1", place()).await;
    let identity = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    let mut stream = probe::attach(&coordinator, &identity).await.unwrap();
    coordinator.stop();
    assert_eq!(stream.hear_the_end().await.code(), Code::Unavailable);
    drop(stream);
    within(coordinator.served.take().unwrap()).await.unwrap();
}
