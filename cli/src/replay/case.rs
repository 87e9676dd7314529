//! The line that begins a case: what a driver may leave out is filled in, what cannot be is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    CheckId, Conditions, History, Listener, LocalFacts, Micros, Subject, Symptom, Target,
    Timestamp, Vantage, VantageClass, VantageName, limits, wire,
};
use serde::{Deserialize, Deserializer};

use super::VANTAGES;

/// Of checks whose driver gives no id.
const NO_ID: &str = "00000000000000000000000000";
/// Of one stage of one attempt, where the driver does not say.
const ATTEMPT_MS: Micros = Micros(3_000_000);

/// What is to be found out, and who can help.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseLine {
    target: TargetLine,
    vantages: Vec<VantageLine>,
    #[serde(default)]
    subject: Option<SubjectLine>,
    #[serde(default)]
    conditions: ConditionsLine,
    #[serde(default)]
    check: Option<CheckId>,
    /// The moment of `now_ms` of this line.
    #[serde(default)]
    pub(super) started_at: Timestamp,
}

/// As a person types it, or as reports have it.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a target is a text such as \"https://shop.example\", or an object with input, host, port and layer"
)]
enum TargetLine {
    Typed(String),
    Read(Target),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VantageLine {
    id: VantageName,
    name: Option<String>,
    region: Option<String>,
    country: Option<String>,
    asn: Option<u32>,
    class: Option<VantageClass>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    public_address: Option<IpAddr>,
    #[serde(default)]
    source_addresses: Vec<IpAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectLine {
    /// Left out: `you`, if that is a vantage; null: nobody.
    #[serde(default, deserialize_with = "said")]
    vantage: Option<Option<VantageName>>,
    public_address: Option<IpAddr>,
    asn: Option<u32>,
    #[serde(default)]
    local: LocalLine,
}

/// Tells what is null from what is left out.
fn said<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LocalLine {
    proxies: Vec<String>,
    hosts_entries: Vec<IpAddr>,
    tunnel: Option<String>,
    platform: Option<String>,
    listeners: Vec<Listener>,
    way_out: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConditionsLine {
    seen: Option<String>,
    controls: Vec<TargetLine>,
    resolvers: Vec<IpAddr>,
    expected_addresses: Vec<IpAddr>,
    block_lists: Vec<String>,
    attempt_timeout_ms: Option<Micros>,
    history: History,
}

impl CaseLine {
    /// The case, or a sentence that says why it is none.
    pub(super) fn case(self) -> Result<Case, String> {
        let vantages = vantages(self.vantages)?;
        let subject = subject(self.subject.unwrap_or_default(), &vantages)?;
        Ok(Case {
            check: match self.check {
                Some(check) => check,
                None => NO_ID.parse().map_err(|e| format!("check: {e}"))?,
            },
            target: self.target.read()?,
            subject,
            vantages,
            conditions: self.conditions.conditions()?,
        })
    }
}

impl TargetLine {
    fn read(self) -> Result<Target, String> {
        match self {
            Self::Typed(text) => Target::parse(&text).map_err(|error| error.to_string()),
            Self::Read(target) => {
                Target::try_from(wire::Target::from(&target)).map_err(|error| error.to_string())
            }
        }
    }
}

fn vantages(lines: Vec<VantageLine>) -> Result<Vec<Vantage>, String> {
    if lines.is_empty() || lines.len() > VANTAGES {
        return Err(format!(
            "a case has from 1 to {VANTAGES} vantages, this one has {}",
            lines.len()
        ));
    }
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(lines.len());
    for line in lines {
        let vantage = line.vantage()?;
        if !names.insert(vantage.id.clone()) {
            return Err(format!("two vantages are called {}", vantage.id));
        }
        all.push(vantage);
    }
    Ok(all)
}

impl VantageLine {
    fn vantage(self) -> Result<Vantage, String> {
        let name = self.name.unwrap_or_else(|| self.id.to_string());
        let vantage = Vantage {
            id: self.id,
            name: limits::plain_text(&name, limits::TEXT),
            region: self.region,
            country: self.country,
            asn: self.asn,
            class: self.class,
            labels: self.labels,
            public_address: self.public_address,
            source_addresses: self.source_addresses,
        };
        Vantage::try_from(wire::Vantage::from(&vantage))
            .map(|checked| Vantage {
                name: vantage.name.clone(),
                ..checked
            })
            .map_err(|error| format!("{}: {error}", vantage.id))
    }
}

fn subject(line: SubjectLine, vantages: &[Vantage]) -> Result<Subject, String> {
    let find = |name: &VantageName| vantages.iter().find(|v| v.id == *name);
    let own =
        match &line.vantage {
            None => find(&VantageName::you()),
            Some(None) => None,
            Some(Some(name)) => Some(find(name).ok_or_else(|| {
                format!("subject.vantage is {name}, which is none of the vantages")
            })?),
        };
    let LocalLine {
        proxies,
        hosts_entries,
        tunnel,
        platform,
        listeners,
        way_out,
    } = line.local;
    let subject = Subject {
        vantage: own.map(|v| v.id.clone()),
        public_address: line
            .public_address
            .or_else(|| own.and_then(|v| v.public_address)),
        asn: line.asn.or_else(|| own.and_then(|v| v.asn)),
        local: LocalFacts {
            proxies,
            hosts_entries,
            tunnel,
            platform,
            listeners,
            way_out,
        },
    };
    Subject::try_from(wire::Subject::from(&subject)).map_err(|error| error.to_string())
}

impl ConditionsLine {
    fn conditions(self) -> Result<Conditions, String> {
        let attempt_timeout_ms = self.attempt_timeout_ms.unwrap_or(ATTEMPT_MS);
        let longest = Micros::from(limits::ATTEMPT_TIMEOUT);
        if !(Micros(1_000)..=longest).contains(&attempt_timeout_ms) {
            return Err(format!(
                "conditions.attempt_timeout_ms is from 1 to {}, not {}",
                longest.as_millis(),
                attempt_timeout_ms.as_millis()
            ));
        }
        let seen = self.seen.map(|text| Symptom::parse(&text)).transpose();
        let controls = self.controls.into_iter().map(TargetLine::read);
        let conditions = Conditions {
            seen: seen.map_err(|error| error.to_string())?,
            controls: controls.collect::<Result<_, _>>()?,
            resolvers: self.resolvers,
            expected_addresses: self.expected_addresses,
            block_lists: self.block_lists,
            attempt_timeout_ms,
            history: self.history,
            private_permitted: false,
        };
        Conditions::try_from(wire::Conditions::from(&conditions)).map_err(|error| error.to_string())
    }
}
