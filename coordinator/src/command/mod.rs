//! The command line: what can be asked of the program, and where each of it is done.

mod audit;
mod backup;
mod ca;
mod probe;
mod serve;
mod token;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::{Config, InvalidConfig},
    data_file::DataError,
    identity::IdentityError,
    serve::ServeError,
    store::{self, Store, StoreError, sqlite::backup::BackupError},
};

/// Asks probes in other networks and the caller to try the same target at the same moment, and says whose fault it is.
#[derive(Debug, Parser)]
#[command(name = "onlyhere-coordinator", version, about)]
pub struct Arguments {
    /// How the log on stderr is written; what is logged says ONLYHERE_LOG (such as debug, or onlyhere_coordinator=trace).
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
    /// Serve probes and people until told to stop.
    Serve(Settings),
    /// Tokens: for probes to join, for people to ask.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Probes that have enrolled.
    #[command(subcommand)]
    Probe(probe::ProbeCommand),
    /// Who did what: every check and every administrative act, the latest last.
    Audit(audit::AuditArguments),
    /// Write state and certificate authority to a new file, while the coordinator serves.
    Backup(backup::Backup),
    /// Bring back a backup; what is there is kept under another name.
    Restore(backup::Restore),
    /// The certificate authority under which probes attach.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// The settings in force.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the settings can be used.
    Check(Settings),
    /// Print the settings with every default, as TOML.
    Print(Settings),
}

/// Where the settings and the data are.
#[derive(Debug, Clone, Args)]
struct Settings {
    /// Settings, as TOML; variables such as ONLYHERE_API__LISTEN win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the CA and the state are kept [default: /var/lib/onlyhere-coordinator for root,
    /// otherwise $XDG_STATE_HOME/onlyhere-coordinator].
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
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The CA.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A port.
    #[error("cannot listen on {key} = {address}: {source}")]
    Listen {
        /// Which setting.
        key: &'static str,
        /// Its value.
        address: std::net::SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// Serving.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The sandbox.
    #[error("cannot confine itself ({0}); sandbox = \"off\" in the settings goes without")]
    Sandbox(#[from] onlyhere_sandbox::SandboxError),
    /// The runtime.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

impl CommandError {
    /// 2 for wrong usage or settings, 1 for our own failure.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Backup(BackupError::Exists(_) | BackupError::NotABackup { .. }) => 2,
            _ => 1,
        }
    }
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self) -> Result<(), CommandError> {
        match self.command {
            Command::Serve(settings) => serve::run(&settings),
            Command::Token(command) => command.run(),
            Command::Probe(command) => command.run(),
            Command::Audit(arguments) => arguments.run(),
            Command::Backup(arguments) => arguments.run(),
            Command::Restore(arguments) => arguments.run(),
            Command::Ca(command) => command.run(),
            Command::Config(ConfigCommand::Check(settings)) => {
                settings.load()?;
                println!("the settings are in order");
                Ok(())
            }
            Command::Config(ConfigCommand::Print(settings)) => {
                print!("{}", settings.load()?.to_toml());
                Ok(())
            }
        }
    }
}

impl Settings {
    fn load(&self) -> Result<Config, CommandError> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Config::load(self.config.as_deref(), environment)?)
    }

    /// The data directory, made for its owner alone if it is not there.
    fn data_dir(&self) -> Result<PathBuf, CommandError> {
        let dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => default_data_dir()?,
        };
        create_private(&dir).map_err(DataError::io("create", &dir))?;
        Ok(dir)
    }
}

/// Does something with the state, beside a server that may be running.
fn with_store<T, F>(
    settings: &Settings,
    work: impl FnOnce(Arc<dyn Store>) -> F,
) -> Result<T, CommandError>
where
    F: Future<Output = Result<T, CommandError>>,
{
    let (config, dir) = (settings.load()?, settings.data_dir()?);
    block_on(async {
        let store = store::open(&config.store.url, &dir).await?;
        let done = work(Arc::clone(&store)).await;
        store.close().await;
        done
    })
}

fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(CommandError::Start)?;
    runtime.block_on(work)
}

fn create_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

fn default_data_dir() -> Result<PathBuf, CommandError> {
    const NAME: &str = "onlyhere-coordinator";
    if is_root() {
        return Ok(Path::new("/var/lib").join(NAME));
    }
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let none = || "there is no home directory to keep data in: give --data-dir DIR".to_owned();
    Ok(state
        .ok_or_else(none)
        .map_err(CommandError::Usage)?
        .join(NAME))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}
