//! Settings: defaults, then the file of `--config`, then `ONLYHERE_*` variables; unknown keys are refused by name.

use std::{collections::BTreeMap, fmt, io, net::IpAddr, path::Path, sync::Arc};

use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Format, Serialized, Toml},
    value::{Dict, Map, Value},
};
use onlyhere_proto::limits;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    ProberSettings,
    guard::{Guard, Rule},
    journal::Journal,
    pace::{Caps, MOST_FAILING_REQUESTS},
    user_agent, way,
};

const PREFIX: &str = "ONLYHERE_";
/// What other programs of the project read from the same environment.
const OF_OTHERS: [&str; 11] = [
    "log",
    "coordinator",
    "token",
    "controls",
    "dns",
    "allow_private",
    "probes",
    "api",
    "store",
    "bus",
    "geo",
];

/// Bytes that a journal may be given.
const SMALLEST_RECORD: u64 = 100_000;
const LARGEST_RECORD: u64 = 10_000_000_000;

/// Everything that can be set; `sample.toml` shows it with its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whom to write to about this node: a page or a mail address, told to every site that is asked for a page.
    pub contact: String,
    /// What this node may be asked.
    pub guard: GuardConfig,
    /// How much it does, at once and over time.
    pub limits: Limits,
    /// What is written down of it, for its owner.
    pub record: Record,
    /// Whether the daemon gives up what it does not need.
    pub sandbox: Sandbox,
    /// Further addresses of this node to try from; the coordinator is told of them.
    #[serde(deserialize_with = "list")]
    pub source_addresses: Vec<IpAddr>,
    /// Labels of this node; the coordinator's token gives them for now.
    pub labels: BTreeMap<String, String>,
}

/// Whether the daemon gives up, before it attaches, all files and system calls that it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// As far as this kernel can.
    #[default]
    On,
    /// Not at all.
    Off,
}

/// `[guard]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// May be tried, though a wider `deny` or a special range forbids it.
    #[serde(deserialize_with = "list")]
    pub allow: Vec<Rule>,
    /// May not be tried.
    #[serde(deserialize_with = "list")]
    pub deny: Vec<Rule>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Attempts under way at once.
    pub attempts: usize,
    /// Requests under way at once; what is over is answered with "busy".
    pub requests: usize,
    /// Connections, echo requests and questions to one address within ten seconds, whoever asks; what is over is not
    /// measured, here and below.
    pub per_address: usize,
    /// The same to one IPv4 /24 or IPv6 /48 within a minute.
    pub per_prefix: usize,
    /// The same to anybody within a minute.
    pub per_minute: usize,
    /// HTTP requests to one host, and to one address, that fail within ten minutes.
    pub failing_requests: usize,
}

/// `[record]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// Bytes of the data directory for it; 0: nothing is written down.
    pub max_bytes: u64,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            max_bytes: 10_000_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let caps = Caps::default();
        Self {
            attempts: 100,
            requests: 64,
            per_address: caps.per_address,
            per_prefix: caps.per_prefix,
            per_minute: caps.per_minute,
            failing_requests: caps.failing_requests,
        }
    }
}

