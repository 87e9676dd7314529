//! What is asked over the stream, and what comes back.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use ground::{Ground, Server, request};
use onlyhere_proto::{Observation, Outcome, wire};
use wire::{attach_request::Message as FromProbe, attach_response::Message as ToProbe};

use super::*;

#[tokio::test]
async fn a_check_is_answered_with_observations_and_done() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let server = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    line.check(&request(&format!("http://127.0.0.1:{}/", server.port())))
        .await;
    let all = line.answers_to(7).await;
    assert_eq!(ground::stages(&all), ["tcp ok", "http ok"]);
    assert_eq!(all[0].vantage.as_str(), "fra1");
    assert_eq!(probe.ready.load(Ordering::SeqCst), 1);
    probe.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_done_and_the_stream_lives_on() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let mut wrong = wire::CheckRequest::from(&request("tcp://127.0.0.1:9"));
    wrong.depth = 99;
    line.order(ToProbe::Check(wrong.clone())).await;
    assert!(line.answers_to(7).await.is_empty());
    // Not even the id: nothing can be said about it.
    wrong.check_id = "x".into();
    line.order(ToProbe::Check(wrong)).await;
    line.order(ToProbe::Cancel(wire::CancelRequest {
        check_id: "y".into(),
        request: 1,
    }))
    .await;
    line.check(&request("tcp://127.0.0.1:9")).await;
    assert_eq!(ground::stages(&line.answers_to(7).await), ["tcp refused"]);
    probe.stopped().await;
}

#[tokio::test]
async fn over_the_bound_a_request_is_declined_at_once() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 1).await;
    let mut line = coordinator.line().await;
    let server = silent().await;
    let first = request(&format!("http://127.0.0.1:{}/", server.port()));
    line.check(&first).await;
    let mut second = first.clone();
    second.request = 8;
    line.check(&second).await;
    let mut declined = Vec::new();
    loop {
        match line.next().await {
            FromProbe::Observations(batch) => declined.extend(batch.observations),
            FromProbe::Done(done) => {
                assert_eq!(done.request, 8, "the one that is under way goes on");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let busy = declined.into_iter().find(|o| o.request == 8).unwrap();
    let busy = Observation::try_from(busy).unwrap();
    assert_eq!(busy.outcome, Outcome::NotMeasured);
    assert_eq!(
        busy.detail.as_deref(),
        Some("this vantage is busy with other checks")
    );
    probe.stopped().await;
}

#[tokio::test]
async fn a_withdrawn_request_ends_at_once() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let server = silent().await;
    let mut endless = request(&format!("http://127.0.0.1:{}/", server.port()));
    endless.attempt_timeout = Duration::from_secs(20);
    endless.deadline = Duration::from_secs(30);
    let began = Instant::now();
    line.check(&endless).await;
    let withdrawn = wire::CancelRequest {
        check_id: endless.check.to_string(),
        request: 7,
    };
    line.order(ToProbe::Cancel(withdrawn)).await;
    let all = line.answers_to(7).await;
    assert!(
        all.iter().all(|o| o.stage == onlyhere_proto::Stage::Tcp),
        "{all:#?}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
    probe.stopped().await;
}
