//! One question to one resolver: over UDP, and over TCP where the answer does not fit (RFC 1035, 4.2.2).
//!
//! Written on plain sockets around the message codec, because a resolver library hides what matters here: which server
//! answered with which response code, and the ICMP error behind its silence. The question goes out without EDNS, as
//! libc sends it, and is repeated twice within the attempt's time, so that one lost datagram is no silent resolver.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, Record, RecordType as Rr},
};
use onlyhere_proto::{
    DnsAnswer, DnsFacts, Facts, Family, Outcome, RecordType, limits, limits::plain_text,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpStream, UdpSocket},
    time,
};

use super::{Attempt, Question, Seen, tcp};
use crate::{
    classify::{self, Failure},
    kernel,
    timing::{TimingThread, forget_readiness},
    way::SocketWay,
};

/// Times a question is sent over UDP within one attempt.
const SENDINGS: u32 = 3;
/// Datagrams that may come from the resolver's port and be no answer; from a broken one come few, and from a flood one would
/// be busy with nothing but them.
const STRANGERS: usize = 256;

pub(super) async fn probe(attempt: &mut Attempt<'_>) -> Seen {
    let Some(question) = attempt.question else {
        return Seen::not_measured("there is no question to ask");
    };
    let name = match name(&attempt.target.host.to_string()) {
        Ok(name) => name,
        Err(why) => return Seen::not_measured(why),
    };
    let query = query(name, rr(question.record_type), true);
    let told = ask(attempt.timing, &query, attempt.to, attempt.timeout).await;
    seen(&told, &query, question, attempt.to.ip())
}

/// Asks one server one question.
pub(crate) async fn ask(
    timing: &TimingThread,
    query: &Message,
    to: SocketAddr,
    timeout: Duration,
) -> Told {
    let told = timing.run(exchange(query.clone(), to, timeout)).await;
    told.unwrap_or_else(|| Told {
        answer: Err(Failure::not_measured("the timing thread is gone")),
        elapsed: Duration::ZERO,
        source: None,
    })
}

/// What was told, as an answer to a question for addresses.
pub(crate) fn seen(told: &Told, query: &Message, question: Question, server: IpAddr) -> Seen {
    let (seen, facts) = match &told.answer {
        Ok(message) => read(message, query, question, server, told.elapsed),
        Err(failure) => {
            let facts = facts(question, server);
            (Seen::failed(failure.clone(), told.elapsed), facts)
        }
    };
    seen.from(told.source).with_facts(Facts::Dns(facts))
}

/// A name as DNS has it.
///
/// # Errors
/// What is no name of DNS, such as one with a label of more than 63 bytes.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| format!("no DNS name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The question for records of a name; a resolver is asked to find them out, a zone's own server is not.
pub(crate) fn query(name: Name, kind: Rr, recursion: bool) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = recursion;
    message.add_query(Query::query(name, kind));
    message
}

/// A record type as DNS has it.
pub(crate) fn rr(record_type: RecordType) -> Rr {
    match record_type {
        RecordType::A => Rr::A,
        RecordType::Aaaa => Rr::AAAA,
    }
}

/// What a server told.
pub(crate) struct Told {
    pub(crate) answer: Result<Message, Failure>,
    pub(crate) elapsed: Duration,
    pub(crate) source: Option<IpAddr>,
}

async fn exchange(query: Message, to: SocketAddr, timeout: Duration) -> Told {
    let start = Instant::now();
    let until = start + timeout;
    let mut source = None;
    let answer = match ask_udp(&query, to, start, timeout, &mut source).await {
        Ok(message) if message.truncation => {
            match time::timeout_at(until.into(), ask_tcp(&query, to, until)).await {
                Ok(answer) => answer,
                Err(_) => Err(Failure::of(Outcome::Timeout)
                    .because("the answer does not fit a datagram, and TCP stays silent")),
            }
        }
        other => other,
    };
    Told {
        answer,
        elapsed: start.elapsed(),
        source,
    }
}

