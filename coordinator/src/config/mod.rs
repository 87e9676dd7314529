//! Settings: defaults, then the file of `--config`, then `ONLYHERE_*` variables; unknown keys are refused by name.

mod api_tls;
mod sources;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{Figment, providers::Serialized};
use ipnet::IpNet;
use onlyhere_proto::{Host, Target, limits};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    identity::PROBE_LIFE,
    store::{Retention, sqlite},
};

pub use api_tls::{Acme, ApiTls};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Sites believed healthy, for telling a broken vantage from a broken target.
    pub controls: Vec<Control>,
    /// Special ranges in which targets may be checked by remote vantages.
    pub allow_private: Vec<IpNet>,
    /// Whether the server gives up what it does not need.
    pub sandbox: Sandbox,
    /// Where probes attach.
    pub probes: Probes,
    /// Where people ask.
    pub api: Api,
    /// Name resolution.
    pub dns: Dns,
    /// Where state is kept, and for how long.
    pub store: Store,
    /// How several coordinators share one fleet.
    pub bus: Bus,
    /// Address databases.
    pub geo: Geo,
}

/// Whether the server gives up, before it serves, all files and system calls that it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// As far as this kernel can.
    #[default]
    On,
    /// Not at all.
    Off,
}

/// `[probes]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probes {
    /// Address of the probe port.
    pub listen: SocketAddr,
    /// `HOST:PORT` under which probes reach it; join tokens carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// How long a probe's certificate holds; it is renewed when two thirds are over.
    pub certificate_life: CertificateLife,
}

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address of the people's port.
    pub listen: SocketAddr,
    /// True: a reverse proxy in front does TLS and tells the caller's address as the last of X-Forwarded-For.
    pub behind_proxy: bool,
    /// Where its certificate comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ApiTls>,
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Resolvers that vantages ask besides their own.
    pub resolvers: Vec<IpAddr>,
    /// Zones of DNS block lists at which callers' public addresses are looked up.
    pub block_lists: Vec<Zone>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite://FILE`; a relative file lies in the data directory.
    pub url: String,
    /// How much is kept.
    pub keep: Retention,
}

/// `[bus]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bus {
    /// `local`
    pub url: String,
}

/// `[geo]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Geo {
    /// Files in the MaxMind DB format; the first that knows a thing says it.
    pub mmdb: Vec<PathBuf>,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 7443)),
            advertise: None,
            certificate_life: CertificateLife(PROBE_LIFE),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7080)),
            behind_proxy: false,
            tls: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: format!("sqlite://{}", sqlite::FILE),
            keep: Retention::default(),
        }
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            url: "local".into(),
        }
    }
}

/// How long a probe's certificate holds, written as 7d or 12h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateLife(pub Duration);

impl TryFrom<String> for CertificateLife {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let life = clock::parse_duration(&text)?;
        if !(Duration::from_secs(5)..=366 * clock::DAY).contains(&life) {
            return Err("a probe's certificate holds from 5s to 366d".into());
        }
        Ok(Self(life))
    }
}

impl From<CertificateLife> for String {
    fn from(life: CertificateLife) -> Self {
        clock::show_duration(life.0)
    }
}

/// A control, written as a target is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Control(pub Target);

