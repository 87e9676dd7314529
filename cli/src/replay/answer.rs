//! One line to the driver. The shapes here are described in `docs/replay.md`.

use std::{net::IpAddr, time::Duration};

use onlyhere_diagnosis::Ask;
use onlyhere_proto::{
    CheckId, CheckRequest, Micros, Purpose, Stage, Target, VantageName, Verdict, Way,
};
use serde::Serialize;

/// What the diagnosis wants after a line, and what it thinks.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) asks: Vec<AskLine>,
    /// On the driver's clock.
    pub(super) wakes_at_ms: Option<Micros>,
    pub(super) concluded: bool,
    /// Observations of the line that were not taken.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) ignored: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A line that was refused; nothing in it has counted.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    /// Which, from 1.
    pub(super) line: u64,
}

/// Something to be tried.
#[derive(Debug, Serialize)]
pub(super) struct AskLine {
    vantage: VantageName,
    delay_ms: Micros,
    request: RequestLine,
}

#[derive(Debug, Serialize)]
struct RequestLine {
    check: CheckId,
    request: u32,
    purpose: Purpose,
    target: Target,
    addresses: Vec<IpAddr>,
    depth: Stage,
    ping: bool,
    resolvers: Vec<IpAddr>,
    deadline_ms: Micros,
    attempt_timeout_ms: Micros,
    max_connections: u16,
    slot: u32,
    way: WayLine,
    authoritative: bool,
}

#[derive(Debug, Serialize)]
struct WayLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_segment: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hops: Option<u8>,
}

impl From<Ask> for AskLine {
    fn from(ask: Ask) -> Self {
        Self {
            vantage: ask.vantage,
            delay_ms: ask.delay.into(),
            request: ask.request.into(),
        }
    }
}

impl From<CheckRequest> for RequestLine {
    fn from(request: CheckRequest) -> Self {
        // Every field by name: whatever a request may hold one day is offered here too.
        let CheckRequest {
            check,
            request,
            purpose,
            target,
            addresses,
            depth,
            ping,
            resolvers,
            deadline,
            attempt_timeout,
            max_connections,
            slot,
            way,
            authoritative,
        } = request;
        Self {
            check,
            request,
            purpose,
            target,
            addresses,
            depth,
            ping,
            resolvers,
            deadline_ms: deadline.into(),
            attempt_timeout_ms: attempt_timeout.into(),
            max_connections,
            slot,
            way: way.into(),
            authoritative,
        }
    }
}

impl From<Way> for WayLine {
    fn from(way: Way) -> Self {
        let Way {
            source,
            interface,
            proxy,
            max_segment,
            hops,
        } = way;
        Self {
            source,
            interface,
            proxy,
            max_segment,
            hops,
        }
    }
}

/// Rounded up to whole microseconds: whoever comes back at this time does not come too early.
pub(super) fn not_before(time: Duration) -> Micros {
    let micros = time.as_nanos().div_ceil(1_000);
    Micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
