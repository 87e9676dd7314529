//! The peers prove themselves: what runs in the lab does there what it does in production. None of Onlyhere's programs
//! run here.

mod common;

use common::{eight_networks, in_lab};
use onlyhere_lab::lab::Host;
use onlyhere_lab::scenario::{Action, Scenario};
use onlyhere_lab::stage::Stage;

/// curl's exit code, HTTP status and error text.
fn curl(host: &Host, family: &str, url: &str) -> (i32, String) {
    let args = [
        family,
        "-sS",
        "-o",
        "/dev/null",
        "--max-time",
        "2",
        "-w",
        "%{http_code}",
        url,
    ];
    let output = host.output("curl", &args).expect("curl starts");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code().expect("an exit code"), text)
}

const CURL_RESOLVE: i32 = 6;
const CURL_CONNECT: i32 = 7;
const CURL_TIMEOUT: i32 = 28;
const CURL_CERTIFICATE: i32 = 60;

/// Actions as a scenario file writes them.
fn actions(faults: &str) -> Vec<Action> {
    let head = "name = \"n\"\nabout = \"a\"\n[expect]\nscope = \"ok\"\nmechanism = \"none\"\ncauses = []\nexit = 0\n";
    let scenario = Scenario::parse(&format!("{head}{faults}")).expect("the faults are right");
    scenario
        .faults
        .into_iter()
        .map(|fault| fault.action)
        .collect()
}

fn apply(stage: &mut Stage, faults: &str) {
    for action in actions(faults) {
        stage.apply(&action).expect("the action works");
    }
}

#[test]
fn sites_answer_by_name_over_both_families_until_they_are_broken() {
    in_lab(
        "sites_answer_by_name_over_both_families_until_they_are_broken",
        || {
            let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
            let url = "https://shop.example/";
            let try_it = |stage: &Stage, family: &str| {
                curl(
                    stage.internet().host("caller").expect("caller"),
                    family,
                    url,
                )
            };
            for family in ["-4", "-6"] {
                assert_eq!(try_it(&stage, family), (0, "200".into()));
            }
            apply(
                &mut stage,
                "[[fault]]\ndo.nginx_status = { host = \"web\", status = 503 }\n",
            );
            assert_eq!(try_it(&stage, "-4"), (0, "503".into()));
            for kind in ["expired", "wrong_name", "untrusted"] {
                apply(
                    &mut stage,
                    &format!(
                        "[[fault]]\ndo.certificate = {{ host = \"web\", kind = \"{kind}\" }}\n"
                    ),
                );
                assert_eq!(try_it(&stage, "-4").0, CURL_CERTIFICATE, "{kind}");
            }
            apply(
                &mut stage,
                "[[fault]]\ndo.stop_nginx = { host = \"web\" }\n",
            );
            assert_eq!(try_it(&stage, "-6").0, CURL_CONNECT);
            apply(
                &mut stage,
                "[[fault]]\ndo.certificate = { host = \"web\", kind = \"valid\" }\n",
            );
            apply(
                &mut stage,
                "[[fault]]\ndo.nginx_status = { host = \"web\", status = 200 }\n",
            );
            assert_eq!(try_it(&stage, "-6"), (0, "200".into()));
            apply(
                &mut stage,
                "[[fault]]\ndo.dns = { name = \"shop.example\", addresses = [] }\n",
            );
            assert_eq!(try_it(&stage, "-4").0, CURL_RESOLVE);
        },
    );
}

