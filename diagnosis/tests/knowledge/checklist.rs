//! The checklist that a check walks by itself, and what the closer looks add.

use onlyhere_proto::{CauseId, CertificateError, Mechanism, Purpose, ResolverKind, Scope, Verdict};
use world::{GATEWAY_LAN, Name, Reply, WEB4, World, ip};

use super::*;

// The checklist that a check walks by itself.

#[test]
fn step_1_confirms_the_error_class() {
    for (reply, mechanism) in [
        (Reply::Rst(None), Mechanism::Refused),
        (Reply::Drop, Mechanism::Timeout),
        (Reply::Reset, Mechanism::Reset),
        (Reply::Tls(CertificateError::Expired), Mechanism::Tls),
        (Reply::Http(503), Mechanism::Http),
    ] {
        let verdict = Record::of(&everywhere(reply)).verdict();
        assert_eq!(verdict.mechanism, mechanism, "{}", verdict.headline);
        assert_eq!(verdict.scope, Scope::Global, "{}", verdict.headline);
    }
}

#[test]
fn step_2_asks_other_networks() {
    let verdict = Record::of(&World::new().connect(banned)).verdict();
    says(&verdict, "5 of 5 other networks connect");
    says(&verdict, "1 of 1 vantage in your own network connects");
}

#[test]
fn step_3_compares_resolvers_and_the_expected_address() {
    let mut record = Record::of(&resolver_says(Name::Is(vec![ip("198.18.66.6")])));
    record.resolved("fra", ResolverKind::Authoritative, WEB4);
    let verdict = record.verdict();
    says(
        &verdict,
        "Your resolver 198.18.0.53 says 198.18.66.6; 5 of 5 other networks and the zone's own servers say",
    );
}

#[test]
fn step_4_looks_whether_the_host_answers_at_all() {
    let verdict = Record::of(&nothing_answers()).verdict();
    says(
        &verdict,
        "The host answers echo requests of 0 of 7 vantages",
    );
    let verdict = Record::of(&everywhere(Reply::Drop)).verdict();
    says(
        &verdict,
        "The host answers echo requests of 7 of 7 vantages",
    );
}

#[test]
fn step_5_looks_whether_the_port_answers() {
    let verdict = Record::of(&everywhere(Reply::Rst(None))).verdict();
    says(&verdict, "From here 198.18.1.10 refuses (reset)");
}

#[test]
fn step_6_says_what_to_look_at_on_the_server() {
    let texts = |verdict: &Verdict| {
        let causes = verdict.causes.iter();
        causes
            .flat_map(|c| c.confirm.iter().chain(&c.fix))
            .cloned()
            .collect::<String>()
    };
    let down = texts(&Record::of(&everywhere(Reply::Rst(None))).verdict());
    let ban = texts(&Record::of(&World::new().connect(banned)).verdict());
    for (text, words) in [
        (&down, "systemctl status"),
        (&down, "ss -tlnp"),
        (&down, "nft list ruleset"),
        (&ban, "fail2ban-client"),
        (&ban, "cscli"),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn step_7_looks_at_the_own_machine() {
    shows_first(&dead_proxy().verdict(), &DEAD_PROXY);
    let verdict = Record::of(&World::new().connect(own_machine_rejects)).verdict();
    assert_eq!(verdict.causes[0].id, CauseId::LocalFirewall);
    let verdict = Record::of(&resolver_says(Name::Silent)).verdict();
    assert_eq!(verdict.causes[0].id, CauseId::LocalResolver);
    let flush = verdict.causes[0].fix.iter();
    assert!(flush.cloned().collect::<String>().contains("flush"));
}

#[test]
fn step_8_looks_at_block_lists() {
    let mut record = Record::of(&World::new().connect(banned));
    record.listed("bl.example");
    let verdict = record.verdict();
    shows_first(&verdict, &BAN);
    says(
        &verdict,
        "Your address 198.18.3.20 is on 1 of 1 DNS block list: bl.example",
    );
    let mut advisories = verdict.advisories.iter();
    assert!(advisories.any(|a| a.says.contains("DNS block list bl.example")));
}

// What the closer looks add.

#[test]
fn a_ladder_says_where_the_silence_begins() {
    let world = World::new()
        .without(&["sibling"])
        .connect(|t| match t.target() && t.by("you") {
            true => Reply::Drop,
            false => Reply::Ok,
        });
    let mut record = Record::of(&world);
    record.ladder("you", &[GATEWAY_LAN, "198.18.3.1"], 9);
    says(
        &record.verdict(),
        "The last hop that answers is 198.18.3.1, your provider's, 2 of 9",
    );
}

#[test]
fn small_packets_tell_a_path_that_swallows_large_ones() {
    let world = World::new().connect(|t| match t.web() && t.by("you") {
        true => Reply::Stall,
        false => Reply::Ok,
    });
    let mut record = Record::of(&world);
    record.works("you", Purpose::SmallSegments);
    let verdict = record.verdict();
    says(
        &verdict,
        "With small packets (536 bytes) the handshake works, with full ones it hangs",
    );
    assert_eq!(verdict.causes[0].id, CauseId::MtuBlackhole, "{verdict:#?}");
    let texts = verdict.causes[0].fix.concat();
    assert!(texts.contains("mtu 1380"), "{texts}");
}
