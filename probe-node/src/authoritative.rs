//! The word of a zone's own name servers, asked without recursion: what resolvers make of it is another matter.
//!
//! The system's resolver says which servers the closest zone above the name has (NS, for the name and each of its parents
//! at once). From there referrals lead down to the zone of the name (RFC 1034, 5.3.3), so that the servers of a zone that
//! is so broken that no resolver finds its way are found as well. Aliases lead on to their own zones.
//!
//! Only servers of the name's own zone are told. That those above it are silent is no word about the zone.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType as Rr},
};
use onlyhere_proto::{
    Facts, Family, Host, Outcome, RecordType, ResolverKind, Stage, Target, Timestamp, limits,
};

use crate::{
    classify::Failure,
    kernel,
    probe::{
        Question, Seen,
        dns::{self, Told},
    },
    resolve::{self, nothing_told},
    visit::{Visit, now, unless_cut_short},
};

/// Servers of one zone that are asked.
const SERVERS: usize = 4;
/// Names of servers that are resolved to find them.
const NAMES: usize = 8;
/// Names above the one asked for that may be zones, the top-level domain being the first.
const LEVELS: u8 = 6;
/// Referrals followed down from the zone that the resolver knows.
const REFERRALS: usize = 4;
/// Aliases followed from zone to zone.
const ALIASES: usize = 4;

/// A zone and where it is answered for.
#[derive(Debug)]
struct Zone {
    name: Name,
    servers: Vec<IpAddr>,
    /// Whether this is the name's own zone, as far as anybody knows; otherwise one above it.
    is_own: bool,
}

/// One answer to one question.
struct Answer {
    server: IpAddr,
    record_type: RecordType,
    at: Timestamp,
    query: Message,
    told: Told,
    had: Duration,
}

/// Asks the servers of the target's zone, and tells what each says.
pub(crate) async fn ask(visit: &Visit<'_>, target: &Target, types: &[RecordType]) {
    let mut types = types.to_vec();
    let mut aliases: Vec<String> = Vec::new();
    let mut name = match dns::name(&target.host.to_string()) {
        Ok(name) => name,
        Err(why) => return not_found(visit, target, &types, why).await,
    };
    loop {
        let zone = match closest_zone(visit, &name).await {
            Ok(zone) => zone,
            Err(why) => return not_found(visit, target, &types, why).await,
        };
        let (zone, answers) = descend(visit, zone, &name, &types).await;
        if !zone.is_own && answers.iter().all(|answer| !is_authority(answer)) {
            let why = format!("nobody answers for {}", dns::shown(&zone.name));
            return not_found(visit, target, &types, why).await;
        }
        let mut leads_on = BTreeMap::new();
        for answer in answers {
            match alias_alone(&answer) {
                Some(alias) if aliases.len() < ALIASES => {
                    leads_on.insert(answer.record_type, alias);
                }
                _ => tell(visit, target, &zone, answer, &aliases).await,
            }
        }
        let Some(alias) = leads_on.values().next().cloned() else {
            return;
        };
        types = leads_on.into_keys().collect();
        aliases.push(dns::shown(&alias));
        name = alias;
    }
}

/// The zone's servers are not known from here, which is no word about the zone.
async fn not_found(visit: &Visit<'_>, target: &Target, types: &[RecordType], why: String) {
    for record_type in types {
        let mut seen =
            Seen::not_measured(format!("the zone's name servers cannot be asked: {why}"));
        let facts = nothing_told(None, ResolverKind::Authoritative, *record_type);
        seen.facts = Some(Facts::Dns(facts));
        visit.say_of(target, Stage::Dns, None, seen).await;
    }
}

