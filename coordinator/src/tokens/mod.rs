//! Tokens: what lets a probe enrol and a person ask.
//!
//! They stand in the store, hashed, so that `token create` works before and while the coordinator serves; what another
//! process changes counts from the next time that a token is shown.

mod limits;
mod scope;
mod secret;

use std::{collections::BTreeSet, sync::Arc};

use onlyhere_proto::{Timestamp, VantageName};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{Act, By, Event},
    place::Place,
    store::{Change, Committed, Store, StoreError},
};

pub use limits::{HostSuffix, Limit, Limits};
pub use scope::Scope;
pub use secret::{ADMIN, CLIENT, JOIN, JoinToken, Secret, SecretHash, bearer_secret};

/// Tokens kept at most; expired and spent ones make room.
const KEPT: usize = 10_000;
/// How often a change is tried again when others change the same token at that moment.
const TRIES: usize = 100;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Lets a probe enrol.
    Probe,
    /// Lets a person or a CI job check targets.
    Client,
    /// The same, and reads everybody's reports.
    Admin,
}

impl TokenKind {
    /// The stable label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Client => "client",
            Self::Admin => "admin",
        }
    }
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Short name for lists and logs.
    pub id: String,
    /// What it is for.
    pub kind: TokenKind,
    /// Whose it is; of a probe token the probe's name.
    pub name: VantageName,
    /// The secret's hash.
    pub secret_sha256: SecretHash,
    /// Of a probe token: where the probe sits.
    #[serde(default)]
    pub place: Place,
    /// What it may be used for, of what its kind may; none: all of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Scope>>,
    /// Hosts that it may check, with all below them; none: every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostSuffix>,
    /// How much it may be used.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// How often it might be used when it was made; none: without limit.
    #[serde(default)]
    pub uses: Option<u32>,
    /// How often it may still be used; none: without limit.
    #[serde(default)]
    pub uses_left: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; none: never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Whether it was withdrawn.
    #[serde(default)]
    pub revoked: bool,
}

impl Token {
    /// A new token without limits, and its secret.
    pub fn generate(kind: TokenKind, name: VantageName, now: Timestamp) -> (Self, Secret) {
        let secret = Secret::generate();
        let hash = secret.hash();
        let token = Self {
            id: hash.id(),
            kind,
            name,
            secret_sha256: hash,
            place: Place::default(),
            scopes: None,
            hosts: Vec::new(),
            limits: Limits::default(),
            uses: None,
            uses_left: None,
            created_at: now,
            expires_at: None,
            revoked: false,
        };
        (token, secret)
    }

    /// What it may be used for.
    pub fn scopes(&self) -> BTreeSet<Scope> {
        let all = self.kind.scopes();
        match &self.scopes {
            None => all,
            Some(some) => all.intersection(some).copied().collect(),
        }
    }

    /// Whether it may be used for this. Who may read everything may read his own.
    pub fn may(&self, scope: Scope) -> bool {
        let scopes = self.scopes();
        scopes.contains(&scope) || (scope == Scope::Read && scopes.contains(&Scope::ReadAll))
    }

    /// Id and name, for lists and logs.
    pub fn title(&self) -> String {
        format!("{} {}", self.id, self.name)
    }

    /// Why it is refused now; `Ok` when it is not.
    pub fn usable(&self, now: Timestamp) -> Result<(), Refused> {
        if self.revoked {
            return Err(Refused::Revoked);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refused::Expired);
        }
        if self.uses_left == Some(0) {
            return Err(Refused::Spent);
        }
        Ok(())
    }
}

/// Why a token is not accepted. Strangers are told no more than that; the log says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such token, or one for another purpose.
    #[error("the token is not known")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It was used as often as it may be.
    #[error("the token has been used up")]
    Spent,
    /// Its operator withdrew it.
    #[error("the token has been revoked")]
    Revoked,
}

impl Refused {
    /// One word for lists.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Spent => "used up",
            Self::Revoked => "revoked",
        }
    }
}

/// All tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    store: Arc<dyn Store>,
}

impl Tokens {
    /// Those of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Every token, the oldest first.
    pub async fn list(&self) -> Result<Vec<Token>, StoreError> {
        self.store.tokens().await
    }

