//! What a minority saw that does not change the verdict. It is never hidden.

use std::collections::BTreeSet;

use onlyhere_proto::{Advisory, CauseId, Scope, VantageClass};

use super::Finding;
use super::phrase;
use crate::digest::{Proxied, Seen};
use crate::hidden::State;
use crate::latent::state_posterior;
use crate::model::Who;
use crate::sign::Kind;

/// All advisories.
pub(super) fn advisories(f: Finding<'_>) -> Vec<Advisory> {
    let mut all = Vec::new();
    let denied = denied_datacenters(f);
    if denied.len() >= 2 {
        all.push(datacenters_denied(f, &denied));
    }
    all.extend(second_fault(f));
    let dead = dead_addresses(f);
    all.extend(dead.iter().map(|address| dead_for_all(f, *address)));
    for vantage in f.others() {
        let told = denied.len() >= 2 && denied.contains(&vantage)
            || fails_only_at(f, vantage, &dead)
            || second_strikes(f, vantage);
        if !told {
            all.extend(odd_one_out(f, vantage));
        }
    }
    all.extend(listed(f));
    all.extend(tunnel_in_use(f));
    all.extend(unheard(f));
    all.extend(proxy_not_used(f));
    all.extend(proxy_fails_as_well(f));
    all.extend(tls_opened(f));
    all.extend(hosts_file_in_use(f));
    all
}

/// Beside what everybody meets, something of its own ails the caller, or the probes.
fn second_fault(f: Finding<'_>) -> Option<Advisory> {
    let near = f.best?.near.as_ref()?;
    let cause = near.entry.cause?;
    // Told of all of them together.
    if near.entry.who == Who::Datacenters {
        return None;
    }
    let struck: Vec<usize> = (0..near.affected.len())
        .filter(|v| near.affected[*v] && f.digest.vantages[*v].fails())
        .collect();
    let report = crate::causes::report(
        f.case,
        cause,
        0.0,
        crate::causes::Circumstances {
            scope: near.entry.scope,
            actor: near.entry.actor,
            ..f.circumstances()
        },
    );
    (!struck.is_empty()).then(|| Advisory {
        says: format!("A second fault besides: {}", phrase::lower(&report.title)),
        cause: Some(cause),
        vantages: phrase::ids(f, &struck),
    })
}

/// Whether the second of two faults strikes a vantage.
fn second_strikes(f: Finding<'_>, vantage: usize) -> bool {
    let near = f.best.and_then(|best| best.near.as_ref());
    near.is_some_and(|near| near.affected[vantage] && near.entry.who != Who::Datacenters)
}

/// Addresses that fail for all who tried them, two networks at least, and are not what the verdict is about.
fn dead_addresses(f: Finding<'_>) -> Vec<usize> {
    let all = f.digest.addresses.len();
    let about = match f.decision.scope {
        Scope::Global | Scope::Inconclusive => return Vec::new(),
        Scope::TargetAddress => f.addresses_in_question(),
        _ => Vec::new(),
    };
    let dead: Vec<usize> = (0..all)
        .filter(|address| {
            let of = |v: usize| {
                f.digest.vantages[v]
                    .attempts
                    .iter()
                    .filter(move |a| a.address == *address)
            };
            let fails = |v: usize| of(v).next().is_some() && of(v).all(|a| !a.is_ok());
            let works = (0..f.case.vantages.len()).any(|v| of(v).any(|a| a.is_ok()));
            !works && !about.contains(address) && super::headline::networks(f, fails) >= 2
        })
        .collect();
    if dead.len() < all { dead } else { Vec::new() }
}

fn dead_for_all(f: Finding<'_>, address: usize) -> Advisory {
    let tried: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| {
            let mut attempts = f.digest.vantages[*v].attempts.iter();
            attempts.any(|a| a.address == address)
        })
        .collect();
    let first = tried
        .iter()
        .flat_map(|v| &f.digest.vantages[*v].attempts)
        .find(|a| a.address == address && !a.is_ok());
    let what = first.map_or("fails".to_owned(), |a| match a.sign.kind {
        Kind::Timeout => "does not answer".to_owned(),
        Kind::Rst | Kind::PortUnreachable => "refuses".to_owned(),
        _ => "fails".to_owned(),
    });
    let ip = f.digest.addresses[address].ip;
    Advisory {
        says: format!(
            "{ip} {what} for all {} that tried it; browsers hide it by falling back to another address",
            phrase::count(tried.len(), "vantage", "vantages")
        ),
        cause: Some(if ip.is_ipv6() {
            CauseId::FamilyBroken
        } else {
            CauseId::AddressDown
        }),
        vantages: phrase::ids(f, &tried),
    }
}

