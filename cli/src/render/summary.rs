//! What one vantage saw of the target over one IP family, in a few words for a table's cell.

use std::{collections::BTreeMap, net::IpAddr};

use anstyle::Style;
use onlyhere_proto::{
    CertificateError, Facts, Family, Layer, Micros, Observation, Outcome, Purpose, Stage, Target,
};

use super::style::{BAD, DIM, GOOD};

/// A few words, and how they are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) words: String,
    pub(super) mood: Mood,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Bad,
    /// Nothing was measured, or there is nothing to measure.
    None,
}

impl Mood {
    pub(super) const fn style(self) -> Style {
        match self {
            Self::Good => GOOD,
            Self::Bad => BAD,
            Self::None => DIM,
        }
    }
}

impl Cell {
    fn good(words: impl Into<String>) -> Self {
        Self {
            words: format!("✓ {}", words.into()),
            mood: Mood::Good,
        }
    }

    fn bad(words: impl Into<String>) -> Self {
        Self {
            words: format!("✗ {}", words.into()),
            mood: Mood::Bad,
        }
    }

    fn none(words: &str) -> Self {
        Self {
            words: words.to_owned(),
            mood: Mood::None,
        }
    }

    /// Whether it says anything about the target.
    pub(super) fn is_measured(&self) -> bool {
        self.mood != Mood::None
    }
}

/// Sums up what one vantage saw of `target` over `family`.
pub(super) fn cell(target: &Target, observations: &[Observation], family: Family) -> Cell {
    let ours = observations
        .iter()
        .filter(|o| o.family == Some(family) && is_about(target, o));
    let (names, rest): (Vec<&Observation>, Vec<_>) = ours.partition(|o| o.stage == Stage::Dns);
    if target.layer == Layer::Dns {
        return answered(&names);
    }
    let wanted = |o: &&Observation| (o.stage == Stage::Icmp) == (target.layer == Layer::Ping);
    let tries = tries(rest.into_iter().filter(wanted));
    match tries.is_empty() {
        true => unresolved(&names),
        false => tried(&tries),
    }
}

/// Whether a vantage measured anything of the target at all.
pub(crate) fn has_measured(target: &Target, observations: &[Observation]) -> bool {
    observations
        .iter()
        .any(|o| is_about(target, o) && o.outcome != Outcome::NotMeasured)
}

/// Whether a vantage fails at the target, over either family.
pub(crate) fn fails(target: &Target, observations: &[Observation]) -> bool {
    [Family::V4, Family::V6]
        .iter()
        .any(|family| cell(target, observations, *family).mood == Mood::Bad)
}

fn is_about(target: &Target, o: &Observation) -> bool {
    let own = matches!(
        o.purpose,
        Purpose::Target | Purpose::Retry | Purpose::Address | Purpose::Sibling
    );
    own && o.host == target.host.to_string() && o.port.is_none_or(|port| Some(port) == target.port)
}

/// One address, tried once: how far it came.
struct Try<'a> {
    /// The stage that decided: the failing one, or the deepest.
    last: &'a Observation,
    /// Of the TCP connection, or else of the deciding stage.
    time: Micros,
}

/// The tries of each address, in order of time.
fn tries<'a>(
    observations: impl Iterator<Item = &'a Observation>,
) -> BTreeMap<IpAddr, Vec<Try<'a>>> {
    let mut stages: BTreeMap<(IpAddr, u32), Vec<&Observation>> = BTreeMap::new();
    for observation in observations {
        if let Some(address) = observation.address {
            stages
                .entry((address, observation.request))
                .or_default()
                .push(observation);
        }
    }
    let mut tries: BTreeMap<IpAddr, Vec<Try<'a>>> = BTreeMap::new();
    for ((address, _), mut stages) in stages {
        stages.sort_by_key(|o| o.sequence);
        let connect = stages
            .iter()
            .find(|o| o.stage == Stage::Tcp)
            .map(|o| o.elapsed_ms);
        if let Some(&last) = stages.last() {
            let time = if last.outcome == Outcome::Ok {
                connect.unwrap_or(last.elapsed_ms)
            } else {
                last.elapsed_ms
            };
            tries.entry(address).or_default().push(Try { last, time });
        }
    }
    tries
}

