//! Writes small address databases in the MaxMind DB format (version 2.0 of its specification): an IPv6 search tree with
//! 24-bit records, in which IPv4 lies at ::/96.

use std::{net::IpAddr, path::Path};

use serde_json::Value;

/// Node or record of the tree.
#[derive(Clone, Copy)]
enum Branch {
    Nothing,
    Node(usize),
    Data(usize),
}

/// Writes a database of these networks (`192.0.2.0/24`) and records (JSON objects).
pub fn write(path: &Path, kind: &str, networks: &[(&str, Value)]) {
    let mut nodes = vec![[Branch::Nothing; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let at = data.len();
        encode(record, &mut data);
        insert(&mut nodes, network, at);
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for node in &nodes {
        for branch in node {
            let record = match branch {
                Branch::Nothing => count,
                Branch::Node(at) => *at,
                // 16 empty bytes lie between tree and data.
                Branch::Data(at) => count + 16 + at,
            };
            file.extend(&u32::try_from(record).unwrap().to_be_bytes()[1..]);
        }
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(kind, count, &mut file);
    std::fs::write(path, file).unwrap();
}

/// The types here are part of the format: 5 is uint16, 6 uint32, 9 uint64.
fn metadata(kind: &str, count: usize, out: &mut Vec<u8>) {
    let numbers = [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, 1_767_225_600),
        ("ip_version", 5, 6),
        ("node_count", 6, u32::try_from(count).unwrap()),
        ("record_size", 5, 24),
    ];
    control(7, numbers.len() + 3, out);
    for (name, kind, value) in numbers {
        encode(&name.into(), out);
        number(kind, value, out);
    }
    for (name, value) in [
        ("database_type", kind.into()),
        ("description", serde_json::json!({})),
        ("languages", serde_json::json!([])),
    ] {
        encode(&name.into(), out);
        encode(&value, out);
    }
}

fn insert(nodes: &mut Vec<[Branch; 2]>, network: &str, data: usize) {
    let (address, length) = network.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    let (bits, length) = match address.parse().unwrap() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), length + 96),
        IpAddr::V6(address) => (u128::from(address), length),
    };
    let mut node = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[node][side] = Branch::Data(data);
            return;
        }
        node = match nodes[node][side] {
            Branch::Node(next) => next,
            _ => {
                nodes.push([Branch::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Branch::Node(next);
                next
            }
        };
    }
}

/// Type in the upper three bits and length in the lower five; from 29 on the length stands in a byte more.
fn control(kind: u8, length: usize, out: &mut Vec<u8>) {
    match u8::try_from(length).unwrap() {
        length @ ..29 => out.push(kind << 5 | length),
        length => out.extend([kind << 5 | 29, length - 29]),
    }
}

/// In as few bytes as it takes.
fn number(kind: u8, value: u32, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    let length = 4 - zeros;
    match kind {
        ..8 => control(kind, length, out),
        // An extended type: in a second byte, less 7.
        _ => out.extend([u8::try_from(length).unwrap(), kind - 7]),
    }
    out.extend(&bytes[zeros..]);
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Number(value) => {
            let value = value.as_u64().unwrap();
            number(6, u32::try_from(value).unwrap(), out);
        }
        Value::Object(map) => {
            control(7, map.len(), out);
            for (key, value) in map {
                encode(&Value::String(key.clone()), out);
                encode(value, out);
            }
        }
        // An extended type: 11.
        Value::Array(list) if list.is_empty() => out.extend([0, 11 - 7]),
        other => panic!("not written here: {other}"),
    }
}
