//! Ties calls to the activity of their connection: the body of an answer says when it is asked for more.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::activity::{Activity, CallId};

/// Bytes handed over at once. What HTTP/2 has been handed it keeps until the peer's window opens, so it is not handed
/// a whole report.
const PIECE: usize = 16 * 1024;

/// The activity of one connection, shared between its calls and its watch.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Activity>>);

impl Shared {
    pub(super) fn new(activity: Activity) -> Self {
        Self(Arc::new(Mutex::new(activity)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come.
    pub(super) fn begin(&self) -> Call {
        Call {
            id: self.lock().handle_call(Instant::now()),
            activity: self.clone(),
        }
    }
}

/// One call; over when dropped.
#[derive(Debug)]
pub(super) struct Call {
    activity: Shared,
    id: CallId,
}

impl Call {
    /// The answer's body, from now on watched.
    pub(super) fn answer(self, body: Body) -> Watched {
        self.activity.lock().handle_offered(self.id, Instant::now());
        Watched {
            call: self,
            body,
            rest: Bytes::new(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.activity.lock().handle_end(self.id, Instant::now());
    }
}

/// A body in pieces; its call ends with it.
#[derive(Debug)]
pub(super) struct Watched {
    call: Call,
    body: Body,
    rest: Bytes,
}

impl Watched {
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = self.poll_piece(cx);
        let Call { activity, id } = &self.call;
        match polled {
            Poll::Pending => activity.lock().handle_nothing_to_send(*id),
            Poll::Ready(_) => activity.lock().handle_offered(*id, Instant::now()),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::activity::Patience, *};

    #[tokio::test]
    async fn a_body_is_handed_over_in_pieces_and_whole() {
        let patience = Patience {
            first_request: Duration::from_secs(60),
            idle: Duration::from_secs(1),
            stall: Duration::from_secs(1),
            call: None,
        };
        let shared = Shared::new(Activity::new(patience, Instant::now()));
        let whole: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        let mut body = shared.begin().answer(Body::from(whole.clone()));
        let mut got = Vec::new();
        while !body.is_end_stream() {
            assert_eq!(
                body.size_hint().exact(),
                Some((whole.len() - got.len()) as u64)
            );
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let piece = frame.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            got.extend_from_slice(&piece);
        }
        assert!(got == whole);
        let now = Instant::now();
        let stalled = shared.lock().poll(now + Duration::from_secs(2));
        assert_eq!(stalled, Err(super::super::activity::Overdue::Stalled));
        drop(body);
        let idle = shared.lock().poll(now + Duration::from_secs(2));
        assert_eq!(idle, Err(super::super::activity::Overdue::Idle));
    }
}