fn fails_only_at(f: Finding<'_>, vantage: usize, addresses: &[usize]) -> bool {
    let seen = &f.digest.vantages[vantage];
    let mut failed = seen.attempts.iter().filter(|a| !a.is_ok()).peekable();
    failed.peek().is_some() && failed.all(|a| addresses.contains(&a.address))
}

/// The caller's address on block lists: it may be why somebody bans it.
fn listed(f: Finding<'_>) -> Option<Advisory> {
    let address = f.case.subject.public_address?;
    let mut zones: Vec<String> = f
        .digest
        .vantages
        .iter()
        .flat_map(|v| &v.block_lists)
        .filter(|(_, listed)| *listed)
        .map(|(zone, _)| phrase::quoted(zone))
        .collect();
    zones.sort();
    zones.dedup();
    (!zones.is_empty()).then(|| Advisory {
        says: format!(
            "Your address {address} is on the DNS block list {}: sites that go by it turn you away; look for malware in your network, then ask the list to delete it",
            phrase::list(&zones)
        ),
        cause: None,
        vantages: f
            .subject()
            .map(|s| phrase::ids(f, &[s]))
            .unwrap_or_default(),
    })
}

/// With a tunnel that carries the traffic, the address that is turned away is the tunnel's.
fn tunnel_in_use(f: Finding<'_>) -> Option<Advisory> {
    let subject = f.subject()?;
    let tunnel = f.case.subject.local.tunnel.as_deref()?;
    let about_address = matches!(
        f.decision.scope,
        Scope::Source | Scope::SourceAddress | Scope::SourceNetwork
    );
    about_address.then(|| Advisory {
        says: format!(
            "Your traffic leaves through the tunnel {}: it is the tunnel's far end that is meant, not your own line",
            phrase::quoted(tunnel)
        ),
        cause: Some(CauseId::LocalVpn),
        vantages: phrase::ids(f, &[subject]),
    })
}

/// Datacenter vantages that the target turns away: those of whom the likeliest hypothesis says so, or all that are told
/// so while others get through.
fn denied_datacenters(f: Finding<'_>) -> Vec<usize> {
    let fails = |v: &usize| f.digest.vantages[*v].fails_wholly();
    if let Some((affected, beside)) = unwanted(f) {
        // Whoever meets nothing but what others meet as well was let through to the other fault.
        let elsewhere: BTreeSet<Kind> = (0..f.case.vantages.len())
            .filter(|v| beside && !affected[*v])
            .flat_map(|v| failures(f, v))
            .collect();
        let denied =
            |v: &usize| affected[*v] && failures(f, *v).any(|kind| !elsewhere.contains(&kind));
        return f.others().filter(fails).filter(denied).collect();
    }
    let datacenter = |v: &usize| f.case.vantages[*v].class == Some(VantageClass::Datacenter);
    let denied = |v: &usize| {
        failures(f, *v).any(|kind| {
            matches!(
                kind,
                Kind::HttpDenied | Kind::HttpLimited | Kind::Reset | Kind::HttpServer
            )
        })
    };
    match f.decision.scope {
        Scope::Ok => f
            .others()
            .filter(|v| datacenter(v) && fails(v) && denied(v))
            .collect(),
        _ => Vec::new(),
    }
}

/// Whom the likeliest hypothesis says to be turned away as datacenters, and whether that is beside another fault.
fn unwanted(f: Finding<'_>) -> Option<(&[bool], bool)> {
    let best = f.best?;
    let near = best.near.as_ref();
    match near.filter(|near| near.entry.who == Who::Datacenters) {
        Some(near) => Some((&near.affected, true)),
        None => (best.entry.who == Who::Datacenters).then_some((&best.affected, false)),
    }
}