/// The closest zone that the system's resolver knows servers of.
async fn closest_zone(visit: &Visit<'_>, name: &Name) -> Result<Zone, String> {
    let levels = (1..=name.num_labels().min(LEVELS)).rev();
    let mut candidates: Vec<Name> = levels.map(|labels| name.trim_to(labels.into())).collect();
    if name.num_labels() > LEVELS {
        candidates.insert(0, name.clone());
    }
    let asked = candidates.into_iter().map(|candidate| async move {
        let query = dns::query(candidate.clone(), Rr::NS, true);
        (candidate, resolve::ask_system(visit, &query).await)
    });
    let mut is_own = true;
    let mut why = String::new();
    for (candidate, answer) in join_all(asked).await {
        let message = match answer {
            Ok(message) => message,
            Err(failure) => {
                // Here might be a zone that the resolver cannot make out.
                is_own = false;
                why = said(failure);
                continue;
            }
        };
        let names = servers_of(&candidate, &message.answers);
        if names.is_empty() {
            continue;
        }
        let servers = addresses(visit, &names, &message.additionals).await;
        if servers.is_empty() {
            is_own = false;
            why = format!(
                "no server of {} has an address that can be asked",
                dns::shown(&candidate)
            );
            continue;
        }
        return Ok(Zone {
            name: candidate,
            servers,
            is_own,
        });
    }
    Err(if why.is_empty() {
        "the resolver names none".to_owned()
    } else {
        why
    })
}

fn said(failure: Failure) -> String {
    failure
        .detail
        .unwrap_or_else(|| failure.outcome.to_string())
}

/// Asks a zone's servers, and where they refer to a zone below, those.
async fn descend(
    visit: &Visit<'_>,
    mut zone: Zone,
    name: &Name,
    types: &[RecordType],
) -> (Zone, Vec<Answer>) {
    for _ in 0..REFERRALS {
        let answers = ask_zone(visit, &zone, name, types).await;
        let referral = answers
            .iter()
            .find_map(|answer| refers(answer.told.answer.as_ref().ok()?, &zone.name, name));
        let Some((below, names, glue)) = referral else {
            return (zone, answers);
        };
        let servers = addresses(visit, &names, &glue).await;
        if servers.is_empty() {
            return (zone, answers);
        }
        zone = Zone {
            name: below,
            servers,
            is_own: true,
        };
    }
    let answers = ask_zone(visit, &zone, name, types).await;
    (zone, answers)
}

/// Where a message refers to a zone below: its name, its servers' names, and their addresses as far as given.
fn refers(message: &Message, zone: &Name, name: &Name) -> Option<(Name, Vec<Name>, Vec<Record>)> {
    if message.response_code != ResponseCode::NoError || !message.answers.is_empty() {
        return None;
    }
    let below = message.authorities.iter().find(|record| {
        let owner = &record.name;
        matches!(record.data, RData::NS(_))
            && owner != zone
            && zone.zone_of(owner)
            && owner.zone_of(name)
    })?;
    let names = servers_of(&below.name, &message.authorities);
    // Addresses of names that are somebody else's are not theirs to give.
    let glue = message.additionals.iter();
    let glue = glue.filter(|record| zone.zone_of(&record.name)).cloned();
    Some((below.name.clone(), names, glue.collect()))
}

fn servers_of(zone: &Name, records: &[Record]) -> Vec<Name> {
    let of_zone = records.iter().filter(|record| record.name == *zone);
    let mut names: Vec<Name> = of_zone
        .filter_map(|record| match &record.data {
            RData::NS(server) => Some(server.0.clone()),
            _ => None,
        })
        .collect();
    // The same ones every time, whatever the order of the answer.
    names.sort();
    names.dedup();
    names.truncate(NAMES);
    names
}

/// Addresses of servers: one of each before a second of any, in the family that this machine has before the other.
async fn addresses(visit: &Visit<'_>, names: &[Name], glue: &[Record]) -> Vec<IpAddr> {
    let each = names.iter().map(|name| async move {
        let given = glue.iter().filter(|record| record.name == *name);
        let mut found: Vec<IpAddr> = given
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .collect();
        if found.is_empty() {
            let answers = resolve::quietly(visit, &dns::shown(name)).await;
            found = answers.into_iter().flatten().flatten().collect();
        }
        // Neither asked nor told: where they are is how the network around this vantage is built.
        found.retain(|address| match visit.guard().hides(*address) {
            Some(kind) => {
                let why = format!("the name server {name} is at {address} ({kind})");
                visit.recording.denied(why);
                false
            }
            None => true,
        });
        found
    });
    let mut each = join_all(each).await;
    let first = if kernel::has_global_address(Family::V4) {
        Family::V4
    } else {
        Family::V6
    };
    for addresses in &mut each {
        addresses.sort_by_key(|address| Family::of(*address) != first);
    }
    let most = each.iter().map(Vec::len).max().unwrap_or(0);
    let mut servers = Vec::new();
    for place in 0..most {
        for address in each.iter().filter_map(|addresses| addresses.get(place)) {
            if !servers.contains(address) && servers.len() < SERVERS {
                servers.push(*address);
            }
        }
    }
    servers
}

