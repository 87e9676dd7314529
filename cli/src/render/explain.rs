//! The report with everything it stands on: the verdict as always, then how probable what else is, each piece of evidence
//! with its weight, why it is not the runner-up, and every observation.

use anstyle::Style;
use onlyhere_proto::{
    Evidence, Facts, Observation, Report, SaidBy, Scope, Stage, VantageReport, Verdict,
};

use super::{
    page::Page,
    style::{BAD, BOLD, CARE, DIM, GOOD, PLAIN},
    summary::time,
    text::{self, section},
    words::{objects, percent},
};
use crate::answer::Answer;

/// A scope less probable than this is not worth a line.
const WORTH_A_LINE: f64 = 0.000_5;
/// Columns of the longest scope, and a gap.
const SCOPES: usize = 18;
/// Names of a certificate that are listed.
const NAMES: usize = 3;

/// Draws an answer in `width` columns.
pub fn answer(answer: &Answer<'_>, width: usize) -> String {
    let mut page = Page::new(width);
    let verdict = &answer.report.verdict;
    text::verdict(&mut page, answer.report);
    probabilities(&mut page, verdict);
    evidence(&mut page, verdict);
    runner_up(&mut page, verdict);
    text::surroundings(&mut page, answer.report);
    observations(&mut page, answer.report);
    text::remarks(&mut page, answer);
    page.finish()
}

/// Scopes and causes, the likeliest first.
fn probabilities(page: &mut Page, verdict: &Verdict) {
    section(page, "How probable");
    for (scope, probability) in by_probability(verdict) {
        let lead = format!("  {scope}");
        page.paragraph(&lead, PLAIN, SCOPES, &percent(probability), PLAIN);
    }
    for cause in &verdict.causes {
        let says = format!("{}: {}", percent(cause.probability), cause.title);
        page.paragraph(&format!("  {}", cause.id), DIM, SCOPES + 4, &says, PLAIN);
    }
}

