//! Targets and resolvers that would keep a vantage busy for ever, fill it up, or bring it down.

mod ground;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use ground::{ATTEMPT, Ground, Server, answer_http_by, only, server_config, stages};
use onlyhere_proto::{Observation, Outcome, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

const TOO_MUCH: &str = "more than 512 KiB came, and the answer was not over";

/// Reads what has come of a request, and then sends `flood` for as long as it is taken.
async fn flooding(flood: &'static [u8]) -> Server {
    Server::tcp(move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let many = flood.repeat(64 * 1024 / flood.len());
        while stream.write_all(&many).await.is_ok() {}
    })
    .await
}

async fn get(server: &Server) -> (Observation, Duration) {
    let start = Instant::now();
    let all = Ground::new()
        .observe(&format!("http://127.0.0.1:{}/", server.port()))
        .await;
    (only(&all, Stage::Http).clone(), start.elapsed())
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    for flood in [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
    ] {
        let (page, took) = get(&flooding(flood).await).await;
        assert_eq!(page.outcome, Outcome::Closed, "{page:?}");
        assert_eq!(page.detail.as_deref(), Some(TOO_MUCH));
        assert!(took < ATTEMPT, "{took:?}");
    }
}

#[tokio::test]
async fn another_protocol_that_nobody_asked_for_is_no_page() {
    let server = Server::http("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    let (page, _) = get(&server).await;
    assert_eq!(page.outcome, Outcome::HttpStatus, "{page:?}");
}

/// Agrees on HTTP/2 and sends frames without reading; tells when the other side has hung up.
async fn http2(ground: &Ground, frames: Vec<u8>) -> (Server, mpsc::UnboundedReceiver<()>) {
    let config = server_config(ground.certificate(&["127.0.0.1"]), &["h2"]);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (gone, hung_up) = mpsc::unbounded_channel();
    let server = Server::tcp(move |stream| {
        let (acceptor, gone, frames) = (acceptor.clone(), gone.clone(), frames.clone());
        async move {
            // Little room, so that answers are stuck soon.
            let _ = socket2::SockRef::from(&stream).set_recv_buffer_size(4096);
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            while stream.write_all(&frames).await.is_ok() {}
            let _ = gone.send(());
        }
    })
    .await;
    (server, hung_up)
}

/// PING, which wants to be answered.
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
/// HEADERS of stream 1 with `:status: 103`.
const HINTS: &[u8] = &[0, 0, 5, 1, 4, 0, 0, 0, 1, 0x08, 3, b'1', b'0', b'3'];

#[tokio::test]
async fn a_connection_ends_with_its_attempt_though_nobody_takes_what_it_would_still_say() {
    let ground = Ground::new();
    let (server, mut hung_up) = http2(&ground, PING.repeat(1_000)).await;
    let prober = ground.prober();
    let request = ground::request(&format!("https://127.0.0.1:{}/", server.port()));
    let all = ground::run(&prober, request).await;
    assert_ne!(only(&all, Stage::Http).outcome, Outcome::Ok);
    let soon = Duration::from_secs(2);
    let gone = tokio::time::timeout(soon, hung_up.recv()).await;
    assert!(gone.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn interim_answers_over_http2_are_bounded_too() {
    let ground = Ground::new();
    let (server, _hung_up) = http2(&ground, HINTS.repeat(1_000)).await;
    let target = format!("https://127.0.0.1:{}/", server.port());
    let all = ground.observe(&target).await;
    let page = only(&all, Stage::Http);
    assert_eq!(page.outcome, Outcome::Closed, "{page:?}");
    assert!(
        page.detail.as_deref().unwrap_or("").contains("512 KiB"),
        "{page:?}"
    );
}

/// Every host redirects to the next one. It is followed with little stack: how deep it goes is not the target's choice.
#[test]
fn redirects_from_host_to_host_need_no_deeper_stack() {
    let walk = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let ground = Ground::new();
            let names: String = (0..9)
                .map(|n| format!("127.0.0.1 h{n}.example\n"))
                .collect();
            ground.hosts(&names);
            let server = Server::tcp(|mut stream| async move {
                let port = stream.local_addr().unwrap().port();
                answer_http_by(&mut stream, |request| {
                    let host = request
                        .split("Host: h")
                        .nth(1)
                        .or(request.split("host: h").nth(1));
                    let number: u32 = host.and_then(|h| h[..1].parse().ok()).unwrap_or(0);
                    let next = number + 1;
                    format!(
                        "HTTP/1.1 302 Found\r\nlocation: http://h{next}.example:{port}/\r\n\
                         content-length: 0\r\n\r\n"
                    )
                    .leak()
                })
                .await;
            })
            .await;
            ground
                .observe(&format!("http://h0.example:{}/", server.port()))
                .await
        })
    };
    let thread = std::thread::Builder::new()
        .stack_size(600 * 1024)
        .spawn(walk);
    let all = thread.unwrap().join().unwrap();
    let hosts: Vec<_> = all
        .iter()
        .filter(|o| o.stage == Stage::Http)
        .map(|o| o.host.clone())
        .collect();
    assert_eq!(hosts.len(), 6, "{hosts:?}");
    let last = all.iter().rfind(|o| o.stage == Stage::Http).unwrap();
    assert!(
        last.detail
            .as_deref()
            .unwrap_or("")
            .starts_with("redirects on and on"),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_redirect_does_not_wait_for_an_address_that_is_silent() {
    let ground = Ground::new();
    // The port is open at one address; at the other a full queue makes it silent.
    let server = Server::tcp(|mut stream| async move {
        answer_http_by(&mut stream, |request| {
            if request.starts_with("GET / ") {
                "HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            }
        })
        .await;
    })
    .await;
    let silent = Server::tcp_at(
        &format!("127.0.0.2:{}", server.port()),
        |mut stream| async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        },
    )
    .await;
    ground.hosts("127.0.0.1 shop.example\n127.0.0.2 shop.example\n");
    let all = ground
        .observe(&format!("http://shop.example:{}/", silent.port()))
        .await;
    let pages: Vec<_> = all
        .iter()
        .filter(|o| o.stage == Stage::Http)
        .map(|o| format!("{} {}", o.address.unwrap(), o.outcome))
        .collect();
    assert_eq!(
        pages,
        ["127.0.0.1 ok", "127.0.0.1 ok", "127.0.0.2 timeout"],
        "in this order"
    );
}

/// Whoever asks is flooded with answers to other questions, as fast as one thread can.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn answers_to_other_questions_do_not_keep_anybody_busy() {
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = resolver.local_addr().unwrap().port();
    let flood = tokio::spawn(async move {
        let mut query = [0; 512];
        loop {
            let (length, from) = resolver.recv_from(&mut query).await.unwrap();
            query[0] ^= 0xff;
            let until = Instant::now() + ATTEMPT * 2;
            while Instant::now() < until {
                let _ = resolver.try_send_to(&query[..length], from);
            }
        }
    });
    let mut ground = Ground::new();
    ground.resolvers(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], port);
    let server = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let prober = ground.prober();
    let flooded = ground::run(&prober, ground::request("dns://shop.example"));
    let honest = async {
        // The flood is on by then.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let target = format!("http://127.0.0.1:{}/", server.port());
        let start = Instant::now();
        let all = ground::run(&prober, ground::request(&target)).await;
        (all, start.elapsed())
    };
    let (flooded, (honest, took)) = tokio::join!(flooded, honest);
    assert_eq!(stages(&honest), ["tcp ok", "http ok"]);
    assert!(took < ATTEMPT / 2, "{took:?}");
    // The flood is for one of the two questions; the other stays without an answer.
    let outcomes: Vec<_> = flooded
        .iter()
        .map(|observation| observation.outcome)
        .collect();
    assert!(outcomes.contains(&Outcome::Servfail), "{flooded:?}");
    flood.abort();
}
