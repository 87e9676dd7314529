//! What simpler ways to decide come to on the same openings: a majority of the vantages, a quorum as certificate
//! authorities ask for it, one control as censorship probes have it, and a one-shot naive Bayes.
//!
//! Each reduces an opening to a few features. What a combination of features *means* is learned by counting on cases of
//! other seeds: the commonest cause, and the commonest scope, that came with it. No fixed reading could do better.

use std::collections::BTreeMap;

use onlyhere_diagnosis::Case;
use onlyhere_proto::{Observation, Outcome, Purpose, Scope, Stage, Vantage, VantageClass};

use crate::network::Truth;

/// What somebody saw, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    Nothing,
    Ok,
    Refused,
    Timeout,
    Reset,
    Unreachable,
    Dns,
    Tls,
    Http,
    Mixed,
}

/// An opening, reduced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    you: Word,
    your_controls: Word,
    remote: Vec<Word>,
    /// The majority among those who stand close to the subject in some way: its network, its country, its region, other
    /// homes, hosting companies.
    groups: [Word; 5],
}

/// A truth, reduced to what a baseline can be right about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lesson {
    pub(crate) opening: Opening,
    pub(crate) truth: Truth,
}

type Cell = Vec<Word>;
/// A cause's label and a scope.
type Answer = (&'static str, Scope);
/// Lessons, and per feature how often each word came with them.
type Counts = (usize, Vec<BTreeMap<Word, usize>>);

/// How a baseline reads an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Baseline {
    Majority,
    Quorum,
    OneControl,
    NaiveBayes,
}

impl Baseline {
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Majority, "majority of the vantages"),
        (Self::Quorum, "quorum of n-1 of n"),
        (Self::OneControl, "one control vantage"),
        (Self::NaiveBayes, "one-shot naive Bayes"),
    ];

    fn features(self, opening: &Opening) -> Cell {
        let all = majority(&opening.remote);
        let failing = opening.remote.iter().filter(|w| **w != Word::Ok).count();
        match self {
            Self::Majority => vec![opening.you, all],
            Self::Quorum => {
                let passes = if failing <= 1 {
                    Word::Ok
                } else {
                    all_failing(&opening.remote)
                };
                vec![opening.you, passes]
            }
            Self::OneControl => vec![
                opening.you,
                opening.remote.first().copied().unwrap_or(Word::Nothing),
            ],
            Self::NaiveBayes => {
                let mut cell = vec![opening.you, opening.your_controls, all];
                cell.extend(opening.groups);
                cell
            }
        }
    }
}

/// Counted lessons of one baseline.
pub(crate) struct Learned {
    baseline: Baseline,
    cells: BTreeMap<Cell, BTreeMap<Answer, usize>>,
    /// Per cause and scope, per feature: how often each word.
    words: BTreeMap<Answer, Counts>,
}

impl Learned {
    pub(crate) fn from(baseline: Baseline, lessons: &[Lesson]) -> Self {
        let mut learned = Self {
            baseline,
            cells: BTreeMap::new(),
            words: BTreeMap::new(),
        };
        for lesson in lessons {
            let features = baseline.features(&lesson.opening);
            let is = (lesson.truth.label(), lesson.truth.scopes[0]);
            *learned
                .cells
                .entry(features.clone())
                .or_default()
                .entry(is)
                .or_default() += 1;
            let blank = || (0, vec![BTreeMap::new(); features.len()]);
            let (count, words) = learned.words.entry(is).or_insert_with(blank);
            *count += 1;
            for (word, counts) in features.iter().zip(words) {
                *counts.entry(*word).or_default() += 1;
            }
        }
        learned
    }

    /// The cause's label and the scope.
    pub(crate) fn say(&self, opening: &Opening) -> Answer {
        let features = self.baseline.features(opening);
        if self.baseline == Baseline::NaiveBayes {
            let score = |(_, (count, words)): &(&Answer, &Counts)| {
                let n = *count as f64;
                let likelihoods = features.iter().zip(words).map(|(word, counts)| {
                    let seen = counts.get(word).copied().unwrap_or(0) as f64;
                    ((seen + 0.5) / (n + 5.0)).ln()
                });
                n.ln() + likelihoods.sum::<f64>()
            };
            let best = self
                .words
                .iter()
                .max_by(|a, b| score(a).total_cmp(&score(b)));
            return best.map_or(("ok", Scope::Ok), |(is, _)| *is);
        }
        let counts = self.cells.get(&features);
        let best = counts.and_then(|c| c.iter().max_by_key(|(_, count)| **count));
        best.map_or(("ok", Scope::Ok), |(is, _)| *is)
    }
}

