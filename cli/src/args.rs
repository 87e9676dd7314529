//! The command line: what may be typed, and one sentence for everything that may not.
//!
//! `onlyhere TARGET` is `onlyhere check TARGET`. Whether the first word is a subcommand is decided here and not by
//! clap, which would take an odd target for a misspelt subcommand.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use onlyhere_proto::{Scope, Selector, Symptom, limits};

use crate::error::CliError;

/// Shortest and longest time a check may take.
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(500)..=limits::DEADLINE;

#[derive(Debug, Parser)]
#[command(
    name = "onlyhere",
    version,
    about = "Is it down, or is it only here? Tries a target from this machine and from other networks at the same moment, and says where the fault is, why, and what to do.",
    after_help = "`onlyhere TARGET` is the same as `onlyhere check TARGET`.\n\n\
        Settings, the later winning: $XDG_CONFIG_HOME/onlyhere/config.toml, ONLYHERE_* variables, flags.",
    args_override_self = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a target and say where the fault is
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// List the vantages that are attached to the coordinator now
    Vantages(VantagesArgs),
    /// Judge a report's observations again, or let another program play the vantages
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Build a small internet on this machine, ban this machine's address with a real firewall, show the verdict
    Demo(DemoArgs),
}

const CHECK_HELP: &str = "\
TARGET is https://…, http://…, HOST (= https), HOST:PORT and tcp://HOST:PORT, tls://HOST:PORT, ssh://HOST, \
smtp://HOST, dns://NAME?type=A or ping://HOST; IPv6 addresses stand in brackets.

Exit codes: 0 ok, 10 local, 11 source, 12 source_address, 13 source_network, 14 regional, 15 target_address, \
16 global, 17 inconclusive; 1 own failure, 2 wrong usage, 3 no coordinator although it is required.";

/// `onlyhere check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What to check, as in `https://shop.example`
    pub target: String,
    /// Which vantages to ask, such as eu+residential@3; may be given more than once
    #[arg(long, value_name = "SELECTOR")]
    pub from: Vec<Selector>,
    /// Ask the other vantages only; this machine does not try (needs a coordinator)
    #[arg(long)]
    pub no_local: bool,
    /// What your browser showed: refused, timeout, reset, dns, tls, http, or its own code
    #[arg(long, value_name = "SYMPTOM", value_parser = Symptom::parse)]
    pub seen: Option<Symptom>,
    /// An address that the name ought to have, if it is your site; may be given more than once
    #[arg(long, value_name = "IP", value_parser = parse_address)]
    pub expect_address: Vec<IpAddr>,
    /// How long the whole check may take, from 500ms to 60s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_timeout)]
    pub timeout: Duration,
    /// How to print the verdict
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Exit with 0 for every scope that is not in this list
    #[arg(long, value_name = "SCOPE,...", value_delimiter = ',')]
    pub fail_on: Option<Vec<Scope>>,
    /// Do not judge alone: exit with 3 when the coordinator refuses or is out of reach
    #[arg(long)]
    pub require_coordinator: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub coordinator: CoordinatorArgs,
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

const REPLAY_HELP: &str = "\
A report is what `--format json` prints; nothing is tried again. Exit codes are those of `onlyhere check`. With --stdio \
every line of standard input is a JSON object and is answered by one on standard output, as docs/replay.md describes.";

/// `onlyhere replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The report to judge again; - reads it from standard input
    #[arg(required_unless_present = "stdio", conflicts_with = "stdio")]
    pub report: Option<PathBuf>,
    /// Drive the diagnosis by lines on standard input and output
    #[arg(long, conflicts_with_all = ["format", "fail_on"])]
    pub stdio: bool,
    /// How to print the verdict
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Exit with 0 for every scope that is not in this list
    #[arg(long, value_name = "SCOPE,...", value_delimiter = ',')]
    pub fail_on: Option<Vec<Scope>>,
}

/// `onlyhere demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Passed on to `onlyhere-lab demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// Whom to ask, for every command that asks.
#[derive(Debug, Args)]
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

/// A command line as read.
#[derive(Debug)]
pub enum Parsed {
    /// To be carried out.
    Run(Command),
    /// Help or version, for stdout.
    Print(String),
}

/// Reads the command line, program name first.
pub fn parse(args: Vec<OsString>) -> Result<Parsed, CliError> {
    if args.len() <= 1 {
        return Err(CliError::Usage(
            "what is to be checked? Give a target, as in `onlyhere shop.example`, or see `onlyhere --help`".to_owned(),
        ));
    }
    match Cli::try_parse_from(subcommand_first(args)) {
        Ok(cli) => Ok(Parsed::Run(cli.command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Print(error.render().ansi().to_string()))
            }
            _ => Err(CliError::Usage(sentence(&error.render().to_string()))),
        },
    }
}

/// Puts the subcommand in front of all flags, and `check` where there is none.
fn subcommand_first(mut args: Vec<OsString>) -> Vec<OsString> {
    let cli = Cli::command();
    let mut first = 1;
    while let Some(flag) = args
        .get(first)
        .and_then(|arg| arg.to_str())
        .filter(|text| text.len() > 1 && text.starts_with('-') && *text != "--")
    {
        first += if takes_value(&cli, flag) { 2 } else { 1 };
    }
    let named = |arg: &OsString| {
        let mut names = cli.get_subcommands().map(clap::Command::get_name);
        arg == "help" || names.any(|name| arg == name)
    };
    match args.get(first) {
        Some(word) if named(word) => {
            let word = args.remove(first);
            args.insert(1, word);
        }
        Some(_) => args.insert(1, "check".into()),
        None if is_about_program(&args[1..]) => {}
        None => args.insert(1, "check".into()),
    }
    args
}

