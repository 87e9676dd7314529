//! What the owner of a vantage can count on: what is told of his network, what his address is good for, and what is
//! written down.

mod ground;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ground::{Ground, Server, answer_http, only, request, run, stages};
use onlyhere_probe_node::{
    Caps,
    journal::{self, Journal},
    user_agent,
};
use onlyhere_proto::{Facts, Outcome, Purpose, Stage, Target, VantageName, Way, limits};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_sinkhole_is_told_and_not_tried() {
    let mut ground = Ground::new();
    ground.guarded(&[], &[]);
    ground.hosts("0.0.0.0 shop.example\n");
    let all = ground.observe("tcp://shop.example:443").await;
    assert_eq!(stages(&all), ["dns ok", "tcp not_measured"]);
    let Some(Facts::Dns(facts)) = &all[0].facts else {
        panic!("{:?}", all[0])
    };
    assert_eq!(facts.answers[0].address.to_string(), "0.0.0.0");
    let said = all[1].detail.as_deref().unwrap();
    assert!(
        said.starts_with("0.0.0.0 (this network) is not tried from here"),
        "{said}"
    );
}

#[tokio::test]
async fn where_an_internal_name_leads_is_told_to_nobody() {
    let mut ground = Ground::new();
    ground.guarded(&["127.0.0.0/8"], &[]);
    ground.hosts("10.20.30.40 db.corp.example\n127.0.0.9 both.example\n192.168.7.7 both.example\n");
    let all = ground.observe("tcp://db.corp.example:5432").await;
    assert_eq!(stages(&all), ["dns not_measured", "tcp not_measured"]);
    for observation in &all {
        let said = observation.detail.as_deref().unwrap();
        assert_eq!(
            said,
            "from here db.corp.example leads to a special address (private), which is neither told nor tried"
        );
        assert_eq!(observation.address, None);
    }
    let whole = serde_json::to_string(&all).unwrap();
    assert!(!whole.contains("10.20.30.40"), "{whole}");

    // What the owner has opened is told as ever.
    let all = ground.observe("tcp://both.example:1").await;
    let dns = only(&all, Stage::Dns);
    let Some(Facts::Dns(facts)) = &dns.facts else {
        panic!("{dns:?}")
    };
    let told: Vec<_> = facts
        .answers
        .iter()
        .map(|a| a.address.to_string())
        .collect();
    assert_eq!(
        (dns.outcome, told),
        (Outcome::Ok, vec!["127.0.0.9".to_owned()])
    );
    assert!(!serde_json::to_string(&all).unwrap().contains("192.168.7.7"));
}

/// Counts the requests that a server which always fails gets of `checks` checks, as many at once.
async fn requests_at_a_failing_server(checks: usize, at_once: bool, answer: &'static str) -> usize {
    let heard = Arc::new(Mutex::new(0));
    let hears = heard.clone();
    let server = Server::tcp(move |mut stream| {
        let hears = hears.clone();
        async move {
            let mut head = [0; 2_048];
            if stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                *hears.lock().unwrap() += 1;
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
            }
        }
    })
    .await;
    let mut ground = Ground::new();
    ground.settings.caps = Some(Caps::default());
    ground.guarded(&["127.0.0.0/8"], &[]);
    ground.hosts("127.0.0.1 shop.example\n");
    let prober = ground.prober();
    let check = || {
        run(
            &prober,
            request(&format!("http://shop.example:{}/", server.port())),
        )
    };
    let mut all = Vec::new();
    if at_once {
        let seen = futures::future::join_all((0..checks).map(|_| check())).await;
        all.extend(seen.into_iter().flatten());
    } else {
        for _ in 0..checks {
            all.extend(check().await);
        }
    }
    let refused: Vec<_> = (all.iter())
        .filter(|o| o.stage == Stage::Http && o.outcome == Outcome::NotMeasured)
        .collect();
    assert_eq!(refused.len(), checks - 4, "{all:#?}");
    let said = refused[0].detail.as_deref().unwrap();
    assert!(said.contains("limits.failing_requests = 4"), "{said}");
    let connected = all
        .iter()
        .filter(|o| o.stage == Stage::Tcp && o.outcome == Outcome::Ok);
    assert_eq!(
        connected.count(),
        checks,
        "a connection is no failing request"
    );
    *heard.lock().unwrap()
}