/// Why the settings cannot be used, in one sentence that says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The file cannot be read.
    #[error("cannot read {path}: {why}")]
    File {
        /// Which file.
        path: String,
        /// The system's word.
        why: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`; known here are {known}")]
    UnknownKey {
        /// The file, or the environment.
        place: String,
        /// Its full name.
        key: String,
        /// Those that would be right.
        known: String,
    },
    /// A value that cannot be.
    #[error("{place}: {key}: {why}")]
    Value {
        /// The file, or the environment.
        place: String,
        /// The key's full name.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// What this version cannot do.
    #[error("{0}")]
    NotYet(&'static str),
}

impl Config {
    /// Reads and checks the settings; `environment` is the process's.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, InvalidConfig> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| InvalidConfig::File {
                path: shown.clone(),
                why: error.to_string(),
            })?;
            check_syntax(&shown, &text)?;
            figment = figment.merge(Named(shown, Toml::string(&text).data()));
        }
        for (key, value) in of_environment(environment) {
            let values = figment::util::nest(&key, value)
                .into_dict()
                .unwrap_or_default();
            let values = Ok(Profile::Default.collect(values));
            figment = figment.merge(Named("environment".to_owned(), values));
        }
        let config: Self = figment.extract().map_err(explain)?;
        config.check()
    }

    fn check(self) -> Result<Self, InvalidConfig> {
        self.check_source_addresses()?;
        if !self.labels.is_empty() {
            return Err(InvalidConfig::NotYet(
                "labels is set, but a probe's labels come from its join token \
                 (onlyhere-coordinator token create --label K=V): leave it out",
            ));
        }
        self.limits.check()?;
        let wrong = |key: &str, why: String| InvalidConfig::Value {
            place: "settings".to_owned(),
            key: key.to_owned(),
            why,
        };
        if let Err(error) = user_agent::of_a_probe(&self.contact) {
            return Err(wrong("contact", error.to_string()));
        }
        let bytes = self.record.max_bytes;
        if bytes != 0 && !(SMALLEST_RECORD..=LARGEST_RECORD).contains(&bytes) {
            let why =
                format!("{bytes} is neither 0 nor between {SMALLEST_RECORD} and {LARGEST_RECORD}");
            return Err(wrong("record.max_bytes", why));
        }
        Ok(self)
    }

    /// Each must be this machine's own: what cannot be tried from is better said now than by every check.
    fn check_source_addresses(&self) -> Result<(), InvalidConfig> {
        let wrong = |why| {
            Err(InvalidConfig::Value {
                place: "settings".to_owned(),
                key: "source_addresses".to_owned(),
                why,
            })
        };
        let (all, most) = (&self.source_addresses, limits::SOURCE_ADDRESSES);
        if all.len() > most {
            return wrong(format!("{} are too many, {most} may be named", all.len()));
        }
        match all.iter().find(|address| !way::is_own(**address)) {
            Some(address) => wrong(format!(
                "{address} is none of this machine's addresses (ip address lists them)"
            )),
            None => Ok(()),
        }
    }

    /// What a prober is made of that works for others under these settings; nothing is written down yet.
    pub fn prober_settings(&self) -> Result<ProberSettings, InvalidConfig> {
        let guard = Guard::for_probe(self.guard.allow.clone(), self.guard.deny.clone());
        let user_agent =
            user_agent::of_a_probe(&self.contact).map_err(|error| InvalidConfig::Value {
                place: "settings".to_owned(),
                key: "contact".to_owned(),
                why: error.to_string(),
            })?;
        Ok(ProberSettings {
            in_flight: self.limits.attempts,
            caps: Some(self.limits.caps()),
            source_addresses: self.source_addresses.clone(),
            user_agent,
            ..ProberSettings::of_this_system(guard)
        })
    }

    /// The journal of what is done for `coordinator`, if one is to be kept.
    pub fn journal(&self, dir: &Path, coordinator: &str) -> io::Result<Option<Arc<Journal>>> {
        match self.record.max_bytes {
            0 => Ok(None),
            bytes => Ok(Some(Arc::new(Journal::open(dir, coordinator, bytes)?))),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), InvalidConfig> {
        for (key, value, most) in [
            ("attempts", self.attempts, 10_000),
            ("requests", self.requests, 10_000),
            ("per_address", self.per_address, 10_000),
            ("per_prefix", self.per_prefix, 100_000),
            ("per_minute", self.per_minute, 100_000),
            (
                "failing_requests",
                self.failing_requests,
                MOST_FAILING_REQUESTS,
            ),
        ] {
            if !(1..=most).contains(&value) {
                return Err(InvalidConfig::Value {
                    place: "settings".to_owned(),
                    key: format!("limits.{key}"),
                    why: format!("{value} is not between 1 and {most}"),
                });
            }
        }
        Ok(())
    }

    fn caps(&self) -> Caps {
        Caps {
            per_address: self.per_address,
            per_prefix: self.per_prefix,
            per_minute: self.per_minute,
            failing_requests: self.failing_requests,
        }
    }
}

/// In one line, where the library's own message draws a picture.
fn check_syntax(place: &str, text: &str) -> Result<(), InvalidConfig> {
    let read = toml::from_str::<toml::Table>(text);
    read.map(drop).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        InvalidConfig::Value {
            place: place.to_owned(),
            key: format!("line {line}"),
            why: plain(&error.message().replace('\n', ", ")),
        }
    })
}

/// What repeats the file's own text.
fn plain(text: &str) -> String {
    limits::plain_text(text, limits::TEXT)
}

/// `ONLYHERE_GUARD__ALLOW` is `guard.allow`.
fn of_environment(
    environment: impl Iterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, Value)> {
    environment.filter_map(|(name, value)| {
        let key = name
            .strip_prefix(PREFIX)?
            .to_ascii_lowercase()
            .replace("__", ".");
        let first = key.split('.').next().unwrap_or_default();
        let value = value.parse().unwrap_or_else(|never| match never {});
        (!OF_OTHERS.contains(&first)).then_some((key, value))
    })
}

/// A list, or one text with commas, as a variable of the environment has it.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    struct Visitor<T>(std::marker::PhantomData<T>);

    impl<'de, T: std::str::FromStr<Err: fmt::Display>> de::Visitor<'de> for Visitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            let words = text
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty());
            words.map(|word| word.parse().map_err(E::custom)).collect()
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = seq.next_element::<String>()? {
                all.push(text.parse().map_err(de::Error::custom)?);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(Visitor(std::marker::PhantomData))
}

/// Values with the name of where they stand.
struct Named(String, Result<Map<Profile, Dict>, figment::Error>);

impl Provider for Named {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.1.clone()
    }
}

fn explain(error: figment::Error) -> InvalidConfig {
    let place = error
        .metadata
        .as_ref()
        .map_or_else(|| "settings".to_owned(), |m| m.name.to_string());
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let mut path = error.path.clone();
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            InvalidConfig::UnknownKey {
                place,
                key: plain(&path.join(".")),
                known: known.join(", "),
            }
        }
        kind => InvalidConfig::Value {
            place,
            key: if error.path.is_empty() {
                "TOML".to_owned()
            } else {
                plain(&error.path.join("."))
            },
            why: plain(&kind.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../sample.toml");

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("probe.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let shown = path.display().to_string();
        Config::load(Some(&path), environment).map_err(|e| e.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn the_sample_holds_every_key_with_its_default() {
        assert_eq!(load(SAMPLE, &[]), Ok(Config::default()));
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        let sample: toml::Table = SAMPLE.parse().unwrap();
        assert_eq!(sample, defaults);
    }

    #[test]
    fn a_variable_wins_over_the_file_and_those_of_others_are_left_alone() {
        let file = "[guard]\nallow = ['10.0.0.0/8']\ndeny = ['10.0.0.5']\n[limits]\nattempts = 5\n";
        let config = load(
            file,
            &[
                ("ONLYHERE_GUARD__ALLOW", "198.18.0.0/15, 2001:db8::/32"),
                ("ONLYHERE_LIMITS__ATTEMPTS", "7"),
                ("ONLYHERE_LOG", "debug"),
                ("ONLYHERE_TOKEN", "secret"),
                ("ONLYHERE_API__LISTEN", "0.0.0.0:1"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        let rules: Vec<Rule> = ["198.18.0.0/15", "2001:db8::/32"]
            .map(|r| r.parse().unwrap())
            .into();
        assert_eq!(config.guard.allow, rules);
        assert_eq!(config.guard.deny.len(), 1);
        assert_eq!(config.limits.attempts, 7);
        let own = load("", &[("ONLYHERE_SOURCE_ADDRESSES", "127.0.0.1, ::1")]).unwrap();
        assert_eq!(own.source_addresses.len(), 2);
        let config = load(
            "",
            &[("ONLYHERE_GUARD__DENY", "[\"a.example:25\", \"10.0.0.0/8\"]")],
        )
        .unwrap();
        assert_eq!(config.guard.deny.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        for (text, environment, says) in [
            (
                "[guard]\nalow = []\n",
                None,
                "FILE: unknown key `guard.alow`; known here are allow, deny",
            ),
            (
                "colour = 1\n",
                None,
                "FILE: unknown key `colour`; known here are contact, guard, limits, record, sandbox, source_addresses, labels",
            ),
            (
                "",
                Some(("ONLYHERE_GUARD__ALOW", "x")),
                "environment: unknown key `guard.alow`; known here are allow, deny",
            ),
            (
                "[guard]\nallow = ['10.0.0.0/99']\n",
                None,
                "FILE: guard.allow: `10.0.0.0/99` is no guard rule",
            ),
            (
                "[guard]\nallow = 7\n",
                None,
                "FILE: guard.allow: invalid type: found signed int `7`, expected a list of texts",
            ),
            (
                "[limits]\nattempts = 0\n",
                None,
                "settings: limits.attempts: 0 is not between 1 and 10000",
            ),
            (
                "[limits]\nfailing_requests = 5\n",
                None,
                "settings: limits.failing_requests: 5 is not between 1 and 4",
            ),
            (
                "[record]\nmax_bytes = 10\n",
                None,
                "settings: record.max_bytes: 10 is neither 0 nor between 100000 and",
            ),
            (
                "contact = 'me'\n",
                None,
                "settings: contact: `me` is no contact: write a page",
            ),
            (
                "",
                Some(("ONLYHERE_RECORD__MAX", "1")),
                "environment: unknown key `record.max`; known here are max_bytes",
            ),
            (
                "[guard]\ndeny = ['*']\n",
                None,
                "FILE: guard.deny: `*` is no guard rule: write 0.0.0.0/0 and ::/0",
            ),
            (
                "[limits]\nattempts = 'many'\n",
                None,
                "FILE: limits.attempts: invalid type: found string \"many\", expected usize",
            ),
            (
                "source_addresses = ['127.0.0.1', '192.0.2.1']\n",
                None,
                "settings: source_addresses: 192.0.2.1 is none of this machine's addresses",
            ),
            (
                "source_addresses = ['0.0.0.0']\n",
                None,
                "settings: source_addresses: 0.0.0.0 is none of this machine's addresses",
            ),
            (
                "",
                Some(("ONLYHERE_SOURCE_ADDRESSES", "::1, eth0")),
                "environment: source_addresses: invalid IP address syntax",
            ),
            (
                "source_addresses = ['::1', '::1', '::1', '::1', '::1', '::1', '::1', '::1', '::1']\n",
                None,
                "settings: source_addresses: 9 are too many, 8 may be named",
            ),
            ("[labels]\ncity = 'fra'\n", None, "labels is set, but"),
            ("[guard]\ndeny = ['\x1b[31m\n", None, "FILE: line 2: "),
        ] {
            let environment: Vec<_> = environment.into_iter().collect();
            let error = load(text, &environment).expect_err(text);
            assert!(error.contains(says), "{error}\n{says}");
        }
        let missing = Config::load(Some(Path::new("/nowhere/probe.toml")), std::iter::empty());
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .starts_with("cannot read /nowhere/probe.toml: ")
        );
    }
}
