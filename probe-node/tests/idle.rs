//! Waiting for somebody who is silent costs no processor time. Alone in its program, because it is the program's time
//! that is measured.

mod ground;

use std::time::Duration;

use ground::{Ground, request, stages};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

/// Processor time of this program, in the kernel's ticks of 10 ms (proc(5): fields 14 and 15, counted behind the name).
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_the_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<_> = behind_the_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn waiting_costs_nothing() {
    // A resolver that never answers, and listeners whose queues are full: SYNs are dropped without a word.
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut held = Vec::new();
    let mut ground = Ground::new();
    ground.resolvers(
        &["127.0.0.1".parse().unwrap()],
        resolver.local_addr().unwrap().port(),
    );
    ground.hosts("127.0.0.1 shop.example\n::1 shop.example\n");
    let mut port = 0;
    for (domain, host) in [(Domain::IPV4, "127.0.0.1"), (Domain::IPV6, "[::1]")] {
        let listener = Socket::new(domain, Type::STREAM, None).unwrap();
        let at: std::net::SocketAddr = format!("{host}:{port}").parse().unwrap();
        listener.bind(&at.into()).unwrap();
        listener.listen(0).unwrap();
        let at = listener.local_addr().unwrap().as_socket().unwrap();
        port = at.port();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&at, Duration::from_millis(200))
        {
            held.push(stream);
            assert!(held.len() < 16, "the queue never fills");
        }
        std::mem::forget(listener);
    }
    let prober = ground.prober();
    let before = ticks();
    let mut told =
        stages(&ground::run(&prober, request(&format!("tcp://shop.example:{port}"))).await);
    let spent = ticks() - before;
    told.sort();
    assert_eq!(
        told,
        [
            "dns ok",
            "dns ok",
            "dns timeout",
            "dns timeout",
            "tcp timeout",
            "tcp timeout"
        ]
    );
    assert!(
        spent <= 20,
        "{} ms of processor time for 1.5 s of waiting",
        spent * 10
    );
}
