//! The verdict as JUnit XML, one suite with one test case, in the dialect that Jenkins and GitLab both read: the schema
//! `junit-10.xsd` of Jenkins's xunit plugin, and GitLab's table of parsed attributes.
//!
//! Failed is a fault that counts, skipped one that does not (it has not passed either), an error what could not be
//! decided. XML 1.0 forbids some characters altogether, even as references; they are replaced.

use std::io::{self, Write};

use anstream::adapter::strip_str;
use onlyhere_proto::Report;
use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use super::{page::clean, text};
use crate::{answer::Answer, standing::Standing};

/// Columns of the report inside.
const WIDTH: usize = 80;

/// Writes an answer as a document.
pub fn answer(answer: &Answer<'_>) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let report = answer.report;
    let counts = counts(&answer.standing);
    let time = seconds(report);
    writer
        .create_element("testsuites")
        .with_attribute(("name", "onlyhere"))
        .with_attributes(counts)
        .with_attribute(("time", time.as_str()))
        .write_inner_content(|writer| suite(writer, answer, counts, &time))?;
    writer.get_mut().write_all(b"\n")?;
    String::from_utf8(writer.into_inner()).map_err(io::Error::other)
}

fn counts(standing: &Standing) -> [(&'static str, &'static str); 3] {
    let (failures, errors) = match standing {
        Standing::Passed | Standing::Tolerated(_) => ("0", "0"),
        Standing::Failed(..) => ("1", "0"),
        Standing::Undecided(_) => ("0", "1"),
    };
    [("tests", "1"), ("failures", failures), ("errors", errors)]
}

/// With three decimals.
fn seconds(report: &Report) -> String {
    format!("{:.3}", report.duration_ms.as_millis() / 1_000.0)
}

fn suite(
    writer: &mut Writer<Vec<u8>>,
    answer: &Answer<'_>,
    counts: [(&str, &str); 3],
    time: &str,
) -> io::Result<()> {
    let report = answer.report;
    let skipped = match answer.standing {
        Standing::Tolerated(_) => "1",
        _ => "0",
    };
    let started = report.started_at.to_string();
    writer
        .create_element("testsuite")
        .with_attribute(("name", "onlyhere check"))
        .with_attributes(counts)
        .with_attribute(("skipped", skipped))
        .with_attribute(("time", time))
        // Without a zone, as Ant wrote it; it is UTC.
        .with_attribute(("timestamp", started.get(..19).unwrap_or(&started)))
        .write_inner_content(|writer| {
            properties(writer, answer)?;
            case(writer, answer, time)
        })?;
    Ok(())
}

fn properties(writer: &mut Writer<Vec<u8>>, answer: &Answer<'_>) -> io::Result<()> {
    let report = answer.report;
    let cause = report.verdict.causes.first().map(|cause| cause.id.label());
    let code = answer.standing.exit_code().to_string();
    let all = [
        ("report", report.id.as_str()),
        ("scope", report.verdict.scope.label()),
        ("cause", cause.unwrap_or_default()),
        ("exit_code", code.as_str()),
    ];
    writer
        .create_element("properties")
        .write_inner_content(|writer| {
            for (name, value) in all.into_iter().filter(|(_, value)| !value.is_empty()) {
                writer
                    .create_element("property")
                    .with_attribute(("name", name))
                    .with_attribute(("value", allowed(value).as_str()))
                    .write_empty()?;
            }
            Ok(())
        })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, answer: &Answer<'_>, time: &str) -> io::Result<()> {
    let report = answer.report;
    let target = allowed(&report.target.input);
    let headline = allowed(&report.verdict.headline);
    let body = allowed_lines(&strip_str(&text::answer(answer, WIDTH)).to_string());
    writer
        .create_element("testcase")
        .with_attribute(("classname", "onlyhere.check"))
        .with_attribute(("name", target.as_str()))
        .with_attribute(("time", time))
        .write_inner_content(|writer| {
            let element = match &answer.standing {
                Standing::Passed => return output(writer, &body),
                Standing::Failed(..) => "failure",
                Standing::Undecided(_) => "error",
                Standing::Tolerated(why) => {
                    let message = format!("{headline}; {}", allowed(why));
                    writer
                        .create_element("skipped")
                        .with_attribute(("message", message.as_str()))
                        .write_empty()?;
                    return output(writer, &body);
                }
            };
            writer
                .create_element(element)
                .with_attribute(("message", headline.as_str()))
                .with_attribute(("type", report.verdict.scope.label()))
                .write_text_content(BytesText::new(&body))?;
            Ok(())
        })?;
    Ok(())
}

fn output(writer: &mut Writer<Vec<u8>>, body: &str) -> io::Result<()> {
    writer
        .create_element("system-out")
        .write_text_content(BytesText::new(body))?;
    Ok(())
}

/// One line of what XML 1.0 allows (section 2.2, `Char`).
fn allowed(text: &str) -> String {
    clean(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// The same, line by line.
fn allowed_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(allowed).collect();
    lines.join("\n")
}