async fn ask_udp(
    query: &Message,
    to: SocketAddr,
    start: Instant,
    timeout: Duration,
    source: &mut Option<IpAddr>,
) -> Result<Message, Failure> {
    let packet = query
        .to_vec()
        .map_err(|error| Failure::not_measured(error.to_string()))?;
    let socket = open(to).map_err(|error| unreachable_resolver(&error, None))?;
    *source = socket.local_addr().ok().map(|local| local.ip());
    for sending in 1..=SENDINGS {
        if let Err(error) = SockRef::from(&socket).send(&packet) {
            return Err(unreachable_resolver(&error, kernel::queued_error(&socket)));
        }
        let until = start + timeout * sending / SENDINGS;
        if let Ok(answer) = time::timeout_at(until.into(), response(&socket, query)).await {
            return answer;
        }
    }
    Err(Failure::of(Outcome::Timeout))
}

/// A connected socket, so that only the resolver's own datagrams are read and ICMP errors are told.
fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::UDP))?;
    kernel::report_errors(&socket, Family::of(to.ip()), true)?;
    socket.connect(&to.into())?;
    UdpSocket::from_std(socket.into())
}

/// For a name, `refused` is the response code of that name. A resolver that nobody runs is unreachable.
fn unreachable_resolver(error: &io::Error, queued: Option<kernel::QueuedError>) -> Failure {
    let failure = classify::unconnected(error, queued);
    match failure.outcome {
        Outcome::Refused => {
            let why = failure.detail.unwrap_or_else(|| "refused".to_owned());
            Failure {
                outcome: Outcome::Unreachable,
                detail: Some(format!("no resolver answers there: {why}")),
                ..failure
            }
        }
        _ => failure,
    }
}

