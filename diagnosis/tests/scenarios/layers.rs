//! Names, certificates and answers.

use onlyhere_proto::{CauseId, CertificateError, Mechanism, Scope};
use world::{Name, Reply, WEB4, World, ip};

use super::*;

#[test]
fn s13_the_name() {
    let run = World::new()
        .resolve(|_, control| {
            if control {
                Name::Is(vec![])
            } else {
                Name::Missing
            }
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::DnsMissing),
        Mechanism::Dns,
    );
    quick(&run);
    let run = World::new()
        .resolve(|_, control| {
            if control {
                Name::Is(vec![])
            } else {
                Name::Failed
            }
        })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::DnsBroken),
        Mechanism::Dns,
    );
    quick(&run);
    // Everywhere but here.
    for said in [Name::Missing, Name::Failed, Name::Silent] {
        for controls_too in [true, false] {
            let said = said.clone();
            let silent = said == Name::Silent;
            let run = World::new()
                .resolve(move |v, control| {
                    if v == "you" && (controls_too || !control) {
                        said.clone()
                    } else {
                        Name::Is(vec![])
                    }
                })
                .run();
            expect(
                &run,
                Scope::Local,
                Some(CauseId::LocalResolver),
                Mechanism::Dns,
            );
            if silent { patient(&run) } else { quick(&run) }
        }
    }
}

#[test]
fn s16_certificates() {
    for (error, cause) in [
        (CertificateError::Expired, CauseId::CertificateExpired),
        (CertificateError::NameMismatch, CauseId::CertificateMismatch),
        (
            CertificateError::UnknownIssuer,
            CauseId::CertificateUntrusted,
        ),
    ] {
        let run = World::new()
            .connect(move |t| {
                if t.web() {
                    Reply::Tls(error)
                } else {
                    Reply::Ok
                }
            })
            .run();
        expect(&run, Scope::Global, Some(cause), Mechanism::Tls);
        quick(&run);
    }
    for controls_too in [true, false] {
        let run = World::new()
            .connect(move |t| {
                if t.by("you") && t.port == 443 && (controls_too || t.target()) {
                    Reply::Tls(CertificateError::UnknownIssuer)
                } else {
                    Reply::Ok
                }
            })
            .run();
        expect(
            &run,
            Scope::Local,
            Some(CauseId::TlsInterception),
            Mechanism::Tls,
        );
        assert!(
            run.verdict
                .evidence
                .iter()
                .any(|e| e.says.contains("nobody else is shown this certificate"))
        );
        quick(&run);
    }
}

#[test]
fn s17_http() {
    let run = World::new()
        .connect(|t| if t.web() { Reply::Http(503) } else { Reply::Ok })
        .run();
    expect(
        &run,
        Scope::Global,
        Some(CauseId::HttpError),
        Mechanism::Http,
    );
    assert_eq!(run.verdict.headline, "HTTP 503 everywhere");
    quick(&run);
    let run = World::new()
        .connect(|t| {
            if t.web() && t.by("you") {
                Reply::Http(403)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::WafBlock),
        Mechanism::Http,
    );
    quick(&run);
    let datacenter = |v: &str| matches!(v, "fra" | "ams" | "nyc" | "sgp");
    let run = World::new()
        .connect(move |t| {
            if t.web() && datacenter(t.vantage) {
                Reply::Http(403)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    quick(&run);
    assert_eq!(run.verdict.advisories[0].cause, Some(CauseId::WafBlock));
    assert_eq!(
        run.verdict.advisories[0].says,
        "4 of 4 datacenter vantages get HTTP 403"
    );
}

#[test]
fn too_many_requests() {
    let run = World::new()
        .connect(|t| {
            if t.web() && t.by("you") {
                Reply::Http(429)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::SourceAddress,
        Some(CauseId::RateLimited),
        Mechanism::Http,
    );
}

#[test]
fn a_wide_name_is_tried_at_every_address() {
    // The subject's resolver gives one address, the others' another: both are tried from here.
    let run = World::new()
        .resolve(|v, control| match (control, v) {
            (true, _) => Name::Is(vec![]),
            (_, "you" | "sibling") => Name::Is(vec![ip(WEB4)]),
            _ => Name::Is(vec![ip("198.18.1.11")]),
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
    assert_eq!(run.rounds, 2);
    // And one that is dead for everybody is found though only others were sent there.
    let run = World::new()
        .resolve(|v, control| match (control, v) {
            (true, _) => Name::Is(vec![]),
            (_, "you" | "sibling") => Name::Is(vec![ip(WEB4)]),
            _ => Name::Is(vec![ip(WEB4), ip("198.18.1.11")]),
        })
        .connect(|t| {
            if t.web() && t.address == ip("198.18.1.11") {
                Reply::Rst(None)
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(
        &run,
        Scope::TargetAddress,
        Some(CauseId::AddressDown),
        Mechanism::Refused,
    );
}

#[test]
fn a_vantage_that_lies_about_the_name_adds_no_address() {
    let run = World::new()
        .resolve(|v, control| match (control, v) {
            (false, "nyc") => Name::Is(vec![ip("198.18.6.66")]),
            _ => Name::Is(vec![]),
        })
        .connect(|t| {
            if t.address == ip("198.18.6.66") {
                Reply::Drop
            } else {
                Reply::Ok
            }
        })
        .run();
    expect(&run, Scope::Ok, None, Mechanism::None);
}

#[test]
fn a_name_that_leads_inside_somebodys_network() {
    for reply in [Reply::Drop, Reply::NoFamily] {
        let run = World::new()
            .addresses(&["10.1.2.3"])
            .connect(move |t| match (t.target(), t.vantage) {
                (true, "you") => reply,
                (true, _) => Reply::NoFamily,
                _ => Reply::Ok,
            })
            .echo(|t| t.control)
            .run();
        assert_eq!(run.verdict.scope, Scope::Global, "{}", run.verdict.headline);
        assert_eq!(run.verdict.causes[0].id, CauseId::WrongAddress);
        assert_ne!(run.verdict.mechanism, Mechanism::None);
    }
}
