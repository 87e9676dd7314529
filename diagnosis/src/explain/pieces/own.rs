//! What the subject saw: its name, its attempts, where the refusal was made, its hosts file, its controls.

use std::collections::BTreeSet;

use super::{Finding, Piece, phrase};
use crate::digest::{Attempt, Digest};
use crate::resolution::Resolution;
use crate::sign::{Kind, Origin, Place};

pub(super) fn own_attempts(f: Finding<'_>) -> Option<Piece> {
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
    );
    Some(Piece::told(says, vec![subject], |s| s.attempts.clear()))
}

/// Where the subject's refusal was made.
pub(super) fn own_origin(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    let seen = &f.digest.vantages[subject];
    let attempt = seen
        .attempts
        .iter()
        .find(|a| a.sign.origin != Origin::Unknown)?;
    Some(Piece {
        says: origin_sentence(attempt, Digest::round_trip(seen, attempt.address)),
        vantages: vec![subject],
        background: false,
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

pub(super) fn own_name(f: Finding<'_>) -> Option<Piece> {
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
    let seen = &f.digest.vantages[subject];
    let second = [
        (seen.configured, "another resolver"),
        (seen.authoritative, "the zone's own servers"),
    ]
    .into_iter()
    .filter_map(|(said, who)| second_voice(resolution, said?, who));
    let says = [system].into_iter().chain(second).collect::<Vec<_>>();
    let says = says.join("; ");
    Some(Piece::new(says, vec![subject], |s| {
        s.resolution = None;
        s.resolutions.clear();
        s.configured = None;
        s.authoritative = None;
    }))
}

/// What somebody else says of the name, as against the own resolver.
fn second_voice(own: Resolution, said: Resolution, who: &str) -> Option<String> {
    let many = who.ends_with('s');
    let (say, give, do_not) = if many {
        ("say", "give", "do not answer")
    } else {
        ("says", "gives", "does not answer")
    };
    match said {
        Resolution::Answer if own != Resolution::Answer => Some(format!("{who} {give} one")),
        other if other == own => Some(format!("{who} {say} the same")),
        Resolution::Missing | Resolution::Empty => Some(format!("{who} {say} that there is none")),
        Resolution::Silent => Some(format!("{who} {do_not}")),
        Resolution::Failed | Resolution::Refused => Some(format!(
            "{who} {} for it",
            if many { "fail" } else { "fails" }
        )),
        Resolution::Answer => None,
    }
}

pub(super) fn own_hosts_file(f: Finding<'_>) -> Option<Piece> {
    let subject = f.subject()?;
    if !crate::digest::hosts_entry_differs(f.case, f.digest, subject) {
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
        background: false,
        forget: Box::new(|s| {
            s.hosts_file.clear();
            s.odd_attempts.clear();
        }),
    })
}

pub(super) fn own_controls(f: Finding<'_>) -> Option<Piece> {
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
        background: false,
        forget: Box::new(|s| s.controls.clear()),
    })
}
