//! Callers that mean harm, all at once against the real program on real sockets, while one who means well goes on asking.

mod common;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{
    caller,
    http2::framed,
    raw::{self, Http2, until_closed},
    within,
};
use hyper_util::rt::TokioIo;
use onlyhere_proto::{
    Outcome,
    wire::{self, public_service_check_request::Message as Ask},
};
use prost::Message;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::transport::{Channel, Endpoint};

const EVIL: &str = "127.0.0.1";
const CROWD: &str = "127.0.0.3";
const GOOD: &str = "127.0.0.2";
/// Bytes that the coordinator may hold at its peak.
const MEMORY: u64 = 256 * 1024 * 1024;
/// Connections of one address.
const PER_ADDRESS: usize = 128;
const CHECK: &str = "/onlyhere.v1.PublicService/Check";

/// The program; killed when a test fails.
struct Serving {
    child: Child,
    api: SocketAddr,
    /// Of the caller who means well.
    good: String,
    /// Of those who do not: two, so that none of them only waits for another.
    evil: [String; 2],
    _dir: tempfile::TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere-coordinator"));
            command
                .env_clear()
                .env("HOME", dir.path())
                .current_dir(dir.path());
            command
        };
        let token = |name: &str| {
            let create = [
                "token",
                "create",
                "--kind",
                "client",
                "--data-dir",
                "d",
                "--name",
                name,
            ];
            let output = program().args(create).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let tokens = [token("good"), token("evil1"), token("evil2")];
        let api = std::net::TcpListener::bind((EVIL, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        let mut child = program()
            .args(["serve", "--data-dir", "d"])
            .env("ONLYHERE_PROBES__LISTEN", "127.0.0.1:0")
            .env("ONLYHERE_API__LISTEN", api.to_string())
            .env("ONLYHERE_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"), "it serves");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let [good, one, two] = tokens;
        Self {
            child,
            api,
            good,
            evil: [one, two],
            _dir: dir,
        }
    }

    /// The most memory that it has had, bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    async fn channel(&self, from: &'static str) -> Channel {
        let api = self.api;
        let dial =
            tower::service_fn(
                move |_| async move { raw::connect(from, api).await.map(TokioIo::new) },
            );
        let endpoint = Endpoint::from_static("http://coordinator.example");
        endpoint.connect_with_connector(dial).await.unwrap()
    }

    /// One whole check as it should be; gives its id.
    async fn check(&self, token: &str) -> String {
        let channel = self.channel(GOOD).await;
        let check = caller::open_over(channel, token, caller::start("tcp://shop.example:22"));
        let told = within(check)
            .await
            .unwrap()
            .follow(Outcome::Ok)
            .await
            .unwrap();
        told.report().id.to_string()
    }
}

/// What became of an attack.
struct Row {
    name: &'static str,
    came: String,
    is_well: bool,
}

fn closed(name: &'static str, after: Option<Duration>, at_most: u64) -> Row {
    let came = match after {
        Some(after) => format!("closed after {:.1} s", after.as_secs_f64()),
        None => "not closed".into(),
    };
    let is_well = after.is_some_and(|after| after < Duration::from_secs(at_most));
    Row {
        name,
        came,
        is_well,
    }
}

async fn timed_close(stream: &mut TcpStream) -> Option<Duration> {
    let began = Instant::now();
    until_closed(stream, Duration::from_secs(60))
        .await
        .map(|_| began.elapsed())
}

async fn says_nothing(serving: &Serving) -> Row {
    let mut stream = raw::connect(EVIL, serving.api).await.unwrap();
    closed("says nothing", timed_close(&mut stream).await, 15)
}

