//! The ways of a hostile name server.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::message::{self, A, AAAA, CNAME, Message, NS, SOA};
use super::{Asked, Reply};
use crate::hostile::ZONE;
use crate::hostile::behaviour::{Act::Name, Behaviour};

/// Nothing can be resolved, whatever is wrong with it.
const DNS: &[&str] = &["global dns"];
const ADDRESSES: &[&str] = &["global refused", "global dns", "global timeout"];

pub(in crate::hostile) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("dns-silent", Name(silent), DNS),
    Behaviour::new("dns-cname-chain-of-100", Name(chain), DNS),
    Behaviour::new("dns-cname-loop", Name(cname_loop), DNS),
    Behaviour::new("dns-cname-to-itself", Name(itself), DNS),
    Behaviour::new("dns-endless-cnames", Name(endless_cnames), DNS),
    Behaviour::new("dns-10000-answers", Name(many_answers), ADDRESSES),
    Behaviour::new("dns-4000-addresses", Name(many_addresses), ADDRESSES),
    Behaviour::new("dns-wrong-identifiers", Name(wrong_identifiers), DNS),
    Behaviour::new("dns-wrong-question", Name(wrong_question), DNS),
    Behaviour::new("dns-pointer-loop", Name(pointer_loop), DNS),
    Behaviour::new("dns-pointer-bomb", Name(pointer_bomb), DNS),
    Behaviour::new("dns-truncated-forever", Name(truncated), DNS),
    Behaviour::new("dns-control-characters", Name(control_characters), DNS),
    Behaviour::new("dns-late", Name(late), DNS),
    Behaviour::new("dns-one-byte-a-second", Name(slow), DNS),
    Behaviour::new("dns-empty-over-tcp", Name(empty), DNS),
    Behaviour::new("dns-nxdomain-huge-authority", Name(huge_authority), DNS),
    Behaviour::new("dns-garbage", Name(garbage), DNS),
    Behaviour::new("dns-counts-that-lie", Name(lying_counts), DNS),
    Behaviour::new("dns-1000-servers", Name(many_servers), DNS),
    Behaviour::new("dns-referrals-forever", Name(referrals), DNS),
    // The probes' guards try none of them; the caller's own machine has nothing there.
    Behaviour::new(
        "dns-inner-addresses",
        Name(inner),
        &["inconclusive unreachable", "global unreachable"],
    ),
];

/// About an address these are hostile; who the servers are is told honestly.
fn addresses_only(asked: &Asked<'_>, act: impl FnOnce(&mut Message)) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let mut answer = Message::answer(asked.query);
    act(&mut answer);
    fitting(asked, answer.finish())
}

/// What does not fit a datagram is asked for again over TCP.
fn fitting(asked: &Asked<'_>, answer: Vec<u8>) -> Reply {
    if asked.tcp || answer.len() <= 512 {
        Reply::Now(answer)
    } else {
        Reply::Now(Message::answer(asked.query).truncated().finish())
    }
}

fn silent(_: &Asked<'_>) -> Reply {
    Reply::Nothing
}

fn chain(asked: &Asked<'_>) -> Reply {
    let first = asked.name();
    addresses_only(asked, |answer| {
        let link = |n: u32| match n {
            0 => first.clone(),
            n => format!("link{n}.{first}"),
        };
        for n in 0..100 {
            answer.name_record(&link(n), CNAME, &link(n + 1));
        }
        answer.address(&link(100), Ipv4Addr::new(198, 18, 66, 10).into());
    })
}

fn cname_loop(asked: &Asked<'_>) -> Reply {
    let name = asked.name();
    let other = match name.strip_prefix("a.") {
        Some(rest) => rest.to_owned(),
        None => format!("a.{name}"),
    };
    addresses_only(asked, |answer| {
        answer.name_record(&name, CNAME, &other);
        answer.name_record(&other, CNAME, &name);
    })
}

fn itself(asked: &Asked<'_>) -> Reply {
    let name = asked.name();
    addresses_only(asked, |answer| {
        answer.name_record(&name, CNAME, &name);
    })
}

