//! Records after a good handshake that no TLS library would send: sealed here with the keys that the library gives out for
//! the kernel's sake.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use ring::{aead, hkdf};
use rustls::{ConnectionTrafficSecrets, KeyLog, ProtocolVersion, ServerConnection};

use super::Visitor;
use crate::hostile::behaviour::{
    Act::Records as After,
    Behaviour,
    Version::{Tls12, Tls13},
};

/// The page may be there before the flood is noticed.
const ANY: &[&str] = &[
    "global http",
    "global reset",
    "global timeout",
    "global tls",
];

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("tls12-renegotiation", After(Tls12, renegotiation), ANY),
    Behaviour::new("tls12-warning-alerts", After(Tls12, warnings_12), ANY),
    Behaviour::new("tls12-empty-records", After(Tls12, empty_12), ANY),
    Behaviour::new("tls13-key-updates", After(Tls13, key_updates), ANY),
    Behaviour::new(
        "tls13-key-updates-unasked",
        After(Tls13, key_updates_unasked),
        ANY,
    ),
    Behaviour::new("tls13-tickets", After(Tls13, tickets), ANY),
    Behaviour::new("tls13-empty-records", After(Tls13, empty_13), ANY),
    Behaviour::new("tls13-warning-alerts", After(Tls13, warnings_13), ANY),
    Behaviour::new("tls13-bad-record", After(Tls13, bad_record), ANY),
    Behaviour::new(
        "tls13-one-byte-records",
        After(Tls13, one_byte),
        &["ok none"],
    ),
];

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// Remembers the server's secret of a TLS 1.3 session, from which the next keys come (RFC 8446, 7.2).
#[derive(Debug, Default)]
pub(super) struct Remember(Mutex<Vec<u8>>);

impl KeyLog for Remember {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == "SERVER_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = secret.to_vec();
        }
    }
}

/// The sending side of a session whose keys are in our hands.
pub struct Records<'a> {
    stream: &'a mut TcpStream,
    version: ProtocolVersion,
    key: aead::LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    secret: Vec<u8>,
    until: std::time::Instant,
}

impl<'a> Records<'a> {
    /// Takes over where the library leaves off.
    pub(super) fn take_over(
        stream: &'a mut TcpStream,
        session: ServerConnection,
        remembered: &Arc<Remember>,
        visitor_until: std::time::Instant,
    ) -> io::Result<Self> {
        let version = session
            .protocol_version()
            .unwrap_or(ProtocolVersion::TLSv1_3);
        let secrets = session
            .dangerous_extract_secrets()
            .map_err(io::Error::other)?;
        let (sequence, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = secrets.tx else {
            return Err(io::Error::other(
                "another cipher than the one that was offered",
            ));
        };
        let iv = iv.as_ref().try_into().map_err(io::Error::other)?;
        let secret = remembered.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            stream,
            version,
            key: gcm(key.as_ref())?,
            iv,
            sequence,
            secret: secret.clone(),
            until: visitor_until,
        })
    }

    fn seal(&mut self, kind: u8, content: &[u8]) -> io::Result<Vec<u8>> {
        let sealed = if self.version == ProtocolVersion::TLSv1_2 {
            self.seal_12(kind, content)
        } else {
            self.seal_13(kind, content)
        };
        self.sequence += 1;
        sealed
    }

    /// RFC 8446, 5.2 and 5.3.
    fn seal_13(&self, kind: u8, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = self.iv;
        for (place, byte) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *place ^= byte;
        }
        let length = (content.len() + 1 + aead::MAX_TAG_LEN) as u16;
        let mut record = vec![DATA, 3, 3];
        record.extend(length.to_be_bytes());
        let mut body = content.to_vec();
        body.push(kind);
        self.encrypt(nonce, &record.clone(), &mut body)?;
        record.extend(body);
        Ok(record)
    }

    /// RFC 5288, 3: the sequence number serves as the explicit part of the nonce.
    fn seal_12(&self, kind: u8, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = self.iv;
        let explicit = self.sequence.to_be_bytes();
        nonce[4..].copy_from_slice(&explicit);
        let mut about = explicit.to_vec();
        about.extend([kind, 3, 3]);
        about.extend((content.len() as u16).to_be_bytes());
        let mut body = content.to_vec();
        self.encrypt(nonce, &about, &mut body)?;
        let mut record = vec![kind, 3, 3];
        record.extend(((explicit.len() + body.len()) as u16).to_be_bytes());
        record.extend(explicit);
        record.extend(body);
        Ok(record)
    }

    fn encrypt(&self, nonce: [u8; 12], about: &[u8], body: &mut Vec<u8>) -> io::Result<()> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, aead::Aad::from(about), body)
            .map_err(|_| io::Error::other("a record could not be sealed"))
    }

    /// The keys that follow a KeyUpdate.
    fn next_keys(&mut self) -> io::Result<()> {
        self.secret = expand(&self.secret, "traffic upd", 32)?;
        self.key = gcm(&expand(&self.secret, "key", 16)?)?;
        self.iv.copy_from_slice(&expand(&self.secret, "iv", 12)?);
        self.sequence = 0;
        Ok(())
    }

    /// Sends the same record again and again until the other side has had enough, or the time is over.
    fn flood(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        while std::time::Instant::now() < self.until {
            let mut many = Vec::new();
            while many.len() < 64 * 1024 {
                many.extend(self.seal(kind, content)?);
            }
            self.send(&many)?;
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut v = Visitor {
            line: self.stream,
            host: String::new(),
            peer: ([0, 0, 0, 0], 0).into(),
            until: self.until,
        };
        v.say(bytes)
    }
}

