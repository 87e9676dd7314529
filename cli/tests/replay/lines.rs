//! The session by lines: what is taken, what is refused, and that nothing else depends on it.

use serde_json::{Value, json};

use super::*;

/// Whether all that is shown is there; of lists every item shown must be, in this order.
fn holds(answer: &Value, shown: &Value) -> bool {
    match (answer, shown) {
        (Value::Object(answer), Value::Object(shown)) => shown
            .iter()
            .all(|(key, value)| answer.get(key).is_some_and(|a| holds(a, value))),
        (Value::Array(answer), Value::Array(shown)) if !shown.is_empty() => {
            let mut rest = answer.iter();
            shown.iter().all(|value| rest.any(|a| holds(a, value)))
        }
        _ => answer == shown,
    }
}

#[test]
fn the_example_of_the_description_is_true() {
    let text = include_str!("../../../docs/replay.md");
    let mut driver = Driver::new();
    let (mut lines, mut answer) = (0, Value::Null);
    let mut inside = false;
    for line in text.lines() {
        inside = line == "```session" || (inside && line != "```");
        if let (true, Some(sent)) = (inside, line.strip_prefix("> ")) {
            answer = driver.send_text(sent);
            lines += 1;
        } else if let (true, Some(shown)) = (inside, line.strip_prefix("< ")) {
            let shown = serde_json::from_str(shown).unwrap();
            assert!(
                holds(&answer, &shown),
                "line {lines} of the example\n{shown}\n{answer:#}"
            );
        }
    }
    assert!(lines >= 10, "{lines}");
    driver.end();
}

fn opening(driver: &mut Driver) {
    let answer = driver.send(&json!({"now_ms": 10, "case": Internet::new(|_, _, _| None).case()}));
    assert_eq!(answer["asks"].as_array().unwrap().len(), 7, "{answer:#}");
}

