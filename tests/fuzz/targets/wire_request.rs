//! What a probe is asked over the wire.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{plain, sentence, survives_the_wire};
use onlyhere_proto::{CheckRequest, limits, wire};
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = wire::CheckRequest::decode(bytes) else {
        return;
    };
    let request = match CheckRequest::try_from(message) {
        Ok(request) => request,
        Err(why) => return sentence(&why),
    };
    survives_the_wire::<_, wire::CheckRequest>(&request);
    assert!(request.addresses.len() <= limits::ADDRESSES);
    assert!(request.resolvers.len() <= limits::RESOLVERS);
    assert!(request.max_connections <= limits::CONNECTIONS);
    assert!(request.deadline <= limits::DEADLINE);
    assert!(request.attempt_timeout <= limits::ATTEMPT_TIMEOUT);
    plain(&request.target.input, limits::TARGET_INPUT);
    plain(&request.target.path, limits::TARGET_INPUT);
    let way = &request.way;
    assert!(
        way.hops
            .is_none_or(|hops| (1..=limits::HOPS).contains(&hops))
    );
    assert!(
        way.max_segment
            .is_none_or(|bytes| bytes >= limits::SMALLEST_SEGMENT)
    );
    for text in [&way.interface, &way.proxy].into_iter().flatten() {
        plain(text, limits::TEXT);
    }
});
