//! The lab as a show for newcomers: one real ban, from the first failed login to the verdict and back.

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anstyle::{AnsiColor, Style};

use crate::LabError;
use crate::lab::{Internet, Role, Topology};
use crate::scenario::{Action, Family};
use crate::service::{Blocktype, Programs};
use crate::stage::{Stage, public_address};

/// The plan travels inside the program, so that an installed `onlyhere demo` needs no other file.
const PLAN: &str = include_str!("../topologies/eight-networks.toml");
const TARGET: &str = "https://shop.example";

/// Exit codes of the outward contract.
const OK: i32 = 0;
const YOUR_ADDRESS_ONLY: i32 = 12;

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const TYPED: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const RIGHT: Style = AnsiColor::Green.on_default().bold();
const WRONG: Style = AnsiColor::Red.on_default().bold();

const PICTURE: &str = r"
    you ─── home router ───┐
                           ├─ provider ─┐
    neighbour ·────────────┘            │
                                        │                       ┌ nginx
    Frankfurt ·─────────────────────────┼── hosting ── shop ────┤
    Amsterdam ·─────────────────────────┤                       └ fail2ban
    Paris     ·─────────────────────────┤
    New York  ·─────────────────────────┤    · = a vantage: somebody who tries
    Singapore ·─────────────────────────┘        the shop at the same moment
";

/// Plays the show. Returns whether every verdict was the right one.
pub fn play() -> Result<bool, LabError> {
    let mut show = Show { right: true };
    show.title("A small internet on this machine")?;
    show.say(
        "Every host is a network namespace with addresses, routes and a firewall of its own.\n\
         nginx, unbound and fail2ban are the real ones. Only the distances are made up.",
    )?;
    anstream::println!("{PICTURE}");
    let (mut stage, seconds) = timed(set_stage)?;
    let hosts = stage.internet().topology().hosts.len();
    let probes = stage.internet().topology().with_role(Role::Probe).count();
    show.say(&format!(
        "{hosts} hosts, {probes} vantages and a coordinator are up after {seconds:.1} s."
    ))?;

    show.title("1  All is well")?;
    show.check(&stage, OK)?;

    show.title("2  You mistype the shop's password five times")?;
    let address = public_address(stage.internet().topology(), "caller", Family::Ipv4)?.to_string();
    show.typed("for i in 1 2 3 4 5; do curl -u owner:guess https://shop.example/login; done")?;
    let (_, seconds) = timed(|| stage.apply(&failed_logins()))?;
    show.say(&format!(
        "fail2ban on the shop's machine has seen it and banned you, after {seconds:.1} s:"
    ))?;
    show.output(&without_paths(&stage.ban_status("web")?))?;

    show.title("3  \"The site is down!\" Is it?")?;
    show.check(&stage, YOUR_ADDRESS_ONLY)?;

    show.title("4  The shop's administrator does what the verdict says")?;
    show.typed(&format!(
        "fail2ban-client set nginx-http-auth unbanip {address}"
    ))?;
    stage.unban("web", &address)?;
    show.check(&stage, OK)?;
    show.end()?;
    Ok(show.right)
}

/// Builds an internet with other people's programs in it and gives the terminal to a shell on one of its hosts.
pub fn shell(plan: &Path, host: &str) -> Result<(), LabError> {
    let stage = Stage::without_onlyhere(Topology::read(plan)?, 1)?;
    let internet: &Internet = stage.internet();
    let names: Vec<&str> = internet.hosts().map(|(name, _)| name).collect();
    anstream::println!(
        "{FAINT}hosts: {}; you are on {host}; exit ends it all{FAINT:#}",
        names.join(" ")
    );
    let mut command = internet.host(host)?.foreground("sh");
    command.envs(terminal()).env("PS1", format!("{host}# "));
    command
        .status()
        .map(drop)
        .map_err(LabError::io("start a shell"))
}

fn set_stage() -> Result<Stage, LabError> {
    let plan = Topology::parse(PLAN).map_err(|problem| LabError::BadFile {
        file: "the built-in plan".into(),
        problem,
    })?;
    let ipv4 = public_address(&plan, "web", Family::Ipv4)?;
    let mut stage = Stage::set(plan, 1, Programs::beside_me()?)?;
    // One family keeps the story to one ban.
    stage.apply(&Action::Dns {
        name: "shop.example".into(),
        addresses: vec![ipv4],
    })?;
    Ok(stage)
}

fn failed_logins() -> Action {
    Action::FailedLogins {
        host: "web".into(),
        from: "caller".into(),
        name: "shop.example".into(),
        count: 5,
        families: vec![Family::Ipv4],
        blocktype: Blocktype::Reject,
    }
}

fn timed<T>(work: impl FnOnce() -> Result<T, LabError>) -> Result<(T, f64), LabError> {
    let started = Instant::now();
    work().map(|done| (done, started.elapsed().as_secs_f64()))
}

/// fail2ban names the files it reads; here they have nothing to say.
fn without_paths(status: &str) -> String {
    let lines: Vec<&str> = status
        .lines()
        .filter(|line| !line.contains("File list"))
        .collect();
    lines.join("\n").replace('\t', " ")
}

/// What a program needs to know about the terminal it prints on.
fn terminal() -> impl Iterator<Item = (&'static str, String)> {
    ["TERM", "COLORTERM", "COLUMNS", "NO_COLOR", "CLICOLOR_FORCE"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
}

struct Show {
    right: bool,
}

impl Show {
    fn title(&self, text: &str) -> Result<(), LabError> {
        self.print(&format!("\n{TITLE}{text}{TITLE:#}\n"))
    }

    fn say(&self, text: &str) -> Result<(), LabError> {
        self.print(&format!("{text}\n"))
    }

    fn typed(&self, command: &str) -> Result<(), LabError> {
        self.print(&format!("{FAINT}${FAINT:#} {TYPED}{command}{TYPED:#}\n"))
    }

    fn output(&self, text: &str) -> Result<(), LabError> {
        let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
        self.print(&format!("{FAINT}{indented}{FAINT:#}"))
    }

    /// Runs a check with its output going where ours goes, and compares its exit code, which is the verdict's scope.
    fn check(&mut self, stage: &Stage, wanted: i32) -> Result<(), LabError> {
        self.typed(&format!("onlyhere check {TARGET}"))?;
        let status = stage
            .check(TARGET, &[])?
            .envs(terminal())
            .status()
            .map_err(LabError::io("run onlyhere check"))?;
        let got = status.code();
        if got == Some(wanted) {
            return self.print(&format!("{FAINT}exit code {wanted}{FAINT:#}\n"));
        }
        self.right = false;
        let got = got.map_or("a signal".into(), |code| code.to_string());
        self.print(&format!(
            "{WRONG}exit code {got}, but {wanted} would have been right{WRONG:#}\n"
        ))
    }

    fn end(&self) -> Result<(), LabError> {
        let (style, text) = if self.right {
            (
                RIGHT,
                "Every verdict was right. This internet ends with the program; nothing of it stays on your machine.",
            )
        } else {
            (
                WRONG,
                "A verdict was wrong: please report it with the output above.",
            )
        };
        self.print(&format!("\n{style}{text}{style:#}\n"))
    }

    fn print(&self, text: &str) -> Result<(), LabError> {
        let mut out = anstream::stdout().lock();
        let done = write!(out, "{text}").and_then(|()| out.flush());
        done.or_else(gone).map_err(LabError::io("print"))
    }
}

/// A reader who has closed the pipe has seen enough; that is no failure.
fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Ok(())
    } else {
        Err(error)
    }
}
