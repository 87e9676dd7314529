//! The headline: mechanism and where, one sentence without its full stop.

use std::collections::BTreeSet;

use onlyhere_proto::{Actor, CauseId, Mechanism, Scope};

use super::Finding;
use super::phrase;
use crate::hypothesis::Group;

/// The headline of a finding.
pub(super) fn headline(f: Finding<'_>) -> String {
    match f.decision.scope {
        Scope::Ok => reachable(f),
        Scope::Local => local(f),
        Scope::Source => format!("{} from your network only", what(f)),
        Scope::SourceAddress => match f.case.subject.public_address {
            Some(address) => format!("{} from your IP address only ({address})", what(f)),
            None => format!("{} from your IP address only", what(f)),
        },
        Scope::SourceNetwork => match f.case.subject.asn.or_else(|| subject_asn(f)) {
            Some(asn) => format!("{} from your provider only (AS{asn})", what(f)),
            None => format!("{} from your provider only", what(f)),
        },
        Scope::Regional => format!("{} from {} only", what(f), region(f)),
        Scope::TargetAddress => at_addresses(f),
        Scope::Global => everywhere(f),
        Scope::Inconclusive => inconclusive(f),
    }
}

fn everywhere(f: Finding<'_>) -> String {
    let what = what(f);
    if f.decision.intermittent {
        return format!("{what} now and then, everywhere");
    }
    match (f.decision.cause(), f.decision.mechanism) {
        (Some(CauseId::WrongAddress), mechanism) if mechanism != Mechanism::Dns => {
            format!("{what} everywhere: the name leads to the wrong address")
        }
        _ => format!("{what} everywhere"),
    }
}

fn subject_asn(f: Finding<'_>) -> Option<u32> {
    f.subject().and_then(|s| f.case.vantages[s].asn)
}

fn reachable(f: Finding<'_>) -> String {
    let here = f
        .subject()
        .is_some_and(|s| f.digest.vantages[s].says_something());
    let others = networks(f, |v| {
        f.digest.vantages[v].succeeds(f.case) && !f.is_sibling(v)
    });
    let verb = if f.case.target.layer == onlyhere_proto::Layer::Dns {
        "Resolves"
    } else {
        "Reachable"
    };
    let here = here
        && f.subject().is_some_and(|s| {
            f.digest.vantages[s].succeeds(f.case) || !f.digest.vantages[s].odd_attempts.is_empty()
        });
    match (here, others) {
        (true, 0) => format!("{verb} from here"),
        (true, n) => format!(
            "{verb} from here and from {}",
            phrase::count(n, "other network", "other networks")
        ),
        (false, n) => format!("{verb} from {}", phrase::count(n, "network", "networks")),
    }
}

/// How many networks some of the others sit in; one of which nothing is known counts as its own.
pub(super) fn networks(f: Finding<'_>, passes: impl Fn(usize) -> bool) -> usize {
    let mut representatives: Vec<usize> = Vec::new();
    for vantage in f.others().filter(|v| passes(*v)) {
        let known = representatives
            .iter()
            .any(|r| f.case.vantages[*r].same_network(&f.case.vantages[vantage]));
        if !known {
            representatives.push(vantage);
        }
    }
    representatives.len()
}

/// The mechanism as the beginning of a sentence.
fn what(f: Finding<'_>) -> String {
    let status = statuses(f);
    match (f.decision.mechanism, f.decision.cause()) {
        (Mechanism::Dns, Some(CauseId::DnsMissing)) => "Name not found".to_owned(),
        (Mechanism::Dns, Some(CauseId::WrongAddress)) => {
            "Name leads to a private address".to_owned()
        }
        (Mechanism::Dns, _) => "Name does not resolve".to_owned(),
        (Mechanism::Tls, Some(CauseId::CertificateExpired)) => "Certificate not valid".to_owned(),
        (Mechanism::Tls, Some(CauseId::CertificateMismatch | CauseId::DnsStale)) => {
            "Certificate for another name".to_owned()
        }
        (Mechanism::Tls, Some(CauseId::CertificateUntrusted | CauseId::TlsInterception)) => {
            "Certificate not trusted".to_owned()
        }
        (Mechanism::Tls, _) => "TLS fails".to_owned(),
        (Mechanism::Http, _) => match status.iter().next() {
            Some(code) if status.len() == 1 => format!("HTTP {code}"),
            _ => "HTTP errors".to_owned(),
        },
        (Mechanism::Refused, _) => "Refused".to_owned(),
        (Mechanism::Timeout, _) => "Times out".to_owned(),
        (Mechanism::Reset, _) => "Connection reset".to_owned(),
        (Mechanism::Unreachable, _) => "Unreachable".to_owned(),
        (Mechanism::None, _) => "Fails".to_owned(),
    }
}

fn statuses(f: Finding<'_>) -> BTreeSet<u16> {
    (0..f.case.vantages.len())
        .filter(|v| f.best.is_none_or(|h| h.affected[*v]))
        .flat_map(|v| &f.digest.vantages[v].attempts)
        .filter(|a| !a.is_ok())
        .filter_map(|a| a.status)
        .collect()
}

