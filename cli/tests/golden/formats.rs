//! The formats for trackers and CI, of reports that the lab made.

use std::{fs, path::Path};

use onlyhere_cli::{
    answer::Answer,
    render::{explain, github, junit, markdown, ticket},
    standing::{Demands, Standing},
};
use onlyhere_proto::{CauseId, Outcome, Report, Scope};

use crate::sample::{Seen, cause, fleet, refused_alone, report};

/// A report in `docs/examples/`.
fn example(name: &str) -> Report {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn answer<'a>(report: &'a Report, fail_on: Option<&[Scope]>) -> Answer<'a> {
    let demands = Demands {
        fail_on: fail_on.map(<[Scope]>::to_vec),
        ..Demands::default()
    };
    Answer {
        report,
        alone: None,
        standing: Standing::of(report, &demands),
    }
}

/// All three, one after the other.
fn formats(answer: &Answer<'_>) -> String {
    let summary = tempfile::tempdir().unwrap();
    let [step, output] = ["summary", "output"].map(|name| summary.path().join(name));
    // What stands there already stays.
    fs::write(&output, "earlier=1\n").unwrap();
    let files = github::Files {
        summary: Some(&step),
        output: Some(&output),
    };
    files.append(answer).unwrap();
    let markdown = markdown::answer(answer);
    assert_eq!(fs::read_to_string(&step).unwrap(), markdown);
    format!(
        "{markdown}\n=== junit\n{}\n=== github: stdout\n{}\n=== github: outputs\n{}",
        junit::answer(answer).unwrap(),
        github::commands(answer),
        fs::read_to_string(&output).unwrap()
    )
}

#[test]
fn a_ban() {
    insta::assert_snapshot!(formats(&answer(&example("ban.json"), None)));
}

#[test]
fn a_dead_family_that_does_not_count() {
    let report = example("ipv6-dead.json");
    insta::assert_snapshot!(formats(&answer(&report, Some(&[Scope::Global]))));
}

#[test]
fn a_fault_that_comes_and_goes() {
    insta::assert_snapshot!(formats(&answer(&example("crash-loop.json"), None)));
}

#[test]
fn all_well() {
    let mut report = report(
        "https://shop.example",
        fleet(|_| Seen::both(Outcome::Ok)),
        Scope::Ok,
    );
    report.verdict.headline = "Reachable from here and from 6 other networks".into();
    insta::assert_snapshot!(formats(&answer(&report, None)));
}

#[test]
fn one_vantage_cannot_tell() {
    let mut report = refused_alone();
    report.verdict.causes = vec![
        cause(CauseId::ServiceDown, 0.52, "The service is down"),
        cause(CauseId::IpBan, 0.21, "The site has banned your IP address"),
    ];
    let answer = Answer {
        alone: Some("no coordinator is set"),
        ..answer(&report, None)
    };
    insta::assert_snapshot!(formats(&answer));
}

#[test]
fn a_summary_that_cannot_be_written_is_told_by_name() {
    let report = example("ban.json");
    let files = github::Files {
        summary: Some(Path::new("/nowhere/summary")),
        output: None,
    };
    let error = files.append(&answer(&report, None)).unwrap_err();
    assert!(
        error.to_string().starts_with("/nowhere/summary: "),
        "{error}"
    );
}

#[test]
fn a_ban_explained() {
    let report = example("ban.json");
    let text = explain::answer(&answer(&report, None), 80);
    let text = anstream::adapter::strip_str(&text).to_string();
    for line in text.lines() {
        assert!(console::measure_text_width(line) <= 80, "too long: {line}");
    }
    for observation in report.vantages.iter().flat_map(|seen| &seen.observations) {
        let address = observation.address.map(|address| address.to_string());
        let host = Some(observation.host.clone());
        assert!(text.contains(&address.or(host).unwrap()), "{observation:?}");
    }
    // The verdict and what it stands on; the observations of the caller follow, and those of the others alike.
    let (shown, _) = text.split_once("\n  ams (").expect("the second vantage");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_ticket_of_a_ban() {
    insta::assert_snapshot!(ticket::markdown(&example("ban.json"), false));
}

#[test]
fn a_redacted_ticket_names_none_of_the_callers_addresses() {
    for name in [
        "ban.json",
        "own-firewall.json",
        "ipv6-dead.json",
        "crash-loop.json",
    ] {
        let report = example(name);
        let text = ticket::markdown(&report, true);
        let you = &report.vantages[0];
        let mut own: Vec<_> = you.observations.iter().filter_map(|o| o.source).collect();
        own.extend(report.subject.public_address);
        own.extend(you.vantage.public_address);
        assert!(own.len() > 2, "{name}");
        for address in own {
            let address = address.to_string();
            let stands = text.match_indices(&address).any(|(at, _)| {
                let next = text[at + address.len()..].chars().next();
                !next.is_some_and(|c| c.is_ascii_alphanumeric())
            });
            assert!(!stands, "{name}: {address} in {text}");
        }
        assert!(text.contains("(address withheld)"), "{text}");
    }
}
