//! Through HTTP proxies: one written here that carries bytes for real, and tinyproxy.

mod ground;

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use ground::{Ground, Server, http, only, request, server_config, stages};
use onlyhere_probe_node::ProxyCredentials;
use onlyhere_proto::{CheckRequest, Facts, Observation, Outcome, Purpose, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// What a proxy was asked, the first line of each request.
type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy that leads every name to `target`, whatever port is asked for.
async fn proxy(target: SocketAddr) -> (Server, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let server = Server::tcp(move |mut client| {
        let log = log.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match client.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let text = String::from_utf8(head).unwrap();
            let line = text.lines().next().unwrap().to_owned();
            let tunnel = line.starts_with("CONNECT ");
            log.lock().unwrap().push(line);
            let mut server = TcpStream::connect(target).await.unwrap();
            if tunnel {
                client
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await
                    .unwrap();
            } else {
                server.write_all(text.as_bytes()).await.unwrap();
            }
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    (server, asked)
}

fn through(target: &str, proxy: &str) -> CheckRequest {
    let mut request = request(target);
    request.purpose = Purpose::ThroughProxy;
    request.way.proxy = Some(proxy.to_owned());
    request
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address)
}

fn detail(observation: &Observation) -> &str {
    observation.detail.as_deref().unwrap_or_default()
}

/// A proxy that wants `Aladdin` and his password (RFC 7617, 2), and says 407 to everybody else and 204 to him.
async fn gatekeeper() -> Server {
    Server::tcp(|mut client| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match client.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let text = String::from_utf8(head).unwrap().to_lowercase();
        let him = "proxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==";
        let answer = match (text.contains(him), text.starts_with("connect ")) {
            (false, _) => "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n",
            (true, true) => "HTTP/1.1 503 Not today\r\nContent-Length: 0\r\n\r\n",
            (true, false) => OK,
        };
        client.write_all(answer.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_gets_this_machines_own_and_no_other_proxy_does() {
    let mut ground = Ground::new();
    let (one, other) = (gatekeeper().await, gatekeeper().await);
    let credentials = ProxyCredentials::basic(&url(&one), "Aladdin", "open sesame");
    assert!(!format!("{credentials:?}").contains("QWxh"));
    ground.settings.proxy_credentials = vec![credentials];
    for (target, proxy, status) in [
        ("https://shop.example", &one, 503),
        ("https://shop.example", &other, 407),
        ("http://shop.example", &one, 200),
        ("http://shop.example", &other, 407),
    ] {
        let all = ground.ask(through(target, &url(proxy))).await;
        let Some(Facts::Http(http)) = &all.last().unwrap().facts else {
            panic!("{target}: {all:?}")
        };
        assert_eq!(http.status, status, "{target}");
        for observation in &all {
            let told = serde_json::to_string(observation).unwrap();
            assert!(!told.contains("sesame") && !told.contains("QWxh"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_tunnel_leads_to_the_targets_own_tls_and_page() {
    let ground = Ground::new();
    for alpn in ["http/1.1", "h2"] {
        // HTTP/2 is not spoken by the server of these tests: the handshake is what matters there.
        let config = server_config(ground.certificate(&["shop.example"]), &[alpn]);
        let site = Server::https(config, OK).await;
        let (proxy, asked) = proxy(site.address).await;
        let mut request = through("https://shop.example/cart", &url(&proxy));
        if alpn == "h2" {
            request.depth = Stage::Tls;
        }
        let all = ground.ask(request).await;
        let expected = ["tcp ok", "tls ok", "http ok"];
        assert_eq!(stages(&all), expected[..all.len()], "{all:#?}");
        assert_eq!(all.len(), if alpn == "h2" { 2 } else { 3 });
        for o in &all {
            assert_eq!(o.host, "shop.example");
            assert_eq!(
                (o.address, o.port),
                (Some(proxy.address.ip()), Some(proxy.port()))
            );
            assert_eq!(o.purpose, Purpose::ThroughProxy);
        }
        assert_eq!(
            *asked.lock().unwrap(),
            ["CONNECT shop.example:443 HTTP/1.1"]
        );
    }
}

#[tokio::test]
async fn plain_http_names_the_whole_url_and_redirects_stay_behind_the_proxy() {
    let site = Server::tcp(|mut stream| async move {
        let asked = ground::answer_http_by(&mut stream, |head| {
            if head.contains("/old") {
                "HTTP/1.1 302 Found\r\nLocation: http://www.shop.example:8080/new\r\nContent-Length: 0\r\n\r\n"
            } else {
                OK
            }
        });
        asked.await;
    })
    .await;
    let (proxy, asked) = proxy(site.address).await;
    let all = Ground::new()
        .ask(through("http://shop.example/old", &url(&proxy)))
        .await;
    assert_eq!(
        stages(&all),
        ["tcp ok", "http ok", "tcp ok", "http ok"],
        "{all:#?}"
    );
    assert_eq!(http(&all[1]).status, 302);
    assert_eq!(
        (all[0].host.as_str(), all[3].host.as_str()),
        ("shop.example", "www.shop.example")
    );
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "GET http://shop.example/old HTTP/1.1",
            "GET http://www.shop.example:8080/new HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_told_as_http_and_nothing_follows() {
    let answer = |text: &'static str| Server::http(text);
    let ground = Ground::new();
    for (proxy, outcome, status, says) in [
        (
            answer("HTTP/1.1 403 Filtered\r\nServer: wall\r\nContent-Length: 0\r\n\r\n").await,
            Outcome::HttpStatus,
            Some(403),
            "status 403",
        ),
        (
            answer("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n").await,
            Outcome::HttpStatus,
            Some(407),
            "status 407",
        ),
        (
            answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsad.").await,
            Outcome::HttpStatus,
            Some(503),
            "status 503",
        ),
        (
            answer("HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n")
                .await,
            Outcome::Closed,
            Some(302),
            "no tunnel was opened",
        ),
        (answer("220 mail.example ESMTP\r\n").await, Outcome::Closed, None, "does not speak HTTP"),
        (answer("").await, Outcome::Closed, None, "opened no tunnel"),
        (
            Server::tcp(|mut stream| async move {
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
            })
            .await,
            Outcome::Timeout,
            None,
            "opened no tunnel",
        ),
        (
            answer("HTTP/1.1 200 OK\r\n\r\nand more").await,
            Outcome::Closed,
            None,
            "nobody asked for",
        ),
    ] {
        let all = ground.ask(through("https://shop.example", &url(&proxy))).await;
        assert_eq!(all.len(), 2, "{all:#?}");
        assert_eq!(only(&all, Stage::Tcp).outcome, Outcome::Ok);
        let answer = only(&all, Stage::Http);
        assert_eq!(answer.outcome, outcome, "{answer:?}");
        assert_eq!(answer.facts.as_ref().map(|_| http(answer).status), status);
        assert!(detail(answer).contains(says), "{answer:?}");
        assert!(detail(answer).starts_with("the proxy opened no tunnel"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_as_tcp() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ground = Ground::new();
    let all = ground
        .ask(through("https://shop.example", &format!("http://{closed}")))
        .await;
    assert_eq!(stages(&all), ["tcp refused"]);
    assert_eq!(
        (all[0].address, all[0].port),
        (Some(closed.ip()), Some(closed.port()))
    );
    // A name that leads nowhere.
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    let mut ground = Ground::new();
    let all = ground
        .ask(through("https://shop.example", "http://proxy.example:3128"))
        .await;
    assert_eq!(stages(&all), ["tcp unreachable"]);
    assert!(
        detail(&all[0]).contains("proxy.example is not resolved"),
        "{all:?}"
    );
    ground.resolvers(&[[127, 0, 0, 1].into()], port);
    let all = ground
        .ask(through("https://shop.example", "http://proxy.example:3128"))
        .await;
    assert_eq!(stages(&all), ["tcp unreachable"]);
    assert!(detail(&all[0]).contains("(timeout)"), "{all:?}");
    // What cannot be spoken to.
    for (proxy, says) in [
        ("https://proxy.example", "plain HTTP only"),
        ("http://me:secret@proxy.example", "carries no password"),
        ("nonsense", "no URL"),
    ] {
        let all = ground.ask(through("https://shop.example", proxy)).await;
        assert_eq!(stages(&all), ["tcp not_measured"]);
        assert!(detail(&all[0]).contains(says) && !detail(&all[0]).contains("secret"));
    }
}

#[tokio::test]
async fn a_proxys_name_comes_from_the_hosts_file_and_its_addresses_are_tried_in_turn() {
    let ground = Ground::new();
    let config = server_config(ground.certificate(&["shop.example"]), &[]);
    let site = Server::https(config, OK).await;
    let (proxy, _) = proxy(site.address).await;
    ground.hosts("127.0.0.9 proxy.example\n127.0.0.1 proxy.example\n::1 proxy.example\n");
    let port = proxy.port();
    let way = format!("http://proxy.example:{port}");
    let all = ground.ask(through("https://shop.example", &way)).await;
    assert_eq!(stages(&all), ["tcp refused", "tcp ok", "tls ok", "http ok"]);
    let way = format!("http://localhost:{port}");
    let all = ground.ask(through("https://shop.example", &way)).await;
    assert_eq!(stages(&all), ["tcp ok", "tls ok", "http ok"]);
}

#[tokio::test]
async fn a_vantage_of_others_goes_through_no_proxy() {
    let mut ground = Ground::new();
    let (proxy, asked) = proxy(([127, 0, 0, 1], 1).into()).await;
    ground.guarded(&["127.0.0.0/8"], &[]);
    let all = ground
        .ask(through("https://shop.example", &url(&proxy)))
        .await;
    assert_eq!(stages(&all), ["tcp not_measured"]);
    assert!(detail(&all[0]).contains("caller's own machine"));
    let mut other = through("https://shop.example", &url(&proxy));
    other.purpose = Purpose::Target;
    assert_eq!(stages(&ground.ask(other).await), ["tcp not_measured"]);
    assert_eq!((proxy.connections(), asked.lock().unwrap().len()), (0, 0));
}

/// The real one; it ends with its handle.
struct Tinyproxy {
    child: Child,
    port: u16,
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tinyproxy {
    /// Lets tunnels lead to one port only.
    fn start(ground: &Ground, tunnels_to: u16) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let path = ground.directory().join("tinyproxy.conf");
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 10\nMaxClients 10\nAllow 127.0.0.1\nConnectPort {tunnels_to}\n"
        );
        std::fs::write(&path, config).unwrap();
        let child = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&path)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy (package tinyproxy-bin)");
        let proxy = Self { child, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return proxy;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("tinyproxy does not listen");
    }
}

#[tokio::test]
async fn tinyproxy_carries_and_refuses() {
    let ground = Ground::new();
    let config = server_config(ground.certificate(&["127.0.0.1"]), &[]);
    let site = Server::https(config, OK).await;
    let plain = Server::http(OK).await;
    let proxy = Tinyproxy::start(&ground, site.port());
    let way = format!("http://127.0.0.1:{}", proxy.port);
    let all = ground
        .ask(through(&format!("https://{}", site.address), &way))
        .await;
    assert_eq!(stages(&all), ["tcp ok", "tls ok", "http ok"], "{all:#?}");
    let all = ground
        .ask(through(&format!("http://{}", plain.address), &way))
        .await;
    assert_eq!(stages(&all), ["tcp ok", "http ok"], "{all:#?}");
    // A port that no tunnel may lead to.
    let all = ground
        .ask(through(&format!("https://{}", plain.address), &way))
        .await;
    assert_eq!(stages(&all), ["tcp ok", "http http_status"], "{all:#?}");
    assert_eq!(http(&all[1]).status, 403);
    // A target that does not listen.
    drop(plain);
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let all = ground.ask(through(&format!("http://{closed}"), &way)).await;
    assert_eq!(stages(&all), ["tcp ok", "http http_status"], "{all:#?}");
    assert!(http(&all[1]).status >= 500);
}
