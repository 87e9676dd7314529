//! What is known of every cause: its title, how to confirm it, how to mend it, how long that takes. The texts are data
//! (`causes.toml`); placeholders in them are filled in from the case.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use onlyhere_proto::{CauseId, CauseReport};
use serde::Deserialize;

use crate::case::Case;

/// What is known of one cause. Texts may hold `{host}`, `{port}`, `{address}`, `{public_address}` and `{jail}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// For people.
    pub title: String,
    /// How to confirm it.
    pub confirm: Vec<String>,
    /// How to mend it.
    pub fix: Vec<String>,
    /// Such as `1-2 minutes`.
    pub time_to_fix: String,
}

static CAUSES: LazyLock<BTreeMap<CauseId, Cause>> =
    LazyLock::new(|| toml::from_str(include_str!("causes.toml")).expect("causes.toml is tested"));

impl Cause {
    /// What is known of a cause.
    pub fn of(id: CauseId) -> &'static Self {
        &CAUSES[&id]
    }
}

/// A cause with its texts filled in. `address` is the target's address in question, when one is known.
pub(crate) fn report(
    case: &Case,
    id: CauseId,
    probability: f64,
    address: Option<std::net::IpAddr>,
) -> CauseReport {
    let cause = Cause::of(id);
    let fill = |text: &String| filled(case, text, address);
    CauseReport {
        id,
        probability,
        title: fill(&cause.title),
        confirm: cause.confirm.iter().map(fill).collect(),
        fix: cause.fix.iter().map(fill).collect(),
        time_to_fix: cause.time_to_fix.clone(),
    }
}

fn filled(case: &Case, text: &str, address: Option<std::net::IpAddr>) -> String {
    let host = case.target.host.to_string();
    let port = case
        .target
        .port
        .map_or("PORT".to_owned(), |p| p.to_string());
    let address = address.map_or(host.clone(), |a| a.to_string());
    let public = case
        .subject
        .public_address
        .map_or("YOUR-PUBLIC-ADDRESS".to_owned(), |a| a.to_string());
    text.replace("{host}", &host)
        .replace("{port}", &port)
        .replace("{address}", &address)
        .replace("{public_address}", &public)
        .replace("{jail}", jail(case))
}

/// The name that fail2ban's own configuration gives the jail of such a service.
fn jail(case: &Case) -> &'static str {
    use onlyhere_proto::Layer;
    match (case.target.layer, case.target.port) {
        (Layer::Ssh, _) | (_, Some(22)) => "sshd",
        (Layer::Smtp, _) | (_, Some(25 | 465 | 587)) => "postfix",
        (Layer::Https | Layer::Http, _) => "nginx-http-auth",
        _ => "JAIL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_described_and_every_placeholder_is_known() {
        for id in CauseId::ALL {
            let cause = CAUSES.get(id).unwrap_or_else(|| panic!("{id} is missing"));
            assert!(
                !cause.title.is_empty() && !cause.time_to_fix.is_empty(),
                "{id}"
            );
            assert!(!cause.confirm.is_empty() && !cause.fix.is_empty(), "{id}");
            for text in cause.confirm.iter().chain(&cause.fix).chain([&cause.title]) {
                let known = ["host", "port", "address", "public_address", "jail"]
                    .iter()
                    .fold(text.clone(), |t, name| {
                        t.replace(&format!("{{{name}}}"), "")
                    });
                assert!(!known.contains(['{', '}']), "{id}: {text}");
                assert!(!text.ends_with('.') && !text.contains('\n'), "{id}: {text}");
            }
        }
        assert_eq!(CAUSES.len(), CauseId::ALL.len());
    }
}
