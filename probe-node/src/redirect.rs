//! Where an HTTP answer sends a client.
//!
//! A redirect is followed at most five times. One that leads in a circle, or on and on, is no failure of the target: a
//! browser with cookies may be let through where a plain client is not. The answer keeps its outcome, and says why
//! nobody followed it.

use onlyhere_proto::{Facts, Host, Layer, Stage, Target};
use url::Url;

use crate::probe::Seen;

/// Redirects followed one after the other.
const HOPS: usize = 5;

/// What an answer says about where to go.
pub(crate) enum Redirect {
    /// Nowhere.
    None,
    /// There.
    To(Box<Target>),
    /// Somewhere that is not gone to, and why not.
    Stops(String),
}

/// Reads the redirect of an answer; `trail` holds the pages that led to `target`.
pub(crate) fn of(target: &Target, seen: &Seen, trail: &[String]) -> Redirect {
    let Some(Facts::Http(http)) = &seen.facts else {
        return Redirect::None;
    };
    let Some(location) = &http.location else {
        return Redirect::None;
    };
    let here = url_of(target);
    let next = Url::parse(&here).and_then(|here| here.join(location));
    let next = match next {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Target::parse(url.as_str()),
        Ok(url) => {
            return Redirect::Stops(format!("redirects to {}:, which is no page", url.scheme()));
        }
        Err(error) => return Redirect::Stops(format!("redirects to no address ({error})")),
    };
    let next = match next {
        Ok(next) => next,
        Err(error) => return Redirect::Stops(format!("redirects to no target: {error}")),
    };
    let url = url_of(&next);
    if url == here || trail.contains(&url) {
        return Redirect::Stops("redirects in a circle, at least without cookies".to_owned());
    }
    if trail.len() >= HOPS {
        return Redirect::Stops(format!(
            "redirects on and on; {HOPS} redirects were followed"
        ));
    }
    Redirect::To(Box::new(next))
}

/// The page of a web target, as a URL.
pub(crate) fn url_of(target: &Target) -> String {
    let host = match &target.host {
        Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        host => host.to_string(),
    };
    let scheme = if target.layer == Layer::Http {
        "http"
    } else {
        "https"
    };
    let port = target
        .port
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", target.path)
}

/// Whether both are pages of one server.
pub(crate) fn same_server(a: &Target, b: &Target) -> bool {
    debug_assert_eq!(a.depth(), Stage::Http);
    (a.layer, &a.host, a.port) == (b.layer, &b.host, b.port)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onlyhere_proto::HttpFacts;

    use super::*;

    fn answer(location: &str) -> Seen {
        let mut seen = Seen::ok(Duration::ZERO);
        seen.facts = Some(Facts::Http(HttpFacts {
            version: "HTTP/1.1".into(),
            status: 302,
            headers: Vec::new(),
            location: Some(location.into()),
            body_length: 0,
            body_sha256: None,
        }));
        seen
    }

    fn read(from: &str, location: &str, trail: &[&str]) -> String {
        let trail: Vec<_> = trail.iter().map(|t| (*t).to_owned()).collect();
        match of(&Target::parse(from).unwrap(), &answer(location), &trail) {
            Redirect::None => "nowhere".to_owned(),
            Redirect::To(next) => url_of(&next),
            Redirect::Stops(why) => why,
        }
    }

    #[test]
    fn relative_and_absolute_locations_lead_to_a_target() {
        let shop = "https://shop.example/a/b?c";
        for (location, leads) in [
            ("/login", "https://shop.example:443/login"),
            ("d", "https://shop.example:443/a/d"),
            ("?e=f", "https://shop.example:443/a/b?e=f"),
            ("//www.shop.example/x", "https://www.shop.example:443/x"),
            ("http://shop.example:8080", "http://shop.example:8080/"),
            ("https://[2001:db8::1]/", "https://[2001:db8::1]:443/"),
            (
                "mailto:a@b.example",
                "redirects to mailto:, which is no page",
            ),
            (
                "javascript:alert(1)",
                "redirects to javascript:, which is no page",
            ),
        ] {
            assert_eq!(read(shop, location, &[]), leads, "{location}");
        }
        assert!(
            read(shop, "https://me:secret@shop.example/", &[]).contains("user name or password")
        );
        assert!(read(shop, "https://", &[]).contains("no address"));
    }

    #[test]
    fn circles_and_endless_walks_stop() {
        let says = "redirects in a circle, at least without cookies";
        assert_eq!(read("https://shop.example/a", "/a", &[]), says);
        assert_eq!(
            read(
                "https://shop.example/b",
                "/a",
                &["https://shop.example:443/a"]
            ),
            says
        );
        let trail = ["1", "2", "3", "4", "5"];
        assert!(read("https://shop.example/b", "/c", &trail).starts_with("redirects on and on"));
    }
}
