//! Whose check begins when: real callers with many checks, over real sockets.

mod common;

use std::time::{Duration, Instant};

use common::{
    Coordinator,
    caller::{self, Check},
    probe::{self, Manner},
    within,
};
use onlyhere_coordinator::config::Config;
use onlyhere_proto::wire::{self, public_service_check_response::Message as FromCoordinator};
use tonic::Code;

const TARGET: &str = "tcp://shop.example:22";
/// Of one token at once, and waiting.
const AT_ONCE: usize = 16;
const WAITING: usize = 64;

/// A check that takes its time: nobody answers.
fn slow() -> wire::Start {
    wire::Start {
        timeout_ms: 60_000,
        ..caller::start(TARGET)
    }
}

async fn open(coordinator: &Coordinator, token: &str, start: wire::Start) -> Check {
    within(caller::open(coordinator, token, start))
        .await
        .unwrap()
}

/// Whether the check has begun, or begins within `time`.
async fn begins(check: &mut Check, time: Duration) -> bool {
    let first = tokio::time::timeout(time, check.hear()).await;
    matches!(first, Ok(Ok(Some(FromCoordinator::Accepted(_)))))
}

#[tokio::test]
async fn one_token_has_so_many_checks_at_once_and_the_next_one_waits() {
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Dead).await;
    let token = coordinator.client_token().await;
    let mut running = Vec::new();
    for _ in 0..AT_ONCE {
        let mut check = open(&coordinator, &token, slow()).await;
        assert!(begins(&mut check, common::PATIENCE).await);
        running.push(check);
    }
    let mut next = open(&coordinator, &token, slow()).await;
    assert!(!begins(&mut next, Duration::from_millis(300)).await);
    // Who goes makes room.
    drop(running.pop());
    assert!(begins(&mut next, common::PATIENCE).await);
}

#[tokio::test]
async fn who_waits_in_vain_is_told_when_to_come_back() {
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Dead).await;
    let token = coordinator.client_token().await;
    let mut open_ones = Vec::new();
    for _ in 0..AT_ONCE {
        let mut check = open(&coordinator, &token, slow()).await;
        assert!(begins(&mut check, common::PATIENCE).await);
        open_ones.push(check);
    }
    let began = Instant::now();
    let mut late = open(&coordinator, &token, slow()).await;
    for _ in 1..WAITING {
        open_ones.push(open(&coordinator, &token, slow()).await);
    }
    let mut refused = open(&coordinator, &token, slow()).await;
    let says = within(refused.hear()).await.unwrap_err();
    assert_eq!(says.code(), Code::ResourceExhausted);
    assert_eq!(
        says.message(),
        "64 checks with this token are waiting already, as many as may; try again in 10 seconds"
    );
    assert_eq!(says.metadata().get("retry-after").unwrap(), "10");

    let says = within(late.hear()).await.unwrap_err();
    assert_eq!(says.code(), Code::ResourceExhausted);
    assert_eq!(
        says.message(),
        "16 checks with this token are under way, and in 10 seconds there was no turn for another; try again in 10 seconds"
    );
    assert_eq!(says.metadata().get("retry-after").unwrap(), "10");
    assert!(began.elapsed() >= Duration::from_secs(10));
    // Nor is anybody else held up meanwhile.
    let other = coordinator.client_token().await;
    let mut check = open(&coordinator, &other, slow()).await;
    assert!(begins(&mut check, common::PATIENCE).await);
}

/// The whole coordinator is taken, and one token has many more waiting: another's check begins with the very next room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_token_does_not_starve_another() {
    const TAKEN: usize = 256;
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Dead).await;
    let mut tokens = Vec::new();
    for _ in 0..TAKEN / AT_ONCE {
        tokens.push(coordinator.client_token().await);
    }
    // A caller's connections are bounded as well: each token's checks share one.
    let mut channels = Vec::new();
    for _ in &tokens {
        channels.push(coordinator.api_channel().await);
    }
    let mut running = Vec::new();
    for (token, channel) in tokens.iter().zip(&channels) {
        for _ in 0..AT_ONCE {
            let mut check = within(caller::open_over(channel.clone(), token, slow()))
                .await
                .unwrap();
            assert!(begins(&mut check, common::PATIENCE).await);
            running.push(check);
        }
    }
    let flooding = &tokens[0];
    let mut flood = Vec::new();
    for _ in 0..WAITING {
        flood.push(open(&coordinator, flooding, slow()).await);
    }
    let other = coordinator.client_token().await;
    let mut check = open(&coordinator, &other, slow()).await;
    assert!(
        !begins(&mut check, Duration::from_millis(200)).await,
        "there is no room"
    );
    // The flooding token's own check ends, and it is not the one to have its place.
    drop(running.remove(0));
    assert!(begins(&mut check, common::PATIENCE).await);
    for waiting in flood.iter_mut().take(4) {
        assert!(!begins(waiting, Duration::from_millis(10)).await);
    }
}
