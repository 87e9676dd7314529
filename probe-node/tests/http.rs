//! HTTP over real connections: statuses, both versions, bodies that stall, redirects, and the guard on each hop.

mod ground;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ground::{Ground, Server, answer_http, http, only, server_config, stages, tls};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use onlyhere_proto::{Observation, Outcome, SaidBy, Stage};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

async fn get(server: &Server) -> Vec<Observation> {
    Ground::new()
        .observe(&format!("http://127.0.0.1:{}/", server.port()))
        .await
}

fn pages(all: &[Observation]) -> Vec<String> {
    let pages = all.iter().filter(|o| o.stage == Stage::Http);
    pages
        .map(|o| format!("{} {} {}", o.host, http(o).status, o.outcome))
        .collect()
}

#[tokio::test]
async fn a_page_is_ok_with_status_headers_and_digest() {
    let server = Server::http(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nX-Secret: s\r\nVia: a cache\r\ncontent-length: 2\r\n\r\nhi",
    )
    .await;
    let all = get(&server).await;
    assert_eq!(stages(&all), ["tcp ok", "http ok"]);
    let page = http(&all[1]);
    assert_eq!(
        (page.version.as_str(), page.status, page.body_length),
        ("HTTP/1.1", 200, 2)
    );
    let headers: Vec<_> = page
        .headers
        .iter()
        .map(|h| format!("{}={}", h.name, h.value))
        .collect();
    assert_eq!(headers, ["server=nginx", "via=a cache", "content-length=2"]);
    // printf hi | sha256sum
    let digest = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    assert_eq!(page.body_sha256.as_deref(), Some(digest));
    assert_eq!(all[1].source, Some("127.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn statuses_of_400_and_more_are_told_as_such() {
    for (line, status) in [
        ("404 Not Found", 404),
        ("403 Forbidden", 403),
        ("503 Service Unavailable", 503),
        ("599 Odd", 599),
    ] {
        let server = Server::http(format!(
            "HTTP/1.1 {line}\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let all = get(&server).await;
        assert_eq!(all[1].outcome, Outcome::HttpStatus);
        assert_eq!(http(&all[1]).status, status);
        assert_eq!(http(&all[1]).headers[0].name, "retry-after");
    }
}

#[tokio::test]
async fn the_request_is_honest_and_whole() {
    let heard = Arc::new(Mutex::new(String::new()));
    let hears = heard.clone();
    let server = Server::tcp(move |mut stream| {
        let hears = hears.clone();
        async move {
            let request = answer_http(&mut stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
            *hears.lock().unwrap() = request;
        }
    })
    .await;
    let all = Ground::new()
        .observe(&format!("http://127.0.0.1:{}/a%20b?c=d", server.port()))
        .await;
    assert_eq!(stages(&all), ["tcp ok", "http ok"]);
    let heard = heard.lock().unwrap().to_ascii_lowercase();
    assert!(heard.starts_with("get /a%20b?c=d http/1.1\r\n"), "{heard}");
    assert!(
        heard.contains(&format!("host: 127.0.0.1:{}\r\n", server.port())),
        "{heard}"
    );
    assert!(heard.contains("user-agent: onlyhere/"), "{heard}");
    assert!(heard.contains("accept: */*\r\n"), "{heard}");
}

#[tokio::test]
async fn http_2_is_spoken_where_tls_agrees_on_it() {
    let ground = Ground::new();
    ground.hosts("127.0.0.1 shop.example\n");
    let config = Arc::new(server_config(
        ground.certificate(&["shop.example"]),
        &["h2", "http/1.1"],
    ));
    let server = Server::tcp(move |stream| {
        let acceptor = TlsAcceptor::from(config.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(
                |request: hyper::Request<hyper::body::Incoming>| async move {
                    let status = if request.uri().path() == "/down" {
                        503
                    } else {
                        200
                    };
                    let authority = request.uri().authority().unwrap().to_string();
                    let body = Full::new(Bytes::from("x".repeat(100_000)));
                    hyper::Response::builder()
                        .status(status)
                        .header("server", authority)
                        .body(body)
                },
            );
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await;
    for (path, outcome) in [("/", Outcome::Ok), ("/down", Outcome::HttpStatus)] {
        let all = ground
            .observe(&format!("https://shop.example:{}{path}", server.port()))
            .await;
        let page = only(&all, Stage::Http);
        assert_eq!(page.outcome, outcome);
        assert_eq!(http(page).version, "HTTP/2");
        assert_eq!(
            http(page).body_length,
            65_536,
            "64 KiB are read and no more"
        );
        assert_eq!(
            http(page).headers[0].value,
            format!("shop.example:{}", server.port())
        );
        assert_eq!(tls(only(&all, Stage::Tls)).alpn.as_deref(), Some("h2"));
    }
}

#[tokio::test]
async fn servers_that_do_not_answer_are_told_apart() {
    let closes = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let resets = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4]).await;
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;
    let silent = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    let talks = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    })
    .await;
    let endless = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream
            .write_all(&[b"x: ", &[b'y'; 1000][..], b"\r\n"].concat())
            .await
            .is_ok()
        {}
    })
    .await;
    for (server, outcome) in [
        (closes, Outcome::Closed),
        (resets, Outcome::Reset),
        (silent, Outcome::Timeout),
        (talks, Outcome::Closed),
        (endless, Outcome::Closed),
    ] {
        let all = get(&server).await;
        assert_eq!(all[1].outcome, outcome, "{:?}", all[1]);
        assert_eq!(
            all[1].said_by == Some(SaidBy::Rst),
            outcome == Outcome::Reset
        );
        assert!(all[1].facts.is_none());
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_a_timeout_and_a_stream_without_end_is_not() {
    async fn slow(head: &'static str) -> Server {
        Server::tcp(move |mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(head.as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        })
        .await
    }
    for (head, outcome) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nsome",
            Outcome::Timeout,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Outcome::Timeout,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n",
            Outcome::Ok,
        ),
        (
            "HTTP/1.1 503 Down\r\ncontent-length: 9999\r\n\r\nsome",
            Outcome::HttpStatus,
        ),
    ] {
        let server = slow(head).await;
        let began = Instant::now();
        let all = get(&server).await;
        assert_eq!(all[1].outcome, outcome, "{head}");
        assert!(http(&all[1]).status >= 200, "the header lines are told");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    let broken = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nsome").await;
    let all = get(&broken).await;
    assert_eq!(all[1].outcome, Outcome::Closed);
    assert_eq!(http(&all[1]).body_length, 4);
}

#[tokio::test]
async fn a_redirect_on_the_same_server_is_followed_at_the_same_address() {
    let server = Server::tcp(|mut stream| async move {
        let mut request = [0; 4096];
        let length = stream.read(&mut request).await.unwrap_or(0);
        let answer = match &request[..length] {
            r if r.starts_with(b"GET / ") => {
                "HTTP/1.1 302 Found\r\nlocation: /login?x#y\r\ncontent-length: 0\r\n\r\n"
            }
            r if r.starts_with(b"GET /login?x ") => {
                "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
            }
            _ => "HTTP/1.1 400 Bad\r\n\r\n",
        };
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let all = get(&server).await;
    assert_eq!(
        stages(&all),
        ["tcp ok", "http ok", "tcp ok", "http http_status"]
    );
    assert_eq!(http(&all[1]).location.as_deref(), Some("/login?x#y"));
    assert_eq!(http(&all[3]).status, 500);
}

#[tokio::test]
async fn a_redirect_to_another_server_is_a_visit_of_its_own_made_once() {
    let ground = Ground::new();
    ground.hosts("127.0.0.1 shop.example\n127.0.0.2 shop.example\n127.0.0.3 www.shop.example\n");
    let www = Server::tcp_at("127.0.0.3:0", |mut stream| async move {
        answer_http(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let answer = format!(
        "HTTP/1.1 301 Moved\r\nlocation: http://www.shop.example:{}/\r\ncontent-length: 0\r\n\r\n",
        www.port()
    );
    let first = Server::http(answer.clone()).await;
    let second = Server::tcp_at(&format!("127.0.0.2:{}", first.port()), move |mut stream| {
        let answer = answer.clone();
        async move {
            answer_http(&mut stream, &answer).await;
        }
    })
    .await;
    let all = ground
        .observe(&format!("http://shop.example:{}/", second.port()))
        .await;
    let mut seen = pages(&all);
    seen.sort();
    assert_eq!(
        seen,
        [
            "shop.example 301 ok",
            "shop.example 301 ok",
            "www.shop.example 200 ok"
        ]
    );
    let names: Vec<_> = all
        .iter()
        .filter(|o| o.stage == Stage::Dns)
        .map(|o| o.host.as_str())
        .collect();
    assert_eq!(names, ["shop.example", "www.shop.example"]);
}

#[tokio::test]
async fn a_circle_ends_without_blaming_the_target() {
    let server =
        Server::http("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n").await;
    let all = get(&server).await;
    assert_eq!(stages(&all), ["tcp ok", "http ok"]);
    assert_eq!(
        all[1].detail.as_deref(),
        Some("redirects in a circle, at least without cookies")
    );
}

#[tokio::test]
async fn an_endless_walk_ends_after_five_hops() {
    let server = Server::tcp(|mut stream| async move {
        let mut request = [0; 4096];
        let length = stream.read(&mut request).await.unwrap_or(0);
        let path = String::from_utf8_lossy(&request[..length])
            .split(' ')
            .nth(1)
            .unwrap_or("/")
            .to_owned();
        let answer =
            format!("HTTP/1.1 302 Found\r\nlocation: {path}x\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let all = get(&server).await;
    assert_eq!(pages(&all).len(), 6);
    assert!(
        all.last()
            .unwrap()
            .detail
            .as_ref()
            .unwrap()
            .contains("on and on")
    );
}

#[tokio::test]
async fn the_guard_is_asked_before_the_first_packet_and_on_every_redirect() {
    let inner = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    let location = format!("http://127.0.0.1:{}/latest/meta-data", inner.port());
    let outer = Server::tcp_at("127.0.0.2:0", move |mut stream| {
        let answer =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        async move {
            answer_http(&mut stream, &answer).await;
        }
    })
    .await;
    let target = format!("http://127.0.0.2:{}/", outer.port());

    let mut ground = Ground::new();
    ground.guarded(&["127.0.0.2"], &[]);
    let all = ground.observe(&target).await;
    assert_eq!(stages(&all), ["tcp ok", "http ok", "tcp not_measured"]);
    assert_eq!(all[2].host, "127.0.0.1");
    assert_eq!(
        all[2].detail.as_deref(),
        Some(
            "127.0.0.1 (loopback) is not tried from here: only public addresses are, and what guard.allow names by CIDR"
        )
    );

    ground.guarded(&[], &[]);
    assert_eq!(stages(&ground.observe(&target).await), ["tcp not_measured"]);

    // A public-looking name that resolves into this machine: told, because a sinkhole is, and not tried.
    ground.hosts("127.0.0.1 rebind.example\n");
    let all = ground
        .observe(&format!("http://rebind.example:{}/", inner.port()))
        .await;
    assert_eq!(stages(&all), ["dns ok", "tcp not_measured"]);

    ground.guarded(&["127.0.0.0/8"], &["rebind.example"]);
    let all = ground
        .observe(&format!("http://rebind.example:{}/", inner.port()))
        .await;
    assert_eq!(
        stages(&all),
        ["dns not_measured"],
        "a forbidden name is not even resolved"
    );
}