/// Whether a baseline's word counts as right, lookalikes included.
pub(crate) fn is_right(truth: &Truth, (label, scope): (&str, Scope)) -> (bool, bool) {
    let labels = truth.lookalikes.iter().map(|id| id.label());
    let also = truth
        .also
        .iter()
        .map(|(id, _)| id.map_or("ok", |id| id.label()));
    let cause = label == truth.label() || labels.chain(also).any(|l| l == label);
    let scopes = truth.scopes.iter().chain(&truth.lookalike_scopes);
    let scope = scopes
        .chain(truth.also.iter().map(|(_, s)| s))
        .any(|s| *s == scope);
    (cause, scope)
}

/// Reduces what the opening brought.
pub(crate) fn opening(case: &Case, observations: &[(f64, Observation)]) -> Opening {
    let word = |vantage: &Vantage, purpose: Purpose| {
        let of: Vec<&Observation> = observations
            .iter()
            .map(|(_, o)| o)
            .filter(|o| o.vantage == vantage.id && o.purpose == purpose)
            .collect();
        let depth = if purpose == Purpose::Control {
            Stage::Tls
        } else {
            case.target.depth()
        };
        word_of(&of, depth)
    };
    let is_you = |v: &&Vantage| Some(&v.id) == case.subject.vantage.as_ref();
    let you = case.vantages.iter().find(is_you);
    let others: Vec<(&Vantage, Word)> = case
        .vantages
        .iter()
        .filter(|v| !is_you(v))
        .map(|v| (v, word(v, Purpose::Target)))
        .collect();
    let group = |belongs: &dyn Fn(&Vantage) -> bool| {
        let words = others.iter().filter(|(v, _)| belongs(v)).map(|(_, w)| *w);
        majority(&words.collect::<Vec<_>>())
    };
    let like = |v: &Vantage| you.is_some_and(|y| v.same_network(y));
    let country = |v: &Vantage| you.is_some_and(|y| v.country == y.country && !v.same_network(y));
    let region = |v: &Vantage| you.is_some_and(|y| v.region == y.region && v.country != y.country);
    let home = |v: &Vantage| v.class != Some(VantageClass::Datacenter) && !like(v);
    let hoster = |v: &Vantage| v.class == Some(VantageClass::Datacenter);
    Opening {
        you: you.map_or(Word::Nothing, |v| word(v, Purpose::Target)),
        your_controls: you.map_or(Word::Nothing, |v| word(v, Purpose::Control)),
        groups: [
            group(&like),
            group(&country),
            group(&region),
            group(&home),
            group(&hoster),
        ],
        remote: others
            .iter()
            .map(|(_, w)| *w)
            .filter(|w| *w != Word::Nothing)
            .collect(),
    }
}

/// `Ok` when any address got through as deep as asked, as a browser would; `Mixed` when others did not.
fn word_of(observations: &[&Observation], depth: Stage) -> Word {
    let measured: Vec<&&Observation> = observations
        .iter()
        .filter(|o| o.outcome != Outcome::NotMeasured && o.stage != Stage::Icmp)
        .collect();
    let failures = measured
        .iter()
        .filter(|o| o.stage != Stage::Dns && o.outcome != Outcome::Ok);
    let first = failures.map(|o| failing(o.stage, o.outcome)).next();
    let arrived = measured
        .iter()
        .any(|o| o.stage == depth && o.outcome == Outcome::Ok);
    let asked = measured.iter().any(|o| o.stage == Stage::Dns);
    match (arrived, first) {
        (true, Some(_)) => Word::Mixed,
        (true, None) => Word::Ok,
        (false, Some(word)) => word,
        (false, None) if asked => Word::Dns,
        (false, None) => Word::Nothing,
    }
}

fn failing(stage: Stage, outcome: Outcome) -> Word {
    match (stage, outcome) {
        (_, Outcome::Timeout) => Word::Timeout,
        (_, Outcome::Reset | Outcome::Closed) => Word::Reset,
        (Stage::Tls, _) => Word::Tls,
        (Stage::Http, _) => Word::Http,
        (_, Outcome::Refused) => Word::Refused,
        _ => Word::Unreachable,
    }
}

fn majority(words: &[Word]) -> Word {
    let mut counts: BTreeMap<Word, usize> = BTreeMap::new();
    for word in words.iter().filter(|w| **w != Word::Nothing) {
        *counts.entry(*word).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(Word::Nothing, |(word, _)| word)
}

fn all_failing(words: &[Word]) -> Word {
    let failing: Vec<Word> = words.iter().copied().filter(|w| *w != Word::Ok).collect();
    majority(&failing)
}
