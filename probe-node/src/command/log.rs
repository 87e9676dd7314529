//! `onlyhere-probe log`: what this vantage did, for its owner.

use std::io::{self, ErrorKind, Write};

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::{CommandError, DataDir};
use crate::journal::{self, Entry};

#[derive(Debug, Args)]
pub(super) struct Log {
    /// Only what is not older, such as 30m, 1h or 2d.
    #[arg(long, value_name = "TIME", value_parser = age)]
    since: Option<SignedDuration>,
    /// The last so many requests.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each, and one for each thing that was refused.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let dir = self.data_dir.path()?;
        let since = self.since.map(|age| Timestamp::now() - age);
        let entries = journal::read(&dir, since, self.limit)
            .map_err(|error| CommandError::Journal(dir, error))?;
        if entries.is_empty() {
            eprintln!("nothing was asked of this probe in that time");
        }
        match write(&entries, self.format) {
            // Who has read enough closes the pipe.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(CommandError::Output),
        }
    }
}

fn write(entries: &[Entry], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for entry in entries {
        match format {
            Format::Text => writeln!(out, "{}", entry.to_text())?,
            Format::Json => writeln!(out, "{}", serde_json::to_string(entry)?)?,
        }
    }
    out.flush()
}

/// A number and a unit, at most some years.
fn age(text: &str) -> Result<SignedDuration, String> {
    const UNITS: [(char, i64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let read = || {
        let unit = text.chars().last()?;
        let (_, seconds) = UNITS.into_iter().find(|(letter, _)| *letter == unit)?;
        let number = &text[..text.len() - 1];
        let number: u32 = number.parse().ok().filter(|_| !number.starts_with('+'))?;
        (number <= 100_000).then(|| SignedDuration::from_secs(i64::from(number) * seconds))
    };
    read().ok_or_else(|| "write a number and s, m, h or d, as in 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("2d", 172_800)] {
            assert_eq!(age(text).map(|age| age.as_secs()), Ok(seconds));
        }
        for text in ["", "h", "1", "1w", "-1h", "+1h", "1.5h", "999999999d", "1é"] {
            assert!(age(text).unwrap_err().contains("as in 30m"), "{text}");
        }
    }
}
