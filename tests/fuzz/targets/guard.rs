//! The guard's rules, and what they let through. Each line is one: `+RULE` allows, `-RULE` denies, and `?HOST ADDRESS PORT`
//! asks.

#![no_main]

use std::net::IpAddr;

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{inside, sentence};
use onlyhere_probe_node::guard::{Guard, Rule};
use onlyhere_proto::{Host, special_range};

fuzz_target!(|text: &str| {
    let (mut allow, mut deny, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines().take(32) {
        match line.split_at_checked(1) {
            Some(("+", text)) => allow.extend(rule(text)),
            Some(("-", text)) => deny.extend(rule(text)),
            Some(("?", text)) => asked.extend(question(text)),
            _ => (),
        }
    }
    for question in &asked {
        judge(&allow, &deny, question);
    }
});

fn rule(text: &str) -> Option<Rule> {
    match text.parse::<Rule>() {
        Ok(rule) => {
            assert_eq!(rule.to_string().parse().as_ref(), Ok(&rule));
            Some(rule)
        }
        Err(why) => {
            sentence(&why);
            None
        }
    }
}

fn question(text: &str) -> Option<(Host, IpAddr, Option<u16>)> {
    let mut words = text.split(' ');
    let host = Host::parse(words.next()?).ok()?;
    let address = words.next()?.parse().ok()?;
    Some((
        host,
        address,
        words.next().and_then(|port| port.parse().ok()),
    ))
}

fn judge(allow: &[Rule], deny: &[Rule], (host, address, port): &(Host, IpAddr, Option<u16>)) {
    let may = |allow: &[Rule], deny: &[Rule]| {
        let guard = Guard::for_probe(allow.to_vec(), deny.to_vec());
        match guard.judge_address(host, *address, *port) {
            Ok(()) => true,
            Err(why) => {
                sentence(&why);
                false
            }
        }
    };
    let answer = may(allow, deny);
    let networks = || allow.iter().filter_map(|rule| network(&rule.to_string()));
    let itself = [Some(*address), inside(*address).map(IpAddr::V4)];
    if answer && special_range(*address).is_some() {
        let opened = |net: IpNet| itself.iter().flatten().any(|address| net.contains(address));
        assert!(networks().any(opened), "{address} was let through");
    }
    // A rule more that forbids never opens anything, and one more that permits never closes anything.
    let more = |rules: &[Rule], one: &Rule| [rules, std::slice::from_ref(one)].concat();
    for rule in allow.iter().chain(deny) {
        assert!(
            answer || !may(allow, &more(deny, rule)),
            "opened by -{rule}"
        );
        assert!(
            !answer || may(&more(allow, rule), deny),
            "closed by +{rule}"
        );
    }
    // Who names an address opens it, and who names it and forbids it has the last word, a port apart.
    let rule = Rule::from(IpNet::from(*address));
    assert!(may(&more(allow, &rule), &[]));
    if allow
        .iter()
        .all(|rule| rule.to_string().parse::<IpNet>().is_ok())
    {
        assert!(!may(allow, &more(deny, &rule)), "{address} was forbidden");
    }
    // Without rules nothing but the public internet is open, and no disguise is judged more kindly than what it hides.
    assert_eq!(may(&[], &[]), special_range(*address).is_none());
    if let Some(v4) = inside(*address).filter(|v4| special_range((*v4).into()).is_some()) {
        assert!(!may(&[], &[]), "{address} hides {v4}");
    }
    let guard = Guard::for_probe(allow.to_vec(), deny.to_vec());
    let literal = Host::Address(*address);
    assert_eq!(
        guard.judge_host(&literal, *port),
        guard.judge_address(&literal, *address, *port)
    );
}

/// The prefix that a rule is about, whatever the port.
fn network(rule: &str) -> Option<IpNet> {
    let rule = match rule.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if rule.matches(':').count() == 1 => rule.split(':').next()?,
        None => rule,
    };
    rule.parse()
        .ok()
        .or_else(|| rule.parse().ok().map(|address: IpAddr| address.into()))
}
