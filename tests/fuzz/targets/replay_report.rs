//! What `onlyhere replay REPORT.json` is given as a report.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_cli::replay::recorded;
use onlyhere_fuzz::{observation, sentence, survives_json};

fuzz_target!(|bytes: &[u8]| {
    let report = match recorded::parse(bytes).and_then(recorded::judge) {
        Ok(report) => report,
        Err(why) => return sentence(&why),
    };
    let sum: f64 = report.verdict.scopes.values().sum();
    assert!(
        (sum - 1.0).abs() < 1e-6,
        "the scopes' probabilities sum up to {sum}"
    );
    for seen in &report.vantages {
        seen.observations.iter().for_each(observation);
    }
    survives_json(&report);
    let again = recorded::judge(report.clone()).expect("what was judged once is judged again");
    assert_eq!(again, report, "the same observations, another verdict");
});
