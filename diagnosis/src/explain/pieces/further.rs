//! What was looked at more closely: other resolvers, the ladder, second addresses, small packets, proxies, the way past
//! a tunnel, certificates; and what a person should know beside: block lists, earlier checks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use onlyhere_proto::{ResolverKind, Scope, limits};

use super::super::headline::networks;
use super::{Finding, Piece, phrase};
use crate::digest::{Attempt, Ladder, Seen};
use crate::sign::{Kind, Reach};

/// Addresses that the system's resolver of a vantage gave.
fn given(seen: &Seen) -> Option<&BTreeSet<IpAddr>> {
    seen.given
        .get(&ResolverKind::System)
        .filter(|addresses| !addresses.is_empty())
}

fn listed(addresses: &BTreeSet<IpAddr>) -> String {
    phrase::list(
        &addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
    )
}

/// `Your resolver 192.168.1.1 says 198.51.100.9; 5 of 5 other networks and the zone's own servers say 203.0.113.10`.
pub(super) fn resolvers(f: Finding<'_>) -> Option<Piece> {
    own_resolver_differs(f)
        .or_else(|| not_as_expected(f))
        .or_else(|| resolvers_split(f))
}

fn own_resolver_differs(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    let own = given(seen)?;
    let zone = &f.digest.authoritative;
    if !zone.is_disjoint(own) {
        return None;
    }
    let answered: Vec<usize> = f
        .others()
        .filter(|v| !f.is_sibling(*v))
        .filter(|v| given(&f.digest.vantages[*v]).is_some())
        .collect();
    let disjoint = |v: &&usize| given(&f.digest.vantages[**v]).is_some_and(|a| a.is_disjoint(own));
    let others: Vec<usize> = answered.iter().filter(disjoint).copied().collect();
    let zone_differs = !zone.is_empty() && zone.is_disjoint(own);
    let configured = seen
        .given
        .get(&ResolverKind::Configured)
        .filter(|a| !a.is_empty() && a.is_disjoint(own));
    if others.len() * 2 <= answered.len() && !(others.is_empty() && zone_differs) {
        return None;
    }
    let mut voices = Vec::new();
    if !others.is_empty() {
        voices.push(format!(
            "{} of {} other {}",
            networks(f, |v| others.contains(&v)),
            networks(f, |v| answered.contains(&v)),
            if networks(f, |v| answered.contains(&v)) == 1 {
                "network"
            } else {
                "networks"
            }
        ));
    }
    voices.extend(configured.map(|_| "another resolver asked from here".to_owned()));
    voices.extend(zone_differs.then(|| "the zone's own servers".to_owned()));
    let said: BTreeSet<IpAddr> = others
        .iter()
        .filter_map(|v| given(&f.digest.vantages[*v]))
        .flatten()
        .chain(zone.iter().filter(|_| zone_differs))
        .copied()
        .collect();
    let who = match seen.system_resolvers.len() {
        1..=2 => format!("Your resolver {}", listed(&seen.system_resolvers)),
        _ => "Your resolver".to_owned(),
    };
    let says = format!(
        "{who} says {}; {} say {}",
        listed(own),
        phrase::list(&voices),
        listed(&said)
    );
    Some(Piece::told(says, vec![subject], |s| {
        s.given.remove(&ResolverKind::System);
        s.odd.clear();
        s.odd_attempts.clear();
    }))
}

fn everybody_with_answers(f: Finding<'_>) -> Vec<usize> {
    (0..f.case.vantages.len())
        .filter(|v| given(&f.digest.vantages[*v]).is_some())
        .collect()
}

/// What the name's owner expects, where resolvers say something else.
fn not_as_expected(f: Finding<'_>) -> Option<Piece> {
    let expected: BTreeSet<IpAddr> = f
        .case
        .conditions
        .expected_addresses
        .iter()
        .copied()
        .collect();
    let heard = everybody_with_answers(f);
    let wrong: BTreeSet<IpAddr> = heard
        .iter()
        .filter_map(|v| given(&f.digest.vantages[*v]))
        .flatten()
        .filter(|ip| !expected.contains(ip))
        .copied()
        .collect();
    if expected.is_empty() || wrong.is_empty() {
        return None;
    }
    let says = format!(
        "{} is expected to have {}; resolvers give {}",
        f.case.target.host,
        listed(&expected),
        listed(&wrong)
    );
    Some(Piece::told(says, heard, |s| s.given.clear()))
}

