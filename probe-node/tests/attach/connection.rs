//! Coordinators that go, come back, fall silent or are another's.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use ground::{Ground, Server, authority, request};
use onlyhere_probe_node::{
    enrol::{self},
    identity::Existing,
};
use onlyhere_proto::wire;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;
use wire::attach_request::Message as FromProbe;

use super::*;

#[tokio::test]
async fn a_coordinator_that_comes_back_is_attached_to_again() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    drop(coordinator.line().await);
    let (address, authority) = (
        coordinator.address.to_string(),
        coordinator.authority.clone(),
    );
    drop(coordinator);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut coordinator = Coordinator::start_at(&address, authority).await;
    let mut line = coordinator.line().await;
    line.check(&request("tcp://127.0.0.1:9")).await;
    assert_eq!(ground::stages(&line.answers_to(7).await), ["tcp refused"]);
    assert_eq!(probe.ready.load(Ordering::SeqCst), 1, "ready is said once");
    probe.stopped().await;
}

#[tokio::test]
async fn a_probe_that_is_told_to_stop_finishes_what_it_has() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let server = silent().await;
    line.check(&request(&format!("http://127.0.0.1:{}/", server.port())))
        .await;
    assert!(
        matches!(line.next().await, FromProbe::Observations(_)),
        "the connection stands"
    );
    let stopping = tokio::spawn(probe.stopped());
    let all = line.answers_to(7).await;
    assert_eq!(ground::stages(&all), ["http timeout"]);
    stopping.await.unwrap();
    assert!(
        timeout(SOON, line.answers.recv()).await.unwrap().is_none(),
        "and then it goes"
    );
}

#[tokio::test]
async fn a_coordinator_with_another_authority_is_not_attached_to() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    probe.stopped().await;
    let address = coordinator.address.to_string();
    drop(coordinator);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut impostor = Coordinator::start_at(&address, Arc::new(authority("Somebody"))).await;
    let probe = run(&impostor, &ground, 8).await;
    assert!(
        timeout(Duration::from_secs(2), impostor.lines.recv())
            .await
            .is_err()
    );
    assert_eq!(probe.ready.load(Ordering::SeqCst), 0);
    probe.stopped().await;
}

/// Between probe and coordinator; carries bytes until it is told to stand still, and then says nothing to anyone.
async fn carrier(to: SocketAddr, still: CancellationToken) -> Server {
    Server::tcp(move |mut near| {
        let still = still.clone();
        async move {
            let mut far = TcpStream::connect(to).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = still.cancelled() => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_coordinator_that_falls_silent_is_noticed() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let still = CancellationToken::new();
    let between = carrier(coordinator.address, still.clone()).await;
    let mut token = coordinator.token();
    token.address = between.address.to_string();
    enrol::join(
        &token,
        None,
        &ground.directory().join("data"),
        Existing::Keep,
    )
    .await
    .unwrap();
    let probe = run(&coordinator, &ground, 8).await;
    let _line = coordinator.line().await;
    still.cancel();
    // New connections stand still as well, so what is seen is that the probe dials anew.
    let began = Instant::now();
    while between.connections() < 3 {
        assert!(
            began.elapsed() < Duration::from_secs(25),
            "the dead stream is not noticed"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        began.elapsed() > Duration::from_secs(3),
        "a living stream was given up"
    );
    probe.stopped().await;
}