/// Every server, every type, all at once.
async fn ask_zone(
    visit: &Visit<'_>,
    zone: &Zone,
    name: &Name,
    types: &[RecordType],
) -> Vec<Answer> {
    let mut questions: Vec<BoxFuture<'_, Answer>> = Vec::new();
    for server in &zone.servers {
        for record_type in types {
            questions.push(ask_server(visit, *server, name, *record_type).boxed());
        }
    }
    join_all(questions).await
}

async fn ask_server(
    visit: &Visit<'_>,
    server: IpAddr,
    name: &Name,
    record_type: RecordType,
) -> Answer {
    let settings = &visit.shared.settings;
    let to = SocketAddr::new(server, settings.dns_port);
    let query = dns::query(name.clone(), dns::rr(record_type), false);
    let _turn = visit.turn().await;
    let full = visit.request.attempt_timeout.min(limits::ATTEMPT_TIMEOUT);
    let had = full.min(visit.time_left());
    let at = now();
    let host = Host::Address(server);
    let judged = settings.guard.judge_address(&host, server, Some(to.port()));
    let permitted = match judged {
        Ok(()) => visit.may_send(server),
        Err(denied) => {
            visit.recording.denied(&denied);
            Err(denied.to_string())
        }
    };
    let told = match permitted {
        Ok(()) => dns::ask(&visit.shared.timing, &query, to, had).await,
        Err(why) => Told {
            answer: Err(Failure::not_measured(why)),
            elapsed: Duration::ZERO,
            source: None,
        },
    };
    Answer {
        server,
        record_type,
        at,
        query,
        told,
        had,
    }
}

/// Whether the answer is an authority's: about the name, and by somebody who answers for it.
fn is_authority(answer: &Answer) -> bool {
    let message = answer.told.answer.as_ref().ok();
    message.is_some_and(|message| message.authoritative)
}

/// The alias that an answer ends at, without an address of it: its zone is another.
fn alias_alone(answer: &Answer) -> Option<Name> {
    let message = answer.told.answer.as_ref().ok()?;
    let (last, addresses) = dns::resolved(message, &answer.query, answer.record_type);
    let asked = answer.query.queries.first()?.name();
    let fine = message.response_code == ResponseCode::NoError;
    (fine && addresses.is_empty() && last != *asked).then_some(last)
}

async fn tell(visit: &Visit<'_>, target: &Target, zone: &Zone, answer: Answer, aliases: &[String]) {
    let question = Question {
        record_type: answer.record_type,
        kind: ResolverKind::Authoritative,
    };
    let mut seen = dns::seen(&answer.told, &answer.query, question, answer.server);
    if seen.outcome == Outcome::NoAnswer && !is_authority(&answer) {
        // Neither an answer nor a referral: named as a server of the zone, and none (RFC 1912, 2.8).
        seen.outcome = Outcome::Servfail;
        seen.detail = Some(format!("does not answer for {}", dns::shown(&zone.name)));
    }
    if let Some(Facts::Dns(facts)) = &mut seen.facts {
        let rest = std::mem::take(&mut facts.cname_chain);
        let chain = aliases.iter().cloned().chain(rest);
        facts.cname_chain = chain.take(limits::CNAME_CHAIN).collect();
    }
    let full = visit.request.attempt_timeout.min(limits::ATTEMPT_TIMEOUT);
    let seen = unless_cut_short(seen, answer.had, full);
    let to = SocketAddr::new(answer.server, visit.shared.settings.dns_port);
    let attempt = visit.attempt(target, to, Some(question));
    visit.say(Stage::Dns, &attempt, answer.at, seen).await;
}