/// Every name is another's alias, one at a time: whoever follows asks for ever.
fn endless_cnames(asked: &Asked<'_>) -> Reply {
    let base = "dns-endless-cnames";
    let number: u32 = asked
        .labels
        .first()
        .and_then(|label| label.strip_prefix('n')?.parse().ok())
        .unwrap_or(0);
    let next = format!("n{}.{base}.{ZONE}", number + 1);
    addresses_only(asked, |answer| {
        answer.name_record(&asked.name(), CNAME, &next);
    })
}

/// As many as a message of 64 KiB can have, which are 4,000, and a header that says ten.
fn many_answers(asked: &Asked<'_>) -> Reply {
    addresses_only(asked, |answer| {
        addresses_of_nobody(answer);
        answer.claim(10_000);
    })
}

fn many_addresses(asked: &Asked<'_>) -> Reply {
    addresses_only(asked, addresses_of_nobody)
}

/// 4,000 records, the owner of each a pointer to the question; all of one network, in which nobody answers.
fn addresses_of_nobody(answer: &mut Message) {
    for n in 0..4_000u16 {
        answer.record(&[0xc0, 12], A, &[198, 19, 254, (n % 250) as u8 + 2]);
    }
}

/// Every identifier but the right one, on and on.
fn wrong_identifiers(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let right = u16::from_be_bytes([asked.query[0], asked.query[1]]);
    let wrong = (1..=64).map(|n| {
        let mut answer = Message::answer(asked.query);
        answer.identifier(right.wrapping_add(n));
        answer.address(&asked.name(), Ipv4Addr::new(198, 18, 66, 10).into());
        answer.finish()
    });
    Reply::Flood(wrong.collect())
}

fn wrong_question(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let mut query = asked.query[..12].to_vec();
    query.extend(message::name("other.example"));
    query.extend([0, A as u8, 0, 1]);
    let mut answer = Message::answer(&query);
    answer.address("other.example", Ipv4Addr::new(198, 18, 66, 10).into());
    Reply::Flood(vec![answer.finish()])
}

/// A name that points at itself.
fn pointer_loop(asked: &Asked<'_>) -> Reply {
    addresses_only(asked, |answer| {
        let here = Message::answer(asked.query).finish().len() as u16;
        answer.record(&(0xc000 | here).to_be_bytes(), CNAME, &[0xc0, here as u8]);
    })
}

/// Pointers that lead through pointers, as long as may be: each record costs its reader as many steps as it has records
/// before it.
fn pointer_bomb(asked: &Asked<'_>) -> Reply {
    addresses_only(asked, |answer| {
        let mut at = Message::answer(asked.query).finish().len() as u16;
        answer.record(&[0xc0, 12], CNAME, &[1, b'a', 0xc0, 12]);
        let mut data = at + 12;
        at = data + 4;
        for _ in 0..1_000 {
            answer.record(
                &[0xc0, 12],
                CNAME,
                &[&[1, b'a'][..], &(0xc000 | data).to_be_bytes()].concat(),
            );
            data = at + 12;
            at = data + 4;
            if at > 0x3f00 {
                break;
            }
        }
    })
}

fn truncated(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    Reply::Now(Message::answer(asked.query).truncated().finish())
}

/// An alias with terminal escapes, markup and invalid UTF-8.
fn control_characters(asked: &Asked<'_>) -> Reply {
    addresses_only(asked, |answer| {
        let mut alias = Vec::new();
        for label in [
            &b"\x1b]0;owned\x07\x1b[2J"[..],
            &b"<script>alert(1)</script>"[..],
            "\u{202e}\u{9b}31m".as_bytes(),
            &[0xff, 0xfe, 0, b'.', b'\n', b'\r'],
        ] {
            alias.push(label.len() as u8);
            alias.extend(label);
        }
        alias.extend(message::name(ZONE));
        answer.record(&[0xc0, 12], CNAME, &alias);
    })
}

fn late(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let mut answer = Message::answer(asked.query);
    answer.address(&asked.name(), Ipv4Addr::new(198, 18, 66, 10).into());
    Reply::Later(Duration::from_secs(11), answer.finish())
}

