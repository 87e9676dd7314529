//! Compares what `onlyhere check` did with what the scenario expects. Pure: text in, misses out.

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

use super::file::{Expect, ExpectAdvisory};
use crate::LabError;
use crate::stage::CheckRun;

/// Knows the report's published schema.
#[derive(Debug)]
pub struct Judge {
    schema: Validator,
}

/// The outcome of one scenario.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was got, in the words of the table.
    pub got: String,
    /// Every difference from what was expected; none means that the scenario came out right.
    pub misses: Vec<String>,
    /// The report, where there was one.
    pub report: Option<Value>,
}

impl Judge {
    /// Reads the JSON schema of the report.
    pub fn new(schema: &Path) -> Result<Self, LabError> {
        let text =
            std::fs::read_to_string(schema).map_err(|error| LabError::bad_file(schema, error))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| LabError::bad_file(schema, error))?;
        let schema =
            jsonschema::validator_for(&value).map_err(|error| LabError::bad_file(schema, error))?;
        Ok(Self { schema })
    }

    /// Lists every way in which a check differs from what was expected.
    pub fn judge(&self, expect: &Expect, run: &CheckRun) -> Judged {
        let mut misses = Vec::new();
        match run.exit {
            Some(exit) if exit == i32::from(expect.exit) => {}
            Some(exit) => misses.push(format!("exit code {exit}, not {}", expect.exit)),
            None => misses.push("it did not end within a minute".into()),
        }
        let seconds = run.elapsed.as_secs_f64();
        if seconds > expect.max_seconds {
            misses.push(format!(
                "{seconds:.1} s are more than {} s",
                expect.max_seconds
            ));
        }
        let report: Value = match serde_json::from_str(&run.stdout) {
            Ok(report) => report,
            Err(error) => {
                misses.push(format!("standard output is not one JSON object: {error}"));
                return Judged {
                    got: exit_alone(run),
                    misses,
                    report: None,
                };
            }
        };
        misses.extend(
            self.schema
                .iter_errors(&report)
                .take(5)
                .map(|error| format!("schema: {error} at {}", error.instance_path())),
        );
        misses.extend(compare(expect, &report["verdict"]));
        Judged {
            got: in_short(&report["verdict"], run),
            misses,
            report: Some(report),
        }
    }
}

fn compare(expect: &Expect, verdict: &Value) -> Vec<String> {
    let mut misses = Vec::new();
    let mut same = |what: &str, wanted: &str| {
        let got = &verdict[what];
        if got.as_str() != Some(wanted) {
            misses.push(format!("{what} is {got}, not {wanted:?}"));
        }
    };
    same("scope", &expect.scope);
    same("mechanism", &expect.mechanism);
    if let Some(actor) = &expect.actor {
        same("actor", actor);
    }
    if let Some(wanted) = expect.intermittent
        && verdict["intermittent"] != Value::Bool(wanted)
    {
        misses.push(format!(
            "intermittent is {}, not {wanted}",
            verdict["intermittent"]
        ));
    }
    if verdict["complete"] != Value::Bool(true) {
        misses.push("the verdict is not complete".into());
    }
    if let Some(wanted) = &expect.causes
        && !accepts(wanted, first_cause(verdict))
    {
        let got = first_cause(verdict).unwrap_or("none");
        misses.push(format!("first cause is {got}, not {}", or(wanted)));
    }
    if let Some(start) = &expect.headline
        && !verdict["headline"]
            .as_str()
            .is_some_and(|headline| headline.starts_with(start))
    {
        misses.push(format!(
            "the headline is {}, which does not begin with {start:?}",
            verdict["headline"]
        ));
    }
    let everything = verdict.to_string().to_lowercase();
    for words in &expect.mentions {
        if !everything.contains(&words.to_lowercase()) {
            misses.push(format!("the verdict nowhere says {words:?}"));
        }
    }
    if let Some(advisory) = &expect.advisory
        && !advises(verdict, advisory)
    {
        misses.push(format!(
            "no advisory about {}, but {}",
            advisory.vantage, verdict["advisories"]
        ));
    }
    misses
}

fn accepts(wanted: &[String], got: Option<&str>) -> bool {
    got.map_or(wanted.is_empty(), |got| {
        wanted.iter().any(|cause| cause == got)
    })
}

fn first_cause(verdict: &Value) -> Option<&str> {
    verdict["causes"].get(0)?["id"].as_str()
}

fn advises(verdict: &Value, wanted: &ExpectAdvisory) -> bool {
    let advisories = verdict["advisories"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    advisories.iter().any(|advisory| {
        let named = advisory["vantages"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name == &wanted.vantage));
        named
            && wanted
                .cause
                .as_ref()
                .is_none_or(|cause| advisory["cause"] == cause.as_str())
    })
}

