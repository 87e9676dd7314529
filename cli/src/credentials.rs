//! Tokens that `onlyhere login` has stored: a file that only its owner may read, a token for each coordinator.
//!
//! There is no keyring of the desktop behind it: its libraries would be as much code as all the rest, and a server or a CI
//! job has none. A file that others may read is refused, as ssh refuses such a key.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{
    remote::CoordinatorUrl,
    settings::{SettingsError, Token},
};

/// Longest file that is read, bytes.
const LONGEST: u64 = 256 * 1024;
/// What group and others may do; nothing is right.
const OTHERS: u32 = 0o077;

/// What is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Whom to ask where nothing else says so: where the last login was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
    /// By address.
    #[serde(default)]
    tokens: BTreeMap<String, String>,
}

/// Why they cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Others may read it.
    #[error("{file} may be read by others, and holds tokens; make it yours alone: chmod 600 {file}", file = .0.display())]
    Open(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what `onlyhere login` writes.
    #[error("{} is not as `onlyhere login` writes it; remove it and log in again", .0.display())]
    Broken(PathBuf),
}

impl Credentials {
    /// Reads the file; where there is none, nothing is stored.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let failed = |source| CredentialsError::Io {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        // Of the open file: another one cannot take its place in between.
        if file.metadata().map_err(failed)?.mode() & OTHERS != 0 {
            return Err(CredentialsError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.take(LONGEST)
            .read_to_string(&mut text)
            .map_err(failed)?;
        toml::from_str(&text).map_err(|_| CredentialsError::Broken(path.to_owned()))
    }

    /// Replaces the file in one step: whoever reads sees the old one or the new one.
    pub fn write(&self, path: &Path) -> Result<(), CredentialsError> {
        let failed = |source| CredentialsError::Io {
            path: path.to_owned(),
            source,
        };
        let text = toml::to_string(self).map_err(|_| CredentialsError::Broken(path.to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        // Its owner's alone from the start, and gone where it does not take the place of the old one.
        let mut draft = NamedTempFile::new_in(folder).map_err(failed)?;
        draft
            .write_all(text.as_bytes())
            .and_then(|()| draft.as_file().sync_all())
            .map_err(failed)?;
        draft.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The token for a coordinator.
    pub fn token(&self, url: &CoordinatorUrl) -> Result<Option<Token>, SettingsError> {
        self.tokens
            .get(&url.to_string())
            .map(|text| Token::parse(text))
            .transpose()
    }

    /// Stores a token, and the coordinator as the one to ask.
    pub fn store(&mut self, url: &CoordinatorUrl, token: &Token) {
        self.tokens
            .insert(url.to_string(), token.secret().to_owned());
        self.coordinator = Some(url.to_string());
    }

    /// Forgets a coordinator's token; false where there was none.
    pub fn forget(&mut self, url: &CoordinatorUrl) -> bool {
        let url = url.to_string();
        if self.coordinator.as_ref() == Some(&url) {
            self.coordinator = None;
        }
        self.tokens.remove(&url).is_some()
    }

    /// Of which coordinators there are tokens.
    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.tokens.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_stored_is_read_again_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onlyhere/credentials.toml");
        let [one, two] = ["https://a.example", "https://b.example:443"]
            .map(|url| url.parse::<CoordinatorUrl>().unwrap());
        let mut stored = Credentials::read(&file).unwrap();
        assert_eq!(stored.known().count(), 0);
        stored.store(&one, &Token::parse("onlyhere-client-1.x").unwrap());
        stored.store(&two, &Token::parse("other").unwrap());
        stored.write(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let folder_mode = fs::metadata(file.parent().unwrap()).unwrap().mode();
        assert_eq!(folder_mode & 0o777, 0o700);

        let mut read = Credentials::read(&file).unwrap();
        assert_eq!(read.coordinator.as_deref(), Some("https://b.example:443"));
        let token = read.token(&one).unwrap().unwrap();
        assert_eq!(token.secret(), "onlyhere-client-1.x");
        assert!(read.forget(&two) && !read.forget(&two));
        assert_eq!(read.coordinator, None);
        read.write(&file).unwrap();
        let names = fs::read_dir(file.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "no drafts are left");

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Credentials::read(&file).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "tokens = 3").unwrap();
        let error = Credentials::read(&file).unwrap_err().to_string();
        assert!(error.contains("log in again"), "{error}");
    }
}
