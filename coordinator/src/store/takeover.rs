//! Takes over what earlier versions kept in files: `tokens.json` and `probes.json` of the data directory.
//!
//! Everything of a file is committed first, then the file is renamed; a crash in between takes it over once more, and
//! what is there already stays as it is. Nothing is deleted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{Change, Committed, Store, StoreError};
use crate::{
    audit::{Act, By, Event},
    data_file::{DataError, lock_file, rename},
    fleet::roll::Names,
    tokens::Token,
};

const TOKENS: &str = "tokens.json";
const PROBES: &str = "probes.json";

pub(super) async fn take_over(store: &dyn Store, dir: &Path) -> Result<(), StoreError> {
    if !dir.join(TOKENS).exists() && !dir.join(PROBES).exists() {
        return Ok(());
    }
    // Nobody writes to the file meanwhile, and nobody else takes it over.
    let _lock = lock_file(&dir.join("tokens.json.lock"))?;
    if let Some(tokens) = read::<Vec<Token>>(&dir.join(TOKENS))? {
        let mut changes = Vec::new();
        for token in tokens {
            if store.token(&token.id).await?.is_none() {
                let now = Some(Box::new(token));
                changes.push(Change::Token { was: None, now });
            }
        }
        finish(store, changes, &dir.join(TOKENS)).await?;
    }
    let _lock = lock_file(&dir.join("probes.json.lock"))?;
    if let Some(probes) = read::<Names>(&dir.join(PROBES))? {
        let mut changes = Vec::new();
        for (name, enrolled) in probes {
            let is_known = store.probe(&name).await?.is_some();
            if !is_known && !store.is_revoked(&enrolled.key_sha256).await? {
                let now = Some(enrolled);
                changes.push(Change::Probe {
                    name,
                    was: None,
                    now,
                });
            }
        }
        finish(store, changes, &dir.join(PROBES)).await?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DataError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| DataError::Damaged {
                path: path.display().to_string(),
                source,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataError::io("read", path)(error)),
    }
}

async fn finish(
    store: &dyn Store,
    mut changes: Vec<Change>,
    path: &Path,
) -> Result<(), StoreError> {
    let count = changes.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    changes.push(Change::Audit(Event::new(
        Act::TakenOver,
        By::coordinator(),
        &name,
        &format!("{count} entries"),
    )));
    match store.commit(changes).await? {
        Committed::Done => rename(path, &aside(path))?,
        Committed::Conflict => return Err(StoreError::Contended),
    }
    tracing::info!(file = %path.display(), entries = count, "taken over into the store");
    Ok(())
}

/// A name beside it that nobody has yet.
fn aside(path: &Path) -> PathBuf {
    let names = (1..).map(|n| match n {
        1 => path.with_extension("json.taken-over"),
        n => path.with_extension(format!("json.taken-over-{n}")),
    });
    let mut free = names.filter(|name| !name.exists());
    free.next()
        .unwrap_or_else(|| path.with_extension("json.taken-over"))
}
