//! What a hosting provider's support needs to know, as Markdown: what, when, from where, what it stands on, what to look
//! at and what to do. All text passes the escaping of [`super::markdown`].

use std::{collections::BTreeSet, net::IpAddr};

use onlyhere_proto::{Outcome, Report, Scope, VantageReport, Verdict};

use super::{
    explain::told,
    markdown::{code, evidence, fact, items, line, text, utc, vantages},
    words::{certainty, named, shown_causes, time_of, upper_first},
};

/// Failed attempts of the caller that are listed.
const ATTEMPTS: usize = 12;
/// In place of an address that is left out.
const WITHHELD: &str = "(address withheld)";

/// Writes the ticket. With `redact` the caller's own addresses are left out everywhere; the AS stays, because it says
/// which provider is concerned, and a prefix does not, because it may be one household's.
pub fn markdown(report: &Report, redact: bool) -> String {
    let whole = whole(report);
    match redact {
        true => without(&whole, &own_addresses(report)),
        false => whole,
    }
}

fn whole(report: &Report) -> String {
    let verdict = &report.verdict;
    let host = code(&report.target.input);
    let mut out = format!("# {host}: {}\n\n", text(&verdict.headline));
    line(&mut out, &about_you(report));
    out.push('\n');
    facts(&mut out, report);
    evidence(&mut out, verdict);
    attempts(&mut out, report);
    out.push_str("\n### Who reaches it\n\n");
    vantages(&mut out, report);
    requests(&mut out, verdict);
    let id = code(report.id.as_str());
    line(&mut out, &format!("\nMeasured by Onlyhere; report {id}."));
    out
}

fn about_you(report: &Report) -> String {
    let you = "\"You\", \"your\" and \"here\" below are the person who asks for help";
    match report.subject.public_address {
        Some(address) => format!("{you}, at {}.", code(&address.to_string())),
        None => format!("{you}."),
    }
}

fn facts(out: &mut String, report: &Report) {
    let verdict = &report.verdict;
    let target = &report.target;
    let addresses: BTreeSet<IpAddr> = report
        .vantages
        .iter()
        .flat_map(|seen| &seen.observations)
        .filter(|o| o.host == target.host.to_string())
        .filter_map(|o| o.address)
        .collect();
    let addresses: Vec<String> = addresses.iter().map(|a| code(&a.to_string())).collect();
    fact(out, "Service", &code(&target.input));
    if !addresses.is_empty() {
        fact(out, "Its addresses", &addresses.join(", "));
    }
    if let Some(port) = target.port {
        fact(out, "Port", &port.to_string());
    }
    fact(
        out,
        "When",
        &format!("{}, within {}", utc(report), time_of(report)),
    );
    fact(out, "From", &from(report));
    fact(out, "What happens", &text(&verdict.headline));
    if verdict.scope != Scope::Ok {
        for (number, cause) in shown_causes(verdict).into_iter().enumerate() {
            let label = if number == 0 { "Most likely" } else { "Or" };
            fact(out, label, &text(&named(cause)));
        }
        fact(out, "Certainty", &text(&certainty(verdict)));
    }
    if verdict.intermittent {
        fact(out, "How often", "it comes and goes");
    }
}

fn from(report: &Report) -> String {
    let address = report.subject.public_address;
    let asn = report.subject.asn.or_else(|| you(report)?.vantage.asn);
    let known = [
        address.map(|address| code(&address.to_string())),
        asn.map(|asn| format!("AS{asn}")),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    match known.is_empty() {
        true => "an address that is not known".to_owned(),
        false => known.join(", "),
    }
}

fn you(report: &Report) -> Option<&VantageReport> {
    report.vantages.iter().find(|seen| seen.vantage.id.is_you())
}

/// What failed from the caller, attempt by attempt.
fn attempts(out: &mut String, report: &Report) {
    let host = report.target.host.to_string();
    let failed = you(report).into_iter().flat_map(|you| &you.observations);
    let failed: Vec<_> = failed
        .filter(|o| o.host == host && !matches!(o.outcome, Outcome::Ok | Outcome::NotMeasured))
        .collect();
    if failed.is_empty() {
        return;
    }
    out.push_str("\n### Attempts that failed\n\n");
    for o in failed.iter().take(ATTEMPTS) {
        let at = o.started_at.to_string();
        line(out, &format!("- {} {}", code(&at), text(&told(o))));
    }
    if failed.len() > ATTEMPTS {
        line(out, &format!("- and {} more", failed.len() - ATTEMPTS));
    }
}

/// What to look at, and what to do.
fn requests(out: &mut String, verdict: &Verdict) {
    let causes = shown_causes(verdict);
    let all = |of: fn(&onlyhere_proto::CauseReport) -> &Vec<String>| {
        let mut seen = BTreeSet::new();
        let texts = causes.iter().flat_map(|cause| of(cause));
        texts
            .filter(|text| seen.insert(text.as_str()))
            .collect::<Vec<&String>>()
    };
    for (title, texts) in [
        ("Please look", all(|cause| &cause.confirm)),
        ("What mends it", all(|cause| &cause.fix)),
    ] {
        if !texts.is_empty() {
            line(out, &format!("\n### {title}\n"));
            items(out, &texts);
        }
    }
    if causes.is_empty() && !verdict.next.is_empty() {
        out.push_str("\n### Next\n\n");
        for next in &verdict.next {
            line(out, &format!("- {}", text(&upper_first(next))));
        }
    }
}

/// Under which addresses this machine is known, outside and inside.
fn own_addresses(report: &Report) -> BTreeSet<IpAddr> {
    let you = you(report);
    let sources = you.into_iter().flat_map(|you| &you.observations);
    let mut own: BTreeSet<IpAddr> = sources.filter_map(|o| o.source).collect();
    own.extend(report.subject.public_address);
    own.extend(you.and_then(|you| you.vantage.public_address));
    own
}

/// Replaces each address wherever it stands by itself, not as a part of another.
fn without(whole: &str, addresses: &BTreeSet<IpAddr>) -> String {
    let mut out = whole.to_owned();
    for address in addresses {
        let written = address.to_string();
        let mut rest = out.as_str();
        let mut clean = String::with_capacity(out.len());
        while let Some(at) = rest.find(&written) {
            let (before, after) = (&rest[..at], &rest[at + written.len()..]);
            let goes_on = |c: char| c.is_ascii_alphanumeric();
            let begins = !before.ends_with(|c: char| goes_on(c) || c == '.' || c == ':');
            let mut following = after.chars();
            let ends = match following.next() {
                Some(c) if goes_on(c) => false,
                Some('.') => !following.next().is_some_and(goes_on),
                Some(':') if address.is_ipv6() => !following.next().is_some_and(goes_on),
                _ => true,
            };
            clean.push_str(before);
            clean.push_str(if begins && ends { WITHHELD } else { &written });
            rest = after;
        }
        clean.push_str(rest);
        out = clean;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_left_out_where_it_stands_by_itself() {
        let own = ["198.51.100.2", "2001:db8::2"].map(|a| a.parse().unwrap());
        let shown = without(
            "unbanip 198.51.100.2, not 198.51.100.20 or 1198.51.100.2; 198.51.100.2:443 and 198.51.100.2. \
             `2001:db8::2` [2001:db8::2]:443 2001:db8::2:1 198.51.100.2.5",
            &own.into(),
        );
        assert_eq!(
            shown,
            "unbanip (address withheld), not 198.51.100.20 or 1198.51.100.2; (address withheld):443 and \
             (address withheld). `(address withheld)` [(address withheld)]:443 2001:db8::2:1 198.51.100.2.5"
        );
    }
}
