//! A thread that does nothing but open sockets and stamp the moment they answer.
//!
//! How long a refusal took tells where it was made, and the difference between this machine and the next is some tens
//! of microseconds. On the common runtime a TLS handshake of another attempt (400 us) would stand between an answer and
//! its stamp; here nothing else runs.

use std::{future::Future, io, thread};

use tokio::{
    io::Interest,
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::task::AbortOnDropHandle;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct TimingThread {
    runtime: Handle,
    _ends_the_thread_when_dropped: oneshot::Sender<()>,
}

impl TimingThread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (sender, dropped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("timing".to_owned())
            .spawn(move || runtime.block_on(dropped))?;
        Ok(Self {
            runtime: handle,
            _ends_the_thread_when_dropped: sender,
        })
    }

    /// Runs `work` on the thread; dropping the returned future stops it. `None` when it could not be finished there.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        AbortOnDropHandle::new(self.runtime.spawn(work)).await.ok()
    }
}

/// Forgets that a socket was ready, so that the next wait waits: for `interest`, and for errors.
///
/// The runtime forgets nothing when it is asked for two interests at once, and the wait would spin.
pub(crate) fn forget_readiness(
    interest: Interest,
    try_io: impl Fn(Interest, fn() -> io::Result<()>) -> io::Result<()>,
) {
    for one in [interest, Interest::ERROR] {
        let _ = try_io(one, || Err(io::ErrorKind::WouldBlock.into()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onlyhere_proto::Family;
    use tokio::{net::UdpSocket, time::timeout};

    use super::*;
    use crate::kernel;

    #[tokio::test]
    async fn work_runs_on_the_thread_and_ends_with_its_future() {
        let timing = TimingThread::start().unwrap();
        let name = timing
            .run(async { std::thread::current().name().map(str::to_owned) })
            .await;
        assert_eq!(name, Some(Some("timing".to_owned())));

        let (dropped, was_dropped) = tokio::sync::oneshot::channel::<()>();
        let endless = timing.run(async move {
            let _held = dropped;
            std::future::pending::<()>().await;
        });
        tokio::select! {
            biased;
            _ = endless => unreachable!("it never ends"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        assert!(was_dropped.await.is_err(), "what it held is dropped");
    }

    #[tokio::test]
    async fn a_socket_whose_readiness_is_forgotten_is_waited_for_again() {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        kernel::report_errors(&socket, Family::V4, true).unwrap();
        socket.connect(closed).await.unwrap();
        socket.send(b"anybody?").await.unwrap();
        let interest = Interest::READABLE | Interest::ERROR;
        let soon = Duration::from_secs(2);
        let ready = timeout(soon, socket.ready(interest))
            .await
            .expect("the ICMP error wakes it");
        assert!(ready.unwrap().is_error());
        // Both the queue and the error that is pending on the socket itself.
        while kernel::queued_error(&socket).is_some() || socket.take_error().unwrap().is_some() {}
        forget_readiness(Interest::READABLE, |one, nothing| {
            socket.try_io(one, nothing)
        });
        let again = timeout(Duration::from_millis(100), socket.ready(interest)).await;
        assert!(again.is_err(), "ready again for nothing: {again:?}");
        socket.send(b"anybody?").await.unwrap();
        timeout(soon, socket.ready(interest))
            .await
            .expect("the next one wakes it")
            .unwrap();
    }
}
