//! The roll: every probe that has enrolled, by name, with the place its operator gave it and the key it may attach with.
//!
//! Who is struck off, or enrolled anew with another key, cannot attach any more, whatever certificate it still holds.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use onlyhere_proto::{Timestamp, VantageName};
use serde::{Deserialize, Serialize};

use crate::{
    data_file::{DataError, DataFile},
    place::Place,
    tokens::Token,
};

/// Probes of one coordinator at most.
const LONGEST: usize = 20_000;

/// What is kept of an enrolled probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Where it sits.
    pub place: Place,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), hexadecimal.
    pub key_sha256: String,
    /// When.
    pub enrolled_at: Timestamp,
    /// With which token.
    pub token: String,
}

/// All enrolled probes.
pub type Names = BTreeMap<VantageName, Enrolled>;

/// Why a name is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRefused {
    /// The caller's.
    #[error("`you` is the caller's name; no probe may carry it")]
    You,
    /// Somebody else's.
    #[error(
        "a probe named `{0}` is enrolled already; give another name, or create a token for that very name"
    )]
    Taken(VantageName),
    /// No more probes.
    #[error("this coordinator has as many probes as it can have ({LONGEST})")]
    Full,
}

/// The file `probes.json` of the data directory.
#[derive(Debug)]
pub struct Roll {
    file: DataFile<Names>,
}

impl Roll {
    /// That of a data directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            file: DataFile::new(dir, "probes.json"),
        }
    }

    /// Everyone.
    pub fn all(&self) -> Result<Arc<Names>, DataError> {
        self.file.current()
    }

    /// Enters a probe, if the name is still to be had.
    pub fn enter(
        &self,
        name: &VantageName,
        token: &Token,
        enrolled: Enrolled,
    ) -> Result<Result<(), NameRefused>, DataError> {
        self.file.update(|names| {
            let granted = grant(names, token, Some(name))?;
            names.insert(granted, enrolled);
            Ok(())
        })
    }

    /// Strikes a probe off; says whether it was there.
    pub fn strike(&self, name: &VantageName) -> Result<bool, DataError> {
        self.file.update(|names| names.remove(name).is_some())
    }
}

/// The name that a probe with this token gets.
///
/// A token for one use stands for its own name and replaces the probe that had it: so a lost machine is enrolled again.
/// With a token for several uses, and for any other name, only a name that nobody has is given, so that no probe can take
/// another's place.
pub fn grant(
    names: &Names,
    token: &Token,
    wish: Option<&VantageName>,
) -> Result<VantageName, NameRefused> {
    let wanted = wish.unwrap_or(&token.name);
    if wanted.is_you() {
        return Err(NameRefused::You);
    }
    if token.uses == Some(1) && *wanted == token.name && names.contains_key(wanted) {
        return Ok(wanted.clone());
    }
    if names.len() >= LONGEST {
        return Err(NameRefused::Full);
    }
    if !names.contains_key(wanted) {
        return Ok(wanted.clone());
    }
    if wish.is_some() || token.uses == Some(1) {
        return Err(NameRefused::Taken(wanted.clone()));
    }
    let numbered = (2..=LONGEST).filter_map(|n| format!("{wanted}-{n}").parse().ok());
    let mut free = numbered.filter(|name| !names.contains_key(name));
    free.next()
        .ok_or_else(|| NameRefused::Taken(wanted.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::TokenKind;

    fn name(text: &str) -> VantageName {
        text.parse().unwrap()
    }

    fn token(for_name: &str, uses: Option<u32>) -> Token {
        let (token, _) = Token::generate(TokenKind::Probe, name(for_name), Timestamp(0));
        Token {
            uses,
            uses_left: uses,
            ..token
        }
    }

    fn enrolled() -> Enrolled {
        Enrolled {
            place: Place::default(),
            key_sha256: "00".into(),
            enrolled_at: Timestamp(0),
            token: "t".into(),
        }
    }

    #[test]
    fn no_probe_takes_anothers_name() {
        let names: Names = ["fra", "fra-2", "nyc"]
            .map(|n| (name(n), enrolled()))
            .into();
        let single = token("fra", Some(1));
        assert_eq!(grant(&names, &single, None), Ok(name("fra")));
        assert_eq!(grant(&names, &single, Some(&name("par"))), Ok(name("par")));
        assert_eq!(
            grant(&names, &single, Some(&name("nyc"))),
            Err(NameRefused::Taken(name("nyc")))
        );
        let shared = token("fra", Some(5));
        assert_eq!(grant(&names, &shared, None), Ok(name("fra-3")));
        assert_eq!(
            grant(&names, &shared, Some(&name("fra"))),
            Err(NameRefused::Taken(name("fra")))
        );
        assert_eq!(
            grant(&names, &shared, Some(&name("you"))),
            Err(NameRefused::You)
        );
    }

    #[test]
    fn who_is_struck_off_is_gone_for_a_running_server() {
        let dir = tempfile::tempdir().unwrap();
        let (serving, elsewhere) = (Roll::in_dir(dir.path()), Roll::in_dir(dir.path()));
        serving
            .enter(&name("fra"), &token("fra", Some(1)), enrolled())
            .unwrap()
            .unwrap();
        assert!(serving.all().unwrap().contains_key(&name("fra")));
        assert!(elsewhere.strike(&name("fra")).unwrap());
        assert!(!elsewhere.strike(&name("fra")).unwrap());
        assert!(serving.all().unwrap().is_empty());
    }
}
