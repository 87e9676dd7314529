//! Where a vantage sits: what its operator says (a join token's labels, kept of an enrolled probe), and what the address
//! databases say of the address it comes from. Never what the vantage says of itself.

use std::{collections::BTreeMap, net::IpAddr};

use onlyhere_proto::{Vantage, VantageClass, VantageName};
use serde::{Deserialize, Serialize};

/// Labels of one vantage at most.
pub const LABELS: usize = onlyhere_proto::limits::LABELS;

/// Region, country, AS, class and labels of a vantage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Lower-case, such as `eu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Autonomous system number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// What kind of network it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<VantageClass>,
    /// Such as `city=fra`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Place {
    /// This, and where it leaves something open, what the other says.
    pub fn or(&self, other: &Self) -> Self {
        Self {
            region: self.region.clone().or_else(|| other.region.clone()),
            country: self.country.clone().or_else(|| other.country.clone()),
            asn: self.asn.or(other.asn),
            class: self.class.or(other.class),
            labels: match self.labels.is_empty() {
                true => other.labels.clone(),
                false => self.labels.clone(),
            },
        }
    }

    /// Where the labels of a vantage say one thing and the address databases another, one sentence each. Regions are left
    /// out: they are the operator's own words for parts of the world.
    pub fn contradictions(&self, located: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if let (Some(label), Some(there)) = (self.asn, located.asn)
            && label != there
        {
            found.push(format!(
                "labelled AS{label}, but its address is in AS{there}"
            ));
        }
        if let (Some(label), Some(there)) = (&self.country, &located.country)
            && label != there
        {
            found.push(format!("labelled {label}, but its address is in {there}"));
        }
        if let (Some(label), Some(there)) = (self.class, located.class)
            && label != there
        {
            found.push(format!("labelled {label}, but its address is {there}"));
        }
        found
    }

    /// The vantage of this name at this place.
    pub fn vantage(&self, name: VantageName, public_address: Option<IpAddr>) -> Vantage {
        Vantage {
            region: self.region.clone(),
            country: self.country.clone(),
            asn: self.asn,
            class: self.class,
            labels: self.labels.clone(),
            public_address,
            ..Vantage::named(name)
        }
    }
}

/// Reads a region: letters, digits and `-`; kept in lower case.
pub fn parse_region(text: &str) -> Result<String, String> {
    if is_word(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a region holds letters, digits, '-', '_' and '.', as in eu".into())
    }
}

/// Reads a country: two letters; kept in upper case.
pub fn parse_country(text: &str) -> Result<String, String> {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        Ok(text.to_ascii_uppercase())
    } else {
        Err("a country is two letters (ISO 3166-1 alpha-2), as in DE".into())
    }
}

/// Reads an AS number, with or without `AS` before it.
pub fn parse_asn(text: &str) -> Result<u32, String> {
    let digits = text
        .get(..2)
        .filter(|p| p.eq_ignore_ascii_case("as"))
        .map_or(text, |_| &text[2..]);
    match digits.parse() {
        Ok(0) | Err(_) => Err("an AS number is a number above 0, as in 24940".into()),
        Ok(asn) => Ok(asn),
    }
}

/// Reads `KEY=VALUE`, in the letters that selectors know.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if is_word(key) && is_word(value) => Ok((key.into(), value.into())),
        _ => {
            Err("a label is KEY=VALUE of letters, digits, '-', '_' and '.', as in city=fra".into())
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(asn: Option<u32>, country: Option<&str>) -> Place {
        Place {
            asn,
            country: country.map(Into::into),
            ..Place::default()
        }
    }

    #[test]
    fn labels_win_and_the_rest_is_filled_in() {
        let labels = place(Some(1), None);
        let located = Place {
            region: Some("eu".into()),
            ..place(Some(2), Some("DE"))
        };
        let both = labels.or(&located);
        assert_eq!(both.asn, Some(1));
        assert_eq!(both.country.as_deref(), Some("DE"));
        assert_eq!(both.region.as_deref(), Some("eu"));
        assert_eq!(both.or(&Place::default()), both);
    }

    #[test]
    fn contradictions_are_told_and_what_is_unknown_contradicts_nothing() {
        let labels = place(Some(24940), Some("DE"));
        assert_eq!(
            labels.contradictions(&place(Some(64500), Some("US"))),
            [
                "labelled AS24940, but its address is in AS64500",
                "labelled DE, but its address is in US"
            ]
        );
        let none: [&str; 0] = [];
        assert_eq!(labels.contradictions(&labels), none);
        assert_eq!(labels.contradictions(&Place::default()), none);
        assert_eq!(Place::default().contradictions(&labels), none);
    }

    #[test]
    fn places_are_read_strictly() {
        assert_eq!(parse_asn("AS24940"), Ok(24940));
        assert_eq!(parse_asn("24940"), Ok(24940));
        assert_eq!(parse_country("de"), Ok("DE".into()));
        assert_eq!(parse_region("EU"), Ok("eu".into()));
        assert_eq!(parse_label("city=fra"), Ok(("city".into(), "fra".into())));
        for wrong in ["", "0", "ASx", "-1", "é1"] {
            assert!(parse_asn(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "D", "DEU", "1a", "é"] {
            assert!(parse_country(wrong).is_err(), "{wrong}");
        }
        for wrong in ["city", "=fra", "city=", "a b=c", "a=b,c"] {
            assert!(parse_label(wrong).is_err(), "{wrong}");
        }
    }
}