fn takes_value(cli: &clap::Command, flag: &str) -> bool {
    cli.get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .filter(|arg| arg.get_action().takes_values())
        .any(|arg| {
            arg.get_long()
                .is_some_and(|long| flag.strip_prefix("--") == Some(long))
        })
}

/// Help and version of the program as a whole.
fn is_about_program(flags: &[OsString]) -> bool {
    flags.iter().any(|flag| {
        ["-h", "--help", "-V", "--version"]
            .map(OsString::from)
            .contains(flag)
    })
}

/// Makes one sentence of clap's paragraphs, without the usage that `--help` shows better.
fn sentence(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n").map(str::trim).filter(|text| {
        !text.is_empty() && !text.starts_with("Usage:") && !text.starts_with("For more information")
    });
    let flat = paragraphs.map(|text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        line.strip_prefix("error: ")
            .or(line.strip_prefix("tip: "))
            .map(str::to_owned)
            .unwrap_or(line)
    });
    let text = flat.collect::<Vec<_>>().join("; ");
    format!("{}; see `onlyhere --help`", limits::plain_text(&text, 700))
}

/// Brackets around an IPv6 address, as targets have them, do no harm.
fn parse_address(text: &str) -> Result<IpAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .map_err(|_| "write an IP address, as in 192.0.2.1 or 2001:db8::1".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is no duration from 500ms to 60s; write a number and ms, s or m, as in 10s"
        )
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| TIMEOUT.contains(duration))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<Parsed, CliError> {
        parse(
            std::iter::once("onlyhere")
                .chain(line.iter().copied())
                .map(OsString::from)
                .collect(),
        )
    }

    fn check(line: &[&str]) -> CheckArgs {
        match read(line) {
            Ok(Parsed::Run(Command::Check(args))) => args,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn a_target_alone_is_a_check() {
        for line in [
            &["shop.example"][..],
            &["check", "shop.example"],
            &["--format", "json", "shop.example"],
            &["--format=json", "check", "shop.example"],
            &["shop.example", "--format", "json"],
            &["--no-local", "shop.example"],
            &["--", "shop.example"],
        ] {
            assert_eq!(check(line).target, "shop.example", "{line:?}");
        }
        for odd in ["", " ", "a b", "[::1", "http://", "chek"] {
            assert_eq!(check(&[odd]).target, odd);
        }
        assert_eq!(check(&["check", "demo"]).target, "demo");
    }

    #[test]
    fn flags_are_read() {
        let args = check(&[
            "shop.example",
            "--from",
            "eu@2",
            "--from",
            "probe:fra1",
            "--seen",
            "ERR_CONNECTION_REFUSED",
            "--timeout",
            "2.5s",
            "--fail-on",
            "global,regional",
        ]);
        assert_eq!(args.from.len(), 2);
        assert_eq!(args.seen, Some(Symptom::Refused));
        assert_eq!(args.timeout, Duration::from_millis(2_500));
        assert_eq!(args.fail_on, Some(vec![Scope::Global, Scope::Regional]));
    }

    #[test]
    fn expected_addresses_are_of_both_families_and_may_have_brackets() {
        let args = check(&[
            "shop.example",
            "--expect-address",
            "192.0.2.1",
            "--expect-address=[2001:db8::1]",
        ]);
        let expected: [IpAddr; 2] = ["192.0.2.1", "2001:db8::1"].map(|a| a.parse().unwrap());
        assert_eq!(args.expect_address, expected);
    }

    #[test]
    fn wrong_usage_is_one_sentence_that_says_what_is_right() {
        for (line, says) in [
            (&[][..], "Give a target"),
            (&["check"], "required arguments were not provided: <TARGET>"),
            (&["--format", "json"], "<TARGET>"),
            (&["a", "b"], "unexpected argument 'b'"),
            (&["--fast", "a"], "unexpected argument '--fast'"),
            (
                &["a", "--format", "xml"],
                "[possible values: text, json, markdown, junit, github]",
            ),
            (
                &["vantages", "--format", "junit"],
                "[possible values: text, json]",
            ),
            (&["a", "--fail-on", "all"], "known are ok, local, source"),
            (&["a", "--from", "eu@0"], "after @ stands a number"),
            (&["a", "--seen", "broken"], "unknown symptom `broken`"),
            (
                &["a", "--expect-address", "b.example"],
                "write an IP address, as in 192.0.2.1",
            ),
            (&["a", "--timeout", "0s"], "no duration from 500ms to 60s"),
            (&["a", "--timeout", "10"], "write a number and ms, s or m"),
            (&["a", "--timeout", "1e9s"], "no duration"),
            (&["a", "--timeout", "."], "no duration"),
            (&["vantages", "eu+"], "the term is empty"),
            (&["a", "\x1b[31m"], "unexpected argument"),
        ] {
            let error = read(line).expect_err(&format!("{line:?}"));
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.contains(says), "{line:?}: {text}");
            assert!(!text.contains(char::is_control), "{line:?}: {text:?}");
        }
    }

    #[test]
    fn help_and_version_are_for_stdout() {
        for line in [
            &["--help"][..],
            &["-V"],
            &["--version"],
            &["help"],
            &["check", "--help"],
            &["demo", "-h"],
        ] {
            assert!(matches!(read(line), Ok(Parsed::Print(_))), "{line:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
