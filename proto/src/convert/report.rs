//! Reports.

use super::{
    Invalid, at_most,
    check::vantage_name,
    known, nonempty,
    observation::{elapsed, timestamp},
    value,
};
use crate::{
    Advisory, CauseId, CauseReport, Evidence, REPORT_SCHEMA, Report, VantageName, VantageReport,
    Verdict, limits, limits::plain_text, wire,
};

impl From<&Report> for wire::Report {
    fn from(report: &Report) -> Self {
        Self {
            id: report.id.to_string(),
            started_at_us: report.started_at.0,
            duration_us: report.duration_ms.0,
            target: Some((&report.target).into()),
            verdict: Some((&report.verdict).into()),
            subject: Some((&report.subject).into()),
            vantages: report.vantages.iter().map(Into::into).collect(),
            conditions: Some((&report.conditions).into()),
        }
    }
}

impl TryFrom<wire::Report> for Report {
    type Error = Invalid;

    fn try_from(report: wire::Report) -> Result<Self, Invalid> {
        at_most("vantages", report.vantages.len(), limits::VANTAGES + 1)?;
        Ok(Self {
            schema: REPORT_SCHEMA.to_owned(),
            id: report
                .id
                .parse()
                .map_err(|_| value("id", &report.id, "check id"))?,
            started_at: timestamp("started_at_us", report.started_at_us)?,
            duration_ms: elapsed("duration_us", report.duration_us)?,
            target: report
                .target
                .ok_or(Invalid::Missing("target"))?
                .try_into()?,
            verdict: report
                .verdict
                .ok_or(Invalid::Missing("verdict"))?
                .try_into()?,
            subject: report
                .subject
                .ok_or(Invalid::Missing("subject"))?
                .try_into()?,
            conditions: report.conditions.unwrap_or_default().try_into()?,
            vantages: report
                .vantages
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Verdict> for wire::Verdict {
    fn from(verdict: &Verdict) -> Self {
        let scope = |s| i32::from(wire::Scope::from(s));
        Self {
            scope: scope(verdict.scope),
            mechanism: wire::Mechanism::from(verdict.mechanism).into(),
            headline: verdict.headline.clone(),
            actor: wire::Actor::from(verdict.actor).into(),
            confidence: verdict.confidence,
            intermittent: verdict.intermittent,
            complete: verdict.complete,
            scopes: verdict
                .scopes
                .iter()
                .map(|(&s, &probability)| wire::ScopeProbability {
                    scope: scope(s),
                    probability,
                })
                .collect(),
            causes: verdict.causes.iter().map(Into::into).collect(),
            evidence: verdict.evidence.iter().map(Into::into).collect(),
            advisories: verdict.advisories.iter().map(Into::into).collect(),
            next: verdict.next.clone(),
        }
    }
}

impl TryFrom<wire::Verdict> for Verdict {
    type Error = Invalid;

    fn try_from(verdict: wire::Verdict) -> Result<Self, Invalid> {
        let scope = |s: wire::ScopeProbability| {
            Ok((known(s.scope)?, probability("scopes", s.probability)?))
        };
        Ok(Self {
            scope: known(verdict.scope)?,
            mechanism: known(verdict.mechanism)?,
            headline: plain_text(&verdict.headline, limits::TEXT),
            actor: known(verdict.actor)?,
            confidence: probability("confidence", verdict.confidence)?,
            intermittent: verdict.intermittent,
            complete: verdict.complete,
            scopes: verdict
                .scopes
                .into_iter()
                .map(scope)
                .collect::<Result<_, Invalid>>()?,
            causes: verdict
                .causes
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            evidence: verdict
                .evidence
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            advisories: verdict
                .advisories
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            next: sentences(verdict.next),
        })
    }
}

fn probability(field: &'static str, number: f64) -> Result<f64, Invalid> {
    if (0.0..=1.0 + 1e-9).contains(&number) {
        Ok(number)
    } else {
        Err(value(field, number, "probability"))
    }
}

/// JSON has no other numbers.
fn finite(field: &'static str, number: f64) -> Result<f64, Invalid> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(value(field, number, "finite number"))
    }
}

fn sentences(texts: Vec<String>) -> Vec<String> {
    texts
        .iter()
        .map(|text| plain_text(text, 4 * limits::TEXT))
        .collect()
}

fn names(texts: Vec<String>) -> Result<Vec<VantageName>, Invalid> {
    texts.iter().map(|text| vantage_name(text)).collect()
}

fn cause_id(text: &str) -> Result<CauseId, Invalid> {
    text.parse()
        .map_err(|_| value("cause", text, "known cause"))
}

impl From<&CauseReport> for wire::Cause {
    fn from(cause: &CauseReport) -> Self {
        Self {
            id: cause.id.to_string(),
            probability: cause.probability,
            title: cause.title.clone(),
            confirm: cause.confirm.clone(),
            fix: cause.fix.clone(),
            time_to_fix: cause.time_to_fix.clone(),
        }
    }
}

impl TryFrom<wire::Cause> for CauseReport {
    type Error = Invalid;

    fn try_from(cause: wire::Cause) -> Result<Self, Invalid> {
        Ok(Self {
            id: cause_id(&cause.id)?,
            probability: probability("cause.probability", cause.probability)?,
            title: plain_text(&cause.title, limits::TEXT),
            confirm: sentences(cause.confirm),
            fix: sentences(cause.fix),
            time_to_fix: plain_text(&cause.time_to_fix, limits::TEXT),
        })
    }
}

impl From<&Evidence> for wire::Evidence {
    fn from(evidence: &Evidence) -> Self {
        Self {
            id: evidence.id.clone(),
            says: evidence.says.clone(),
            favours: evidence
                .favours
                .iter()
                .map(|&scope| wire::Scope::from(scope).into())
                .collect(),
            log10_bayes_factor: evidence.log10_bayes_factor,
            vantages: evidence.vantages.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<wire::Evidence> for Evidence {
    type Error = Invalid;

    fn try_from(evidence: wire::Evidence) -> Result<Self, Invalid> {
        Ok(Self {
            id: plain_text(&evidence.id, 16),
            says: plain_text(&evidence.says, 4 * limits::TEXT),
            favours: evidence
                .favours
                .into_iter()
                .map(known)
                .collect::<Result<_, _>>()?,
            log10_bayes_factor: finite("evidence.log10_bayes_factor", evidence.log10_bayes_factor)?,
            vantages: names(evidence.vantages)?,
        })
    }
}

impl From<&Advisory> for wire::Advisory {
    fn from(advisory: &Advisory) -> Self {
        Self {
            says: advisory.says.clone(),
            cause: advisory
                .cause
                .map(|cause| cause.to_string())
                .unwrap_or_default(),
            vantages: advisory.vantages.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<wire::Advisory> for Advisory {
    type Error = Invalid;

    fn try_from(advisory: wire::Advisory) -> Result<Self, Invalid> {
        Ok(Self {
            says: plain_text(&advisory.says, 4 * limits::TEXT),
            cause: nonempty(advisory.cause)
                .map(|cause| cause_id(&cause))
                .transpose()?,
            vantages: names(advisory.vantages)?,
        })
    }
}

impl From<&VantageReport> for wire::VantageReport {
    fn from(report: &VantageReport) -> Self {
        Self {
            vantage: Some((&report.vantage).into()),
            observations: report.observations.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::VantageReport> for VantageReport {
    type Error = Invalid;

    fn try_from(report: wire::VantageReport) -> Result<Self, Invalid> {
        Ok(Self {
            vantage: report
                .vantage
                .ok_or(Invalid::Missing("vantage"))?
                .try_into()?,
            observations: report
                .observations
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
        })
    }
}
