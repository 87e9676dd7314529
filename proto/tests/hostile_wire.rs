//! Values on the wire that no honest peer sends: each is refused by name, or comes out harmless.

use onlyhere_proto::{CheckId, Micros, Observation, Report, Vantage, wire};

const REPORT: &str = include_str!("../../docs/examples/ban.json");

fn report() -> Report {
    serde_json::from_str(REPORT).unwrap()
}

fn error<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.expect_err("it cannot be").to_string()
}

#[test]
fn what_a_coordinator_says_of_a_vantage_cannot_steer_a_terminal_or_grow() {
    let mut hostile = wire::Vantage {
        name: "fra1".to_owned(),
        region: "\x1b[2J".to_owned(),
        country: "D".repeat(10_000),
        ..Default::default()
    };
    hostile
        .labels
        .insert("a\nb".to_owned(), "\u{9b}31m".to_owned());
    let vantage = Vantage::try_from(hostile.clone()).unwrap();
    assert_eq!(vantage.region.as_deref(), Some("\u{fffd}[2J"));
    assert_eq!(vantage.country.map(|country| country.len()), Some(512));
    let labels: Vec<_> = vantage.labels.into_iter().collect();
    assert_eq!(
        labels,
        [("a\u{fffd}b".to_owned(), "\u{fffd}31m".to_owned())]
    );

    hostile.labels = (0..17).map(|n| (n.to_string(), "x".to_owned())).collect();
    let says = error(Vantage::try_from(hostile));
    assert_eq!(says, "vantage.labels has 17, more than 16");
}

#[test]
fn a_time_that_cannot_have_passed_is_refused() {
    let observation = &report().vantages[0].observations[0];
    let mut wire = wire::Observation::from(observation);
    wire.elapsed_us = u64::MAX;
    assert!(error(Observation::try_from(wire)).starts_with("elapsed_us has 18446744073709551615"));
    let mut wire = wire::Report::from(&report());
    wire.duration_us = u64::MAX;
    assert!(error(Report::try_from(wire)).starts_with("duration_us has "));
}

#[test]
fn a_number_that_json_does_not_have_is_refused() {
    for number in [f64::NAN, f64::INFINITY] {
        let mut wire = wire::Report::from(&report());
        wire.verdict.as_mut().unwrap().evidence[0].log10_bayes_factor = number;
        assert!(error(Report::try_from(wire)).contains("no finite number"));
    }
}

#[test]
fn a_report_is_read_back_from_json_to_the_last_bit() {
    let mut report = report();
    report.verdict.confidence = 0.000_999_999_999_999_998_3;
    report.duration_ms = Micros(86_400_000_000);
    let text = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(again, report);
}

#[test]
fn what_an_error_repeats_cannot_steer_a_terminal() {
    let errors = [
        error("\x1b[31m".parse::<CheckId>()),
        error("\x1b[31m".parse::<onlyhere_proto::VantageName>()),
        error("\x1b[31m".parse::<onlyhere_proto::Scope>()),
        error("eu+\x1b[31m".parse::<onlyhere_proto::Selector>()),
        error(onlyhere_proto::Symptom::parse("\x1b[31m")),
    ];
    for says in errors {
        assert!(!says.contains(char::is_control), "{says:?}");
    }
}
