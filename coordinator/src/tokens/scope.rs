//! What a token may be used for.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::TokenKind;

/// One thing that a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Begin checks.
    Check,
    /// Read the reports of the token's own checks.
    Read,
    /// Read everybody's reports.
    ReadAll,
    /// List the vantages that are attached.
    Vantages,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Check, Self::Read, Self::ReadAll, Self::Vantages];

    /// The stable label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Read => "read",
            Self::ReadAll => "read-all",
            Self::Vantages => "vantages",
        }
    }

    /// What it allows, after "may".
    pub const fn allows(self) -> &'static str {
        match self {
            Self::Check => "begin checks",
            Self::Read => "read reports",
            Self::ReadAll => "read everybody's reports",
            Self::Vantages => "list vantages",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::label).join(", ");
        Self::ALL
            .into_iter()
            .find(|scope| scope.label() == text)
            .ok_or_else(|| format!("`{text}` is no scope; known are {}", known()))
    }
}

impl TokenKind {
    /// What a token of this kind may be used for at most, and is unless it is told otherwise. A probe's token enrols, and
    /// nothing else.
    pub fn scopes(self) -> BTreeSet<Scope> {
        match self {
            Self::Probe => BTreeSet::new(),
            Self::Client => [Scope::Check, Scope::Read, Scope::Vantages].into(),
            Self::Admin => Scope::ALL.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        let wrong = "all".parse::<Scope>().unwrap_err();
        assert_eq!(
            wrong,
            "`all` is no scope; known are check, read, read-all, vantages"
        );
    }

    #[test]
    fn only_an_admin_reads_what_others_asked() {
        let reads_all = |kind: TokenKind| kind.scopes().contains(&Scope::ReadAll);
        assert!(reads_all(TokenKind::Admin) && !reads_all(TokenKind::Client));
        assert!(TokenKind::Probe.scopes().is_empty());
    }
}