fn in_short(verdict: &Value, run: &CheckRun) -> String {
    let word = |what: &str| verdict[what].as_str().unwrap_or("?").to_owned();
    let exit = run.exit.map_or("killed".into(), |exit| exit.to_string());
    format!(
        "{} {} {} {exit}",
        word("scope"),
        first_cause(verdict).unwrap_or("-"),
        word("mechanism")
    )
}

fn exit_alone(run: &CheckRun) -> String {
    run.exit.map_or("no report, killed".into(), |exit| {
        format!("no report, exit {exit}")
    })
}

fn or(causes: &[String]) -> String {
    if causes.is_empty() {
        "none".into()
    } else {
        causes.join(" or ")
    }
}

impl Expect {
    /// The expectation in the words of the table.
    pub fn in_short(&self) -> String {
        let causes = match self.causes.as_deref() {
            None => "any".into(),
            Some([]) => "-".into(),
            Some(causes) => causes.join("|"),
        };
        format!("{} {causes} {} {}", self.scope, self.mechanism, self.exit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn expect() -> Expect {
        Expect {
            scope: "source_address".into(),
            mechanism: "refused".into(),
            causes: Some(vec!["ip_ban".into()]),
            exit: 12,
            headline: Some("Refused from your IP address only (".into()),
            actor: None,
            intermittent: Some(false),
            mentions: vec!["Other Networks".into()],
            advisory: Some(ExpectAdvisory {
                vantage: "nyc".into(),
                cause: None,
            }),
            max_seconds: 3.0,
        }
    }

    fn right() -> Value {
        json!({ "verdict": {
            "scope": "source_address", "mechanism": "refused", "complete": true, "intermittent": false,
            "headline": "Refused from your IP address only (198.18.3.20)",
            "causes": [{"id": "ip_ban"}],
            "evidence": [{"says": "5 of 5 other networks connect"}],
            "advisories": [{"says": "nyc is broken", "vantages": ["nyc"]}],
        }})
    }

    fn misses(report: &Value, exit: i32, seconds: u64) -> Vec<String> {
        let schema = jsonschema::validator_for(&json!({})).expect("everything is allowed");
        let run = CheckRun {
            exit: Some(exit),
            elapsed: Duration::from_secs(seconds),
            stdout: report.to_string(),
            stderr: String::new(),
        };
        Judge { schema }.judge(&expect(), &run).misses
    }

    #[test]
    fn the_right_report_has_no_miss() {
        assert_eq!(misses(&right(), 12, 1), Vec::<String>::new());
    }

    #[test]
    fn every_single_difference_is_a_miss() {
        assert_eq!(misses(&right(), 16, 1), ["exit code 16, not 12"]);
        assert_eq!(misses(&right(), 12, 4), ["4.0 s are more than 3 s"]);
        for (pointer, wrong) in [
            ("/verdict/scope", json!("global")),
            ("/verdict/mechanism", json!("timeout")),
            ("/verdict/complete", json!(false)),
            ("/verdict/intermittent", json!(true)),
            ("/verdict/headline", json!("Refused everywhere")),
            ("/verdict/causes/0/id", json!("service_down")),
            ("/verdict/causes", json!([])),
            ("/verdict/evidence", json!([])),
            ("/verdict/advisories", json!([])),
            ("/verdict/advisories/0/vantages", json!(["fra"])),
        ] {
            let mut report = right();
            *report.pointer_mut(pointer).expect("the place exists") = wrong;
            assert_eq!(misses(&report, 12, 1).len(), 1, "{pointer}");
        }
    }

    #[test]
    fn a_report_that_breaks_the_schema_is_a_miss() {
        let schema = json!({"type": "object", "required": ["schema"]});
        let judge = Judge {
            schema: jsonschema::validator_for(&schema).expect("a schema"),
        };
        let run = CheckRun {
            exit: Some(12),
            elapsed: Duration::ZERO,
            stdout: right().to_string(),
            stderr: String::new(),
        };
        let misses = judge.judge(&expect(), &run).misses;
        assert!(
            matches!(misses.as_slice(), [miss] if miss.starts_with("schema: ")),
            "{misses:?}"
        );
    }

    #[test]
    fn no_report_is_a_miss() {
        let judge = Judge {
            schema: jsonschema::validator_for(&json!({})).expect("a schema"),
        };
        let run = CheckRun {
            exit: None,
            elapsed: Duration::ZERO,
            stdout: String::new(),
            stderr: String::new(),
        };
        let judged = judge.judge(&expect(), &run);
        assert_eq!(judged.misses.len(), 2, "{:?}", judged.misses);
        assert_eq!(judged.got, "no report, killed");
    }
}
