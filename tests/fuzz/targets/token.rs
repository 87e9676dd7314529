//! What somebody presents as a token: a probe's operator as a join token, an API client as a bearer token.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_coordinator::tokens;
use onlyhere_fuzz::sentence;
use onlyhere_probe_node::join_token;

fuzz_target!(|text: &str| {
    join(text);
    if let Some(secret) = tokens::bearer_secret(text) {
        assert!(text.ends_with(secret) && secret.len() < text.len());
        assert!(
            !text.starts_with(tokens::JOIN),
            "a join token lets nobody ask"
        );
    }
    if let Some(hash) = tokens::SecretHash::of_presented(text) {
        assert!(text.len() <= 128);
        assert!(bool::from(hash.is(&hash)));
        assert_eq!(
            tokens::SecretHash::try_from(String::from(hash.clone())),
            Ok(hash)
        );
    }
});

/// Both programs read the same of a join token, and the probe is the stricter one.
fn join(text: &str) {
    let ours = tokens::JoinToken::parse(text);
    let theirs = match text.parse::<join_token::JoinToken>() {
        Ok(token) => token,
        Err(why) => return sentence(&why),
    };
    let ours = ours.expect("what a probe takes, the coordinator made");
    assert_eq!(
        (&ours.address, &ours.secret),
        (&theirs.address, &theirs.secret)
    );
    assert_eq!(ours.ca_sha256.len(), 64);
    assert!(!theirs.address.is_empty() && !theirs.secret.is_empty());
    assert_eq!(ours.to_text().parse(), Ok(theirs));
}
