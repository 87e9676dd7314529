//! Servers that agree on HTTP/2 and then speak it like nobody should (RFC 9113).

use std::io;

use super::Visitor;
use crate::hostile::behaviour::{Act::Secure, Behaviour, Session::Http2};

const OK: &[&str] = &["ok none"];
const SILENT: &[&str] = &["global timeout"];
const BROKEN: &[&str] = &["global http", "global reset", "global timeout"];

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("h2-silent", Secure(Http2, silent), SILENT),
    Behaviour::new("h2-settings-flood", Secure(Http2, settings_flood), BROKEN),
    Behaviour::new(
        "h2-pings-and-reads-nothing",
        Secure(Http2, ping_flood),
        BROKEN,
    ),
    Behaviour::new(
        "h2-endless-continuation",
        Secure(Http2, continuation_flood),
        BROKEN,
    ),
    Behaviour::new("h2-header-bomb", Secure(Http2, header_bomb), BROKEN),
    Behaviour::new("h2-endless-103-hints", Secure(Http2, endless_hints), BROKEN),
    Behaviour::new("h2-endless-body", Secure(Http2, endless_body), OK),
    Behaviour::new(
        "h2-beyond-the-window",
        Secure(Http2, beyond_the_window),
        BROKEN,
    ),
    Behaviour::new("h2-padding-only", Secure(Http2, padding_only), BROKEN),
    Behaviour::new("h2-empty-data", Secure(Http2, empty_data), BROKEN),
    Behaviour::new("h2-push-promises", Secure(Http2, push_promises), BROKEN),
    Behaviour::new("h2-window-overflow", Secure(Http2, window_overflow), BROKEN),
    Behaviour::new("h2-unknown-frames", Secure(Http2, unknown_frames), BROKEN),
    Behaviour::new("h2-goaway-flood", Secure(Http2, goaway_flood), BROKEN),
    Behaviour::new("h2-huge-frame", Secure(Http2, huge_frame), BROKEN),
];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// The client's first.
const STREAM: u32 = 1;
/// `:status: 200`, by its place in the static table (RFC 7541, appendix A).
const STATUS_200: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal header that enters no table.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x00, name.len() as u8];
    bytes.extend(name.bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.bytes());
    bytes
}

/// Settings first, as it must be; a client's request is there by then or soon.
fn greet(v: &mut Visitor<'_>) -> io::Result<()> {
    v.say(frame(SETTINGS, 0, 0, &[]))?;
    let mut buffer = [0; 4096];
    // The preface, the client's settings and its request are some hundred bytes; what is not read is not needed.
    let _ = v.line.read(&mut buffer);
    let _ = v.line.read(&mut buffer);
    Ok(())
}

fn silent(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.wait()
}

fn settings_flood(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.flood(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]))
}

/// Every ping wants an answer, and nobody takes it.
fn ping_flood(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.flood(frame(PING, 0, 0, b"answerme"))?;
    v.stall()
}

/// CVE-2024-27316 and its kin: headers that never end.
fn continuation_flood(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.say(frame(HEADERS, 0, STREAM, STATUS_200))?;
    v.flood(frame(
        CONTINUATION,
        0,
        STREAM,
        &literal("x-more", "and more"),
    ))
}

/// One large entry of the table, and thousands of references to it, one byte each.
fn header_bomb(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    let value = "b".repeat(3_000);
    let mut block = STATUS_200.to_vec();
    block.extend([0x40, 3]);
    block.extend(b"x-a");
    // A length of more than 126 goes on in further bytes (RFC 7541, 5.1).
    let rest = value.len() - 127;
    block.extend([0x7f, (rest % 128) as u8 | 0x80, (rest / 128) as u8]);
    block.extend(value.bytes());
    block.extend([0x80 | 62; 12_000]);
    v.say(frame(HEADERS, END_HEADERS, STREAM, &block))?;
    v.wait()
}

fn endless_hints(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    let mut block = vec![0x08, 3];
    block.extend(b"103");
    v.flood(frame(HEADERS, END_HEADERS, STREAM, &block))
}

fn headers(v: &mut Visitor<'_>) -> io::Result<()> {
    v.say(frame(HEADERS, END_HEADERS, STREAM, STATUS_200))
}

fn endless_body(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    headers(v)?;
    // As much as a client must grant, which is 64 KiB less one.
    for _ in 0..3 {
        v.say(frame(DATA, 0, STREAM, &[b'a'; 16_384]))?;
    }
    v.say(frame(DATA, 0, STREAM, &[b'a'; 16_383]))?;
    v.wait()
}

fn beyond_the_window(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.flood(frame(DATA, 0, STREAM, &[b'a'; 16_384]))
}

fn padding_only(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    headers(v)?;
    let mut padding = vec![255];
    padding.extend([0; 255]);
    v.flood(frame(DATA, PADDED, STREAM, &padding))
}

fn empty_data(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    headers(v)?;
    v.flood(frame(DATA, 0, STREAM, &[]))
}

fn push_promises(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    let mut promise = 2u32.to_be_bytes().to_vec();
    promise.extend([0x82, 0x84, 0x87]);
    v.flood(frame(PUSH_PROMISE, END_HEADERS, STREAM, &promise))
}

fn window_overflow(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.flood(frame(
        WINDOW_UPDATE,
        0,
        STREAM,
        &0x7fff_ffffu32.to_be_bytes(),
    ))
}

/// Of types that nobody knows, which a client must ignore.
fn unknown_frames(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.flood(frame(0xfa, 0xff, STREAM, &[0; 1024]))
}

fn goaway_flood(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    let mut last = STREAM.to_be_bytes().to_vec();
    last.extend(0u32.to_be_bytes());
    last.extend([b'x'; 1024]);
    v.flood(frame(GOAWAY, 0, 0, &last))
}

fn huge_frame(v: &mut Visitor<'_>) -> io::Result<()> {
    greet(v)?;
    v.say([0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1])?;
    v.flood([b'a'; 1024])
}