fn slow(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let mut answer = Message::answer(asked.query);
    if !asked.tcp {
        return Reply::Now(answer.truncated().finish());
    }
    answer.address(&asked.name(), Ipv4Addr::new(198, 18, 66, 10).into());
    Reply::Drip(answer.finish())
}

fn empty(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    if asked.tcp {
        Reply::Now(Vec::new())
    } else {
        Reply::Now(Message::answer(asked.query).truncated().finish())
    }
}

fn huge_authority(asked: &Asked<'_>) -> Reply {
    let mut answer = Message::answer(asked.query);
    answer.code(3);
    for _ in 0..600 {
        answer.authority(ZONE, SOA);
    }
    fitting(asked, answer.finish())
}

/// The right identifier, and nothing else that is right.
fn garbage(asked: &Asked<'_>) -> Reply {
    let mut answer = asked.query[..2].to_vec();
    answer.extend((0..400u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8));
    Reply::Now(answer)
}

fn lying_counts(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let mut answer = Message::answer(asked.query).finish();
    answer[6..12].fill(0xff);
    Reply::Now(answer)
}

/// A zone with a thousand servers, none of which has an address.
fn many_servers(asked: &Asked<'_>) -> Reply {
    let zone = format!("dns-1000-servers.{ZONE}");
    if asked.kind != NS || asked.name() != zone {
        return Reply::Nothing;
    }
    // Written out their names would not fit a message: each ends with a pointer to the question, which is the zone.
    const QUESTION: [u8; 2] = [0xc0, 12];
    let mut answer = Message::answer(asked.query);
    for n in 0..1_000 {
        let label = format!("ns{n}");
        let server = [&[label.len() as u8], label.as_bytes(), &QUESTION].concat();
        answer.record(&QUESTION, NS, &server);
    }
    fitting(asked, answer.finish())
}

/// Every answer refers to a zone further down.
fn referrals(asked: &Asked<'_>) -> Reply {
    if !asked.is_address() {
        return Reply::Honest;
    }
    let mut answer = Message::answer(asked.query);
    answer.server(&asked.name(), &format!("ns.{ZONE}"));
    Reply::Now(answer.finish())
}

/// Addresses of every inner network.
fn inner(asked: &Asked<'_>) -> Reply {
    addresses_only(asked, |answer| {
        let name = asked.name();
        let inner: &[&str] = match asked.kind {
            AAAA => &[
                "::1",
                "fe80::1",
                "fd00::1",
                "::ffff:127.0.0.1",
                "64:ff9b::7f00:1",
                "2002:7f00:1::1",
            ],
            _ => &[
                "127.0.0.1",
                "10.0.0.1",
                "192.168.0.1",
                "169.254.169.254",
                "0.0.0.0",
                "255.255.255.255",
            ],
        };
        for address in inner {
            if let Ok(address) = address.parse::<IpAddr>() {
                answer.address(&name, address);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An act that cannot answer takes the whole name server with it.
    #[test]
    fn every_act_answers_every_question_about_its_name() {
        for behaviour in BEHAVIOURS {
            let Name(act) = behaviour.does else {
                panic!("{} is no act of a name server", behaviour.name);
            };
            for below in ["", "a.", "n7.", "ns.", "link3."] {
                let host = format!("{below}{}.{ZONE}", behaviour.name);
                for kind in [A, AAAA, CNAME, NS, SOA, 255] {
                    for tcp in [false, true] {
                        let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                        query.extend(message::name(&host));
                        query.extend(kind.to_be_bytes());
                        query.extend([0, 1]);
                        let (labels, kind) = message::question(&query).unwrap();
                        let asked = Asked {
                            query: &query,
                            labels,
                            kind,
                            tcp,
                        };
                        if let Reply::Now(answer) | Reply::Later(_, answer) = act(&asked) {
                            assert!(tcp || answer.len() <= 512, "{host} {kind}");
                        }
                    }
                }
            }
        }
    }
}
