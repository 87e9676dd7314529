//! `onlyhere replay` through the program itself: reports judged again, and sessions driven by lines as a stranger would.

mod lines;
mod reports;
mod simulator;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use serde_json::{Value, json};

pub(crate) const SITE: &str = "198.51.100.80";

pub(crate) fn onlyhere() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere"));
    command.arg("replay").env_clear();
    command
}

/// The other end of a session.
pub(crate) struct Driver {
    pub(crate) child: Child,
    pub(crate) input: ChildStdin,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Driver {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn send(&mut self, line: &Value) -> Value {
        self.send_text(&line.to_string())
    }

    pub(crate) fn send_text(&mut self, line: &str) -> Value {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{line}\n{answer}\n{e}"))
    }

    pub(crate) fn refused(&mut self, line: &str, says: &str) {
        let answer = self.send_text(line);
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{line}: {answer}"));
        assert!(error.contains(says), "{line}: {error}");
        assert!(answer["line"].is_u64() && answer.as_object().unwrap().len() == 2);
    }

    /// Ends the input; the program must end well.
    pub(crate) fn end(self) {
        let Self {
            mut child,
            input,
            output,
        } = self;
        drop((input, output));
        assert!(child.wait().unwrap().success());
    }
}

/// A little internet: who is refused at which port, seen by a program that knows nothing but the description.
pub(crate) struct Internet {
    /// Round trips to the site, ms.
    pub(crate) far: BTreeMap<&'static str, f64>,
    /// Says how an attempt at the site fails: vantage, port, milliseconds since the beginning.
    pub(crate) fault: fn(&str, u64, f64) -> Option<Value>,
    /// Vantages that never answer.
    pub(crate) dead: &'static [&'static str],
}

impl Internet {
    pub(crate) fn new(fault: fn(&str, u64, f64) -> Option<Value>) -> Self {
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

    pub(crate) fn case(&self) -> Value {
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
    pub(crate) fn answer(&self, ask: &Value, begins: f64) -> (Vec<(f64, Value)>, f64) {
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
    pub(crate) fn play(&self, driver: &mut Driver, begin: f64) -> (Value, f64) {
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

pub(crate) fn seen(sequence: u32, stage: &str, more: Value) -> Value {
    let mut all = json!({
        "vantage": "fra1", "request": 1, "sequence": sequence, "stage": stage, "outcome": "ok", "elapsed_ms": 11,
    });
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all
}

pub(crate) fn replay(args: &[&str], report: &str) -> Output {
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
pub(crate) fn report() -> Value {
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
