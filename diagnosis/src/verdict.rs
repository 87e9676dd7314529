//! From the posterior to the verdict, and the rules that are not probabilities.
//!
//! * Alone, one vantage can prove what is its own, and what the target itself signs (a certificate's dates and names,
//!   an HTTP status, an answer that several resolvers give). Everything else it fails at is `inconclusive`.
//! * Whether an address or its whole network is meant can only be told by somebody else in that network: without a
//!   sibling's word both masses are reported as `source`.
//! * A network-wide conclusion needs a second vantage there, and two networks elsewhere.
//! * What is wrong must convince even those who take it that all is well on a day on which much fails by chance.
//! * The deepest level whose probability reaches 0.8 is reported: cause, else scope, else who must act.

use std::collections::{BTreeMap, BTreeSet};

use onlyhere_proto::{Actor, CauseId, Mechanism, Scope, Symptom, Verdict};

use crate::case::Case;
use crate::digest::Digest;
use crate::explain;
use crate::hypothesis::Hypothesis;
use crate::posterior::Posterior;
use crate::resolution::Resolution;
use crate::rules::Rules;
use crate::sign::Kind;

/// What is reported has at least this probability.
const REPORTABLE: f64 = 0.8;
/// Kept for what the model does not know: nothing is certain.
const UNKNOWN: f64 = 0.001;
/// Causes below this are not worth a person's time.
const CAUSE_SHOWN: f64 = 0.02;
/// Causes shown at most.
const CAUSES_SHOWN: usize = 5;

/// What is decided, before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// Where.
    pub(crate) scope: Scope,
    /// Its probability; for `inconclusive` that of the likeliest scope.
    pub(crate) confidence: f64,
    /// Every scope, adding up to one.
    pub(crate) scopes: BTreeMap<Scope, f64>,
    /// Causes that lead there, the likeliest first.
    pub(crate) causes: Vec<(CauseId, f64)>,
    /// How it shows.
    pub(crate) mechanism: Mechanism,
    /// Who must act.
    pub(crate) actor: Actor,
    /// Whether it comes and goes.
    pub(crate) intermittent: bool,
}

impl Decision {
    /// The likeliest cause.
    pub(crate) fn cause(&self) -> Option<CauseId> {
        self.causes.first().map(|(cause, _)| *cause)
    }
}

/// The verdict in full.
pub(crate) fn conclude(
    case: &Case,
    digest: &Digest,
    posterior: &Posterior,
    stragglers: &BTreeSet<usize>,
    complete: bool,
) -> Verdict {
    let decision = decide(case, digest, posterior);
    explain::verdict(case, digest, posterior, &decision, stragglers, complete)
}

/// Applies the rules to the posterior.
pub(crate) fn decide(case: &Case, digest: &Digest, posterior: &Posterior) -> Decision {
    let rules = Rules::new(case, digest, posterior);
    let mut scopes: BTreeMap<Scope, f64> = Scope::ALL.iter().map(|s| (*s, 0.0)).collect();
    let mut reported: Vec<(Scope, Option<CauseId>, f64)> = Vec::new();
    for ((scope, cause), p) in posterior.conclusions() {
        let scope = rules.reportable(scope, cause);
        *scopes.entry(scope).or_default() += p;
        reported.push((scope, cause, p * (1.0 - UNKNOWN)));
    }
    for p in scopes.values_mut() {
        *p *= 1.0 - UNKNOWN;
    }
    *scopes.entry(Scope::Inconclusive).or_default() += UNKNOWN;
    let (top, confidence) = highest(&scopes);
    let nothing_seen = !digest.vantages.iter().any(|v| v.says_something());
    let convincing = top == Scope::Ok || case.loopback_target() || !posterior.leaves_doubt();
    let scope = if confidence >= REPORTABLE && convincing && !nothing_seen {
        top
    } else {
        Scope::Inconclusive
    };
    let mut causes: BTreeMap<CauseId, f64> = BTreeMap::new();
    for (of, cause, p) in reported {
        if let Some(cause) = cause
            && (of == scope || (scope == Scope::Inconclusive && of != Scope::Ok))
        {
            *causes.entry(cause).or_default() += p;
        }
    }
    let mut causes: Vec<(CauseId, f64)> = causes.into_iter().collect();
    causes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    keep_worth_showing(&mut causes);
    if scope == Scope::Ok || nothing_seen {
        causes.clear();
    }
    let belongs = |h: &Hypothesis| rules.reportable(h.scope(), h.cause()) == scope;
    let first = causes.first().map(|c| c.0);
    let best = if scope == Scope::Inconclusive {
        posterior.best()
    } else {
        posterior.best_of(|h| belongs(h) && (first.is_none() || h.cause() == first))
    };
    let mechanism = mechanism(case, digest, scope, causes.first().map(|c| c.0), best);
    let intermittent = matches!(scope, Scope::Global | Scope::TargetAddress)
        && best.is_some_and(Hypothesis::intermittent);
    let actor = actor(&rules, posterior, scope, nothing_seen);
    Decision {
        scope,
        confidence,
        scopes,
        causes,
        mechanism,
        actor,
        intermittent,
    }
}

