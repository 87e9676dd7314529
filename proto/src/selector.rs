//! Selectors: which vantages to ask. `eu+residential@3,probe:fra1` = three residential European ones, or fra1.

use std::{fmt, str::FromStr};

use crate::{Vantage, VantageClass, VantageName, limits::plain_text};

/// Alternatives, each with an optional number of vantages wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    terms: Vec<Term>,
    count: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    negated: bool,
    matcher: Matcher,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matcher {
    Asn(u32),
    Class(VantageClass),
    Probe(VantageName),
    Label(String, String),
    /// A region, a country, or the value of any label (`fra`, `hetzner`).
    Word(String),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{term}` in selector `{selector}`: {why}; selectors look like eu, de, as24940, datacenter, label=value, probe:NAME, !term, joined by +, with @N for a number, as in eu+residential@3"
)]
pub struct InvalidSelector {
    /// The selector as given, shortened.
    pub selector: String,
    /// The term that is wrong.
    pub term: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |term: &str, why| InvalidSelector {
            selector: plain_text(text, 80),
            term: plain_text(term, 80),
            why,
        };
        let mut alternatives = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (terms, count) = match part.rsplit_once('@') {
                None => (part, None),
                Some((terms, number)) => match number.parse::<usize>() {
                    Ok(count) if (1..=crate::limits::VANTAGES).contains(&count) => {
                        (terms, Some(count))
                    }
                    _ => return Err(fail(part, "after @ stands a number from 1 to 64")),
                },
            };
            let terms = terms
                .split('+')
                .map(|term| parse_term(term.trim()).map_err(|why| fail(term, why)));
            alternatives.push(Alternative {
                terms: terms.collect::<Result<_, _>>()?,
                count,
            });
        }
        Ok(Self { alternatives })
    }
}

fn parse_term(term: &str) -> Result<Term, &'static str> {
    let (negated, text) = match term.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, term),
    };
    if text.is_empty() {
        return Err("the term is empty");
    }
    if let Some(name) = text.strip_prefix("probe:") {
        let name = name
            .parse()
            .map_err(|_| "behind probe: stands a probe's name")?;
        return Ok(Term {
            negated,
            matcher: Matcher::Probe(name),
        });
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some((key, value)) = text.split_once('=') {
        if key.is_empty()
            || value.is_empty()
            || !key.chars().all(legal)
            || !value.chars().all(legal)
        {
            return Err("a label is KEY=VALUE of letters, digits, '-', '_' and '.'");
        }
        return Ok(Term {
            negated,
            matcher: Matcher::Label(key.to_owned(), value.to_owned()),
        });
    }
    if !text.chars().all(legal) {
        return Err("a term holds letters, digits, '-', '_' and '.' only");
    }
    let word = text.to_ascii_lowercase();
    let matcher = if let Some(Ok(asn)) = word
        .strip_prefix("as")
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::parse)
    {
        Matcher::Asn(asn)
    } else if let Ok(class) = word.parse() {
        Matcher::Class(class)
    } else {
        Matcher::Word(word)
    };
    Ok(Term { negated, matcher })
}

impl Selector {
    /// For each alternative: how many are wanted (none: all that match), and which of `vantages` match, by index.
    pub fn alternatives<'a>(
        &'a self,
        vantages: &'a [Vantage],
    ) -> impl Iterator<Item = (Option<usize>, Vec<usize>)> + 'a {
        self.alternatives.iter().map(|alternative| {
            let matches =
                |vantage: &Vantage| alternative.terms.iter().all(|term| term.matches(vantage));
            (
                alternative.count,
                (0..vantages.len())
                    .filter(|&i| matches(&vantages[i]))
                    .collect(),
            )
        })
    }

    /// Whether any alternative holds for the vantage.
    pub fn matches(&self, vantage: &Vantage) -> bool {
        self.alternatives
            .iter()
            .any(|alternative| alternative.terms.iter().all(|term| term.matches(vantage)))
    }
}

impl Term {
    fn matches(&self, vantage: &Vantage) -> bool {
        let is = |text: &Option<String>, word: &str| {
            text.as_deref()
                .is_some_and(|t| t.eq_ignore_ascii_case(word))
        };
        let holds = match &self.matcher {
            Matcher::Asn(asn) => vantage.asn == Some(*asn),
            Matcher::Class(class) => vantage.class == Some(*class),
            Matcher::Probe(name) => vantage.id == *name,
            Matcher::Label(key, value) => vantage
                .labels
                .get(key)
                .is_some_and(|v| v.eq_ignore_ascii_case(value)),
            Matcher::Word(word) => {
                is(&vantage.region, word)
                    || is(&vantage.country, word)
                    || vantage
                        .labels
                        .values()
                        .any(|value| value.eq_ignore_ascii_case(word))
            }
        };
        holds != self.negated
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, alternative) in self.alternatives.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            for (j, term) in alternative.terms.iter().enumerate() {
                write!(
                    f,
                    "{}{}",
                    if j == 0 { "" } else { "+" },
                    if term.negated { "!" } else { "" }
                )?;
                match &term.matcher {
                    Matcher::Asn(asn) => write!(f, "as{asn}")?,
                    Matcher::Class(class) => write!(f, "{class}")?,
                    Matcher::Probe(name) => write!(f, "probe:{name}")?,
                    Matcher::Label(key, value) => write!(f, "{key}={value}")?,
                    Matcher::Word(word) => f.write_str(word)?,
                }
            }
            if let Some(count) = alternative.count {
                write!(f, "@{count}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Vec<Vantage> {
        [
            ("fra1", "eu", "DE", 24940, VantageClass::Datacenter),
            ("home2", "eu", "FR", 3215, VantageClass::Residential),
        ]
        .into_iter()
        .map(|(name, region, country, asn, class)| Vantage {
            region: Some(region.into()),
            country: Some(country.into()),
            asn: Some(asn),
            class: Some(class),
            labels: [("city".to_owned(), "fra".to_owned())].into(),
            ..Vantage::named(name.parse().unwrap())
        })
        .collect()
    }

    #[test]
    fn terms_alternatives_counts_and_negation() {
        let fleet = fleet();
        for (text, expected) in [
            ("eu", vec![(None, vec![0, 1])]),
            ("de", vec![(None, vec![0])]),
            ("eu+residential@3", vec![(Some(3), vec![1])]),
            (
                "as24940,probe:home2",
                vec![(None, vec![0]), (None, vec![1])],
            ),
            ("!datacenter", vec![(None, vec![1])]),
            ("city=FRA", vec![(None, vec![0, 1])]),
            ("asia", vec![(None, vec![])]),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(
                selector.alternatives(&fleet).collect::<Vec<_>>(),
                expected,
                "{text}"
            );
            assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
        }
    }

    #[test]
    fn wrong_selectors_say_which_term() {
        for text in ["", "eu+", "eu@0", "eu@x", "=x", "probe:", "a b", "eu,,de"] {
            let error = text.parse::<Selector>().expect_err(text).to_string();
            assert!(error.contains("selectors look like"), "{error}");
        }
        let error = "eu+\x1b[31m".parse::<Selector>().unwrap_err().to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}
