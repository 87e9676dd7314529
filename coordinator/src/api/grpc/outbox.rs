//! The way to one caller, bounded by number and by bytes: what a caller does not read must not pile up here.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;
use onlyhere_proto::wire;
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::Status;
use wire::public_service_check_response::Message;

use crate::{
    api::fit,
    engine::{Audience, News},
};

/// Messages that may wait for one caller.
const MESSAGES: usize = 1_024;
/// Bytes that may wait for one caller before its report; news beyond them is left out.
const BYTES: usize = 1024 * 1024;
/// A caller that reads nothing for this long does not get its report.
const DELIVERY: Duration = Duration::from_secs(10);

type Response = Result<wire::PublicServiceCheckResponse, Status>;

/// Takes messages for the caller; sending never waits, but for [`Outbox::send`].
#[derive(Clone)]
pub(super) struct Outbox {
    queue: mpsc::Sender<(Response, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// What waits for the caller, in order.
pub(super) struct Waiting {
    queue: mpsc::Receiver<(Response, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// Both ends.
pub(super) fn outbox() -> (Outbox, Waiting) {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    let bytes = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        queue: sender,
        bytes: Arc::clone(&bytes),
    };
    let waiting = Waiting {
        queue: receiver,
        bytes,
    };
    (outbox, waiting)
}

impl Outbox {
    /// False when the caller has too much to read already, or is gone.
    pub(super) fn try_send(&self, message: Message) -> bool {
        let response = wire::PublicServiceCheckResponse {
            message: Some(message),
        };
        let size = response.encoded_len();
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        let sent = before + size <= BYTES && self.queue.try_send((Ok(response), size)).is_ok();
        if !sent {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        sent
    }

    /// The last message, which waits a while for room.
    pub(super) async fn send(&self, message: Result<Message, Status>) {
        let response = message.map(|message| wire::PublicServiceCheckResponse {
            message: Some(message),
        });
        let size = response
            .as_ref()
            .map_or(0, |response| response.encoded_len());
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let _ = tokio::time::timeout(DELIVERY, self.queue.send((response, size))).await;
    }

    /// Until the caller is gone.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }
}

impl Audience for Outbox {
    fn tell(&self, news: News) {
        // A caller that reads too slowly misses news, and still gets its report.
        match news {
            News::Observations(observations) => {
                for batch in fit::batches(observations.iter().map(Into::into).collect()) {
                    let _ = self.try_send(Message::Observations(batch));
                }
            }
            News::Provisional(verdict) => {
                let _ = self.try_send(Message::Provisional((&*verdict).into()));
            }
        }
    }
}

impl Stream for Waiting {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Response>> {
        let next = ready!(self.queue.poll_recv(cx));
        Poll::Ready(next.map(|(response, size)| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            response
        }))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn message(bytes: usize) -> Message {
        Message::Cancel(wire::CancelRequest {
            check_id: "x".repeat(bytes),
            request: 1,
        })
    }

    #[tokio::test]
    async fn what_is_not_read_does_not_pile_up_and_the_report_comes_all_the_same() {
        let (outbox, mut waiting) = outbox();
        let sent = (0..100)
            .filter(|_| outbox.try_send(message(100_000)))
            .count();
        assert_eq!(sent, BYTES / 100_000);
        outbox.send(Ok(message(3_000_000))).await;
        assert!(!outbox.try_send(message(10)));
        for _ in 0..=sent {
            waiting.next().await.unwrap().unwrap();
        }
        assert_eq!(outbox.bytes.load(Ordering::Relaxed), 0);
        assert!(outbox.try_send(message(10)));
        let small = (0..2 * MESSAGES)
            .filter(|_| outbox.try_send(message(10)))
            .count();
        assert_eq!(small, MESSAGES - 1, "their number is bounded too");
        drop(waiting);
        outbox.closed().await;
        assert!(!outbox.try_send(message(10)));
    }
}