fn gcm(key: &[u8]) -> io::Result<aead::LessSafeKey> {
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, key);
    let key = key.map_err(|_| io::Error::other("a key of another length"))?;
    Ok(aead::LessSafeKey::new(key))
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
fn expand(secret: &[u8], label: &str, length: usize) -> io::Result<Vec<u8>> {
    let label = format!("tls13 {label}");
    let about: [&[u8]; 4] = [
        &(length as u16).to_be_bytes(),
        &[label.len() as u8],
        label.as_bytes(),
        &[0],
    ];
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
    let mut out = vec![0; length];
    prk.expand(&about, Length(length))
        .and_then(|okm| okm.fill(&mut out))
        .map_err(|_| io::Error::other("a secret of another length"))?;
    Ok(out)
}

/// HelloRequest (RFC 5246, 7.4.1.1): the server would like to shake hands once more.
fn renegotiation(r: &mut Records<'_>) -> io::Result<()> {
    r.flood(HANDSHAKE, &[0, 0, 0, 0])
}

fn warnings_12(r: &mut Records<'_>) -> io::Result<()> {
    r.flood(ALERT, &[1, 90])
}

fn empty_12(r: &mut Records<'_>) -> io::Result<()> {
    r.flood(DATA, &[])
}

fn key_updates(r: &mut Records<'_>) -> io::Result<()> {
    update_keys(r, 1)
}

fn key_updates_unasked(r: &mut Records<'_>) -> io::Result<()> {
    update_keys(r, 0)
}

/// KeyUpdate (RFC 8446, 4.6.3), each under the keys of the one before.
fn update_keys(r: &mut Records<'_>, requested: u8) -> io::Result<()> {
    while std::time::Instant::now() < r.until {
        let mut many = Vec::new();
        for _ in 0..200 {
            many.extend(r.seal(HANDSHAKE, &[24, 0, 0, 1, requested])?);
            r.next_keys()?;
        }
        r.send(&many)?;
    }
    Ok(())
}

/// NewSessionTicket (RFC 8446, 4.6.1), as large as a record may be.
fn tickets(r: &mut Records<'_>) -> io::Result<()> {
    let ticket = vec![0x55; 16_000];
    let mut body = vec![0, 0, 0x0e, 0x10, 1, 2, 3, 4, 1, 9];
    body.extend((ticket.len() as u16).to_be_bytes());
    body.extend(ticket);
    body.extend([0, 0]);
    let mut message = vec![4];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    r.flood(HANDSHAKE, &message)
}

fn empty_13(r: &mut Records<'_>) -> io::Result<()> {
    r.flood(DATA, &[])
}

fn warnings_13(r: &mut Records<'_>) -> io::Result<()> {
    r.flood(ALERT, &[1, 90])
}

/// A record that nobody can open.
fn bad_record(r: &mut Records<'_>) -> io::Result<()> {
    let mut record = r.seal(DATA, b"HTTP/1.1 200 OK\r\n\r\n")?;
    if let Some(last) = record.last_mut() {
        *last ^= 1;
    }
    r.send(&record)?;
    r.stream.flush()
}

fn one_byte(r: &mut Records<'_>) -> io::Result<()> {
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{}",
        "a".repeat(2_000)
    );
    let mut all = Vec::new();
    for byte in page.bytes() {
        all.extend(r.seal(DATA, &[byte])?);
    }
    r.send(&all)
}
