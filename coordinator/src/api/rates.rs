//! How often each token begins a check.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::tokens::Token;

/// Tokens whose use is remembered; beyond them everybody starts afresh.
const REMEMBERED: usize = 10_000;

/// A token has begun as many checks as it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this token may begin {most} checks in {per}, and has; try again in {} seconds",
    seconds(*retry_after)
)]
pub struct TooOften {
    most: NonZeroU32,
    per: &'static str,
    retry_after: Duration,
}

impl TooOften {
    /// When the next check may begin.
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

/// Rounded up, so that who waits as long as said does not come too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// What each token has used, since the start of this process.
#[derive(Debug, Default)]
pub struct Rates {
    tokens: Mutex<HashMap<String, OfToken>>,
}

#[derive(Debug)]
struct OfToken {
    limits: [Option<NonZeroU32>; 2],
    limiters: [Option<DefaultDirectRateLimiter>; 2],
}

const PERIODS: [(&str, Duration); 2] = [
    ("a minute", Duration::from_secs(60)),
    ("an hour", Duration::from_secs(60 * 60)),
];

impl OfToken {
    fn new(limits: [Option<NonZeroU32>; 2]) -> Self {
        let limiter = |at: usize| {
            let most = limits[at]?;
            let quota = Quota::with_period(PERIODS[at].1 / most.get())?;
            Some(RateLimiter::direct(quota.allow_burst(most)))
        };
        Self {
            limits,
            limiters: [limiter(0), limiter(1)],
        }
    }

    fn check(&self) -> Result<(), TooOften> {
        for ((limiter, most), (per, _)) in self.limiters.iter().zip(self.limits).zip(PERIODS) {
            let (Some(limiter), Some(most)) = (limiter, most) else {
                continue;
            };
            if let Err(until) = limiter.check() {
                return Err(TooOften {
                    most,
                    per,
                    retry_after: until.wait_time_from(DefaultClock::default().now()),
                });
            }
        }
        Ok(())
    }
}

impl Rates {
    /// Counts one check that this token begins.
    pub fn begin(&self, token: &Token) -> Result<(), TooOften> {
        let limits = [token.limits.per_minute, token.limits.per_hour];
        if limits == [None, None] {
            return Ok(());
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= REMEMBERED && !tokens.contains_key(&token.id) {
            tokens.clear();
        }
        let of_token = tokens
            .entry(token.id.clone())
            .or_insert_with(|| OfToken::new(limits));
        if of_token.limits != limits {
            *of_token = OfToken::new(limits);
        }
        of_token.check()
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::Timestamp;

    use super::*;
    use crate::tokens::{Limits, TokenKind};

    fn token(per_minute: Option<u32>, per_hour: Option<u32>) -> Token {
        let (token, _) = Token::generate(TokenKind::Client, "me".parse().unwrap(), Timestamp(0));
        Token {
            limits: Limits {
                per_minute: per_minute.and_then(NonZeroU32::new),
                per_hour: per_hour.and_then(NonZeroU32::new),
                ..Limits::default()
            },
            ..token
        }
    }

    #[test]
    fn each_token_has_its_own_and_is_told_when_the_next_may_begin() {
        let rates = Rates::default();
        let (one, other, free) = (
            token(Some(3), None),
            token(Some(1), Some(2)),
            token(None, None),
        );
        for _ in 0..3 {
            assert_eq!(rates.begin(&one), Ok(()));
        }
        let refused = rates.begin(&one).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this token may begin 3 checks in a minute, and has; try again in 20 seconds"
        );
        assert!(refused.retry_after() > Duration::from_secs(19));
        assert_eq!(rates.begin(&other), Ok(()));
        assert!(rates.begin(&other).is_err());
        for _ in 0..1_000 {
            assert_eq!(rates.begin(&free), Ok(()));
        }
    }

    #[test]
    fn the_hour_counts_beside_the_minute() {
        let rates = Rates::default();
        let token = token(Some(100), Some(2));
        assert_eq!([rates.begin(&token), rates.begin(&token)], [Ok(()), Ok(())]);
        let refused = rates.begin(&token).unwrap_err().to_string();
        assert!(
            refused.starts_with(
                "this token may begin 2 checks in an hour, and has; try again in 1800"
            ),
            "{refused}"
        );
    }
}
