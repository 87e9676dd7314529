//! Where a probe was last seen, and what of it an operator should look at. Pure.
//!
//! A probe's place is its operator's word. Where it comes from is what its address tells. That the two differ, that it has
//! moved, or that two probes look like one, is shown and changes nothing by itself.

#![deny(clippy::disallowed_methods)]

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use onlyhere_proto::{Timestamp, VantageName, line_of};
use serde::{Deserialize, Serialize};

use super::{
    instances::Clash,
    roll::{Enrolled, Names},
};
use crate::place::Place;

/// A move, or a clash of two machines, is shown for so long.
const SHOWN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Two machines that throw each other out are written down no more often.
const BETWEEN_CLASHES: Duration = Duration::from_secs(60);

/// Where a probe came from when it last attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Its address.
    pub address: IpAddr,
    /// What the address databases said of that.
    #[serde(default)]
    pub located: Place,
    /// From when on it came from there.
    pub since: Timestamp,
    /// The AS it came from before that, if it was another one.
    #[serde(default)]
    pub moved_from: Option<u32>,
    /// When two machines last used its identity, and from where.
    #[serde(default)]
    pub clash: Option<(Timestamp, IpAddr, IpAddr)>,
}

impl Sighting {
    /// The sighting after `earlier`, at an attachment from `address` at `now`. The same as before where nothing is new, so
    /// that an attachment which tells nothing need not be written down.
    pub fn after(
        earlier: Option<&Self>,
        address: IpAddr,
        located: Place,
        clash: Option<Clash>,
        now: Timestamp,
    ) -> Self {
        let known = earlier.and_then(|earlier| earlier.clash);
        let passed =
            |at: Timestamp| now.0.saturating_sub(at.0) >= BETWEEN_CLASHES.as_micros() as i64;
        let clash = clash
            .filter(|_| known.is_none_or(|(at, _, _)| passed(at)))
            .map(|clash| (now, clash.older, clash.newer))
            .or(known);
        let Some(earlier) = earlier else {
            return Self {
                address,
                located,
                since: now,
                moved_from: None,
                clash,
            };
        };
        let stayed = earlier.address == address && earlier.located == located;
        let moved = match (earlier.located.asn, located.asn) {
            (Some(before), Some(after)) if before != after => Some(before),
            _ => None,
        };
        Self {
            since: if stayed { earlier.since } else { now },
            moved_from: if stayed { earlier.moved_from } else { moved },
            clash,
            address,
            located,
        }
    }
}

/// What an operator should look at, one sentence each. `beside` are others that come from the same address.
pub fn remarks(enrolled: &Enrolled, beside: &[VantageName], now: Timestamp) -> Vec<String> {
    let Some(seen) = &enrolled.seen else {
        return Vec::new();
    };
    let recent = |at: Timestamp| now.0.saturating_sub(at.0) < SHOWN.as_micros() as i64;
    let mut remarks = enrolled.place.contradictions(&seen.located);
    if let (Some(before), Some(after)) = (seen.moved_from, seen.located.asn)
        && recent(seen.since)
    {
        let since = seen.since;
        remarks.push(format!("moved from AS{before} to AS{after} at {since}"));
    }
    if let Some((at, older, newer)) = seen.clash
        && recent(at)
    {
        remarks.push(format!(
            "two machines use its identity, from {older} and {newer}, last at {at}"
        ));
    }
    if !beside.is_empty() {
        let names: Vec<&str> = beside.iter().map(VantageName::as_str).collect();
        let address = seen.address;
        remarks.push(format!(
            "the same address as {} ({address})",
            names.join(", ")
        ));
    }
    remarks
}

/// The same of a whole roll, with those that have one key.
pub fn remarks_of_all(names: &Names, now: Timestamp) -> BTreeMap<VantageName, Vec<String>> {
    let by_line = groups(names, |enrolled| {
        enrolled.seen.as_ref().map(|seen| line_of(seen.address))
    });
    let by_key = groups(names, |enrolled| Some(enrolled.key_sha256.as_str()));
    let others = |group: Option<&Vec<&VantageName>>, name: &VantageName| -> Vec<VantageName> {
        let group = group.into_iter().flatten().copied();
        group.filter(|other| *other != name).cloned().collect()
    };
    let of_one = |(name, enrolled): (&VantageName, &Enrolled)| {
        let line = enrolled.seen.as_ref().map(|seen| line_of(seen.address));
        let beside = others(line.and_then(|line| by_line.get(&line)), name);
        let mut found = remarks(enrolled, &beside, now);
        let twins = others(by_key.get(enrolled.key_sha256.as_str()), name);
        found.extend(twins.iter().map(|twin| format!("the same key as {twin}")));
        (name.clone(), found)
    };
    names.iter().map(of_one).collect()
}

