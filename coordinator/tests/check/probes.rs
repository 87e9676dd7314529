//! What probes see becomes a report, whatever one of them does.

use std::time::{Duration, Instant};

use common::{
    Coordinator,
    caller::{self},
    probe::{self, Manner},
    within,
};
use onlyhere_coordinator::config::{Config, Zone};
use onlyhere_proto::{History, Outcome, Purpose, Scope, wire};

use super::*;

#[tokio::test]
async fn a_check_over_several_probes_streams_to_a_report() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy; 4]).await;
    let told = ask(&coordinator, Outcome::Ok).await;
    assert_eq!(told.public_address, "127.0.0.1");
    assert_eq!(told.vantages.len(), 5);
    let report = told.report();
    assert_eq!(
        report.verdict.scope,
        Scope::Ok,
        "{}",
        report.verdict.headline
    );
    assert!(report.verdict.complete);
    assert_eq!(names(&told), ["you", "p0", "p1", "p2", "p3"]);
    assert!(!told.requests.is_empty(), "the caller was asked too");
    assert!(
        told.observations.iter().any(|o| o.vantage.as_str() == "p3"),
        "streamed as they came"
    );
    assert!(
        told.observations.iter().all(|o| !o.vantage.is_you()),
        "the caller knows its own"
    );
    for vantage in &report.vantages {
        assert!(!vantage.observations.is_empty(), "{}", vantage.vantage.id);
        assert!(
            vantage
                .observations
                .iter()
                .all(|o| o.vantage == vantage.vantage.id)
        );
        assert!(
            vantage
                .observations
                .is_sorted_by_key(|o| (o.request, o.sequence))
        );
    }
}

#[tokio::test]
async fn what_is_known_beside_the_observations_stands_in_the_report() {
    let mut config = Config {
        allow_private: vec!["192.0.2.0/24".parse().unwrap()],
        ..Config::default()
    };
    config.dns.block_lists = vec![Zone("dnsbl.example".into())];
    let coordinator = Coordinator::start(config).await;
    let _fleet = fleet(&coordinator, &[Manner::Refused; 3]).await;
    let token = coordinator.client_token().await;
    let start = wire::Start {
        expected_addresses: ["2001:db8::80", "192.0.2.80", "192.0.2.80"]
            .map(str::to_owned)
            .into(),
        ..caller::start(TARGET)
    };
    let check = async |start: wire::Start| {
        let check = caller::open(&coordinator, &token, start).await.unwrap();
        check.follow(Outcome::Refused).await.unwrap()
    };

    let first = check(start).await;
    let conditions = &first.report().conditions;
    let expected: [std::net::IpAddr; 2] =
        ["2001:db8::80", "192.0.2.80"].map(|a| a.parse().unwrap());
    assert_eq!(conditions.expected_addresses, expected);
    assert_eq!(conditions.block_lists, ["dnsbl.example"]);
    assert_eq!(conditions.history, History::default());

    let second = check(caller::start(TARGET)).await;
    let history = second.report().conditions.history;
    assert_eq!(history.failing_since, Some(first.report().started_at));
    assert_eq!(history.last_ok, None);
    let other = check(caller::start("tcp://shop.example:23")).await;
    assert_eq!(other.report().conditions.history, History::default());
}

#[tokio::test]
async fn a_probes_further_addresses_are_known() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy]).await;
    let told = ask(&coordinator, Outcome::Ok).await;
    let further = &told.vantages[1].source_addresses;
    assert_eq!(
        further,
        &["192.0.2.77".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[tokio::test]
async fn a_fault_everywhere_is_told_as_such() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Refused; 4]).await;
    let told = ask(&coordinator, Outcome::Refused).await;
    assert_eq!(
        told.report().verdict.scope,
        Scope::Global,
        "{}",
        told.report().verdict.headline
    );
}

#[tokio::test]
async fn a_retry_waits_its_time() {
    let coordinator = coordinator().await;
    let _fleet = fleet(&coordinator, &[Manner::Healthy; 3]).await;
    let told = ask(&coordinator, Outcome::Refused).await;
    let retries = told
        .requests
        .iter()
        .zip(&told.requested_at)
        .filter(|(r, _)| r.purpose == Purpose::Retry);
    let retries: Vec<_> = retries.map(|(_, at)| at.as_millis()).collect();
    assert!(
        !retries.is_empty(),
        "a refusal that only one vantage sees is tried again"
    );
    assert!(retries.iter().all(|at| *at >= 950), "{retries:?}");
}

