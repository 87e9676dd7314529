//! Where settings come from: a TOML file and the environment; and how a wrong one is told in one sentence.

use std::path::Path;

use figment::{
    Metadata, Profile, Provider,
    error::Kind,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use onlyhere_proto::limits;

use super::InvalidConfig;

/// Settings that another program of the project reads from the same environment.
const OF_OTHERS: &[&str] = &[
    "log",
    "coordinator",
    "token",
    "guard",
    "source_addresses",
    "limits",
    "labels",
];
const PREFIX: &str = "ONLYHERE_";

/// Keys that hold lists; as variables they may be written with commas between, too.
const LISTS: &[&str] = &[
    "controls",
    "allow_private",
    "api.tls.acme.domains",
    "api.tls.acme.contact",
    "dns.resolvers",
    "dns.block_lists",
    "geo.mmdb",
];

/// The settings of a file.
pub(super) fn file(path: &Path) -> Result<impl Provider, InvalidConfig> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| InvalidConfig::File {
        path: place.clone(),
        why: error.to_string(),
    })?;
    check_syntax(&place, &text)?;
    Ok(Named(place, Toml::string(&text).data()))
}

/// The settings among these variables.
pub(super) fn environment(variables: impl Iterator<Item = (String, String)>) -> impl Provider {
    let values = environment_values(variables);
    Named("environment".into(), Ok(Profile::Default.collect(values)))
}

/// In one line, where the library's own message draws a picture.
fn check_syntax(place: &str, text: &str) -> Result<(), InvalidConfig> {
    toml::from_str::<toml::Table>(text)
        .map(|_| ())
        .map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let why = plain(&error.message().replace('\n', ", "));
            InvalidConfig::Conflict(format!("{place}: line {line}: {why}"))
        })
}

/// What repeats the file's own text.
fn plain(text: &str) -> String {
    limits::plain_text(text, limits::TEXT)
}

/// Variables of this program as nested values: `ONLYHERE_API__LISTEN` is `api.listen`.
fn environment_values(environment: impl Iterator<Item = (String, String)>) -> Dict {
    let mut all = Value::from(Dict::new());
    for (name, value) in environment {
        let Some(name) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else {
            continue;
        };
        let key = name.replace("__", ".");
        if OF_OTHERS.contains(&key.split('.').next().unwrap_or_default()) {
            continue;
        }
        let value = environment_value(&key, &value);
        all = merge(all, figment::util::nest(&key, value));
    }
    all.into_dict().unwrap_or_default()
}

fn environment_value(key: &str, text: &str) -> Value {
    if LISTS.contains(&key) && !text.trim_start().starts_with('[') {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        return items.map(Value::from).collect::<Vec<_>>().into();
    }
    text.parse().unwrap_or_else(|never| match never {})
}

fn merge(into: Value, from: Value) -> Value {
    match (into, from) {
        (Value::Dict(tag, mut into), Value::Dict(_, from)) => {
            for (key, value) in from {
                let value = match into.remove(&key) {
                    Some(old) => merge(old, value),
                    None => value,
                };
                into.insert(key, value);
            }
            Value::Dict(tag, into)
        }
        (_, from) => from,
    }
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

/// The library's error as a sentence.
pub(super) fn explain(error: figment::Error) -> InvalidConfig {
    let place = error
        .metadata
        .as_ref()
        .map_or_else(|| "settings".into(), |m| m.name.to_string());
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
        kind if error.path.is_empty() => {
            InvalidConfig::Conflict(format!("{place}: {}", plain(&kind.to_string())))
        }
        kind => InvalidConfig::Value {
            place,
            key: plain(&error.path.join(".")),
            why: plain(&kind.to_string()),
        },
    }
}
