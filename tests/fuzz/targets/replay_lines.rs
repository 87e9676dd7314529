//! What another program writes to `onlyhere replay --stdio`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_cli::replay::stdio;
use onlyhere_fuzz::plain;
use onlyhere_proto::limits;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let mut output = Vec::new();
    stdio::serve(&mut &*input, &mut output).expect("reading and writing memory does not fail");
    let output = std::str::from_utf8(&output).expect("JSON is text");
    let asked = input
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    assert_eq!(
        asked.count(),
        output.lines().count(),
        "one line, one answer"
    );
    for line in output.lines() {
        let answer: Value = serde_json::from_str(line).expect("every answer is JSON");
        match answer.get("error") {
            Some(error) => plain(error.as_str().expect("a sentence"), limits::TEXT),
            None => assert!(answer["asks"].is_array() && answer["concluded"].is_boolean()),
        }
        let verdict = &answer["verdict"];
        if verdict.is_object() {
            let scopes = verdict["scopes"].as_object().expect("scopes");
            let sum: f64 = scopes.values().filter_map(Value::as_f64).sum();
            assert!(
                (sum - 1.0).abs() < 1e-6,
                "the scopes' probabilities sum up to {sum}"
            );
        }
    }
});
