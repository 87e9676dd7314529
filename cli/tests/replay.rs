//! `onlyhere replay` through the program itself: reports judged again, and sessions driven by lines as a stranger would.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use serde_json::{Value, json};

const SITE: &str = "198.51.100.80";

fn onlyhere() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere"));
    command.arg("replay").env_clear();
    command
}

/// The other end of a session.
struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Driver {
    fn new() -> Self {
        let mut child = onlyhere()
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn send(&mut self, line: &Value) -> Value {
        self.send_text(&line.to_string())
    }

    fn send_text(&mut self, line: &str) -> Value {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{line}\n{answer}\n{e}"))
    }

    fn refused(&mut self, line: &str, says: &str) {
        let answer = self.send_text(line);
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{line}: {answer}"));
        assert!(error.contains(says), "{line}: {error}");
        assert!(answer["line"].is_u64() && answer.as_object().unwrap().len() == 2);
    }

    /// Ends the input; the program must end well.
    fn end(self) {
        let Self {
            mut child,
            input,
            output,
        } = self;
        drop((input, output));
        assert!(child.wait().unwrap().success());
    }
}

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
    let text = include_str!("../../docs/replay.md");
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

/// A little internet: who is refused at which port, seen by a program that knows nothing but the description.
struct Internet {
    /// Round trips to the site, ms.
    far: BTreeMap<&'static str, f64>,
    /// Says how an attempt at the site fails: vantage, port, milliseconds since the beginning.
    fault: fn(&str, u64, f64) -> Option<Value>,
    /// Vantages that never answer.
    dead: &'static [&'static str],
}

impl Internet {
    fn new(fault: fn(&str, u64, f64) -> Option<Value>) -> Self {
        let far = [
            ("you", 30.0),
            ("home-b", 32.0),
            ("fra1", 11.0),
            ("ams1", 14.0),
            ("nyc1", 90.0),
        ];
        Self {
            far: far.into(),
            fault,
            dead: &[],
        }
    }

    fn case(&self) -> Value {
        json!({
            "target": "https://shop.example",
            "vantages": [
                {"id": "you", "asn": 64500, "country": "DE", "region": "eu", "public_address": "203.0.113.7"},
                {"id": "home-b", "asn": 64500, "country": "DE", "region": "eu", "class": "residential"},
                {"id": "fra1", "asn": 64501, "country": "DE", "region": "eu", "class": "datacenter"},
                {"id": "ams1", "asn": 64502, "country": "NL", "region": "eu", "class": "datacenter"},
                {"id": "nyc1", "asn": 64503, "country": "US", "region": "us", "class": "datacenter"},
            ],
            "conditions": {"controls": ["https://control-a.example", "https://control-b.example"]},
        })
    }

    /// What a vantage sees, with the time at which each is known, and the time at which it is done.
    fn answer(&self, ask: &Value, begins: f64) -> (Vec<(f64, Value)>, f64) {
        let vantage = ask["vantage"].as_str().unwrap();
        let request = &ask["request"];
        if self.dead.contains(&vantage) {
            return (
                Vec::new(),
                begins + request["deadline_ms"].as_f64().unwrap(),
            );
        }
        let far = self.far[vantage];
        let patience = request["attempt_timeout_ms"].as_f64().unwrap();
        let control = request["purpose"] == "control";
        let address = if control { "192.0.2.10" } else { SITE };
        let mut now = begins;
        let mut seen = Vec::new();
        let mut see = |at: f64, mut observation: Value| {
            observation["vantage"] = ask["vantage"].clone();
            observation["request"] = request["request"].clone();
            seen.push((at, observation));
        };
        let ordinary = [
            "target",
            "control",
            "retry",
            "address",
            "sibling",
            "other_port",
        ];
        if !ordinary.contains(&request["purpose"].as_str().unwrap()) {
            return (seen, now + 1.0);
        }
        if request["addresses"] == json!([]) {
            now += 8.0;
            see(
                now,
                json!({"stage": "dns", "outcome": "ok", "elapsed_ms": 8, "facts": {"dns": {"record_type": "A", "answers": [address]}}}),
            );
            see(
                now,
                json!({"stage": "dns", "outcome": "no_answer", "elapsed_ms": 8, "facts": {"dns": {"record_type": "AAAA"}}}),
            );
        }
        if request["ping"] == true {
            see(
                now + far,
                json!({"stage": "icmp", "outcome": "ok", "address": address, "elapsed_ms": far}),
            );
        }
        let port = request["target"]["port"].as_u64().unwrap_or(0);
        let fault = (self.fault)(vantage, port, now).filter(|_| !control);
        if let Some(mut fault) = fault {
            let took = if fault["outcome"] == "timeout" {
                patience
            } else {
                far
            };
            fault["address"] = address.into();
            fault["elapsed_ms"] = took.into();
            see(now + took, fault);
            return (seen, now + took);
        }
        for stage in ["tcp", "tls", "http"] {
            now += far;
            let mut ok =
                json!({"stage": stage, "outcome": "ok", "address": address, "elapsed_ms": far});
            if stage == "http" {
                ok["facts"] = json!({"http": {"status": 200}});
            }
            see(now, ok);
            if request["depth"] == stage {
                break;
            }
        }
        (seen, now)
    }

