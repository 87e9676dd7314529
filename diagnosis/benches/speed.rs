//! How long one diagnosis takes, from the observations to the verdict with its sentences, against a measure that every
//! machine has: hashing the same report's JSON a thousand times (SHA-256), in the same run and turn by turn.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group};
use onlyhere_diagnosis::{Case, Investigation};
use onlyhere_proto::{
    CheckRequest, Conditions, DnsAnswer, DnsFacts, Facts, Family, Micros, Observation, Outcome,
    Purpose, REPORT_SCHEMA, RecordType, Report, ResolverKind, SaidBy, Stage, Subject, Target,
    TcpFacts, Timestamp, Vantage, VantageClass, VantageName, VantageReport,
};
use sha2::{Digest, Sha256};

/// Vantages of an ordinary large check, and of one that nobody has asked for yet.
const SIZES: [usize; 2] = [24, 1_000];
/// Times that the report is hashed.
const HASHES: usize = 1_000;
/// Measurements behind each ratio.
const ROUNDS: usize = 5;
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(193, 5, 6, 7));

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    for vantages in SIZES {
        ratio(vantages);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = verdicts
}

fn verdicts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    for vantages in SIZES {
        let investigation = heard(vantages);
        group.bench_function(BenchmarkId::from_parameter(vantages), |bencher| {
            bencher.iter_batched(
                || investigation.clone(),
                |investigation| investigation.verdict(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// The median of several turns of each.
fn ratio(vantages: usize) {
    let investigation = heard(vantages);
    let json = report(vantages, &investigation.clone());
    let mut verdicts = Vec::new();
    let mut hashes = Vec::new();
    for _ in 0..ROUNDS {
        let fresh = investigation.clone();
        verdicts.push(timed(|| {
            black_box(fresh.verdict());
        }));
        hashes.push(timed(|| {
            for _ in 0..HASHES {
                black_box(Sha256::digest(black_box(&json)));
            }
        }));
    }
    let (verdict, hash) = (median(verdicts), median(hashes));
    println!(
        "{vantages} vantages: verdict {verdict:?}, {HASHES} hashes of its {} KiB report {hash:?}, ratio {:.3}",
        json.len() / 1024,
        verdict.as_secs_f64() / hash.as_secs_f64()
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A ban with a sibling: the subject is refused by the target itself, everybody else gets through, some vantages are ill.
fn heard(vantages: usize) -> Investigation {
    let mut investigation = Investigation::new(case(vantages));
    let asks = investigation.poll_asks(Duration::ZERO);
    for ask in asks {
        for observation in observations(&ask.vantage, &ask.request) {
            investigation.handle_observation(observation);
        }
        investigation.handle_done(&ask.vantage, ask.request.request);
    }
    investigation
}

fn case(vantages: usize) -> Case {
    let vantage = |number: usize| {
        let region = ["eu", "na", "as", "sa"][number % 4];
        Vantage {
            region: Some(region.to_owned()),
            country: Some(["DE", "US", "JP", "BR"][number % 4].to_owned()),
            asn: Some(if number < 2 {
                3_320
            } else {
                20_000 + number as u32 / 3
            }),
            class: (number > 0).then_some(match number % 3 {
                0 => VantageClass::Residential,
                _ => VantageClass::Datacenter,
            }),
            public_address: Some(Ipv4Addr::from_bits(0x5b00_0001 + 256 * number as u32).into()),
            ..Vantage::named(match number {
                0 => VantageName::you(),
                n => format!("v{n}").parse().expect("a name"),
            })
        }
    };
    let all: Vec<Vantage> = (0..=vantages).map(vantage).collect();
    Case {
        check: "00000000000000000000000001".parse().expect("an id"),
        target: Target::parse("https://shop.example").expect("a target"),
        subject: Subject {
            vantage: Some(VantageName::you()),
            public_address: all[0].public_address,
            asn: all[0].asn,
            local: Default::default(),
        },
        vantages: all,
        conditions: Conditions {
            controls: vec![Target::parse("https://control.example").expect("a target")],
            ..Conditions::default()
        },
    }
}

fn observations(vantage: &VantageName, request: &CheckRequest) -> Vec<Observation> {
    let number: u64 = vantage
        .as_str()
        .trim_start_matches('v')
        .parse()
        .unwrap_or(0);
    let round_trip = 20.0 + (number * 37 % 180) as f64;
    let base = |stage, elapsed: f64, outcome| Observation {
        check: request.check.clone(),
        request: request.request,
        sequence: 0,
        vantage: vantage.clone(),
        purpose: request.purpose,
        stage,
        host: request.target.host.to_string(),
        source: None,
        address: (stage != Stage::Dns).then_some(TARGET),
        port: matches!(stage, Stage::Tcp | Stage::Tls | Stage::Http).then_some(443),
        family: Some(Family::V4),
        started_at: Timestamp(1_777_888_800_000_000),
        elapsed_ms: Micros((elapsed * 1e3) as u64),
        slot: request.slot,
        outcome,
        said_by: None,
        detail: None,
        facts: None,
    };
    let mut dns = base(Stage::Dns, 12.0, Outcome::Ok);
    dns.facts = Some(Facts::Dns(DnsFacts {
        resolver: Some([192, 168, 1, 1].into()),
        kind: ResolverKind::System,
        record_type: RecordType::A,
        rcode: Some(0),
        answers: vec![DnsAnswer {
            address: TARGET,
            ttl_s: 300,
        }],
        cname_chain: Vec::new(),
    }));
    let mut all = vec![dns];
    if request.ping {
        all.push(base(Stage::Icmp, round_trip, Outcome::Ok));
    }
    if request.purpose == Purpose::Target && vantage.is_you() {
        let mut tcp = base(Stage::Tcp, round_trip, Outcome::Refused);
        tcp.said_by = Some(SaidBy::Rst);
        all.push(tcp);
    } else if number % 29 == 7 {
        all.push(base(Stage::Tcp, 3_000.0, Outcome::Timeout));
    } else {
        let mut tcp = base(Stage::Tcp, round_trip, Outcome::Ok);
        tcp.facts = Some(Facts::Tcp(TcpFacts::default()));
        all.push(tcp);
        all.push(base(Stage::Tls, round_trip, Outcome::Ok));
        all.push(base(Stage::Http, round_trip, Outcome::Ok));
    }
    for (sequence, observation) in all.iter_mut().enumerate() {
        observation.sequence = sequence as u32;
    }
    all
}

fn report(vantages: usize, investigation: &Investigation) -> Vec<u8> {
    let case = case(vantages);
    let asks = Investigation::new(case.clone()).poll_asks(Duration::ZERO);
    let seen = |vantage: &Vantage| {
        let of = asks.iter().filter(|ask| ask.vantage == vantage.id);
        of.flat_map(|ask| observations(&ask.vantage, &ask.request))
            .collect()
    };
    let vantages = case.vantages.iter().map(|vantage| VantageReport {
        vantage: vantage.clone(),
        observations: seen(vantage),
    });
    let report = Report {
        schema: REPORT_SCHEMA.to_owned(),
        id: case.check.clone(),
        started_at: Timestamp(1_777_888_800_000_000),
        duration_ms: Micros(412_000),
        vantages: vantages.collect(),
        target: case.target,
        verdict: investigation.verdict(),
        subject: case.subject,
        conditions: case.conditions,
    };
    serde_json::to_vec(&report).expect("a report")
}