#[test]
fn fail2ban_bans_one_address_of_each_family_and_lifts_the_ban() {
    in_lab(
        "fail2ban_bans_one_address_of_each_family_and_lifts_the_ban",
        || {
            let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
            apply(
                &mut stage,
                "[[fault]]\ndo.failed_logins = { host = \"web\" }\n",
            );
            let host = |stage: &Stage, name: &str, family: &str| {
                curl(
                    stage.internet().host(name).expect("the host exists"),
                    family,
                    "https://shop.example/",
                )
            };
            for family in ["-4", "-6"] {
                let (code, text) = host(&stage, "caller", family);
                assert_eq!(code, CURL_CONNECT, "{text}");
                assert_eq!(host(&stage, "sibling", family), (0, "200".into()));
                assert_eq!(host(&stage, "nyc", family), (0, "200".into()));
            }
            assert!(
                stage
                    .ban_status("web")
                    .expect("a jail")
                    .contains("198.18.3.20")
            );
            stage
                .unban("web", "198.18.3.20")
                .expect("the ban is lifted");
            assert_eq!(host(&stage, "caller", "-4"), (0, "200".into()));
            assert_eq!(host(&stage, "caller", "-6").0, CURL_CONNECT);
        },
    );
}

#[test]
fn a_dropping_ban_is_silent_and_a_broken_probe_reaches_only_its_coordinator() {
    in_lab(
        "a_dropping_ban_is_silent_and_a_broken_probe_reaches_only_its_coordinator",
        || {
            let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
            apply(
                &mut stage,
                "[[fault]]\ndo.failed_logins = { host = \"web\", families = [\"ipv4\"], blocktype = \"drop\" }\n\
             [[fault]]\ndo.break_probe = { host = \"nyc\" }\n",
            );
            let caller = stage.internet().host("caller").expect("caller");
            assert_eq!(curl(caller, "-4", "https://shop.example/").0, CURL_TIMEOUT);
            assert_eq!(curl(caller, "-6", "https://shop.example/").1, "200");
            let nyc = stage.internet().host("nyc").expect("nyc");
            assert_eq!(curl(nyc, "-4", "https://shop.example/").0, CURL_TIMEOUT);
            // Nothing listens there now, but the refusal came back.
            assert_eq!(
                curl(nyc, "-4", "https://coordinator.example:7443/").0,
                CURL_CONNECT
            );
        },
    );
}

/// What a caller's curl gets from the shop over a family: the exit code, and the status or the error.
fn shop(stage: &Stage, from: &str, family: &str) -> (i32, String) {
    let host = stage.internet().host(from).expect("the host exists");
    curl(host, family, "https://shop.example/")
}

fn set(faults: &str) -> Stage {
    let mut stage = Stage::without_onlyhere(eight_networks(), 1).expect("the stage is set");
    apply(&mut stage, faults);
    stage
}

