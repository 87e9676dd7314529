//! Hostile targets, names and probes, each a small real server or client, set against the real programs.
//!
//! `onlyhere-hostile` is the hostile side: it runs on a host of its own in the little internet and behaves in every way
//! that [`behaviours`] lists. [`play`] has `onlyhere check` ask about each, with `onlyhere-probe` and
//! `onlyhere-coordinator` as they are, while another check asks about an honest site; it holds that memory, time and
//! processor stay within bounds, that nothing unprintable is printed, and that the honest check is right.

mod behaviour;
mod name;
mod plain;
pub mod play;
mod room;
mod table;
mod target;
mod vantage;
mod watch;

pub use behaviour::{Act, Behaviour, Chain, Session, Socket, ZONE, address};
pub use name::Honest;
pub use target::{Shelf, serve};
pub use vantage::attack;

/// All behaviours, in the order of the table.
pub fn behaviours() -> Vec<Behaviour> {
    let mut all = Vec::new();
    all.extend(target::behaviours());
    all.extend(name::BEHAVIOURS);
    all.extend(vantage::BEHAVIOURS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behaviour_has_a_name_and_an_address_of_its_own() {
        let all = behaviours();
        assert!(all.len() < 255, "one address each");
        let mut names: Vec<_> = all.iter().map(|behaviour| behaviour.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        for behaviour in &all {
            assert!(!behaviour.verdicts.is_empty(), "{}", behaviour.name);
            assert!(behaviour.name.len() < 64, "a label of DNS");
            assert!(
                !behaviour.name.contains('.'),
                "{} is one label",
                behaviour.name
            );
        }
    }
}
