//! The TTL ladder: a TCP connect for every time to live from 1 on, so that each router on the way shows itself by its
//! "time exceeded", and the rung that first gets another answer shows how far away whoever gives it is.
//!
//! Rungs run a few at a time, because kernels limit the ICMP errors that they send, and are told in their order. The
//! first rung that gets anything but a router's "time exceeded" or silence ends the ladder: it has the host's own word,
//! or that of somebody on the way who speaks for it.
//!
//! Where packets are dropped, every rung behind that place is silent, and waiting for each costs seconds. So the last rung
//! is tried along with the first ones: when it is silent, too, and so are four in a row, the others below it would be as
//! well. When it is answered the silent ones are routers that do not tell, and the climb goes on.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures::stream::{self, StreamExt};
use onlyhere_proto::{
    Facts, IcmpError, Outcome, SaidBy, Stage, Target, TcpFacts, Timestamp, limits,
};

use crate::{
    probe::{Attempt, Seen},
    visit::{BUSY, Visit, now},
};

/// Rungs under way at once.
const AT_ONCE: u8 = 4;
/// Silent rungs in a row after which only the last one is still listened to.
const SILENT: u8 = 4;
/// The longest and the shortest wait of one rung; below a second no SYN is sent twice.
const WAIT: (Duration, Duration) = (Duration::from_millis(1_000), Duration::from_millis(250));

impl Visit<'_> {
    /// Climbs to one address, a hop at a time.
    pub(crate) async fn ladder(&self, target: &Target, address: IpAddr, hops: u8) {
        let Some(port) = target.port else {
            let seen = Seen::not_measured("the target has no port to connect to");
            return self.say_of(target, Stage::Tcp, Some(address), seen).await;
        };
        let Some(_turn) = self.shared.turns.ladder(self.deadline).await else {
            let seen = Seen::not_measured("another ladder is climbed from here");
            return self.say_of(target, Stage::Tcp, Some(address), seen).await;
        };
        let hops = hops.min(limits::HOPS);
        let wait = wait_of_a_rung(hops, self.time_left());
        let to = SocketAddr::new(address, port);
        let rung = |hop| self.rung(target, to, hop, wait);
        let mut rungs = stream::iter(1..=hops).map(rung).buffered(AT_ONCE.into());
        let mut last = pin!(rung(hops));
        let (mut last_seen, mut silent, mut told) = (None, 0, 0);
        loop {
            tokio::select! {
                biased;
                next = rungs.next() => {
                    let Some((attempt, at, seen)) = next else {
                        return;
                    };
                    let (is_end, is_silent) = (is_end(&seen), is_silent(&seen));
                    told += 1;
                    silent = if is_silent { silent + 1 } else { 0 };
                    self.say(Stage::Tcp, &attempt, at, seen).await;
                    if is_end {
                        return;
                    }
                }
                seen = &mut last, if hops > SILENT && last_seen.is_none() => last_seen = Some(seen),
            }
            let gives_up = silent >= SILENT && told < hops;
            // Where it was answered the climb comes to it in its turn.
            if let Some((attempt, at, seen)) =
                last_seen.take_if(|(_, _, seen)| gives_up && is_silent(seen))
            {
                self.say(Stage::Tcp, &attempt, at, seen).await;
                return;
            }
        }
    }

    /// One connect whose packets live for `hop` hops. The connection, if there is one, ends with it.
    async fn rung<'b>(
        &'b self,
        target: &'b Target,
        to: SocketAddr,
        hop: u8,
        wait: Duration,
    ) -> (Attempt<'b>, Timestamp, Seen) {
        let mut attempt = self.attempt(target, to, None);
        attempt.way = attempt.way.with_time_to_live(hop);
        let own_failure = |why: &str| {
            let mut seen = Seen::not_measured(why);
            seen.facts = Some(Facts::Tcp(TcpFacts {
                hop: Some(hop),
                ..TcpFacts::default()
            }));
            seen
        };
        let Some(_permit) = self.turn().await else {
            return (attempt, now(), own_failure(BUSY));
        };
        if let Some(why) = self.no_connection(to.ip()) {
            return (attempt, now(), own_failure(&why));
        }
        let (at, mut seen) = self.measure_within(Stage::Tcp, &mut attempt, wait).await;
        if seen.facts.is_none() {
            seen.facts = own_failure("").facts;
        }
        attempt.connection = Default::default();
        (attempt, at, seen)
    }
}

/// Shares what is left of the request's time among as many rounds of rungs as it takes when everybody is silent.
fn wait_of_a_rung(hops: u8, left: Duration) -> Duration {
    let rounds = u32::from(hops.div_ceil(AT_ONCE).max(1));
    // A tenth is kept for turns and for saying it.
    (left * 9 / 10 / rounds).clamp(WAIT.1, WAIT.0)
}

fn is_silent(seen: &Seen) -> bool {
    seen.outcome == Outcome::Timeout
}

/// Whether no further rung can say more.
fn is_end(seen: &Seen) -> bool {
    match (seen.outcome, seen.said_by) {
        (Outcome::Timeout, _) => false,
        (_, Some(SaidBy::Icmp { icmp })) => !is_time_exceeded(icmp),
        _ => true,
    }
}

/// In transit: RFC 792 (11/0), RFC 4443 3.3 (3/0).
fn is_time_exceeded(icmp: IcmpError) -> bool {
    let in_transit = if icmp.from.is_ipv4() { (11, 0) } else { (3, 0) };
    (icmp.icmp_type, icmp.code) == in_transit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_everywhere_fits_into_the_time_there_is() {
        for (hops, left, wait) in [
            (24, 4_000, 600),
            (24, 60_000, 1_000),
            (4, 4_000, 1_000),
            (1, 1_000, 900),
            (24, 500, 250),
        ] {
            let of = wait_of_a_rung(hops, Duration::from_millis(left));
            assert_eq!(of.as_millis(), wait, "{hops} hops in {left} ms");
        }
    }

    #[test]
    fn only_a_router_or_silence_leads_on() {
        let said = |from: &str, icmp_type, code| {
            let mut seen = Seen::ok(Duration::ZERO);
            seen.outcome = Outcome::Unreachable;
            seen.said_by = Some(SaidBy::Icmp {
                icmp: IcmpError {
                    icmp_type,
                    code,
                    from: from.parse().unwrap(),
                },
            });
            seen
        };
        assert!(!is_end(&said("192.0.2.1", 11, 0)));
        assert!(!is_end(&said("2001:db8::1", 3, 0)));
        assert!(is_end(&said("192.0.2.1", 3, 0)), "no route");
        assert!(is_end(&said("2001:db8::1", 1, 1)));
        assert!(is_end(&Seen::ok(Duration::ZERO)));
        assert!(is_end(&Seen::not_measured("busy")));
    }
}
