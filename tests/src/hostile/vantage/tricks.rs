//! What each hostile probe does, message by message.

use bytes::Bytes;
use onlyhere_proto::wire::{
    AttachResponse, CheckRequest, Hello, Observation, attach_request::Message as Said,
    attach_response::Message as Told,
};
use prost::Message;
use tokio::task::JoinSet;
use tonic::Status;

use super::forged::{
    OK, TCP, answers, batch, done, elsewhere, empty_capabilities, empty_certificates,
    empty_observations, hello, large, message, observation,
};
use super::line::{Line, Wire};
use super::{MARK, Mallory, Trick};
use crate::hostile::behaviour::{Act::Probe, Behaviour};

const SHOP: &str = "https://shop.example";
/// Nothing listens there.
const CLOSED: &str = "tcp://shop.example:4444";
const OF_SHOP: &[&str] = &["ok none"];
const OF_CLOSED: &[&str] = &["global refused"];

const fn honest_site(name: &'static str, trick: Trick, cut_off: &'static str) -> Behaviour {
    let mallory = Mallory {
        target: SHOP,
        trick,
        cut_off,
    };
    Behaviour::new(name, Probe(mallory), OF_SHOP)
}

const fn closed_port(name: &'static str, trick: Trick) -> Behaviour {
    let mallory = Mallory {
        target: CLOSED,
        trick,
        cut_off: "",
    };
    Behaviour::new(name, Probe(mallory), OF_CLOSED)
}

pub(in crate::hostile) const BEHAVIOURS: &[Behaviour] = &[
    honest_site("probe-lies-refused", Trick::LiesRefused, ""),
    honest_site("probe-forges-an-address", Trick::ForgesAddress, ""),
    honest_site("probe-forges-64-addresses", Trick::ForgesAddresses, ""),
    closed_port("probe-lies-all-is-well", Trick::LiesWell),
    honest_site("probe-in-anothers-name", Trick::OthersName, ""),
    honest_site(
        "probe-answers-others-requests",
        Trick::OthersRequests,
        "not its own",
    ),
    honest_site("probe-replays", Trick::Replays, "cut off"),
    honest_site("probe-floods", Trick::Floods, "for one request"),
    honest_site("probe-fills-its-allowance", Trick::Fills, ""),
    honest_site("probe-floods-unasked", Trick::FloodsUnasked, "not its own"),
    honest_site("probe-garbage", Trick::Garbage, "cannot be read"),
    honest_site(
        "probe-unknown-words",
        Trick::UnknownWords,
        "cannot be believed",
    ),
    honest_site("probe-5-mb-message", Trick::HugeMessage, "cannot be read"),
    honest_site(
        "probe-700000-observations",
        Trick::ManyObservations,
        "cut off",
    ),
    honest_site(
        "probe-700000-certificates",
        Trick::ManyCertificates,
        "cut off",
    ),
    honest_site(
        "probe-700000-capabilities",
        Trick::ManyCapabilities,
        "cannot be read",
    ),
    honest_site("probe-never-done", Trick::NeverDone, ""),
    honest_site("probe-silent", Trick::Silent, ""),
    honest_site("probe-absurd-times", Trick::AbsurdTimes, ""),
    honest_site("probe-huge-texts", Trick::HugeTexts, ""),
    honest_site("probe-escapes", Trick::Escapes, ""),
    honest_site("probe-10000-sources", Trick::ManySources, "cannot be read"),
    honest_site("probe-many-streams", Trick::ManyStreams, ""),
    honest_site("probe-half-messages", Trick::HalfMessages, ""),
    honest_site("probe-resets-streams", Trick::ResetsStreams, ""),
    honest_site("probe-reads-nothing", Trick::ReadsNothing, ""),
    honest_site("probe-no-greeting", Trick::NoGreeting, ""),
    honest_site("probe-greets-twice", Trick::GreetsTwice, "second hello"),
    honest_site("probe-reattaches", Trick::Reattaches, ""),
];

/// What repeats is two bytes each: a message within what a probe may send, and far beyond what it may mean.
const MANY: usize = 700_000;
/// The largest message that a coordinator takes of a probe.
const LARGEST: usize = onlyhere_proto::limits::PROBE_MESSAGE;
/// What steers a terminal or a reader, and what is markup.
const ESCAPES: &str = "by-mallory\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}\u{2066}\u{200b}<script>alert(1)</script>\r\n\x08";

