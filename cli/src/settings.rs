//! Settings: defaults, then what `onlyhere login` has stored, then the config file, then `ONLYHERE_*` variables, then
//! flags; the later wins.
//!
//! A key that nobody knows is refused by name, and the sentence says where it stands: a misspelt `coordinater` would
//! otherwise make every check a check from one vantage.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Source,
    error::Kind,
    providers::{Env, Format as _, Serialized, Toml},
};
use ipnet::IpNet;
use onlyhere_proto::{Host, Target, limits};
use serde::{Deserialize, Serialize};

use crate::{
    args::CoordinatorArgs,
    credentials::{Credentials, CredentialsError},
    remote::{CoordinatorUrl, InvalidCoordinatorUrl},
};

/// Controls, unless others are set: run by different operators, on both IP families, hardly ever down. One is given by
/// its address (which is in its certificate): what still answers when the resolver is what is broken.
const CONTROLS: [&str; 3] = [
    "https://www.cloudflare.com",
    "https://www.wikipedia.org",
    "tls://9.9.9.9:443",
];

/// Variables of the other programs and of logging, which may well stand in the same environment.
const NOT_OURS: [&str; 12] = [
    "log",
    "probes",
    "api",
    "store",
    "bus",
    "geo",
    "guard",
    "source_addresses",
    "labels",
    "data_dir",
    "config",
    "lab",
];

const KEYS: &str = "coordinator, token, controls, dns.resolvers, dns.block_lists and allow_private";

/// What the command goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whom to ask; none: judge alone.
    pub coordinator: Option<CoordinatorUrl>,
    /// The bearer token for it.
    pub token: Option<Token>,
    /// Sites believed healthy.
    pub controls: Vec<Target>,
    /// Resolvers to ask besides the system's.
    pub resolvers: Vec<IpAddr>,
    /// Zones of DNS block lists at which this machine's public address is looked up.
    pub block_lists: Vec<String>,
    /// Special ranges whose addresses are treated like public ones.
    pub allow_private: Vec<IpNet>,
}

/// A bearer token; not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Printable ASCII, as `onlyhere-coordinator token create` prints it.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        match text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err(SettingsError::Token),
        }
    }

    /// The secret itself, for the `authorization` header.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why the settings cannot be used, in one sentence that says where the fault stands.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key that is not known.
    #[error("{place}: unknown key `{key}`; known are {KEYS}")]
    UnknownKey {
        /// File or variable.
        place: String,
        /// The key.
        key: String,
    },
    /// A file that cannot be read as TOML, or a value of the wrong type.
    #[error("{place}: {why}")]
    Unreadable {
        /// File or variable.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The coordinator's address.
    #[error(transparent)]
    Coordinator(#[from] InvalidCoordinatorUrl),
    /// The token.
    #[error(
        "the token holds spaces or characters that no token has; give it as `onlyhere-coordinator token create` printed it"
    )]
    Token,
    /// What `onlyhere login` has stored.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// One of the controls.
    #[error("controls: {0}")]
    Control(onlyhere_proto::InvalidTarget),
    /// More resolvers than a vantage is asked to use.
    #[error("dns.resolvers has {0} addresses; at most {max} are asked", max = limits::RESOLVERS)]
    Resolvers(usize),
    /// A block list that is no zone.
    #[error("dns.block_lists: `{0}` is no zone; write it as in dnsbl.example")]
    BlockList(String),
    /// More block lists than are looked at.
    #[error("dns.block_lists has {0} zones; at most {max} are asked", max = limits::BLOCK_LISTS)]
    BlockLists(usize),
}

/// The settings as they stand in files and variables.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    coordinator: Option<String>,
    token: Option<String>,
    controls: Vec<String>,
    dns: WrittenDns,
    allow_private: Vec<IpNet>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(default)]
