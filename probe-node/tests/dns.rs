//! DNS against resolvers on loopback that say whatever is to be told apart.

mod ground;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use ground::{ATTEMPT, Ground, Server, request, stages};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType as Rr, rdata},
};
use onlyhere_proto::{
    DnsFacts, Facts, Family, Observation, Outcome, RecordType, ResolverKind, SaidBy, Stage,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

/// A resolver on loopback: what it answers over UDP and over TCP.
struct Resolver {
    port: u16,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

type Answer = fn(&Message, bool) -> Vec<Vec<u8>>;

impl Resolver {
    async fn start(answer: Answer) -> Self {
        let [resolver] = Self::several([([127, 0, 0, 1], answer)]).await;
        resolver
    }

    /// Resolvers at several addresses and one port, as every resolver has the same.
    async fn several<const N: usize>(resolvers: [([u8; 4], Answer); N]) -> [Self; N] {
        // A port that is free here may be taken there, or taken by a connection that another test has open.
        for _ in 0..50 {
            let mut port = 0;
            let mut bound = Vec::new();
            for (address, answer) in &resolvers {
                let Some(sockets) = bind(*address, port).await else {
                    break;
                };
                port = sockets.0.local_addr().unwrap().port();
                bound.push((sockets, *answer));
            }
            if bound.len() == N {
                let started: Vec<_> = bound
                    .into_iter()
                    .map(|((udp, tcp), answer)| Self::serve(udp, tcp, answer))
                    .collect();
                return started.try_into().ok().expect("as many as were bound");
            }
        }
        panic!("no port is free at all of these addresses");
    }

    fn serve(udp: UdpSocket, tcp: TcpListener, answer: Answer) -> Self {
        let port = udp.local_addr().unwrap().port();
        let over_udp = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..length]).unwrap();
                for packet in answer(&query, false) {
                    udp.send_to(&packet, from).await.unwrap();
                }
            }
        });
        let over_tcp = tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut packet = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut packet).await.unwrap();
                for packet in answer(&Message::from_vec(&packet).unwrap(), true) {
                    stream.write_u16(packet.len() as u16).await.unwrap();
                    stream.write_all(&packet).await.unwrap();
                }
            }
        });
        Self {
            port,
            tasks: [over_udp, over_tcp],
        }
    }
}

async fn bind(address: [u8; 4], port: u16) -> Option<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind((Ipv4Addr::from(address), port))
        .await
        .ok()?;
    let tcp = TcpListener::bind(udp.local_addr().unwrap()).await.ok()?;
    Some((udp, tcp))
}