/// What a hostile probe remembers of earlier checks.
#[derive(Debug, Default)]
pub(super) struct Memory {
    old: Vec<Observation>,
}

fn greeting(trick: Trick) -> Vec<Bytes> {
    let hello = hello();
    let one = |hello: Hello| vec![message(Said::Hello(hello))];
    match trick {
        Trick::NoGreeting => Vec::new(),
        Trick::GreetsTwice => vec![
            message(Said::Hello(hello.clone())),
            message(Said::Hello(hello)),
        ],
        Trick::ManyCapabilities => vec![empty_capabilities(MANY)],
        Trick::ManySources => one(Hello {
            source_addresses: (0..10_000u32)
                .map(|n| format!("198.18.{}.{}", n >> 8, n & 255))
                .collect(),
            ..hello
        }),
        Trick::Escapes => one(Hello {
            version: ESCAPES.into(),
            capabilities: vec![ESCAPES.into()],
            ..hello
        }),
        Trick::AbsurdTimes | Trick::HugeTexts => one(Hello {
            version: "9".repeat(100_000),
            ..hello
        }),
        _ => one(hello),
    }
}

/// Attaches once and does what the trick is, until the stream ends.
pub(super) async fn play(wire: &Wire, trick: Trick, memory: &mut Memory) -> Result<(), Status> {
    let channel = connect(wire, false).await?;
    let mut line = Wire::attach(channel, greeting(trick)).await?;
    let mut greeted = false;
    while let Some(bytes) = line.from.message().await? {
        match AttachResponse::decode(bytes).ok().and_then(|m| m.message) {
            Some(Told::Welcome(_)) if !greeted => {
                greeted = true;
                println!("attached");
                if trick == Trick::Reattaches {
                    return Ok(());
                }
                at_once(trick, &line).await;
            }
            Some(Told::Check(request)) => {
                for bytes in to(trick, &request, memory) {
                    if line.to.send(bytes).await.is_err() {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

async fn connect(wire: &Wire, tiny: bool) -> Result<tonic::transport::Channel, Status> {
    let connected = wire.connect(tiny).await;
    connected.map_err(|error| Status::unavailable(error.to_string()))
}

/// What is sent without being asked.
async fn at_once(trick: Trick, line: &Line) {
    match trick {
        Trick::FloodsUnasked => {
            for n in 0..100_000u32 {
                let request = CheckRequest {
                    check_id: format!("01JD{n:022}"),
                    request: n,
                    purpose: 1,
                    ..CheckRequest::default()
                };
                let one = observation(&request, 0, TCP, OK);
                if line.to.send(batch(vec![one])).await.is_err() {
                    return;
                }
            }
        }
        Trick::ManyObservations => drop(line.to.send(empty_observations(MANY)).await),
        Trick::Garbage => drop(line.to.send(Bytes::from_static(&[0xff; 4096])).await),
        _ => {}
    }
}

/// What is said to a request.
fn to(trick: Trick, request: &CheckRequest, memory: &mut Memory) -> Vec<Bytes> {
    let true_ones = || answers(request, true);
    let well_but = |change: &dyn Fn(&mut Observation)| {
        let mut changed = true_ones();
        changed.iter_mut().for_each(change);
        vec![batch(changed), done(request)]
    };
    match trick {
        Trick::LiesRefused => vec![batch(answers(request, false)), done(request)],
        Trick::ForgesAddress => vec![batch(elsewhere(request, 1)), done(request)],
        Trick::ForgesAddresses => vec![batch(elsewhere(request, 64)), done(request)],
        Trick::Fills => {
            let large = |from: u32| batch((from..from + 100).map(|n| large(request, n)).collect());
            vec![large(0), large(100), done(request)]
        }
        Trick::OthersName => {
            let mut lies = answers(request, false);
            for (place, lie) in lies.iter_mut().enumerate() {
                lie.vantage = ["fra", "nyc", "you", ""][place % 4].into();
            }
            vec![batch(lies), done(request)]
        }
        Trick::OthersRequests => {
            let number = |other: u32| CheckRequest {
                request: other,
                ..request.clone()
            };
            let numbers = (0..64).filter(|n| *n != request.request);
            let lies = numbers.flat_map(|n| answers(&number(n), false)).collect();
            vec![batch(lies)]
        }
        Trick::Replays => {
            let lies = answers(request, false);
            memory.old.extend(lies.clone());
            memory.old.truncate(1_000);
            let old = memory.old.chunks(200).map(|old| batch(old.to_vec()));
            let mut all: Vec<_> = vec![batch(lies.clone()), batch(lies.clone()), done(request)];
            all.extend(old);
            all.extend((0..40).map(|_| batch(lies.clone())));
            all
        }
        Trick::Floods => {
            let many = |from: u32| (from..from + 250).map(|n| observation(request, n, TCP, OK));
            (0..400).map(|n| batch(many(n * 250).collect())).collect()
        }
        Trick::UnknownWords => well_but(&|o| {
            (o.outcome, o.stage, o.purpose) = (999, 77, i32::MIN);
        }),
        Trick::HugeMessage => well_but(&|o| o.detail = "x".repeat(5 * 1024 * 1024)),
        Trick::ManyCertificates => vec![empty_certificates(request, MANY), done(request)],
        Trick::NeverDone => vec![batch(true_ones())],
        Trick::Silent => Vec::new(),
        Trick::AbsurdTimes => well_but(&|o| {
            o.started_at_us = if o.sequence % 2 == 0 {
                i64::MIN
            } else {
                i64::MAX
            };
            o.elapsed_us = u64::MAX;
            o.slot = u32::MAX;
        }),
        Trick::HugeTexts => well_but(&|o| {
            o.detail = format!("{MARK} {}", "x".repeat(300_000));
            o.host = "h".repeat(300_000);
        }),
        Trick::Escapes => well_but(&|o| {
            o.detail = ESCAPES.into();
            o.host = ESCAPES.into();
            if let Some(onlyhere_proto::wire::observation::Facts::Http(http)) = &mut o.facts {
                http.version = ESCAPES.into();
                http.location = ESCAPES.into();
                for header in &mut http.headers {
                    (header.name, header.value) = (ESCAPES.into(), ESCAPES.into());
                }
            }
        }),
        _ => vec![batch(true_ones()), done(request)],
    }
}

/// Forty connections with eight streams each, all opened, greeted on, and left open.
pub(super) async fn many_streams(wire: &Wire) -> Result<(), Status> {
    let mut open = JoinSet::new();
    let mut channels = Vec::new();
    for _ in 0..40 {
        let channel = connect(wire, false).await?;
        for _ in 0..8 {
            let channel = channel.clone();
            open.spawn(async move {
                let mut line = Wire::attach(channel, greeting(Trick::ManyStreams)).await?;
                while line.from.message().await?.is_some() {}
                Ok::<_, Status>(())
            });
        }
        channels.push(channel);
    }
    println!("attached");
    while open.join_next().await.is_some() {}
    Ok(())
}

/// Forty connections with eight streams each, and on each all of a large message but its last byte.
pub(super) async fn half_messages(wire: &Wire) -> Result<(), Status> {
    let mut open = JoinSet::new();
    for _ in 0..40 {
        let Ok(connection) = wire.http2().await else {
            continue;
        };
        for _ in 0..8 {
            open.spawn(connection.clone().say_half(LARGEST));
        }
    }
    println!("attached");
    while open.join_next().await.is_some() {}
    Ok(())
}

/// Streams that are reset as soon as they are open (CVE-2023-44487).
pub(super) async fn resets_streams(wire: &Wire) -> Result<(), Status> {
    let channel = connect(wire, false).await?;
    println!("attached");
    for _ in 0..20_000 {
        let attach = Wire::attach(channel.clone(), greeting(Trick::ResetsStreams));
        // Polled often enough to have sent its headers, and dropped.
        let _ = tokio::time::timeout(std::time::Duration::from_micros(300), attach).await;
    }
    Ok(())
}

/// A window of one byte, and nobody who reads it.
pub(super) async fn reads_nothing(wire: &Wire) -> Result<(), Status> {
    let channel = connect(wire, true).await?;
    let line = Wire::attach(channel, greeting(Trick::ReadsNothing)).await?;
    println!("attached");
    // Held, not read.
    line.to.closed().await;
    Ok(())
}
