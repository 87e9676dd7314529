//! How many connections are open, overall and of one peer, so that one peer cannot take what is there for all. A stranger
//! is known by an address, a probe by its name.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts open connections, by peer.
#[derive(Debug)]
pub(super) struct Doors<P: Hash + Eq> {
    overall: usize,
    per_peer: usize,
    open: Mutex<Open<P>>,
}

#[derive(Debug)]
struct Open<P> {
    overall: usize,
    by_peer: HashMap<P, usize>,
}

impl<P: Hash + Eq + Clone> Doors<P> {
    /// Connections at once, overall and of one peer.
    pub(super) fn new(overall: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self {
            overall,
            per_peer,
            open: Mutex::new(Open {
                overall: 0,
                by_peer: HashMap::new(),
            }),
        })
    }

    /// Lets a connection in until the returned value is dropped; none: there is no room for it.
    pub(super) fn enter(self: &Arc<Self>, peer: P) -> Option<Entered<P>> {
        let mut open = self.open();
        let of_peer = open.by_peer.get(&peer).copied().unwrap_or(0);
        if open.overall >= self.overall || of_peer >= self.per_peer {
            return None;
        }
        open.overall += 1;
        open.by_peer.insert(peer.clone(), of_peer + 1);
        Some(Entered {
            doors: Arc::clone(self),
            peer,
        })
    }
}

impl<P: Hash + Eq> Doors<P> {
    fn open(&self) -> MutexGuard<'_, Open<P>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection that is counted.
#[derive(Debug)]
pub(super) struct Entered<P: Hash + Eq> {
    doors: Arc<Doors<P>>,
    peer: P,
}

impl<P: Hash + Eq> Drop for Entered<P> {
    fn drop(&mut self) {
        let mut open = self.doors.open();
        open.overall -= 1;
        if let Some(count) = open.by_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

/// An IPv6 /64 is one subscriber's, who has all of its addresses (RFC 6177, 2).
pub(super) fn one_owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others_and_who_goes_makes_room() {
        let doors = Doors::new(5, 2);
        let enter = |address: &str| doors.enter(one_owner(address.parse().unwrap()));
        let first = enter("192.0.2.1").unwrap();
        let _mapped = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        let _v6 = enter("2001:db8::1").unwrap();
        let _same_net = enter("2001:db8::ffff:1").unwrap();
        assert!(enter("2001:db8::2").is_none());
        let _other = enter("2001:db8:0:1::1").unwrap();
        assert!(enter("192.0.2.2").is_none(), "five are open");
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        assert_eq!(
            doors.open().by_peer.len(),
            3,
            "nothing is left of who has gone"
        );
    }
}
