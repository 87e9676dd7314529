//! Whole checks: a caller and probes on real sockets, and every way in which one of them can fail the others.

mod callers;
#[path = "../common/mod.rs"]
mod common;
mod probes;

use common::{
    Coordinator,
    caller::{self, Told},
    probe::{self, Manner},
};
use onlyhere_coordinator::config::Config;
use onlyhere_proto::Outcome;

pub(crate) const TARGET: &str = "tcp://shop.example:22";

/// The target's address is one of documentation, which must be allowed like any special range.
pub(crate) async fn coordinator() -> Coordinator {
    let documentation = "192.0.2.0/24".parse().unwrap();
    Coordinator::start(Config {
        allow_private: vec![documentation],
        ..Config::default()
    })
    .await
}

/// Probes `p0`, `p1`, … in one AS each.
pub(crate) async fn fleet(coordinator: &Coordinator, manners: &[Manner]) -> Vec<probe::Running> {
    let mut fleet = Vec::new();
    for (i, manner) in (0..).zip(manners) {
        fleet.push(probe::start(coordinator, &format!("p{i}"), 64500 + i, *manner).await);
    }
    fleet
}

pub(crate) async fn ask(coordinator: &Coordinator, outcome: Outcome) -> Told {
    let token = coordinator.client_token().await;
    caller::check(coordinator, &token, TARGET, outcome)
        .await
        .unwrap()
}

pub(crate) fn names(told: &Told) -> Vec<&str> {
    told.report()
        .vantages
        .iter()
        .map(|v| v.vantage.id.as_str())
        .collect()
}
