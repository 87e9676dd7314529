//! The TTL ladder over real routers: three hops, both families, and whatever speaks on the way.

mod ground;

use std::time::{Duration, Instant};

use ground::{
    Ground,
    network::{Chain, in_own_network},
    request, stages,
};
use onlyhere_proto::{CheckRequest, Facts, Observation, Purpose, SaidBy, Stage};

fn ladder(chain: &Chain, v6: bool, port: u16, hops: u8) -> CheckRequest {
    let mut request = request(&format!("tcp://shop.example:{port}"));
    request.purpose = Purpose::Ladder;
    request.addresses = vec![chain.host(v6)];
    request.depth = Stage::Tcp;
    request.way.hops = Some(hops);
    request
}

fn hop(observation: &Observation) -> u8 {
    match observation.facts {
        Some(Facts::Tcp(facts)) => facts.hop.expect("a hop"),
        _ => panic!("no TCP facts: {observation:?}"),
    }
}

/// `hop outcome, who said so`, a line each.
fn rungs(all: &[Observation]) -> Vec<String> {
    all.iter()
        .map(|o| {
            let by = match o.said_by {
                Some(SaidBy::Icmp { icmp }) => {
                    format!(" {}/{} {}", icmp.icmp_type, icmp.code, icmp.from)
                }
                Some(SaidBy::Rst) => " rst".to_owned(),
                Some(SaidBy::Kernel) => " kernel".to_owned(),
                None => String::new(),
            };
            format!("{} {}{by}", hop(o), o.outcome)
        })
        .collect()
}

#[test]
fn every_router_shows_itself_and_the_host_ends_it() {
    in_own_network("every_router_shows_itself_and_the_host_ends_it", || async {
        let chain = Chain::of(2);
        let ground = Ground::new();
        for (v6, exceeded, routers) in [
            (false, "11/0", ["198.18.1.2", "198.18.2.2"]),
            (true, "3/0", ["2001:db8:1::2", "2001:db8:2::2"]),
        ] {
            let listener = chain.listen(v6, 8443);
            let began = Instant::now();
            let all = ground.ask(ladder(&chain, v6, 8443, 24)).await;
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?} {all:?}",
                began.elapsed()
            );
            let [first, second] = routers;
            assert_eq!(
                rungs(&all),
                [
                    format!("1 unreachable {exceeded} {first}"),
                    format!("2 unreachable {exceeded} {second}"),
                    "3 ok".to_owned(),
                ]
            );
            for o in &all {
                assert_eq!(
                    (o.stage, o.port, o.purpose),
                    (Stage::Tcp, Some(8443), Purpose::Ladder)
                );
                assert_eq!(o.address, Some(chain.host(v6)));
                assert_eq!(o.host, "shop.example");
                assert!(o.source.is_some());
            }
            drop(listener);
            // Nobody listens any more: the host's own reset.
            let all = ground.ask(ladder(&chain, v6, 8443, 24)).await;
            assert_eq!(rungs(&all)[2..], ["3 refused rst"]);
        }
    });
}

#[test]
fn a_ladder_that_is_too_short_ends_at_its_last_rung() {
    in_own_network(
        "a_ladder_that_is_too_short_ends_at_its_last_rung",
        || async {
            let chain = Chain::of(2);
            let all = Ground::new().ask(ladder(&chain, false, 8443, 2)).await;
            assert_eq!(
                rungs(&all),
                [
                    "1 unreachable 11/0 198.18.1.2",
                    "2 unreachable 11/0 198.18.2.2"
                ]
            );
        },
    );
}

#[test]
fn a_router_that_rejects_or_resets_is_found_at_its_place() {
    in_own_network(
        "a_router_that_rejects_or_resets_is_found_at_its_place",
        || async {
            let chain = Chain::of(3);
            let _v4 = chain.listen(false, 8443);
            let _v6 = chain.listen(true, 8443);
            let ground = Ground::new();
            chain.rule(
                2,
                "forward",
                "tcp dport 8443 reject with icmpx admin-prohibited",
            );
            let all = ground.ask(ladder(&chain, false, 8443, 12)).await;
            // The second router still says that the packet has ended there before it looks at its rules.
            assert_eq!(
                rungs(&all),
                [
                    "1 unreachable 11/0 198.18.1.2",
                    "2 unreachable 11/0 198.18.2.2",
                    "3 denied 3/13 198.18.2.2",
                ]
            );
            let all = ground.ask(ladder(&chain, true, 8443, 12)).await;
            assert_eq!(rungs(&all)[2..], ["3 denied 1/1 2001:db8:2::2"]);
            chain.rule(2, "forward", "tcp dport 8443 reject with tcp reset");
            for v6 in [false, true] {
                let all = ground.ask(ladder(&chain, v6, 8443, 12)).await;
                // A reset that comes from before the host: one hop early.
                assert_eq!(rungs(&all)[2..], ["3 refused rst"]);
            }
        },
    );
}