/// What a host's system resolver finds for the shop, sorted.
fn shop_addresses(stage: &Stage, from: &str) -> Vec<String> {
    let host = stage.internet().host(from).expect("the host exists");
    let output = host
        .output("getent", &["ahosts", "shop.example"])
        .expect("getent starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut addresses: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

#[test]
fn crowdsec_drops_whom_it_has_seen_guess_passwords_and_whom_it_is_told_to() {
    in_lab(
        "crowdsec_drops_whom_it_has_seen_guess_passwords_and_whom_it_is_told_to",
        || {
            let mut stage = set("[[fault]]\ndo.crowdsec_ban = { host = \"web\" }\n");
            for family in ["-4", "-6"] {
                assert_eq!(shop(&stage, "caller", family).0, CURL_TIMEOUT);
                assert_eq!(shop(&stage, "sibling", family), (0, "200".into()));
            }
            let said = |stage: &Stage| stage.crowdsec_decisions("web").expect("decisions");
            assert!(said(&stage).contains("crowdsecurity/http-generic-bf"));
            assert!(!said(&stage).contains("198.18.3.21"));
            apply(
                &mut stage,
                "[[fault]]\ndo.crowdsec_ban = { host = \"web\", from = \"sibling\", families = [\"ipv4\"], by = \"administrator\" }\n",
            );
            assert!(said(&stage).contains("198.18.3.21"));
            assert_eq!(shop(&stage, "sibling", "-4").0, CURL_TIMEOUT);
            assert_eq!(shop(&stage, "sibling", "-6"), (0, "200".into()));
        },
    );
}

#[test]
fn haproxy_hands_requests_out_in_turn_and_leaves_out_what_fails_its_checks() {
    in_lab(
        "haproxy_hands_requests_out_in_turn_and_leaves_out_what_fails_its_checks",
        || {
            let balancer = |more: &str| {
                format!("[[fault]]\ndo.balancer = {{ host = \"web\", backends = {more} }}\n")
            };
            let turns = |stage: &Stage| -> Vec<(i32, String)> {
                (0..4).map(|_| shop(stage, "nyc", "-4")).collect()
            };
            let mut stage = set(&balancer("[\"works\", \"fails\"]"));
            let got = turns(&stage);
            assert_eq!(got.iter().filter(|(_, text)| text == "200").count(), 2);
            assert_eq!(got.iter().filter(|(_, text)| text == "503").count(), 2);
            apply(
                &mut stage,
                &balancer("[\"works\", \"refuses\", \"closes\", \"fails\"], health_checks = true"),
            );
            assert!(turns(&stage).iter().all(|(_, text)| text == "200"));
            apply(&mut stage, &balancer("[\"refuses\"], health_checks = true"));
            assert!(turns(&stage).iter().all(|(_, text)| text == "503"));
            apply(
                &mut stage,
                &balancer("[\"works\", \"refuses\"], layer = \"tcp\""),
            );
            let got = turns(&stage);
            assert_eq!(got.iter().filter(|(code, _)| *code == 0).count(), 2);
        },
    );
}

#[test]
fn knot_serves_zones_that_differ_and_resolvers_ask_it() {
    in_lab("knot_serves_zones_that_differ_and_resolvers_ask_it", || {
        let mut stage = set("[[fault]]\n[fault.do.name_servers]\nservers = [\n\
             { host = \"web2\", addresses = [\"198.18.1.10\"], views = [{ sources = [\"198.18.7.0/24\", \"2001:db8:7::/48\"], addresses = [\"198.18.1.99\"] }] },\n\
             { host = \"control-a\", addresses = [\"198.18.1.11\"] },\n]\n\
             [[fault]]\ndo.start_resolver = { host = \"isp-a\", clients = [\"caller\"], asks = [\"control-a\"] }\n\
             [[fault]]\ndo.start_resolver = { host = \"nyc\", clients = [\"nyc\"], asks = [\"web2\"] }\n\
             [[fault]]\ndo.start_resolver = { host = \"sgp\", clients = [\"sgp\"], asks = [\"web2\"] }\n");
        assert_eq!(shop_addresses(&stage, "caller"), ["198.18.1.11"]);
        assert_eq!(shop_addresses(&stage, "nyc"), ["198.18.1.10"]);
        assert_eq!(shop_addresses(&stage, "sgp"), ["198.18.1.99"]);
        for server in [
            "{ host = \"web2\", service = \"lame\" }",
            "{ host = \"web2\", service = \"down\" }",
            "{ host = \"web2\" }",
        ] {
            apply(
                &mut stage,
                &format!("[[fault]]\ndo.name_servers = {{ servers = [{server}] }}\n"),
            );
            assert!(shop_addresses(&stage, "fra").is_empty(), "{server}");
        }
    });
}

#[test]
fn resolvers_lie_to_those_who_ask_them() {
    in_lab("resolvers_lie_to_those_who_ask_them", || {
        let lie = |says: &str| {
            format!(
                "[[fault]]\ndo.start_resolver = {{ host = \"gateway\", clients = [\"caller\"], lies = [{{ name = \"shop.example\", says = {says} }}] }}\n"
            )
        };
        let mut stage = set(&lie("{ addresses = [\"198.18.3.1\"] }"));
        assert_eq!(shop_addresses(&stage, "caller"), ["198.18.3.1"]);
        for says in ["nxdomain", "no_data", "refused", "servfail", "silence"] {
            apply(&mut stage, &lie(&format!("\"{says}\"")));
            assert!(shop_addresses(&stage, "caller").is_empty(), "{says}");
        }
        apply(&mut stage, &lie("\"null\""));
        assert_eq!(shop_addresses(&stage, "caller"), ["0.0.0.0", "::"]);
        assert_eq!(
            shop_addresses(&stage, "sibling"),
            ["198.18.1.10", "2001:db8:1::10"]
        );
        let control = stage
            .internet()
            .host("caller")
            .map(|caller| curl(caller, "-4", "https://control-a.example/"));
        assert_eq!(control.expect("the caller exists"), (0, "200".into()));
    });
}

#[test]
fn proxies_connect_or_forbid() {
    in_lab("proxies_connect_or_forbid", || {
        for (program, port) in [("squid", 3128), ("tinyproxy", 8888)] {
            for (rule, wanted) in [("connects", "200"), ("forbids", "403")] {
                let stage = set(&format!(
                    "[[fault]]\ndo.start_proxy = {{ host = \"gateway\", program = \"{program}\", rule = \"{rule}\" }}\n"
                ));
                let caller = stage.internet().host("caller").expect("caller");
                let proxy = format!("http://192.168.77.1:{port}");
                let args = [
                    "-s",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_connect}",
                    "-x",
                    &proxy,
                ];
                let output = caller
                    .output("curl", &[&args[..], &["https://shop.example/"]].concat())
                    .expect("curl starts");
                assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{program}");
                assert_eq!(output.status.success(), rule == "connects", "{program}");
            }
        }
    });
}

#[test]
fn an_interceptor_shows_its_own_certificate_behind_its_gateway_only() {
    in_lab(
        "an_interceptor_shows_its_own_certificate_behind_its_gateway_only",
        || {
            let stage = set("[[fault]]\ndo.intercept_tls = { host = \"gateway\" }\n");
            let caller = stage.internet().host("caller").expect("caller");
            for family in ["-4", "-6"] {
                assert_eq!(shop(&stage, "caller", family).0, CURL_CERTIFICATE);
                assert_eq!(shop(&stage, "sibling", family), (0, "200".into()));
                // It opens TLS for everything, and brings the visitor where the visitor wanted to go.
                for url in ["https://shop.example/", "https://control-b.example/"] {
                    let args = ["-ksvo", "/dev/null", family, url];
                    let output = caller.output("curl", &args).expect("curl starts");
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(said.contains("issuer: CN=Inspecting Gateway"), "{said}");
                    assert!(output.status.success(), "{said}");
                    assert!(said.contains("< server: nginx"), "{said}");
                }
            }
            let stage = set(
                "[[fault]]\ndo.intercept_tls = { host = \"gateway\", trusted_by = [\"caller\"] }\n",
            );
            assert_eq!(shop(&stage, "caller", "-4"), (0, "200".into()));
        },
    );
}

#[test]
fn a_portal_takes_every_web_request_and_a_block_page_stands_where_a_resolver_sends_people() {
    in_lab(
        "a_portal_takes_every_web_request_and_a_block_page_stands_where_a_resolver_sends_people",
        || {
            let stage = set(
                "[[fault]]\ndo.captive_portal = { host = \"gateway\", closed = true }\n\
                 [[fault]]\ndo.block_page = { host = \"isp-a\" }\n\
                 [[fault]]\ndo.start_resolver = { host = \"isp-a\", clients = [\"sibling\"], lies = [{ name = \"shop.example\", says = { addresses = [\"198.18.3.1\"] } }] }\n",
            );
            let caller = stage.internet().host("caller").expect("caller");
            for family in ["-4", "-6"] {
                assert_eq!(shop(&stage, "caller", family).0, CURL_CERTIFICATE);
                assert_eq!(
                    curl(caller, family, "http://shop.example/"),
                    (0, "302".into())
                );
                assert_eq!(
                    curl(caller, family, "http://portal.example/"),
                    (0, "200".into())
                );
            }
            let coordinator = curl(caller, "-4", "https://coordinator.example:7080/");
            assert_eq!(coordinator.0, CURL_TIMEOUT);
            let sibling = stage.internet().host("sibling").expect("sibling");
            assert_eq!(shop(&stage, "sibling", "-4").0, CURL_CERTIFICATE);
            assert_eq!(
                curl(sibling, "-4", "http://shop.example/"),
                (0, "200".into())
            );
        },
    );
}
