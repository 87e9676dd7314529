//! The lab proves itself before it judges anything else: distance, loss, translation and refusals are what the
//! kernel of a real network shows. None of Onlyhere's programs run here.

mod common;

use std::time::Duration;

use common::{eight_networks, in_lab};
use onlyhere_lab::lab::Internet;
use onlyhere_lab::service::nftables;

/// Round trip in milliseconds as ping sees it, the fastest of `count`.
fn fastest_ping(internet: &Internet, from: &str, to: &str, count: u32) -> Option<f64> {
    let count = count.to_string();
    let host = internet.host(from).expect("the host exists");
    let output = host
        .output("ping", &["-n", "-c", &count, "-i", "0.05", "-W", "1", to])
        .expect("ping starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            line.split_once("time=")?
                .1
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .min_by(f64::total_cmp)
}

#[test]
fn distance_is_what_the_plan_says() {
    in_lab("distance_is_what_the_plan_says", || {
        let internet = Internet::start(eight_networks(), 1).expect("the internet starts");
        // caller - gateway (LAN) - 6 - 3 - exchange - 8 - 0.3 - web, there and back
        for (from, to, planned) in [
            ("caller", "198.18.1.10", 34.6),
            ("caller", "2001:db8:1::10", 34.6),
            ("sgp", "198.18.1.10", 176.6),
            ("sibling", "198.18.3.20", 22.0),
        ] {
            let measured = fastest_ping(&internet, from, to, 4).expect("an answer");
            let ratio = measured / planned;
            assert!(
                (0.98..1.25).contains(&ratio),
                "{from} to {to}: {measured} ms, planned {planned} ms"
            );
        }
    });
}

#[test]
fn a_wire_can_be_cut_slowed_and_made_lossy_while_it_runs() {
    in_lab(
        "a_wire_can_be_cut_slowed_and_made_lossy_while_it_runs",
        || {
            let internet = Internet::start(eight_networks(), 1).expect("the internet starts");
            let wire = internet.wire("web").expect("the wire exists");
            wire.set_cut(true);
            assert_eq!(fastest_ping(&internet, "fra", "198.18.1.10", 3), None);
            wire.set_cut(false);
            wire.set_delay(Duration::from_millis(50));
            let slowed = fastest_ping(&internet, "fra", "198.18.1.10", 3).expect("an answer");
            assert!((126.0..160.0).contains(&slowed), "{slowed} ms");
            wire.set_delay(Duration::from_millis(1));
            wire.set_loss(0.5);
            let fra = internet.host("fra").expect("the host exists");
            let output = fra
                .output(
                    "ping",
                    &["-n", "-c", "100", "-i", "0.005", "-W", "1", "198.18.1.10"],
                )
                .expect("ping");
            let answered = String::from_utf8_lossy(&output.stdout)
                .matches("time=")
                .count();
            // Half is lost in each direction, so a quarter comes back; 4 sigma of the binomial is 17.
            assert!((8..=42).contains(&answered), "{answered} of 100 answered");
        },
    );
}

#[test]
fn a_home_shares_one_public_ipv4_address_and_routes_ipv6() {
    in_lab(
        "a_home_shares_one_public_ipv4_address_and_routes_ipv6",
        || {
            let internet = Internet::start(eight_networks(), 1).expect("the internet starts");
            let web = internet.host("web").expect("the host exists");
            let count = "add table inet seen
            add chain inet seen in { type filter hook input priority 0; }
            add rule inet seen in ip saddr 198.18.3.20 counter
            add rule inet seen in ip saddr 192.168.0.0/16 counter
            add rule inet seen in ip6 saddr 2001:db8:3:101::10 counter\n";
            nftables::load(web, count).expect("nft takes the rules");
            assert!(fastest_ping(&internet, "caller", "198.18.1.10", 2).is_some());
            assert!(fastest_ping(&internet, "caller", "2001:db8:1::10", 2).is_some());
            let seen = web
                .run("nft", &["list", "table", "inet", "seen"])
                .expect("nft");
            assert!(
                seen.contains("ip saddr 198.18.3.20 counter packets 2"),
                "{seen}"
            );
            assert!(
                seen.contains("ip saddr 192.168.0.0/16 counter packets 0"),
                "{seen}"
            );
            assert!(
                seen.contains("ip6 saddr 2001:db8:3:101::10 counter packets 2"),
                "{seen}"
            );
        },
    );
}

#[test]
fn refusals_look_like_those_of_a_real_network() {
    in_lab("refusals_look_like_those_of_a_real_network", || {
        let internet = Internet::start(eight_networks(), 1).expect("the internet starts");
        let caller = internet.host("caller").expect("the host exists");
        // nmap-free: bash's /dev/tcp gives errno's text.
        let connect = |address: &str, port: u16| {
            let script = format!("exec 3<>/dev/tcp/{address}/{port}");
            let output = caller
                .output("timeout", &["1", "bash", "-c", &script])
                .expect("bash starts");
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        };
        // A closed port: the kernel's RST.
        let (code, said) = connect("198.18.1.10", 443);
        assert_eq!(code, Some(1));
        assert!(said.contains("Connection refused"), "{said}");
        // The provider's router says prohibited.
        let isp = internet.host("isp-a").expect("the host exists");
        let rules = "table inet filter { chain forward { type filter hook forward priority 0;
            ip daddr 198.18.1.10 tcp dport 443 reject with icmp type admin-prohibited
            ip6 daddr 2001:db8:1::10 tcp dport 443 reject with icmpv6 type admin-prohibited
            tcp dport 444 drop
            }
            }\n";
        nftables::load(isp, rules).expect("nft takes the rules");
        let (code, said) = connect("198.18.1.10", 443);
        assert_eq!(code, Some(1));
        assert!(said.contains("No route to host"), "{said}");
        let (code, said) = connect("2001:db8:1::10", 443);
        assert_eq!(code, Some(1));
        assert!(said.contains("Permission denied"), "{said}");
        // Silence.
        assert_eq!(connect("198.18.1.10", 444).0, Some(124));
    });
}

#[test]
fn nothing_is_left_behind() {
    in_lab("nothing_is_left_behind", || {
        let internet = Internet::start(eight_networks(), 1).expect("the internet starts");
        let pids: Vec<i32> = internet.hosts().map(|(_, host)| host.pid()).collect();
        let dir = internet.dir().to_path_buf();
        drop(internet);
        assert!(!dir.exists());
        for pid in pids {
            let path = format!("/proc/{pid}/ns/net");
            assert!(
                !std::path::Path::new(&path).exists(),
                "{path} is still there"
            );
        }
    });
}
