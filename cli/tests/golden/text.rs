//! The report on a terminal: the kinds of verdict that look different.

use onlyhere_cli::{
    answer::Answer,
    render::text,
    standing::{Demands, Standing},
};
use onlyhere_proto::{
    Actor, Advisory, CauseId, CauseReport, History, Mechanism, Outcome, Report, Scope, Timestamp,
};

use crate::sample::{Seen, cause, evidence, fleet, refused_alone, report};

#[test]
fn ok() {
    let mut report = report(
        "https://shop.example",
        fleet(|_| Seen::both(Outcome::Ok)),
        Scope::Ok,
    );
    report.verdict.headline = "Reachable from here and from 6 other networks".into();
    report.verdict.actor = Actor::Nobody;
    report.verdict.evidence = vec![evidence(
        1,
        "7 of 7 vantages get the page, connecting in 11-92 ms",
    )];
    report.verdict.advisories = vec![Advisory {
        says: "sgp1 connects, and 2 of its 2 controls do not: it is itself broken and was not relied on".into(),
        cause: None,
        vantages: vec!["sgp1".parse().unwrap()],
    }];
    insta::assert_snapshot!(shown(&report, None));
}

#[test]
fn source_address_ban() {
    let seen = |name: &str| {
        if name == "you" {
            Seen::both(Outcome::Refused)
        } else {
            Seen::both(Outcome::Ok)
        }
    };
    let mut report = report("https://shop.example", fleet(seen), Scope::SourceAddress);
    report.subject.public_address = Some("203.0.113.7".parse().unwrap());
    report.verdict.headline = "Refused from your IP address only (203.0.113.7)".into();
    report.verdict.mechanism = Mechanism::Refused;
    report.verdict.actor = Actor::Site;
    report.verdict.causes = vec![
        CauseReport {
            id: CauseId::IpBan,
            probability: 0.95,
            title: "The site has banned your IP address".into(),
            confirm: vec![
                "On the server: `fail2ban-client status nginx-http-auth` lists 203.0.113.7".into(),
                "`cscli decisions list --ip 203.0.113.7`, `csf -g 203.0.113.7` or `iptables -L -n | grep 203.0.113.7`"
                    .into(),
            ],
            fix: vec![
                "With access to the server: `fail2ban-client set nginx-http-auth unbanip 203.0.113.7`, or \
                 `cscli decisions delete -i 203.0.113.7`, or `csf -dr 203.0.113.7`"
                    .into(),
                "Without: ask the site's host to unban 203.0.113.7, and use another network meanwhile".into(),
                "Stop what triggered it, such as a program that logs in with an old password".into(),
            ],
            time_to_fix: "1-2 minutes".into(),
        },
        cause(CauseId::NetworkBlock, 0.02, "The site blocks your provider"),
    ];
    report.verdict.evidence = vec![
        evidence(
            1,
            "6 of 6 other networks connect in 31-120 ms, among them home-b in your own network (AS64500)",
        ),
        evidence(
            2,
            "The refusal is an ICMP message of the server itself (203.0.113.80), after a full round trip",
        ),
        evidence(3, "Your other connections work: 2 of 2 controls answer"),
    ];
    report.verdict.next = vec![
        "Try from a mobile network: it should work there".into(),
        // Stands under "To make sure" already.
        format!("Confirm: {}", report.verdict.causes[0].confirm[0]),
    ];
    insta::assert_snapshot!(shown(&report, None));
}