#[tokio::test]
async fn a_failing_site_hears_four_requests_and_no_more() {
    let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(requests_at_a_failing_server(12, false, answer).await, 4);
    assert_eq!(requests_at_a_failing_server(12, true, answer).await, 4);
    assert_eq!(
        requests_at_a_failing_server(8, false, "").await,
        4,
        "resets"
    );
}

#[tokio::test]
async fn a_site_that_is_well_may_be_asked_again_and_again() {
    let server = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let mut ground = Ground::new();
    ground.settings.caps = Some(Caps::default());
    let prober = ground.prober();
    let check = || {
        run(
            &prober,
            request(&format!("http://127.0.0.1:{}/", server.port())),
        )
    };
    let seen = futures::future::join_all((0..20).map(|_| check())).await;
    for all in seen {
        assert_eq!(stages(&all), ["tcp ok", "http ok"]);
    }
}

#[tokio::test]
async fn a_request_that_is_withdrawn_half_way_counts_as_failed() {
    let heard = Arc::new(Mutex::new(0));
    let hears = heard.clone();
    let server = Server::tcp(move |mut stream| {
        let hears = hears.clone();
        async move {
            let mut head = [0; 2_048];
            if stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                *hears.lock().unwrap() += 1;
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let mut ground = Ground::new();
    ground.settings.caps = Some(Caps::default());
    let prober = ground.prober();
    for _ in 0..6 {
        let (sink, mut seen) = mpsc::channel(8);
        let cancel = CancellationToken::new();
        let asked = request(&format!("http://127.0.0.1:{}/", server.port()));
        let running = prober.run(VantageName::you(), asked, sink, cancel.clone());
        let withdraw = async {
            seen.recv().await.expect("the connection is told");
            tokio::time::sleep(Duration::from_millis(100)).await;
            cancel.cancel();
        };
        tokio::join!(running, withdraw);
    }
    assert_eq!(*heard.lock().unwrap(), 4);
}

#[tokio::test]
async fn one_ladder_is_climbed_at_a_time() {
    let server = Server::tcp(|_| async {}).await;
    let ground = Ground::new();
    let prober = ground.prober();
    let mut asked = request(&format!("tcp://127.0.0.1:{}", server.port()));
    asked.purpose = Purpose::Ladder;
    asked.way = Way {
        hops: Some(3),
        ..Way::default()
    };
    let seen = futures::future::join_all((0..4).map(|_| run(&prober, asked.clone()))).await;
    for all in seen {
        assert_eq!(all[0].outcome, Outcome::Ok, "each had its turn: {all:#?}");
    }
    // Whose time is over before its turn comes says so.
    let (_listener, _queued, silent) = silent();
    asked.target = Target::parse(&format!("tcp://127.0.0.1:{silent}")).unwrap();
    asked.deadline = Duration::from_millis(1_200);
    let mut late = asked.clone();
    late.deadline = Duration::from_millis(100);
    let slow = run(&prober, asked);
    let quick = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        run(&prober, late).await
    };
    let (first, second) = tokio::join!(slow, quick);
    assert!(
        first.iter().all(|o| o.outcome == Outcome::Timeout),
        "{first:#?}"
    );
    let said: Vec<_> = second
        .iter()
        .map(|o| o.detail.as_deref().unwrap())
        .collect();
    assert_eq!(said, ["another ladder is climbed from here"]);
}

/// A listener whose queue is full: further SYNs are dropped without a word.
fn silent() -> (Socket, Vec<std::net::TcpStream>, u16) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50));
    let queued = (0..8).map_while(|_| connect().ok()).collect();
    (listener, queued, address.port())
}

