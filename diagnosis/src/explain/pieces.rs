//! The pieces of evidence: each a sentence that a person can check, and how to forget what it is about.

use std::collections::{BTreeMap, BTreeSet};

use onlyhere_proto::{Layer, Stage};

use super::Finding;
use super::headline::networks;
use super::phrase;
use crate::digest::{Attempt, Digest, Seen};
use crate::resolution::Resolution;
use crate::sign::{Kind, Origin, Place};

/// One sentence, who it is about, and how to forget it.
pub(super) struct Piece {
    pub(super) says: String,
    pub(super) vantages: Vec<usize>,
    forget: Box<dyn Fn(&mut Seen)>,
}

impl Piece {
    /// Takes what the sentence is about out of a digest.
    pub(super) fn forget(&self, digest: &mut Digest) {
        for vantage in &self.vantages {
            (self.forget)(&mut digest.vantages[*vantage]);
        }
    }
}

/// All pieces, in the order in which a person would tell them: the question first, then who else was asked, then what
/// was looked at more closely.
pub(super) fn pieces(f: Finding<'_>) -> Vec<Piece> {
    let siblings: Vec<usize> = f.others().filter(|v| f.is_sibling(*v)).collect();
    let strangers: Vec<usize> = f.others().filter(|v| !f.is_sibling(*v)).collect();
    let mut all = Vec::new();
    all.extend(own_name(f));
    all.extend(own_hosts_file(f));
    all.extend(own_attempts(f));
    all.extend(names_of_others(f));
    all.extend(attempts_of(f, &strangers));
    all.extend(attempts_of(f, &siblings));
    all.extend(per_address(f));
    all.extend(own_origin(f));
    all.extend(own_controls(f));
    all.extend(echoes(f));
    all.extend(other_ports(f));
    all.extend(later_slots(f));
    if f.case.target.layer == Layer::Ping {
        for piece in &mut all {
            piece.says = piece.says.replace("connect", "answer");
        }
    }
    all
}

fn own_attempts(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    let first = seen
        .attempts
        .iter()
        .find(|a| !a.is_ok())
        .or(seen.attempts.first())?;
    let tries = seen.attempts.len();
    let same = seen
        .attempts
        .iter()
        .filter(|a| a.sign.kind == first.sign.kind)
        .count();
    let says = format!(
        "From here {host}{what}, after {time}{times}",
        host = format_args!("{} ", f.digest.addresses[first.address].ip),
        what = match first.sign.kind {
            Kind::Ok => "connects".to_owned(),
            _ => phrase::predicate(first)
                .replace("is refused", "refuses")
                .replace("is turned away", "turns us away")
                .replace("is told that it is unreachable", "is unreachable")
                .replace("gets no answer", "does not answer")
                .replace("gets", "answers with"),
        },
        time = phrase::time(
            first
                .connect
                .filter(|_| first.is_ok())
                .unwrap_or(first.elapsed)
        ),
        times = if tries > 1 {
            format!("; {same} of {tries} attempts alike")
        } else {
            String::new()
        },
    ) + other_certificate(f, first);
    Some(Piece {
        says,
        vantages: vec![subject],
        forget: Box::new(|s| s.attempts.clear()),
    })
}

