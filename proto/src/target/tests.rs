use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (Layer, String, Option<u16>, String) {
    let target = Target::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    (
        target.layer,
        target.host.to_string(),
        target.port,
        target.path,
    )
}

#[test]
fn every_documented_form_is_read() {
    for (text, layer, host, port, path) in [
        (
            "https://shop.example",
            Layer::Https,
            "shop.example",
            Some(443),
            "/",
        ),
        (
            "HTTP://Shop.Example:8080/a%20b?c=d#e",
            Layer::Http,
            "shop.example",
            Some(8080),
            "/a%20b?c=d",
        ),
        (
            "shop.example.",
            Layer::Https,
            "shop.example",
            Some(443),
            "/",
        ),
        (
            "shop.example/cart",
            Layer::Https,
            "shop.example",
            Some(443),
            "/cart",
        ),
        ("shop.example:22", Layer::Tcp, "shop.example", Some(22), ""),
        ("tcp://192.0.2.1:25", Layer::Tcp, "192.0.2.1", Some(25), ""),
        (
            "tls://[2001:db8::1]:853",
            Layer::Tls,
            "2001:db8::1",
            Some(853),
            "",
        ),
        ("[2001:db8::1]", Layer::Https, "2001:db8::1", Some(443), "/"),
        (
            "ssh://host.example",
            Layer::Ssh,
            "host.example",
            Some(22),
            "",
        ),
        ("smtp://mx.example", Layer::Smtp, "mx.example", Some(25), ""),
        ("dns://shop.example", Layer::Dns, "shop.example", None, ""),
        ("ping://shop.example", Layer::Ping, "shop.example", None, ""),
        (
            "bücher.example",
            Layer::Https,
            "xn--bcher-kva.example",
            Some(443),
            "/",
        ),
        ("0x7f.1", Layer::Https, "127.0.0.1", Some(443), "/"),
        (
            "https://a.example//b.example/c",
            Layer::Https,
            "a.example",
            Some(443),
            "/b.example/c",
        ),
    ] {
        assert_eq!(
            read(text),
            (layer, host.to_owned(), port, path.to_owned()),
            "{text}"
        );
    }
    let target = Target::parse("https://shop.example//other.example/ä?ö \"#c").unwrap();
    assert_eq!(target.path, "/other.example/%C3%A4?%C3%B6%20%22");
    assert_eq!(
        Target::parse("dns://a.example?type=aaaa")
            .unwrap()
            .record_type,
        Some(RecordType::Aaaa)
    );
}

#[test]
fn every_wrong_target_gets_a_sentence_that_says_what_would_be_right() {
    let long = "a".repeat(300);
    for (text, says) in [
        ("", "the target is empty"),
        ("   ", "the target is empty"),
        ("http://", "`http://` names no host; write http://HOST"),
        (
            "host:99999",
            "`99999` is no port; a port is a number from 1 to 65535",
        ),
        ("host:0", "`0` is no port"),
        ("host:+80", "`+80` is no port"),
        ("[::1", "`[::1` opens a bracket and does not close it"),
        (
            "[shop.example]",
            "what stands in brackets is no IPv6 address",
        ),
        ("2001:db8::1", "put it in brackets: [2001:db8::1]"),
        (
            long.as_str(),
            "a name has at most 253 characters, this one has 300",
        ),
        ("my host", "a name holds no spaces"),
        ("ftp://host", "`ftp://` is not known; use https"),
        ("tcp://host", "tcp:// needs a port"),
        ("ping://host:7", "ping:// takes no port"),
        ("tcp://host:7/path", "tcp:// takes no path"),
        ("https://me:secret@host", "holds a user name or password"),
        ("a..b", "two dots"),
        ("a_b!.example", "letters, digits, '-' and '.' only"),
        ("dns://host?type=MX", "dns:// takes ?type=A or ?type=AAAA"),
        ("dns://192.0.2.1", "use ping://192.0.2.1"),
        ("https://host/\x1b[31m", "holds a control character"),
        (
            &format!("https://host/#{}", "\u{200b}".repeat(300)),
            "the target has 2714 bytes; at most 2048 are read",
        ),
        (
            &format!("https://host/{}", "ä".repeat(700)),
            "the target has 4201 bytes; at most 2048 are read",
        ),
    ] {
        let error = Target::parse(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text:?}: {error}");
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
    }
}

#[test]
fn what_hides_in_a_target_is_written_out() {
    for (text, input) in [
        (
            "https://shop.example/a\u{61c}b?c=\u{200b}",
            "https://shop.example/a%D8%9Cb?c=%E2%80%8B",
        ),
        ("sh\u{ad}op.example:22", "shop.example:22"),
        ("https://22\u{200b}", "https://0.0.0.22"),
        ("192.0.2\u{2060}.1:22", "192.0.2.1:22"),
        ("نامه\u{200c}ای.example/ä", "xn--mgba3gch31f060k.example/ä"),
        ("[2001:db8::1]/\u{feff}", "[2001:db8::1]/%EF%BB%BF"),
    ] {
        let target = Target::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(target.input, input);
        assert_eq!(Target::parse(&target.input), Ok(target));
    }
}

proptest! {
    #[test]
    fn what_hides_anywhere_is_written_out(
        text in "(https?://|tcp://|dns://)?\\[?([0-9a-fx.:\\-]|\\p{Cf}){1,12}\\]?(:[0-9]{1,3})?(/(a|\\p{Cf}){0,4})?"
    ) {
        if let Ok(target) = Target::parse(&text) {
            prop_assert!(!target.input.contains(limits::steers));
            prop_assert_eq!(Target::parse(&target.input), Ok(target));
        }
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_read_again_the_same(text in "(\\PC|\\p{Cf}){0,80}") {
        if let Ok(target) = Target::parse(&text) {
            prop_assert!(!target.input.contains(limits::steers));
            prop_assert_eq!(Target::parse(&target.input), Ok(target.clone()));
            prop_assert_eq!(Host::parse(&target.host.to_string()), Ok(target.host));
        }
    }
}