#[test]
fn silent_hops_are_timeouts_and_the_ladder_keeps_within_the_deadline() {
    in_own_network(
        "silent_hops_are_timeouts_and_the_ladder_keeps_within_the_deadline",
        || async {
            let chain = Chain::of(2);
            let _listener = chain.listen(false, 8443);
            // The first router tells nobody that a packet has ended there; the way beyond is in order.
            chain.rule(1, "output", "icmp type time-exceeded drop");
            let mut asked = ladder(&chain, false, 8443, 8);
            asked.deadline = Duration::from_secs(3);
            let ground = Ground::new();
            let all = ground.ask(asked.clone()).await;
            assert_eq!(
                rungs(&all),
                ["1 timeout", "2 unreachable 11/0 198.18.2.2", "3 ok"]
            );
            // And now the host says nothing to anybody either.
            chain.rule(3, "input", "tcp dport 8443 drop");
            let began = Instant::now();
            let all = ground.ask(asked).await;
            assert!(
                began.elapsed() < Duration::from_secs(3),
                "{:?} {all:?}",
                began.elapsed()
            );
            assert_eq!(
                rungs(&all),
                [
                    "1 timeout",
                    "2 unreachable 11/0 198.18.2.2",
                    "3 timeout",
                    "4 timeout",
                    "5 timeout",
                    "6 timeout",
                    "8 timeout",
                ]
            );
        },
    );
}

#[test]
fn a_way_that_drops_is_given_up_after_four_silent_rungs_and_the_last() {
    in_own_network(
        "a_way_that_drops_is_given_up_after_four_silent_rungs_and_the_last",
        || async {
            let chain = Chain::of(2);
            let ground = Ground::new();
            for (v6, exceeded, routers) in [
                (false, "11/0", ["198.18.1.2", "198.18.2.2"]),
                (true, "3/0", ["2001:db8:1::2", "2001:db8:2::2"]),
            ] {
                let _listener = chain.listen(v6, 8443);
                chain.rule(3, "input", "tcp dport 8443 drop");
                let mut asked = ladder(&chain, v6, 8443, 20);
                asked.deadline = Duration::from_secs(10);
                let began = Instant::now();
                let all = ground.ask(asked).await;
                let took = began.elapsed();
                assert!(took < Duration::from_millis(2_500), "{took:?} {all:?}");
                let [first, second] = routers;
                assert_eq!(
                    rungs(&all),
                    [
                        format!("1 unreachable {exceeded} {first}"),
                        format!("2 unreachable {exceeded} {second}"),
                        "3 timeout".to_owned(),
                        "4 timeout".to_owned(),
                        "5 timeout".to_owned(),
                        "6 timeout".to_owned(),
                        "20 timeout".to_owned(),
                    ]
                );
                // Nothing at all comes through the first router: not even it is heard.
                chain.rule(3, "input", "accept");
                chain.rule(1, "prerouting", "tcp dport 8443 drop");
                let began = Instant::now();
                let all = ground.ask(ladder(&chain, v6, 8443, 20)).await;
                assert!(began.elapsed() < Duration::from_millis(2_500), "{all:?}");
                let silent = [1, 2, 3, 4, 20].map(|hop| format!("{hop} timeout"));
                assert_eq!(rungs(&all), silent);
                chain.rule(1, "prerouting", "accept");
            }
        },
    );
}

#[test]
fn routers_that_do_not_tell_do_not_end_a_ladder_whose_host_answers() {
    in_own_network(
        "routers_that_do_not_tell_do_not_end_a_ladder_whose_host_answers",
        || async {
            let chain = Chain::of(6);
            for hop in 2..=6 {
                chain.rule(hop, "output", "icmp type time-exceeded drop");
            }
            let mut asked = ladder(&chain, false, 8443, 20);
            asked.deadline = Duration::from_secs(10);
            let ground = Ground::new();
            let expected = |end: &str| -> Vec<String> {
                let silent = (2..=6).map(|hop| format!("{hop} timeout"));
                let first = "1 unreachable 11/0 198.18.1.2".to_owned();
                [first]
                    .into_iter()
                    .chain(silent)
                    .chain([end.to_owned()])
                    .collect()
            };
            let all = ground.ask(asked.clone()).await;
            assert_eq!(rungs(&all), expected("7 refused rst"));
            let _listener = chain.listen(false, 8443);
            assert_eq!(rungs(&ground.ask(asked).await), expected("7 ok"));
        },
    );
}

#[tokio::test]
async fn every_rung_counts_against_the_budget_and_the_guard_stands_before_the_first() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    let mut ground = Ground::new();
    let mut asked = request(&format!("tcp://127.0.0.1:{port}"));
    asked.purpose = Purpose::Ladder;
    asked.way.hops = Some(5);
    asked.max_connections = 0;
    let all = ground.ask(asked.clone()).await;
    assert_eq!(stages(&all), ["tcp not_measured"], "one is enough to know");
    assert!(all[0].detail.as_ref().unwrap().contains("budget"));
    assert_eq!(hop(&all[0]), 1);
    asked.max_connections = 9;
    ground.guarded(&[], &[]);
    let all = ground.ask(asked.clone()).await;
    assert_eq!(stages(&all), ["tcp not_measured"]);
    assert!(
        all[0]
            .detail
            .as_ref()
            .unwrap()
            .contains("only public addresses")
    );
    // The first rung reaches this machine itself.
    ground.guarded(&["127.0.0.0/8"], &[]);
    assert_eq!(rungs(&ground.ask(asked).await), ["1 ok"]);
}
