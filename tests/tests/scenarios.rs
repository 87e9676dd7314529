//! The files of the lab are right, and wrong ones are refused by name.

use std::path::Path;

use onlyhere_lab::lab::Topology;
use onlyhere_lab::scenario::Scenario;

const RIGHT: &str = r#"
name = "a"
about = "b"
[[fault]]
at = 1.5
do.stop_nginx = { host = "web" }
[expect]
scope = "global"
mechanism = "refused"
causes = ["service_down"]
exit = 16
"#;

#[test]
fn every_scenario_of_the_project_is_right_and_plays_in_a_plan_that_has_its_hosts() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scenarios = Scenario::read_all(&here.join("scenarios")).expect("the scenarios are right");
    let mut names: Vec<&str> = scenarios
        .iter()
        .map(|scenario| scenario.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), scenarios.len(), "two scenarios share a name");
    for scenario in &scenarios {
        let file = here.join(format!("topologies/{}.toml", scenario.topology));
        let plan = Topology::read(&file).expect("the plan is right");
        plan.without(&scenario.without)
            .expect("the hosts to leave out are there");
    }
}

#[test]
fn a_right_scenario_is_read() {
    let scenario = Scenario::parse(RIGHT).expect("it is right");
    assert_eq!(scenario.target, "https://shop.example");
    assert_eq!(scenario.faults.len(), 1);
}

#[test]
fn wrong_scenarios_are_refused_with_the_reason() {
    for (from, to, reason) in [
        (
            "about = \"b\"",
            "about = \"b\"\nabuot = 1",
            "unknown field `abuot`",
        ),
        ("stop_nginx", "stop_apache", "unknown variant `stop_apache`"),
        (
            "host = \"web\"",
            "host = \"web\", port = 1",
            "unexpected keys in table: port",
        ),
        (
            "at = 1.5",
            "at = \"later\"",
            "`at` is \"before\" or 0 to 60 seconds",
        ),
        (
            "at = 1.5",
            "at = 61",
            "`at` is \"before\" or 0 to 60 seconds",
        ),
        ("at = 1.5", "at = 1.5\nwhy = 1", "unknown field `why`"),
        (
            "scope = \"global\"",
            "scope = \"world\"",
            "unknown scope \"world\"",
        ),
        (
            "exit = 16",
            "exit = 12",
            "scope global exits with 16, not 12",
        ),
        ("\"refused\"", "\"angry\"", "unknown mechanism \"angry\""),
        ("service_down", "gremlins", "unknown cause \"gremlins\""),
        (
            "exit = 16",
            "exit = 16\nverdict = 1",
            "unknown field `verdict`",
        ),
        ("mechanism = \"refused\"", "", "missing field `mechanism`"),
    ] {
        let error = Scenario::parse(&RIGHT.replace(from, to)).expect_err(to);
        assert!(error.contains(reason), "{to}: {error}");
    }
}

const PLAN: &str = r#"
about = "a"
[network.n]
asn = 64496
country = "DE"
region = "eu"
class = "datacenter"
ipv4 = "198.18.0.0/24"
ipv6 = "2001:db8::/48"
[host.root]
network = "n"
role = "router"
ipv4 = "198.18.0.1"
ipv6 = "2001:db8::1"
[host.leaf]
network = "n"
role = "site"
uplink = "root"
delay_ms = 5
ipv4 = "198.18.0.2"
ipv6 = "2001:db8::2"
"#;

#[test]
fn wrong_plans_are_refused_with_the_reason() {
    Topology::parse(PLAN).expect("it is right");
    for (from, to, reason) in [
        ("delay_ms = 5", "delay = 5", "unknown field `delay`"),
        (
            "delay_ms = 5",
            "delay_ms = -1",
            "delay_ms must be from 0 to 1000",
        ),
        ("asn = 64496", "asn = 64496\nas = 1", "unknown field `as`"),
        (
            "role = \"site\"",
            "role = \"shop\"",
            "unknown variant `shop`",
        ),
        ("uplink = \"root\"", "", "2 hosts have no uplink"),
        (
            "uplink = \"root\"",
            "uplink = \"nobody\"",
            "no uplink \"nobody\"",
        ),
        (
            "uplink = \"root\"",
            "uplink = \"leaf\"",
            "does not forward packets",
        ),
        (
            "198.18.0.2",
            "198.18.1.2",
            "198.18.1.2 is not in 198.18.0.0/24",
        ),
        (
            "2001:db8::2",
            "2001:db8:1::2",
            "2001:db8:1::2 is not in 2001:db8::/48",
        ),
        ("host.leaf", "host.a-very-long-name", "a name has 1 to 12"),
        (
            "role = \"router\"",
            "role = \"gateway\"",
            "its addresses are not in its gateway's LAN",
        ),
    ] {
        let error = Topology::parse(&PLAN.replacen(from, to, 1)).expect_err(to);
        assert!(error.contains(reason), "{to}: {error}");
    }
    let circle = PLAN.replacen(
        "role = \"router\"",
        "role = \"router\"\nuplink = \"second\"",
        1,
    ) + "[host.second]\nnetwork = \"n\"\nrole = \"router\"\nuplink = \"root\"\nipv4 = \"198.18.0.3\"\nipv6 = \"2001:db8::3\"\n";
    let error = Topology::parse(&circle).expect_err("a circle");
    assert!(error.contains("in a circle"), "{error}");
}