    /// Plays the case to its end: the last answer, and how many milliseconds it took.
    fn play(&self, driver: &mut Driver, begin: f64) -> (Value, f64) {
        let mut events: Vec<(f64, Value)> = Vec::new();
        let mut answer = driver.send(&json!({"now_ms": begin, "case": self.case()}));
        let mut now = begin;
        loop {
            assert_eq!(answer["error"], Value::Null, "{answer}");
            assert_eq!(answer["ignored"], Value::Null, "{answer}");
            for ask in answer["asks"].as_array().unwrap() {
                let (seen, end) = self.answer(ask, now + ask["delay_ms"].as_f64().unwrap());
                events.extend(
                    seen.into_iter()
                        .map(|(at, o)| (at, json!({"observations": [o]}))),
                );
                let done = json!({"vantage": ask["vantage"], "request": ask["request"]["request"]});
                events.push((end, json!({"done": done})));
            }
            if answer["concluded"] == true {
                return (answer, now - begin);
            }
            // Stable: what was seen stands before the word that it is done.
            events.sort_by(|a, b| a.0.total_cmp(&b.0));
            let wakes = answer["wakes_at_ms"].as_f64();
            let first = events.first().map(|(at, _)| *at);
            let mut line = match (wakes, first) {
                (Some(wakes), at) if at.is_none_or(|at| wakes <= at) => {
                    now = wakes;
                    json!({})
                }
                (_, Some(_)) => {
                    let (at, line) = events.remove(0);
                    now = at;
                    line
                }
                (_, None) => json!({"out_of_time": true}),
            };
            assert!(now - begin < 60_000.0, "no end: {answer}");
            line["now_ms"] = now.into();
            answer = driver.send(&line);
        }
    }
}

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

fn opening(driver: &mut Driver) {
    let answer = driver.send(&json!({"now_ms": 10, "case": Internet::new(|_, _, _| None).case()}));
    assert_eq!(answer["asks"].as_array().unwrap().len(), 7, "{answer:#}");
}

