//! The targets that must not be tried, each in its disguise, and what leads to them: names, pages, resolvers.

use super::row::{Asker, End, Forbidden};

/// What a page of the site answers: its path, status and `Location`.
pub(super) const PAGES: [(&str, u16, &str); 26] = [
    ("absolute", 302, "http://127.0.0.1/"),
    ("moved", 301, "http://10.0.0.1/"),
    ("other", 303, "http://192.168.1.1/"),
    ("temporary", 307, "http://172.16.0.1/"),
    ("permanent", 308, "http://100.64.0.1/"),
    ("relative", 302, "//169.254.169.254/latest/meta-data/"),
    ("decimal", 302, "http://2130706433/"),
    ("hexadecimal", 302, "http://0x7f.1/"),
    ("octal", 302, "http://0177.0.0.1/"),
    (
        "wide",
        302,
        "http://%EF%BC%91%EF%BC%92%EF%BC%97.%EF%BC%90.%EF%BC%90.%EF%BC%91/",
    ),
    ("dots", 302, "http://127%E3%80%820%E3%80%820%E3%80%821/"),
    ("localhost", 302, "http://localhost/"),
    ("final-dot", 302, "http://LOCALHOST./"),
    ("below", 302, "http://a.b.localhost/"),
    ("six", 302, "http://[::1]/"),
    ("mapped", 302, "http://[::ffff:169.254.169.254]/"),
    ("nat64", 302, "http://[64:ff9b::7f00:1]/"),
    ("port", 302, "http://127.0.0.1:22/"),
    ("https", 302, "https://10.0.0.1/"),
    ("name", 302, "http://loop.evil.example/"),
    ("alias", 302, "http://alias.evil.example/"),
    ("twice", 302, "/to/absolute"),
    ("rebinding", 302, "http://rebind.example:8080/"),
    ("user", 302, "http://shop.example@127.0.0.1/"),
    ("file", 302, "file:///etc/passwd"),
    ("gopher", 302, "gopher://127.0.0.1:6379/_INFO"),
];

/// The zone that lies: owner, type, data.
pub(super) const RECORDS: [(&str, &str, &str); 25] = [
    ("loop", "A", "127.0.0.1"),
    ("private", "A", "10.0.0.1"),
    ("meta", "A", "169.254.169.254"),
    ("azure", "A", "168.63.129.16"),
    ("shared", "A", "100.64.0.1"),
    ("zero", "A", "0.0.0.0"),
    ("all", "A", "255.255.255.255"),
    ("many", "A", "224.0.0.251"),
    ("six", "AAAA", "::1"),
    ("null", "AAAA", "::"),
    ("ula", "AAAA", "fd00:ec2::254"),
    ("link", "AAAA", "fe80::1"),
    ("mapped", "AAAA", "::ffff:127.0.0.1"),
    ("nat64", "AAAA", "64:ff9b::a9fe:a9fe"),
    ("tofour", "AAAA", "2002:7f00:1::"),
    ("teredo", "AAAA", "2001:0:a00:1::80ff:fffe"),
    ("isatap", "AAAA", "2a00:1450::5efe:a00:1"),
    ("alias", "CNAME", "loop"),
    ("chain", "CNAME", "chain2"),
    ("chain2", "CNAME", "chain3"),
    ("chain3", "CNAME", "private"),
    ("both", "A", "198.18.1.10"),
    ("both", "A", "10.0.0.1"),
    ("*.wild", "A", "127.0.0.1"),
    ("inside", "NS", "ns.inside"),
];

/// The address of the name server inside somebody's network, which a referral gives as glue.
pub(super) const INNER_SERVER: (&str, &str) = ("ns.inside", "10.0.0.53");
/// What resolvers that block say of a name, and an alias of that: it means the same everywhere and may be told.
const TELLS_NOTHING: [&str; 5] = ["0.0.0.0", "\"::\"", "127.0.0.1", "\"::1\"", "loop.evil"];
/// A name that the probe's own hosts file knows.
pub(super) const HOSTS_ENTRY: (&str, &str) = ("db.corp.example", "192.168.77.1");