fn groups<'a, K: Ord>(
    names: &'a Names,
    key: impl Fn(&'a Enrolled) -> Option<K>,
) -> BTreeMap<K, Vec<&'a VantageName>> {
    let mut groups = BTreeMap::<K, Vec<&VantageName>>::new();
    for (name, enrolled) in names {
        if let Some(key) = key(enrolled) {
            groups.entry(key).or_default().push(name);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Peer;

    const DAY: i64 = 86_400_000_000;

    fn place(asn: u32) -> Place {
        Place {
            asn: Some(asn),
            ..Place::default()
        }
    }

    fn enrolled(key: &str, seen: Option<Sighting>) -> Enrolled {
        let peer = Peer {
            name: "x".parse().unwrap(),
            key_sha256: key.into(),
            signed_at: Timestamp(0),
            expires_at: Timestamp(DAY),
            authority: None,
        };
        Enrolled {
            seen: seen.map(Box::new),
            ..Enrolled::new(place(64500), &peer, "t", Timestamp(0))
        }
    }

    fn sighting(earlier: Option<&Sighting>, address: &str, asn: u32, now: i64) -> Sighting {
        Sighting::after(
            earlier,
            address.parse().unwrap(),
            place(asn),
            None,
            Timestamp(now),
        )
    }

    #[test]
    fn an_attachment_from_the_same_place_changes_nothing() {
        let first = sighting(None, "192.0.2.1", 64500, DAY);
        assert_eq!(sighting(Some(&first), "192.0.2.1", 64500, 2 * DAY), first);
    }

    #[test]
    fn a_move_to_another_network_is_told_for_a_while() {
        let first = sighting(None, "192.0.2.1", 64500, DAY);
        let within = sighting(Some(&first), "192.0.2.2", 64500, 2 * DAY);
        let none: [&str; 0] = [];
        assert_eq!(
            remarks(
                &enrolled("k", Some(within.clone())),
                &[],
                Timestamp(2 * DAY)
            ),
            none
        );
        let moved = sighting(Some(&within), "203.0.113.1", 64501, 3 * DAY);
        let of = |now| remarks(&enrolled("k", Some(moved.clone())), &[], Timestamp(now));
        assert_eq!(
            of(4 * DAY),
            [
                "labelled AS64500, but its address is in AS64501",
                "moved from AS64500 to AS64501 at 1970-01-04T00:00:00.000Z"
            ]
        );
        assert_eq!(of(40 * DAY).len(), 1, "the label is wrong still");
        let again = sighting(Some(&moved), "203.0.113.1", 64501, 5 * DAY);
        assert_eq!(again, moved, "it is the same move");
    }

    #[test]
    fn two_machines_with_one_identity_are_told_and_not_written_down_at_every_turn() {
        let clash = |older: &str, newer: &str| {
            Some(Clash {
                older: older.parse().unwrap(),
                newer: newer.parse().unwrap(),
            })
        };
        let see = |earlier, clash, now| {
            let address = "192.0.2.1".parse().unwrap();
            Sighting::after(earlier, address, place(64500), clash, Timestamp(now))
        };
        let first = see(None, None, 0);
        let clashed = see(Some(&first), clash("192.0.2.1", "203.0.113.9"), DAY);
        assert_eq!(
            remarks(&enrolled("k", Some(clashed.clone())), &[], Timestamp(DAY)),
            [
                "two machines use its identity, from 192.0.2.1 and 203.0.113.9, last at 1970-01-02T00:00:00.000Z"
            ]
        );
        let soon = see(Some(&clashed), clash("203.0.113.9", "192.0.2.1"), DAY + 1);
        assert_eq!(soon, clashed);
        let later = see(Some(&clashed), clash("203.0.113.9", "192.0.2.1"), 2 * DAY);
        assert_ne!(later, clashed);
    }

    #[test]
    fn one_address_and_one_key_of_two_probes_are_told_of_both() {
        let at = |key, address| enrolled(key, Some(sighting(None, address, 64500, DAY)));
        let names: Names = [
            ("a", at("k1", "192.0.2.1")),
            ("b", at("k2", "192.0.2.1")),
            ("c", at("k3", "2001:db8::1")),
            ("d", at("k3", "2001:db8::2")),
            ("e", at("k4", "2001:db8:0:1::1")),
            ("f", enrolled("k5", None)),
        ]
        .map(|(name, enrolled)| (name.parse().unwrap(), enrolled))
        .into();
        let all = remarks_of_all(&names, Timestamp(DAY));
        let of = |name: &str| all[&name.parse::<VantageName>().unwrap()].join("; ");
        assert_eq!(of("a"), "the same address as b (192.0.2.1)");
        assert_eq!(of("b"), "the same address as a (192.0.2.1)");
        assert_eq!(
            of("c"),
            "the same address as d (2001:db8::1); the same key as d"
        );
        assert_eq!(
            of("d"),
            "the same address as c (2001:db8::2); the same key as c"
        );
        assert_eq!(of("e") + &of("f"), "");
    }
}
