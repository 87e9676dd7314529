//! The arguments of each command.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use onlyhere_proto::{Scope, Selector, Symptom};

use super::values;

pub(super) const CHECK_HELP: &str = "\
TARGET is https://…, http://…, HOST (= https), HOST:PORT and tcp://HOST:PORT, tls://HOST:PORT, ssh://HOST, \
smtp://HOST, dns://NAME?type=A or ping://HOST; IPv6 addresses stand in brackets.

Exit codes: 0 ok, 10 local, 11 source, 12 source_address, 13 source_network, 14 regional, 15 target_address, \
16 global, 17 inconclusive; 1 own failure, 2 wrong usage, 3 no coordinator although it is required.";

/// What is asked, and of whom.
#[derive(Debug, Clone, Args)]
pub struct QuestionArgs {
    /// What to check, as in `https://shop.example`
    pub target: String,
    /// Which vantages to ask, such as eu+residential@3; may be given more than once
    #[arg(long, value_name = "SELECTOR")]
    pub from: Vec<Selector>,
    /// What your browser showed: refused, timeout, reset, dns, tls, http, or its own code
    #[arg(long, value_name = "SYMPTOM", value_parser = Symptom::parse)]
    pub seen: Option<Symptom>,
    /// An address that the name ought to have, if it is your site; may be given more than once
    #[arg(long, value_name = "IP", value_parser = values::address)]
    pub expect_address: Vec<IpAddr>,
    /// How long the whole check may take, from 500ms to 60s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::timeout)]
    pub timeout: Duration,
    /// Do not judge alone: exit with 3 when the coordinator refuses or is out of reach
    #[arg(long)]
    pub require_coordinator: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub coordinator: CoordinatorArgs,
}

/// `onlyhere check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What is asked.
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Ask the other vantages only; this machine does not try (needs a coordinator)
    #[arg(long)]
    pub no_local: bool,
    /// How the verdict is shown.
    #[command(flatten)]
    pub show: ShowArgs,
    /// What makes it fail.
    #[command(flatten)]
    pub demands: DemandArgs,
    /// Check again until it passes, for a deployment that comes up: from 1s to 1h
    #[arg(long, value_name = "DURATION", value_parser = values::retry_for, conflicts_with = "no_local")]
    pub retry_for: Option<Duration>,
}

/// How a verdict is shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// How to print the verdict
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Show all evidence with its weight, every observation, and why it is nothing else
    #[arg(long)]
    pub explain: bool,
}

/// What makes a check fail.
#[derive(Debug, Args)]
pub struct DemandArgs {
    /// Exit with 0 for every scope that is not in this list
    #[arg(long, value_name = "SCOPE,...", value_delimiter = ',')]
    pub fail_on: Option<Vec<Scope>>,
    /// Exit with 17 unless so many vantages besides this machine have measured the target
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub require_vantages: Option<u16>,
    /// Fail only for what is worse than in this report, which `--format json` has printed
    #[arg(long, value_name = "REPORT")]
    pub baseline: Option<PathBuf>,
}

/// `onlyhere vantages`.
#[derive(Debug, Args)]
pub struct VantagesArgs {
    /// Which to list, such as eu+residential; all when left out
    pub selector: Option<Selector>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
    /// Whom to ask.
    #[command(flatten)]
    pub coordinator: CoordinatorArgs,
}

/// `onlyhere watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// What is asked.
    #[command(flatten)]
    pub question: QuestionArgs,
    /// How often to check, from 5s to 1h; a tenth longer or shorter each time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::every)]
    pub every: Duration,
    /// When to end, with exit code 0
    #[arg(long, value_enum, default_value_t = Until::Change)]
    pub until: Until,
    /// Do not ring the terminal's bell when the verdict changes
    #[arg(long)]
    pub no_bell: bool,
}

/// When `onlyhere watch` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// When the verdict becomes another one
    Change,
    /// When the target is reachable
    Ok,
    /// At Ctrl-C only
    Never,
}

/// `onlyhere login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The coordinator's address, as in `https://onlyhere.example:7080`
    pub url: String,
}

/// `onlyhere logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// The coordinator's address, as it was given to `onlyhere login`
    pub url: String,
}

/// `onlyhere ticket`.
#[derive(Debug, Args)]
pub struct TicketArgs {
    /// A check's id, a report's file (- is standard input), or a target to be checked now
    #[arg(value_name = "ID|FILE|TARGET")]
    pub of: String,
    /// Leave out this machine's addresses; its provider (AS) stays
    #[arg(long)]
    pub redact: bool,
    /// How long the check may take, if a target is given, from 500ms to 60s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::timeout)]
    pub timeout: Duration,
    /// Whom to ask.
    #[command(flatten)]
    pub coordinator: CoordinatorArgs,
}

/// `onlyhere completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `onlyhere manual`.
#[derive(Debug, Args)]
pub struct ManualArgs {
    /// An existing folder for onlyhere.1 and a page for each command
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

pub(super) const REPLAY_HELP: &str = "\
A report is what `--format json` prints; nothing is tried again. Exit codes are those of `onlyhere check`. With --stdio \
every line of standard input is a JSON object and is answered by one on standard output, as docs/replay.md describes.";

/// `onlyhere replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The report to judge again; - reads it from standard input
    #[arg(required_unless_present = "stdio", conflicts_with = "stdio")]
    pub report: Option<PathBuf>,
    /// Drive the diagnosis by lines on standard input and output
    #[arg(long, conflicts_with_all = ["format", "explain", "fail_on", "require_vantages", "baseline"])]
    pub stdio: bool,
    /// How the verdict is shown.
    #[command(flatten)]
    pub show: ShowArgs,
    /// What makes it fail.
    #[command(flatten)]
    pub demands: DemandArgs,
}

/// `onlyhere demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Passed on to `onlyhere-lab demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// Whom to ask, for every command that asks.
#[derive(Debug, Clone, Args)]
pub struct CoordinatorArgs {
    /// The coordinator's address, as in `https://onlyhere.example:7080`
    #[arg(long, value_name = "URL")]
    pub coordinator: Option<String>,
    /// The token for it; ONLYHERE_TOKEN keeps it out of the process list
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// How logs (ONLYHERE_LOG=debug) are written on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For scripts: one object
    Json,
    /// For an issue tracker
    Markdown,
    /// JUnit XML, as Jenkins and GitLab read it
    Junit,
    /// GitHub Actions: annotations, job summary, outputs of the step
    Github,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Text,
    /// For scripts: one object
    Json,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
