//! Wires: made-up distance between two hosts.
//!
//! A wire is two TUN devices, one in each host, and a queue between their descriptors that holds every packet back
//! for the wire's delay. `tc netem` would do the same, but many kernels lack it. One thread carries all wires of an
//! internet; delay, loss, cut and the largest packet may change while packets fly. Loss is drawn from a seeded generator of the wire's
//! own, so a scenario loses the same packets every time it sends the same ones.

use std::collections::BinaryHeap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CloneFlags, setns};
use nix::sys::time::TimeSpec;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::LabError;
use crate::lab::Host;

/// Ethernet's size, so that paths look like paths do.
const MTU: u16 = 1500;
/// A wire holds at most this many packets; more are dropped, as a router's queue would.
const QUEUE: usize = 16_384;
/// How long the carrier sleeps at most before it looks whether it should stop.
const NAP: Duration = Duration::from_millis(25);

/// What can change about a wire while it runs. All times are one way.
#[derive(Debug)]
pub struct Wire {
    delay_us: AtomicU64,
    loss_ppm: AtomicU32,
    cut: AtomicBool,
    max_bytes: AtomicUsize,
}

impl Wire {
    fn new(delay: Duration) -> Self {
        let wire = Self {
            delay_us: AtomicU64::new(0),
            loss_ppm: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            max_bytes: AtomicUsize::new(usize::MAX),
        };
        wire.set_delay(delay);
        wire
    }

    /// Packets sent from now on take this long in each direction.
    pub fn set_delay(&self, delay: Duration) {
        self.delay_us.store(
            u64::try_from(delay.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// This share of the packets, 0 to 1, is lost in each direction.
    pub fn set_loss(&self, share: f64) {
        // A share is at most 1, so a million of it fits.
        self.loss_ppm
            .store((share.clamp(0.0, 1.0) * 1e6) as u32, Ordering::Relaxed);
    }

    /// A cut wire loses everything, also what is on its way.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// Larger packets vanish without an ICMP error: a path MTU black hole (RFC 2923, section 2.1).
    pub fn set_max_bytes(&self, bytes: usize) {
        self.max_bytes.store(bytes, Ordering::Relaxed);
    }

    fn swallows(&self, bytes: usize) -> bool {
        bytes > self.max_bytes.load(Ordering::Relaxed)
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us.load(Ordering::Relaxed))
    }

    fn loses(&self, luck: &mut SmallRng) -> bool {
        let loss = self.loss_ppm.load(Ordering::Relaxed);
        loss > 0 && luck.random_range(0..1_000_000) < loss
    }
}

/// Both ends of a wire before it is carried.
pub(crate) struct Ends {
    wire: Arc<Wire>,
    devices: [SyncDevice; 2],
    seed: u64,
}

impl Ends {
    /// Opens one device in each host, under the given interface names.
    pub(crate) fn open(
        a: (&Host, &str),
        b: (&Host, &str),
        delay: Duration,
        seed: u64,
    ) -> Result<Self, LabError> {
        let devices = [open_in(a.0, a.1)?, open_in(b.0, b.1)?];
        Ok(Self {
            wire: Arc::new(Wire::new(delay)),
            devices,
            seed,
        })
    }

    pub(crate) fn wire(&self) -> Arc<Wire> {
        Arc::clone(&self.wire)
    }
}

/// The thread that carries the packets of all wires. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Carrier {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    pub(crate) fn start(ends: Vec<Ends>) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("wires".into())
            .spawn(move || carry(&ends, &stopped))
            .map_err(LabError::io("start the wires' thread"))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A packet on its way. Ordered so that the heap's greatest is the one due first.
#[derive(Debug, PartialEq, Eq)]
struct Flight {
    due: Instant,
    /// Packets that are due together leave in the order they came.
    turn: u64,
    wire: usize,
    to: usize,
    packet: Vec<u8>,
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.turn).cmp(&(self.due, self.turn))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn carry(ends: &[Ends], stop: &AtomicBool) {
    let mut air = BinaryHeap::new();
    let mut luck: Vec<SmallRng> = ends
        .iter()
        .map(|end| SmallRng::seed_from_u64(end.seed))
        .collect();
    let mut turn = 0;
    let mut buffer = vec![0; usize::from(MTU) + 64];
    while !stop.load(Ordering::Relaxed) {
        deliver(ends, &mut air, Instant::now());
        for (wire, from) in readable(ends, &air) {
            let end = &ends[wire];
            // Non-blocking: an empty device, or one whose host is gone, ends the loop.
            while let Ok(length) = end.devices[from].recv(&mut buffer) {
                let lost = end.wire.is_cut()
                    || end.wire.swallows(length)
                    || end.wire.loses(&mut luck[wire]);
                if lost || air.len() >= QUEUE {
                    continue;
                }
                turn += 1;
                let due = Instant::now() + end.wire.delay();
                air.push(Flight {
                    due,
                    turn,
                    wire,
                    to: 1 - from,
                    packet: buffer[..length].to_vec(),
                });
            }
        }
    }
}

/// Hands over every packet that is due. A host that is gone or full loses it.
fn deliver(ends: &[Ends], air: &mut BinaryHeap<Flight>, now: Instant) {
    while air.peek().is_some_and(|next| next.due <= now) {
        let Some(flight) = air.pop() else { return };
        if !ends[flight.wire].wire.is_cut() {
            let _ = ends[flight.wire].devices[flight.to].send(&flight.packet);
        }
    }
}

/// Sleeps until a device has a packet or the next one in the air is due; says which devices have some.
fn readable(ends: &[Ends], air: &BinaryHeap<Flight>) -> Vec<(usize, usize)> {
    let mut polled: Vec<PollFd<'_>> = ends
        .iter()
        .flat_map(|end| &end.devices)
        .map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN))
        .collect();
    let wait = air.peek().map_or(NAP, |next| {
        next.due.saturating_duration_since(Instant::now()).min(NAP)
    });
    if ppoll(&mut polled, Some(TimeSpec::from_duration(wait)), None).unwrap_or(0) == 0 {
        return Vec::new();
    }
    polled
        .iter()
        .enumerate()
        .filter(|(_, fd)| {
            fd.revents()
                .is_some_and(|events| events.contains(PollFlags::POLLIN))
        })
        .map(|(index, _)| (index / 2, index % 2))
        .collect()
}