/// How a vantage's attempts failed.
fn failures(f: Finding<'_>, vantage: usize) -> impl Iterator<Item = Kind> {
    let attempts = f.digest.vantages[vantage].attempts.iter();
    attempts.filter(|a| !a.is_ok()).map(|a| a.sign.kind)
}

fn datacenters_denied(f: Finding<'_>, denied: &[usize]) -> Advisory {
    let all = f
        .others()
        .filter(|v| f.case.vantages[*v].class == Some(VantageClass::Datacenter))
        .filter(|v| f.digest.vantages[*v].says_something())
        .count();
    let firsts: BTreeSet<String> = denied
        .iter()
        .filter_map(|v| f.digest.vantages[*v].attempts.iter().find(|a| !a.is_ok()))
        .map(|a| phrase::plural(&phrase::predicate(a)))
        .collect();
    let what = match firsts.first() {
        Some(what) if firsts.len() == 1 => what,
        _ => "are turned away",
    };
    Advisory {
        says: format!("{} of {all} datacenter vantages {what}", denied.len()),
        cause: Some(CauseId::WafBlock),
        vantages: phrase::ids(f, denied),
    }
}

/// A vantage that the likeliest hypothesis does not account for.
fn odd_one_out(f: Finding<'_>, vantage: usize) -> Option<Advisory> {
    let seen = &f.digest.vantages[vantage];
    let name = phrase::name(f, vantage);
    let best = f.best?;
    let affected = best.affected[vantage] && f.decision.scope != Scope::Ok;
    if affected {
        // Everybody else fails, and this one does not.
        let elsewhere = best.address.is_some() || best.family.is_some() || best.intermittent();
        let through = seen.reaches() && !seen.fails() && !elsewhere && best.entry.strength >= 1.0;
        return through.then(|| Advisory {
            says: format!("{name} gets through all the same"),
            cause: None,
            vantages: phrase::ids(f, &[vantage]),
        });
    }
    if !seen.fails() {
        return None;
    }
    let states = state_posterior(f.case, f.digest, vantage, best);
    let of = |state: State| {
        states
            .iter()
            .find(|(s, _)| *s == state)
            .map_or(0.0, |(_, p)| *p)
    };
    let what = seen
        .attempts
        .iter()
        .find(|a| !a.is_ok())
        .map_or("does not resolve the name".to_owned(), phrase::predicate);
    let (why, cause) = if seen.reaches() {
        ("at one address only".to_owned(), None)
    } else if seen.controls_fail() == Some(true) {
        (
            "and reaches nothing else either: it is itself broken".to_owned(),
            None,
        )
    } else if of(State::Banned) >= 0.5 {
        (
            "and seems to be banned itself".to_owned(),
            Some(CauseId::IpBan),
        )
    } else if seen.controls_fail() == Some(false) {
        (
            "though other sites work there: its way to the target is broken".to_owned(),
            None,
        )
    } else {
        ("and could not be relied on".to_owned(), None)
    };
    Some(Advisory {
        says: format!("{name} {what}, {why}"),
        cause,
        vantages: phrase::ids(f, &[vantage]),
    })
}

/// Vantages that were asked and said nothing.
fn unheard(f: Finding<'_>) -> Option<Advisory> {
    let silent: Vec<usize> = f
        .others()
        .filter(|v| {
            let seen = &f.digest.vantages[*v];
            let nothing_yet = seen.attempts.is_empty() && !seen.fails();
            !seen.says_something() || (f.stragglers.contains(v) && nothing_yet)
        })
        .filter(|_| f.case.private_target().is_none())
        .collect();
    if silent.is_empty() {
        return None;
    }
    let names: Vec<String> = silent.iter().map(|v| phrase::name(f, *v)).collect();
    Some(Advisory {
        says: format!(
            "{} did not answer in time and could not be relied on",
            phrase::list(&names)
        ),
        cause: None,
        vantages: phrase::ids(f, &silent),
    })
}

fn proxy_not_used(f: Finding<'_>) -> Option<Advisory> {
    let proxies = &f.case.subject.local.proxies;
    let relevant = f.subject().is_some() && !proxies.is_empty() && f.decision.scope == Scope::Ok;
    relevant.then(|| Advisory {
        says: format!(
            "A proxy is set here ({}); this check went past it, a browser may not",
            phrase::list(proxies)
        ),
        cause: Some(CauseId::LocalProxy),
        vantages: f
            .subject()
            .map(|s| phrase::ids(f, &[s]))
            .unwrap_or_default(),
    })
}

