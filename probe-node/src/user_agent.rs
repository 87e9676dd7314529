//! What HTTP requests say of who asks: the program, and whom to write to about it.

use http::HeaderValue;

/// Longest contact, bytes.
const CONTACT: usize = 200;

/// For a person's own machine.
pub(crate) fn of_a_person() -> HeaderValue {
    HeaderValue::from_static(concat!(
        "onlyhere/",
        env!("CARGO_PKG_VERSION"),
        " (reachability check, not a crawler)"
    ))
}

/// For a vantage that works for others. `contact` is its owner's: a page or a mail address; empty where none is named.
///
/// # Errors
/// What is no contact, in one sentence that says what would be right.
pub fn of_a_probe(contact: &str) -> Result<HeaderValue, InvalidContact> {
    const PROGRAM: &str = concat!("onlyhere-probe/", env!("CARGO_PKG_VERSION"));
    if contact.is_empty() {
        let text = format!("{PROGRAM} (reachability check, not a crawler)");
        return HeaderValue::try_from(text).map_err(|_| InvalidContact(String::new()));
    }
    let wrong = || InvalidContact(onlyhere_proto::limits::plain_text(contact, 80));
    // Parentheses would end the comment that it stands in (RFC 9110, 5.6.5).
    let clean = contact
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"()\\\"".contains(&byte));
    if !clean || contact.len() > CONTACT || !is_page_or_mail(contact) {
        return Err(wrong());
    }
    HeaderValue::try_from(format!("{PROGRAM} (+{contact})")).map_err(|_| wrong())
}

fn is_page_or_mail(contact: &str) -> bool {
    if let Some((user, host)) = contact
        .strip_prefix("mailto:")
        .unwrap_or(contact)
        .split_once('@')
        && !contact.contains('/')
    {
        let host = onlyhere_proto::Host::parse(host);
        return !user.is_empty() && host.is_ok();
    }
    url::Url::parse(contact)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A text that is no contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no contact: write a page (https://example.org/probe) or a mail address (noc@example.org), up to 200 characters"
)]
pub struct InvalidContact(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_named_where_he_names_himself_and_nobody_is_made_up() {
        let of = |contact: &str| of_a_probe(contact).unwrap().to_str().unwrap().to_owned();
        let program = format!("onlyhere-probe/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            of(""),
            format!("{program} (reachability check, not a crawler)")
        );
        for contact in [
            "https://example.org/probe",
            "noc@example.org",
            "mailto:noc@example.org",
        ] {
            assert_eq!(of(contact), format!("{program} (+{contact})"));
        }
        assert!(of_a_person().to_str().unwrap().starts_with("onlyhere/"));
    }

    #[test]
    fn what_is_no_contact_is_refused() {
        let long = format!("https://example.org/{}", "a".repeat(200));
        for contact in [
            "example.org",
            "javascript:alert(1)",
            "ftp://example.org",
            "https://example.org/a b",
            "https://example.org/\r\nX-Evil: 1",
            "https://example.org/)",
            "@example.org",
            "noc@",
            "bücher@example.org",
            long.as_str(),
        ] {
            let error = of_a_probe(contact).expect_err(contact).to_string();
            assert!(error.contains("is no contact: write a page"), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}