/// Whether everybody else is shown another certificate than the subject, where that is what fails.
fn other_certificate(f: Finding<'_>, own: &Attempt) -> &'static str {
    let mut elsewhere = f
        .others()
        .flat_map(|v| &f.digest.vantages[v].attempts)
        .filter_map(|a| a.certificate.as_ref())
        .peekable();
    let fails = matches!(
        own.sign.kind,
        Kind::TlsExpired | Kind::TlsName | Kind::TlsUntrusted | Kind::TlsOther
    );
    match (&own.certificate, elsewhere.peek().is_some()) {
        (Some(own), true) if fails && elsewhere.all(|other| other != own) => {
            "; nobody else is shown this certificate"
        }
        _ => "",
    }
}

/// Where the subject's refusal was made.
fn own_origin(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    let attempt = seen
        .attempts
        .iter()
        .find(|a| a.sign.origin != Origin::Unknown)?;
    Some(Piece {
        says: origin_sentence(attempt, Digest::round_trip(seen, attempt.address)),
        vantages: vec![subject],
        forget: Box::new(|s| {
            for attempt in &mut s.attempts {
                attempt.sign.origin = Origin::Unknown;
            }
        }),
    })
}

fn origin_sentence(attempt: &Attempt, trip: Option<f64>) -> String {
    let took = phrase::time(attempt.elapsed);
    let away = trip.map_or(String::new(), |trip| {
        format!(", the server is {} away", phrase::time(trip as u64))
    });
    let sender = attempt.icmp.map_or(String::new(), |icmp| {
        format!(" was sent by {} and", icmp.from)
    });
    match attempt.sign.origin {
        Origin::Exact(Place::Own) => {
            format!("The refusal{sender} took {took}{away}: your own machine made it")
        }
        Origin::AtOnce => format!(
            "The refusal took {took}{away}: your own machine made it, or a router beside it (a reset does not say who sent it)"
        ),
        Origin::Exact(Place::Near) => {
            format!("The refusal{sender} took {took}{away}: your own network's gateway made it")
        }
        Origin::Close => format!("The refusal took {took}{away}: it was made on your side"),
        Origin::Exact(Place::Middle) => {
            format!("The refusal{sender} took {took}{away}: a network on the way made it")
        }
        Origin::Between => format!("The refusal took {took}{away}: it was made on the way"),
        Origin::Exact(Place::Edge) => {
            format!(
                "The refusal{sender} took {took}{away}: a router in front of the target made it"
            )
        }
        Origin::Exact(Place::Server) => {
            format!("The refusal{sender} took {took}{away}: the target itself made it")
        }
        Origin::PerhapsClose => format!(
            "The refusal took {took}, much less than anything outside takes: it was made on your side, or the server is very near"
        ),
        Origin::PerhapsFar => {
            format!(
                "The refusal took {took}, about what things outside take: it was not made on your side"
            )
        }
        Origin::Far | Origin::Unknown => {
            format!("The refusal took {took}{away}: as long as the target's own answer")
        }
    }
}

fn own_name(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let resolution = f.digest.vantages[subject].resolution?;
    let host = &f.case.target.host;
    let system = match resolution {
        Resolution::Answer => format!("Your resolver gives an address for {host}"),
        Resolution::Missing => format!("Your resolver says that {host} does not exist"),
        Resolution::Empty => format!("Your resolver knows {host}, without an address"),
        Resolution::Failed => format!("Your resolver fails for {host} (SERVFAIL)"),
        Resolution::Refused => format!("Your resolver refuses to answer for {host}"),
        Resolution::Silent => "Your resolver does not answer".to_owned(),
    };
    let says = match f.digest.vantages[subject].configured {
        Some(Resolution::Answer) if resolution != Resolution::Answer => {
            format!("{system}; another resolver gives one")
        }
        Some(other) if other == resolution => format!("{system}; another resolver says the same"),
        _ => system,
    };
    Some(Piece {
        says,
        vantages: vec![subject],
        forget: Box::new(|s| {
            s.resolution = None;
            s.resolutions.clear();
            s.configured = None;
        }),
    })
}

fn own_hosts_file(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    if !crate::hypothesis::hosts_entry_differs(f.case, f.digest, subject) {
        return None;
    }
    let seen = &f.digest.vantages[subject];
    let entries: Vec<String> = seen
        .hosts_file
        .iter()
        .chain(&f.case.subject.local.hosts_entries)
        .map(ToString::to_string)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    Some(Piece {
        says: format!(
            "Your hosts file says {}, DNS says something else",
            phrase::list(&entries)
        ),
        vantages: vec![subject],
        forget: Box::new(|s| {
            s.hosts_file.clear();
            s.odd_attempts.clear();
        }),
    })
}

fn own_controls(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let controls = &f.digest.vantages[subject].controls;
    let known: Vec<bool> = controls.iter().filter_map(|c| c.ok).collect();
    let ok = known.iter().filter(|ok| **ok).count();
    let v6_dead =
        controls.iter().any(|c| c.v6 == Some(false)) && controls.iter().all(|c| c.v6 != Some(true));
    if known.is_empty() {
        return None;
    }
    let family = if v6_dead && ok > 0 {
        ", none over IPv6"
    } else {
        ""
    };
    Some(Piece {
        says: format!(
            "{ok} of {} that should always work from here {}{family}",
            phrase::count(known.len(), "other site", "other sites"),
            if ok == 1 { "does" } else { "do" }
        ),
        vantages: vec![subject],
        forget: Box::new(|s| s.controls.clear()),
    })
}

/// `6 of 6 other networks connect in 31-120 ms`.
fn attempts_of(f: Finding<'_>, vantages: &[usize]) -> Option<Piece> {
    let heard: Vec<usize> = vantages
        .iter()
        .copied()
        .filter(|v| !f.digest.vantages[*v].attempts.is_empty())
        .collect();
    if heard.is_empty() {
        return None;
    }
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for vantage in &heard {
        let attempts = &f.digest.vantages[*vantage].attempts;
        let first = attempts
            .iter()
            .find(|a| !a.is_ok())
            .filter(|_| !f.digest.vantages[*vantage].reaches())
            .unwrap_or(&attempts[0]);
        let says = match first.sign.kind {
            _ if f.digest.vantages[*vantage].reaches() => "connects".to_owned(),
            _ => {
                let mut plain = first.clone();
                // Each sender is another; together they are "ICMP".
                plain.icmp = plain.icmp.filter(|_| heard.len() == 1);
                phrase::predicate(&plain)
            }
        };
        kinds.entry(says).or_default().push(*vantage);
    }
    let mut kinds: Vec<(String, Vec<usize>)> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
    let (most, who) = &kinds[0];
    let subject = subject_of(f, vantages, who, &heard);
    let predicate = if who.len() == 1 {
        most.clone()
    } else {
        phrase::plural(most)
    };
    let time = times(f, who, most == "connects");
    Some(Piece {
        says: format!("{subject} {predicate}{time}"),
        vantages: heard.clone(),
        forget: Box::new(|s| s.attempts.clear()),
    })
}

fn subject_of(f: Finding<'_>, vantages: &[usize], who: &[usize], heard: &[usize]) -> String {
    if vantages.iter().all(|v| f.is_sibling(*v)) {
        let all = phrase::count(heard.len(), "vantage", "vantages");
        return format!("{} of {all} in your own network", who.len());
    }
    let all = networks(f, |v| heard.contains(&v));
    let some = networks(f, |v| who.contains(&v));
    let word = if f.subject().is_some() { "other " } else { "" };
    let noun = if all == 1 { "network" } else { "networks" };
    format!("{some} of {all} {word}{noun}")
}

fn times(f: Finding<'_>, who: &[usize], connects: bool) -> String {
    let values: Vec<u64> = who
        .iter()
        .flat_map(|v| &f.digest.vantages[*v].attempts)
        .filter(|a| a.is_ok() == connects && a.sign.kind != Kind::Timeout)
        .map(|a| a.connect.filter(|_| connects).unwrap_or(a.elapsed))
        .collect();
    if values.is_empty() {
        String::new()
    } else {
        format!(" in {}", phrase::range(values))
    }
}

fn names_of_others(f: Finding<'_>) -> Option<Piece> {
    let heard: Vec<usize> = f
        .others()
        .filter(|v| f.digest.vantages[*v].resolution.is_some())
        .collect();
    if heard.is_empty() || !f.case.is_name() {
        return None;
    }
    let resolves = heard
        .iter()
        .filter(|v| f.digest.vantages[**v].resolution == Some(Resolution::Answer))
        .count();
    Some(Piece {
        says: format!(
            "{} resolves for {resolves} of {}",
            f.case.target.host,
            phrase::count(heard.len(), "other vantage", "other vantages")
        ),
        vantages: heard.clone(),
        forget: Box::new(|s| {
            s.resolution = None;
            s.resolutions.clear();
        }),
    })
}

/// `198.18.1.11 fails for 7 of 7, 198.18.1.10 for 0 of 7`.
fn per_address(f: Finding<'_>) -> Option<Piece> {
    if f.digest.addresses.len() < 2 {
        return None;
    }
    let parts: Vec<String> = f
        .digest
        .addresses
        .iter()
        .enumerate()
        .filter_map(|(index, address)| {
            let of: Vec<bool> = f
                .digest
                .vantages
                .iter()
                .filter_map(|v| {
                    let mut all = v.attempts.iter().filter(|a| a.address == index).peekable();
                    all.peek()?;
                    Some(all.any(Attempt::is_ok))
                })
                .collect();
            let fails = of.iter().filter(|ok| !**ok).count();
            (!of.is_empty())
                .then(|| format!("{} fails for {fails} of {} vantages", address.ip, of.len()))
        })
        .collect();
    let differs = f.digest.vantages.iter().any(|v| v.reaches() && v.fails());
    let everybody: Vec<usize> = (0..f.case.vantages.len()).collect();
    let all = f.digest.addresses.len();
    let worst: Vec<usize> = Some(f.addresses_in_question()).filter(|worst| worst.len() < all)?;
    differs.then(|| Piece {
        says: phrase::list(&parts),
        vantages: everybody
            .iter()
            .copied()
            .filter(|v| !f.digest.vantages[*v].attempts.is_empty())
            .collect(),
        forget: Box::new(move |s| s.attempts.retain(|a| !worst.contains(&a.address))),
    })
}

fn echoes(f: Finding<'_>) -> Option<Piece> {
    let heard: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| !f.digest.vantages[*v].pings.is_empty())
        .collect();
    if heard.is_empty() {
        return None;
    }
    let answered = heard
        .iter()
        .filter(|v| f.digest.vantages[**v].pings.iter().any(|(_, ok)| *ok))
        .count();
    Some(Piece {
        says: format!(
            "The host answers echo requests of {answered} of {}",
            phrase::count(heard.len(), "vantage", "vantages")
        ),
        vantages: heard.clone(),
        forget: Box::new(|s| s.pings.clear()),
    })
}

