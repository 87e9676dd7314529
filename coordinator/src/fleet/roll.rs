//! The roll: every probe that has enrolled, by name, with the place its operator gave it and the key it may attach with.
//!
//! Who is struck off, or enrolled anew with another key, cannot attach any more, whatever certificate it still holds.

mod keys;

use std::{collections::BTreeMap, sync::Arc};

use onlyhere_proto::{Timestamp, VantageName};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{Act, By, Event},
    clock,
    fleet::sighting::Sighting,
    place::Place,
    store::{Change, Committed, Revocation, Store, StoreError},
    tokens::Token,
};

pub use keys::{Certificate, Next, NotAdmitted, Standing};

/// Probes of one coordinator at most.
const LONGEST: usize = 20_000;
/// How often a change is tried again when others change the same name at that moment.
const TRIES: usize = 100;

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
    /// The key's certificate; none: of version 0.1.
    #[serde(default)]
    pub certificate: Option<Certificate>,
    /// A renewal that has not been shown yet.
    #[serde(default)]
    pub next: Option<Next>,
    /// Where it was when it last attached.
    #[serde(default)]
    pub seen: Option<Box<Sighting>>,
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
    /// The key was struck off.
    #[error(
        "this key was revoked; make a new one: remove the probe's data directory and join again"
    )]
    Revoked,
}

/// All enrolled probes, in the store.
#[derive(Debug, Clone)]
pub struct Roll {
    store: Arc<dyn Store>,
}

impl Roll {
    /// That of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Everyone.
    pub async fn all(&self) -> Result<Names, StoreError> {
        self.store.probes().await
    }

    /// The probe of a name.
    pub async fn get(&self, name: &VantageName) -> Result<Option<Enrolled>, StoreError> {
        self.store.probe(name).await
    }

    /// A number that is another one after every change, whoever made it.
    pub async fn version(&self) -> Result<i64, StoreError> {
        self.store.roll_version().await
    }

    /// Enters a probe, if the name is still to be had; it is on the roll for good when this returns.
    pub async fn enter(
        &self,
        name: &VantageName,
        token: &Token,
        enrolled: Enrolled,
        by: &By,
    ) -> Result<Result<(), NameRefused>, StoreError> {
        for _ in 0..TRIES {
            if self.store.is_revoked(&enrolled.key_sha256).await? {
                return Ok(Err(NameRefused::Revoked));
            }
            let names = self.all().await?;
            let granted = match grant(&names, token, Some(name)) {
                Ok(granted) => granted,
                Err(refused) => return Ok(Err(refused)),
            };
            let token = format!("token {}", token.title());
            let act = Event::new(Act::ProbeEnrolled, by.clone(), granted.as_str(), &token);
            let entered = Change::Probe {
                was: names.get(&granted).cloned(),
                now: Some(enrolled.clone()),
                name: granted,
            };
            let changes = vec![entered, Change::Audit(act)];
            if self.store.commit(changes).await? == Committed::Done {
                return Ok(Ok(()));
            }
        }
        Err(StoreError::Contended)
    }

    /// Strikes a probe off, and its key for ever; says whether it was there.
    pub async fn strike(&self, name: &VantageName, by: &By) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let Some(was) = self.get(name).await? else {
                return Ok(false);
            };
            let act = Event::new(Act::ProbeRevoked, by.clone(), name.as_str(), "");
            let at = clock::now();
            let revoke = |key: &str| {
                Change::Revocation(Revocation {
                    key_sha256: key.to_owned(),
                    probe: name.clone(),
                    at,
                })
            };
            let mut changes: Vec<Change> = was.keys().map(revoke).collect();
            let struck = Change::Probe {
                name: name.clone(),
                was: Some(was),
                now: None,
            };
            changes.extend([struck, Change::Audit(act)]);
            if self.store.commit(changes).await? == Committed::Done {
                return Ok(true);
            }
        }
        Err(StoreError::Contended)
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
            certificate: None,
            next: None,
            seen: None,
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

    #[tokio::test]
    async fn who_is_struck_off_is_gone_for_a_running_server_and_its_key_never_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let url = crate::config::Store::default().url;
        let open = async || Roll::new(crate::store::open(&url, dir.path()).await.unwrap());
        let (serving, elsewhere) = (open().await, open().await);
        let (fra, by) = (name("fra"), By::operator());
        let enter = async |key: &str| {
            let enrolled = Enrolled {
                key_sha256: key.into(),
                ..enrolled()
            };
            let token = token("fra", Some(1));
            serving.enter(&fra, &token, enrolled, &by).await.unwrap()
        };
        assert_eq!(enter("00").await, Ok(()));
        assert!(serving.all().await.unwrap().contains_key(&fra));
        let version = serving.version().await.unwrap();
        assert!(elsewhere.strike(&fra, &by).await.unwrap());
        assert!(!elsewhere.strike(&fra, &by).await.unwrap());
        assert!(serving.all().await.unwrap().is_empty());
        assert_ne!(serving.version().await.unwrap(), version);
        assert_eq!(enter("00").await, Err(NameRefused::Revoked));
        assert_eq!(enter("01").await, Ok(()));
    }
}
