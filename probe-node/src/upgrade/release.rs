//! What a release folder says of itself: `SHA256SUMS`, and its signature by the key that the owner of this probe trusts.
//! Nothing in here is believed before the signature holds. Pure.

use std::{collections::BTreeMap, fmt, str::FromStr};

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest, Sha256};

/// The list of files, and its signature.
pub const SUMS: &str = "SHA256SUMS";
/// Made by `minisign`.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";
const PROGRAM: &str = "onlyhere-probe";

/// `MAJOR.MINOR.PATCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u64; 3]);

/// Why a release is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedRelease {
    /// What stands in the key file.
    #[error("{0} is no public key of minisign: its second line begins with RW")]
    Key(String),
    /// The file beside the list is no signature.
    #[error("{SIGNATURE} is no signature of minisign")]
    NoSignature,
    /// By another key, or of another list.
    #[error(
        "the signature of {SUMS} is not by the key in {0}: this release is not taken; if its builder has a new key, ask \
         them for it over a way that you trust"
    )]
    Signature(String),
    /// Signed, but not a list of this project.
    #[error("{SUMS} names no {PROGRAM} for {0}")]
    NothingForThisMachine(String),
    /// Two at once.
    #[error("{SUMS} names more than one version of {PROGRAM} for {0}")]
    TwoVersions(String),
    /// A file that is not what was signed.
    #[error("{name} is not the file that was signed: its SHA-256 is {got}, {SUMS} says {wanted}")]
    Digest {
        /// Which.
        name: String,
        /// In hexadecimal.
        got: String,
        /// In hexadecimal.
        wanted: String,
    },
}

/// The one program of a release that fits this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: Version,
    /// The file's name in the release folder.
    pub name: String,
    digest: [u8; 32],
}

impl Offer {
    /// Reads a list that is signed by `key`; both are texts as `minisign` writes them, `key_file` is named where it does not
    /// hold. `machine` is such as `x86_64`.
    pub fn of(
        sums: &[u8],
        signature: &str,
        (key, key_file): (&str, &str),
        machine: &str,
    ) -> Result<Self, UntrustedRelease> {
        let key = PublicKey::decode(key.trim())
            .or_else(|_| PublicKey::from_base64(key.trim()))
            .map_err(|_| UntrustedRelease::Key(key_file.to_owned()))?;
        let signature = Signature::decode(signature).map_err(|_| UntrustedRelease::NoSignature)?;
        key.verify(sums, &signature, false)
            .map_err(|_| UntrustedRelease::Signature(key_file.to_owned()))?;
        let mut offers = files(sums).into_iter().filter_map(|(name, digest)| {
            let version = name
                .strip_prefix(PROGRAM)?
                .strip_prefix('-')?
                .strip_suffix("-linux")?
                .strip_suffix(machine)?
                .strip_suffix('-')?
                .parse()
                .ok()?;
            Some(Self {
                version,
                name,
                digest,
            })
        });
        let offer = (offers.next())
            .ok_or_else(|| UntrustedRelease::NothingForThisMachine(machine.to_owned()))?;
        match offers.next() {
            None => Ok(offer),
            Some(_) => Err(UntrustedRelease::TwoVersions(machine.to_owned())),
        }
    }

    /// Whether this is the file.
    pub fn check(&self, content: &[u8]) -> Result<(), UntrustedRelease> {
        let got: [u8; 32] = Sha256::digest(content).into();
        if got == self.digest {
            return Ok(());
        }
        Err(UntrustedRelease::Digest {
            name: self.name.clone(),
            got: hex::encode(got),
            wanted: hex::encode(self.digest),
        })
    }
}

/// Lines of sha256sum: 64 digits, a blank, a blank or a star, the name.
fn files(sums: &[u8]) -> BTreeMap<String, [u8; 32]> {
    let text = String::from_utf8_lossy(sums);
    let line = |line: &str| {
        let (digest, name) = line.split_at_checked(64)?;
        let name = name
            .strip_prefix("  ")
            .or_else(|| name.strip_prefix(" *"))?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes).ok()?;
        Some((name.to_owned(), bytes))
    };
    text.lines().filter_map(line).collect()
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        });
        let mut next = || parts.next().flatten().ok_or(());
        let version = Self([next()?, next()?, next()?]);
        match parts.next() {
            None => Ok(version),
            Some(_) => Err(()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that was made for this test and thrown away, and what it signed.
    const KEY: &str = include_str!("testdata/release.pub");
    const SUMS: &[u8] = include_bytes!("testdata/SHA256SUMS");
    const SIGNATURE: &str = include_str!("testdata/SHA256SUMS.minisig");
    const ANOTHER_KEY: &str = include_str!("testdata/another.pub");

    fn offer(machine: &str) -> Result<Offer, UntrustedRelease> {
        Offer::of(SUMS, SIGNATURE, (KEY, "release.pub"), machine)
    }

    #[test]
    fn the_program_for_this_machine_is_found_in_a_signed_list() {
        let found = offer("x86_64").unwrap();
        assert_eq!(found.version, "0.2.0".parse().unwrap());
        assert_eq!(found.name, "onlyhere-probe-0.2.0-x86_64-linux");
        found.check(include_bytes!("testdata/program")).unwrap();
        let said = found.check(b"another program\n").unwrap_err().to_string();
        assert!(said.contains("is not the file that was signed"), "{said}");
        let said = offer("riscv64").unwrap_err().to_string();
        assert_eq!(said, "SHA256SUMS names no onlyhere-probe for riscv64");
    }

    #[test]
    fn the_bare_second_line_is_a_key_too() {
        let line = KEY.lines().nth(1).unwrap();
        assert!(Offer::of(SUMS, SIGNATURE, (line, "k"), "x86_64").is_ok());
    }

    #[test]
    fn nothing_is_believed_without_the_signature_of_the_key() {
        let of = |sums: &[u8], signature: &str, key: &str| {
            Offer::of(sums, signature, (key, "release.pub"), "x86_64").unwrap_err()
        };
        let wrong = UntrustedRelease::Signature("release.pub".into());
        assert_eq!(of(SUMS, SIGNATURE, ANOTHER_KEY), wrong);
        let mut changed = SUMS.to_vec();
        changed[0] ^= 1;
        assert_eq!(of(&changed, SIGNATURE, KEY), wrong);
        // Its trusted comment is signed too.
        let comment = SIGNATURE.replace("0.2.0", "0.3.0");
        assert_ne!(comment, SIGNATURE);
        assert_eq!(of(SUMS, &comment, KEY), wrong);
        assert_eq!(of(SUMS, "", KEY), UntrustedRelease::NoSignature);
        assert_eq!(
            of(SUMS, SIGNATURE, "RWnonsense"),
            UntrustedRelease::Key("release.pub".into())
        );
    }

    #[test]
    fn versions_are_three_numbers_and_ordered() {
        let version = |text: &str| text.parse::<Version>();
        assert!(version("0.10.0") > version("0.9.9"));
        assert_eq!(version("1.2.3").unwrap().to_string(), "1.2.3");
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.+3", "1..3", "1.2.3-rc1"] {
            assert!(version(text).is_err(), "{text}");
        }
    }
}