#[test]
fn order_and_repetition_do_not_change_the_verdict() {
    let all = [
        seen(
            0,
            "dns",
            json!({"facts": {"dns": {"record_type": "A", "answers": [{"address": SITE, "ttl_s": 30}]}}}),
        ),
        seen(
            1,
            "dns",
            json!({"outcome": "no_answer", "facts": {"dns": {"record_type": "AAAA"}}}),
        ),
        seen(2, "tcp", json!({"address": SITE})),
        seen(
            3,
            "tls",
            json!({"address": SITE, "outcome": "bad_certificate", "facts": {"tls": {"error": "expired", "certificates": [{"sha256": "aa"}]}}}),
        ),
    ];
    let verdict = |order: &[usize], ignored: usize| {
        let mut driver = Driver::new();
        opening(&mut driver);
        let mut sum = 0;
        for index in order {
            let answer = driver.send(&json!({"now_ms": 40, "observations": [all[*index]]}));
            sum += answer["ignored"].as_u64().unwrap_or(0);
        }
        assert_eq!(sum, ignored as u64);
        let answer = driver.send(&json!({"now_ms": 9_000, "out_of_time": true}));
        driver.end();
        answer["verdict"].clone()
    };
    let expected = verdict(&[0, 1, 2, 3], 0);
    assert_ne!(expected, Value::Null);
    assert_eq!(verdict(&[3, 1, 0, 2], 0), expected);
    assert_eq!(verdict(&[0, 0, 1, 2, 3, 3, 2], 3), expected);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut driver = Driver::new();
    driver.refused("{\"now_ms\": 0}", "no case has begun");
    for (case, says) in [
        (
            json!({"target": "https://", "vantages": [{"id": "a"}]}),
            "names no host",
        ),
        (
            json!({"target": "a.example", "vantages": []}),
            "from 1 to 1024 vantages",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "a"}, {"id": "a"}]}),
            "two vantages are called a",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "A b"}]}),
            "no vantage name",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "a", "asnn": 1}]}),
            "unknown field `asnn`",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "a"}], "subject": {"vantage": "b"}}),
            "none of the vantages",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "a"}], "conditions": {"attempt_timeout_ms": 0}}),
            "from 1 to 30000",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "a"}], "conditions": {"seen": "purple"}}),
            "unknown symptom",
        ),
        (
            json!({"target": "a.example", "vantages": [{"id": "a"}], "check": "x"}),
            "no check id",
        ),
        (
            json!({"target": {"input": "a", "host": "a", "port": null, "layer": "https"}, "vantages": [{"id": "a"}]}),
            "target",
        ),
    ] {
        driver.refused(&json!({"now_ms": 0, "case": case}).to_string(), says);
    }
    opening(&mut driver);
    for (line, says) in [
        ("{", "JSON"),
        ("[]", "JSON"),
        ("{}", "now_ms"),
        ("{\"now_ms\": -1}", "from 0 to 1e12"),
        ("{\"now_ms\": \"1\"}", "JSON"),
        ("{\"now_ms\": 9.9}", "goes back"),
        ("{\"now_ms\": 20, \"nowms\": 1}", "unknown field `nowms`"),
        (
            "{\"now_ms\": 20, \"lost\": \"nobody\"}",
            "nobody is no vantage of this case",
        ),
        ("{\"now_ms\": 20, \"lost\": [\"fra1\", 1]}", "JSON"),
        (
            "{\"now_ms\": 20, \"done\": {\"vantage\": \"fra1\", \"request\": 2}}",
            "fra1 was asked no request 2",
        ),
        (
            "{\"now_ms\": 20, \"done\": {\"vantage\": \"fra1\"}}",
            "missing field `request`",
        ),
    ] {
        driver.refused(line, says);
    }
    for (observation, says) in [
        (
            json!({"vantage": "fra1", "request": 1}),
            "missing field `stage`",
        ),
        (
            seen(0, "tcp", json!({"outcome": "odd"})),
            "unknown variant `odd`",
        ),
        (seen(0, "tcp", json!({"elapsed_ms": -1})), "0 or more"),
        (seen(0, "tcp", json!({"address": "300.1.1.1"})), "JSON"),
        (
            seen(0, "tcp", json!({"by": "icmp"})),
            "icmp {type, code, from} is missing",
        ),
        (
            seen(
                0,
                "tcp",
                json!({"by": "rst", "icmp": {"type": 3, "code": 3, "from": SITE}}),
            ),
            "by says another",
        ),
        (
            seen(
                0,
                "dns",
                json!({"facts": {"dns": {"record_type": "A", "answers": vec![SITE; 65]}}}),
            ),
            "more than 64",
        ),
        (seen(0, "tcp", json!({"port": 70_000})), "JSON"),
        (
            seen(0, "tcp", json!({"host": "a".repeat(300)})),
            "more than 253",
        ),
    ] {
        let line = json!({"now_ms": 20, "observations": [seen(0, "icmp", json!({"address": SITE})), observation]});
        driver.refused(&line.to_string(), says);
    }
    // The clock has not moved, and what stood beside the impossible has not counted.
    let answer = driver
        .send(&json!({"now_ms": 10, "observations": [seen(0, "icmp", json!({"address": SITE}))]}));
    assert_eq!(answer["ignored"], Value::Null, "{answer}");
    let answer = driver.send(&json!({"now_ms": 11, "done": {"vantage": "fra1", "request": 1}}));
    assert_eq!(answer["concluded"], false);
    let late = seen(1, "tcp", json!({"address": SITE}));
    // "Done" may overtake what was said before it; what is known already is no news.
    let answer = driver.send(&json!({"now_ms": 12, "observations": [late]}));
    assert_eq!(answer["ignored"], Value::Null, "{answer}");
    let answer = driver.send(&json!({"now_ms": 12, "observations": [late]}));
    assert_eq!(answer["ignored"], 1);
    let other = seen(2, "tcp", json!({"address": SITE, "purpose": "retry"}));
    let answer = driver.send(&json!({"now_ms": 14, "observations": [other]}));
    assert_eq!(answer["ignored"], 1, "no answer to this request");
    let answer = driver.send(&json!({"now_ms": 15, "out_of_time": true}));
    assert_eq!(answer["concluded"], true);
    let after = seen(3, "tcp", json!({"address": SITE}));
    let answer = driver.send(&json!({"now_ms": 16, "observations": [after]}));
    assert_eq!(answer["ignored"], 1, "after the end");
    driver.end();
}

#[test]
fn a_thousand_vantages_are_taken_and_more_are_not() {
    let vantages = |count: u32| -> Vec<Value> {
        (0..count)
            .map(|n| json!({"id": format!("v{n}"), "asn": 1 + n}))
            .collect()
    };
    let mut driver = Driver::new();
    let line = json!({"now_ms": 0, "case": {"target": "tcp://192.0.2.1:443", "vantages": vantages(1_025)}});
    driver.refused(&line.to_string(), "from 1 to 1024");
    let answer = driver.send(&json!({"now_ms": 0, "case": {"target": "tcp://192.0.2.1:443", "vantages": vantages(1_024)}}));
    assert_eq!(answer["asks"].as_array().unwrap().len(), 1_024);
    driver.end();
}