    /// Adds one; dead ones go first when there are very many.
    pub async fn add(&self, token: Token, by: &By) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        let all = self.store.tokens().await?;
        if all.len() >= KEPT {
            let dead = all
                .into_iter()
                .filter(|t| t.usable(token.created_at).is_err());
            changes.extend(dead.map(|token| Change::Token {
                was: Some(Box::new(token)),
                now: None,
            }));
        }
        let act = Event::new(
            Act::TokenCreated,
            by.clone(),
            &token.title(),
            token.kind.label(),
        );
        changes.push(Change::Audit(act));
        changes.push(Change::Token {
            was: None,
            now: Some(Box::new(token)),
        });
        match self.store.commit(changes).await? {
            Committed::Done => Ok(()),
            Committed::Conflict => Err(StoreError::Contended),
        }
    }

    /// Withdraws every token of this id or name that is not withdrawn yet; says how many.
    pub async fn revoke(&self, id_or_name: &str, by: &By) -> Result<usize, StoreError> {
        for _ in 0..TRIES {
            let mut meant = self.store.tokens().await?;
            meant.retain(|t| !t.revoked && (t.id == id_or_name || t.name.as_str() == id_or_name));
            let count = meant.len();
            let changes = meant.into_iter().flat_map(|was| {
                let act = Event::new(Act::TokenRevoked, by.clone(), &was.title(), "");
                let now = Token {
                    revoked: true,
                    ..was.clone()
                };
                let change = Change::Token {
                    was: Some(Box::new(was)),
                    now: Some(Box::new(now)),
                };
                [change, Change::Audit(act)]
            });
            if count == 0 || self.store.commit(changes.collect()).await? == Committed::Done {
                return Ok(count);
            }
        }
        Err(StoreError::Contended)
    }

    /// The token of a secret, if it is of one of these kinds and usable now. Spends nothing.
    pub async fn find(
        &self,
        secret: &str,
        kinds: &[TokenKind],
        now: Timestamp,
    ) -> Result<Result<Token, Refused>, StoreError> {
        let found = self.of_secret(secret, kinds).await?;
        Ok(found.and_then(|token| token.usable(now).map(|()| token)))
    }

    /// The same, and spends one use when uses are counted; the use is spent for good when this returns.
    pub async fn spend(
        &self,
        secret: &str,
        kinds: &[TokenKind],
        now: Timestamp,
    ) -> Result<Result<Token, Refused>, StoreError> {
        for _ in 0..TRIES {
            let was = match self.find(secret, kinds, now).await? {
                Ok(token) if token.uses_left.is_some() => token,
                other => return Ok(other),
            };
            let token = Token {
                uses_left: was.uses_left.map(|uses| uses.saturating_sub(1)),
                ..was.clone()
            };
            let spent = Change::Token {
                was: Some(Box::new(was)),
                now: Some(Box::new(token.clone())),
            };
            if self.store.commit(vec![spent]).await? == Committed::Done {
                return Ok(Ok(token));
            }
        }
        Err(StoreError::Contended)
    }

    /// Looked up by its id, which is a part of the hash and tells nothing of the secret; the whole hash is then compared
    /// without telling by the time where the two differ.
    async fn of_secret(
        &self,
        secret: &str,
        kinds: &[TokenKind],
    ) -> Result<Result<Token, Refused>, StoreError> {
        let Some(presented) = SecretHash::of_presented(secret) else {
            return Ok(Err(Refused::Unknown));
        };
        let token = self.store.token(&presented.id()).await?;
        let right = token.filter(|token| {
            bool::from(token.secret_sha256.is(&presented)) && kinds.contains(&token.kind)
        });
        Ok(right.ok_or(Refused::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(2_000_000);

    async fn tokens() -> (tempfile::TempDir, Tokens) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = in_dir(&dir).await;
        (dir, tokens)
    }

    async fn in_dir(dir: &tempfile::TempDir) -> Tokens {
        let url = crate::config::Store::default().url;
        Tokens::new(crate::store::open(&url, dir.path()).await.unwrap())
    }

    async fn probe_token(tokens: &Tokens, uses: Option<u32>) -> Secret {
        let (token, secret) = Token::generate(TokenKind::Probe, "fra1".parse().unwrap(), NOW);
        let token = Token {
            uses_left: uses,
            expires_at: Some(LATER),
            ..token
        };
        tokens.add(token, &By::operator()).await.unwrap();
        secret
    }

    #[tokio::test]
    async fn a_token_is_good_for_its_kind_its_uses_and_its_time() {
        let (_dir, tokens) = tokens().await;
        let secret = probe_token(&tokens, Some(2)).await;
        let spend = async |kind, now| {
            let spent = tokens.spend(secret.as_str(), &[kind], now).await;
            spent.unwrap().map(|t| t.uses_left)
        };
        assert_eq!(spend(TokenKind::Client, NOW).await, Err(Refused::Unknown));
        assert_eq!(spend(TokenKind::Probe, LATER).await, Err(Refused::Expired));
        assert_eq!(spend(TokenKind::Probe, NOW).await, Ok(Some(1)));
        assert_eq!(spend(TokenKind::Probe, NOW).await, Ok(Some(0)));
        assert_eq!(spend(TokenKind::Probe, NOW).await, Err(Refused::Spent));
        let wrong = tokens.spend("wrong", &[TokenKind::Probe], NOW).await;
        assert_eq!(wrong.unwrap(), Err(Refused::Unknown));
    }

    #[tokio::test]
    async fn a_revoked_token_is_refused_by_a_server_that_knew_it() {
        let (dir, serving) = tokens().await;
        let secret = probe_token(&serving, None).await;
        let find = async || {
            let found = serving
                .find(secret.as_str(), &[TokenKind::Probe], NOW)
                .await;
            found.unwrap().map(|_| ())
        };
        assert_eq!(find().await, Ok(()));
        let elsewhere = in_dir(&dir).await;
        let by = By::operator();
        assert_eq!(elsewhere.revoke("fra1", &by).await.unwrap(), 1);
        assert_eq!(elsewhere.revoke("fra1", &by).await.unwrap(), 0);
        assert_eq!(find().await, Err(Refused::Revoked));
    }

    #[tokio::test]
    async fn no_file_holds_the_secret() {
        let (dir, tokens) = tokens().await;
        let secret = probe_token(&tokens, None).await;
        let mut holds_the_name = false;
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
            holds_the_name |= holds("fra1");
            assert!(!holds(secret.as_str()));
        }
        assert!(holds_the_name);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_use_is_one_use_for_many_at_once() {
        let (dir, first) = tokens().await;
        let secret = probe_token(&first, Some(1)).await;
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let tokens = in_dir(&dir).await;
            let secret = secret.as_str().to_owned();
            tries.spawn(async move {
                let spent = tokens.spend(&secret, &[TokenKind::Probe], NOW).await;
                spent.unwrap().is_ok()
            });
        }
        let granted = tries.join_all().await;
        assert_eq!(granted.iter().filter(|granted| **granted).count(), 1);
    }
}
