//! What no coordinator of ours asks for, asked for all the same: addresses, resolvers, ladders, echoes and ways inside. In a
//! network of its own, where nftables counts every packet that leaves, nothing does.

mod ground;

use std::{net::IpAddr, process::Command, time::Duration};

use ground::{Ground, network, request, run};
use onlyhere_proto::{CheckRequest, Facts, Outcome, Purpose, ResolverKind, Stage, Way};

/// Packets that have left this network namespace, on any device, since the count began; but for the reports of groups that
/// the kernel makes when a device comes up.
fn packets() -> u64 {
    let output = Command::new("nft")
        .args(["list", "counter", "inet", "count", "left"])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, behind) = text.split_once("packets ").expect(&text);
    behind.split(' ').next().unwrap().parse().unwrap()
}

/// A device that leads everywhere, so that a packet that is let go has a way. The permitted neighbours are known, and
/// addresses are not looked for twice: otherwise the kernel would still be asking for them while other things are counted.
const EVERYWHERE: &str = "
sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
ip link set lo up
ip link add out0 type veth peer name in0
sysctl -qw net.ipv6.conf.in0.disable_ipv6=1
ip link set in0 up
ip address add 198.18.9.1/24 dev out0
ip address add 2001:db8:9::1/64 dev out0 nodad
ip link set out0 up
ip neighbour add 198.18.9.2 lladdr 02:00:00:00:00:02 dev out0 nud permanent
ip neighbour add 2001:db8:9::2 lladdr 02:00:00:00:00:02 dev out0 nud permanent
ip route add default dev out0
ip -6 route add default dev out0
nft -f - <<'END'
table inet count {
    counter left { }
    chain out {
        type filter hook output priority -400; policy accept;
        ip6 daddr ff02::/16 icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit } accept
        counter name left
    }
}
END
";

/// One request that must come to nothing, and what it is about.
type Row = (&'static str, CheckRequest);

fn at(addresses: &[&str], change: impl FnOnce(&mut CheckRequest)) -> CheckRequest {
    let mut asked = request("http://shop.example/");
    asked.addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    asked.attempt_timeout = Duration::from_millis(300);
    asked.deadline = Duration::from_millis(900);
    asked.ping = true;
    change(&mut asked);
    asked
}

/// Addresses that a public name is said to have.
fn addresses() -> Vec<Row> {
    let all = [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "203.0.113.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:a00:1::80ff:fffe",
        "2a00:1450::5efe:10.0.0.1",
    ];
    let climbs = all.map(|address| ("an address", at(&[address], |_| ())));
    let ladders = ["10.0.0.1", "127.0.0.1", "fe80::1", "64:ff9b::a00:1"].map(|address| {
        let ladder = at(&[address], |asked| {
            asked.purpose = Purpose::Ladder;
            asked.depth = Stage::Tcp;
            asked.way.hops = Some(8);
        });
        ("a ladder", ladder)
    });
    let echoes = ["10.0.0.1", "127.0.0.1", "::1", "224.0.0.1"].map(|address| {
        (
            "echo alone",
            at(&[address], |asked| asked.depth = Stage::Icmp),
        )
    });
    climbs.into_iter().chain(ladders).chain(echoes).collect()
}

/// Resolvers that are named, and ways past the ordinary one.
fn ways() -> Vec<Row> {
    let resolvers = [
        "127.0.0.1",
        "127.0.0.53",
        "10.0.0.53",
        "169.254.169.253",
        "fd00::53",
        "::ffff:10.0.0.53",
        "64:ff9b::a00:35",
    ];
    let named = resolvers.map(|resolver| {
        let asked = at(&[], |asked| {
            asked.depth = Stage::Dns;
            asked.resolvers = vec![resolver.parse().unwrap()];
        });
        ("a resolver", asked)
    });
    let public = ["198.18.9.2"];
    let by = |way: Way| at(&public, |asked| asked.way = way);
    let from = |source: &str| Way {
        source: Some(source.parse().unwrap()),
        ..Way::default()
    };
    let proxy = |url: &str| Way {
        proxy: Some(url.to_owned()),
        ..Way::default()
    };
    let device = |device: &str| Way {
        interface: Some(device.to_owned()),
        ..Way::default()
    };
    let past = [
        ("a source address that is not named", by(from("198.18.9.1"))),
        ("this machine as a source", by(from("127.0.0.1"))),
        ("a proxy inside", by(proxy("http://10.0.0.1:3128"))),
        (
            "a proxy on this machine",
            by(proxy("http://127.0.0.1:3128")),
        ),
        ("a device", by(device("lo"))),
        ("a device", by(device("out0"))),
    ];
    named.into_iter().chain(past).collect()
}

#[test]
fn what_a_hostile_coordinator_asks_for_sends_no_packet() {
    network::in_own_network(
        "what_a_hostile_coordinator_asks_for_sends_no_packet",
        || async {
            network::sh(EVERYWHERE);
            let mut ground = Ground::new();
            ground.guarded(&["198.18.9.0/24", "2001:db8:9::/64"], &[]);
            let prober = ground.prober();

            // A count that cannot rise would prove nothing.
            for permitted in ["198.18.9.2", "2001:db8:9::2", "198.18.9.1"] {
                let before = packets();
                run(&prober, at(&[permitted], |_| ())).await;
                assert!(
                    packets() > before,
                    "{permitted} is permitted and not counted"
                );
            }
            let before = packets();
            run(
                &prober,
                at(&[], |asked| {
                    asked.depth = Stage::Dns;
                    asked.resolvers = vec!["198.18.9.2".parse().unwrap()];
                }),
            )
            .await;
            assert!(packets() > before, "a permitted resolver is not counted");

            let rows: Vec<Row> = addresses().into_iter().chain(ways()).collect();
            let began = packets();
            for (about, asked) in &rows {
                let seen = run(&prober, asked.clone()).await;
                let judged = seen.iter().filter(|o| o.outcome == Outcome::NotMeasured);
                assert!(
                    judged.count() > 0,
                    "{about}: nothing was refused: {seen:#?}"
                );
                let told = |o: &&onlyhere_proto::Observation| o.outcome != Outcome::NotMeasured;
                assert_eq!(seen.iter().find(told), None, "{about}");
                let left = packets() - began;
                assert_eq!(
                    left, 0,
                    "{about}: {:?} {:?}",
                    asked.addresses, asked.resolvers
                );
            }
            println!(
                "hostile requests: {}, packets: {}",
                rows.len(),
                packets() - began
            );
        },
    );
}

#[tokio::test]
async fn a_refused_resolver_is_named_as_it_was_asked_for() {
    let mut ground = Ground::new();
    ground.guarded(&[], &[]);
    let inner: IpAddr = [10, 0, 0, 53].into();
    let mut asked = at(&[], |asked| asked.depth = Stage::Dns);
    asked.resolvers = vec![inner];
    let seen = ground.ask(asked).await;
    let named: Vec<_> = (seen.iter())
        .filter_map(|o| match &o.facts {
            Some(Facts::Dns(dns)) if dns.kind == ResolverKind::Configured => Some((o, dns)),
            _ => None,
        })
        .collect();
    assert_eq!(named.len(), 2, "{seen:#?}");
    for (observation, dns) in named {
        assert_eq!(dns.resolver, Some(inner));
        let said = observation.detail.as_deref().unwrap();
        assert!(
            said.starts_with("10.0.0.53 (private) is not tried from here"),
            "{said}"
        );
    }
}
