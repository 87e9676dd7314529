//! What the others saw, and what all saw of the host: addresses, echoes, other ports, later attempts.

use std::collections::{BTreeMap, BTreeSet};

use onlyhere_proto::Stage;

use super::super::headline::networks;
use super::{Finding, Piece, phrase};
use crate::digest::Attempt;
use crate::resolution::Resolution;
use crate::sign::Kind;

/// `6 of 6 other networks connect in 31-120 ms`.
pub(super) fn attempts_of(f: Finding<'_>, vantages: &[usize]) -> Option<Piece> {
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
        let says = match turned(attempts) {
            Some([before, after]) => format!(
                "{} and, tried again, {}",
                phrase::predicate(before),
                phrase::predicate(after)
            ),
            None if f.digest.vantages[*vantage].reaches() => "connects".to_owned(),
            None => {
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
    let time = match most.contains("tried again") {
        true => String::new(),
        false => times(f, who, most == "connects"),
    };
    Some(Piece {
        says: format!("{subject} {predicate}{time}"),
        vantages: heard.clone(),
        background: false,
        forget: Box::new(|s| s.attempts.clear()),
    })
}

/// Two attempts at one address, one after the other, of which one worked and one did not.
fn turned(attempts: &[Attempt]) -> Option<[&Attempt; 2]> {
    attempts.iter().find_map(|before| {
        let after = attempts.iter().find(|after| {
            after.address == before.address
                && after.slot > before.slot
                && after.is_ok() != before.is_ok()
                // A shallower try that works says nothing of what failed deeper down.
                && (after.depth >= Stage::Tls || before.sign.kind.stage() <= Stage::Tcp)
        })?;
        Some([before, after])
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

pub(super) fn names_of_others(f: Finding<'_>) -> Option<Piece> {
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
        background: false,
        forget: Box::new(|s| {
            s.resolution = None;
            s.resolutions.clear();
        }),
    })
}

/// `198.18.1.11 fails for 7 of 7, 198.18.1.10 for 0 of 7`.
pub(super) fn per_address(f: Finding<'_>) -> Option<Piece> {
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
        background: false,
        forget: Box::new(move |s| s.attempts.retain(|a| !worst.contains(&a.address))),
    })
}

pub(super) fn echoes(f: Finding<'_>) -> Option<Piece> {
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
        background: false,
        forget: Box::new(|s| s.pings.clear()),
    })
}

pub(super) fn other_ports(f: Finding<'_>) -> Option<Piece> {
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
    Some(Piece::new(says, heard.clone(), |s| s.other_ports.clear()))
}

/// What came of trying again later.
pub(super) fn later_slots(f: Finding<'_>) -> Option<Piece> {
    let later: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| f.digest.vantages[*v].attempts.iter().any(|a| a.slot > 0))
        .collect();
    if later.is_empty() {
        return None;
    }
    let changed = later
        .iter()
        .any(|v| turned(&f.digest.vantages[*v].attempts).is_some());
    let says = if changed {
        format!(
            "Tried again a second or more later: another result ({})",
            failures_by_slot(f)
        )
    } else {
        "Tried again a second or more later: the same result".to_owned()
    };
    Some(Piece::new(says, later, |s| {
        s.attempts.retain(|a| a.slot == 0);
    }))
}

/// `7 of 7 attempts failed, then 0 of 3, then 2 of 3`, over all vantages.
fn failures_by_slot(f: Finding<'_>) -> String {
    let mut slots: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for attempt in f.digest.vantages.iter().flat_map(|v| &v.attempts) {
        let (failed, all) = slots.entry(attempt.slot).or_default();
        *failed += usize::from(!attempt.is_ok());
        *all += 1;
    }
    slots
        .values()
        .enumerate()
        .map(|(index, (failed, all))| match index {
            0 => format!("{failed} of {all} attempts failed"),
            _ => format!("then {failed} of {all}"),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// `5 of 24 connections that work are slow (0.9-2.8 s)`.
pub(super) fn slow(f: Finding<'_>) -> Option<Piece> {
    let worked: Vec<&Attempt> = f
        .digest
        .vantages
        .iter()
        .flat_map(|v| &v.attempts)
        .filter(|a| a.is_ok())
        .collect();
    let slow: Vec<u64> = worked
        .iter()
        .filter(|a| a.slow)
        .map(|a| a.elapsed.max(a.connect.unwrap_or_default()))
        .collect();
    let who: Vec<usize> = (0..f.case.vantages.len())
        .filter(|v| !f.digest.vantages[*v].attempts.is_empty())
        .collect();
    let says = format!(
        "{} of {} that worked {} slow ({})",
        slow.len(),
        phrase::count(worked.len(), "attempt", "attempts"),
        if slow.len() == 1 { "was" } else { "were" },
        phrase::range(slow.clone())
    );
    (!slow.is_empty()).then(|| {
        Piece::new(says, who, |s| {
            for attempt in &mut s.attempts {
                attempt.slow = false;
            }
        })
    })
}
