//! How often one address may be connected to from here, whoever asks.
//!
//! Checks of many people can meet at one target; this is what keeps a fleet of probes from becoming a flood, and from
//! causing the very ban that it looks for. What is over the limit is not measured, and does not wait: it would tell
//! about another moment than the one that was asked for.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The limit holds for any stretch of this length.
const WINDOW: Duration = Duration::from_secs(10);
/// Addresses remembered; beyond that, those that were quiet for a whole window are forgotten.
const REMEMBERED: usize = 4_096;

/// Counts connections by address.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: usize,
    recent: Mutex<HashMap<IpAddr, VecDeque<Instant>>>,
}

impl Pace {
    /// At most `limit` connections to one address within ten seconds.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            recent: Mutex::default(),
        }
    }

    /// Counts a connection to `address` at `now`, if there is room for it.
    pub(crate) fn admits(&self, address: IpAddr, now: Instant) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let old = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
        if recent.len() >= REMEMBERED {
            recent.retain(|_, times| times.back().is_some_and(|last| !old(last)));
        }
        if recent.len() >= REMEMBERED && !recent.contains_key(&address) {
            return false;
        }
        let times = recent.entry(address.to_canonical()).or_default();
        while times.front().is_some_and(old) {
            times.pop_front();
        }
        let room = times.len() < self.limit;
        if room {
            times.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_room_again_when_its_window_has_passed() {
        let pace = Pace::new(3);
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(pace.admits(a, at(0)) && pace.admits(a, at(4)) && pace.admits(a, at(4)));
        assert!(!pace.admits(a, at(9)));
        assert!(pace.admits(b, at(9)), "another address has its own");
        assert!(pace.admits(a, at(10)), "the first is over");
        assert!(!pace.admits(a, at(13)));
        assert!(pace.admits(a, at(14)));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(
            pace.admits(mapped, at(14)) && !pace.admits(mapped, at(14)),
            "in disguise it is the same"
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let pace = Pace::new(1);
        let now = Instant::now();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..REMEMBERED as u32 {
            assert!(pace.admits(address(n), now));
        }
        assert!(
            !pace.admits(address(9_999), now),
            "what cannot be counted is not tried"
        );
        assert!(
            pace.admits(address(9_999), now + WINDOW),
            "the quiet ones are forgotten"
        );
    }
}