/// Where resolvers give different answers, none of which two share.
fn resolvers_split(f: Finding<'_>) -> Option<Piece> {
    let heard = everybody_with_answers(f);
    let mut answers: BTreeMap<&BTreeSet<IpAddr>, usize> = BTreeMap::new();
    for vantage in &heard {
        *answers
            .entry(given(&f.digest.vantages[*vantage])?)
            .or_default() += 1;
    }
    let mut groups: Vec<(&BTreeSet<IpAddr>, usize)> = answers.into_iter().collect();
    groups.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let split = groups
        .iter()
        .enumerate()
        .any(|(i, (a, _))| groups[i + 1..].iter().any(|(b, _)| a.is_disjoint(b)));
    if !split {
        return None;
    }
    let parts: Vec<String> = groups
        .iter()
        .take(4)
        .map(|(set, n)| {
            let verb = if *n == 1 { "says" } else { "say" };
            format!("{n} of {} {verb} {}", heard.len(), listed(set))
        })
        .collect();
    let zone = &f.digest.authoritative;
    let zone = if zone.is_empty() {
        String::new()
    } else {
        format!("; the zone's own servers say {}", listed(zone))
    };
    let says = format!("Resolvers differ: {}{zone}", phrase::list(&parts));
    Some(Piece::told(says, heard, |s| s.given.clear()))
}

/// `The last hop that answers is 203.0.113.1, your provider's, 3 of 9`.
pub(super) fn ladder(f: Finding<'_>) -> Option<Piece> {
    let has = |v: &usize| !f.digest.vantages[*v].ladders.is_empty();
    let vantage = f.subject().filter(has).or_else(|| f.others().find(has))?;
    let ladder = f.digest.vantages[vantage].ladders.first()?;
    let own = f.subject() == Some(vantage);
    let whose = whose(ladder, own);
    let tried = ladder.rungs.last().map_or(0, |(hop, _)| *hop);
    let says = match (ladder.end, ladder.last()) {
        (None, None) => format!(
            "No hop of {tried} answers, not even {} own router",
            if own { "your" } else { "its" }
        ),
        (None, Some((hop, who))) => {
            format!("The last hop that answers is {who}, {whose}, {hop} of {tried}")
        }
        (Some((end, Kind::Ok)), _) => format!("The way is open to its end, {end} hops away"),
        (Some((end, _)), Some((_, who))) => {
            format!("The refusal is made {end} hops away, the last hop before it is {who}")
        }
        (Some((end, _)), None) => format!("The refusal is made {end} hops away"),
    };
    let says = if own {
        says
    } else {
        format!(
            "From {}: {}",
            phrase::name(f, vantage),
            phrase::lower(&says)
        )
    };
    Some(Piece::told(says, vec![vantage], |s| s.ladders.clear()))
}

/// Whose the last hop is that answered.
fn whose(ladder: &Ladder, own: bool) -> &'static str {
    match (ladder.reach, own) {
        (Some(Reach::Nowhere), true) => "your own machine",
        (Some(Reach::Home), true) => "your own network's",
        (Some(Reach::Nowhere | Reach::Home), false) => "its own network's",
        (Some(Reach::Provider), true) => "your provider's",
        (Some(Reach::Provider), false) => "its own provider's",
        (Some(Reach::Edge), _) => "the last one before the target",
        (Some(Reach::Target), _) => "the target itself",
        _ => "a network's on the way",
    }
}

/// What an attempt came to, with its time where it worked.
fn came_to(attempt: &Attempt) -> String {
    match attempt.connect.filter(|_| attempt.is_ok()) {
        Some(time) => format!("connects in {}", phrase::time(time)),
        None => phrase::predicate(attempt),
    }
}

/// `From your second address 198.51.100.8 the target connects`.
pub(super) fn own_other_sources(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let (source, attempt) = best_by_source(&f.digest.vantages[subject])
        .into_iter()
        .next()?;
    let says = format!("From your second address {source} it {}", came_to(attempt));
    Some(Piece::told(says, vec![subject], |s| {
        s.other_sources.clear()
    }))
}