/// A device is made in the network namespace of the thread that opens it, so a thread goes there, once.
fn open_in(host: &Host, interface: &str) -> Result<SyncDevice, LabError> {
    let what = format!("open TUN device {interface} on {}", host.name());
    let enter = || -> Result<SyncDevice, LabError> {
        let namespace = File::open(host.net_namespace()).map_err(LabError::io(what.clone()))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(LabError::errno(what.clone()))?;
        let device = DeviceBuilder::new().name(interface).mtu(MTU).build_sync();
        let device = device.map_err(|source| no_tun(&what, source))?;
        device
            .set_nonblocking(true)
            .map_err(LabError::io(what.clone()))?;
        Ok(device)
    };
    std::thread::scope(|scope| {
        scope
            .spawn(enter)
            .join()
            .unwrap_or_else(|_| Err(LabError::panicked(what.clone())))
    })
}

fn no_tun(what: &str, source: std::io::Error) -> LabError {
    match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
            LabError::NoNamespaces {
                reason: format!("{what}: /dev/net/tun: {source}"),
            }
        }
        _ => LabError::Io {
            what: what.into(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_in_the_order_of_their_due_times_and_then_of_their_coming() {
        let now = Instant::now();
        let flight = |after_ms, turn| Flight {
            due: now + Duration::from_millis(after_ms),
            turn,
            wire: 0,
            to: 0,
            packet: Vec::new(),
        };
        let mut air = BinaryHeap::from([flight(9, 1), flight(3, 2), flight(3, 4), flight(3, 3)]);
        let order: Vec<u64> = std::iter::from_fn(|| Some(air.pop()?.turn)).collect();
        assert_eq!(order, [2, 3, 4, 1]);
    }

    #[test]
    fn a_wire_swallows_what_is_larger_than_it_carries() {
        let wire = Wire::new(Duration::ZERO);
        assert!(!wire.swallows(MTU.into()));
        wire.set_max_bytes(600);
        assert!(!wire.swallows(600));
        assert!(wire.swallows(601));
    }

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let wire = Wire::new(Duration::ZERO);
        wire.set_loss(0.3);
        let lost = |seed| {
            let mut luck = SmallRng::seed_from_u64(seed);
            (0..1000)
                .map(|_| wire.loses(&mut luck))
                .collect::<Vec<bool>>()
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
        let count = lost(1).into_iter().filter(|lost| *lost).count();
        assert!((240..360).contains(&count), "{count} of 1000");
        wire.set_loss(0.0);
        assert!(!lost(1).contains(&true));
    }
}
