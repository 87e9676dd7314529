//! Another source address, small segments and a device past the routing table, over real routers.

mod ground;

use std::{net::IpAddr, sync::Arc};

use ground::{
    Ground, Server,
    network::{Chain, in_own_network, sh},
    only, request, server_config, stages,
};
use onlyhere_proto::{CheckRequest, Facts, Observation, Outcome, Purpose, SaidBy, Stage, TcpFacts};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn facts(observation: &Observation) -> TcpFacts {
    match observation.facts {
        Some(Facts::Tcp(facts)) => facts,
        _ => panic!("no TCP facts: {observation:?}"),
    }
}

fn ask(purpose: Purpose, target: &str, address: IpAddr) -> CheckRequest {
    let mut request = request(target);
    request.purpose = purpose;
    request.addresses = vec![address];
    request
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// TLS at the host, with a certificate that does not fit into one segment.
fn tls_server(ground: &Ground, chain: &Chain, v6: bool) -> Server {
    let names: Vec<String> = (0..80).map(|n| format!("name-{n}.shop.example")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("shop.example");
    let config = server_config(ground.certificate(&names), &[]);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::from_std(chain.listen(v6, 8443)).unwrap();
    Server::on(listener, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut nothing = [0];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut nothing).await;
            }
        }
    })
}

#[test]
fn small_segments_come_through_where_large_packets_do_not() {
    in_own_network(
        "small_segments_come_through_where_large_packets_do_not",
        || async {
            let chain = Chain::of(2);
            // Devices that put segments together hide what is on the wire.
            sh("ip link set out0 gso_max_segs 1");
            chain.sh(3, "ip link set near0 gso_max_segs 1");
            chain.rule(2, "forward", "meta length > 600 drop");
            let ground = Ground::new();
            for v6 in [false, true] {
                let _server = tls_server(&ground, &chain, v6);
                let mut asked = ask(Purpose::Address, "tls://shop.example:8443", chain.host(v6));
                assert_eq!(
                    stages(&ground.ask(asked.clone()).await),
                    ["tcp ok", "tls timeout"]
                );
                asked.purpose = Purpose::SmallSegments;
                asked.way.max_segment = Some(536);
                let all = ground.ask(asked.clone()).await;
                assert_eq!(stages(&all), ["tcp ok", "tls ok"], "{all:#?}");
                assert_eq!(facts(&all[0]).path_mtu, Some(1_500));
                asked.way.max_segment = Some(1_200);
                assert_eq!(stages(&ground.ask(asked).await), ["tcp ok", "tls timeout"]);
            }
        },
    );
}

#[test]
fn the_path_mtu_is_what_a_router_asked_for() {
    in_own_network("the_path_mtu_is_what_a_router_asked_for", || async {
        let chain = Chain::of(2);
        for hop in [1, 2] {
            let (device, next) = [("far0", 1_400), ("near0", 1_400)][hop - 1];
            chain.sh(hop, &format!("ip link set {device} mtu {next}"));
        }
        let ground = Ground::new();
        for v6 in [false, true] {
            let listener = TcpListener::from_std(chain.listen(v6, 8443)).unwrap();
            let _server = Server::on(listener, |mut stream| async move {
                let mut all = Vec::new();
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await;
            });
            let to = std::net::SocketAddr::new(chain.host(v6), 8443);
            let asked = ask(Purpose::Address, "tcp://shop.example:8443", chain.host(v6));
            let before = ground.ask(asked.clone()).await;
            assert_eq!(facts(&before[0]).path_mtu, Some(1_500));
            // Something large goes along the path, and the router says what is too big.
            let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, &[0; 20_000])
                .await
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let after = ground.ask(asked).await;
            assert_eq!(facts(&after[0]).path_mtu, Some(1_400), "{to}");
        }
    });
}

