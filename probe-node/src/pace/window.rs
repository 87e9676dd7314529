//! Counts by key within a stretch of time, in bounded memory. Pure: the time is an argument.
#![deny(clippy::disallowed_methods)]

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys remembered; beyond that, what cannot be counted has no room.
pub(super) const REMEMBERED: usize = 4_096;

/// At most so many of each key in any stretch of one length.
#[derive(Debug)]
pub(super) struct Window<K> {
    limit: usize,
    length: Duration,
    times: HashMap<K, VecDeque<Instant>>,
    swept: Option<Instant>,
}

impl<K: Hash + Eq> Window<K> {
    pub(super) fn new(limit: usize, length: Duration) -> Self {
        Self {
            limit,
            length,
            times: HashMap::new(),
            swept: None,
        }
    }

    /// Whether one more of this key would be within the limit.
    pub(super) fn has_room(&mut self, key: &K, now: Instant) -> bool {
        self.sweep(now);
        match self.times.get(key) {
            Some(_) => self.count_of(key, now) < self.limit,
            None => self.times.len() < REMEMBERED && self.limit > 0,
        }
    }

    /// How many of this key the stretch that ends now holds.
    pub(super) fn count_of(&mut self, key: &K, now: Instant) -> usize {
        let length = self.length;
        let Some(times) = self.times.get_mut(key) else {
            return 0;
        };
        while times.front().is_some_and(|at| is_over(*at, length, now)) {
            times.pop_front();
        }
        times.len()
    }

    /// Counts one; of an unknown key only where it can still be remembered.
    pub(super) fn add(&mut self, key: K, now: Instant) {
        if self.times.len() < REMEMBERED || self.times.contains_key(&key) {
            self.times.entry(key).or_default().push_back(now);
        }
    }

    /// Forgets the keys that were quiet for a whole stretch: once in a stretch, and whenever there is no room left.
    fn sweep(&mut self, now: Instant) {
        let due = self.swept.is_none_or(|at| is_over(at, self.length, now));
        if !due && self.times.len() < REMEMBERED {
            return;
        }
        self.swept = Some(now);
        let length = self.length;
        self.times.retain(|_, times| {
            times
                .back()
                .is_some_and(|last| !is_over(*last, length, now))
        });
    }
}

fn is_over(at: Instant, length: Duration, now: Instant) -> bool {
    now.saturating_duration_since(at) >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_what_cannot_be_counted_has_no_room() {
        let length = Duration::from_secs(10);
        let mut window = Window::new(1, length);
        let start = start();
        for key in 0..REMEMBERED {
            assert!(window.has_room(&key, start));
            window.add(key, start);
        }
        assert!(!window.has_room(&9_999, start));
        window.add(9_999, start);
        assert_eq!(window.times.len(), REMEMBERED);
        assert!(
            window.has_room(&9_999, start + length),
            "quiet ones are forgotten"
        );
        assert!(window.times.is_empty());
    }

    #[test]
    fn a_key_has_room_again_when_its_stretch_has_passed() {
        let mut window = Window::new(2, Duration::from_secs(10));
        let start = start();
        let at = |seconds| start + Duration::from_secs(seconds);
        window.add('a', at(0));
        window.add('a', at(4));
        assert!(!window.has_room(&'a', at(9)) && window.has_room(&'b', at(9)));
        assert!(window.has_room(&'a', at(10)), "the first is over");
        window.add('a', at(10));
        assert!(!window.has_room(&'a', at(13)) && window.has_room(&'a', at(14)));
        assert!(!Window::new(0, Duration::from_secs(1)).has_room(&'a', start));
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
