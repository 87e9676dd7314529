//! `onlyhere-probe upgrade --from RELEASE`: off unless its owner calls it. Run it as root: the daemon itself may not write
//! to its program.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{CommandError, DataDir};
use crate::upgrade::{self, UpgradeError, Upgraded, source::Source};

#[derive(Debug, Args)]
pub(super) struct Upgrade {
    /// The release: a folder, or a URL (https://…).
    #[arg(long, value_name = "RELEASE")]
    from: String,
    /// The public key (minisign) of whoever builds releases; the installer puts it there.
    #[arg(long, value_name = "FILE", default_value = "/etc/onlyhere/release.pub")]
    key_file: PathBuf,
    /// Take the release though it is not newer.
    #[arg(long)]
    allow_older: bool,
    /// Where the new program has not attached after so long, the old one comes back.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    within: u64,
    /// What starts the service again, words apart [default: systemctl or rc-service, whichever this machine has].
    #[arg(long, value_name = "COMMAND")]
    restart: Option<String>,
    #[command(flatten)]
    data_dir: DataDir,
}

impl Upgrade {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let usage = |error: &dyn std::fmt::Display| CommandError::Usage(error.to_string());
        let running = env!("CARGO_PKG_VERSION").parse();
        let program = std::env::current_exe()
            .and_then(fs::canonicalize)
            .map_err(CommandError::Start)?;
        if let Some(tool) = package_tool(&program) {
            return Err(CommandError::Usage(format!(
                "{} belongs to a package: upgrade it with {tool}",
                program.display()
            )));
        }
        let restart = match self.restart {
            Some(command) => command.split_whitespace().map(str::to_owned).collect(),
            None => service_command().ok_or_else(|| {
                usage(&"neither systemd nor OpenRC runs here: give --restart COMMAND")
            })?,
        };
        let upgrade = upgrade::Upgrade {
            program,
            running: running.map_err(|()| usage(&"this program has no released version"))?,
            data_dir: self.data_dir.path()?,
            source: Source::parse(&self.from).map_err(UpgradeError::from)?,
            key_file: self.key_file,
            restart,
            within: Duration::from_secs(self.within),
            older: self.allow_older,
        };
        match upgrade.run().await? {
            Upgraded::AlreadyThere(version) => println!("{version} is there already"),
            Upgraded::To(version, attached) => {
                println!(
                    "upgraded to {version}, attached to {} as {}",
                    attached.coordinator, attached.name
                );
            }
        }
        Ok(())
    }
}

/// The tool of a package that the program came by.
fn package_tool(program: &Path) -> Option<&'static str> {
    // The installer and whoever copies by hand leave this folder to packages.
    if !program.starts_with("/usr/bin") {
        return None;
    }
    [
        ("/var/lib/dpkg/info/onlyhere-probe.list", "apt"),
        ("/usr/bin/rpm", "dnf"),
    ]
    .into_iter()
    .find_map(|(file, tool)| Path::new(file).exists().then_some(tool))
}

fn service_command() -> Option<Vec<String>> {
    let words: &[&str] = if Path::new("/run/systemd/system").is_dir() {
        // It counts as started when it is attached; that is waited for here.
        &[
            "systemctl",
            "restart",
            "--no-block",
            "onlyhere-probe.service",
        ]
    } else if Path::new("/run/openrc/softlevel").exists() {
        &["rc-service", "onlyhere-probe", "restart"]
    } else {
        return None;
    };
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}