/// Probability of every scope under the rules, not tempered: what evidence is weighed by. The rules are those of the
/// whole case, even where the posterior leaves a part of it out.
pub(crate) fn plain_scopes(
    case: &Case,
    digest: &Digest,
    posterior: &Posterior,
) -> BTreeMap<Scope, f64> {
    let rules = Rules::new(case, digest, posterior).of_a_part();
    let mut scopes = BTreeMap::new();
    for (h, p) in posterior.hypotheses.iter().zip(&posterior.probabilities) {
        *scopes
            .entry(rules.reportable(h.scope(), h.cause()))
            .or_default() += p;
    }
    scopes
}

/// The likeliest hypothesis that leads to the scope decided on.
pub(crate) fn best_reported<'a>(
    case: &Case,
    digest: &Digest,
    posterior: &'a Posterior,
    decision: &Decision,
) -> Option<&'a Hypothesis> {
    let rules = Rules::new(case, digest, posterior);
    posterior.best_of(|h| {
        rules.reportable(h.scope(), h.cause()) == decision.scope
            && (decision.causes.is_empty() || h.cause() == decision.cause())
    })
}

fn highest(scopes: &BTreeMap<Scope, f64>) -> (Scope, f64) {
    let mut best = (Scope::Inconclusive, 0.0);
    for (scope, p) in scopes {
        if *p > best.1 {
            best = (*scope, *p);
        }
    }
    best
}

/// Keeps the likely ones, and with each its partners that nobody can tell from it from outside.
fn keep_worth_showing(causes: &mut Vec<(CauseId, f64)>) {
    const PARTNERS: &[(CauseId, CauseId)] = &[
        (CauseId::HostDown, CauseId::FirewallDrop),
        (CauseId::ServiceDown, CauseId::BoundToLoopback),
        (CauseId::ServiceDown, CauseId::WrongPort),
        (CauseId::ServiceDown, CauseId::FirewallReject),
    ];
    let first = causes.first().map(|c| c.0);
    let partner = |cause: CauseId| {
        PARTNERS
            .iter()
            .any(|(a, b)| (Some(*a) == first && *b == cause) || (Some(*b) == first && *a == cause))
    };
    causes.retain(|(cause, p)| *p >= CAUSE_SHOWN || (partner(*cause) && *p >= 0.001));
    causes.truncate(CAUSES_SHOWN);
}

fn actor(rules: &Rules, posterior: &Posterior, scope: Scope, nothing_seen: bool) -> Actor {
    if nothing_seen {
        return Actor::Unknown;
    }
    let mut actors: BTreeMap<Actor, f64> = BTreeMap::new();
    let mut sum = 0.0;
    for (h, p) in posterior.hypotheses.iter().zip(&posterior.probabilities) {
        if scope == Scope::Inconclusive || rules.reportable(h.scope(), h.cause()) == scope {
            *actors.entry(h.actor()).or_default() += p;
            sum += p;
        }
    }
    let mut best = (Actor::Unknown, 0.0);
    for (actor, p) in actors {
        if p > best.1 {
            best = (actor, p);
        }
    }
    // Without a scope, naming who must act takes the same certainty as naming the scope would.
    let needed = if scope == Scope::Inconclusive {
        REPORTABLE
    } else {
        0.5
    };
    if sum > 0.0 && best.1 / sum >= needed {
        best.0
    } else {
        Actor::Unknown
    }
}

