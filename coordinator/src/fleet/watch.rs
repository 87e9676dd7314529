//! What ends the lines of probes from outside their streams: the roll, the clock, and the certificate authority.

use std::{convert::Infallible, time::Duration};

use super::{End, Order, ProbePort};
use crate::{clock, store::StoreError};

/// Ends the lines of probes that are not on the roll any more, or with another key. Whoever changes the roll, be it
/// another process, is noticed at the next tick; the roll itself is read only when it has changed.
pub async fn watch_roll(port: ProbePort, every: Duration) -> Infallible {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut seen, mut failing) = (None, false);
    loop {
        ticks.tick().await;
        match end_struck_off(&port, seen).await {
            Ok(version) => (seen, failing) = (Some(version), false),
            // Said once, not five times a second.
            Err(_) if failing => {}
            Err(error) => {
                failing = true;
                tracing::error!(%error, "the roll of probes cannot be read: who is struck off stays until it can");
            }
        }
    }
}

/// The version of the roll that the lines now agree with.
async fn end_struck_off(port: &ProbePort, seen: Option<i64>) -> Result<i64, StoreError> {
    // The version first: what changes after that is seen the next time.
    let version = port.roll.version().await?;
    if seen != Some(version) {
        let names = port.roll.all().await?;
        port.fleet
            .retain(End::StruckOff, |line| names.contains_key(line.name()));
        port.fleet.retain(End::OtherKey, |line| {
            let enrolled = names.get(line.name());
            enrolled.is_none_or(|enrolled| enrolled.accepts(line.key_sha256()))
        });
    }
    Ok(version)
}

/// Follows what `ca rotate` and `ca retire` do, and ends the lines whose certificate is over.
pub async fn watch_certificates(port: ProbePort, every: Duration) -> Infallible {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let changed = port.authority.refresh().unwrap_or_else(|error| {
            tracing::error!(%error, "the certificate authority cannot be read: the one before stays in use");
            false
        });
        let (authority, now) = (port.authority.authority(), clock::now());
        port.fleet.retain(End::Retired, |line| {
            line.peer().is_none_or(|peer| authority.trusts(peer))
        });
        port.fleet.retain(End::Expired, |line| {
            line.peer().is_none_or(|peer| peer.expires_at > now)
        });
        if changed {
            let trusted = authority.trusted().count();
            tracing::warn!(
                ca = authority.fingerprint(),
                trusted,
                "the certificate authority was replaced"
            );
            port.fleet.order(Order::Renew, |line| {
                line.peer().is_some_and(|peer| !authority.has_signed(peer))
            });
        }
    }
}
