//! Text of strangers breaks out of no format: whatever stands in a report's sentences and names, a reader of the format
//! finds the same structure as with harmless text.

use onlyhere_cli::{
    answer::Answer,
    render::{explain, github, junit, markdown, text, ticket},
    standing::{Demands, Standing},
};
use onlyhere_proto::{Advisory, CauseId, Mechanism, Outcome, Report, Scope};
use proptest::prelude::*;
use pulldown_cmark::{Event as Markdown, Options, Parser, Tag, TagEnd};
use quick_xml::{Reader, events::Event as Xml};

use crate::sample::{Seen, cause, evidence, fleet, report};

/// What means something to one of the formats, or to who shows it.
const PIECES: &[&str] = &[
    "\n",
    "\r\n",
    "\t",
    " ",
    "     ",
    "`",
    "```",
    "|",
    "\\",
    "\\|",
    "|---|",
    "<b>",
    "<!--",
    "-->",
    "<script>",
    "]]>",
    "<![CDATA[",
    "</failure>",
    "\"/>",
    "&lt;",
    "&#10;",
    "&",
    "](http://e.example)",
    "![x](http://e.example/x.png)",
    "[x]: http://e.example",
    "<http://e.example>",
    "http://e.example",
    "www.e.example",
    "a@e.example",
    "@all",
    "#1",
    "!1",
    "$x$",
    "# ",
    "## ",
    "- ",
    "+ ",
    "* ",
    "1. ",
    "1) ",
    "> ",
    "===",
    "---",
    "***",
    "**",
    "_",
    "~~",
    "~",
    "::error::",
    "::set-output name=a::b",
    "##[error]",
    "%0A",
    "%",
    ":",
    ",",
    "=",
    "\u{0}",
    "\u{b}",
    "\u{1b}[2J",
    "\u{1b}]8;;http://e\u{7}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "\u{fffe}",
    "\u{ffff}",
    "x",
    "shop",
    "'",
    "\"",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

/// A report in which a text of a stranger stands wherever one can.
fn with(words: &[String; 6]) -> Report {
    let [headline, title, fix, says, advice, name] = words;
    let seen = |vantage: &str| match vantage {
        "you" => Seen::both(Outcome::Refused),
        "fra1" => Seen::both(Outcome::NotMeasured),
        _ => Seen::both(Outcome::Ok),
    };
    let mut report = report("https://shop.example", fleet(seen), Scope::SourceAddress);
    let verdict = &mut report.verdict;
    verdict.mechanism = Mechanism::Refused;
    verdict.headline = headline.clone();
    let mut first = cause(CauseId::IpBan, 0.5, title);
    (first.fix, first.confirm) = (
        vec![fix.clone(), says.clone()],
        vec![format!("{advice}, confirmed")],
    );
    first.time_to_fix = "1-2 minutes".into();
    let mut second = cause(CauseId::WafBlock, 0.4, fix);
    second.fix = vec![title.clone()];
    verdict.causes = vec![first, second];
    verdict.evidence = vec![evidence(1, says), evidence(2, headline)];
    verdict.advisories = vec![Advisory {
        says: advice.clone(),
        cause: None,
        vantages: Vec::new(),
    }];
    verdict.next = vec![format!("{name}, {title}, and more")];
    report.vantages[1].vantage.name = name.clone();
    report.vantages[2].vantage.region = Some(advice.clone());
    report.vantages[3].vantage.country = Some(says.clone());
    report.target.input = format!("https://shop.example/{name}");
    report
}

fn answer(report: &Report) -> Answer<'_> {
    Answer {
        report,
        alone: Some("no coordinator is set"),
        standing: Standing::of(report, &Demands::default()),
    }
}

/// Blocks and inline markup but code spans, in order, and all text that is no code.
fn read_markdown(text: &str) -> (Vec<String>, String) {
    let gfm = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let (mut tags, mut prose) = (Vec::new(), String::new());
    for event in Parser::new_ext(text, gfm) {
        match event {
            Markdown::Start(tag @ (Tag::Link { .. } | Tag::Image { .. })) => panic!("{tag:?}"),
            Markdown::Start(tag) => tags.push(format!("{tag:?}")),
            Markdown::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell) => prose.push('\n'),
            Markdown::End(tag) => tags.push(format!("end {tag:?}")),
            Markdown::Text(text) => prose.push_str(&text),
            // Its place, so that no two texts grow together.
            Markdown::Code(_) => prose.push('\u{fffc}'),
            other => tags.push(format!("{other:?}")),
        }
    }
    (tags, prose)
}

/// Elements with the names of their attributes, in order.
fn read_xml(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    let mut found = Vec::new();
    loop {
        match reader.read_event().expect("well-formed") {
            Xml::Eof => return found,
            Xml::Start(tag) | Xml::Empty(tag) => {
                let mut said = tag.name().as_ref().to_owned();
                for attribute in tag.attributes() {
                    let attribute = attribute.expect("well-formed");
                    said += &format!(" {}", attribute.key.as_ref());
                }
                found.push(said);
            }
            Xml::End(tag) => found.push(format!("end {:?}", tag.name())),
            Xml::Decl(_) | Xml::Text(_) | Xml::GeneralRef(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// XML 1.0, section 2.2.
fn is_allowed_in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn strangers_break_out_of_no_format(words in prop::array::uniform6(hostile())) {
        let harmless = with(&std::array::from_fn(|number| format!("x{number}")));
        // No two are the same: what is said twice is written once.
        let words = std::array::from_fn(|number| format!("{}{number}", words[number]));
        let report = with(&words);
        let (answer, harmless) = (answer(&report), answer(&harmless));

        let written = markdown::answer(&answer);
        let (tags, prose) = read_markdown(&written);
        prop_assert_eq!(tags, read_markdown(&markdown::answer(&harmless)).0, "{}", written);
        for turned in ["://", "www.", "@", "#"] {
            prop_assert!(!prose.contains(turned), "{}: {}", turned, written);
        }

        for redact in [false, true] {
            let written = ticket::markdown(&report, redact);
            let (tags, prose) = read_markdown(&written);
            let other = ticket::markdown(harmless.report, redact);
            prop_assert_eq!(tags, read_markdown(&other).0, "{}", written);
            prop_assert!(!prose.contains(['@', '#']), "{}", written);
        }

        let written = junit::answer(&answer).unwrap();
        prop_assert_eq!(read_xml(&written), read_xml(&junit::answer(&harmless).unwrap()));
        prop_assert!(written.chars().all(is_allowed_in_xml), "{:?}", written);

        let written = github::commands(&answer);
        prop_assert_eq!(written.lines().count(), 2, "{:?}", written);
        for (line, begins) in written.lines().zip([
            "::error title=onlyhere%3A source_address::https://shop.example/",
            "::notice title=onlyhere%3A also seen::",
        ]) {
            prop_assert!(line.starts_with(begins), "{:?}", line);
            prop_assert!(!line.contains(char::is_control), "{:?}", line);
        }

        for drawn in [text::answer(&answer, 80), explain::answer(&answer, 80)] {
            let shown = anstream::adapter::strip_str(&drawn).to_string();
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{:?}", shown);
        }
    }
}