/// `From its second address 198.18.4.11 fra1 connects`.
pub(super) fn others_other_sources(f: Finding<'_>) -> Option<Piece> {
    let tried: Vec<usize> = f
        .others()
        .filter(|v| !f.digest.vantages[*v].other_sources.is_empty())
        .collect();
    let parts: Vec<String> = tried
        .iter()
        .filter_map(|v| {
            let (source, attempt) = best_by_source(&f.digest.vantages[*v]).into_iter().next()?;
            let name = phrase::name(f, *v);
            Some(format!(
                "from its second address {source} {name} {}",
                came_to(attempt)
            ))
        })
        .take(3)
        .collect();
    let says = phrase::upper(&phrase::list(&parts));
    (!tried.is_empty()).then(|| Piece::told(says, tried, |s| s.other_sources.clear()))
}

/// From each further address the attempt that came to most.
fn best_by_source(seen: &Seen) -> BTreeMap<IpAddr, &Attempt> {
    let mut best: BTreeMap<IpAddr, &Attempt> = BTreeMap::new();
    for (source, attempt) in &seen.other_sources {
        let known = best.entry(*source).or_insert(attempt);
        if attempt.is_ok() && !known.is_ok() {
            *known = attempt;
        }
    }
    best
}

/// `With small packets (536 bytes) the handshake works, with full ones it hangs`.
pub(super) fn small_segments(f: Finding<'_>) -> Option<Piece> {
    let tried: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| !f.digest.vantages[*v].small_segments.is_empty())
        .collect();
    let first = *tried.first()?;
    let seen = &f.digest.vantages[first];
    let size = limits::SMALLEST_SEGMENT;
    let small = seen.small_segments.iter().find(|a| a.is_ok());
    let says = match small.or(seen.small_segments.first())? {
        works if works.is_ok() => {
            let full = seen.attempts.iter().find(|a| !a.is_ok()).map_or(
                "it fails".to_owned(),
                |a| match a.sign.kind {
                    Kind::Stalled | Kind::Timeout => "it hangs".to_owned(),
                    _ => format!("it {}", phrase::predicate(a)),
                },
            );
            format!("With small packets ({size} bytes) the handshake works, with full ones {full}")
        }
        fails => format!(
            "With small packets ({size} bytes), too, it {}",
            phrase::predicate(fails)
        ),
    };
    let says = match f.subject() == Some(first) {
        true => says,
        false => format!("From {}: {}", phrase::name(f, first), phrase::lower(&says)),
    };
    Some(Piece::told(says, tried, |s| s.small_segments.clear()))
}

/// `Through the proxy http://127.0.0.1:3128: refused; directly it connects in 31 ms`.
pub(super) fn proxied(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    let target = seen.proxied.iter().find(|p| !p.control);
    let control = seen.proxied.iter().find(|p| p.control);
    let first = target.or(control)?;
    let proxy = phrase::quoted(&first.proxy);
    let through = match (target, first.at_proxy) {
        (Some(p), false) if p.kind == Kind::Ok => "it works".to_owned(),
        (_, true) => format!("{}, by the proxy itself", phrase::came_to(first.kind)),
        _ => phrase::came_to(first.kind).to_owned(),
    };
    let others = control.filter(|_| target.is_some()).map_or("", |c| {
        if c.kind == Kind::Ok {
            ", other sites get through it"
        } else {
            ", other sites do not get through it either"
        }
    });
    let direct = seen
        .attempts
        .iter()
        .find(|a| a.is_ok())
        .or(seen.attempts.first())
        .map_or(String::new(), |a| format!("; directly it {}", came_to(a)));
    let says = format!("Through the proxy {proxy}: {through}{others}{direct}");
    Some(Piece::told(says, vec![subject], |s| s.proxied.clear()))
}

/// `Past the tunnel wg0 it connects in 31 ms`.
pub(super) fn direct(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    let attempt = seen
        .direct
        .iter()
        .find(|a| a.is_ok())
        .or(seen.direct.first())?;
    let tunnel = f.case.subject.local.tunnel.as_deref().unwrap_or_default();
    let too = if !attempt.is_ok() && !seen.reaches() {
        ", too,"
    } else {
        ""
    };
    let says = format!(
        "Past the tunnel {}{too} it {}",
        phrase::quoted(tunnel),
        came_to(attempt)
    );
    Some(Piece::told(says, vec![subject], |s| s.direct.clear()))
}

