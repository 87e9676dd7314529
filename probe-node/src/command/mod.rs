//! The command line: what can be asked of the program, and where each of it is done.

mod check;
mod doctor;
mod join;
mod log;
mod run;
mod status;
mod upgrade;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use onlyhere_sandbox::SandboxError;

use crate::{
    ProberError, config::InvalidConfig, daemon::Expired, enrol::EnrolError,
    identity::IdentityError, upgrade::UpgradeError,
};

/// One vantage: tries what a coordinator asks, from here, and says exactly what it saw.
#[derive(Debug, Parser)]
#[command(name = "onlyhere-probe", version, about)]
pub struct Arguments {
    /// How the log on stderr is written; what is logged says ONLYHERE_LOG (such as debug, or onlyhere_probe_node=trace).
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol at a coordinator, once.
    Join(join::Join),
    /// Attach to the coordinator and work until told to stop.
    Run(run::Run),
    /// Try a target from here, without a coordinator.
    Check(check::Check),
    /// Say what this machine can measure.
    Doctor(doctor::Doctor),
    /// Show what this probe did, for whom, and what it refused to do.
    Log(log::Log),
    /// Say whether the daemon of this machine is attached.
    Status(status::Status),
    /// Replace this program by a newer, signed release; the old one comes back where the new one does not attach.
    Upgrade(upgrade::Upgrade),
}

/// Where the identity is kept.
#[derive(Debug, Clone, Args)]
struct DataDir {
    /// Where key and certificate are kept [default: /var/lib/onlyhere-probe for root, otherwise
    /// $XDG_STATE_HOME/onlyhere-probe].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Wrong usage, in one sentence that says what would be right.
    #[error("{0}")]
    Usage(String),
    /// The settings.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Joining.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Only joining again helps.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// The prober.
    #[error(transparent)]
    Prober(#[from] ProberError),
    /// The identity cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The record of what was done.
    #[error("cannot use the record in {}: {}", .0.display(), .1)]
    Journal(PathBuf, std::io::Error),
    /// No daemon, or one that has no coordinator.
    #[error("no probe with the data directory {} is attached: is it running, and what does its log say?", .0.display())]
    NotAttached(PathBuf),
    /// Whether it is attached cannot be found out.
    #[error("cannot find out in {} whether the probe is attached: {}", .0.display(), .1)]
    Standing(PathBuf, std::io::Error),
    /// Replacing the program.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// Standard output.
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
    /// The sandbox.
    #[error("cannot confine itself ({0}); sandbox = \"off\" in the settings goes without")]
    Sandbox(#[from] SandboxError),
    /// The runtime.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

impl CommandError {
    /// 2 for wrong usage or settings, 4 for an identity that is over, 1 for our own failure.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Expired(_) => 4,
            _ => 1,
        }
    }
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self) -> Result<(), CommandError> {
        if let Command::Run(run) = &self.command {
            // Before there are threads, since what a thread gives up no other does.
            run.confine()?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(CommandError::Start)?;
        runtime.block_on(async {
            match self.command {
                Command::Join(join) => join.run().await,
                Command::Run(run) => run.run().await,
                Command::Check(check) => check.run().await,
                Command::Doctor(doctor) => doctor.run().await,
                Command::Log(log) => log.run(),
                Command::Status(status) => status.run().await,
                Command::Upgrade(upgrade) => upgrade.run().await,
            }
        })
    }
}

/// The process's variables, as far as they are text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

impl DataDir {
    fn path(&self) -> Result<PathBuf, CommandError> {
        const NAME: &str = "onlyhere-probe";
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        if nix::unistd::geteuid().is_root() {
            return Ok(Path::new("/var/lib").join(NAME));
        }
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/state")))
            .map(|state| state.join(NAME))
            .ok_or_else(|| {
                CommandError::Usage(
                    "there is no home directory to keep the identity in: give --data-dir DIR"
                        .to_owned(),
                )
            })
    }
}
