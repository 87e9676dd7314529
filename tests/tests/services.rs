//! The peers prove themselves: nginx, unbound and fail2ban do in the lab what they do in production. None of
//! Onlyhere's programs run here.

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
