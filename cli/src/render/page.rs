//! A page of text: paragraphs wrapped to a width, with a lead in the margin and `code` set off.

use std::fmt::Write;

use anstyle::Style;
use console::measure_text_width;
use onlyhere_proto::limits::steers;

use super::style::{CODE, PLAIN};

/// Replaces everything that could steer a terminal or turn the reading direction of what follows.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Columns a text takes on a terminal.
pub(super) fn width_of(text: &str) -> usize {
    measure_text_width(text)
}

/// Cuts a text to `width` columns, with an ellipsis where something is lost.
pub(super) fn fit(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        if width_of(&cut) + width_of(c.encode_utf8(&mut [0; 4])) + 1 > width {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

/// Text with styles, line by line.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    width: usize,
}

impl Page {
    pub(super) fn new(width: usize) -> Self {
        Self {
            text: String::new(),
            width,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Spans one after the other on one line, not wrapped.
    pub(super) fn line(&mut self, spans: &[(&str, Style)]) {
        let start = self.text.len();
        for (text, style) in spans {
            self.push(text, *style);
        }
        // Padding of the last column is nothing but noise in a pipe.
        let end = self.text.trim_end_matches(' ').len().max(start);
        self.text.truncate(end);
        self.text.push('\n');
    }

    /// `lead`, then `text` wrapped from column `hang` on.
    pub(super) fn paragraph(
        &mut self,
        lead: &str,
        lead_style: Style,
        hang: usize,
        text: &str,
        style: Style,
    ) {
        let room = self.width.saturating_sub(hang).max(20);
        self.push(lead, lead_style);
        let pad = hang.saturating_sub(width_of(lead));
        self.text.extend(std::iter::repeat_n(' ', pad));
        for (number, line) in wrap(&clean(text), room).iter().enumerate() {
            if number > 0 {
                self.text.extend(std::iter::repeat_n(' ', hang));
            }
            for (text, is_code) in spans(line) {
                self.push(&text, if is_code { CODE } else { style });
            }
            self.text.push('\n');
        }
    }

    fn push(&mut self, text: &str, style: Style) {
        let text = clean(text);
        if style == PLAIN || text.is_empty() {
            self.text.push_str(&text);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{style}{text}{style:#}");
        }
    }
}

/// A line in turns of other text and `code`; the punctuation around code is none of it.
fn spans(line: &[String]) -> Vec<(String, bool)> {
    let mut spans: Vec<(String, bool)> = Vec::new();
    let mut add = |text: &str, is_code: bool| match spans.last_mut() {
        Some((last, of)) if *of == is_code => last.push_str(text),
        _ => spans.push((text.to_owned(), is_code)),
    };
    for (number, token) in line.iter().enumerate() {
        if number > 0 {
            add(" ", false);
        }
        match (token.find('`'), token.rfind('`')) {
            (Some(first), Some(last)) if first < last => {
                add(&token[..first], false);
                add(&token[first..=last], true);
                add(&token[last + 1..], false);
            }
            // A part of a span that fits no line.
            (Some(_), _) => add(token, true),
            (None, _) => add(token, false),
        }
    }
    spans.retain(|(text, _)| !text.is_empty());
    spans
}

/// Lines of tokens, each line at most `room` columns wide.
fn wrap(text: &str, room: usize) -> Vec<Vec<String>> {
    let mut lines = vec![Vec::new()];
    let mut used = 0;
    for token in tokens(text, room) {
        let width = width_of(&token);
        if used > 0 && used + 1 + width > room {
            lines.push(Vec::new());
            used = 0;
        }
        used += width + usize::from(used > 0);
        if let Some(line) = lines.last_mut() {
            line.push(token);
        }
    }
    lines
}

/// Words, and `code spans` whole where they fit a line; what fits no line is cut into pieces.
fn tokens(text: &str, room: usize) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        let joined = match tokens.last_mut() {
            Some(last)
                if (open || is_unit_of(last, word))
                    && width_of(last) + 1 + width_of(word) <= room =>
            {
                last.push(' ');
                last.push_str(word);
                true
            }
            _ => false,
        };
        if !joined {
            tokens.extend(pieces(word, room));
        }
        if word.matches('`').count() % 2 == 1 {
            open = !open;
        }
    }
    tokens
}

/// A number is not parted from its unit.
fn is_unit_of(number: &str, word: &str) -> bool {
    let unit = word.trim_end_matches([',', '.', ';', ':', ')']);
    matches!(unit, "ms" | "s" | "min") && number.ends_with(|c: char| c.is_ascii_digit())
}

fn pieces(word: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in word.chars() {
        let width = width_of(c.encode_utf8(&mut [0; 4]));
        if used + width > room {
            pieces.push(String::new());
            used = 0;
        }
        used += width;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: usize, lead: &str, hang: usize, text: &str) -> String {
        let mut page = Page::new(width);
        page.paragraph(lead, PLAIN, hang, text, PLAIN);
        anstream::adapter::strip_str(&page.finish()).to_string()
    }

    #[test]
    fn paragraphs_hang_and_keep_code_whole() {
        assert_eq!(
            page(
                30,
                "  1.",
                5,
                "run `fail2ban-client status` on the server, then look"
            ),
            "  1. run\n     `fail2ban-client status`\n     on the server, then look\n"
        );
        assert_eq!(page(40, "", 0, ""), "\n");
        assert_eq!(
            page(24, "", 0, "it connects after all in 31 ms, they say"),
            "it connects after all in\n31 ms, they say\n"
        );
    }

    #[test]
    fn the_punctuation_around_code_is_none_of_it() {
        let line = ["see", "(`nginx -t`),", "`ss -tlnp`"].map(str::to_owned);
        let code: Vec<_> = spans(&line).into_iter().filter(|(_, code)| *code).collect();
        assert_eq!(
            code,
            [
                ("`nginx -t`".to_owned(), true),
                ("`ss -tlnp`".to_owned(), true)
            ]
        );
        let whole: String = spans(&line).into_iter().map(|(text, _)| text).collect();
        assert_eq!(whole, line.join(" "));
    }

    #[test]
    fn what_fits_no_line_is_cut() {
        let url = format!("https://shop.example/{}", "a".repeat(100));
        for line in page(40, "  ", 2, &format!("see {url} there `{url} {url}`")).lines() {
            assert!(width_of(line) <= 40, "{line}");
        }
        assert_eq!(width_of(&fit("国际化域名例子", 6)), 5);
        assert_eq!(fit("shop", 4), "shop");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let shown = page(80, "\x1b[2J", 4, "a\x1b]0;title\x07b \u{202e}c\r\nd");
        assert!(
            !shown.contains(['\x1b', '\x07', '\r', '\u{202e}']),
            "{shown:?}"
        );
        assert!(shown.ends_with("d\n"));
    }
}
