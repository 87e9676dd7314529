//! Tokens: what lets a probe enrol and a person ask.
//!
//! They stand in `tokens.json` of the data directory, hashed, so that `token create` works before and while the
//! coordinator serves; the server notices a changed file at the next token it is shown.

mod scope;
mod secret;

use std::{collections::BTreeSet, path::Path};

use onlyhere_proto::{Timestamp, VantageName};
use serde::{Deserialize, Serialize};
use subtle::Choice;

use crate::{
    data_file::{DataError, DataFile},
    place::Place,
};

pub use scope::Scope;
pub use secret::{ADMIN, CLIENT, JOIN, JoinToken, Secret, SecretHash, bearer_secret};

/// Tokens kept at most; expired and spent ones make room.
const KEPT: usize = 10_000;

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
        self.kind.scopes()
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
#[derive(Debug)]
pub struct Tokens {
    file: DataFile<Vec<Token>>,
}

impl Tokens {
    /// Those of a data directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            file: DataFile::new(dir, "tokens.json"),
        }
    }

    /// Every token.
    pub fn list(&self) -> Result<Vec<Token>, DataError> {
        Ok(self.file.current()?.to_vec())
    }

    /// Adds one; dead ones go first when there are very many.
    pub fn add(&self, token: Token) -> Result<(), DataError> {
        self.file.update(|tokens| {
            if tokens.len() >= KEPT {
                tokens.retain(|t| t.usable(token.created_at).is_ok());
            }
            tokens.push(token);
        })
    }

    /// Withdraws every token of this id or name that is not withdrawn yet; says how many.
    pub fn revoke(&self, id_or_name: &str) -> Result<usize, DataError> {
        self.file.update(|tokens| {
            let meant = tokens
                .iter_mut()
                .filter(|t| !t.revoked && (t.id == id_or_name || t.name.as_str() == id_or_name));
            meant.map(|token| token.revoked = true).count()
        })
    }

    /// The token of a secret, if it is of one of these kinds and usable now. Spends nothing.
    pub fn find(
        &self,
        secret: &str,
        kinds: &[TokenKind],
        now: Timestamp,
    ) -> Result<Result<Token, Refused>, DataError> {
        let tokens = self.file.current()?;
        Ok(position(&tokens, secret, kinds).and_then(|at| {
            tokens[at].usable(now)?;
            Ok(tokens[at].clone())
        }))
    }

    /// The same, and spends one use when uses are counted.
    pub fn spend(
        &self,
        secret: &str,
        kinds: &[TokenKind],
        now: Timestamp,
    ) -> Result<Result<Token, Refused>, DataError> {
        match self.find(secret, kinds, now)? {
            Ok(token) if token.uses_left.is_some() => self.file.update(|tokens| {
                let at = position(tokens, secret, kinds)?;
                let token = &mut tokens[at];
                token.usable(now)?;
                token.uses_left = token.uses_left.map(|uses| uses - 1);
                Ok(token.clone())
            }),
            other => Ok(other),
        }
    }
}

/// Compares with every token, so that the time tells nothing.
fn position(tokens: &[Token], secret: &str, kinds: &[TokenKind]) -> Result<usize, Refused> {
    let presented = SecretHash::of_presented(secret).ok_or(Refused::Unknown)?;
    let mut found = None;
    for (at, token) in tokens.iter().enumerate() {
        let right_kind = Choice::from(u8::from(kinds.contains(&token.kind)));
        if bool::from(token.secret_sha256.is(&presented) & right_kind) {
            found = Some(at);
        }
    }
    found.ok_or(Refused::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(2_000_000);

    fn tokens() -> (tempfile::TempDir, Tokens) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::in_dir(dir.path());
        (dir, tokens)
    }

    fn probe_token(tokens: &Tokens, uses: Option<u32>) -> Secret {
        let (token, secret) = Token::generate(TokenKind::Probe, "fra1".parse().unwrap(), NOW);
        tokens
            .add(Token {
                uses_left: uses,
                expires_at: Some(LATER),
                ..token
            })
            .unwrap();
        secret
    }

    #[test]
    fn a_token_is_good_for_its_kind_its_uses_and_its_time() {
        let (_dir, tokens) = tokens();
        let secret = probe_token(&tokens, Some(2));
        let spend = |kind, now| {
            tokens
                .spend(secret.as_str(), &[kind], now)
                .unwrap()
                .map(|t| t.uses_left)
        };
        assert_eq!(spend(TokenKind::Client, NOW), Err(Refused::Unknown));
        assert_eq!(spend(TokenKind::Probe, LATER), Err(Refused::Expired));
        assert_eq!(spend(TokenKind::Probe, NOW), Ok(Some(1)));
        assert_eq!(spend(TokenKind::Probe, NOW), Ok(Some(0)));
        assert_eq!(spend(TokenKind::Probe, NOW), Err(Refused::Spent));
        assert_eq!(
            tokens.spend("wrong", &[TokenKind::Probe], NOW).unwrap(),
            Err(Refused::Unknown)
        );
    }

    #[test]
    fn a_revoked_token_is_refused_by_a_server_that_knew_it() {
        let (dir, serving) = tokens();
        let secret = probe_token(&serving, None);
        let find = || {
            serving
                .find(secret.as_str(), &[TokenKind::Probe], NOW)
                .unwrap()
                .map(|_| ())
        };
        assert_eq!(find(), Ok(()));
        let elsewhere = Tokens::in_dir(dir.path());
        assert_eq!(elsewhere.revoke("fra1").unwrap(), 1);
        assert_eq!(elsewhere.revoke("fra1").unwrap(), 0);
        assert_eq!(find(), Err(Refused::Revoked));
    }

    #[test]
    fn the_file_holds_no_secret() {
        let (dir, tokens) = tokens();
        let secret = probe_token(&tokens, None);
        let text = std::fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        assert!(text.contains("fra1") && !text.contains(secret.as_str()));
    }

    #[test]
    fn one_use_is_one_use_for_many_at_once() {
        let (dir, tokens) = tokens();
        let secret = probe_token(&tokens, Some(1));
        let granted = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let tokens = Tokens::in_dir(dir.path());
                    if tokens
                        .spend(secret.as_str(), &[TokenKind::Probe], NOW)
                        .unwrap()
                        .is_ok()
                    {
                        granted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 1);
    }
}
