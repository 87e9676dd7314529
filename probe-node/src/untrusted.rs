//! What strangers' bytes are read as: the very functions that read what comes off a socket, without the socket.
//!
//! For whoever wants to know what a probe makes of some bytes: fuzzing, and tests with recorded packets. Nothing here
//! sends, and nothing here is written a second time.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use ::http::HeaderValue;
use onlyhere_proto::{
    Certificate, DnsFacts, Facts, HttpFacts, Outcome, RecordType, ResolverKind, Target,
};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    probe::{Question, Seen, dns, http, tls},
    redirect::{self, Redirect},
};

/// What an answer came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<F> {
    /// How the attempt is judged by it.
    pub outcome: Outcome,
    /// For people.
    pub detail: Option<String>,
    /// What else was learned.
    pub facts: Option<F>,
}

/// A packet as the answer to the question for a name's records of one type (RFC 1035, 4); `id` is the question's
/// identifier. `None` for what answers another question and is not listened to.
///
/// # Errors
/// A name that cannot be asked for.
pub fn dns_answer(
    packet: &[u8],
    id: u16,
    name: &str,
    record_type: RecordType,
    resolver: IpAddr,
) -> Result<Option<Answer<DnsFacts>>, String> {
    let mut query = dns::query(dns::name(name)?, dns::rr(record_type), true);
    query.metadata.id = id;
    let question = Question {
        record_type,
        kind: ResolverKind::System,
    };
    let answer = |seen: Seen| Answer {
        outcome: seen.outcome,
        detail: seen.detail,
        facts: match seen.facts {
            Some(Facts::Dns(facts)) => Some(facts),
            _ => None,
        },
    };
    Ok(dns::told_by(packet, &query, question, resolver).map(answer))
}

/// The answer of a web server over a stream that stands for the connection, by HTTP/2 where `h2` was agreed on and by
/// HTTP/1.1 otherwise. Asks for the target's page, and takes no longer than `timeout`.
pub async fn http_answer<S>(
    stream: S,
    target: &Target,
    h2: bool,
    timeout: Duration,
) -> Answer<HttpFacts>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let user_agent = HeaderValue::from_static("onlyhere");
    let exchanged = http::get(stream, target, &user_agent, h2, Instant::now() + timeout).await;
    let failure = exchanged.failure;
    Answer {
        outcome: failure.as_ref().map_or(Outcome::Ok, |f| f.outcome),
        detail: failure.and_then(|failure| failure.detail),
        facts: exchanged.facts,
    }
}

/// Where an answer sends whoever asked for `target`; `trail` holds the pages (as URLs) that led to it. `None` when it
/// sends nowhere, and a reason when it leads to where nobody goes.
pub fn redirect(
    target: &Target,
    answer: &HttpFacts,
    trail: &[String],
) -> Option<Result<Target, String>> {
    let seen = Seen::ok(Duration::ZERO).with_facts(Facts::Http(answer.clone()));
    match redirect::of(target, &seen, trail) {
        Redirect::None => None,
        Redirect::To(next) => Some(Ok(*next)),
        Redirect::Stops(why) => Some(Err(why)),
    }
}

/// A certificate in DER form as facts (RFC 5280); of one that cannot be read, the digest alone.
pub fn certificate(der: &[u8]) -> Certificate {
    tls::described(&CertificateDer::from(der))
}