fn other_ports(f: Finding<'_>) -> Option<Piece> {
    let heard: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| !f.digest.vantages[*v].other_ports.is_empty())
        .collect();
    let ports: BTreeSet<(u16, bool)> = heard
        .iter()
        .flat_map(|v| &f.digest.vantages[*v].other_ports)
        .map(|(_, port, answered, _)| (*port, *answered))
        .collect();
    if ports.is_empty() {
        return None;
    }
    let answering: BTreeSet<u16> = ports
        .iter()
        .filter(|(_, ok)| *ok)
        .map(|(port, _)| *port)
        .collect();
    let named = |set: &BTreeSet<u16>| {
        phrase::list(&set.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let tried: BTreeSet<u16> = ports.iter().map(|(port, _)| *port).collect();
    let says = if answering.is_empty() {
        format!(
            "No other port of the host answers (tried {})",
            named(&tried)
        )
    } else {
        format!("Other ports of the host answer ({})", named(&answering))
    };
    Some(Piece {
        says,
        vantages: heard.clone(),
        forget: Box::new(|s| s.other_ports.clear()),
    })
}

/// What came of trying again later.
fn later_slots(f: Finding<'_>) -> Option<Piece> {
    let later: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| f.digest.vantages[*v].attempts.iter().any(|a| a.slot > 0))
        .collect();
    if later.is_empty() {
        return None;
    }
    let changed = later.iter().any(|v| {
        let attempts = &f.digest.vantages[*v].attempts;
        attempts.iter().any(|late| {
            late.slot > 0
                && attempts.iter().any(|early| {
                    early.slot == 0
                        && early.address == late.address
                        && early.is_ok() != late.is_ok()
                        && (late.depth >= Stage::Tls || early.sign.kind.stage() <= Stage::Tcp)
                })
        })
    });
    Some(Piece {
        says: if changed {
            "Tried again a second or more later: another result".to_owned()
        } else {
            "Tried again a second or more later: the same result".to_owned()
        },
        vantages: later.clone(),
        forget: Box::new(|s| s.attempts.retain(|a| a.slot == 0)),
    })
}