fn tried(tries: &BTreeMap<IpAddr, Vec<Try>>) -> Cell {
    let measured: Vec<Vec<&Try>> = tries
        .values()
        .map(|of_one| {
            of_one
                .iter()
                .filter(|t| t.last.outcome != Outcome::NotMeasured)
                .collect()
        })
        .filter(|of_one: &Vec<&Try>| !of_one.is_empty())
        .collect();
    if measured.is_empty() {
        let all = tries.values().flatten();
        return not_measured(all.map(|t| t.last).next());
    }
    let failed = |t: &&&Try| t.last.outcome != Outcome::Ok;
    let fails = |of_one: &&Vec<&Try>| of_one.iter().any(|t| failed(&t));
    let failing = measured.iter().filter(fails).count();
    let Some(worst) = measured.iter().flatten().find(failed) else {
        let fastest = measured
            .iter()
            .flatten()
            .map(|t| t.time)
            .min()
            .unwrap_or_default();
        return Cell::good(time(fastest));
    };
    if failing < measured.len() {
        return Cell::bad(format!(
            "{failing} of {}: {}",
            measured.len(),
            word(worst.last)
        ));
    }
    let count: usize = measured.iter().map(Vec::len).sum();
    let failures = measured.iter().flatten().filter(failed).count();
    if failures < count {
        return Cell::bad(format!("{failures} of {count} tries: {}", word(worst.last)));
    }
    match worst.last.outcome {
        Outcome::BadCertificate | Outcome::HttpStatus => Cell::bad(word(worst.last)),
        _ => Cell::bad(format!("{} {}", word(worst.last), time(worst.time))),
    }
}

fn not_measured(example: Option<&Observation>) -> Cell {
    match example.and_then(|o| o.detail.as_deref()) {
        Some(why) if why.chars().count() <= 14 => Cell::none(&format!("– {why}")),
        _ => Cell::none("– not measured"),
    }
}

/// Without an address there was nothing to try.
fn unresolved(names: &[&Observation]) -> Cell {
    let failed = names.iter().find(|o| {
        !matches!(
            o.outcome,
            Outcome::Ok | Outcome::NoAnswer | Outcome::NotMeasured
        )
    });
    match failed {
        Some(o) => Cell::bad(word(o)),
        None if names.iter().any(|o| o.outcome == Outcome::NoAnswer) => Cell::none("– no address"),
        None => not_measured(
            names
                .iter()
                .copied()
                .find(|o| o.outcome == Outcome::NotMeasured),
        ),
    }
}

/// Of a `dns://` target.
fn answered(names: &[&Observation]) -> Cell {
    let answer = names.iter().find(|o| o.outcome == Outcome::Ok);
    match answer.map(|o| &o.facts) {
        Some(Some(Facts::Dns(facts))) => match &facts.answers[..] {
            [one] => Cell::good(one.address.to_string()),
            many => Cell::good(format!("{} addresses", many.len())),
        },
        Some(_) => Cell::good("answered"),
        None => unresolved(names),
    }
}

/// The deciding outcome, short.
fn word(o: &Observation) -> String {
    let certificate = match &o.facts {
        Some(Facts::Tls(tls)) => tls.error,
        _ => None,
    };
    let text = match (o.stage, o.outcome) {
        (Stage::Http, Outcome::HttpStatus) => match &o.facts {
            Some(Facts::Http(http)) => return format!("HTTP {}", http.status),
            _ => "HTTP error",
        },
        (_, Outcome::BadCertificate) => match certificate {
            Some(CertificateError::Expired) => "expired",
            Some(CertificateError::NotYetValid) => "not yet valid",
            Some(CertificateError::NameMismatch) => "other name",
            Some(CertificateError::UnknownIssuer) => "untrusted",
            Some(CertificateError::Revoked) => "revoked",
            _ => "certificate",
        },
        (Stage::Dns, Outcome::Nxdomain) => "no such name",
        (Stage::Dns, Outcome::Servfail) => "DNS fails",
        (Stage::Dns, Outcome::Timeout) => "DNS silent",
        (Stage::Dns, Outcome::Refused) => "DNS refuses",
        (Stage::Dns, _) => "DNS",
        (Stage::Tls, Outcome::Timeout) => "TLS silent",
        (Stage::Tls, Outcome::TlsAlert) => "TLS alert",
        (Stage::Http, Outcome::Timeout) => "HTTP silent",
        (_, Outcome::Ok) => "ok",
        (_, Outcome::Refused) => "refused",
        (_, Outcome::Timeout) => "timeout",
        (_, Outcome::Reset) => "reset",
        (_, Outcome::Unreachable) => "unreachable",
        (_, Outcome::Denied) => "prohibited",
        (_, Outcome::Nxdomain) => "no such name",
        (_, Outcome::Servfail) => "DNS fails",
        (_, Outcome::NoAnswer) => "no address",
        (_, Outcome::TlsAlert) => "alert",
        (_, Outcome::HttpStatus) => "HTTP error",
        (_, Outcome::Closed) => "closed",
        (_, Outcome::NotMeasured) => "not measured",
    };
    text.to_owned()
}

