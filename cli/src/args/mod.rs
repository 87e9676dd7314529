//! The command line: what may be typed, and one sentence for everything that may not.
//!
//! `onlyhere TARGET` is `onlyhere check TARGET`. Whether the first word is a subcommand is decided here and not by
//! clap, which would take an odd target for a misspelt subcommand.

mod commands;
mod values;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use onlyhere_proto::limits;

use commands::{CHECK_HELP, REPLAY_HELP};
pub use commands::{
    CheckArgs, CompletionsArgs, CoordinatorArgs, DemandArgs, DemoArgs, Format, ListFormat,
    LogFormat, LoginArgs, LogoutArgs, ManualArgs, QuestionArgs, ReplayArgs, ShowArgs, TicketArgs,
    Until, VantagesArgs, WatchArgs,
};

use crate::error::CliError;

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
    /// Check again and again until the verdict changes; says since when
    Watch(WatchArgs),
    /// Write what a hosting provider's support needs to know, as Markdown
    Ticket(TicketArgs),
    /// Try a token, which is asked for, and store it with its coordinator
    #[command(
        after_help = "The token is read without echo, or from standard input where that is no terminal. It is stored \
        in $XDG_CONFIG_HOME/onlyhere/credentials.toml, which only you may read."
    )]
    Login(LoginArgs),
    /// Forget the token of a coordinator on this machine
    Logout(LogoutArgs),
    /// Print a script that completes commands and options in a shell
    #[command(
        after_help = "As in: onlyhere completions bash > ~/.local/share/bash-completion/completions/onlyhere"
    )]
    Completions(CompletionsArgs),
    /// Write the manual pages
    Manual(ManualArgs),
    /// Build a small internet on this machine, ban this machine's address with a real firewall, show the verdict
    Demo(DemoArgs),
}

/// A command line as read.
#[derive(Debug)]
pub enum Parsed {
    /// To be carried out.
    Run(Box<Command>),
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
        Ok(cli) => checked(cli.command).map(|command| Parsed::Run(Box::new(command))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Print(error.render().ansi().to_string()))
            }
            _ => Err(CliError::Usage(sentence(&error.render().to_string()))),
        },
    }
}

/// What clap cannot say: combinations of values that make no sense.
fn checked(command: Command) -> Result<Command, CliError> {
    let show = match &command {
        Command::Check(args) => Some(&args.show),
        Command::Replay(args) => Some(&args.show),
        _ => None,
    };
    match show {
        Some(show) if show.explain && show.format != Format::Text => Err(CliError::Usage(
            "--explain is text for people; leave --format out (--format json holds the same evidence and observations)"
                .to_owned(),
        )),
        _ => Ok(command),
    }
}

/// The whole command line, for completions and manual pages.
pub fn description() -> clap::Command {
    Cli::command()
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

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use onlyhere_proto::{Scope, Symptom};

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
            Ok(Parsed::Run(command)) => match *command {
                Command::Check(args) => args,
                other => panic!("{line:?}: {other:?}"),
            },
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
            assert_eq!(check(line).question.target, "shop.example", "{line:?}");
        }
        for odd in ["", " ", "a b", "[::1", "http://", "chek"] {
            assert_eq!(check(&[odd]).question.target, odd);
        }
        assert_eq!(check(&["check", "demo"]).question.target, "demo");
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
        assert_eq!(args.question.from.len(), 2);
        assert_eq!(args.question.seen, Some(Symptom::Refused));
        assert_eq!(args.question.timeout, Duration::from_millis(2_500));
        assert_eq!(
            args.demands.fail_on,
            Some(vec![Scope::Global, Scope::Regional])
        );
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
        assert_eq!(args.question.expect_address, expected);
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
            (
                &["a", "--timeout", "10"],
                "write a number and ms, s, m or h",
            ),
            (&["a", "--timeout", "1e9s"], "no duration"),
            (&["a", "--timeout", "."], "no duration"),
            (&["a", "--retry-for", "2d"], "no duration from 1s to 1h"),
            (
                &["a", "--retry-for", "2m", "--no-local"],
                "cannot be used with '--no-local'",
            ),
            (&["a", "--require-vantages", "0"], "0 is not in 1..=1024"),
            (
                &["a", "--explain", "--format", "json"],
                "--explain is text for people",
            ),
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
