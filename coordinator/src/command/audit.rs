//! `audit`: reads the audit log.

use std::time::Duration;

use clap::{Args, ValueEnum};
use onlyhere_proto::{Timestamp, limits};

use super::{CommandError, Settings, with_store};
use crate::{
    audit::{Event, Filter},
    clock,
};

#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    /// How far back, such as 30m, 24h or 7d [default: as far as there is].
    #[arg(long, value_name = "TIME", value_parser = clock::parse_duration)]
    since: Option<Duration>,
    /// How many lines, the latest.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How lines are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl AuditArguments {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let back = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let since = self
            .since
            .map(|time| Timestamp(clock::now().0.saturating_sub(back(time))));
        let filter = Filter {
            since,
            act: None,
            limit: self.limit,
        };
        let events = with_store(&self.settings, async |store| {
            Ok(store.audit(&filter).await?)
        })?;
        for event in events.iter().rev() {
            match self.format {
                Format::Text => println!("{}", text(event)),
                Format::Json => println!("{}", json(event)),
            }
        }
        Ok(())
    }
}

/// When, what, who from where, to what, and what came of it. Texts were rid of control characters before they were
/// written; whoever changed the file since steers no terminal either.
fn text(event: &Event) -> String {
    let who = event.by.to_string();
    let subject = if event.subject.is_empty() {
        "-"
    } else {
        &event.subject
    };
    let line = format!(
        "{} {:<14} {who:<40} {subject} {}",
        event.at,
        event.act.label(),
        event.outcome
    );
    limits::plain_text(line.trim_end(), usize::MAX)
}

/// JSON escapes control characters by itself.
fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("texts are always JSON")
}
