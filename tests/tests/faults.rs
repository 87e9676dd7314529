//! The faults prove themselves: what a scenario breaks is broken in the way it says, and for those it says. None of
//! Onlyhere's programs run here.

mod common;

use std::time::{Duration, Instant};

use common::{eight_networks, in_lab};
use onlyhere_lab::scenario::Scenario;
use onlyhere_lab::stage::Stage;

/// curl's exit code and the HTTP status, as `code/status`, from a host over IPv4.
fn curl(stage: &Stage, from: &str, url: &str) -> String {
    let host = stage.internet().host(from).expect("the host exists");
    let args = [
        "-4",
        "-s",
        "-o",
        "/dev/null",
        "--max-time",
        "2",
        "-w",
        "%{exitcode}/%{http_code}",
        url,
    ];
    let output = host.output("curl", &args).expect("curl starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const SHOP: &str = "https://shop.example/";
const FINE: &str = "0/200";
const REFUSED: &str = "7/000";
const TIMED_OUT: &str = "28/000";
const CLOSED: &str = "52/000";

/// Does what a scenario file's faults say.
fn apply(stage: &mut Stage, faults: &str) {
    let head =
        "name = \"n\"\nabout = \"a\"\n[expect]\nscope = \"ok\"\nmechanism = \"none\"\nexit = 0\n";
    let scenario = Scenario::parse(&format!("{head}{faults}")).expect("the faults are right");
    for fault in &scenario.faults {
        stage.apply(&fault.action).expect("the action works");
    }
}

#[test]
fn a_crash_loop_alternates_until_nginx_is_started_for_good() {
    in_lab(
        "a_crash_loop_alternates_until_nginx_is_started_for_good",
        || {
            let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
            apply(
                &mut stage,
                "[[fault]]\ndo.crash_loop = { host = \"web\", up_s = 0.5, down_s = 0.5 }\n",
            );
            let mut seen = vec![curl(&stage, "fra", SHOP)];
            assert_eq!(seen, [REFUSED], "it begins with the time it is down");
            let deadline = Instant::now() + Duration::from_secs(20);
            while seen.len() < 5 {
                assert!(Instant::now() < deadline, "seen only {seen:?}");
                let now = curl(&stage, "fra", SHOP);
                // What hits the very moment of a crash may be cut off in any way.
                if [REFUSED, FINE].contains(&now.as_str()) && seen.last() != Some(&now) {
                    seen.push(now);
                }
            }
            apply(
                &mut stage,
                "[[fault]]\ndo.start_nginx = { host = \"web\" }\n",
            );
            for _ in 0..6 {
                assert_eq!(curl(&stage, "fra", SHOP), FINE);
                std::thread::sleep(Duration::from_millis(200));
            }
        },
    );
}

#[test]
fn nginx_limits_closes_and_listens_as_it_is_told() {
    in_lab("nginx_limits_closes_and_listens_as_it_is_told", || {
        let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
        apply(
            &mut stage,
            "[[fault]]\n[fault.do.nginx_config]\nhost = \"web\"\n\
             http = \"limit_req_zone $binary_remote_addr zone=z:1m rate=1r/m;\"\n\
             location = \"limit_req zone=z burst=2 nodelay; limit_req_status 429; empty_gif;\"\n",
        );
        let seen: Vec<String> = (0..4).map(|_| curl(&stage, "nyc", SHOP)).collect();
        assert_eq!(seen, [FINE, FINE, FINE, "0/429"]);
        assert_eq!(curl(&stage, "fra", SHOP), FINE, "its own allowance");
        apply(
            &mut stage,
            "[[fault]]\n[fault.do.nginx_config]\nhost = \"web\"\n\
             http = \"geo $unwanted { default 0; 198.18.6.10 1; }\"\n\
             server = \"if ($unwanted) { return 444; }\"\n",
        );
        // Over HTTP/2 a stream is cut off instead, which is another code of curl's.
        assert_eq!(curl(&stage, "nyc", "http://shop.example/"), CLOSED);
        assert_eq!(curl(&stage, "fra", "http://shop.example/"), FINE);
        apply(
            &mut stage,
            "[[fault]]\ndo.nginx_listens = { host = \"web\", sockets = [\"127.0.0.1:443\", \"198.18.1.10:8443\"] }\n",
        );
        assert_eq!(curl(&stage, "fra", SHOP), REFUSED);
        assert_eq!(curl(&stage, "fra", "https://shop.example:8443/"), FINE);
    });
}

#[test]
fn a_small_wire_swallows_handshakes_and_lets_connections_open() {
    in_lab(
        "a_small_wire_swallows_handshakes_and_lets_connections_open",
        || {
            let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
            apply(
                &mut stage,
                "[[fault]]\ndo.small_wire = { wire = \"nyc\", max_bytes = 600 }\n",
            );
            assert_eq!(curl(&stage, "nyc", "http://shop.example/"), FINE);
            assert_eq!(curl(&stage, "nyc", SHOP), TIMED_OUT);
            assert_eq!(curl(&stage, "fra", SHOP), FINE);
            let nyc = stage.internet().host("nyc").expect("the host exists");
            // 28 bytes are headers.
            for (payload, answered) in [("572", true), ("573", false)] {
                let args = ["-n", "-c", "1", "-W", "1", "-s", payload, "198.18.1.10"];
                let output = nyc.output("ping", &args).expect("ping starts");
                assert_eq!(output.status.success(), answered, "{payload} bytes");
            }
        },
    );
}

#[test]
fn a_script_that_fails_fails_the_action() {
    in_lab("a_script_that_fails_fails_the_action", || {
        let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
        apply(
            &mut stage,
            "[[fault]]\ndo.run = { host = \"isp-a\", script = \"ip route add throw 198.18.1.0/24\" }\n",
        );
        assert_eq!(curl(&stage, "sibling", SHOP), REFUSED);
        let bad = "name = \"n\"\nabout = \"a\"\n[[fault]]\ndo.run = { host = \"isp-a\", script = \"false\\ntrue\" }\n\
                   [expect]\nscope = \"ok\"\nmechanism = \"none\"\nexit = 0\n";
        let bad = Scenario::parse(bad).expect("it is right");
        assert!(stage.apply(&bad.faults[0].action).is_err());
    });
}