#[tokio::test]
async fn a_site_hears_who_asks_and_nothing_is_sent_to_it_but_the_head() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let server = Server::tcp(move |mut stream| {
        let hears = hears.clone();
        async move {
            let head = answer_http(&mut stream, "HTTP/1.1 200 OK\r\n\r\nhi").await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            hears.lock().unwrap().push((head, rest));
        }
    })
    .await;
    let mut ground = Ground::new();
    for (contact, says) in [
        ("", "(reachability check, not a crawler)"),
        ("https://noc.example/probe", "(+https://noc.example/probe)"),
    ] {
        ground.settings.user_agent = user_agent::of_a_probe(contact).unwrap();
        let url = format!("http://127.0.0.1:{}/a", server.port());
        assert_eq!(stages(&ground.observe(&url).await), ["tcp ok", "http ok"]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (head, rest) = heard.lock().unwrap().pop().expect("a request");
        let agent = format!(
            "user-agent: onlyhere-probe/{} {says}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        assert!(head.contains(&agent), "{head}");
        let lower = head.to_ascii_lowercase();
        assert!(head.starts_with("GET /a HTTP/1.1\r\n") && head.ends_with("\r\n\r\n"));
        assert!(
            !lower.contains("content-length") && !lower.contains("transfer-encoding"),
            "{head}"
        );
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn an_endless_page_is_read_for_64_kib() {
    let sent = Arc::new(Mutex::new(0_usize));
    let counts = sent.clone();
    let server = Server::tcp(move |mut stream| {
        let counts = counts.clone();
        async move {
            // So that what the kernel takes on is no more than a little.
            let _ = socket2::SockRef::from(&stream).set_send_buffer_size(8_192);
            let mut head = [0; 2_048];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while let Ok(length) = stream.write(&[b'x'; 4_096]).await {
                *counts.lock().unwrap() += length;
            }
        }
    })
    .await;
    let all = Ground::new()
        .observe(&format!("http://127.0.0.1:{}/", server.port()))
        .await;
    let page = ground::http(only(&all, Stage::Http));
    assert_eq!(page.body_length, limits::HTTP_BODY as u64);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sent = *sent.lock().unwrap();
    // What the two kernels hold between them is theirs: some megabytes at most, and then the connection was gone.
    assert!(sent < 8_000_000, "{sent}");
}

#[tokio::test]
async fn what_was_done_is_written_down_with_where_and_for_whom() {
    let server = Server::http(
        "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let mut ground = Ground::new();
    ground.guarded(&["127.0.0.0/8"], &["*:25"]);
    ground.hosts("10.20.30.40 db.corp.example\n");
    let journal = Journal::open(ground.directory(), "coordinator.example:7443", 100_000).unwrap();
    ground.settings.journal = Some(Arc::new(journal));
    let prober = ground.prober();
    let page = format!("http://127.0.0.1:{}/", server.port());
    for target in [
        page.as_str(),
        "tcp://db.corp.example:5432",
        "tcp://1.1.1.1:25",
    ] {
        run(&prober, request(target)).await;
    }
    prober.decline(&VantageName::you(), &request(&page), "busy");
    let told = journal::read(ground.directory(), None, 10).unwrap();
    assert_eq!(told.len(), 4);
    let first = &told[0];
    assert_eq!(first.coordinator, "coordinator.example:7443");
    assert_eq!(
        (first.check.as_str(), first.request),
        ("01JD0000000000000000000000", 7)
    );
    assert_eq!(
        (first.target.as_str(), first.connections),
        (page.as_str(), 1)
    );
    assert_eq!(first.addresses, [std::net::IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(first.outcomes, ["tcp ok", "tcp not_measured", "http ok"]);
    assert!(first.denied[0].starts_with("10.0.0.1 (private) is not tried from here"));
    assert_eq!(
        told[1].denied,
        ["db.corp.example leads to 10.20.30.40 (private)"]
    );
    assert_eq!((told[1].connections, told[1].addresses.len()), (0, 0));
    assert_eq!(
        told[2].denied,
        ["1.1.1.1 is not tried from here: the owner of this vantage forbids it"]
    );
    assert_eq!(told[3].denied, ["busy"]);

    // Whoever hangs up is written down as well.
    let (sink, seen) = mpsc::channel(1);
    drop(seen);
    prober
        .run(
            VantageName::you(),
            request(&page),
            sink,
            CancellationToken::new(),
        )
        .await;
    assert_eq!(
        journal::read(ground.directory(), None, 10).unwrap().len(),
        5
    );
}
