//! What a web server sends: header lines, a body, a redirect; by HTTP/1.1 or HTTP/2, as the first byte says, and in pieces
//! as small as it says.

#![no_main]

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{observation, observed, sentence, survives_the_wire};
use onlyhere_probe_node::untrusted;
use onlyhere_proto::{Facts, HttpFacts, Outcome, Stage, Target, limits, wire};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, sent)) = bytes.split_first() else {
        return;
    };
    let target = Target::parse("https://shop.example/a/b?c").expect("a target");
    let stream = Server {
        sent: sent.to_vec(),
        read: 0,
        piece: usize::from(flags >> 1) * 16 + 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let answer = runtime.expect("a runtime").block_on(untrusted::http_answer(
        stream,
        &target,
        flags & 1 == 1,
        Duration::from_secs(5),
    ));
    assert_ne!(
        answer.outcome,
        Outcome::NotMeasured,
        "what a server sends is no failure of ours"
    );
    assert_ne!(
        answer.outcome,
        Outcome::Timeout,
        "the server ended the connection"
    );
    let Some(facts) = answer.facts else {
        return;
    };
    assert!(facts.body_length as usize <= limits::HTTP_BODY);
    assert_eq!(facts.status >= 400, answer.outcome == Outcome::HttpStatus);
    leads(&target, &facts);
    observation(&observed(
        Stage::Http,
        answer.outcome,
        answer.detail,
        Facts::Http(facts),
    ));
});

fn leads(target: &Target, facts: &HttpFacts) {
    match untrusted::redirect(target, facts, &[]) {
        None => assert!(facts.location.is_none()),
        Some(Ok(next)) => {
            assert!(!next.path.is_empty());
            survives_the_wire::<_, wire::Target>(&next);
        }
        Some(Err(why)) => sentence(&why),
    }
}

/// Sends what it has in pieces, then ends; reads whatever it is sent.
struct Server {
    sent: Vec<u8>,
    read: usize,
    piece: usize,
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = self.read;
        let to = self
            .sent
            .len()
            .min(from + self.piece.min(buffer.remaining()));
        buffer.put_slice(&self.sent[from..to]);
        self.read = to;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
