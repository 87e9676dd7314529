//! A connection as the prober makes it, error queue and timing thread and all, against a plain tokio `connect`; and the
//! time that the prober reports while many attempts are under way.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group};
use onlyhere_probe_node::{Guard, Prober, ProberSettings};
use onlyhere_proto::{CheckRequest, Observation, Outcome, Purpose, Target, VantageName};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, runtime::Runtime, sync::mpsc};
use tokio_util::sync::CancellationToken;

const ROUNDS: u32 = 5_000;
const IN_FLIGHT: usize = 100;

fn main() {
    connect_benches();
    Criterion::default().configure_from_args().final_summary();
    let runtime = Runtime::new().unwrap();
    let address = listen();
    let prober = prober();
    runtime.block_on(async {
        let (mut plain, mut probed) = (Duration::ZERO, Duration::ZERO);
        // Turn by turn, so that whatever else the machine does slows both.
        for _ in 0..ROUNDS / 100 {
            plain += timed(|| connect(address)).await;
            probed += timed(|| probe(&prober, address)).await;
        }
        let ratio = probed.as_secs_f64() / plain.as_secs_f64();
        println!(
            "connect, one after the other: plain {:?}, prober {:?}, ratio {ratio:.2}",
            plain / ROUNDS,
            probed / ROUNDS
        );
        reported(&prober, address).await;
    });
}

async fn timed<F: Future<Output = ()>>(work: impl Fn() -> F) -> Duration {
    let start = Instant::now();
    for _ in 0..100 {
        work().await;
    }
    start.elapsed()
}

/// The elapsed times that stand in the observations, alone and in a crowd.
async fn reported(prober: &Prober, address: SocketAddr) {
    for crowd in [1, 10, IN_FLIGHT] {
        let rounds = (2_000 / crowd).max(10);
        let mut times = Vec::new();
        let start = Instant::now();
        for _ in 0..rounds {
            let all = (0..crowd).map(|_| observe(prober, address));
            times.extend(
                futures::future::join_all(all)
                    .await
                    .into_iter()
                    .map(|o| o.elapsed_ms.0),
            );
        }
        let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        println!(
            "{crowd} in flight: {per_second:.0}/s, reported p50 {} us, p99 {} us",
            at(0.5),
            at(0.99)
        );
    }
}

/// Accepts on a thread of its own: a queue that fills up because the runtime is busy would read as lost SYNs.
fn listen() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(4_096).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    address
}

fn prober() -> Prober {
    Prober::new(ProberSettings {
        in_flight: IN_FLIGHT,
        ..ProberSettings::of_this_system(Guard::open())
    })
    .unwrap()
}

async fn connect(address: SocketAddr) {
    TcpStream::connect(address).await.unwrap();
}

async fn probe(prober: &Prober, address: SocketAddr) {
    assert_eq!(observe(prober, address).await.outcome, Outcome::Ok);
}

async fn observe(prober: &Prober, address: SocketAddr) -> Observation {
    let target = Target::parse(&format!("tcp://{address}")).unwrap();
    let request = CheckRequest {
        check: "01JD0000000000000000000000".parse().unwrap(),
        request: 1,
        purpose: Purpose::Target,
        addresses: Vec::new(),
        depth: target.depth(),
        ping: false,
        resolvers: Vec::new(),
        deadline: Duration::from_secs(5),
        attempt_timeout: Duration::from_secs(2),
        max_connections: 1,
        slot: 0,
        way: Default::default(),
        authoritative: false,
        target,
    };
    let (sink, mut seen) = mpsc::channel(1);
    prober
        .run(VantageName::you(), request, sink, CancellationToken::new())
        .await;
    seen.recv().await.unwrap()
}

fn connects(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let address = listen();
    let prober = prober();
    let mut group = criterion.benchmark_group("connect");
    group.bench_function("plain", |b| b.to_async(&runtime).iter(|| connect(address)));
    group.bench_function("prober", |b| {
        b.to_async(&runtime).iter(|| probe(&prober, address))
    });
    group.finish();
}

criterion_group! {
    name = connect_benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = connects
}