/// All of them.
pub(super) fn all() -> Vec<Forbidden> {
    let mut rows = Vec::new();
    rows.extend(LITERALS.map(|(about, target)| row(about, target)));
    rows.extend(OTHER_LAYERS.map(|(about, target)| row(about, target)));
    rows.extend(NO_TARGETS.map(|(about, target)| Forbidden {
        end: End::NoTarget,
        ..row(about, target)
    }));
    rows.extend(THIS_MACHINE.map(|target| Forbidden {
        // The coordinator has refused it before.
        asker: Asker::OwnerOnly,
        ..row("this machine's name", target)
    }));
    rows.extend(NAMES.map(|(about, target, secret)| Forbidden {
        secret: Some(secret).filter(|secret| !TELLS_NOTHING.contains(secret)),
        ..row(about, target)
    }));
    rows.extend(PAGES.map(|(page, _, location)| Forbidden {
        end: match page {
            "user" | "file" | "gopher" => End::NotFollowed,
            _ => End::Guard,
        },
        ..row(
            &format!("redirect to {location}"),
            &match page {
                // The name is resolved twice on the way, and the second answer is another one.
                "rebinding" => format!("http://rebind.example/to/{page}"),
                _ => format!("http://shop.example/to/{page}"),
            },
        )
    }));
    rows.push(Forbidden {
        asker: Asker::CoordinatorOnly,
        end: End::NameServer,
        secret: Some(INNER_SERVER.1),
        ..row(
            "zone whose name server is inside",
            "http://www.inside.evil.example/",
        )
    });
    rows
}

fn row(about: &str, target: &str) -> Forbidden {
    Forbidden {
        about: about.to_owned(),
        target: target.to_owned(),
        asker: Asker::Both,
        end: End::Guard,
        secret: None,
    }
}

const LITERALS: [(&str, &str); 79] = [
    ("loopback", "http://127.0.0.1/"),
    ("loopback", "http://127.255.255.254:8080/"),
    ("this network", "http://0.0.0.0/"),
    ("this network", "http://0.1.2.3/"),
    ("private", "http://10.0.0.1/"),
    ("private", "http://172.16.0.1/"),
    ("private", "http://172.31.255.254/"),
    ("private", "http://192.168.1.1/"),
    ("metadata", "http://169.254.169.254/latest/meta-data/"),
    ("metadata of containers", "http://169.254.170.2/v2/"),
    (
        "metadata of Azure",
        "http://168.63.129.16/machine?comp=goalstate",
    ),
    ("metadata of Alibaba", "http://100.100.100.200/latest/"),
    ("metadata of Oracle", "http://192.0.0.192/latest/"),
    ("link-local", "http://169.254.0.1/"),
    ("carrier-grade NAT", "http://100.64.0.1/"),
    ("protocol assignments", "http://192.0.0.8/"),
    ("protocol assignments", "http://192.0.0.170/"),
    ("documentation", "http://192.0.2.1/"),
    ("documentation", "http://198.51.100.1/"),
    ("documentation", "http://203.0.113.1/"),
    ("benchmarking", "http://198.19.0.1/"),
    ("6to4 relay", "http://192.88.99.1/"),
    ("AS112", "http://192.31.196.1/"),
    ("AMT", "http://192.52.193.1/"),
    ("AS112", "http://192.175.48.1/"),
    ("multicast", "http://224.0.0.1/"),
    ("multicast", "http://239.255.255.250/"),
    ("reserved", "http://240.0.0.1/"),
    ("broadcast", "http://255.255.255.255/"),
    ("decimal", "http://2130706433/"),
    ("decimal", "http://2852039166/"),
    ("decimal", "http://3232235777/"),
    ("decimal zero", "http://0/"),
    ("hexadecimal", "http://0x7f000001/"),
    ("hexadecimal", "http://0xA9FEA9FE/"),
    ("hexadecimal parts", "http://0x7f.1/"),
    ("hexadecimal parts", "http://0X7F.0x0.0x0.0x1/"),
    ("octal", "http://017700000001/"),
    ("octal parts", "http://0177.0.0.1/"),
    ("octal parts", "http://0251.0376.0251.0376/"),
    ("octal, decimal and hexadecimal", "http://0300.168.0x1.1/"),
    ("short", "http://127.1/"),
    ("short", "http://127.0.1/"),
    ("short", "http://10.1/"),
    ("final dot", "http://127.0.0.1./"),
    (
        "full-width digits",
        "http://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}/",
    ),
    ("ideographic dots", "http://127\u{3002}0\u{3002}0\u{3002}1/"),
    (
        "circled digits",
        "http://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}/",
    ),
    ("loopback", "http://[::1]/"),
    ("loopback, written out", "http://[0:0:0:0:0:0:0:1]/"),
    ("unspecified", "http://[::]/"),
    ("link-local", "http://[fe80::1]/"),
    ("private", "http://[fc00::1]/"),
    ("metadata", "http://[fd00:ec2::254]/"),
    ("site-local", "http://[fec0::1]/"),
    ("multicast", "http://[ff02::1]/"),
    ("discard", "http://[100::1]/"),
    ("dummy prefix", "http://[100:0:0:1::1]/"),
    ("benchmarking", "http://[2001:2::1]/"),
    ("ORCHID", "http://[2001:20::1]/"),
    ("documentation", "http://[2001:db8:ffff::1]/"),
    ("documentation", "http://[3fff::1]/"),
    ("segment routing", "http://[5f00::1]/"),
    ("AS112", "http://[2620:4f:8000::1]/"),
    ("given to nobody", "http://[4000::1]/"),
    ("IPv4-mapped", "http://[::ffff:127.0.0.1]/"),
    ("IPv4-mapped", "http://[::ffff:a9fe:a9fe]/"),
    ("IPv4-compatible", "http://[::127.0.0.1]/"),
    ("IPv4-translated", "http://[::ffff:0:10.0.0.1]/"),
    ("NAT64", "http://[64:ff9b::7f00:1]/"),
    ("NAT64", "http://[64:ff9b::169.254.169.254]/"),
    ("NAT64, local", "http://[64:ff9b:1::10.0.0.1]/"),
    ("NAT64, local, 48 bits", "http://[64:ff9b:1:a00:0:100::]/"),
    ("6to4", "http://[2002:7f00:1::1]/"),
    ("6to4", "http://[2002:a9fe:a9fe::]/"),
    ("Teredo server", "http://[2001:0:a00:1::f5ff:fffe]/"),
    ("Teredo client", "http://[2001:0:101:101::80ff:fffe]/"),
    ("ISATAP", "http://[2a00:1450::5efe:10.0.0.1]/"),
    ("ISATAP", "http://[2a00:1450::200:5efe:127.0.0.1]/"),
];

