//! Whether a text could steer a terminal.

/// The first character that could, and what stands around it; none where the text is plain. A line's end is plain.
pub(super) fn unplain(text: &str) -> Option<String> {
    let steers = |c: char| c != '\n' && steers_a_reader(c);
    let (at, _) = text.char_indices().find(|(_, c)| steers(*c))?;
    let around: String = text[at..].chars().take(24).collect();
    let before: String = text[..at].chars().rev().take(24).collect();
    let before: String = before.chars().rev().collect();
    Some(format!("{before}{around}").escape_default().to_string())
}

/// Written out here, and not taken from the programs under test: controls of C0 and C1, delete, and what turns or hides
/// text (Unicode, UAX #9 and the format characters that have no glyph).
fn steers_a_reader(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::unplain;

    #[test]
    fn what_steers_is_found_and_told_harmlessly() {
        assert_eq!(unplain("a\nb ✗ 店\n"), None);
        for text in [
            "a\x1b[31m",
            "a\r",
            "a\tb",
            "\u{9b}",
            "\u{202e}",
            "\u{2066}",
            "\u{200b}",
            "\x7f",
        ] {
            let found = unplain(text).expect(text);
            assert_eq!(unplain(&found), None, "{found}");
        }
    }
}
