//! A stranger's simulator of a small internet, written against the description alone.

use serde_json::json;

use super::*;

#[test]
fn a_strangers_simulator_finds_bans_and_outages_one_after_another() {
    let mut driver = Driver::new();
    let ban = Internet::new(|vantage, port, _| {
        let icmp = json!({"type": 3, "code": 3, "from": SITE});
        (vantage == "you" && [80, 443].contains(&port))
            .then(|| json!({"stage": "tcp", "outcome": "refused", "by": "icmp", "icmp": icmp}))
    });
    let (answer, took) = ban.play(&mut driver, 0.0);
    assert_eq!(answer["verdict"]["scope"], "source_address", "{answer:#}");
    assert_eq!(answer["verdict"]["causes"][0]["id"], "ip_ban", "{answer:#}");
    assert_eq!(answer["verdict"]["complete"], true);
    assert!(took < 3_000.0, "{took}");

    // The clock may go on or begin anew; nothing of the case before is left.
    let down = Internet::new(|_, port, _| {
        (port == 443).then(|| json!({"stage": "tcp", "outcome": "refused", "by": "rst"}))
    });
    let (answer, _) = down.play(&mut driver, 0.0);
    assert_eq!(answer["verdict"]["scope"], "global", "{answer:#}");
    assert_eq!(answer["verdict"]["mechanism"], "refused");

    let silent = Internet {
        dead: &["nyc1"],
        ..Internet::new(|vantage, _, _| {
            ["you", "home-b"]
                .contains(&vantage)
                .then(|| json!({"stage": "tcp", "outcome": "timeout"}))
        })
    };
    let (answer, _) = silent.play(&mut driver, 500_000.0);
    assert_eq!(answer["verdict"]["scope"], "source_network", "{answer:#}");
    let later = driver.send(&json!({"now_ms": 600_000, "verdict": true}));
    assert_eq!(later["verdict"]["scope"], "source_network");
    assert_eq!(later["asks"], json!([]));
    driver.end();
}

#[test]
fn the_same_world_gives_the_same_verdict_to_the_last_digit() {
    let world = Internet::new(|vantage, _, _| {
        (vantage == "you").then(|| json!({"stage": "tcp", "outcome": "timeout"}))
    });
    let (mut one, mut two) = (Driver::new(), Driver::new());
    let first = world.play(&mut one, 0.0);
    assert_eq!(first, world.play(&mut two, 0.0));
    // A clock that began elsewhere makes no difference, nor does a session that has seen cases.
    let (again, took) = world.play(&mut one, 12_345.678);
    assert_eq!(again["verdict"], first.0["verdict"]);
    assert!((took - first.1).abs() < 0.01, "{took} {}", first.1);
    one.end();
    two.end();
}