/// How the fault shows: to the subject where it is the subject's, else to most of those who meet it.
fn mechanism(
    case: &Case,
    digest: &Digest,
    scope: Scope,
    cause: Option<CauseId>,
    best: Option<&Hypothesis>,
) -> Mechanism {
    if scope == Scope::Ok {
        return Mechanism::None;
    }
    let through_proxy = case
        .subject_index()
        .into_iter()
        .flat_map(|s| &digest.vantages[s].proxied)
        .find(|p| p.kind != Kind::Ok);
    if let (Some(CauseId::LocalProxy), Some(proxied)) = (cause, through_proxy) {
        return proxied.kind.mechanism();
    }
    if matches!(cause, Some(CauseId::BrowserOnly | CauseId::LocalProxy)) {
        return case
            .conditions
            .seen
            .map_or(Mechanism::None, |symptom| match symptom {
                Symptom::Refused => Mechanism::Refused,
                Symptom::Timeout => Mechanism::Timeout,
                Symptom::Reset => Mechanism::Reset,
                Symptom::Dns => Mechanism::Dns,
                Symptom::Tls => Mechanism::Tls,
                Symptom::Http => Mechanism::Http,
            });
    }
    let own = matches!(
        scope,
        Scope::Local
            | Scope::Source
            | Scope::SourceAddress
            | Scope::SourceNetwork
            | Scope::Inconclusive
    );
    let subject = case.subject_index().filter(|_| own);
    let voters: Vec<usize> = match subject {
        Some(subject) => vec![subject],
        None => (0..case.vantages.len())
            .filter(|v| {
                let hidden = |h: &Hypothesis| h.near.as_ref().is_some_and(|n| n.affected[*v]);
                best.is_none_or(|h| h.affected[*v] && !hidden(h))
            })
            .collect(),
    };
    let mut votes: BTreeMap<Mechanism, usize> = BTreeMap::new();
    for vantage in voters {
        if let Some(mechanism) = shown(digest, vantage, cause, best) {
            *votes.entry(mechanism).or_default() += 1;
        }
    }
    let mut top = (Mechanism::None, 0);
    for (mechanism, count) in votes {
        if count > top.1 {
            top = (mechanism, count);
        }
    }
    match (top.0, cause) {
        // Nobody could even try: the name itself is what is wrong.
        (Mechanism::None, Some(CauseId::WrongAddress)) => Mechanism::Dns,
        (mechanism, _) => mechanism,
    }
}

/// How it shows to one vantage: the commonest of its failures, at the addresses in question.
fn shown(
    digest: &Digest,
    vantage: usize,
    cause: Option<CauseId>,
    best: Option<&Hypothesis>,
) -> Option<Mechanism> {
    let seen = &digest.vantages[vantage];
    let in_question = |address: usize| best.is_none_or(|h| h.strikes(digest, address));
    let kinds = seen
        .attempts
        .iter()
        .filter(|a| in_question(a.address))
        .map(|a| a.sign.kind)
        .chain(seen.odd_attempts.iter().map(|(_, kind)| *kind))
        .filter(|kind| *kind != Kind::Ok);
    let mut votes: BTreeMap<Mechanism, usize> = BTreeMap::new();
    for kind in kinds {
        *votes.entry(kind.mechanism()).or_default() += 1;
    }
    let mut top = None;
    for (mechanism, count) in votes {
        if top.is_none_or(|(_, best)| count > best) {
            top = Some((mechanism, count));
        }
    }
    let offline = matches!(cause, Some(CauseId::LocalOffline | CauseId::LocalVpn));
    let unresolved = seen.resolution.filter(|r| *r != Resolution::Answer);
    match (top, unresolved) {
        (_, Some(_))
            if matches!(
                cause,
                Some(CauseId::DnsMissing | CauseId::DnsBroken | CauseId::LocalResolver)
            ) =>
        {
            Some(Mechanism::Dns)
        }
        (Some((mechanism, _)), _) => Some(mechanism),
        (None, Some(Resolution::Silent | Resolution::Refused)) if offline => {
            Some(Mechanism::Timeout)
        }
        (None, Some(_)) => Some(Mechanism::Dns),
        (None, None) => None,
    }
}
