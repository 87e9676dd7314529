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
    future::{BoxFuture, FutureExt, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use onlyhere_proto::{
    DnsAnswer, DnsFacts, Facts, Family, Host, Outcome, RecordType, ResolverKind, Stage, Target,
};
use tokio::time;

use crate::{
    hosts,
    probe::{Question, Seen},
    resolvers,
    visit::Visit,
};

/// Every address that anyone gave, and the questions still open when the first answers were in: a silent first
/// resolver delays its own observation, not the rest.
pub(crate) async fn addresses<'a>(
    visit: &'a Visit<'_>,
    target: &'a Target,
) -> (Vec<IpAddr>, Vec<BoxFuture<'a, ()>>) {
    let types: &[RecordType] = match target.record_type {
        Some(RecordType::A) => &[RecordType::A],
        Some(RecordType::Aaaa) => &[RecordType::Aaaa],
        None => &[RecordType::A, RecordType::Aaaa],
    };
    let mut addresses = Vec::new();
    for record_type in types {
        addresses.extend(hosts_file(visit, target, *record_type).await);
    }
    if is_localhost(&target.host) {
        // RFC 6761, 6.3: nobody is asked for it.
        return (addresses, Vec::new());
    }
    let system = resolvers::system(&visit.shared.settings.resolv_conf);
    if system.is_empty() && addresses.is_empty() {
        let seen = Seen::not_measured("this machine has no resolver (resolv.conf names none)");
        visit.say_of(target, Stage::Dns, None, seen).await;
    }
    let system = join_all(types.iter().map(|t| in_order(visit, target, &system, *t)));
    let given = &visit.request.resolvers;
    let given = join_all(given.iter().flat_map(|resolver| {
        types
            .iter()
            .map(|t| given_resolver(visit, target, *resolver, *t))
    }));
    let (system, given) = futures::future::join(system, given).await;
    let mut still_asking = Vec::new();
    for (answers, open) in system {
        addresses.extend(answers);
        still_asking.push(open);
    }
    addresses.extend(given.into_iter().flatten());
    (addresses, still_asking)
}

fn is_localhost(host: &Host) -> bool {
    matches!(host, Host::Name(name) if name == "localhost" || name.ends_with(".localhost"))
}

async fn hosts_file(visit: &Visit<'_>, target: &Target, record_type: RecordType) -> Vec<IpAddr> {
    let name = target.host.to_string();
    let mut entries = hosts::entries(&visit.shared.settings.hosts_file, &name);
    let mut detail = None;
    if entries.is_empty() && is_localhost(&target.host) {
        entries = vec![[127, 0, 0, 1].into(), [0, 0, 0, 0, 0, 0, 0, 1u16].into()];
        detail = Some("by definition (RFC 6761)".to_owned());
    }
    entries.retain(|address| Family::of(*address) == record_type.family());
    if !entries.is_empty() {
        let mut seen = Seen::ok(Duration::ZERO);
        seen.detail = detail;
        seen.facts = Some(Facts::Dns(DnsFacts {
            resolver: None,
            kind: ResolverKind::HostsFile,
            record_type,
            rcode: None,
            answers: entries
                .iter()
                .map(|address| DnsAnswer {
                    address: *address,
                    ttl_s: 0,
                })
                .collect(),
            cname_chain: Vec::new(),
        }));
        visit.say_of(target, Stage::Dns, None, seen).await;
    }
    entries
}

/// Asks the system's resolvers one after the other until one answers, and lends the next a hand where one stays silent
/// for a third of the attempt's time. Returns the first answer, and what is still to be waited for.
async fn in_order<'a>(
    visit: &'a Visit<'_>,
    target: &'a Target,
    resolvers: &[IpAddr],
    record_type: RecordType,
) -> (Vec<IpAddr>, BoxFuture<'a, ()>) {
    let patience = visit.request.attempt_timeout / 3;
    let mut asked = FuturesUnordered::new();
    let mut next = resolvers.iter().copied();
    let mut waiting = next.next();
    loop {
        if let Some(resolver) = waiting.take() {
            asked.push(ask(visit, target, resolver, record_type, ResolverKind::System).boxed());
        }
        let answer = if next.len() == 0 {
            asked.next().await
        } else {
            match time::timeout(patience, asked.next()).await {
                Ok(answer) => answer,
                Err(_) => {
                    waiting = next.next();
                    continue;
                }
            }
        };
        match answer {
            Some(Some(addresses)) => return (addresses, rest(asked)),
            Some(None) => waiting = next.next(),
            None if next.len() == 0 => return (Vec::new(), rest(asked)),
            None => waiting = next.next(),
        }
    }
}

type Asked<'a> = FuturesUnordered<BoxFuture<'a, Option<Vec<IpAddr>>>>;

fn rest(asked: Asked<'_>) -> BoxFuture<'_, ()> {
    asked.for_each(|_| async {}).boxed()
}

async fn given_resolver(
    visit: &Visit<'_>,
    target: &Target,
    resolver: IpAddr,
    record_type: RecordType,
) -> Vec<IpAddr> {
    let guard = &visit.shared.settings.guard;
    let port = visit.shared.settings.dns_port;
    if let Err(denied) = guard.judge_address(&Host::Address(resolver), resolver, Some(port)) {
        let mut seen = Seen::not_measured(denied.to_string());
        seen.facts = Some(Facts::Dns(DnsFacts {
            resolver: Some(resolver),
            kind: ResolverKind::Configured,
            record_type,
            rcode: None,
            answers: Vec::new(),
            cname_chain: Vec::new(),
        }));
        visit.say_of(target, Stage::Dns, None, seen).await;
        return Vec::new();
    }
    let answer = ask(
        visit,
        target,
        resolver,
        record_type,
        ResolverKind::Configured,
    )
    .await;
    answer.unwrap_or_default()
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
