//! The join token: everything a probe needs to trust its coordinator, and to be trusted once.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

const PREFIX: &str = "onlyhere-join-1.";
/// Longer than any token with a host name in it.
const LONGEST: usize = 2_048;

/// A join token, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// `HOST:PORT` of the coordinator's probe port.
    pub address: String,
    /// SHA-256 of the coordinator's CA in DER form.
    pub ca_sha256: [u8; 32],
    /// Good for one enrolment.
    pub secret: String,
}

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Something else.
    #[error("this is no join token: it is one line that starts with {PREFIX}")]
    Prefix,
    /// Cut short or mistyped.
    #[error(
        "the join token is damaged: copy the whole line that `onlyhere-coordinator token create` printed"
    )]
    Damaged,
}

#[derive(Deserialize)]
struct Content {
    address: String,
    ca_sha256: String,
    secret: String,
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let body = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(InvalidToken::Prefix)?;
        if body.len() > LONGEST {
            return Err(InvalidToken::Damaged);
        }
        let json = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| InvalidToken::Damaged)?;
        let content: Content = serde_json::from_slice(&json).map_err(|_| InvalidToken::Damaged)?;
        let mut ca_sha256 = [0; 32];
        hex::decode_to_slice(&content.ca_sha256, &mut ca_sha256)
            .map_err(|_| InvalidToken::Damaged)?;
        if content.address.is_empty() || content.secret.is_empty() {
            return Err(InvalidToken::Damaged);
        }
        Ok(Self {
            address: content.address,
            ca_sha256,
            secret: content.secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_and_a_damaged_one_is_said_to_be() {
        let json = format!(
            r#"{{"address":"c.example:7443","ca_sha256":"{}","secret":"s"}}"#,
            "ab".repeat(32)
        );
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        let token: JoinToken = format!(" {text}\n").parse().unwrap();
        assert_eq!(token.address, "c.example:7443");
        assert_eq!(token.ca_sha256, [0xab; 32]);
        assert_eq!(
            text[..text.len() - 9].parse::<JoinToken>(),
            Err(InvalidToken::Damaged)
        );
        assert_eq!(
            "onlyhere-client-1.x".parse::<JoinToken>(),
            Err(InvalidToken::Prefix)
        );
        assert_eq!("".parse::<JoinToken>(), Err(InvalidToken::Prefix));
        let short = format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(r#"{"address":"a","ca_sha256":"ab","secret":"s"}"#)
        );
        assert_eq!(short.parse::<JoinToken>(), Err(InvalidToken::Damaged));
    }
}