impl TryFrom<String> for Control {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Target::parse(&text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

impl From<Control> for String {
    fn from(control: Control) -> Self {
        control.0.input
    }
}

/// A DNS zone, in the form in which it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(pub String);

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Host::parse(&text) {
            Ok(Host::Name(name)) => Ok(Self(name)),
            Ok(Host::Address(_)) => Err(format!(
                "`{text}` is an address; a zone is a name, as in dnsbl.example"
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
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
    /// Settings that do not go together, or that a later version brings.
    #[error("{0}")]
    Conflict(String),
}

impl Config {
    /// Reads and checks the settings; `environment` is the process's.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, InvalidConfig> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            figment = figment.merge(sources::file(path)?);
        }
        let figment = figment.merge(sources::environment(environment));
        let config: Self = figment.extract().map_err(sources::explain)?;
        config.check()?;
        Ok(config)
    }

    /// The controls as targets.
    pub fn controls(&self) -> Vec<Target> {
        self.controls
            .iter()
            .map(|control| control.0.clone())
            .collect()
    }

    /// The block lists' zones.
    pub fn block_lists(&self) -> Vec<String> {
        let zones = self.dns.block_lists.iter();
        zones.map(|zone| zone.0.clone()).collect()
    }

    /// As TOML, with every default.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("texts, numbers and lists are always TOML")
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        let refuse = |why: String| Err(InvalidConfig::Conflict(why));
        if !self.api.listen.ip().to_canonical().is_loopback()
            && self.api.tls.is_none()
            && !self.api.behind_proxy
        {
            return refuse(format!(
                "api.listen is {}, which others can reach, and tokens would cross the network in clear: \
                 set api.tls.cert and api.tls.key, or api.tls.acme, or api.behind_proxy = true when a reverse proxy does TLS",
                self.api.listen
            ));
        }
        if self.api.behind_proxy && matches!(self.api.tls, Some(ApiTls::Acme(_))) {
            return refuse(
                "api.tls.acme and api.behind_proxy are both set, but the proxy would answer the certificate authority: \
                 have the proxy do ACME, or leave it out"
                    .into(),
            );
        }
        if sqlite::path_of(&self.store.url, Path::new("")).is_none() {
            return refuse(format!(
                "store.url is `{}`, but this version keeps its state in SQLite only: give sqlite://FILE, or leave store.url out",
                self.store.url
            ));
        }
        self.check_retention()?;
        if self.bus.url != "local" {
            return refuse(format!(
                "bus.url is `{}`, but this version runs as a single coordinator: leave bus.url out",
                self.bus.url
            ));
        }
        if self.dns.resolvers.len() > limits::RESOLVERS {
            return refuse(format!(
                "dns.resolvers names more than {} resolvers",
                limits::RESOLVERS
            ));
        }
        if self.dns.block_lists.len() > limits::BLOCK_LISTS {
            return refuse(format!(
                "dns.block_lists names more than {} zones",
                limits::BLOCK_LISTS
            ));
        }
        if let Some(advertise) = &self.probes.advertise
            && !is_host_and_port(advertise)
        {
            return refuse(format!(
                "probes.advertise is `{advertise}`, which is no HOST:PORT, as in coordinator.example:7443"
            ));
        }
        self.check_controls()
    }

    /// Nothing kept at all would be no history, no report to ask for again, and no audit log.
    fn check_retention(&self) -> Result<(), InvalidConfig> {
        let keep = &self.store.keep;
        let bounds = [
            ("reports", keep.reports),
            ("reports_days", keep.reports_days),
            ("reports_mib", keep.reports_mib),
            ("audit", keep.audit),
            ("audit_days", keep.audit_days),
        ];
        match bounds.iter().find(|(_, bound)| *bound == 0) {
            None => Ok(()),
            Some((key, _)) => Err(InvalidConfig::Conflict(format!(
                "store.keep.{key} is 0, but something must be kept: give 1 or more"
            ))),
        }
    }

    fn check_controls(&self) -> Result<(), InvalidConfig> {
        for Control(target) in &self.controls {
            if let Some(kind) = private(target, &self.allow_private) {
                return Err(InvalidConfig::Conflict(format!(
                    "controls names `{}`, which is {kind}: no remote vantage can try it unless allow_private covers it",
                    target.input
                )));
            }
        }
        Ok(())
    }
}

/// The special range in which a target lies, unless one of `allowed` covers it.
pub fn private(target: &Target, allowed: &[IpNet]) -> Option<&'static str> {
    let kind = target.special_range()?;
    let covered = match &target.host {
        Host::Address(address) => allowed.iter().any(|net| net.contains(address)),
        // `localhost`
        Host::Name(_) => false,
    };
    (!covered).then_some(kind)
}

