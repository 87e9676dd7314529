//! What happens on a connection once it stands: handshake and page, with whatever stands in their way.

use onlyhere_proto::{
    Certificate, CertificateError, Facts, HttpFacts, HttpHeader, Outcome, SaidBy, Stage, Timestamp,
    TlsFacts,
};

use crate::answer::EPOCH_S;
use crate::network::{Step, Trip};
use crate::random::Random;
use crate::rule::{Does, Rule};
use crate::world::{Machine, Presented};

/// One connection that stands.
pub(crate) struct Exchange<'a> {
    pub(crate) trip: &'a Trip<'a>,
    pub(crate) machine: &'a Machine,
    pub(crate) hello: Option<Rule>,
    pub(crate) page: Option<Rule>,
    pub(crate) round_trip: f64,
    pub(crate) think_ms: f64,
    pub(crate) random: &'a mut Random,
}

impl Exchange<'_> {
    /// Adds the stages that the trip asks for, as far as they succeed.
    pub(crate) fn go_on(&mut self, steps: &mut Vec<Step>) {
        if self.trip.tls {
            let step = self.handshake();
            let ok = step.outcome == Outcome::Ok;
            steps.push(step);
            if !ok {
                return;
            }
        }
        if self.trip.web {
            steps.push(self.visit());
        }
    }

    fn handshake(&mut self) -> Step {
        let name = Some(self.trip.host.to_owned());
        let elapsed = self.round_trip * 1.1 + self.random.between(1.0, 9.0);
        let blank = TlsFacts {
            server_name: name,
            ..TlsFacts::default()
        };
        let failed = |elapsed, outcome| {
            let mut step = Step::new(Stage::Tls, elapsed, outcome);
            step.facts = Some(Facts::Tls(blank.clone()));
            step
        };
        let rule = self.hello.take().map(|r| r.does);
        let presented = match rule {
            Some(Does::HelloReset) => {
                let mut step = failed(
                    self.round_trip * self.random.between(0.2, 1.0),
                    Outcome::Reset,
                );
                step.said_by = Some(SaidBy::Rst);
                return step;
            }
            Some(Does::HelloDrop | Does::BigDrop) => {
                return failed(self.trip.timeout_ms, Outcome::Timeout);
            }
            Some(Does::Present(presented)) => presented,
            _ => self.machine.presented.clone(),
        };
        let error = presented.error.or_else(|| {
            let fits = presented.names.iter().any(|name| name == self.trip.host);
            (!fits).then_some(CertificateError::NameMismatch)
        });
        let outcome = match error {
            Some(_) => Outcome::BadCertificate,
            None => Outcome::Ok,
        };
        let mut step = Step::new(Stage::Tls, elapsed, outcome);
        step.facts = Some(Facts::Tls(TlsFacts {
            version: Some("TLSv1.3".to_owned()),
            alpn: error.is_none().then(|| "h2".to_owned()),
            certificates: vec![certificate(&presented)],
            error,
            ..blank
        }));
        step
    }

    fn visit(&mut self) -> Step {
        let elapsed = self.round_trip + self.random.exponential(self.think_ms) + 1.0;
        let hello = self.hello.take().map(|r| r.does);
        let failed = |elapsed, outcome| Step::new(Stage::Http, elapsed, outcome);
        match hello {
            // Without TLS the name stands in the request.
            Some(Does::HelloReset) => {
                let mut step = failed(self.round_trip, Outcome::Reset);
                step.said_by = Some(SaidBy::Rst);
                return step;
            }
            Some(Does::HelloDrop) => return failed(self.trip.timeout_ms, Outcome::Timeout),
            _ => {}
        }
        match self.page.take().map(|r| r.does) {
            Some(Does::Page(status, headers)) => page(elapsed, status, &headers),
            Some(Does::PageReset) => {
                let mut step = failed(elapsed, Outcome::Reset);
                step.said_by = Some(SaidBy::Rst);
                step
            }
            Some(Does::PageSilence) => failed(self.trip.timeout_ms, Outcome::Timeout),
            Some(Does::PageClose) => failed(elapsed, Outcome::Closed),
            Some(Does::Slow(more)) if elapsed + more >= self.trip.timeout_ms => {
                failed(self.trip.timeout_ms, Outcome::Timeout)
            }
            Some(Does::Slow(more)) => self.own_page(elapsed + more),
            _ => self.own_page(elapsed),
        }
    }

    fn own_page(&self, elapsed: f64) -> Step {
        page(elapsed, self.machine.status, &self.machine.headers)
    }
}

/// An HTTP answer; a status from 400 on is a failure.
pub(crate) fn page(elapsed: f64, status: u16, headers: &[(&str, &str)]) -> Step {
    let outcome = if status >= 400 {
        Outcome::HttpStatus
    } else {
        Outcome::Ok
    };
    let mut step = Step::new(Stage::Http, elapsed, outcome);
    let header = |(name, value): &(&str, &str)| HttpHeader {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    step.facts = Some(Facts::Http(HttpFacts {
        version: "HTTP/1.1".to_owned(),
        status,
        headers: headers.iter().map(header).collect(),
        location: None,
        body_length: 5_120,
        body_sha256: Some(format!("{status:064x}")),
    }));
    step
}

pub(crate) fn certificate(presented: &Presented) -> Certificate {
    let day = |day: i64| Timestamp((EPOCH_S + day * 86_400) * 1_000_000);
    let name = presented.names.first().map_or("", String::as_str);
    let mark = presented
        .issuer
        .bytes()
        .chain(name.bytes())
        .fold(7u64, |sum, byte| {
            sum.wrapping_mul(131).wrapping_add(byte.into())
        });
    Certificate {
        sha256: format!("{mark:064x}"),
        subject: format!("CN={name}"),
        names: presented.names.clone(),
        issuer: presented.issuer.clone(),
        not_before: day(presented.valid.0),
        not_after: day(presented.valid.1),
    }
}
