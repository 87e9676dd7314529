//! What a server shows as its certificate.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{observation, observed};
use onlyhere_probe_node::untrusted;
use onlyhere_proto::{Facts, Outcome, Stage, TlsFacts};

fuzz_target!(|der: &[u8]| {
    let certificate = untrusted::certificate(der);
    assert_eq!(certificate.sha256.len(), 64);
    assert_eq!(certificate, untrusted::certificate(der));
    let facts = TlsFacts {
        certificates: vec![certificate],
        ..TlsFacts::default()
    };
    observation(&observed(
        Stage::Tls,
        Outcome::BadCertificate,
        None,
        Facts::Tls(facts),
    ));
});
