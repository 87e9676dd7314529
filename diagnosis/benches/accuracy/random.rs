//! A small generator of its own (xoshiro256++, Blackman and Vigna 2019), so that a seed means the same cases for ever,
//! whatever happens to a library.

/// Seeded by a seed and the names of what is drawn with it.
#[derive(Debug, Clone)]
pub(crate) struct Random([u64; 4]);

impl Random {
    /// One stream of a seed: streams of different numbers have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: &[u64]) -> Self {
        let mut state = seed;
        for part in stream {
            state = split_mix(&mut (state ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93)));
        }
        let mut draw = || split_mix(&mut state);
        Self([draw(), draw(), draw(), draw()])
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True that often.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Evenly between two numbers.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number below `end`, which is more than 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of several, evenly.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// One of several, by weight; the weights need not add up to 1.
    pub(crate) fn weighted<T: Copy>(&mut self, from: &[(f64, T)]) -> T {
        let sum: f64 = from.iter().map(|(weight, _)| weight).sum();
        let mut left = self.unit() * sum;
        for (weight, value) in from {
            left -= weight;
            if left < 0.0 {
                return *value;
            }
        }
        from[from.len() - 1].1
    }

    /// With this mean, most draws below it and a few far above.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// In any order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
