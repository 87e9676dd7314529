//! A zone's own servers: found through the system's resolver, by referrals from above, and along aliases.

mod ground;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use ground::{Ground, request};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType as Rr, rdata},
};
use onlyhere_proto::{
    CheckRequest, DnsFacts, Facts, Observation, Outcome, Purpose, ResolverKind, Stage,
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// A server's name, and its address where it is given along.
type Glue = (&'static str, Option<Ipv4Addr>);

/// What a server says of a name and a type.
#[derive(Clone, Default)]
struct Script {
    /// Records of the answer section, by owner and type.
    answers: HashMap<(String, Rr), Vec<Record>>,
    /// A zone below and its servers, with addresses where they are given along.
    refers: Option<(&'static str, Vec<Glue>)>,
    /// For everything else.
    code: Option<ResponseCode>,
    /// Whether it answers for its zone, or for anything at all.
    lame: bool,
    silent: bool,
    /// Whether it finds out for others.
    recursive: bool,
}

impl Script {
    fn with(mut self, owner: &str, record: RData) -> Self {
        let kind = record.record_type();
        let all = self.answers.entry((owner.to_owned(), kind)).or_default();
        all.push(Record::from_rdata(name(owner), 60, record));
        self
    }

    fn a(self, owner: &str, address: [u8; 4]) -> Self {
        self.with(owner, RData::A(rdata::A(address.into())))
    }

    fn ns(self, zone: &str, server: &str) -> Self {
        self.with(zone, RData::NS(rdata::NS(name(server))))
    }

    fn alias(self, owner: &str, of: &str) -> Self {
        self.with(owner, RData::CNAME(rdata::CNAME(name(of))))
    }

    fn resolver() -> Self {
        Self {
            recursive: true,
            ..Self::default()
        }
    }

    fn answer(&self, query: &Message) -> Option<Message> {
        if self.silent {
            return None;
        }
        let asked = &query.queries[0];
        let owner = asked.name().to_ascii().trim_end_matches('.').to_lowercase();
        let mut message = Message::response(query.id, query.op_code);
        message.add_queries(query.queries.clone());
        message.metadata.authoritative = !self.lame && !self.recursive;
        let found = self.answers.get(&(owner.clone(), asked.query_type()));
        let alias = self.answers.get(&(owner.clone(), Rr::CNAME));
        let known = self
            .answers
            .keys()
            .any(|(known, _)| *known == owner || known.ends_with(&format!(".{owner}")));
        if let Some(records) = found.or(alias) {
            message.add_answers(records.clone());
        } else if let Some((below, servers)) = &self.refers {
            message.metadata.authoritative = false;
            for (server, glue) in servers {
                let ns = RData::NS(rdata::NS(name(server)));
                message.add_authority(Record::from_rdata(name(below), 60, ns));
                if let Some(address) = glue {
                    let a = RData::A(rdata::A(*address));
                    message.add_additional(Record::from_rdata(name(server), 60, a));
                }
            }
        } else if let Some(code) = self.code {
            message.metadata.response_code = code;
        } else if !known && !self.lame {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        Some(message)
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// Server, name, type, recursion desired.
type Log = Arc<Mutex<Vec<(IpAddr, String, Rr, bool)>>>;

/// Servers at loopback addresses and one port; what they were asked stands in the log.
struct Servers {
    port: u16,
    log: Log,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Servers {
    async fn start(scripts: Vec<(u8, Script)>) -> Self {
        for _ in 0..50 {
            let mut port = 0;
            let mut bound = Vec::new();
            for (last, script) in &scripts {
                let at = SocketAddr::from(([127, 0, 0, *last], port));
                let Ok(socket) = UdpSocket::bind(at).await else {
                    break;
                };
                port = socket.local_addr().unwrap().port();
                bound.push((socket, script.clone()));
            }
            if bound.len() == scripts.len() {
                return Self::serve(port, bound);
            }
        }
        panic!("no port is free at all of these addresses");
    }

    fn serve(port: u16, bound: Vec<(UdpSocket, Script)>) -> Self {
        let log = Log::default();
        let tasks = bound.into_iter().map(|(socket, script)| {
            let log = log.clone();
            tokio::spawn(async move {
                let here = socket.local_addr().unwrap().ip();
                let mut buffer = [0; 512];
                while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                    let query = Message::from_vec(&buffer[..length]).unwrap();
                    let asked = &query.queries[0];
                    let entry = (
                        here,
                        asked.name().to_ascii(),
                        asked.query_type(),
                        query.recursion_desired,
                    );
                    log.lock().unwrap().push(entry);
                    if let Some(answer) = script.answer(&query) {
                        socket
                            .send_to(&answer.to_vec().unwrap(), from)
                            .await
                            .unwrap();
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Self { port, log, tasks }
    }

    /// A ground whose system resolver is 127.0.0.1.
    fn ground(&self) -> Ground {
        let mut ground = Ground::new();
        ground.resolvers(&[at(1)], self.port);
        ground
    }
}

fn at(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

fn asking(target: &str) -> CheckRequest {
    let mut request = request(target);
    request.purpose = Purpose::Resolver;
    request.depth = Stage::Dns;
    request.authoritative = true;
    request
}

fn facts(observation: &Observation) -> &DnsFacts {
    match &observation.facts {
        Some(Facts::Dns(facts)) => facts,
        other => panic!("no DNS facts: {other:?}"),
    }
}

/// `server type outcome answers`, of the zone's own servers, sorted.
fn told(all: &[Observation]) -> Vec<String> {
    let own = all
        .iter()
        .filter(|o| facts(o).kind == ResolverKind::Authoritative);
    let mut told: Vec<String> = own
        .map(|o| {
            let facts = facts(o);
            let server = facts.resolver.map_or("?".to_owned(), |a| a.to_string());
            let chain: Vec<_> = facts.cname_chain.iter().map(|n| format!(" >{n}")).collect();
            let found: Vec<_> = facts
                .answers
                .iter()
                .map(|a| format!(" {}", a.address))
                .collect();
            format!(
                "{server} {} {}{}{}",
                facts.record_type,
                o.outcome,
                chain.concat(),
                found.concat()
            )
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn every_server_of_the_zone_is_asked_without_recursion() {
    let resolver = Script::resolver()
        .ns("shop.example", "ns1.shop.example")
        .ns("shop.example", "ns2.shop.example")
        .a("ns1.shop.example", [127, 0, 0, 2])
        .a("ns2.shop.example", [127, 0, 0, 3])
        .a("www.shop.example", [127, 0, 0, 99]);
    let right = Script::default().a("www.shop.example", [192, 0, 2, 1]);
    let stale = Script::default().a("www.shop.example", [192, 0, 2, 9]);
    let servers = Servers::start(vec![(1, resolver), (2, right), (3, stale)]).await;
    let all = servers.ground().ask(asking("dns://www.shop.example")).await;
    assert_eq!(
        told(&all),
        [
            "127.0.0.2 A ok 192.0.2.1",
            "127.0.0.2 AAAA no_answer",
            "127.0.0.3 A ok 192.0.2.9",
            "127.0.0.3 AAAA no_answer"
        ]
    );
    let system: Vec<_> = all
        .iter()
        .filter(|o| facts(o).kind == ResolverKind::System)
        .collect();
    assert_eq!(system.len(), 2, "the system's resolver is asked as ever");
    for o in &all {
        assert_eq!(
            (o.host.as_str(), o.stage, o.address),
            ("www.shop.example", Stage::Dns, None)
        );
        assert_eq!(o.family, Some(facts(o).record_type.family()));
    }
    let log = servers.log.lock().unwrap();
    for (server, _, kind, recursion) in log.iter() {
        assert_eq!(*recursion, *server == at(1));
        assert!(*server == at(1) || *kind != Rr::NS);
    }
}

#[tokio::test]
async fn what_the_zone_denies_and_who_is_no_server_of_it_are_told_apart() {
    let resolver = |server| {
        Script::resolver()
            .ns("shop.example", "ns.shop.example")
            .a("ns.shop.example", [127, 0, 0, server])
    };
    let silent = Script {
        silent: true,
        ..Script::default()
    };
    let failing = |code| Script {
        code: Some(code),
        ..Script::default()
    };
    let lame = Script {
        lame: true,
        ..Script::default()
    };
    for (script, outcome) in [
        (Script::default(), "nxdomain"),
        (silent, "timeout"),
        (failing(ResponseCode::Refused), "refused"),
        (failing(ResponseCode::ServFail), "servfail"),
        (lame, "servfail"),
    ] {
        let servers = Servers::start(vec![(1, resolver(2)), (2, script)]).await;
        let all = servers
            .ground()
            .ask(asking("dns://www.shop.example?type=A"))
            .await;
        assert_eq!(told(&all), [format!("127.0.0.2 A {outcome}")]);
    }
    // Named, and nobody is there.
    let servers = Servers::start(vec![(1, resolver(2))]).await;
    let all = servers
        .ground()
        .ask(asking("dns://www.shop.example?type=A"))
        .await;
    assert_eq!(told(&all), ["127.0.0.2 A unreachable"]);
}

#[tokio::test]
async fn a_zone_that_no_resolver_finds_its_way_to_is_found_from_above() {
    // What a resolver says of a zone whose servers are dead: it failed. The zone above it is fine.
    let resolver = || Script {
        code: Some(ResponseCode::ServFail),
        ..Script::resolver()
            .ns("example", "a.nic.example")
            .a("a.nic.example", [127, 0, 0, 2])
    };
    let above = Script {
        refers: Some((
            "shop.example",
            vec![("ns.shop.example", Some([127, 0, 0, 3].into()))],
        )),
        ..Script::default()
    };
    let dead = Script {
        silent: true,
        ..Script::default()
    };
    let scripts = vec![(1, resolver()), (2, above.clone()), (3, dead.clone())];
    let servers = Servers::start(scripts).await;
    let all = servers
        .ground()
        .ask(asking("dns://www.shop.example?type=A"))
        .await;
    assert_eq!(told(&all), ["127.0.0.3 A timeout"]);
    // The servers above say nothing: that is no word about the zone.
    let servers = Servers::start(vec![(1, resolver()), (2, dead)]).await;
    let all = servers
        .ground()
        .ask(asking("dns://www.shop.example?type=A"))
        .await;
    assert_eq!(told(&all), ["? A not_measured"]);
    assert!(all.iter().any(|o| {
        o.detail
            .as_ref()
            .is_some_and(|d| d.contains("nobody answers for example"))
    }));
    // And they say it themselves: there is no such zone.
    let servers = Servers::start(vec![(1, resolver()), (2, Script::default())]).await;
    let all = servers
        .ground()
        .ask(asking("dns://www.shop.example?type=A"))
        .await;
    assert_eq!(told(&all), ["127.0.0.2 A nxdomain"]);
}

#[tokio::test]
async fn an_alias_leads_on_to_its_own_zone() {
    let resolver = Script::resolver()
        .ns("shop.example", "ns.shop.example")
        .ns("cdn.example", "ns.cdn.example")
        .a("ns.shop.example", [127, 0, 0, 2])
        .a("ns.cdn.example", [127, 0, 0, 3]);
    let shop = Script::default().alias("www.shop.example", "edge.cdn.example");
    let cdn = Script::default().a("edge.cdn.example", [192, 0, 2, 5]);
    let servers = Servers::start(vec![(1, resolver), (2, shop), (3, cdn)]).await;
    let all = servers.ground().ask(asking("dns://www.shop.example")).await;
    assert_eq!(
        told(&all),
        [
            "127.0.0.3 A ok >edge.cdn.example 192.0.2.5",
            "127.0.0.3 AAAA no_answer >edge.cdn.example"
        ]
    );
    assert!(all.iter().all(|o| o.host == "www.shop.example"));
}

#[tokio::test]
async fn aliases_and_referrals_in_circles_end() {
    let resolver = Script::resolver()
        .ns("shop.example", "ns.shop.example")
        .a("ns.shop.example", [127, 0, 0, 2]);
    let circle = Script::default()
        .alias("a.shop.example", "b.shop.example")
        .alias("b.shop.example", "a.shop.example");
    let servers = Servers::start(vec![(1, resolver), (2, circle)]).await;
    let all = servers
        .ground()
        .ask(asking("dns://a.shop.example?type=A"))
        .await;
    assert_eq!(told(&all).len(), 1, "{:?}", told(&all));
    assert_eq!(
        servers
            .log
            .lock()
            .unwrap()
            .iter()
            .filter(|entry| entry.0 == at(2))
            .count(),
        5
    );
}

#[tokio::test]
async fn without_servers_nothing_is_measured_and_the_guard_keeps_inner_addresses_out() {
    let servers = Servers::start(vec![(1, Script::resolver())]).await;
    let all = servers.ground().ask(asking("dns://www.shop.example")).await;
    assert_eq!(told(&all), ["? A not_measured", "? AAAA not_measured"]);
    let all = Ground::new()
        .ask(asking("dns://www.shop.example?type=A"))
        .await;
    let own: Vec<_> = all.iter().filter(|o| o.facts.is_some()).collect();
    assert_eq!(own.len(), 1);
    assert!(own[0].detail.as_ref().unwrap().contains("no resolver"));
    assert_eq!(own[0].outcome, Outcome::NotMeasured);

    // Whose zone names a server inside somebody's network gets nobody to ask it.
    let resolver = Script::resolver()
        .ns("evil.example", "ns.evil.example")
        .a("ns.evil.example", [127, 0, 0, 2]);
    let inside = Script::default().a("evil.example", [192, 0, 2, 66]);
    let servers = Servers::start(vec![(1, resolver), (2, inside)]).await;
    let mut ground = servers.ground();
    ground.guarded(&[], &[]);
    let all = ground.ask(asking("dns://evil.example?type=A")).await;
    assert_eq!(told(&all), ["? A not_measured"]);
    // Nor is anybody told where that is.
    assert!(!serde_json::to_string(&all).unwrap().contains("127.0.0.2"));
    assert!(
        servers
            .log
            .lock()
            .unwrap()
            .iter()
            .all(|entry| entry.0 == at(1))
    );
}

#[tokio::test]
async fn a_block_list_is_asked_for_one_name_and_one_type() {
    let resolver = Script::resolver().a("2.113.0.203.zen.example", [127, 0, 0, 4]);
    let servers = Servers::start(vec![(1, resolver)]).await;
    let mut ground = servers.ground();
    // A probe as well: the answer is looked at, never connected to.
    ground.guarded(&[], &[]);
    for (asked, outcome, answers) in [
        (
            "dns://2.113.0.203.zen.example?type=A",
            Outcome::Ok,
            vec![at(4)],
        ),
        (
            "dns://3.113.0.203.zen.example?type=A",
            Outcome::Nxdomain,
            vec![],
        ),
        // An IPv6 address, a nibble a label.
        (
            "dns://1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example?type=A",
            Outcome::Nxdomain,
            vec![],
        ),
    ] {
        let mut request = request(asked);
        request.purpose = Purpose::BlockList;
        request.max_connections = 0;
        let all = ground.ask(request).await;
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!(
            (all[0].outcome, all[0].purpose),
            (outcome, Purpose::BlockList)
        );
        let found: Vec<_> = facts(&all[0]).answers.iter().map(|a| a.address).collect();
        assert_eq!(found, answers);
    }
    assert_eq!(servers.log.lock().unwrap().len(), 3);
}