#[test]
fn another_source_address_is_tried_from() {
    in_own_network("another_source_address_is_tried_from", || async {
        let chain = Chain::of(2);
        sh("ip address add 198.18.1.7/24 dev out0
            ip address add 2001:db8:1::7/64 dev out0 nodad preferred_lft 0");
        chain.rule(
            3,
            "input",
            "ip saddr 198.18.1.1 tcp dport 8443 reject with tcp reset
            ip6 saddr 2001:db8:1::1 tcp dport 8443 reject with icmpv6 port-unreachable",
        );
        let ground = Ground::new();
        for (v6, ordinary, other, said_by) in [
            (false, "198.18.1.1", "198.18.1.7", "rst"),
            (true, "2001:db8:1::1", "2001:db8:1::7", "icmp"),
        ] {
            let _server = tls_server(&ground, &chain, v6);
            let mut asked = ask(Purpose::Address, "tls://shop.example:8443", chain.host(v6));
            let all = ground.ask(asked.clone()).await;
            assert_eq!(stages(&all), ["tcp refused"], "{all:#?}");
            assert_eq!(all[0].source, Some(address(ordinary)));
            let rst = all[0].said_by == Some(SaidBy::Rst);
            assert_eq!(rst, said_by == "rst");
            asked.purpose = Purpose::Source;
            asked.way.source = Some(address(other));
            let all = ground.ask(asked.clone()).await;
            assert_eq!(stages(&all), ["tcp ok", "tls ok"]);
            for o in &all {
                assert_eq!(
                    (o.source, o.purpose),
                    (Some(address(other)), Purpose::Source)
                );
            }
            // Not one of ours, not of this family, not one that reaches anybody: our own lack.
            for (source, says) in [
                (
                    if v6 { "2001:db8:1::99" } else { "198.18.1.99" },
                    "none of this machine's",
                ),
                (
                    if v6 { "198.18.1.7" } else { "2001:db8:1::7" },
                    "not of one family",
                ),
                (
                    if v6 { "::1" } else { "127.0.0.1" },
                    "nobody but this machine",
                ),
            ] {
                asked.way.source = Some(address(source));
                let all = ground.ask(asked.clone()).await;
                assert_eq!(stages(&all), ["tcp not_measured"]);
                assert!(all[0].detail.as_ref().unwrap().contains(says), "{all:?}");
                assert_eq!(all[0].address, Some(chain.host(v6)));
            }
        }
    });
}

#[test]
fn a_probe_tries_from_no_address_but_those_its_owner_names() {
    in_own_network(
        "a_probe_tries_from_no_address_but_those_its_owner_names",
        || async {
            let chain = Chain::of(1);
            sh("ip address add 198.18.1.7/24 dev out0
            ip address add 198.18.1.8/24 dev out0");
            let mut ground = Ground::new();
            ground.guarded(&["198.18.0.0/15"], &[]);
            ground.settings.source_addresses = vec![address("198.18.1.7")];
            let _server = tls_server(&ground, &chain, false);
            let mut asked = ask(
                Purpose::Source,
                "tls://shop.example:8443",
                chain.host(false),
            );
            asked.way.source = Some(address("198.18.1.7"));
            assert_eq!(
                stages(&ground.ask(asked.clone()).await),
                ["tcp ok", "tls ok"]
            );
            asked.way.source = Some(address("198.18.1.8"));
            let all = ground.ask(asked.clone()).await;
            assert_eq!(stages(&all), ["tcp not_measured"]);
            assert!(
                all[0]
                    .detail
                    .as_ref()
                    .unwrap()
                    .contains("owner lets it try from")
            );
            assert_eq!(
                (all[0].address, all[0].port),
                (Some(chain.host(false)), Some(8443))
            );
            // Past its own tunnel or proxy it goes for nobody.
            asked.way = Default::default();
            asked.purpose = Purpose::Direct;
            let all = ground.ask(asked.clone()).await;
            assert_eq!(stages(&all), ["tcp not_measured"]);
            asked.purpose = Purpose::ThroughProxy;
            asked.way.proxy = Some("http://198.18.2.2:8443".to_owned());
            let all = ground.ask(asked).await;
            assert_eq!(stages(&all), ["tcp not_measured"]);
            assert!(
                all[0]
                    .detail
                    .as_ref()
                    .unwrap()
                    .contains("caller's own machine")
            );
        },
    );
}

#[test]
fn a_device_leads_past_the_routing_table() {
    in_own_network("a_device_leads_past_the_routing_table", || async {
        let chain = Chain::of(2);
        // A tunnel that swallows everything has taken the default route over, as VPN clients do.
        sh("ip link add tun7 type veth peer name tun8
            ip link set tun8 up
            ip address add 198.19.0.1/32 dev tun7
            ip address add 2001:db8:ffff::1/128 dev tun7 nodad
            ip link set tun7 up
            ip route add 0.0.0.0/1 dev tun7
            ip route add 128.0.0.0/1 dev tun7
            ip -6 route add 8000::/1 dev tun7
            ip -6 route add ::/1 dev tun7");
        let ground = Ground::new();
        for (v6, source) in [(false, "198.18.1.1"), (true, "2001:db8:1::1")] {
            let _server = tls_server(&ground, &chain, v6);
            let mut asked = ask(Purpose::Address, "tls://shop.example:8443", chain.host(v6));
            assert_eq!(stages(&ground.ask(asked.clone()).await), ["tcp timeout"]);
            asked.purpose = Purpose::Direct;
            asked.way.interface = Some("out0".to_owned());
            let all = ground.ask(asked.clone()).await;
            assert_eq!(stages(&all), ["tcp ok", "tls ok"], "{all:#?}");
            assert_eq!(only(&all, Stage::Tcp).source, Some(address(source)));
            asked.way.interface = Some("eth7".to_owned());
            let all = ground.ask(asked.clone()).await;
            assert_eq!(stages(&all), ["tcp not_measured"]);
            assert_eq!(
                all[0].detail.as_deref(),
                Some("there is no device eth7 here")
            );
            // A device that leads nowhere is no failure of the target.
            asked.way.interface = Some("lo".to_owned());
            let all = ground.ask(asked).await;
            assert_eq!(all[0].outcome, Outcome::NotMeasured, "{all:?}");
        }
    });
}
