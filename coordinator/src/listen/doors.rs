//! How many connections are open, overall and of one address, so that one address cannot take what is there for all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts open connections.
#[derive(Debug)]
pub(super) struct Doors {
    overall: usize,
    per_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    overall: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Doors {
    /// Connections at once, overall and of one address.
    pub(super) fn new(overall: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            overall,
            per_address,
            open: Mutex::default(),
        })
    }

    /// Lets a connection in until the returned value is dropped; none: there is no room for it.
    pub(super) fn enter(self: &Arc<Self>, remote: IpAddr) -> Option<Entered> {
        let address = one_owner(remote);
        let mut open = self.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        if open.overall >= self.overall || of_address >= self.per_address {
            return None;
        }
        open.overall += 1;
        open.by_address.insert(address, of_address + 1);
        Some(Entered {
            doors: Arc::clone(self),
            address,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection that is counted.
#[derive(Debug)]
pub(super) struct Entered {
    doors: Arc<Doors>,
    address: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.doors.open();
        open.overall -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// An IPv6 /64 is one subscriber's, who has all of its addresses (RFC 6177, 2).
fn one_owner(address: IpAddr) -> IpAddr {
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
        let enter = |address: &str| doors.enter(address.parse().unwrap());
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
            doors.open().by_address.len(),
            3,
            "nothing is left of who has gone"
        );
    }
}
