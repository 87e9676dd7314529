//! Whether one identity is used by two machines: a stolen key, or a server that was cloned with its data directory.
//!
//! The newest attachment always wins, so two of one name throw each other out in turn. A probe that was restarted, or whose
//! line broke, looks the same at first: another attachment under the same name. What tells them apart is that a process
//! which is gone never comes back. So every process of a probe has a random name of its own (its instance, kept nowhere),
//! and one that comes back after another has been there in between is one of two. Pure: nothing here knows the time.

#![deny(clippy::disallowed_methods)]

use std::{collections::BTreeMap, net::IpAddr};

use onlyhere_proto::VantageName;

/// Instances remembered of one name.
const REMEMBERED: usize = 8;

/// One process that attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its own word; it only serves to notice a copy, which cannot know it.
    pub id: String,
    /// The address it came from.
    pub address: IpAddr,
}

/// Two machines with one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clash {
    /// Where the one that has just attached comes from.
    pub newer: IpAddr,
    /// Where the one that was attached before came from.
    pub older: IpAddr,
}

/// The latest processes of every name that attached since the coordinator started.
#[derive(Debug, Default)]
pub(super) struct Instances(BTreeMap<VantageName, Vec<Instance>>);

impl Instances {
    /// Takes note of an attachment; a probe that says nothing of its instance is told by its address.
    pub(super) fn attached(&mut self, name: &VantageName, newer: Instance) -> Option<Clash> {
        let newer = Instance {
            id: match newer.id.is_empty() {
                true => newer.address.to_string(),
                false => newer.id,
            },
            ..newer
        };
        let known = self.0.entry(name.clone()).or_default();
        let latest = known.last().cloned();
        let before = known.iter().position(|instance| instance.id == newer.id);
        if let Some(before) = before {
            known.remove(before);
        }
        if known.len() >= REMEMBERED {
            known.remove(0);
        }
        known.push(newer.clone());
        let latest = latest.filter(|latest| latest.id != newer.id)?;
        before.map(|_| Clash {
            newer: newer.address,
            older: latest.address,
        })
    }

    /// A new machine has the name now: what was there before is no copy of it.
    pub(super) fn forget(&mut self, name: &VantageName) {
        self.0.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sequence: &[(&str, u8)]) -> Vec<Option<(u8, u8)>> {
        let mut instances = Instances::default();
        let name = "fra1".parse().unwrap();
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        let last = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => unreachable!(),
        };
        let attach = |(id, n): &(&str, u8)| {
            let instance = Instance {
                id: (*id).to_owned(),
                address: address(*n),
            };
            let clash = instances.attached(&name, instance);
            clash.map(|clash| (last(clash.newer), last(clash.older)))
        };
        sequence.iter().map(attach).collect()
    }

    #[test]
    fn who_comes_back_after_another_is_one_of_two() {
        let clashes = run(&[("a", 1), ("b", 2), ("a", 1), ("b", 2)]);
        assert_eq!(clashes, [None, None, Some((1, 2)), Some((2, 1))]);
        // A cloned machine behind the same address.
        assert_eq!(run(&[("a", 1), ("b", 1), ("a", 1)])[2], Some((1, 1)));
    }

    #[test]
    fn restarts_and_broken_lines_are_no_copies() {
        assert_eq!(
            run(&[("a", 1), ("a", 1), ("a", 2), ("b", 2), ("c", 1)]),
            [None; 5]
        );
        // Of older probes only the address is known.
        assert_eq!(run(&[("", 1), ("", 1), ("", 2)]), [None; 3]);
        assert_eq!(run(&[("", 1), ("", 2), ("", 1)])[2], Some((1, 2)));
    }

    #[test]
    fn a_new_machine_starts_afresh_and_the_memory_is_bounded() {
        let mut instances = Instances::default();
        let name: VantageName = "fra1".parse().unwrap();
        let instance = |id: usize| Instance {
            id: id.to_string(),
            address: [192, 0, 2, 1].into(),
        };
        for id in 0..100 {
            assert_eq!(instances.attached(&name, instance(id)), None);
        }
        assert_eq!(instances.0[&name].len(), REMEMBERED);
        instances.forget(&name);
        assert_eq!(instances.attached(&name, instance(98)), None);
    }
}
