//! What a person types as a target, or an attacker sends as one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{plain, sentence, survives_json, survives_the_wire};
use onlyhere_proto::{Host, Layer, Target, limits, special_range, wire};

fuzz_target!(|text: &str| {
    match Host::parse(text) {
        Ok(host) => reads_back(&host),
        Err(why) => sentence(&why),
    }
    match Target::parse(text) {
        Ok(target) => is_whole(&target),
        Err(why) => sentence(&why),
    }
});

fn reads_back(host: &Host) {
    let shown = host.to_string();
    plain(&shown, limits::HOST_NAME);
    assert_eq!(Host::parse(&shown).as_ref(), Ok(host));
}

fn is_whole(target: &Target) {
    reads_back(&target.host);
    plain(&target.input, limits::TARGET_INPUT);
    plain(&target.path, limits::TARGET_INPUT);
    assert_eq!(Target::parse(&target.input).as_ref(), Ok(target));
    survives_the_wire::<_, wire::Target>(target);
    survives_json(target);
    let web = matches!(target.layer, Layer::Https | Layer::Http);
    assert_eq!(web, target.path.starts_with('/'));
    assert_eq!(
        target.port.is_none(),
        matches!(target.layer, Layer::Dns | Layer::Ping)
    );
    match &target.host {
        Host::Address(address) => assert_eq!(target.special_range(), special_range(*address)),
        Host::Name(name) => {
            assert!(
                name.parse::<std::net::IpAddr>().is_err(),
                "{name} is an address"
            );
            assert!(name != "localhost" || target.special_range().is_some());
        }
    }
}
