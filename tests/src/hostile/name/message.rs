//! Messages of DNS, byte by byte (RFC 1035, 4.1): a library would refuse to write what is wanted here.

use std::net::IpAddr;

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const AAAA: u16 = 28;

const HEADER: usize = 12;

/// Name and type of a query's question; none where there is none.
pub(super) fn question(query: &[u8]) -> Option<(Vec<String>, u16)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = query.get(at..at + 2)?;
    Some((labels, u16::from_be_bytes([kind[0], kind[1]])))
}

/// A name without compression.
pub(super) fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// An answer under way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
    counts: [u16; 3],
}

impl Message {
    /// To a query: its identifier and question, authoritative, no error, nothing in it yet.
    pub(super) fn answer(query: &[u8]) -> Self {
        let end = question_end(query);
        let mut bytes = query[..end].to_vec();
        bytes[2] = 0x84 | (query[2] & 1);
        bytes[3] = 0x80;
        bytes[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        Self {
            bytes,
            counts: [0; 3],
        }
    }

    pub(super) fn code(&mut self, code: u8) -> &mut Self {
        self.bytes[3] = self.bytes[3] & 0xf0 | code;
        self
    }

    pub(super) fn truncated(&mut self) -> &mut Self {
        self.bytes[2] |= 2;
        self
    }

    pub(super) fn identifier(&mut self, identifier: u16) -> &mut Self {
        self.bytes[..2].copy_from_slice(&identifier.to_be_bytes());
        self
    }

    /// A record of the answer section, with its owner and its data as they are.
    pub(super) fn record(&mut self, owner: &[u8], kind: u16, data: &[u8]) -> &mut Self {
        self.counts[0] = self.counts[0].wrapping_add(1);
        self.put(owner, kind, data)
    }

    /// Says that there are so many answers, whatever follows.
    pub(super) fn claim(&mut self, answers: u16) -> &mut Self {
        self.counts[0] = answers;
        self
    }

    pub(super) fn name_record(&mut self, owner: &str, kind: u16, data: &str) -> &mut Self {
        self.record(&name(owner), kind, &name(data))
    }

    pub(super) fn address(&mut self, owner: &str, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.record(&name(owner), A, &address.octets()),
            IpAddr::V6(address) => self.record(&name(owner), AAAA, &address.octets()),
        }
    }

    /// A record of the authority section: a start of authority, or a server of the zone.
    pub(super) fn authority(&mut self, zone: &str, kind: u16) -> &mut Self {
        self.counts[1] = self.counts[1].wrapping_add(1);
        let mut data = name(&format!("ns.{zone}"));
        if kind == SOA {
            data.extend(name(&format!("hostmaster.{zone}")));
            for number in [1u32, 3_600, 600, 86_400, 60] {
                data.extend(number.to_be_bytes());
            }
        }
        self.put(&name(zone), kind, &data)
    }

    pub(super) fn server(&mut self, zone: &str, server: &str) -> &mut Self {
        self.counts[1] = self.counts[1].wrapping_add(1);
        self.put(&name(zone), NS, &name(server))
    }

    fn put(&mut self, owner: &[u8], kind: u16, data: &[u8]) -> &mut Self {
        self.bytes.extend(owner);
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend([0, 1, 0, 0, 0, 60]);
        self.bytes.extend((data.len() as u16).to_be_bytes());
        self.bytes.extend(data);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts == [0; 3]
    }

    pub(super) fn finish(&mut self) -> Vec<u8> {
        for (place, count) in self.counts.iter().enumerate() {
            let at = 6 + 2 * place;
            self.bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        assert!(
            self.bytes.len() <= usize::from(u16::MAX),
            "no message is as long"
        );
        std::mem::take(&mut self.bytes)
    }
}

fn question_end(query: &[u8]) -> usize {
    let mut at = HEADER;
    while let Some(&length) = query.get(at) {
        at += 1 + usize::from(length);
        if length == 0 {
            break;
        }
    }
    (at + 4).min(query.len())
}
