//! Renewal and replacement of the CA as the coordinator sees them, over real TLS sockets.

mod common;

use std::time::Duration;

use common::{
    Coordinator,
    probe::{self, Identity},
    within,
};
use onlyhere_coordinator::{
    audit::Act,
    config::{CertificateLife, Config, Probes},
    identity::{self, Peer},
    place::Place,
};
use onlyhere_proto::wire;
use tonic::Code;
use wire::{attach_response::Message as ToProbe, probe_service_client::ProbeServiceClient};

async fn coordinator() -> Coordinator {
    Coordinator::start(Config::default()).await
}

async fn enrolled(coordinator: &Coordinator, name: &str) -> Identity {
    let secret = coordinator.probe_token(name, Place::default()).await;
    probe::enrol(coordinator, secret.as_str(), "")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_renewed_certificate_is_for_a_new_key_and_shuts_the_old_one_out_once_it_is_used() {
    let coordinator = coordinator().await;
    let old = enrolled(&coordinator, "fra1").await;
    let mut stream = probe::attach(&coordinator, &old).await.unwrap();
    let (lost, _) = probe::renew(&coordinator, &old).await.unwrap();
    // That answer was lost on the way: the old one works, and renews again.
    let soon = probe::renew(&coordinator, &old)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(soon.code(), Code::ResourceExhausted, "{soon}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (new, _) = probe::renew(&coordinator, &old).await.unwrap();
    assert_eq!(new.name, "fra1");
    let peer = |identity: &Identity| Peer::read(&identity.chain[0]).unwrap();
    assert_ne!(peer(&new).key_sha256, peer(&old).key_sha256);

    let mut newer = probe::attach(&coordinator, &new).await.unwrap();
    assert_eq!(stream.hear_the_end().await.code(), Code::Aborted);
    for copy in [&old, &lost] {
        let refused = probe::attach(&coordinator, copy)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(
            refused
                .message()
                .contains("key was replaced by a newer one"),
            "{refused}"
        );
        let refused = probe::renew(&coordinator, copy)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    coordinator.wait_for(&["fra1"]).await;
    let told = coordinator.audit(Act::AttachRefused).await;
    assert_eq!(told.len(), 1, "told once in a while: {told:?}");
    assert!(
        told[0].contains("probe fra1") && told[0].contains("127.0.0.1"),
        "{told:?}"
    );

    coordinator.strike("fra1").await;
    assert_eq!(newer.hear_the_end().await.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn nobody_renews_without_a_certificate_or_for_the_same_key() {
    let coordinator = coordinator().await;
    let channel = coordinator.probe_channel(None).await.unwrap();
    let request = wire::RenewRequest::default();
    let refused = ProbeServiceClient::new(channel)
        .renew(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");

    let identity = enrolled(&coordinator, "fra1").await;
    let request = rcgen::CertificateParams::default()
        .serialize_request(&identity.key)
        .unwrap();
    for (signing_request, says) in [
        (request.der().to_vec(), "for a new key"),
        (Vec::new(), "cannot be signed"),
        (vec![0x30; 9_000], "cannot be signed"),
    ] {
        let channel = coordinator
            .probe_channel(Some(identity.for_tls()))
            .await
            .unwrap();
        let request = wire::RenewRequest { signing_request };
        let refused = ProbeServiceClient::new(channel)
            .renew(request)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(says), "{refused}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_certificate() {
    let config = Config {
        probes: Probes {
            certificate_life: CertificateLife(Duration::from_secs(2)),
            ..Probes::default()
        },
        ..Config::default()
    };
    let coordinator = Coordinator::start(config).await;
    let identity = enrolled(&coordinator, "fra1").await;
    let mut stream = probe::attach(&coordinator, &identity).await.unwrap();
    let end = stream.hear_the_end().await;
    assert_eq!(end.code(), Code::PermissionDenied);
    assert_eq!(end.message(), "its certificate has expired");
    coordinator.wait_for(&[]).await;
}

#[tokio::test]
async fn probes_stay_through_every_step_of_a_new_ca() {
    let coordinator = coordinator().await;
    let (old, lazy) = (
        enrolled(&coordinator, "fra1").await,
        enrolled(&coordinator, "lazy1").await,
    );
    let before = coordinator.authority();
    let mut stream = probe::attach(&coordinator, &old).await.unwrap();

    identity::rotate(coordinator.data_dir()).unwrap().unwrap();
    // Attached: is told to renew, and stays.
    let order = within(stream.hear()).await.unwrap();
    assert!(matches!(order, Some(ToProbe::Renew(_))), "{order:?}");
    // The port proves itself to who knows the old CA only, and lets in what that signed.
    let knows_old = [before.certificate().clone()];
    let mut again = probe::attach_trusting(&coordinator, &old, &knows_old)
        .await
        .unwrap();
    let order = within(again.hear()).await.unwrap();
    assert!(matches!(order, Some(ToProbe::Renew(_))), "{order:?}");
    let (new, trusted) = probe::renew_trusting(&coordinator, &old, &knows_old)
        .await
        .unwrap();
    let after = coordinator.authority();
    assert_ne!(after.fingerprint(), before.fingerprint());
    assert_eq!(
        trusted,
        [after.certificate().clone(), before.certificate().clone()]
    );
    // And to who knows the new one only.
    let knows_new = [after.certificate().clone()];
    let mut newest = probe::attach_trusting(&coordinator, &new, &knows_new)
        .await
        .unwrap();
    let lazy_stream = probe::attach_trusting(&coordinator, &lazy, &knows_old)
        .await
        .unwrap();
    coordinator.wait_for(&["fra1", "lazy1"]).await;

    identity::retire(coordinator.data_dir()).unwrap().unwrap();
    let mut lazy_stream = lazy_stream;
    let end = lazy_stream.hear_the_end().await;
    assert_eq!(
        (end.code(), end.message()),
        (
            Code::PermissionDenied,
            "its certificate is of a CA that was retired; with a new token it can join again"
        )
    );
    coordinator.wait_for(&["fra1"]).await;
    drop(newest);
    newest = probe::attach_trusting(&coordinator, &new, &knows_new)
        .await
        .unwrap();
    // No longer proves itself under the old one, and lets nobody in who holds its certificate.
    for trusted in [&knows_old, &knows_new] {
        assert!(
            probe::attach_trusting(&coordinator, &lazy, trusted)
                .await
                .is_err()
        );
    }
    drop(newest);
}

/// A running coordinator follows within a second; whoever was to be kept out must not become somebody else meanwhile.
#[tokio::test]
async fn from_the_moment_a_ca_is_retired_it_renews_and_attaches_nobody() {
    let coordinator = coordinator().await;
    let old = enrolled(&coordinator, "old1").await;
    let knows_old = [coordinator.authority().certificate().clone()];
    identity::rotate(coordinator.data_dir()).unwrap().unwrap();
    identity::retire(coordinator.data_dir()).unwrap().unwrap();
    let renewed = probe::renew_trusting(&coordinator, &old, &knows_old).await;
    assert!(renewed.is_err());
    let attached = probe::attach_trusting(&coordinator, &old, &knows_old).await;
    assert!(attached.is_err());
}
