//! The secrets themselves: 256 random bits, shown once as text, kept only as a SHA-256.
//!
//! A plain hash is enough because there is nothing to guess: a slow hash protects secrets that people choose.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

const BYTES: usize = 32;
/// Longer than any token; what is longer is not even hashed.
const LONGEST: usize = 128;

/// What a join token's text starts with.
pub const JOIN: &str = "onlyhere-join-1.";
/// What a client token's text starts with.
pub const CLIENT: &str = "onlyhere-client-1.";
/// What an admin token's text starts with.
pub const ADMIN: &str = "onlyhere-admin-1.";

/// A secret in clear; lives only between its making and its printing.
pub struct Secret(String);

impl Secret {
    /// 256 bits of the system's randomness.
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; BYTES]>()))
    }

    /// As text: base64url without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is stored.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(&self.0).into())
    }
}

/// SHA-256 of a secret's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of what somebody presents; nothing for a text that is too long to be a secret.
    pub fn of_presented(text: &str) -> Option<Self> {
        (text.len() <= LONGEST).then(|| Self(Sha256::digest(text).into()))
    }

    /// Compares without telling by its time where the two differ.
    pub fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// Short name of the token, for lists and logs; tells nothing of the secret.
    pub fn id(&self) -> String {
        hex::encode(&self.0[..5])
    }
}

impl TryFrom<String> for SecretHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&text, &mut hash)
            .map_err(|_| "a hash is 64 hexadecimal digits".to_owned())?;
        Ok(Self(hash))
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        hex::encode(hash.0)
    }
}

/// What a probe's operator pastes: everything a probe needs to trust and to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// `HOST:PORT` of the probe port.
    pub address: String,
    /// SHA-256 of the CA's DER form, hexadecimal.
    pub ca_sha256: String,
    /// For one enrolment.
    pub secret: String,
}

impl JoinToken {
    /// One line.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).expect("three texts are always JSON");
        format!("{JOIN}{}", URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads the line again.
    pub fn parse(text: &str) -> Option<Self> {
        let body = URL_SAFE_NO_PAD
            .decode(text.trim().strip_prefix(JOIN)?)
            .ok()?;
        serde_json::from_slice(&body).ok()
    }
}

/// The secret within a bearer token's text.
pub fn bearer_secret(text: &str) -> Option<&str> {
    text.strip_prefix(CLIENT)
        .or_else(|| text.strip_prefix(ADMIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_is_one_line_and_reads_back() {
        let token = JoinToken {
            address: "coordinator.example:7443".into(),
            ca_sha256: "ab".repeat(32),
            secret: Secret::generate().as_str().into(),
        };
        let text = token.to_text();
        assert!(
            text.starts_with(JOIN) && !text.contains(['\n', '=', '+', '/']),
            "{text}"
        );
        assert_eq!(JoinToken::parse(&text), Some(token));
        assert_eq!(JoinToken::parse("onlyhere-join-1.AAAA"), None);
    }

    #[test]
    fn secrets_differ_and_only_their_own_hash_fits() {
        let (a, b) = (Secret::generate(), Secret::generate());
        assert_eq!(a.as_str().len(), 43);
        assert!(bool::from(
            a.hash().is(&SecretHash::of_presented(a.as_str()).unwrap())
        ));
        assert!(!bool::from(a.hash().is(&b.hash())));
        assert_eq!(SecretHash::of_presented(&"x".repeat(129)), None);
    }
}
