//! Which vantages a person asks for.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{plain, probe, sentence};
use onlyhere_proto::{Selector, limits};

fuzz_target!(|text: &str| {
    let selector: Selector = match text.parse() {
        Ok(selector) => selector,
        Err(why) => return sentence(&why),
    };
    let shown = selector.to_string();
    plain(&shown, usize::MAX);
    assert_eq!(shown.parse().as_ref(), Ok(&selector));

    let fleet = [probe("fra1"), probe("ams"), probe("you")];
    let mut chosen = BTreeSet::new();
    for (count, matching) in selector.alternatives(&fleet) {
        assert!(count.is_none_or(|count| (1..=limits::VANTAGES).contains(&count)));
        chosen.extend(matching);
    }
    for (at, vantage) in fleet.iter().enumerate() {
        assert_eq!(selector.matches(vantage), chosen.contains(&at));
    }
});
