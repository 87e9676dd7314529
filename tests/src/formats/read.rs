//! Reads each format as those read it who use it, and finds the verdict in it. The error says what is wrong.

use std::path::Path;

use jsonschema::Validator;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use quick_xml::events::{BytesStart, Event as Xml};

use crate::LabError;

/// Columns of a terminal that does not say.
const WIDTH: usize = 80;

/// Knows the report's published schema.
#[derive(Debug)]
pub(super) struct Reader {
    schema: Validator,
}

impl Reader {
    pub(super) fn new(schema: &Path) -> Result<Self, LabError> {
        let bad = |error: String| LabError::bad_file(schema, error);
        let text = std::fs::read_to_string(schema).map_err(|error| bad(error.to_string()))?;
        let value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let schema = jsonschema::validator_for(&value).map_err(|error| bad(error.to_string()))?;
        Ok(Self { schema })
    }

    pub(super) fn read(
        &self,
        format: &str,
        printed: &str,
        scope: &str,
        exit: i32,
    ) -> Result<(), String> {
        match format {
            "text" => text(printed, scope),
            "json" => self.json(printed, scope),
            "markdown" => markdown(printed, scope),
            "junit" => junit(printed, scope, exit),
            "github" => github(printed, scope, exit),
            other => Err(format!("nobody reads {other}")),
        }
    }

    fn json(&self, printed: &str, scope: &str) -> Result<(), String> {
        let report: serde_json::Value =
            serde_json::from_str(printed).map_err(|error| error.to_string())?;
        if let Some(error) = self.schema.iter_errors(&report).next() {
            return Err(format!("against the schema: {error}"));
        }
        expect(
            "scope",
            report["verdict"]["scope"].as_str().unwrap_or_default(),
            scope,
        )
    }
}

fn expect(what: &str, got: &str, expected: &str) -> Result<(), String> {
    match got == expected {
        true => Ok(()),
        false => Err(format!("{what} {got:?}, not {expected:?}")),
    }
}

fn text(printed: &str, scope: &str) -> Result<(), String> {
    let symbol = match scope {
        "ok" => "✓ ",
        "inconclusive" => "? ",
        _ => "✗ ",
    };
    if !printed.starts_with(symbol) {
        return Err(format!("it does not begin with {symbol}"));
    }
    let wide = printed.lines().find(|line| line.chars().count() > WIDTH);
    let steers = printed.contains(|c: char| c.is_control() && c != '\n');
    match (wide, steers) {
        (Some(line), _) => Err(format!("longer than {WIDTH} columns: {line}")),
        (_, true) => Err("a control character in a pipe".to_owned()),
        _ if !printed.contains("\nVantages\n") => Err("no table of vantages".to_owned()),
        _ => Ok(()),
    }
}

/// One heading of the second level, the scope as code, and one table with cells in every column.
fn markdown(printed: &str, scope: &str) -> Result<(), String> {
    let (mut titles, mut tables, mut columns, mut scopes) = (0, 0, 0, 0);
    let mut cells = 0;
    for event in Parser::new_ext(printed, Options::ENABLE_TABLES | Options::ENABLE_GFM) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                titles += usize::from(level == HeadingLevel::H2);
            }
            Event::Start(Tag::Table(aligned)) => {
                tables += 1;
                columns = aligned.len();
            }
            Event::Start(Tag::TableHead | Tag::TableRow) => cells = 0,
            Event::Start(Tag::TableCell) => cells += 1,
            Event::End(TagEnd::TableHead | TagEnd::TableRow) if cells != columns => {
                return Err(format!(
                    "a row of {cells} cells in a table of {columns} columns"
                ));
            }
            Event::Code(code) => scopes += usize::from(&*code == scope),
            Event::Html(html) | Event::InlineHtml(html) => return Err(format!("HTML: {html}")),
            Event::Start(tag @ (Tag::Link { .. } | Tag::Image { .. })) => {
                return Err(format!("{tag:?}"));
            }
            _ => {}
        }
    }
    match (titles, tables, scopes) {
        (1, 1, 1..) => Ok(()),
        _ => Err(format!(
            "{titles} titles, {tables} tables, {scopes} times the scope"
        )),
    }
}