#[tokio::test]
async fn nobody_is_sent_into_a_private_network_by_what_another_says() {
    let coordinator = coordinator().await;
    let manners = [Manner::Misleading; 3];
    let _fleet = fleet(&coordinator, &manners).await;
    let told = ask(&coordinator, Outcome::Refused).await;
    let said = told
        .observations
        .iter()
        .filter_map(|o| o.address)
        .any(|a| a == probe::PRIVATE);
    assert!(said, "the misleading answer was taken note of");
    assert!(
        told.requests
            .iter()
            .all(|request| !request.addresses.contains(&probe::PRIVATE))
    );
}

#[tokio::test]
async fn a_dead_probe_neither_delays_for_long_nor_decides() {
    let coordinator = coordinator().await;
    let mut fleet = fleet(
        &coordinator,
        &[
            Manner::Healthy,
            Manner::Healthy,
            Manner::Healthy,
            Manner::Dead,
        ],
    )
    .await;
    let began = Instant::now();
    let told = ask(&coordinator, Outcome::Ok).await;
    assert_eq!(told.report().verdict.scope, Scope::Ok);
    assert!(told.report().vantages[4].observations.is_empty());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    // Whatever it is still at is withdrawn.
    assert!(within(fleet[3].cancellations.recv()).await.is_some());
}

#[tokio::test]
async fn a_lying_probe_speaks_for_nobody_else() {
    let coordinator = coordinator().await;
    let manners = [
        Manner::Healthy,
        Manner::Healthy,
        Manner::Healthy,
        Manner::Lying,
    ];
    let fleet = fleet(&coordinator, &manners).await;
    let told = ask(&coordinator, Outcome::Ok).await;
    let report = told.report();
    assert_eq!(
        report.verdict.scope,
        Scope::Ok,
        "{}",
        report.verdict.headline
    );
    let refused = |o: &&onlyhere_proto::Observation| o.outcome == Outcome::Refused;
    let liar = |v: &&onlyhere_proto::VantageReport| v.vantage.id.as_str() == "p3";
    let of_others = report
        .vantages
        .iter()
        .filter(|v| !liar(v))
        .flat_map(|v| &v.observations);
    assert_eq!(of_others.filter(refused).count(), 0);
    // 39 answers to what it was not asked: cut off, and the others are still there.
    coordinator.wait_for(&["p0", "p1", "p2"]).await;
    drop(fleet);
}

#[tokio::test]
async fn a_probe_that_leaves_is_not_waited_for() {
    let coordinator = coordinator().await;
    let manners = [
        Manner::Healthy,
        Manner::Healthy,
        Manner::Healthy,
        Manner::Leaving,
    ];
    let _fleet = fleet(&coordinator, &manners).await;
    let began = Instant::now();
    let told = ask(&coordinator, Outcome::Ok).await;
    assert_eq!(told.report().verdict.scope, Scope::Ok);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(names(&told), ["you", "p0", "p1", "p2", "p3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_checks_over_many_probes_all_come_to_their_end() {
    let coordinator = coordinator().await;
    let mut manners = vec![Manner::Healthy; 20];
    manners.extend([Manner::Lying, Manner::Leaving]);
    let _fleet = fleet(&coordinator, &manners).await;
    let tokens = [
        coordinator.client_token().await,
        coordinator.client_token().await,
    ];
    let checks = (0..24).map(|i| caller::check(&coordinator, &tokens[i % 2], TARGET, Outcome::Ok));
    for told in futures::future::join_all(checks).await {
        let told = told.unwrap();
        assert_eq!(
            told.report().verdict.scope,
            Scope::Ok,
            "{}",
            told.report().verdict.headline
        );
        // 16 of 22, and the caller; who leaves between being picked and being asked is left out.
        assert!((15..=17).contains(&told.report().vantages.len()));
    }
}
