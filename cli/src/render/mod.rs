//! What people and scripts see. Reports go to stdout, everything else to stderr.
//!
//! Whatever comes from outside passes `page::clean` before it reaches a terminal. Colours are written always and
//! taken out by the stream where it is no terminal or `NO_COLOR` is set.

pub mod explain;
pub mod github;
mod history;
pub mod junit;
pub mod markdown;
pub(crate) mod page;
pub mod progress;
mod style;
pub(crate) mod summary;
mod table;
pub mod text;
pub mod ticket;
pub mod vantages;
pub mod watch;
mod words;

use std::io::{self, Write};

use serde::Serialize;

/// Columns where the terminal does not say, as in a pipe.
const PIPE_WIDTH: usize = 80;
/// Longer lines are hard to read, shorter ones cannot hold the table.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=100;

/// Prints what `draw` makes of the width at hand on stdout. A reader that has gone away is no failure.
pub fn print(draw: impl FnOnce(usize) -> String) -> io::Result<()> {
    let width = console::Term::stdout()
        .size_checked()
        .map_or(PIPE_WIDTH, |(_, columns)| {
            usize::from(columns).clamp(*WIDTHS.start(), *WIDTHS.end())
        });
    pass_on(&mut anstream::stdout(), draw(width).as_bytes())
}

/// Prints one JSON object on stdout and nothing else.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    pass_on(&mut io::stdout(), text.as_bytes())
}

/// Prints a text without styles on stdout, as it is.
pub fn print_plain(text: &str) -> io::Result<()> {
    pass_on(&mut io::stdout(), text.as_bytes())
}

fn pass_on(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// One sentence on stderr. With stderr closed there is nobody to tell.
pub fn complain(sentence: &str) {
    let _ = writeln!(anstream::stderr(), "onlyhere: {}", page::clean(sentence));
}