fn is_host_and_port(text: &str) -> bool {
    Target::parse(&format!("tcp://{text}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, toml).unwrap();
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&path), environment)
            .map_err(|error| error.to_string().replace(path.to_str().unwrap(), "c.toml"))
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        let config = load(
            "controls = ['https://a.example']\nallow_private = ['10.0.0.0/8']\n[api]\nlisten = '0.0.0.0:443'\n\
             tls = {cert = 'c.pem', key = 'k.pem'}\n[probes]\nadvertise = 'c.example:7443'",
            &[],
        )
        .unwrap();
        assert_eq!(load(&config.to_toml(), &[]).unwrap(), config);
        assert_eq!(
            load(&Config::default().to_toml(), &[]).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn the_sample_holds_every_key_with_its_default() {
        let sample = include_str!("../../sample.toml");
        assert_eq!(load(sample, &[]).unwrap(), Config::default());
        // With the settings that have no default taken in as well, every key that can be printed is there.
        let full: String = sample
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let full: toml::Table = toml::from_str(&full).unwrap();
        let keys_with = |tls| {
            let config = Config {
                probes: Probes {
                    advertise: Some(String::new()),
                    ..Probes::default()
                },
                api: Api {
                    tls: Some(tls),
                    ..Api::default()
                },
                ..Config::default()
            };
            keys(&toml::from_str(&config.to_toml()).unwrap(), "")
        };
        let files = ApiTls::Files {
            cert: "c".into(),
            key: "k".into(),
        };
        let acme = ApiTls::Acme(Acme {
            domains: vec![Zone("coordinator.example".into())],
            contact: vec!["admin@coordinator.example".into()],
            directory: "https://acme.example".into(),
            cache: Some("d".into()),
            ca: Some("r".into()),
        });
        let known = keys_with(files).union(&keys_with(acme)).cloned().collect();
        assert_eq!(keys(&full, ""), known);
    }

    fn keys(table: &toml::Table, prefix: &str) -> std::collections::BTreeSet<String> {
        let full = |key: &String| format!("{prefix}{key}");
        let below = |(key, value): (&String, &toml::Value)| match value {
            toml::Value::Table(table) => keys(table, &format!("{}.", full(key))),
            _ => [full(key)].into(),
        };
        table.iter().flat_map(below).collect()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_other_programs_variables_are_left_alone() {
        let config = load(
            "[api]\nlisten = '127.0.0.1:1'\nbehind_proxy = true",
            &[
                ("ONLYHERE_API__LISTEN", "127.0.0.1:2"),
                (
                    "ONLYHERE_DNS__RESOLVERS",
                    r#"["192.0.2.53", "2001:db8::53"]"#,
                ),
                ("ONLYHERE_DNS__BLOCK_LISTS", "BL.example., dnsbl.example"),
                ("ONLYHERE_ALLOW_PRIVATE", "10.0.0.0/8, fd00::/8"),
                ("ONLYHERE_TOKEN", "onlyhere-client-1.x"),
                ("ONLYHERE_LOG", "debug"),
                ("ONLYHERE_GUARD__ALLOW", "[]"),
                ("HOME", "/"),
            ],
        )
        .unwrap();
        assert_eq!(config.api.listen, "127.0.0.1:2".parse().unwrap());
        assert!(config.api.behind_proxy);
        assert_eq!(config.dns.resolvers.len(), 2);
        assert_eq!(config.block_lists(), ["bl.example", "dnsbl.example"]);
        assert_eq!(config.allow_private.len(), 2);
    }

    #[test]
    fn off_loopback_nothing_is_served_in_clear_unless_a_proxy_is_in_front() {
        let files = "tls = {cert = 'c.pem', key = 'k.pem'}";
        let acme = "tls = {acme = {domains = ['c.example']}}";
        for (listen, is_loopback) in [
            ("127.0.0.1:7080", true),
            ("127.255.255.254:7080", true),
            ("[::1]:7080", true),
            ("[::ffff:127.0.0.1]:7080", true),
            ("0.0.0.0:7080", false),
            ("[::]:7080", false),
            ("[::ffff:0.0.0.0]:7080", false),
            ("[::ffff:192.0.2.1]:7080", false),
            ("[::127.0.0.1]:7080", false),
            ("[64:ff9b::127.0.0.1]:7080", false),
            ("192.0.2.1:7080", false),
            ("10.0.0.1:7080", false),
            ("[fe80::1]:7080", false),
            ("[2001:db8::1]:7080", false),
        ] {
            for (how, is_enough) in [
                ("", is_loopback),
                ("behind_proxy = true", true),
                (files, true),
                (acme, true),
            ] {
                let toml = format!("[api]\nlisten = '{listen}'\n{how}");
                match load(&toml, &[]) {
                    Ok(_) => assert!(is_enough, "{toml}"),
                    Err(error) => {
                        assert!(!is_enough, "{toml}: {error}");
                        let listen: SocketAddr = listen.parse().unwrap();
                        assert!(
                            error.starts_with(&format!(
                                "api.listen is {listen}, which others can reach"
                            )),
                            "{error}"
                        );
                        assert!(error.contains("set api.tls.cert and api.tls.key, or api.tls.acme, or api.behind_proxy = true"));
                    }
                }
            }
        }
    }

    /// File, environment, and what is said of them.
    type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn wrong_settings_are_named() {
        let cases: &[Wrong] = &[
            (
                "apy = 1",
                &[],
                "c.toml: unknown key `apy`; known here are controls, allow_private, sandbox, probes",
            ),
            (
                "[api]\nlisen = 'x'",
                &[],
                "c.toml: unknown key `api.lisen`; known here are listen, behind_proxy, tls",
            ),
            (
                "",
                &[("ONLYHERE_PROBES__LISEN", "x")],
                "environment: unknown key `probes.lisen`",
            ),
            (
                "",
                &[("ONLYHERE_NONSENSE", "x")],
                "environment: unknown key `nonsense`",
            ),
            (
                "[api]\nlisten = 'here'",
                &[],
                "c.toml: api.listen: invalid socket address",
            ),
            (
                "allow_private = ['10.0.0.0/33']",
                &[],
                "c.toml: allow_private.0: ",
            ),
            (
                "controls = ['https://']",
                &[],
                "c.toml: controls.0: `https://` names no host",
            ),
            (
                "[dns]\nblock_lists = ['192.0.2.1']",
                &[],
                "c.toml: dns.block_lists.0: `192.0.2.1` is an address; a zone is a name",
            ),
            (
                "[dns]\nblock_lists = ['a.example', 'b.example', 'c.example', 'd.example', 'e.example', 'f.example', \
                 'g.example', 'h.example', 'i.example']",
                &[],
                "dns.block_lists names more than 8 zones",
            ),
            (
                "controls = ['https://10.0.0.1']",
                &[],
                "controls names `https://10.0.0.1`, which is private",
            ),
            (
                "[api]\ntls = {cert = 'c.pem'}",
                &[],
                "c.toml: api.tls: `key` is missing: cert and key are named together",
            ),
            (
                "[api]\ntls = {cert = 'c.pem', key = 'k.pem', acme = {domains = ['c.example']}}",
                &[],
                "c.toml: api.tls: files and acme are both named: one of them is enough",
            ),
            (
                "[api]\ntls = {}",
                &[],
                "c.toml: api.tls: it names neither cert and key nor acme",
            ),
            (
                "[api]\ntls = {acme = {domains = []}}",
                &[],
                "c.toml: api.tls: acme.domains names no domain",
            ),
            (
                "[api]\ntls = {acme = {domains = ['192.0.2.1']}}",
                &[],
                "is an address; a zone is a name",
            ),
            (
                "[api]\ntls = {acme = {domains = ['c.example'], contact = ['me']}}",
                &[],
                "acme.contact: `me` is no mail address",
            ),
            (
                "[api]\ntls = {acme = {domains = ['c.example'], directory = 'http://a.example'}}",
                &[],
                "acme.directory: `http://a.example` is no https address",
            ),
            (
                "[api]\ntls = {acme = {domain = ['c.example']}}",
                &[],
                "unknown key `api.tls.acme.domain`; known here are domains, contact, directory, cache, ca",
            ),
            (
                "[api]\nbehind_proxy = true\ntls = {acme = {domains = ['c.example']}}",
                &[],
                "the proxy would answer the certificate authority",
            ),
            (
                "[store]\nurl = 'postgres://db'",
                &[],
                "keeps its state in SQLite only",
            ),
            ("[store]\nurl = 'sqlite://'", &[], "give sqlite://FILE"),
            (
                "[store.keep]\nreports_days = 0",
                &[],
                "store.keep.reports_days is 0",
            ),
            (
                "[store.keep]\nforever = true",
                &[],
                "c.toml: unknown key `store.keep.forever`",
            ),
            (
                "[bus]\nurl = 'nats://bus'",
                &[],
                "runs as a single coordinator",
            ),
            (
                "[probes]\ncertificate_life = 'long'",
                &[],
                "c.toml: probes.certificate_life: a time is a number and a unit",
            ),
            (
                "[probes]\ncertificate_life = '1s'",
                &[],
                "c.toml: probes.certificate_life: a probe's certificate holds from 5s to 366d",
            ),
            (
                "[probes]\nadvertise = 'c.example'",
                &[],
                "which is no HOST:PORT",
            ),
            ("\n[api", &[], "c.toml: line 2: "),
        ];
        for (toml, environment, says) in cases {
            let error = load(toml, environment).expect_err(toml);
            assert!(error.contains(says), "{toml}: {error}");
            assert!(!error.contains('\n'), "one sentence: {error}");
        }
        let missing = Config::load(Some(Path::new("/nonexistent/c.toml")), std::iter::empty());
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .starts_with("cannot read /nonexistent/c.toml: ")
        );
    }
}