/// A verdict with as much to say as there can be: objections, a runner-up, what would decide, and a history.
#[test]
fn much_to_say() {
    let seen = |name: &str| {
        if name == "you" {
            Seen::both(Outcome::Timeout)
        } else {
            Seen::both(Outcome::Ok)
        }
    };
    let mut report = report("https://shop.example", fleet(seen), Scope::SourceNetwork);
    report.conditions.history = History {
        last_ok: Some(Timestamp(report.started_at.0 - 17 * 60_000_000)),
        failing_since: Some(Timestamp(report.started_at.0 - 12 * 60_000_000)),
    };
    report.verdict.headline = "Times out from your provider only (AS64500)".into();
    report.verdict.confidence = 0.86;
    report.verdict.actor = Actor::Transit;
    report.verdict.causes = vec![CauseReport {
        id: CauseId::RoutingFault,
        probability: 0.71,
        title: "Packets are lost on the way between your provider and the site, after the hop 203.0.113.129".into(),
        confirm: vec!["`mtr -T -P 443 shop.example` ends at the same hop from another machine of your provider".into()],
        fix: vec!["Send the ladder above to your provider".into()],
        time_to_fix: "minutes to hours, nothing you can do yourself".into(),
    }];
    report.verdict.evidence = (1..=11)
        .map(|number| {
            let says = match number {
                1 => "From here no answer comes from 203.0.113.80 within 3.0 s, while 5 of 5 other networks connect in 31-120 ms",
                2 => "Packets from here get to 203.0.113.129 (hop 5 of 9) and no further; those of 3 other networks arrive",
                10 => "Speaks against it: home-b, in your own network (AS64500), connects in 31 ms",
                11 => "Speaks against it: with small segments it works from here, too",
                _ => "Your other connections work: 2 of 2 controls answer",
            };
            let mut one = evidence(number, says);
            one.log10_bayes_factor = if number >= 10 { -0.4 } else { 2.0 };
            one
        })
        .collect();
    report.verdict.next = vec![
        "Runner-up: your address alone (P 0.09): a second machine behind the same provider, or a second address of yours, would tell".into(),
        "From outside, a filter that drops and a route that leads nowhere look alike: whether other sites behind the same last hop answer decides (`mtr`)".into(),
    ];
    insta::assert_snapshot!(shown(&report, None));
}

/// A verdict that tells the history itself is not told it again.
#[test]
fn a_history_is_told_once() {
    let mut report = report(
        "https://shop.example",
        fleet(|_| Seen::both(Outcome::Refused)),
        Scope::Global,
    );
    report.verdict.headline = "Refused everywhere".into();
    report.conditions.history.last_ok = Some(Timestamp(report.started_at.0 - 86_400_000_000));
    let text = shown(&report, None);
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(
        words.join(" ").contains(
            "Since after 2026-01-01 03:04 UTC (24 hours ago), when it was last reachable"
        )
    );
    report.verdict.evidence = vec![evidence(1, "Last reachable 2026-01-01 03:04 UTC")];
    assert!(!shown(&report, None).contains("Since"));
}

#[test]
fn local_firewall() {
    let seen = |name: &str| {
        if name == "you" {
            Seen::at_once(Outcome::Refused)
        } else {
            Seen::both(Outcome::Ok)
        }
    };
    let mut report = report("https://shop.example", fleet(seen), Scope::Local);
    report.verdict.headline = "Refused here: your own machine rejects it".into();
    report.verdict.mechanism = Mechanism::Refused;
    report.verdict.actor = Actor::You;
    report.verdict.causes = vec![CauseReport {
        id: CauseId::LocalFirewall,
        probability: 0.97,
        title: "A firewall on this machine rejects the connection".into(),
        confirm: vec![
            "`sudo nft list ruleset` or `sudo iptables -L OUTPUT -n` shows a reject rule".into(),
        ],
        fix: vec![
            "Add an exception for port 443 in the firewall or security software of this machine"
                .into(),
        ],
        time_to_fix: "2-5 minutes".into(),
    }];
    report.verdict.evidence = vec![evidence(
        1,
        "The refusal took 0.1 ms, the server is 71 ms away: your own machine made it",
    )];
    insta::assert_snapshot!(shown(&report, None));
}