fn response(query: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(query.id, query.op_code);
    message.metadata.response_code = code;
    message.add_queries(query.queries.clone());
    message
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn address(owner: &str, n: u8) -> Record {
    Record::from_rdata(
        name(owner),
        300,
        RData::A(rdata::A(Ipv4Addr::new(127, 0, 0, n))),
    )
}

fn of_type(query: &Message, record_type: Rr) -> bool {
    query.queries[0].query_type() == record_type
}

fn with_address(query: &Message, _: bool) -> Vec<Vec<u8>> {
    let mut message = response(query, ResponseCode::NoError);
    if of_type(query, Rr::A) {
        message.add_answer(address(&query.queries[0].name().to_ascii(), 1));
    }
    vec![message.to_vec().unwrap()]
}

fn code(query: &Message, code: ResponseCode) -> Vec<Vec<u8>> {
    vec![response(query, code).to_vec().unwrap()]
}

fn facts(observation: &Observation) -> &DnsFacts {
    match &observation.facts {
        Some(Facts::Dns(facts)) => facts,
        other => panic!("no DNS facts: {other:?}"),
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn ask(target: &str, answer: Answer) -> Vec<Observation> {
    let resolver = Resolver::start(answer).await;
    let mut ground = Ground::new();
    ground.resolvers(&[LOOPBACK], resolver.port);
    ground.observe(target).await
}

#[tokio::test]
async fn both_families_are_asked_and_every_address_found_is_tried() {
    let server = Server::tcp(|_| async {}).await;
    let mut all = ask(
        &format!("tcp://shop.example:{}", server.port()),
        with_address,
    )
    .await;
    all.sort_by_key(|o| (o.stage, o.family));
    assert_eq!(stages(&all), ["dns ok", "dns no_answer", "tcp ok"]);
    let a = &all[0];
    assert_eq!(
        (a.host.as_str(), a.address, a.port, a.family),
        ("shop.example", None, None, Some(Family::V4))
    );
    assert_eq!(a.source, Some(LOOPBACK));
    let told = facts(a);
    assert_eq!(
        (told.resolver, told.kind, told.record_type),
        (Some(LOOPBACK), ResolverKind::System, RecordType::A)
    );
    assert_eq!(told.rcode, Some(0));
    assert_eq!(
        (told.answers[0].address, told.answers[0].ttl_s),
        (LOOPBACK, 300)
    );
    assert_eq!(
        (facts(&all[1]).record_type, facts(&all[1]).rcode),
        (RecordType::Aaaa, Some(0))
    );
}

#[tokio::test]
async fn every_way_a_resolver_can_fail_is_told_apart() {
    let cases: [(Answer, Outcome, Option<u16>); 7] = [
        (
            |q, _| code(q, ResponseCode::NXDomain),
            Outcome::Nxdomain,
            Some(3),
        ),
        (
            |q, _| code(q, ResponseCode::NoError),
            Outcome::NoAnswer,
            Some(0),
        ),
        (
            |q, _| code(q, ResponseCode::ServFail),
            Outcome::Servfail,
            Some(2),
        ),
        (
            |q, _| code(q, ResponseCode::Refused),
            Outcome::Refused,
            Some(5),
        ),
        (
            |q, _| code(q, ResponseCode::FormErr),
            Outcome::Servfail,
            Some(1),
        ),
        (|_, _| Vec::new(), Outcome::Timeout, None),
        (
            |q, _| vec![[&q.id.to_be_bytes()[..], b"\x80\x00garbage"].concat()],
            Outcome::Servfail,
            None,
        ),
    ];
    for (answer, outcome, rcode) in cases {
        let all = ask("dns://shop.example?type=A", answer).await;
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!(all[0].outcome, outcome, "{:?}", all[0]);
        assert_eq!(facts(&all[0]).rcode, rcode, "{outcome}");
    }
}

#[tokio::test]
async fn a_resolver_that_nobody_runs_is_unreachable_at_once() {
    let mut ground = Ground::new();
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    ground.resolvers(&[LOOPBACK], closed);
    let began = Instant::now();
    let all = ground.observe("dns://shop.example?type=A").await;
    assert_eq!(stages(&all), ["dns unreachable"]);
    assert!(
        matches!(all[0].said_by, Some(SaidBy::Icmp { icmp }) if (icmp.icmp_type, icmp.code) == (3, 3))
    );
    assert!(began.elapsed() < Duration::from_millis(700));
}

#[tokio::test]
async fn aliases_are_followed_in_order_and_strangers_are_left_out() {
    fn answer(query: &Message, _: bool) -> Vec<Vec<u8>> {
        let alias = |from: &str, to: &str| {
            Record::from_rdata(name(from), 60, RData::CNAME(rdata::CNAME(name(to))))
        };
        let mut message = response(query, ResponseCode::NoError);
        message.add_answer(address("edge.cdn.example", 2));
        message.add_answer(alias("shop.cdn.example", "edge.cdn.example"));
        message.add_answer(alias("shop.example", "shop.cdn.example"));
        message.add_answer(address("somebody.example", 9));
        message.add_answer(address("edge.cdn.example", 3));
        vec![message.to_vec().unwrap()]
    }
    let all = ask("dns://shop.example?type=A", answer).await;
    let told = facts(&all[0]);
    assert_eq!(told.cname_chain, ["shop.cdn.example", "edge.cdn.example"]);
    let addresses: Vec<_> = told.answers.iter().map(|a| a.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.2", "127.0.0.3"]);
}

#[tokio::test]
async fn an_alias_that_leads_to_itself_or_nowhere_ends() {
    fn circle(query: &Message, _: bool) -> Vec<Vec<u8>> {
        let mut message = response(query, ResponseCode::NoError);
        let to_itself = RData::CNAME(rdata::CNAME(name("shop.example")));
        message.add_answer(Record::from_rdata(name("shop.example"), 60, to_itself));
        vec![message.to_vec().unwrap()]
    }
    let all = ask("dns://shop.example?type=A", circle).await;
    assert_eq!(all[0].outcome, Outcome::NoAnswer);
    assert!(facts(&all[0]).cname_chain.len() <= onlyhere_proto::limits::CNAME_CHAIN);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_fetched_over_tcp() {
    fn answer(query: &Message, tcp: bool) -> Vec<Vec<u8>> {
        let mut message = response(query, ResponseCode::NoError);
        if tcp {
            message.add_answers((1..=40).map(|n| address("shop.example", n)));
        } else {
            message.metadata.truncation = true;
        }
        vec![message.to_vec().unwrap()]
    }
    let all = ask("dns://shop.example?type=A", answer).await;
    assert_eq!(stages(&all), ["dns ok"]);
    assert_eq!(facts(&all[0]).answers.len(), 40);
}

#[tokio::test]
async fn answers_to_other_questions_are_not_listened_to() {
    fn answer(query: &Message, _: bool) -> Vec<Vec<u8>> {
        let mut forged = response(query, ResponseCode::NoError);
        forged.metadata.id = query.id.wrapping_add(1);
        forged.add_answer(address("shop.example", 66));
        let mut other = Message::response(query.id, query.op_code);
        other.add_query(hickory_proto::op::Query::query(name("bank.example"), Rr::A));
        other.add_answer(address("bank.example", 66));
        let mut all = vec![
            b"x".to_vec(),
            forged.to_vec().unwrap(),
            other.to_vec().unwrap(),
        ];
        all.extend(with_address(query, false));
        all
    }
    let all = ask("dns://shop.example?type=A", answer).await;
    assert_eq!(stages(&all), ["dns ok"]);
    assert_eq!(facts(&all[0]).answers[0].address, LOOPBACK);
}

#[tokio::test]
async fn one_lost_datagram_is_no_silent_resolver() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: AtomicU32 = AtomicU32::new(0);
    fn answer(query: &Message, tcp: bool) -> Vec<Vec<u8>> {
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Vec::new(),
            _ => with_address(query, tcp),
        }
    }
    let all = ask("dns://shop.example?type=A", answer).await;
    assert_eq!(stages(&all), ["dns ok"]);
    assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    assert!(all[0].elapsed_ms.0 >= ATTEMPT.as_micros() as u64 / 3);
}

#[tokio::test]
async fn the_next_resolver_is_asked_where_one_fails_and_each_is_said() {
    let second: [IpAddr; 2] = [LOOPBACK, [127, 0, 0, 2].into()];
    for (first, outcome) in [
        (
            (|q, _| code(q, ResponseCode::ServFail)) as Answer,
            "dns servfail",
        ),
        (|q, _| code(q, ResponseCode::Refused), "dns refused"),
    ] {
        let [first, _other] =
            Resolver::several([([127, 0, 0, 1], first), ([127, 0, 0, 2], with_address)]).await;
        let mut ground = Ground::new();
        ground.resolvers(&second, first.port);
        let all = ground.observe("dns://shop.example?type=A").await;
        assert_eq!(stages(&all), [outcome, "dns ok"]);
        assert_eq!(facts(&all[1]).resolver, Some(second[1]));
    }
    // An answer that there is nothing is an answer.
    let missing: Answer = |q, _| code(q, ResponseCode::NXDomain);
    let [first, _other] =
        Resolver::several([([127, 0, 0, 1], missing), ([127, 0, 0, 2], with_address)]).await;
    let mut ground = Ground::new();
    ground.resolvers(&second, first.port);
    assert_eq!(
        stages(&ground.observe("dns://shop.example?type=A").await),
        ["dns nxdomain"]
    );
}

#[tokio::test]
async fn a_silent_first_resolver_does_not_hold_the_connection_up() {
    let server = Server::tcp(|_| async {}).await;
    let nothing: Answer = |_, _| Vec::new();
    let [silent, _second] =
        Resolver::several([([127, 0, 0, 1], nothing), ([127, 0, 0, 2], with_address)]).await;
    let mut ground = Ground::new();
    ground.resolvers(&[LOOPBACK, [127, 0, 0, 2].into()], silent.port);
    let all = ground
        .observe(&format!("tcp://shop.example:{}", server.port()))
        .await;
    let mut told = stages(&all);
    let place = |what: &str| told.iter().position(|s| s == what).unwrap();
    assert!(place("tcp ok") < place("dns timeout"), "{told:?}");
    told.sort();
    assert_eq!(
        told,
        [
            "dns no_answer",
            "dns ok",
            "dns timeout",
            "dns timeout",
            "tcp ok"
        ]
    );
}

#[tokio::test]
async fn given_resolvers_are_asked_beside_the_systems_own() {
    let missing: Answer = |q, _| code(q, ResponseCode::NXDomain);
    let [system, _given] =
        Resolver::several([([127, 0, 0, 1], missing), ([127, 0, 0, 9], with_address)]).await;
    let mut ground = Ground::new();
    ground.resolvers(&[LOOPBACK], system.port);
    let mut request = request("dns://shop.example?type=A");
    request.resolvers = vec![[127, 0, 0, 9].into()];
    let mut all = ground.ask(request).await;
    all.sort_by_key(|o| facts(o).kind);
    assert_eq!(stages(&all), ["dns nxdomain", "dns ok"]);
    assert_eq!(facts(&all[1]).kind, ResolverKind::Configured);
}

#[tokio::test]
async fn the_hosts_file_is_said_first_and_the_resolver_is_asked_all_the_same() {
    let server = Server::tcp_at("127.0.0.5:0", |_| async {}).await;
    let resolver = Resolver::start(with_address).await;
    let mut ground = Ground::new();
    ground.resolvers(&[LOOPBACK], resolver.port);
    ground.hosts("127.0.0.5 shop.example\n");
    let mut all = ground
        .observe(&format!("tcp://shop.example:{}", server.port()))
        .await;
    assert_eq!(facts(&all[0]).kind, ResolverKind::HostsFile);
    assert_eq!(facts(&all[0]).resolver, None);
    all.sort_by_key(|o| (o.stage, o.address));
    let tried: Vec<_> = all
        .iter()
        .filter(|o| o.stage == Stage::Tcp)
        .map(|o| (o.address.unwrap().to_string(), o.outcome))
        .collect();
    assert_eq!(
        tried,
        [
            ("127.0.0.1".to_owned(), Outcome::Refused),
            ("127.0.0.5".to_owned(), Outcome::Ok)
        ]
    );
}

#[tokio::test]
async fn localhost_is_known_without_asking_anybody() {
    let all = Ground::new().observe("dns://localhost").await;
    assert_eq!(stages(&all), ["dns ok", "dns ok"]);
    let addresses: Vec<_> = all
        .iter()
        .flat_map(|o| &facts(o).answers)
        .map(|a| a.address.to_string())
        .collect();
    assert_eq!(addresses, ["127.0.0.1", "::1"]);
}

#[tokio::test]
async fn without_a_resolver_nothing_is_measured() {
    let mut ground = Ground::new();
    let all = ground.observe("https://shop.example").await;
    assert_eq!(stages(&all), ["dns not_measured"]);
    ground.settings.resolv_conf = "/nonexistent/resolv.conf".into();
    let all = ground.observe("https://shop.example").await;
    assert_eq!(stages(&all), ["dns not_measured"]);
    assert!(all[0].detail.as_ref().unwrap().contains("no resolver"));
}

#[tokio::test]
async fn a_resolver_the_guard_forbids_is_not_asked() {
    let mut ground = Ground::new();
    ground.guarded(&[], &[]);
    let mut request = request("dns://shop.example?type=A");
    request.resolvers = vec![SocketAddr::from(([127, 0, 0, 9], 53)).ip()];
    let all = ground.ask(request).await;
    let given: Vec<_> = all.iter().filter(|o| o.facts.is_some()).collect();
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].outcome, Outcome::NotMeasured);
    assert!(
        given[0]
            .detail
            .as_ref()
            .unwrap()
            .contains("only public addresses")
    );
}
