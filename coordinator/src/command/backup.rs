//! `backup FILE` and `restore FILE`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{CommandError, Settings, block_on};
use crate::{
    audit::By,
    data_file::{DataError, lock_file},
    store::{
        Sqlite, Store,
        restore::restore,
        sqlite::{
            backup::{Beside, backup},
            path_of,
        },
    },
};

/// Of the data directory, what a coordinator is besides its state: without its CA every probe would have to join anew.
const BESIDE: [&str; 2] = ["ca-key.pem", "ca.pem"];

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// A file that does not exist yet. It holds the CA's key: whoever can read it can pose as this coordinator.
    file: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `backup` wrote.
    file: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

impl Backup {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let (database, dir) = places(&self.settings)?;
        if !database.exists() {
            return Err(CommandError::Usage(format!(
                "there is no {} to back up: give the --data-dir and --config of the coordinator",
                database.display()
            )));
        }
        let beside = {
            // Nobody makes or changes the CA meanwhile.
            let _lock = lock_file(&dir.join("ca.lock"))?;
            read_beside(&dir)?
        };
        block_on(async {
            // Opened as everybody opens it: of this version's schema, and said to be in use.
            let store = Sqlite::open(&database).await?;
            let done = backup(&database, &beside, &self.file).await;
            store.close().await;
            done?;
            println!("{}", self.file.display());
            Ok(())
        })
    }
}

impl Restore {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let (database, dir) = places(&self.settings)?;
        let done =
            block_on(async { Ok(restore(&self.file, &database, &dir, &By::operator()).await?) })?;
        println!("restored: as of {}", done.made_at);
        for path in &done.aside {
            println!("kept: {}", path.display());
        }
        match done.still_revoked {
            Some(0) => {}
            Some(count) => println!("revoked since then, and still revoked: {count}"),
            None => eprintln!(
                "onlyhere-coordinator: the state that was there could not be read; what was revoked since the backup \
                 holds again: revoke it anew"
            ),
        }
        Ok(())
    }
}

/// The database and the data directory.
fn places(settings: &Settings) -> Result<(PathBuf, PathBuf), CommandError> {
    let (config, dir) = (settings.load()?, settings.data_dir()?);
    let database = path_of(&config.store.url, &dir).ok_or_else(|| {
        CommandError::Usage(format!(
            "store.url is `{}`, which is no sqlite://FILE",
            config.store.url
        ))
    })?;
    Ok((database, dir))
}

fn read_beside(dir: &Path) -> Result<Vec<Beside>, DataError> {
    let mut found = Vec::new();
    for name in BESIDE {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(content) => found.push((name.to_owned(), content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DataError::io("read", &path)(error)),
        }
    }
    Ok(found)
}