async fn drips_headers(serving: &Serving) -> Row {
    let stream = raw::connect(EVIL, serving.api).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let began = Instant::now();
    let drip = tokio::spawn(async move {
        let _ = write
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nx-slow: ")
            .await;
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let mut sink = tokio::io::sink();
    let ended = tokio::time::timeout(
        Duration::from_secs(60),
        tokio::io::copy(&mut read, &mut sink),
    )
    .await;
    drip.abort();
    closed(
        "drips its headers (HTTP/1)",
        ended.ok().map(|_| began.elapsed()),
        15,
    )
}

async fn drips_body(serving: &Serving) -> Row {
    let stream = raw::connect(EVIL, serving.api).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let began = Instant::now();
    let drip = tokio::spawn(async move {
        let head = b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\ncontent-length: 100000\r\n\r\n";
        let _ = write.write_all(head).await;
        while write.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let mut sink = tokio::io::sink();
    let ended = tokio::time::timeout(
        Duration::from_secs(60),
        tokio::io::copy(&mut read, &mut sink),
    )
    .await;
    drip.abort();
    closed(
        "drips its body (HTTP/1)",
        ended.ok().map(|_| began.elapsed()),
        50,
    )
}

async fn sends_headers(serving: &Serving, name: &'static str, headers: String) -> Row {
    let mut stream = raw::connect(EVIL, serving.api).await.unwrap();
    let request = format!("GET /readyz HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let answer = until_closed(&mut stream, Duration::from_secs(20)).await;
    let answer = answer.map(|answer| String::from_utf8_lossy(&answer).into_owned());
    let refused = answer
        .as_ref()
        .is_some_and(|answer| answer.starts_with("HTTP/1.1 431"));
    let was_cut = answer.as_ref().is_some_and(String::is_empty);
    Row {
        name,
        came: match &answer {
            Some(answer) if answer.is_empty() => "closed".into(),
            Some(answer) => answer.lines().next().unwrap_or_default().to_owned(),
            None => "not closed".into(),
        },
        is_well: refused || was_cut,
    }
}

async fn never_ends_its_headers(serving: &Serving) -> Row {
    let mut http = Http2::open(EVIL, serving.api, 65_535).await;
    let began = Instant::now();
    let accepted = http.endless_headers(1).await;
    let after = match accepted {
        true => None,
        false => Some(began.elapsed()),
    };
    closed("headers without end (HTTP/2)", after, 20)
}

async fn resets_rapidly(serving: &Serving) -> Row {
    let mut http = Http2::open(EVIL, serving.api, 65_535).await;
    let began = Instant::now();
    let mut after = None;
    for round in 0..400 {
        if !http.open_and_reset(1 + round * 200, 100).await {
            after = Some(began.elapsed());
            break;
        }
    }
    closed("40,000 streams opened and reset (HTTP/2)", after, 20)
}

/// Asks for many reports and lets none of their bytes through, yet answers every ping.
async fn keeps_its_window_shut(serving: &Serving, check: &str) -> Row {
    let mut http = Http2::open(EVIL, serving.api, 0).await;
    for stream in 0..8 {
        let path = format!("/v1/checks/{check}");
        http.request(1 + 2 * stream, "GET", &path, &serving.evil[0], false)
            .await;
    }
    closed(
        "window shut on 8 reports (HTTP/2)",
        http.live_on(Duration::from_secs(60)).await,
        40,
    )
}

fn start_of_check() -> Vec<u8> {
    let ask = wire::PublicServiceCheckRequest {
        message: Some(Ask::Start(wire::Start {
            timeout_ms: 60_000,
            ..caller::start("tcp://shop.example:22")
        })),
    };
    framed(&ask.encode_to_vec()).to_vec()
}

/// Begins as many checks as a token may have, and reads nothing of any.
async fn never_reads_its_check(serving: &Serving) -> Row {
    let mut http = Http2::open(EVIL, serving.api, 0).await;
    for stream in (1..33).step_by(2) {
        http.request(stream, "POST", CHECK, &serving.evil[0], true)
            .await;
        http.data(stream, &start_of_check()).await;
    }
    closed(
        "16 checks whose news is never read",
        http.live_on(Duration::from_secs(60)).await,
        40,
    )
}

/// Opens checks and does not say what for.
async fn never_asks(serving: &Serving) -> Row {
    let channel = serving.channel(EVIL).await;
    let (_send, waiting) = tokio::sync::mpsc::channel::<wire::PublicServiceCheckRequest>(1);
    let request = caller::with_token(
        tokio_stream::wrappers::ReceiverStream::new(waiting),
        &serving.evil[1],
    );
    let mut client = wire::public_service_client::PublicServiceClient::new(channel);
    let began = Instant::now();
    let mut answer = client.check(request).await.unwrap().into_inner();
    let end = answer.message().await.unwrap_err();
    let after =
        (end.message() == "the first message of a check is its start").then(|| began.elapsed());
    closed("a check without a question", after, 15)
}

/// Sends more in one check than one vantage can have seen.
async fn floods_its_check(
    serving: &Serving,
    name: &'static str,
    message: wire::PublicServiceCheckRequest,
    count: usize,
) -> Row {
    let channel = serving.channel(EVIL).await;
    let check = caller::open_over(
        channel,
        &serving.evil[1],
        caller::start("tcp://shop.example:22"),
    );
    let caller::Check { send, mut receive } = within(check).await.unwrap();
    let flood = async {
        for _ in 0..count {
            if send.send(message.clone()).await.is_err() {
                return;
            }
        }
        send.closed().await;
    };
    let end = async {
        loop {
            match receive.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return "its check has ended".to_owned(),
                Err(status) => return format!("{:?}", status.code()),
            }
        }
    };
    let both = async { futures::join!(flood, end).1 };
    let came = tokio::time::timeout(Duration::from_secs(50), both).await;
    Row {
        name,
        is_well: came.is_ok(),
        came: came.unwrap_or_else(|_| "goes on".into()),
    }
}

/// Many more connections than one address may have.
async fn comes_as_a_crowd(serving: &Serving) -> Row {
    let mut streams = Vec::new();
    for _ in 0..3 * PER_ADDRESS {
        let mut stream = raw::connect(CROWD, serving.api).await.unwrap();
        let _ = stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n")
            .await;
        streams.push(stream);
    }
    let mut open = 0;
    for stream in &mut streams {
        if until_closed(stream, Duration::from_millis(20))
            .await
            .is_none()
        {
            open += 1;
        }
    }
    Row {
        name: "384 connections of one address",
        came: format!("{open} stayed open"),
        is_well: open <= PER_ADDRESS && open > 0,
    }
}

/// Meanwhile: one check after another by somebody else, each within a time that a person would put up with.
async fn means_well(
    serving: &Serving,
    until: tokio_util::sync::CancellationToken,
) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !until.is_cancelled() {
        let began = Instant::now();
        serving.check(&serving.good).await;
        slowest = slowest.max(began.elapsed());
        count += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    (count, slowest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_callers_are_cut_off_and_nobody_else_notices() {
    let serving = Serving::start();
    let before = serving.peak();
    let check = serving.check(&serving.evil[0]).await;
    let over = tokio_util::sync::CancellationToken::new();
    let nothing = wire::PublicServiceCheckRequest::default();
    let large = wire::Observation {
        detail: "x".repeat(2 * 1024 * 1024),
        ..Default::default()
    };
    let large = wire::PublicServiceCheckRequest {
        message: Some(Ask::Observations(wire::ObservationBatch {
            observations: vec![large],
        })),
    };
    let attacks = async {
        let rows = futures::join!(
            says_nothing(&serving),
            drips_headers(&serving),
            drips_body(&serving),
            sends_headers(&serving, "200 headers (HTTP/1)", "x-a: b\r\n".repeat(200)),
            sends_headers(
                &serving,
                "a header of 1 MB (HTTP/1)",
                format!("x-a: {}\r\n", "b".repeat(1_000_000))
            ),
            never_ends_its_headers(&serving),
            resets_rapidly(&serving),
            keeps_its_window_shut(&serving, &check),
            never_reads_its_check(&serving),
            never_asks(&serving),
            floods_its_check(&serving, "a message of 2 MB", large, 20),
            floods_its_check(&serving, "100,000 messages in one check", nothing, 100_000),
            comes_as_a_crowd(&serving),
        );
        over.cancel();
        let (a, b, c, d, e, f, g, h, i, j, k, l, m) = rows;
        [a, b, c, d, e, f, g, h, i, j, k, l, m]
    };
    let (rows, (count, slowest)) = futures::join!(attacks, means_well(&serving, over.clone()));
    for row in &rows {
        println!(
            "{:<44}{:<48}{}",
            row.name,
            row.came,
            if row.is_well { "ok" } else { "WRONG" }
        );
    }
    let peak = serving.peak();
    let megabytes = |bytes: u64| bytes / (1024 * 1024);
    println!(
        "hostile callers: {} at once, {} cut off; meanwhile {count} checks of another caller, the slowest {:.1} s; memory {} MiB before, {} MiB at its peak",
        rows.len(),
        rows.iter().filter(|row| row.is_well).count(),
        slowest.as_secs_f64(),
        megabytes(before),
        megabytes(peak)
    );
    for row in &rows {
        assert!(row.is_well, "{}: {}", row.name, row.came);
    }
    assert!(
        count >= 5 && slowest < Duration::from_secs(10),
        "{count} checks, the slowest {slowest:?}"
    );
    assert!(peak < MEMORY, "{peak} bytes");
    // And afterwards everything is as it was.
    serving.check(&serving.good).await;
}
