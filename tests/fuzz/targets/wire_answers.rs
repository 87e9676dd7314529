//! What a probe sends over its stream: a greeting, observations, and that a request is done, message by message.
//!
//! The probe was asked four requests. Whatever it sends, it speaks for itself alone, is heard on what it was asked,
//! not beyond its allowance, and not after it has said that it is done.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use onlyhere_coordinator::fleet::{Answers, Line, Offence};
use onlyhere_fuzz::{check, observation, probe, sentence};
use onlyhere_proto::{CheckRequest, Purpose, Target, Way, limits, wire};
use prost::Message;
use wire::attach_request::Message as FromProbe;

const ASKED: std::ops::Range<u32> = 0..4;

fuzz_target!(|bytes: &[u8]| {
    let line = Line::new(probe("fra1"), |_| true);
    ASKED.for_each(|number| assert!(line.ask(request(number))));
    let mut heard = Heard::default();
    let mut rest = bytes;
    while let Ok(message) = wire::AttachRequest::decode_length_delimited(&mut rest) {
        let Some(message) = message.message else {
            break;
        };
        if let Err(offence) = heard.hear(&line, message) {
            return sentence(&offence);
        }
    }
});

#[derive(Default)]
struct Heard {
    observations: BTreeMap<u32, usize>,
    done: BTreeSet<u32>,
}

impl Heard {
    fn hear(&mut self, line: &Line, message: FromProbe) -> Result<(), Offence> {
        match message {
            FromProbe::Hello(hello) => {
                let addresses = Answers(line).source_addresses(&hello)?;
                assert!(addresses.len() <= limits::SOURCE_ADDRESSES);
                line.can_try_from(addresses);
            }
            FromProbe::Observations(batch) => {
                for passed in Answers(line).observations(batch)? {
                    assert_eq!(passed.vantage, *line.name());
                    assert_eq!(passed.check, check());
                    assert!(
                        ASKED.contains(&passed.request) && !self.done.contains(&passed.request)
                    );
                    let count = self.observations.entry(passed.request).or_default();
                    *count += 1;
                    assert!(*count <= limits::OBSERVATIONS_PER_REQUEST);
                    observation(&passed);
                }
            }
            FromProbe::Done(done) => {
                if let Some((of, request)) = Answers(line).done(done)? {
                    assert_eq!(of, check());
                    assert!(ASKED.contains(&request) && self.done.insert(request));
                }
            }
        }
        Ok(())
    }
}

fn request(number: u32) -> CheckRequest {
    let target = Target::parse("https://shop.example").expect("a target");
    CheckRequest {
        check: check(),
        request: number,
        purpose: Purpose::Target,
        depth: target.depth(),
        target,
        addresses: Vec::new(),
        ping: false,
        resolvers: Vec::new(),
        deadline: limits::DEADLINE,
        attempt_timeout: limits::ATTEMPT_TIMEOUT,
        max_connections: 8,
        slot: 0,
        way: Way::default(),
        authoritative: false,
    }
}