fn local(f: Finding<'_>) -> String {
    let what = what(f);
    match (f.decision.cause(), f.decision.actor) {
        (Some(CauseId::LocalFirewall), actor) => {
            let who = match actor {
                Actor::You => "your own machine",
                _ => "your own network's gateway",
            };
            let does = match f.decision.mechanism {
                Mechanism::Timeout => "drops it",
                Mechanism::Reset | Mechanism::Tls => "breaks it off",
                _ => "rejects it",
            };
            format!("{what} here: {who} {does}")
        }
        (Some(CauseId::LocalOffline), _) => {
            format!("{what} here: your connection to the internet is down")
        }
        (Some(CauseId::LocalVpn), _) => {
            let past = f.subject().is_some_and(|s| {
                let seen = &f.digest.vantages[s];
                seen.direct.iter().any(crate::digest::Attempt::is_ok)
            });
            let besides = if past {
                ", past it the target opens"
            } else {
                ""
            };
            format!("{what} here: your VPN does not deliver{besides}")
        }
        (Some(CauseId::LocalProxy), _) => {
            "Reachable, but not through the proxy that is set here".to_owned()
        }
        (Some(CauseId::HostsFile), _) => {
            format!(
                "{what} here: your hosts file sends {} elsewhere",
                f.case.target.host
            )
        }
        (Some(CauseId::LocalResolver), _) if f.decision.mechanism == Mechanism::Dns => {
            "Name does not resolve here: your DNS resolver does not give it".to_owned()
        }
        (Some(CauseId::LocalResolver), _) => {
            format!("{what} here: your DNS resolver gives another address than all others")
        }
        (Some(CauseId::LocalServiceDown), _) => match f.case.target.port {
            Some(port) => format!("{what} here: nothing listens on port {port} of this machine"),
            None => format!("{what} here: nothing listens on this machine"),
        },
        (Some(CauseId::CaptivePortal), _) => {
            format!("{what} here: your network wants you to sign in first")
        }
        (Some(CauseId::TlsInterception), _) => {
            "Certificate not trusted here: something of yours shows its own".to_owned()
        }
        (Some(CauseId::BrowserOnly), _) => "Reachable from here: only the browser fails".to_owned(),
        (Some(CauseId::FamilyBroken), _) => {
            let family = f
                .best
                .and_then(|h| h.family)
                .map_or("IPv6", |family| match family {
                    onlyhere_proto::Family::V4 => "IPv4",
                    onlyhere_proto::Family::V6 => "IPv6",
                });
            format!("{what} here over {family}: your own {family} is broken")
        }
        _ if f.case.private_target().is_some() => format!("{what} in your own network"),
        _ => format!("{what} here: the fault is on your side"),
    }
}

fn region(f: Finding<'_>) -> String {
    match f.best.and_then(|h| h.group.clone()) {
        Some(Group::Region(region)) => region_name(&region),
        Some(Group::Country(country)) => country,
        Some(Group::Network(asn)) => format!("AS{asn}"),
        None => "some networks".to_owned(),
    }
}

/// Region labels are the operator's; the usual ones have a name.
fn region_name(label: &str) -> String {
    match label {
        "eu" => "Europe",
        "us" | "na" => "North America",
        "sa" => "South America",
        "asia" | "as" => "Asia",
        "af" => "Africa",
        "oc" => "Oceania",
        other => return format!("region {other}"),
    }
    .to_owned()
}

fn at_addresses(f: Finding<'_>) -> String {
    let hit: Vec<String> = f
        .addresses_in_question()
        .into_iter()
        .map(|a| f.digest.addresses[a].ip.to_string())
        .collect();
    let sometimes = if f.decision.intermittent {
        " now and then"
    } else {
        ""
    };
    format!(
        "{}{sometimes} at {} of {} addresses ({})",
        what(f),
        hit.len(),
        f.digest.addresses.len(),
        phrase::list(&hit)
    )
}

fn inconclusive(f: Finding<'_>) -> String {
    let nothing = !f.digest.vantages.iter().any(|v| v.says_something());
    if nothing {
        return "Not decided: nothing could be measured".to_owned();
    }
    let others_heard = f.others().any(|v| f.digest.vantages[v].says_something());
    let subject_fails = f.subject().is_some_and(|s| f.digest.vantages[s].fails());
    if subject_fails && !others_heard {
        return format!(
            "{} from here; whether only from here, one vantage cannot tell",
            what(f)
        );
    }
    let failing = (0..f.case.vantages.len())
        .filter(|v| f.digest.vantages[*v].fails())
        .count();
    let heard = (0..f.case.vantages.len())
        .filter(|v| f.digest.vantages[*v].says_something())
        .count();
    if failing == 0 {
        return "Not decided: too little could be measured".to_owned();
    }
    format!(
        "Not decided: {} at {failing} of {}",
        phrase::lower(&what(f)),
        phrase::count(heard, "vantage", "vantages")
    )
}
