//! From a name to addresses, and an observation for everybody who was asked.
//!
//! The hosts file first, as an observation of its own; then the system's resolvers as libc asks them (in order, on to
//! the next where one fails), and beside them every resolver that the request names. The system's resolvers are asked
//! even where the hosts file has an entry: that the two differ is worth knowing.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{
    future::{BoxFuture, FutureExt, join, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use hickory_proto::op::Message;
use onlyhere_proto::{
    DnsAnswer, DnsFacts, Facts, Family, Host, Outcome, RecordType, ResolverKind, Stage, Target,
    limits,
};
use tokio::{sync::mpsc, time};

use crate::{
    authoritative,
    classify::{self, Failure},
    guard::LOOPBACK,
    hosts,
    probe::{Question, Seen, dns},
    resolvers,
    visit::Visit,
};

/// Where the addresses go, as they are found.
pub(crate) type Found = mpsc::UnboundedSender<IpAddr>;

/// Asks everybody at once, and hands on every address that anyone gives as soon as it is given.
pub(crate) async fn ask_everybody(visit: &Visit<'_>, target: &Target, found: Found) {
    let types: &[RecordType] = match target.record_type {
        Some(RecordType::A) => &[RecordType::A],
        Some(RecordType::Aaaa) => &[RecordType::Aaaa],
        None => &[RecordType::A, RecordType::Aaaa],
    };
    let mut in_hosts_file = false;
    for record_type in types {
        in_hosts_file |= hosts_file(visit, target, *record_type, &found).await;
    }
    if target.host.is_localhost() {
        // RFC 6761, 6.3: nobody is asked for it.
        return;
    }
    let system = resolvers::system(&visit.shared.settings.resolv_conf);
    if system.is_empty() && !in_hosts_file {
        let seen = Seen::not_measured("this machine has no resolver (resolv.conf names none)");
        visit.say_of(target, Stage::Dns, None, seen).await;
    }
    let mut questions: Vec<BoxFuture<'_, ()>> = Vec::new();
    for record_type in types {
        questions.push(in_order(visit, target, &system, *record_type, &found).boxed());
        for resolver in &visit.request.resolvers {
            questions.push(given_resolver(visit, target, *resolver, *record_type, &found).boxed());
        }
    }
    if visit.request.authoritative && target.host == visit.request.target.host {
        questions.push(authoritative::ask(visit, target, types).boxed());
    }
    join_all(questions).await;
}

fn hand_on(found: &Found, addresses: impl IntoIterator<Item = IpAddr>) {
    for address in addresses {
        // Nobody there to take it means that the visit is over.
        let _ = found.send(address);
    }
}

/// Addresses of a name that is not the target's (A, then AAAA) as the system's resolvers give them; nothing is told of
/// it.
pub(crate) async fn quietly(visit: &Visit<'_>, name: &str) -> [Result<Vec<IpAddr>, Failure>; 2] {
    let of_type = |record_type: RecordType| async move {
        let name = dns::name(name).map_err(Failure::not_measured)?;
        let query = dns::query(name, dns::rr(record_type), true);
        let message = ask_system(visit, &query).await?;
        Ok(dns::resolved(&message, &query, record_type).1)
    };
    let (v4, v6) = join(of_type(RecordType::A), of_type(RecordType::Aaaa)).await;
    [v4, v6]
}

/// The first answer of one of the system's resolvers, which are asked side by side; nothing is told of it.
pub(crate) async fn ask_system(visit: &Visit<'_>, query: &Message) -> Result<Message, Failure> {
    let settings = &visit.shared.settings;
    let system = resolvers::system(&settings.resolv_conf);
    let mut failure = Failure::not_measured("this machine has no resolver");
    let timeout = (visit.request.attempt_timeout / 2).min(visit.time_left());
    let mut asked: FuturesUnordered<_> = system
        .into_iter()
        .map(|resolver| async move {
            let _permit = visit.turn().await;
            let to = SocketAddr::new(resolver, settings.dns_port);
            dns::ask(&visit.shared.timing, query, to, timeout).await
        })
        .collect();
    while let Some(told) = asked.next().await {
        match told.answer {
            Ok(message) if matches!(u16::from(message.response_code), 0 | 3) => return Ok(message),
            Ok(message) => {
                let code = u16::from(message.response_code);
                failure = Failure::of(classify::response_code(code, false))
                    .because(format!("{} from its resolver", message.response_code));
            }
            Err(why) => failure = why,
        }
    }
    Err(failure)
}

/// Whether the hosts file knows the name.
async fn hosts_file(
    visit: &Visit<'_>,
    target: &Target,
    record_type: RecordType,
    found: &Found,
) -> bool {
    let name = target.host.to_string();
    let mut entries = hosts::entries(&visit.shared.settings.hosts_file, &name);
    let mut detail = None;
    if entries.is_empty() && target.host.is_localhost() {
        entries = LOOPBACK.into();
        detail = Some("by definition (RFC 6761)".to_owned());
    }
    entries.retain(|address| Family::of(*address) == record_type.family());
    if entries.is_empty() {
        return false;
    }
    let answers = entries.iter().map(|address| DnsAnswer {
        address: *address,
        ttl_s: 0,
    });
    let mut seen = Seen::ok(Duration::ZERO);
    seen.detail = detail;
    seen.facts = Some(Facts::Dns(DnsFacts {
        answers: answers.take(limits::DNS_ANSWERS).collect(),
        ..nothing_told(None, ResolverKind::HostsFile, record_type)
    }));
    visit.say_of(target, Stage::Dns, None, seen).await;
    hand_on(found, entries);
    true
}

pub(crate) fn nothing_told(
    resolver: Option<IpAddr>,
    kind: ResolverKind,
    record_type: RecordType,
) -> DnsFacts {
    DnsFacts {
        resolver,
        kind,
        record_type,
        rcode: None,
        answers: Vec::new(),
        cname_chain: Vec::new(),
    }
}

/// Asks the system's resolvers one after the other until one answers; where one stays silent for a third of the
/// attempt's time, the next is asked beside it, and the silent one's observation comes when its time is over.
async fn in_order(
    visit: &Visit<'_>,
    target: &Target,
    resolvers: &[IpAddr],
    record_type: RecordType,
    found: &Found,
) {
    let patience = visit.request.attempt_timeout / 3;
    let mut asked = FuturesUnordered::new();
    for (place, resolver) in resolvers.iter().enumerate() {
        let kind = ResolverKind::System;
        asked.push(ask(visit, target, *resolver, record_type, kind));
        if place + 1 == resolvers.len() {
            break;
        }
        // Silence and failure alike lead on to the next.
        if let Ok(Some(Some(addresses))) = time::timeout(patience, asked.next()).await {
            hand_on(found, addresses);
            break;
        }
    }
    while let Some(answer) = asked.next().await {
        hand_on(found, answer.into_iter().flatten());
    }
}

async fn given_resolver(
    visit: &Visit<'_>,
    target: &Target,
    resolver: IpAddr,
    record_type: RecordType,
    found: &Found,
) {
    let settings = &visit.shared.settings;
    let (host, port) = (Host::Address(resolver), Some(settings.dns_port));
    let judged = settings.guard.judge_address(&host, resolver, port);
    let permitted = match judged {
        Ok(()) => visit.may_send(resolver),
        Err(denied) => {
            visit.recording.denied(&denied);
            Err(denied.to_string())
        }
    };
    if let Err(why) = permitted {
        let mut seen = Seen::not_measured(why);
        let facts = nothing_told(Some(resolver), ResolverKind::Configured, record_type);
        seen.facts = Some(Facts::Dns(facts));
        return visit.say_of(target, Stage::Dns, None, seen).await;
    }
    let answer = ask(
        visit,
        target,
        resolver,
        record_type,
        ResolverKind::Configured,
    )
    .await;
    hand_on(found, answer.into_iter().flatten());
}

/// The addresses, if the resolver answered: that there are none is an answer too.
async fn ask(
    visit: &Visit<'_>,
    target: &Target,
    resolver: IpAddr,
    record_type: RecordType,
    kind: ResolverKind,
) -> Option<Vec<IpAddr>> {
    let to = SocketAddr::new(resolver, visit.shared.settings.dns_port);
    let question = Question { record_type, kind };
    let mut attempt = visit.attempt(target, to, Some(question));
    let observation = visit.try_and_say(Stage::Dns, &mut attempt).await?;
    match (observation.outcome, observation.facts) {
        (Outcome::Ok, Some(Facts::Dns(facts))) => {
            Some(facts.answers.iter().map(|answer| answer.address).collect())
        }
        (Outcome::Nxdomain | Outcome::NoAnswer, _) => Some(Vec::new()),
        _ => None,
    }
}