const OTHER_LAYERS: [(&str, &str); 8] = [
    ("echo", "ping://127.0.0.1"),
    ("echo", "ping://10.0.0.1"),
    ("echo", "ping://[fe80::1]"),
    ("TCP", "tcp://169.254.169.254:80"),
    ("TCP", "10.0.0.1:6379"),
    ("TLS", "tls://[::1]:853"),
    ("SSH", "ssh://192.168.0.1"),
    ("mail", "smtp://172.16.0.25"),
];

const NO_TARGETS: [(&str, &str); 8] = [
    ("user before the host", "http://shop.example@127.0.0.1/"),
    (
        "host as a user's password",
        "http://127.0.0.1:80@shop.example/",
    ),
    ("zone id", "http://[fe80::1%25eth0]/"),
    ("zone id", "http://[::1%lo]/"),
    ("two final dots", "http://localhost../"),
    ("backslash", "http://127.0.0.1\\@shop.example/"),
    ("other scheme", "file:///etc/passwd"),
    ("five parts", "http://127.0.0.1.1/"),
];

const THIS_MACHINE: [&str; 5] = [
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.b.localhost/",
    "ping://localhost",
    "tcp://l\u{ff4f}calhost:22",
];

const NAMES: [(&str, &str, &str); 24] = [
    ("name of loopback", "http://loop.evil.example/", "127.0.0.1"),
    (
        "name of a private address",
        "https://private.evil.example/",
        "10.0.0.1",
    ),
    (
        "name of metadata",
        "http://meta.evil.example/",
        "169.254.169.254",
    ),
    (
        "name of Azure's metadata",
        "http://azure.evil.example/",
        "168.63.129.16",
    ),
    (
        "name of a shared address",
        "http://shared.evil.example/",
        "100.64.0.1",
    ),
    ("name of zero", "http://zero.evil.example/", "0.0.0.0"),
    (
        "name of everybody",
        "http://all.evil.example/",
        "255.255.255.255",
    ),
    (
        "name of a multicast group",
        "http://many.evil.example/",
        "224.0.0.251",
    ),
    ("name of ::1", "http://six.evil.example/", "\"::1\""),
    ("name of ::", "http://null.evil.example/", "\"::\""),
    (
        "name of a private IPv6 address",
        "http://ula.evil.example/",
        "fd00:ec2::254",
    ),
    (
        "name of a link-local address",
        "http://link.evil.example/",
        "fe80::1",
    ),
    (
        "name of IPv4-mapped",
        "http://mapped.evil.example/",
        "::ffff:127.0.0.1",
    ),
    (
        "name of NAT64",
        "http://nat64.evil.example/",
        "64:ff9b::a9fe:a9fe",
    ),
    (
        "name of 6to4",
        "http://tofour.evil.example/",
        "2002:7f00:1::",
    ),
    (
        "name of Teredo",
        "http://teredo.evil.example/",
        "2001:0:a00:1::80ff:fffe",
    ),
    (
        "name of ISATAP",
        "http://isatap.evil.example/",
        "2a00:1450::5efe:a00:1",
    ),
    ("CNAME", "http://alias.evil.example/", "loop.evil"),
    ("three CNAMEs", "http://chain.evil.example/", "chain3"),
    (
        "public and private at once",
        "http://both.evil.example/",
        "10.0.0.1",
    ),
    ("wildcard", "tcp://any.wild.evil.example:22", "127.0.0.1"),
    ("echo by name", "ping://loop.evil.example", "127.0.0.1"),
    (
        "resolving alone",
        "dns://private.evil.example?type=A",
        "10.0.0.1",
    ),
    (
        "the probe's own hosts file",
        "tcp://db.corp.example:5432",
        "192.168.77.1",
    ),
];
