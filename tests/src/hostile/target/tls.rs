//! What is said in place of a TLS handshake, and handshakes with certificates that are too much.

use std::io;

use super::Visitor;
use crate::hostile::behaviour::{Act::Certificate, Act::Handshake, Behaviour, Chain};

const SILENT: &[&str] = &["global timeout"];
const BROKEN: &[&str] = &["global tls", "global timeout", "global reset"];

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("tls-silent", Handshake(silent), SILENT),
    Behaviour::new("tls-one-byte-a-second", Handshake(slow), SILENT),
    Behaviour::new("tls-garbage", Handshake(garbage), BROKEN),
    Behaviour::new("tls-warning-alerts", Handshake(warnings), BROKEN),
    Behaviour::new("tls-empty-records", Handshake(empty_records), BROKEN),
    Behaviour::new("tls-hello-requests", Handshake(hello_requests), BROKEN),
    Behaviour::new(
        "tls-change-cipher-specs",
        Handshake(change_cipher_specs),
        BROKEN,
    ),
    Behaviour::new(
        "tls-endless-handshake-message",
        Handshake(endless_message),
        BROKEN,
    ),
    Behaviour::new("tls-huge-record", Handshake(huge_record), BROKEN),
    Behaviour::new("tls-chain-of-1-mb", Certificate(Chain::Megabyte), BROKEN),
    Behaviour::new("tls-10000-names", Certificate(Chain::Names), BROKEN),
    Behaviour::new("tls-100-certificates", Certificate(Chain::Hundred), BROKEN),
    Behaviour::new(
        "tls-certificate-escapes",
        Certificate(Chain::Escapes),
        BROKEN,
    ),
    Behaviour::new("tls-certificate-no-der", Certificate(Chain::Broken), BROKEN),
];

const ALERT: u8 = 21;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend((content.len() as u16).to_be_bytes());
    record.extend(content);
    record
}

fn silent(v: &mut Visitor<'_>) -> io::Result<()> {
    v.wait()
}

/// A ServerHello that would be a good one, one byte a second.
fn slow(v: &mut Visitor<'_>) -> io::Result<()> {
    let mut hello = vec![2, 0, 0, 38, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x2b, 0]);
    v.drip(record(HANDSHAKE, &hello))
}

fn garbage(v: &mut Visitor<'_>) -> io::Result<()> {
    v.flood("220 no TLS here \x1b[31m\r\n")
}

fn warnings(v: &mut Visitor<'_>) -> io::Result<()> {
    // Warning, user_canceled.
    v.flood(record(ALERT, &[1, 90]))
}

fn empty_records(v: &mut Visitor<'_>) -> io::Result<()> {
    v.flood(record(HANDSHAKE, &[]))
}

fn hello_requests(v: &mut Visitor<'_>) -> io::Result<()> {
    v.flood(record(HANDSHAKE, &[0, 0, 0, 0]))
}

fn change_cipher_specs(v: &mut Visitor<'_>) -> io::Result<()> {
    v.flood(record(CHANGE_CIPHER_SPEC, &[1]))
}

/// A ServerHello of 16 MB, in records as large as they may be.
fn endless_message(v: &mut Visitor<'_>) -> io::Result<()> {
    v.say(record(HANDSHAKE, &[2, 0xff, 0xff, 0xff]))?;
    v.flood(record(HANDSHAKE, &[7; 16_384]))
}

fn huge_record(v: &mut Visitor<'_>) -> io::Result<()> {
    v.say([HANDSHAKE, 3, 3, 0xff, 0xff])?;
    v.flood([7; 4096])
}