/// An elapsed time with two or three digits.
pub(super) fn time(elapsed: Micros) -> String {
    let millis = elapsed.as_millis();
    match millis {
        m if m < 9.95 => format!("{m:.1} ms"),
        m if m < 999.5 => format!("{m:.0} ms"),
        m => format!("{:.1} s", m / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::{
        DnsAnswer, DnsFacts, HttpFacts, RecordType, ResolverKind, Timestamp, TlsFacts, VantageName,
    };

    use super::*;

    /// Stage, outcome, address, request, milliseconds.
    type Row<'a> = (Stage, Outcome, &'a str, u32, u64);

    fn observations(target: &Target, rows: &[Row]) -> Vec<Observation> {
        let observation =
            |(sequence, &(stage, outcome, address, request, millis)): (u32, &Row)| Observation {
                check: "01JD0000000000000000000000".parse().unwrap(),
                request,
                sequence,
                vantage: VantageName::you(),
                purpose: if request == 1 {
                    Purpose::Target
                } else {
                    Purpose::Retry
                },
                stage,
                host: target.host.to_string(),
                source: None,
                address: address.parse().ok(),
                port: target
                    .port
                    .filter(|_| !matches!(stage, Stage::Dns | Stage::Icmp)),
                family: Some(if address.contains(':') {
                    Family::V6
                } else {
                    Family::V4
                }),
                started_at: Timestamp(0),
                elapsed_ms: Micros(millis * 1_000),
                slot: request,
                outcome,
                said_by: None,
                detail: None,
                facts: None,
            };
        (0..).zip(rows).map(observation).collect()
    }

    fn words(target: &str, rows: &[Row]) -> String {
        let target = Target::parse(target).unwrap();
        cell(&target, &observations(&target, rows), Family::V4).words
    }

    #[test]
    fn a_cell_says_the_deciding_stage_of_the_worst_address() {
        use Outcome::{NoAnswer, NotMeasured, Nxdomain, Ok, Refused, Reset, Timeout};
        use Stage::{Dns, Icmp, Tcp, Tls};
        let web = "https://shop.example";
        let cases: [(&str, &[Row], &str); 15] = [
            (
                web,
                &[(Tcp, Ok, "192.0.2.1", 1, 31), (Tls, Ok, "192.0.2.1", 1, 60)],
                "✓ 31 ms",
            ),
            (
                web,
                &[
                    (Tcp, Ok, "192.0.2.1", 1, 31),
                    (Tls, Reset, "192.0.2.1", 1, 60),
                ],
                "✗ reset 60 ms",
            ),
            (
                web,
                &[
                    (Tcp, Ok, "192.0.2.1", 1, 31),
                    (Tcp, Refused, "192.0.2.2", 1, 4),
                ],
                "✗ 1 of 2: refused",
            ),
            (
                web,
                &[
                    (Tcp, Ok, "192.0.2.1", 1, 31),
                    (Tcp, NotMeasured, "192.0.2.2", 1, 0),
                ],
                "✓ 31 ms",
            ),
            (
                web,
                &[
                    (Tcp, Refused, "192.0.2.1", 1, 9),
                    (Tcp, Refused, "192.0.2.1", 2, 8),
                ],
                "✗ refused 9.0 ms",
            ),
            (
                web,
                &[
                    (Tcp, Refused, "192.0.2.1", 1, 9),
                    (Tcp, Ok, "192.0.2.1", 2, 8),
                ],
                "✗ 1 of 2 tries: refused",
            ),
            (
                web,
                &[(Tcp, Timeout, "192.0.2.1", 1, 3_000)],
                "✗ timeout 3.0 s",
            ),
            (
                web,
                &[(Tcp, NotMeasured, "192.0.2.1", 1, 0)],
                "– not measured",
            ),
            (web, &[(Tcp, Ok, "2001:db8::1", 1, 5)], "– not measured"),
            (
                web,
                &[
                    (Icmp, Timeout, "192.0.2.1", 1, 3_000),
                    (Tcp, Ok, "192.0.2.1", 1, 5),
                ],
                "✓ 5.0 ms",
            ),
            (web, &[(Dns, Nxdomain, "", 1, 5)], "✗ no such name"),
            (web, &[(Dns, NoAnswer, "", 1, 5)], "– no address"),
            (web, &[], "– not measured"),
            (
                "ping://192.0.2.1",
                &[(Icmp, Ok, "192.0.2.1", 1, 12)],
                "✓ 12 ms",
            ),
            (
                "dns://shop.example",
                &[(Dns, Timeout, "", 1, 3_000)],
                "✗ DNS silent",
            ),
        ];
        for (target, rows, expected) in cases {
            assert_eq!(words(target, rows), expected, "{target} {rows:?}");
        }
    }

    #[test]
    fn facts_make_the_word_exact() {
        let target = Target::parse("https://shop.example").unwrap();
        let mut tls = observations(
            &target,
            &[(Stage::Tls, Outcome::BadCertificate, "192.0.2.1", 1, 5)],
        );
        tls[0].facts = Some(Facts::Tls(TlsFacts {
            error: Some(CertificateError::Expired),
            ..TlsFacts::default()
        }));
        assert_eq!(cell(&target, &tls, Family::V4).words, "✗ expired");

        let mut http = observations(
            &target,
            &[(Stage::Http, Outcome::HttpStatus, "192.0.2.1", 1, 5)],
        );
        http[0].facts = Some(Facts::Http(HttpFacts {
            version: "HTTP/1.1".into(),
            status: 503,
            headers: Vec::new(),
            location: None,
            body_length: 0,
            body_sha256: None,
        }));
        assert_eq!(cell(&target, &http, Family::V4).words, "✗ HTTP 503");

        let name = Target::parse("dns://shop.example").unwrap();
        let mut dns = observations(&name, &[(Stage::Dns, Outcome::Ok, "", 1, 5)]);
        let answer = DnsAnswer {
            address: "192.0.2.1".parse().unwrap(),
            ttl_s: 60,
        };
        dns[0].facts = Some(Facts::Dns(DnsFacts {
            resolver: None,
            kind: ResolverKind::System,
            record_type: RecordType::A,
            rcode: Some(0),
            answers: vec![answer],
            cname_chain: Vec::new(),
        }));
        assert_eq!(cell(&name, &dns, Family::V4).words, "✓ 192.0.2.1");
    }

    #[test]
    fn other_hosts_ports_and_purposes_are_left_out() {
        let target = Target::parse("https://shop.example").unwrap();
        let mut all = observations(
            &target,
            &[(Stage::Tcp, Outcome::Refused, "192.0.2.1", 1, 5); 3],
        );
        all[0].host = "control.example".into();
        all[1].port = Some(80);
        all[2].purpose = Purpose::Control;
        assert_eq!(cell(&target, &all, Family::V4).words, "– not measured");
    }

    #[test]
    fn times_have_two_or_three_digits() {
        for (micros, shown) in [
            (0, "0.0 ms"),
            (96, "0.1 ms"),
            (9_949, "9.9 ms"),
            (9_951, "10 ms"),
            (999_400, "999 ms"),
            (999_600, "1.0 s"),
            (12_345_678, "12.3 s"),
        ] {
            assert_eq!(time(Micros(micros)), shown);
        }
    }
}
