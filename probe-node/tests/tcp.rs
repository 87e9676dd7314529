//! TCP on real sockets: what listens, what refuses, what stays silent; and the bounds of a request.

mod ground;

use std::time::{Duration, Instant};

use ground::{Ground, Server, only, request, stages};
use onlyhere_probe_node::Caps;
use onlyhere_proto::{Facts, Family, Outcome, SaidBy, Stage, TcpFacts, VantageName};
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn facts(observation: &onlyhere_proto::Observation) -> TcpFacts {
    match observation.facts {
        Some(Facts::Tcp(facts)) => facts,
        _ => panic!("no TCP facts: {observation:?}"),
    }
}

/// A listener whose queue is full: further SYNs are dropped without a word.
fn silent() -> (Socket, Vec<std::net::TcpStream>, u16) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        held.push(stream);
        assert!(held.len() < 8, "the queue never fills");
    }
    (listener, held, address.port())
}

#[tokio::test]
async fn an_open_port_is_ok_with_source_and_round_trip() {
    let server = Server::tcp(|_| async {}).await;
    let all = Ground::new()
        .observe(&format!("tcp://127.0.0.1:{}", server.port()))
        .await;
    assert_eq!(stages(&all), ["tcp ok"]);
    let tcp = &all[0];
    assert_eq!(tcp.address, Some(server.address.ip()));
    assert_eq!(tcp.port, Some(server.port()));
    assert_eq!(tcp.source, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(tcp.family, Some(Family::V4));
    assert_eq!((tcp.request, tcp.slot, tcp.said_by), (7, 3, None));
    assert_eq!(facts(tcp).syn_retransmits, Some(0));
    assert!(facts(tcp).round_trip_ms.is_some());
    assert!(tcp.elapsed_ms.0 < 200_000, "{}", tcp.elapsed_ms.0);
}

#[tokio::test]
async fn a_closed_port_is_refused_by_a_reset_in_both_families() {
    for loopback in ["127.0.0.1", "[::1]"] {
        let closed = std::net::TcpListener::bind(format!("{loopback}:0"))
            .unwrap()
            .local_addr()
            .unwrap();
        let all = Ground::new().observe(&format!("tcp://{closed}")).await;
        assert_eq!(stages(&all), ["tcp refused"]);
        assert_eq!(all[0].said_by, Some(SaidBy::Rst));
        assert_eq!(all[0].source, Some(closed.ip()));
        assert!(all[0].elapsed_ms.0 < 200_000, "{}", all[0].elapsed_ms.0);
    }
}

#[tokio::test]
async fn silence_is_a_timeout_with_the_syns_that_were_sent_again() {
    let (_listener, _held, port) = silent();
    let began = Instant::now();
    let all = Ground::new()
        .observe(&format!("tcp://127.0.0.1:{port}"))
        .await;
    assert_eq!(stages(&all), ["tcp timeout"]);
    assert!(
        (1_490_000..1_900_000).contains(&all[0].elapsed_ms.0),
        "{}",
        all[0].elapsed_ms.0
    );
    assert_eq!(
        facts(&all[0]).syn_retransmits,
        Some(1),
        "a second SYN after one second"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn every_address_given_is_tried_on_its_own() {
    let server = Server::tcp(|_| async {}).await;
    let mut request = request(&format!("tcp://shop.example:{}", server.port()));
    request.addresses = ["127.0.0.1", "127.0.0.2", "::1", "127.0.0.1"]
        .map(|a| a.parse().unwrap())
        .into();
    let mut seen: Vec<_> = Ground::new()
        .ask(request)
        .await
        .iter()
        .map(|o| format!("{} {} {}", o.host, o.address.unwrap(), o.outcome))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "shop.example 127.0.0.1 ok",
            "shop.example 127.0.0.2 refused",
            "shop.example ::1 refused"
        ]
    );
}

#[tokio::test]
async fn an_echo_request_is_answered_or_forbidden_here() {
    let mut request = request("ping://127.0.0.1");
    request.ping = true;
    let all = Ground::new().ask(request).await;
    let icmp = only(&all, Stage::Icmp);
    assert_eq!((icmp.port, icmp.family), (None, Some(Family::V4)));
    let allowed = Socket::new(Domain::IPV4, Type::DGRAM, Some(socket2::Protocol::ICMPV4)).is_ok();
    if allowed {
        assert_eq!(icmp.outcome, Outcome::Ok);
        assert!((1..200_000).contains(&icmp.elapsed_ms.0));
    } else {
        assert_eq!(icmp.outcome, Outcome::NotMeasured);
        assert!(icmp.detail.as_ref().unwrap().contains("ping_group_range"));
    }
}

#[tokio::test]
async fn an_echo_beside_a_connection_is_said_as_well() {
    let server = Server::tcp(|_| async {}).await;
    let mut request = request(&format!("tcp://127.0.0.1:{}", server.port()));
    request.ping = true;
    let all = Ground::new().ask(request).await;
    assert_eq!(all.len(), 2);
    only(&all, Stage::Icmp);
    assert_eq!(only(&all, Stage::Tcp).outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_spent_budget_is_our_own_failure() {
    let server = Server::tcp(|_| async {}).await;
    let mut request = request(&format!("tcp://127.0.0.1:{}", server.port()));
    request.addresses = Vec::new();
    request.max_connections = 0;
    let all = Ground::new().ask(request).await;
    assert_eq!(stages(&all), ["tcp not_measured"]);
    assert!(all[0].detail.as_ref().unwrap().contains("budget"));
}

#[tokio::test]
async fn a_deadline_that_leaves_too_little_time_is_no_timeout_of_the_target() {
    let (_listener, _held, port) = silent();
    for (deadline, outcome) in [(300, "tcp not_measured"), (1_000, "tcp timeout")] {
        let mut request = request(&format!("tcp://127.0.0.1:{port}"));
        request.deadline = Duration::from_millis(deadline);
        let began = Instant::now();
        let all = Ground::new().ask(request).await;
        assert_eq!(stages(&all), [outcome], "{:?}", all[0].detail);
        assert!(began.elapsed() < Duration::from_millis(deadline + 500));
    }
}

#[tokio::test]
async fn cancelling_and_nobody_listening_both_end_the_run_at_once() {
    let (_listener, _held, port) = silent();
    let prober = Ground::new().prober();
    let cancel = CancellationToken::new();
    let (sink, mut seen) = mpsc::channel(8);
    let target = format!("tcp://127.0.0.1:{port}");
    let run = prober.run(VantageName::you(), request(&target), sink, cancel.clone());
    let began = Instant::now();
    tokio::join!(run, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(began.elapsed() < Duration::from_millis(600));
    assert!(
        seen.recv().await.is_none(),
        "nothing is said of what was cut off"
    );

    let (sink, seen) = mpsc::channel(8);
    drop(seen);
    let began = Instant::now();
    prober
        .run(
            VantageName::you(),
            request(&target),
            sink,
            CancellationToken::new(),
        )
        .await;
    assert!(began.elapsed() < Duration::from_millis(600));
}

#[tokio::test]
async fn over_the_bound_of_attempts_others_wait_and_then_say_that_it_is_busy() {
    let (_listener, _held, port) = silent();
    let mut ground = Ground::new();
    ground.settings.in_flight = 1;
    let mut request = request(&format!("tcp://shop.example:{port}"));
    request.addresses = vec!["127.0.0.1".parse().unwrap(), "127.0.0.3".parse().unwrap()];
    request.deadline = Duration::from_millis(1_200);
    let all = ground.ask(request).await;
    assert_eq!(all.len(), 2);
    let mut outcomes = all.iter().map(|o| o.outcome).collect::<Vec<_>>();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [Outcome::Timeout, Outcome::NotMeasured],
        "{all:#?}"
    );
}

#[tokio::test]
async fn one_address_is_not_tried_too_often() {
    let server = Server::tcp(|_| async {}).await;
    let mut ground = Ground::new();
    ground.settings.caps = Some(Caps {
        per_address: 2,
        ..Caps::default()
    });
    let prober = ground.prober();
    let mut told = Vec::new();
    for _ in 0..3 {
        let request = request(&format!("tcp://127.0.0.1:{}", server.port()));
        told.extend(ground::run(&prober, request).await);
    }
    assert_eq!(stages(&told), ["tcp ok", "tcp ok", "tcp not_measured"]);
    assert!(told[2].detail.as_ref().unwrap().contains("too often"));
}