#[test]
fn global_down() {
    let mut report = report(
        "https://shop.example",
        fleet(|_| Seen::both(Outcome::Timeout)),
        Scope::Global,
    );
    report.verdict.headline = "Times out everywhere".into();
    report.verdict.mechanism = Mechanism::Timeout;
    report.verdict.actor = Actor::Site;
    report.verdict.confidence = 0.995;
    report.verdict.causes = vec![
        CauseReport {
            fix: vec!["Look at the host's console at its provider, and start it".into()],
            time_to_fix: "5 minutes".into(),
            ..cause(CauseId::HostDown, 0.58, "The host is off, or not connected")
        },
        CauseReport {
            fix: vec![
                "Open the port: `ufw allow 443/tcp`, and in the provider's security group".into(),
            ],
            time_to_fix: "2-5 minutes".into(),
            ..cause(
                CauseId::FirewallDrop,
                0.38,
                "A firewall at the server drops the packets",
            )
        },
    ];
    report.verdict.evidence = vec![evidence(
        1,
        "7 of 7 vantages get no answer, and none of the pings is answered",
    )];
    report.verdict.next = vec![
        "On the host's console: is it running, and does `nft list ruleset` drop port 443?".into(),
    ];
    insta::assert_snapshot!(shown(&report, None));
}

#[test]
fn target_address_v6() {
    let seen = |_: &str| Seen {
        v4: Some((Outcome::Ok, 31_000)),
        v6: Some((Outcome::Timeout, 3_000_000)),
    };
    let mut report = report("https://shop.example", fleet(seen), Scope::TargetAddress);
    report.verdict.headline = "Times out over IPv6 only".into();
    report.verdict.mechanism = Mechanism::Timeout;
    report.verdict.actor = Actor::Site;
    report.verdict.confidence = 0.91;
    report.verdict.causes = vec![cause(
        CauseId::FamilyBroken,
        0.88,
        "The site's IPv6 is broken, and browsers hide it by falling back",
    )];
    insta::assert_snapshot!(shown(&report, None));
}

#[test]
fn inconclusive_alone() {
    let mut report = refused_alone();
    report.verdict.mechanism = Mechanism::Refused;
    report.verdict.actor = Actor::Unknown;
    report.verdict.confidence = 0.52;
    report.verdict.causes = vec![
        cause(
            CauseId::ServiceDown,
            0.52,
            "The service on the server is down",
        ),
        cause(CauseId::IpBan, 0.21, "The site has banned your IP address"),
    ];
    report.verdict.next = vec![
        "Ask from another network: `onlyhere check --coordinator URL https://shop.example`".into(),
    ];
    insta::assert_snapshot!(shown(&report, Some("no coordinator is set")));
}

#[test]
fn a_narrow_terminal_and_hostile_text() {
    let seen = |name: &str| match name {
        "fra1" => Seen::dns(Outcome::Nxdomain),
        "nyc1" => Seen::both(Outcome::NotMeasured),
        _ => Seen::both(Outcome::Ok),
    };
    let mut report = report("https://shop.example", fleet(seen), Scope::Ok);
    report.verdict.headline = "Reachable \x1b[31mfrom\x07 here\u{202e}".into();
    report.vantages[1].vantage.name = "a-name\x1b]0;that-is-much-longer-than-any-column".into();
    let text = drawn(&report, None, 44);
    assert!(
        text.lines()
            .all(|line| console::measure_text_width(&strip(line)) <= 44),
        "{text}"
    );
    insta::assert_snapshot!(strip(&text));
}

#[test]
fn colours_are_there_for_terminals() {
    let report = report(
        "https://shop.example",
        fleet(|_| Seen::both(Outcome::Ok)),
        Scope::Ok,
    );
    let text = drawn(&report, None, 80);
    assert!(text.starts_with("\x1b[1m\x1b[32m✓ "), "{text:?}");
}

fn drawn(report: &Report, alone: Option<&str>, width: usize) -> String {
    let answer = Answer {
        report,
        alone,
        standing: Standing::of(report, &Demands::default()),
    };
    text::answer(&answer, width)
}

/// As in a pipe.
fn shown(report: &Report, alone: Option<&str>) -> String {
    let text = strip(&drawn(report, alone, 80));
    for line in text.lines() {
        assert!(console::measure_text_width(line) <= 80, "too long: {line}");
        assert_eq!(line, line.trim_end(), "ends with a space");
    }
    text
}

fn strip(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