fn by_probability(verdict: &Verdict) -> Vec<(Scope, f64)> {
    let mut all: Vec<(Scope, f64)> = verdict.scopes.iter().map(|(s, p)| (*s, *p)).collect();
    all.retain(|(scope, p)| *p >= WORTH_A_LINE || *scope == verdict.scope);
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

/// All of it. The factor is that of the odds of the scopes named, after against before.
fn evidence(page: &mut Page, verdict: &Verdict) {
    if verdict.evidence.is_empty() {
        return;
    }
    section(
        page,
        "Evidence, each with the factor by which it changes the odds",
    );
    for evidence in &verdict.evidence {
        let style = if objects(evidence) { CARE } else { DIM };
        page.paragraph(
            &format!("  {}", evidence.id),
            style,
            6,
            &evidence.says,
            PLAIN,
        );
        page.paragraph("", PLAIN, 6, &weight(evidence), DIM);
    }
}

fn weight(evidence: &Evidence) -> String {
    let names = |all: Vec<String>| all.join(", ");
    let favours = names(evidence.favours.iter().map(ToString::to_string).collect());
    let seen = names(evidence.vantages.iter().map(ToString::to_string).collect());
    let weight = match (favours.is_empty(), objects(evidence)) {
        (true, true) => format!("{} against the verdict", factor(evidence)),
        (true, false) => "tells nothing of the scope".to_owned(),
        (false, _) => format!("{} for {favours}", factor(evidence)),
    };
    match seen.is_empty() {
        true => weight,
        false => format!("{weight}; seen by {seen}"),
    }
}

/// `×1.4`, `×15,000`, `÷2.5`; nothing finer than two digits means anything.
fn factor(evidence: &Evidence) -> String {
    let sign = if objects(evidence) { '÷' } else { '×' };
    let size = evidence.log10_bayes_factor.abs();
    match size {
        s if s < 1.0 => format!("{sign}{:.1}", 10_f64.powf(s)),
        s if s < 2.0 => format!("{sign}{:.0}", 10_f64.powf(s)),
        s => format!("{sign}10^{s:.1}"),
    }
}

/// What was told by which the second scope became less likely than the first.
fn runner_up(page: &mut Page, verdict: &Verdict) {
    let others = verdict.scopes.iter().map(|(scope, p)| (*scope, *p));
    let other = others
        .filter(|(scope, p)| *scope != verdict.scope && *scope != Scope::Inconclusive && *p > 0.0)
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((scope, probability)) = other else {
        return;
    };
    section(page, &format!("Why not {scope} ({})", percent(probability)));
    let tells = |e: &&Evidence| {
        !objects(e) && e.favours.contains(&verdict.scope) && !e.favours.contains(&scope)
    };
    let mut against: Vec<&Evidence> = verdict.evidence.iter().filter(tells).collect();
    against.sort_by(|a, b| b.log10_bayes_factor.total_cmp(&a.log10_bayes_factor));
    if against.is_empty() {
        let nothing = "No piece of evidence tells the two apart by itself; the rarer the fault, the less \
                       probable it is beforehand.";
        page.paragraph("  ", PLAIN, 2, nothing, PLAIN);
    }
    for evidence in against {
        let says = format!("{} ({})", evidence.says, factor(evidence));
        page.paragraph(&format!("  {}", evidence.id), DIM, 6, &says, PLAIN);
    }
}

fn observations(page: &mut Page, report: &Report) {
    section(page, "Observations");
    for seen in &report.vantages {
        page.paragraph("  ", PLAIN, 2, &who(seen), BOLD);
        let began = seen.observations.iter().map(|o| o.started_at.0).min();
        for observation in &seen.observations {
            let after = observation.started_at.0 - began.unwrap_or_default();
            let lead = format!("{:>8.3} s", after as f64 / 1e6);
            page.paragraph(&lead, DIM, 12, &told(observation), style(observation));
        }
    }
}

fn who(seen: &VantageReport) -> String {
    let vantage = &seen.vantage;
    let known = [
        vantage.region.clone(),
        vantage.country.clone(),
        vantage.class.map(|class| class.to_string()),
        vantage.asn.map(|asn| format!("AS{asn}")),
        vantage.public_address.map(|address| address.to_string()),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    match known.is_empty() {
        true => vantage.name.clone(),
        false => format!("{} ({})", vantage.name, known.join(", ")),
    }
}

fn style(observation: &Observation) -> Style {
    use onlyhere_proto::Outcome::{NotMeasured, Ok};
    match observation.outcome {
        Ok => GOOD,
        NotMeasured => DIM,
        _ => BAD,
    }
}

/// One observation as a sentence: why, what, of whom, what came of it, when, and what else was learned.
pub(super) fn told(o: &Observation) -> String {
    let mut says = format!("{} {} {}", o.purpose, o.stage, whom(o));
    says.push_str(&format!(": {} after {}", o.outcome, time(o.elapsed_ms)));
    if let Some(more) = o.detail.clone().or_else(|| said_by(o)) {
        says.push_str(&format!("; {more}"));
    }
    if let Some(facts) = learned(o) {
        says.push_str(&format!("; {facts}"));
    }
    says
}

fn whom(o: &Observation) -> String {
    let at = |address: std::net::IpAddr| match o.port {
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    match (&o.facts, o.address) {
        (Some(Facts::Dns(dns)), _) if o.stage == Stage::Dns => {
            let by = dns.resolver.map(|resolver| format!(" {resolver}"));
            format!(
                "{} {} by {}{}",
                o.host,
                dns.record_type,
                dns.kind,
                by.unwrap_or_default()
            )
        }
        (_, Some(address)) if o.host == address.to_string() => at(address),
        (_, Some(address)) => format!("{} at {}", o.host, at(address)),
        (_, None) => o.host.clone(),
    }
}

fn said_by(o: &Observation) -> Option<String> {
    match o.said_by? {
        SaidBy::Rst => Some("a TCP reset".to_owned()),
        SaidBy::Kernel => Some("this machine's own kernel".to_owned()),
        SaidBy::Icmp { icmp } => Some(format!(
            "ICMP {}/{} from {}",
            icmp.icmp_type, icmp.code, icmp.from
        )),
    }
}

fn learned(o: &Observation) -> Option<String> {
    let said = match o.facts.as_ref()? {
        Facts::Dns(dns) => {
            let answers = dns.answers.iter().map(|answer| answer.address.to_string());
            answers.collect::<Vec<_>>().join(", ")
        }
        Facts::Tcp(tcp) => tcp.hop.map(|hop| format!("TTL {hop}")).unwrap_or_default(),
        Facts::Tls(tls) => {
            let names = tls.certificates.first().map(|first| {
                let names: Vec<&str> = first.names.iter().take(NAMES).map(String::as_str).collect();
                format!(
                    "certificate of {}, until {}",
                    names.join(", "),
                    first.not_after
                )
            });
            let wrong = tls.error.map(|error| error.to_string());
            let all = [tls.version.clone(), names, wrong];
            all.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Facts::Http(http) => format!("{} {}", http.version, http.status),
    };
    (!said.is_empty()).then_some(said)
}
