//! A connection of which only so much is read.
//!
//! What a target may say is bounded for each of its parts (header lines, body, certificates), but what carries the parts is
//! endless where a target likes: interim answers, empty frames, session tickets. So all that is read of a connection is
//! counted, and past [`limits::CONNECTION_BYTES`] it fails.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use onlyhere_proto::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that fails once too much was read of it.
#[derive(Debug)]
pub(crate) struct Bounded<S> {
    stream: S,
    left: usize,
}

impl<S> Bounded<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            left: limits::CONNECTION_BYTES,
        }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let length = buffer.filled().len() - before;
        if length > self.left {
            buffer.set_filled(before);
            self.left = 0;
            return Poll::Ready(Err(too_much()));
        }
        self.left -= length;
        read
    }
}

fn too_much() -> io::Error {
    let kib = limits::CONNECTION_BYTES / 1024;
    io::Error::other(format!(
        "more than {kib} KiB came, and the answer was not over"
    ))
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_fits_is_read_and_what_does_not_is_an_error() {
        let whole = vec![7; limits::CONNECTION_BYTES];
        let mut read = Vec::new();
        Bounded::new(&whole[..])
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read, whole);

        let endless = tokio::io::repeat(7);
        let mut read = Vec::new();
        let error = Bounded::new(endless)
            .read_to_end(&mut read)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "more than 512 KiB came, and the answer was not over"
        );
        assert!(read.len() <= limits::CONNECTION_BYTES);
    }
}