struct WrittenDns {
    resolvers: Vec<IpAddr>,
    block_lists: Vec<String>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            coordinator: None,
            token: None,
            controls: CONTROLS.map(str::to_owned).to_vec(),
            dns: WrittenDns::default(),
            allow_private: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the config file and the environment, and lets the flags win.
    pub fn load(flags: &CoordinatorArgs) -> Result<Self, SettingsError> {
        let mut settings = Self::from_file(config_file().as_deref(), flags)?;
        settings.add_stored()?;
        Ok(settings)
    }

    /// What `onlyhere login` has stored, where nothing else says anything.
    fn add_stored(&mut self) -> Result<(), SettingsError> {
        let file = folder().map(|folder| folder.join("credentials.toml"));
        let Some(file) = file.filter(|_| self.token.is_none()) else {
            return Ok(());
        };
        let stored = Credentials::read(&file)?;
        if self.coordinator.is_none() {
            self.coordinator = stored.coordinator.as_deref().map(str::parse).transpose()?;
        }
        if let Some(url) = &self.coordinator {
            self.token = stored.token(url)?;
        }
        Ok(())
    }

    fn from_file(file: Option<&Path>, flags: &CoordinatorArgs) -> Result<Self, SettingsError> {
        let ours = |key: &figment::value::UncasedStr| {
            let first = key.as_str().split(['_', '.']).next().unwrap_or_default();
            !NOT_OURS
                .iter()
                .any(|name| key == *name || name.eq_ignore_ascii_case(first))
        };
        let mut figment = Figment::from(Serialized::defaults(Written::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        let written: Written = figment
            .merge(Env::prefixed("ONLYHERE_").filter(ours).split("__"))
            .extract()
            .map_err(|error| unusable(&error))?;
        Self::checked(written, flags)
    }

    fn checked(written: Written, flags: &CoordinatorArgs) -> Result<Self, SettingsError> {
        let text = |flag: &Option<String>, written: Option<String>| {
            flag.clone()
                .or(written)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let token = text(&flags.token, written.token)
            .map(|token| Token::parse(&token))
            .transpose()?;
        if written.dns.resolvers.len() > limits::RESOLVERS {
            return Err(SettingsError::Resolvers(written.dns.resolvers.len()));
        }
        Ok(Self {
            coordinator: text(&flags.coordinator, written.coordinator)
                .map(|url| url.parse())
                .transpose()?,
            token,
            controls: written
                .controls
                .iter()
                .map(|control| Target::parse(control).map_err(SettingsError::Control))
                .collect::<Result<_, _>>()?,
            resolvers: written.dns.resolvers,
            block_lists: block_lists(&written.dns.block_lists)?,
            allow_private: written.allow_private,
        })
    }

    /// The special range that makes the target, as written, this machine's or this network's own, so that no other
    /// vantage can help; none for a public one, and for one that `allow_private` covers.
    pub fn private_range(&self, target: &Target) -> Option<&'static str> {
        let allowed = matches!(target.host, Host::Address(address) if self.allows(address));
        target.special_range().filter(|_| !allowed)
    }

    /// Whether an address of a special range is declared to be treated like a public one.
    fn allows(&self, address: IpAddr) -> bool {
        self.allow_private
            .iter()
            .any(|range| range.contains(&address))
    }
}

/// Zones in the form in which they are asked for.
fn block_lists(written: &[String]) -> Result<Vec<String>, SettingsError> {
    if written.len() > limits::BLOCK_LISTS {
        return Err(SettingsError::BlockLists(written.len()));
    }
    let zone = |text: &String| match Host::parse(text) {
        Ok(Host::Name(name)) => Ok(name),
        _ => Err(SettingsError::BlockList(limits::plain_text(text, 80))),
    };
    written.iter().map(zone).collect()
}

/// `config.toml` in [`folder`], if there is one.
fn config_file() -> Option<PathBuf> {
    let file = folder()?.join("config.toml");
    file.exists().then_some(file)
}

/// `$XDG_CONFIG_HOME/onlyhere` or `~/.config/onlyhere`.
pub fn folder() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    let dir = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(dir.join("onlyhere"))
}

fn unusable(error: &figment::Error) -> SettingsError {
    let key = error.path.join(".");
    let source = error
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.source.as_ref());
    let place = match source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => format!(
            "variable ONLYHERE_{}",
            key.to_uppercase().replace('.', "__")
        ),
    };
    match &error.kind {
        Kind::UnknownField(name, _) => {
            // figment puts the parent into `path`, and serde the last part into the kind.
            let key = match error.path.last() {
                Some(last) if last == name => key,
                _ if key.is_empty() => name.clone(),
                _ => format!("{key}.{name}"),
            };
            let place = match source {
                Some(Source::File(_)) => place,
                _ => format!(
                    "variable ONLYHERE_{}",
                    key.to_uppercase().replace('.', "__")
                ),
            };
            SettingsError::UnknownKey { place, key }
        }
        kind => {
            let why = kind
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            let why = if key.is_empty() {
                why
            } else {
                format!("`{key}`: {why}")
            };
            SettingsError::Unreadable {
                place,
                why: limits::plain_text(&why, limits::TEXT),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::LogFormat;

    fn no_flags() -> CoordinatorArgs {
        CoordinatorArgs {
            coordinator: None,
            token: None,
            log_format: LogFormat::Text,
        }
    }

    fn read(text: &str) -> Result<Settings, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        Settings::from_file(Some(&file), &no_flags())
    }

    #[test]
    fn a_full_file_is_read_and_flags_win() {
        let text = "coordinator = 'https://a.example'\ntoken = 'onlyhere-client-1.x'\n\
            controls = ['https://control.example']\nallow_private = ['10.0.0.0/8']\n[dns]\nresolvers = ['192.0.2.53']\n\
            block_lists = ['BL.example.']\n";
        let settings = read(text).unwrap();
        assert_eq!(
            settings.coordinator.unwrap().to_string(),
            "https://a.example:7080"
        );
        assert_eq!(settings.controls.len(), 1);
        assert_eq!(
            settings.resolvers,
            ["192.0.2.53".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(settings.block_lists, ["bl.example"]);
        assert!(!format!("{:?}", settings.token).contains("client"));

        let written: Written = toml_of(text);
        let flags = CoordinatorArgs {
            coordinator: Some("http://b.example:1".into()),
            ..no_flags()
        };
        let settings = Settings::checked(written, &flags).unwrap();
        assert_eq!(
            settings.coordinator.unwrap().to_string(),
            "http://b.example:1"
        );
    }

    fn toml_of(text: &str) -> Written {
        Figment::from(Toml::string(text)).extract().unwrap()
    }

    #[test]
    fn bad_files_are_refused_by_key_and_file() {
        for (text, says) in [
            (
                "coordinater = 'x'",
                "config.toml: unknown key `coordinater`; known are coordinator",
            ),
            (
                "[dns]\nresolver = []",
                "config.toml: unknown key `dns.resolver`",
            ),
            ("controls = 'x'", "config.toml: `controls`: invalid type"),
            (
                "allow_private = ['10.0.0.0/99']",
                "config.toml: `allow_private",
            ),
            ("[dns]\nresolvers = ['x']", "config.toml: `dns.resolvers"),
            (
                "[dns]\nblock_lists = ['192.0.2.1']",
                "dns.block_lists: `192.0.2.1` is no zone",
            ),
            (
                "controls = ['http://']",
                "controls: `http://` names no host",
            ),
            (
                "coordinator = 'ftp://a'",
                "`ftp://a` is no coordinator's address",
            ),
            ("token = 'a b'", "the token holds spaces"),
            ("= =", "config.toml: "),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn private_targets_are_private_unless_allowed() {
        let settings = read("allow_private = ['10.0.0.0/8']").unwrap();
        for (target, private) in [
            ("http://127.0.0.1:1", true),
            ("localhost:3000", true),
            ("ping://[::1]", true),
            ("192.168.1.1:80", true),
            ("10.1.2.3:80", false),
            ("shop.example", false),
        ] {
            assert_eq!(
                settings
                    .private_range(&Target::parse(target).unwrap())
                    .is_some(),
                private,
                "{target}"
            );
        }
    }
}