/// The counts of the suite are those of the elements in it, and the one case has come out as the exit code says.
fn junit(printed: &str, scope: &str, exit: i32) -> Result<(), String> {
    let mut reader = quick_xml::Reader::from_str(printed);
    let (mut path, mut found) = (Vec::new(), Vec::new());
    let mut counts = String::new();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Xml::Eof => break,
            Xml::Start(tag) => {
                note(&tag, &mut counts, &mut found)?;
                path.push(tag.name().as_ref().to_owned());
            }
            Xml::Empty(tag) => note(&tag, &mut counts, &mut found)?,
            Xml::End(_) => {
                path.pop();
            }
            _ => {}
        }
    }
    let came_out = match (exit, scope) {
        (0, "ok") => "",
        (0, _) => "skipped",
        (17, _) => "error",
        _ => "failure",
    };
    expect("the case", &found.join(" "), came_out)?;
    let one = |name: &str| u8::from(came_out == name);
    let expected = format!(
        "tests=1 failures={} errors={} skipped={}",
        one("failure"),
        one("error"),
        one("skipped")
    );
    expect("the suite", &counts, &expected)?;
    match path.is_empty() && printed.contains(&format!("name=\"scope\" value=\"{scope}\"")) {
        true => Ok(()),
        false => Err("the property `scope` is missing".to_owned()),
    }
}

fn note(tag: &BytesStart<'_>, counts: &mut String, found: &mut Vec<String>) -> Result<(), String> {
    let name = tag.name().as_ref().to_owned();
    let mut all = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = attribute.key.as_ref().to_owned();
        if ["tests", "failures", "errors", "skipped"].contains(&key.as_str()) {
            all.push(format!("{key}={}", attribute.value));
        }
    }
    match name.as_str() {
        "testsuite" => *counts = all.join(" "),
        "failure" | "error" | "skipped" => found.push(name),
        _ => {}
    }
    Ok(())
}

/// Lines of workflow commands, the first of them the verdict.
fn github(printed: &str, scope: &str, exit: i32) -> Result<(), String> {
    for (number, line) in printed.lines().enumerate() {
        let command = line
            .strip_prefix("::")
            .and_then(|rest| rest.split_once("::"));
        let Some((command, message)) = command else {
            return Err(format!("no command: {line}"));
        };
        if message.is_empty() {
            return Err(format!("no message: {line}"));
        }
        if number == 0 {
            let level = match (exit, scope) {
                (0, "ok") => "notice",
                (0, _) => "warning",
                _ => "error",
            };
            expect(
                "the command",
                command,
                &format!("{level} title=onlyhere%3A {scope}"),
            )?;
        }
    }
    match printed.is_empty() {
        true => Err("no command at all".to_owned()),
        false => Ok(()),
    }
}

/// Lines `name=value`.
pub(super) fn outputs(written: &str, scope: &str, exit: i32) -> Result<(), String> {
    let value = |name: &str| {
        let mut lines = written.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    expect("output scope", value("scope"), scope)?;
    expect("output exit_code", value("exit_code"), &exit.to_string())?;
    match value("report_id").len() {
        26 => Ok(()),
        _ => Err(format!("no report id: {written}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_refused() {
        let table = "## ✗ a\n\n`local`\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n";
        assert_eq!(markdown(table, "local"), Ok(()));
        for broken in [
            table.replace("| --- | --- |", "| --- |"),
            table.replace("`local`", "local"),
            table.replace("✗ a", "<b>a</b>"),
            table.replace("✗ a", "[a](http://b)"),
        ] {
            assert!(markdown(&broken, "local").is_err(), "{broken}");
        }

        let suite = r#"<testsuite tests="1" failures="1" errors="0" skipped="0">
            <property name="scope" value="local"/><testcase><failure/></testcase></testsuite>"#;
        assert_eq!(junit(suite, "local", 10), Ok(()));
        for broken in [
            suite.replace("failures=\"1\"", "failures=\"0\""),
            suite.replace("<failure/>", ""),
            suite.replace("<failure/>", "<skipped/>"),
            suite.replace("</testcase>", ""),
            suite.replace("value=\"local\"", "value=\"global\""),
        ] {
            assert!(junit(&broken, "local", 10).is_err(), "{broken}");
        }

        let command = "::error title=onlyhere%3A local::a\n";
        assert_eq!(github(command, "local", 10), Ok(()));
        for broken in [
            String::new(),
            format!("{command}a\n"),
            command.replace("error", "notice"),
            command.replace("local", "global"),
        ] {
            assert!(github(&broken, "local", 10).is_err(), "{broken}");
        }
        assert!(text("✓ a\nVantages\n", "ok").is_ok());
        assert!(text("✓ a\x1b[m\nVantages\n", "ok").is_err());
        assert!(text("✗ a\nVantages\n", "ok").is_err());
    }
}
