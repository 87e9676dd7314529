//! The stream of an attached probe, from its greeting to its end.

use std::{net::IpAddr, sync::Arc, time::Duration};

use onlyhere_proto::{limits, wire};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use wire::{attach_request::Message as FromProbe, attach_response::Message as ToProbe};

use super::{
    Answers, End, Event, Line, Offence, Order, ProbePort,
    instances::{Clash, Instance},
    sighting::{Sighting, remarks},
};
use crate::{
    audit::{Act, By, Event as Entry},
    clock,
    identity::Peer,
};

/// From the opening of the stream to the probe's greeting.
const HELLO: Duration = Duration::from_secs(10);

/// One attached probe.
pub(super) struct Session {
    pub(super) port: ProbePort,
    pub(super) line: Arc<Line>,
    pub(super) peer: Peer,
    pub(super) remote: IpAddr,
    pub(super) orders: mpsc::Sender<Result<wire::AttachResponse, Status>>,
}

impl Session {
    pub(super) async fn run(self, mut inbound: Streaming<wire::AttachRequest>) {
        let probe = self.line.name().clone();
        let hello = match tokio::time::timeout(HELLO, inbound.message()).await {
            Ok(Ok(Some(wire::AttachRequest {
                message: Some(FromProbe::Hello(hello)),
            }))) => hello,
            Ok(Err(status)) => return self.cut_off(unreadable_message(&status)),
            // Who has gone, or said nothing, has not offended.
            Ok(Ok(None)) | Err(_) => return self.line.end(Offence::OutOfTurn("first").into()),
            Ok(Ok(Some(_))) => return self.cut_off(Some(Offence::OutOfTurn("first"))),
        };
        match Answers(&self.line).source_addresses(&hello) {
            Ok(addresses) => self.line.can_try_from(addresses),
            Err(offence) => return self.cut_off(Some(offence)),
        }
        let welcome = wire::Welcome {
            name: probe.to_string(),
            now_us: clock::now().0,
        };
        let _ = self.orders.try_send(Ok(wire::AttachResponse {
            message: Some(ToProbe::Welcome(welcome)),
        }));
        self.port.fleet.attach(&self.line);
        // Who was struck off between the look at the roll and this moment is not seen by the watch.
        if !self.is_on_the_roll().await {
            self.line.end(End::StruckOff);
        }
        if !self.port.authority.authority().has_signed(&self.peer) {
            self.line.order(Order::Renew);
        }
        tracing::info!(%probe, remote = %self.remote, until = %self.peer.expires_at,
            version = limits::plain_text(&hello.version, 64), "attached");
        self.look_at(&hello).await;
        tokio::select! {
            end = self.line.ended() => tracing::info!(%probe, why = %end, "detached"),
            read = self.read(&mut inbound) => match read {
                Ok(()) => tracing::info!(%probe, "detached by itself"),
                Err(offence) => self.cut_off(Some(offence)),
            },
            // The response stream is gone: the connection has broken.
            () = self.orders.closed() => tracing::info!(%probe, "connection lost"),
        }
        // Whatever the reason: nobody may be asked over this line again.
        self.line.end(End::Closed);
        self.port.fleet.detach(&self.line);
    }

    /// Ends the line; for an offence, which the log tells, or because the stream has failed.
    fn cut_off(&self, offence: Option<Offence>) {
        let Some(offence) = offence else {
            return self.line.end(End::Closed);
        };
        tracing::warn!(probe = %self.line.name(), why = %offence, "cut off");
        self.line.end(offence.into());
    }

    async fn is_on_the_roll(&self) -> bool {
        match self.port.roll.get(self.line.name()).await {
            Ok(enrolled) => {
                enrolled.is_some_and(|enrolled| enrolled.accepts(self.line.key_sha256()))
            }
            Err(error) => {
                tracing::error!(%error, "the roll of probes cannot be read");
                false
            }
        }
    }

    /// Notes where it comes from, and tells the log what an operator should look at.
    async fn look_at(&self, hello: &wire::Hello) {
        let (port, probe) = (&self.port, self.line.name());
        let instance = Instance {
            id: limits::plain_text(&hello.instance, 64),
            address: self.remote,
        };
        let clash = port.notices.attached(probe, instance);
        if let Some(clash) = clash {
            self.tell_clash(clash).await;
        }
        let (located, now) = (port.geo.locate(self.remote), clock::now());
        let see = |earlier: Option<&Sighting>| {
            Sighting::after(earlier, self.remote, located.clone(), clash, now)
        };
        match port.roll.sight(&self.peer, see).await {
            Ok(None) => {}
            Ok(Some(enrolled)) => {
                let beside = port.fleet.beside(probe, self.remote);
                for remark in remarks(&enrolled, &beside, now) {
                    tracing::warn!(%probe, remark, "look at this probe");
                }
            }
            Err(error) => tracing::error!(%error, "where a probe was seen cannot be written down"),
        }
    }

    async fn tell_clash(&self, Clash { older, newer }: Clash) {
        let probe = self.line.name();
        tracing::warn!(%probe, %older, %newer, "two machines use the identity of one probe: its key was copied, by a thief \
            or with a cloned server; revoke it, and let each join with a token of its own");
        if self.port.notices.is_news(probe, "clash", clock::now()) {
            let by = By::probe(probe, Some(newer));
            let says = format!("two machines, the other at {older}");
            let entry = Entry::new(Act::ProbeDuplicated, by, probe.as_str(), &says);
            self.port.audit.record(entry).await;
        }
    }

    async fn read(&self, inbound: &mut Streaming<wire::AttachRequest>) -> Result<(), Offence> {
        let answers = Answers(&self.line);
        loop {
            let message = match inbound.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(status) => {
                    tracing::debug!(probe = %self.line.name(), %status, "the stream has failed");
                    return unreadable_message(&status).map_or(Ok(()), Err);
                }
            };
            match message.message {
                Some(FromProbe::Observations(batch)) => {
                    self.port
                        .fleet
                        .deliver(&self.line, answers.observations(batch)?);
                }
                Some(FromProbe::Done(done)) => {
                    if let Some((check, request)) = answers.done(done)? {
                        self.port
                            .fleet
                            .tell(&check, Event::Done(self.line.name().clone(), request));
                    }
                }
                Some(FromProbe::Hello(_)) => return Err(Offence::OutOfTurn("second hello")),
                // A message of a newer probe.
                None => {}
            }
        }
    }
}

/// What a failed stream says of the message that came last; none where the connection has broken (see
/// [`onlyhere_proto::codec`] for the codes).
fn unreadable_message(status: &Status) -> Option<Offence> {
    let unreadable = matches!(status.code(), Code::InvalidArgument | Code::OutOfRange);
    unreadable.then(|| Offence::Unreadable(limits::plain_text(status.message(), limits::TEXT)))
}