/// Beside what ails the target, the proxy that is set here does not work either.
fn proxy_fails_as_well(f: Finding<'_>) -> Option<Advisory> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    // An error that names the server behind it (502 to 504) is the proxy's word on the target.
    let fault = |p: &&Proxied| match p.control {
        true => p.kind != Kind::Ok,
        false => p.at_proxy && p.kind != Kind::HttpServer,
    };
    let elsewhere = !matches!(f.decision.scope, Scope::Ok | Scope::Local);
    let failed = seen.proxied.iter().find(fault)?;
    (elsewhere && seen.controls_fail() != Some(true)).then(|| Advisory {
        says: format!(
            "The proxy that is set here ({}) does not work either: {}; what goes through it will fail even when {} is back",
            phrase::quoted(&failed.proxy),
            phrase::came_to(failed.kind),
            f.case.target.host
        ),
        cause: Some(CauseId::LocalProxy),
        vantages: phrase::ids(f, &[subject]),
    })
}

/// Whoever issued the certificate that the caller is shown, and trusts, has issued nobody else's.
///
/// Large sites have certificates of several issuers, but show them to several networks: so at the caller's own addresses
/// two others at least must have been shown one, and all others must agree. Authorities of one organisation count as one.
fn tls_opened(f: Finding<'_>) -> Option<Advisory> {
    let subject = f.subject()?;
    if f.decision.cause() == Some(CauseId::TlsInterception) {
        return None;
    }
    let own = &f.digest.vantages[subject];
    let here = issuers(own, None);
    let addresses: BTreeSet<usize> = own
        .attempts
        .iter()
        .filter(|a| a.shook_hands)
        .map(|a| a.address)
        .collect();
    let others: Vec<usize> = f.others().filter(|v| !f.is_sibling(*v)).collect();
    let witness = |v: usize| !issuers(&f.digest.vantages[v], Some(&addresses)).is_empty();
    let networks = super::headline::networks(f, |v| others.contains(&v) && witness(v));
    let there: BTreeSet<&str> = others
        .iter()
        .flat_map(|v| issuers(&f.digest.vantages[*v], None))
        .collect();
    let [mine, theirs] = [&here, &there].map(|all| {
        let of: BTreeSet<&str> = all.iter().map(|issuer| organisation(issuer)).collect();
        of
    });
    let differs = mine.len() == 1 && theirs.len() == 1 && mine.is_disjoint(&theirs);
    (differs && networks >= 2).then(|| Advisory {
        says: format!(
            "You are shown a certificate issued by {}, {networks} other networks one issued by {}: something here reads your TLS",
            phrase::quoted(here.first().copied().unwrap_or_default()),
            phrase::quoted(there.first().copied().unwrap_or_default()),
        ),
        cause: Some(CauseId::TlsInterception),
        vantages: phrase::ids(f, &[subject]),
    })
}

/// Who issued the certificates that a vantage was shown and believed, at these addresses or at all.
fn issuers<'a>(seen: &'a Seen, addresses: Option<&BTreeSet<usize>>) -> BTreeSet<&'a str> {
    seen.attempts
        .iter()
        .filter(|a| a.shook_hands && addresses.is_none_or(|of| of.contains(&a.address)))
        .filter_map(|a| a.issuer.as_deref())
        .collect()
}

/// The organisation in a distinguished name (RFC 4514), else all of it.
fn organisation(issuer: &str) -> &str {
    let mut parts = issuer.split(',').map(str::trim);
    parts.find(|part| part.starts_with("O=")).unwrap_or(issuer)
}

fn hosts_file_in_use(f: Finding<'_>) -> Option<Advisory> {
    let subject = f.subject()?;
    let differs = crate::digest::hosts_entry_differs(f.case, f.digest, subject);
    (differs && f.decision.cause() != Some(CauseId::HostsFile)).then(|| Advisory {
        says: format!(
            "Your hosts file gives {} another address than DNS",
            f.case.target.host
        ),
        cause: Some(CauseId::HostsFile),
        vantages: phrase::ids(f, &[subject]),
    })
}