/// Which certificates are shown here and elsewhere, where they differ and the one here does not hold.
pub(super) fn certificates(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let failed = |a: &&Attempt| {
        a.certificate.is_some()
            && matches!(
                a.sign.kind,
                Kind::TlsExpired | Kind::TlsName | Kind::TlsUntrusted | Kind::TlsOther
            )
    };
    let own = f.digest.vantages[subject].attempts.iter().find(failed)?;
    let shown: Vec<usize> = f
        .others()
        .filter(|v| !f.is_sibling(*v))
        .filter(|v| {
            let mut attempts = f.digest.vantages[*v].attempts.iter();
            attempts.any(|a| a.certificate.is_some())
        })
        .collect();
    let first = |v: usize| {
        let mut attempts = f.digest.vantages[v].attempts.iter();
        attempts.find(|a| a.certificate.is_some())
    };
    let differs = |v: usize| first(v).is_some_and(|a| a.certificate != own.certificate);
    let others = networks(f, |v| shown.contains(&v));
    let different = networks(f, |v| shown.contains(&v) && differs(v));
    if shown.is_empty() {
        return None;
    }
    let issuers: BTreeSet<String> = shown
        .iter()
        .filter(|v| differs(**v))
        .filter_map(|v| first(*v)?.issuer.as_deref().map(phrase::quoted))
        .collect();
    let issuers = phrase::list(&issuers.into_iter().collect::<Vec<_>>());
    let here = phrase::quoted(own.issuer.as_deref().unwrap_or("nobody known"));
    let noun = if others == 1 { "network" } else { "networks" };
    let says = match different {
        0 => format!("The certificate issued by {here} is shown to all {others} other {noun}, too"),
        n => {
            let alone = if n == others {
                ", and nobody else is shown this certificate"
            } else {
                ""
            };
            format!(
                "Here the certificate is issued by {here}{alone}: {n} of {others} other {noun} see one by {issuers}"
            )
        }
    };
    Some(Piece::background(says, vec![subject]))
}

/// Where the caller's public address is listed.
pub(super) fn block_lists(f: Finding<'_>) -> Option<Piece> {
    let asked: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| !f.digest.vantages[*v].block_lists.is_empty())
        .collect();
    let lists: BTreeMap<&String, bool> = asked
        .iter()
        .flat_map(|v| &f.digest.vantages[*v].block_lists)
        .map(|(zone, listed)| (zone, *listed))
        .collect();
    let address = f.case.subject.public_address?;
    let on: Vec<String> = lists
        .iter()
        .filter(|(_, listed)| **listed)
        .map(|(zone, _)| phrase::quoted(zone))
        .collect();
    let all = phrase::count(lists.len(), "DNS block list", "DNS block lists");
    let says = match on.len() {
        _ if lists.is_empty() => return None,
        0 => format!("Your address {address} is on none of {all}"),
        n => format!(
            "Your address {address} is on {n} of {all}: {}",
            phrase::list(&on)
        ),
    };
    Some(Piece::told(says, asked, |s| s.block_lists.clear()))
}

/// Since when it fails, and when it was last well.
pub(super) fn history(f: Finding<'_>) -> Option<Piece> {
    let history = f.case.conditions.history;
    let fine = f.decision.scope == Scope::Ok;
    let says = match (history.failing_since, history.last_ok) {
        (Some(since), _) if fine => {
            format!("It failed from {} on, and works now", phrase::moment(since))
        }
        (_, Some(last)) if fine => format!("It worked at {}, too", phrase::moment(last)),
        (Some(since), Some(last)) => format!(
            "Failing since {}, last reachable {}",
            phrase::moment(since),
            phrase::moment(last)
        ),
        (Some(since), None) => format!(
            "Failing since {}, as long as it has been checked",
            phrase::moment(since)
        ),
        (None, Some(last)) => format!("Last reachable {}", phrase::moment(last)),
        (None, None) => return None,
    };
    Some(Piece::background(says, f.subject().into_iter().collect()))
}