async fn response(socket: &UdpSocket, query: &Message) -> Result<Message, Failure> {
    let interest = Interest::READABLE | Interest::ERROR;
    let mut buffer = [0; 4096];
    let mut strangers = 0;
    while strangers < STRANGERS {
        socket
            .ready(interest)
            .await
            .map_err(|error| Failure::not_measured(error.to_string()))?;
        match kernel::receive(socket, &mut buffer) {
            Ok(Ok(length)) => {
                if let Some(message) = answers(&buffer[..length], query)? {
                    return Ok(message);
                }
                strangers += 1;
            }
            Ok(Err(queued)) => {
                let error = io::Error::from_raw_os_error(queued.errno);
                return Err(unreachable_resolver(&error, Some(queued)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                forget_readiness(Interest::READABLE, |one, nothing| {
                    socket.try_io(one, nothing)
                });
            }
            Err(error) => return Err(unreachable_resolver(&error, None)),
        }
    }
    Err(Failure::of(Outcome::Servfail)
        .because(format!("{STRANGERS} answers to other questions came")))
}

/// What a packet tells, if it answers the question: the way of a resolver's answer without the socket it came over.
pub(crate) fn told_by(
    packet: &[u8],
    query: &Message,
    question: Question,
    server: IpAddr,
) -> Option<Seen> {
    let told = Told {
        answer: answers(packet, query).transpose()?,
        elapsed: Duration::ZERO,
        source: None,
    };
    Some(seen(&told, query, question, server))
}

/// The message, if it answers the query: identifier and question must be the same (RFC 5452, 9.1). Whatever else comes
/// is not listened to, for anybody can send a datagram.
fn answers(packet: &[u8], query: &Message) -> Result<Option<Message>, Failure> {
    if packet.first_chunk() != Some(&query.id.to_be_bytes()) {
        return Ok(None);
    }
    let message = Message::from_vec(packet).map_err(|error| {
        Failure::of(Outcome::Servfail).because(format!("the answer cannot be read: {error}"))
    })?;
    // A resolver that cannot even read a question may leave it out of its error.
    let fits = message.queries == query.queries
        || (message.queries.is_empty() && u16::from(message.response_code) != 0);
    Ok(fits.then_some(message))
}

async fn ask_tcp(query: &Message, to: SocketAddr, until: Instant) -> Result<Message, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    let stream = tcp::connect(to, SocketWay::default(), left).await.result?;
    let mut stream =
        TcpStream::from_std(stream).map_err(|error| Failure::not_measured(error.to_string()))?;
    let packet = query
        .to_vec()
        .map_err(|error| Failure::not_measured(error.to_string()))?;
    let mut framed = Vec::with_capacity(packet.len() + 2);
    framed.extend_from_slice(&(packet.len() as u16).to_be_bytes());
    framed.extend_from_slice(&packet);
    let exchange = async {
        stream.write_all(&framed).await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer = exchange
        .await
        .map_err(|error: io::Error| classify::connected(&error))?;
    answers(&answer, query)?.ok_or_else(|| {
        Failure::of(Outcome::Servfail).because("the answer belongs to another question")
    })
}

fn facts(question: Question, resolver: IpAddr) -> DnsFacts {
    DnsFacts {
        resolver: Some(resolver),
        kind: question.kind,
        record_type: question.record_type,
        rcode: None,
        answers: Vec::new(),
        cname_chain: Vec::new(),
    }
}

fn read(
    message: &Message,
    query: &Message,
    question: Question,
    resolver: IpAddr,
    elapsed: Duration,
) -> (Seen, DnsFacts) {
    let rcode = u16::from(message.response_code);
    let mut facts = facts(question, resolver);
    facts.rcode = Some(rcode);
    let owner = follow_aliases(message, query, |alias| facts.cname_chain.push(shown(alias)));
    facts.answers = answers_of(message, &owner, question.record_type);
    let outcome = classify::response_code(rcode, !facts.answers.is_empty());
    let mut seen = Seen::ok(elapsed);
    seen.outcome = outcome;
    if outcome == Outcome::Servfail {
        seen.detail = Some(format!("response code {rcode} ({})", message.response_code));
    }
    (seen, facts)
}

/// The last name of the aliases that lead on from the name asked for; `each` is told every alias.
fn follow_aliases(message: &Message, query: &Message, mut each: impl FnMut(&Name)) -> Name {
    let asked = query.queries.first();
    let mut owner = asked.map(|q| q.name().clone()).unwrap_or_default();
    for _ in 0..limits::CNAME_CHAIN {
        let alias = message
            .answers
            .iter()
            .find_map(|record| match &record.data {
                RData::CNAME(alias) if record.name == owner => Some(alias.0.clone()),
                _ => None,
            });
        let Some(alias) = alias else { break };
        each(&alias);
        owner = alias;
    }
    owner
}

fn answers_of(message: &Message, owner: &Name, record_type: RecordType) -> Vec<DnsAnswer> {
    let answer = |record: &Record| {
        let address = match (&record.data, record_type) {
            (RData::A(a), RecordType::A) => IpAddr::V4(a.0),
            (RData::AAAA(aaaa), RecordType::Aaaa) => IpAddr::V6(aaaa.0),
            _ => return None,
        };
        Some(DnsAnswer {
            address,
            ttl_s: record.ttl,
        })
    };
    let owned = message
        .answers
        .iter()
        .filter(|record| record.name == *owner);
    owned.filter_map(answer).take(limits::DNS_ANSWERS).collect()
}

/// The last name of an answer's aliases, and the addresses of it.
pub(crate) fn resolved(
    message: &Message,
    query: &Message,
    record_type: RecordType,
) -> (Name, Vec<IpAddr>) {
    let owner = follow_aliases(message, query, |_| ());
    let answers = answers_of(message, &owner, record_type);
    let addresses = answers.into_iter().map(|answer| answer.address);
    (owner, addresses.collect())
}

/// A name for people.
pub(crate) fn shown(name: &Name) -> String {
    let text = name.to_ascii();
    plain_text(text.strip_suffix('.').unwrap_or(&text), limits::HOST_NAME)
}
