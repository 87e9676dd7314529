//! What a vantage looks like to the model: vantages that look alike are weighed once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use onlyhere_proto::{Stage, VantageClass};

use crate::case::Case;
use crate::digest::{Attempt, Control, Digest, Proxied};
use crate::resolution::Resolution;
use crate::sign::{Kind, Reach, Sign};

/// Everything of a vantage that its likelihood depends on.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Look<'a> {
    is_subject: bool,
    class: Option<VantageClass>,
    resolves_here: bool,
    resolution: (&'a [Resolution], Option<Resolution>, Option<Resolution>),
    hosts_file: &'a BTreeSet<IpAddr>,
    odd: &'a BTreeSet<IpAddr>,
    odd_attempts: &'a [(IpAddr, Kind)],
    attempts: Vec<AttemptLook>,
    pings: &'a [(usize, bool)],
    other_ports: &'a [(usize, u16, bool, Kind)],
    controls: &'a [Control],
    ladders: Vec<(usize, Option<Reach>)>,
    other_ways: [Vec<AttemptLook>; 3],
    proxied: &'a [Proxied],
}

type AttemptLook = (usize, u32, Stage, Sign, [bool; 2]);

impl<'a> Look<'a> {
    /// That of one vantage.
    pub(crate) fn of(case: &Case, digest: &'a Digest, vantage: usize) -> Self {
        let seen = &digest.vantages[vantage];
        let attempt = |a: &Attempt| (a.address, a.slot, a.depth, a.sign, [a.slow, a.shook_hands]);
        let all = |attempts: &[Attempt]| attempts.iter().map(attempt).collect();
        Self {
            is_subject: case.subject_index() == Some(vantage),
            class: case.vantages[vantage].class,
            resolves_here: digest
                .addresses
                .iter()
                .any(|a| a.resolved_by.contains(&vantage)),
            resolution: (&seen.resolutions, seen.configured, seen.authoritative),
            hosts_file: &seen.hosts_file,
            odd: &seen.odd,
            odd_attempts: &seen.odd_attempts,
            attempts: all(&seen.attempts),
            pings: &seen.pings,
            other_ports: &seen.other_ports,
            controls: &seen.controls,
            ladders: seen.ladders.iter().map(|l| (l.address, l.reach)).collect(),
            other_ways: [
                seen.other_sources.iter().map(|(_, a)| attempt(a)).collect(),
                all(&seen.small_segments),
                all(&seen.direct),
            ],
            proxied: &seen.proxied,
        }
    }
}