fn seen(sequence: u32, stage: &str, more: Value) -> Value {
    let mut all = json!({
        "vantage": "fra1", "request": 1, "sequence": sequence, "stage": stage, "outcome": "ok", "elapsed_ms": 11,
    });
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all
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

fn replay(args: &[&str], report: &str) -> Output {
    let mut child = onlyhere()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses early does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(report.as_bytes());
    child.wait_with_output().unwrap()
}

/// A report of a ban, as the coordinator would write it.
fn report() -> Value {
    let observation = |vantage: &str, sequence: u32, stage: &str, outcome: &str| {
        json!({
            "check": "01JD0000000000000000000000", "request": 1, "sequence": sequence, "vantage": vantage,
            "purpose": "target", "stage": stage, "host": "shop.example", "address": SITE, "port": 443,
            "started_at": "2026-01-02T03:04:05.678Z", "elapsed_ms": 30, "slot": 0, "outcome": outcome,
        })
    };
    let names = |vantage: &str| {
        let mut dns = observation(vantage, 0, "dns", "ok");
        (dns["address"], dns["port"]) = (Value::Null, Value::Null);
        dns["facts"] = json!({"dns": {
            "resolver": "192.0.2.53", "kind": "system", "record_type": "A", "rcode": 0,
            "answers": [{"address": SITE, "ttl_s": 60}], "cname_chain": [],
        }});
        dns
    };
    let vantage = |name: &str, asn: u32| {
        let mut observations = vec![names(name)];
        if name == "you" {
            let mut refused = observation(name, 1, "tcp", "refused");
            refused["by"] = "icmp".into();
            refused["icmp"] = json!({"type": 3, "code": 3, "from": SITE});
            observations.push(observation(name, 2, "icmp", "ok"));
            observations.push(refused);
        } else {
            for (sequence, stage) in [(1, "tcp"), (2, "tls"), (3, "http")] {
                observations.push(observation(name, sequence, stage, "ok"));
            }
        }
        json!({"id": name, "name": name, "asn": asn, "observations": observations})
    };
    json!({
        "schema": "onlyhere.report/1", "id": "01JD0000000000000000000000",
        "started_at": "2026-01-02T03:04:05.678Z", "duration_ms": 412,
        "target": {"input": "https://shop.example", "host": "shop.example", "port": 443, "layer": "https", "path": "/"},
        "verdict": {
            "scope": "global", "mechanism": "refused", "headline": "Refused everywhere", "actor": "site",
            "confidence": 0.9, "intermittent": false, "complete": true, "scopes": {"global": 0.9}, "causes": [],
            "evidence": [], "advisories": [], "next": [],
        },
        "subject": {"vantage": "you", "public_address": "203.0.113.7", "asn": 64500},
        "conditions": {},
        "vantages": [vantage("you", 64500), vantage("home-b", 64500), vantage("fra1", 64501), vantage("nyc1", 64502)],
    })
}

#[test]
fn a_report_is_judged_again_and_printed_like_a_check() {
    let output = replay(&["-", "--format", "json"], &report().to_string());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12), "{stderr}");
    let judged: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(judged["verdict"]["scope"], "source_address", "{judged:#}");
    assert_eq!(judged["verdict"]["causes"][0]["id"], "ip_ban");
    assert_eq!(judged["started_at"], "2026-01-02T03:04:05.678Z");
    assert!(
        stderr
            .contains("the report itself says global; judged again it is source_address (ip_ban)"),
        "{stderr}"
    );

    // Judged a second time it says the same, and nothing on stderr.
    let again = replay(&["-", "--format", "json"], &judged.to_string());
    assert_eq!(String::from_utf8(again.stderr).unwrap(), "");
    assert_eq!(
        serde_json::from_slice::<Value>(&again.stdout).unwrap(),
        judged
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), judged.to_string()).unwrap();
    let text = replay(&[file.path().to_str().unwrap(), "--fail-on", "global"], "");
    assert_eq!(text.status.code(), Some(0));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("Refused from your IP address only (203.0.113.7)"),
        "{text}"
    );
}

#[test]
fn what_is_no_report_is_one_sentence_and_exit_code_2() {
    let with = |pointer: &str, value: Value| {
        let mut report = report();
        *report
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer}")) = value;
        report.to_string()
    };
    let first = "/vantages/0/observations/0";
    let twice = report()["vantages"][0]["observations"][0].clone();
    for (text, says) in [
        (String::new(), "no report"),
        ("\u{0}\u{1b}[31m".to_owned(), "no report"),
        ("[1]".to_owned(), "no report"),
        ("{\"a\": 1}".to_owned(), "missing field `schema`"),
        (
            with("/schema", json!("onlyhere.report/2")),
            "schema is `onlyhere.report/2`",
        ),
        (with("/target/port", json!(null)), "cannot be: target.port"),
        (with("/vantages", json!([])), "0 vantages"),
        (
            with("/vantages/1/id", json!("you")),
            "two vantages are called you",
        ),
        (
            with("/subject/vantage", json!("lyo1")),
            "its subject is lyo1",
        ),
        (
            with(&format!("{first}/vantage"), json!("fra1")),
            "names fra1 as its vantage",
        ),
        (
            with(
                &format!("{first}/check"),
                json!("01JD0000000000000000000001"),
            ),
            "belongs to the check",
        ),
        (
            with(&format!("{first}/sequence"), json!(256)),
            "not below 256",
        ),
        (
            with(
                &format!("{first}/facts/dns/answers/0/address"),
                json!("1.2.3"),
            ),
            "invalid IP address",
        ),
        (with("/vantages/0/observations/1", twice), "is there twice"),
        (
            with("/vantages/0/observations/1/purpose", json!("retry")),
            "another purpose",
        ),
        (
            with("/conditions", json!({"attempt_timeout_ms": -1})),
            "0 or more",
        ),
        (
            format!("{}{}", report(), " ".repeat(17 * 1024 * 1024)),
            "longer than 16777216 bytes",
        ),
    ] {
        let output = replay(&["-"], &text);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{says}: {stderr}");
        assert!(stderr.contains(says), "{says}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!stderr.contains('\u{1b}') && output.stdout.is_empty());
    }
    for (args, says) in [
        (&[][..], "<REPORT>"),
        (&["/nonexistent/report.json"], "cannot be read"),
        (&["report.json", "--stdio"], "cannot be used with"),
        (&["--stdio", "--format", "json"], "cannot be used with"),
    ] {
        let output = replay(args, "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}
