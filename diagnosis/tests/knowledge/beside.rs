//! What is said beside the verdict.

use onlyhere_proto::{
    Advisory, CauseId, CertificateError, Facts, HttpFacts, Outcome, Purpose, Scope, Stage, Verdict,
};
use world::{Reply, World, ip};

use super::*;

/// The advisory with a cause.
fn advisory(verdict: &Verdict, cause: CauseId) -> Option<&Advisory> {
    let mut all = verdict.advisories.iter().filter(|a| a.cause == Some(cause));
    let first = all.next();
    assert_eq!(all.next(), None, "told twice");
    first
}

// What is said beside the verdict.

#[test]
fn somebody_who_reads_tls_and_is_trusted_is_told() {
    let healthy = |issuers: &[(&str, &str)]| {
        let mut record = Record::of(&World::new());
        for (vantage, issuer) in issuers {
            record.issued(vantage, issuer);
        }
        let verdict = record.verdict();
        assert_eq!(verdict.scope, Scope::Ok, "{verdict:#?}");
        advisory(&verdict, CauseId::TlsInterception).cloned()
    };
    let (box_, ca) = ("CN=Office Box", "C=US, O=Trust Co, CN=R10");
    let all = |own| {
        [("you", own), ("sibling", own)]
            .into_iter()
            .chain(["fra", "ams", "nyc", "sgp", "par"].map(|v| (v, ca)))
            .collect::<Vec<_>>()
    };
    let told = healthy(&all(box_)).expect("an advisory");
    assert_eq!(
        told.says,
        format!(
            "You are shown a certificate issued by {box_}, 5 other networks one issued by {ca}: something here reads your TLS"
        )
    );
    assert_eq!(told.vantages[0].as_str(), "you");
    // The same for all; another authority of one organisation.
    assert_eq!(healthy(&all(ca)), None);
    assert_eq!(healthy(&all("C=US, O=Trust Co, CN=R11")), None);
    // Somebody else is shown it as well: the site has two.
    let mut two = all(box_);
    two[5].1 = box_;
    assert_eq!(healthy(&two), None);
    // And one with a third of its own.
    let mut three = all(box_);
    three[5].1 = "C=US, O=Other Trust, CN=E1";
    assert_eq!(healthy(&three), None);
}

#[test]
fn one_other_network_does_not_tell_who_reads_tls() {
    let world = World::new().without(&["fra", "ams", "sgp", "par"]);
    let mut record = Record::of(&world);
    record.issued("you", "CN=Office Box");
    record.issued("nyc", "C=US, O=Trust Co, CN=R10");
    let verdict = record.verdict();
    assert_eq!(advisory(&verdict, CauseId::TlsInterception), None);
}

#[test]
fn a_proxy_that_is_dead_beside_the_target_is_told() {
    let down = || {
        let mut world = everywhere(Reply::Rst(None));
        world.proxies = vec![PROXY.into()];
        Record::of(&world)
    };
    let mut record = down();
    record.proxy_refuses();
    let verdict = record.verdict();
    assert_eq!(verdict.causes[0].id, CauseId::ServiceDown, "{verdict:#?}");
    let told = advisory(&verdict, CauseId::LocalProxy).expect("an advisory");
    assert_eq!(
        told.says,
        "The proxy that is set here (http://127.0.0.1:3128) does not work either: refused; what goes through it will fail even when shop.example is back"
    );
    assert_eq!(told.vantages[0].as_str(), "you");
    // A proxy that is well says 502 of a target that is down.
    let mut record = down();
    let status = Facts::Http(HttpFacts {
        version: "HTTP/1.1".into(),
        status: 502,
        headers: Vec::new(),
        location: None,
        body_length: 0,
        body_sha256: None,
    });
    let proxy = Some(ip("127.0.0.1"));
    record.add(
        "you",
        Purpose::ThroughProxy,
        [
            (Stage::Tcp, Outcome::Ok, proxy, None),
            (Stage::Http, Outcome::HttpStatus, proxy, Some(status)),
        ],
    );
    let verdict = record.verdict();
    assert_eq!(verdict.causes[0].id, CauseId::ServiceDown, "{verdict:#?}");
    assert_eq!(advisory(&verdict, CauseId::LocalProxy), None);
}

const DATACENTERS: [&str; 4] = ["fra", "ams", "nyc", "sgp"];

#[test]
fn datacenters_that_are_turned_away_are_told_as_one() {
    for (reply, does) in [
        (Reply::Drop, "get no answer"),
        (Reply::Rst(None), "are refused (reset)"),
        (Reply::Http(403), "get HTTP 403"),
    ] {
        let world = World::new().connect(move |t| {
            if t.web() && DATACENTERS.contains(&t.vantage) {
                reply
            } else {
                Reply::Ok
            }
        });
        let verdict = Record::of(&world).verdict();
        assert_eq!(verdict.scope, Scope::Ok, "{verdict:#?}");
        let told = advisory(&verdict, CauseId::WafBlock).expect("an advisory");
        assert_eq!(told.says, format!("4 of 4 datacenter vantages {does}"));
        assert_eq!(told.vantages.len(), 4);
        assert_eq!(verdict.advisories.len(), 1, "{:#?}", verdict.advisories);
    }
}

#[test]
fn datacenters_that_are_turned_away_beside_another_fault_are_told_as_one() {
    let world = World::new().connect(|t| {
        if !t.web() {
            Reply::Ok
        } else if DATACENTERS.contains(&t.vantage) {
            Reply::Drop
        } else {
            Reply::Rst(None)
        }
    });
    let verdict = Record::of(&world).verdict();
    assert_eq!(verdict.scope, Scope::Global, "{verdict:#?}");
    let told = advisory(&verdict, CauseId::WafBlock).expect("an advisory");
    assert_eq!(told.says, "4 of 4 datacenter vantages get no answer");
    assert_eq!(verdict.advisories.len(), 1, "{:#?}", verdict.advisories);
}

#[test]
fn the_word_of_one_vantage_is_called_so_even_where_it_decides() {
    let world = World::new()
        .alone()
        .connect(|_| Reply::Tls(CertificateError::UnknownIssuer));
    let verdict = Record::of(&world).verdict();
    assert_eq!(verdict.scope, Scope::Local, "{verdict:#?}");
    assert!(
        verdict.next[0].contains("one vantage"),
        "{:#?}",
        verdict.next
    );
}
