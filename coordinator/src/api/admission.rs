//! How many checks go on at once: overall, and per token, so that one client cannot use up what is there for all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Why a check must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Overall.
    #[error(
        "the coordinator is busy with {0} checks, as many as it takes at once; try again in a few seconds"
    )]
    Coordinator(usize),
    /// Of one token.
    #[error(
        "{0} checks with this token are under way, as many as one token may have at once; wait for one to end"
    )]
    Token(usize),
}

/// Counts checks under way.
#[derive(Debug)]
pub struct Admission {
    overall: usize,
    per_token: usize,
    under_way: Mutex<HashMap<String, usize>>,
}

impl Default for Admission {
    fn default() -> Self {
        Self::with_bounds(256, 16)
    }
}

impl Admission {
    /// Checks at once, overall and per token.
    pub fn with_bounds(overall: usize, per_token: usize) -> Self {
        Self {
            overall,
            per_token,
            under_way: Mutex::default(),
        }
    }

    /// Lets a check of this token begin, until the returned value is dropped.
    pub fn enter(self: &Arc<Self>, token: &str) -> Result<Admitted, Busy> {
        let mut under_way = self.under_way();
        if under_way.values().sum::<usize>() >= self.overall {
            return Err(Busy::Coordinator(self.overall));
        }
        let of_token = under_way.entry(token.to_owned()).or_default();
        if *of_token >= self.per_token {
            return Err(Busy::Token(self.per_token));
        }
        *of_token += 1;
        Ok(Admitted {
            admission: Arc::clone(self),
            token: token.to_owned(),
        })
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of one check to go on.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    token: String,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut under_way = self.admission.under_way();
        if let Some(count) = under_way.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_leaves_room_for_others_and_the_whole_is_bounded() {
        let admission = Arc::new(Admission::with_bounds(3, 2));
        let first = admission.enter("a").unwrap();
        let _second = admission.enter("a").unwrap();
        assert_eq!(admission.enter("a").unwrap_err(), Busy::Token(2));
        let _third = admission.enter("b").unwrap();
        assert_eq!(admission.enter("c").unwrap_err(), Busy::Coordinator(3));
        drop(first);
        assert!(admission.enter("c").is_ok());
        assert!(admission.under_way().values().all(|&count| count > 0));
    }
}
