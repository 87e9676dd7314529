//! What comes back on a resolver's port. The first byte says which question was asked; the rest is the packet, whose
//! identifier is taken for the question's unless that byte says otherwise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{observation, observed};
use onlyhere_probe_node::untrusted;
use onlyhere_proto::{Facts, Family, Outcome, RecordType, Stage};

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, packet)) = bytes.split_first() else {
        return;
    };
    let id = packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let is_ours = flags & 2 == 0;
    let id = if is_ours { id } else { id.wrapping_add(1) };
    let kind = if flags & 1 == 0 {
        RecordType::A
    } else {
        RecordType::Aaaa
    };
    let resolver = [192, 0, 2, 53].into();
    let answer = untrusted::dns_answer(packet, id, "shop.example", kind, resolver);
    let Some(answer) = answer.expect("the name can be asked for") else {
        return;
    };
    assert!(is_ours, "an answer to another question was listened to");
    let facts = answer.facts.expect("facts");
    assert_eq!(
        answer.outcome == Outcome::Ok,
        facts.rcode == Some(0) && !facts.answers.is_empty()
    );
    assert_ne!(
        answer.outcome,
        Outcome::NotMeasured,
        "a stranger's packet is no failure of ours"
    );
    for told in &facts.answers {
        assert_eq!(Family::of(told.address), kind.family());
    }
    observation(&observed(
        Stage::Dns,
        answer.outcome,
        answer.detail,
        Facts::Dns(facts),
    ));
});
