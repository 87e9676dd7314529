//! What listens on this machine, from the kernel's tables of TCP sockets (proc(5)), and whose sockets they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use onlyhere_proto::{Listener, limits};

/// State `LISTEN` in the kernel's tables.
const LISTEN: &str = "0A";
/// Sockets read of one table at most.
const SOCKETS: usize = 65_536;
/// For finding out the programs' names: processes looked at, open files of each, and time.
const PROCESSES: usize = 4_096;
const FILES: usize = 4_096;
const PATIENCE: Duration = Duration::from_millis(100);

/// The listening TCP sockets of this machine, those on `port` first, then by port. Programs are named as far as the
/// kernel tells this user.
pub(super) fn list(port: Option<u16>) -> Vec<Listener> {
    let table = |name| fs::read_to_string(name).unwrap_or_default();
    let sockets = parse(&table("/proc/net/tcp"), &table("/proc/net/tcp6"));
    let chosen = choose(sockets, port);
    let mut wanted: BTreeSet<u64> = chosen.iter().map(|socket| socket.inode).collect();
    wanted.remove(&0);
    let programs = programs(&wanted, Instant::now() + PATIENCE);
    chosen
        .into_iter()
        .map(|socket| Listener {
            address: socket.address,
            port: socket.port,
            program: programs.get(&socket.inode).cloned(),
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

fn parse(v4: &str, v6: &str) -> Vec<Socket> {
    let of = |table: &str| -> Vec<Socket> {
        let lines = table.lines().skip(1).take(SOCKETS);
        lines.filter_map(listening).collect()
    };
    [of(v4), of(v6)].concat()
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`
fn listening(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Socket {
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The kernel prints addresses as 32-bit words of its own byte order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        let word = u32::from_str_radix(digits, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// As many as may be told, each address and port once.
fn choose(sockets: Vec<Socket>, port: Option<u16>) -> Vec<Socket> {
    let mut unique = BTreeMap::new();
    for socket in sockets {
        let other = Some(socket.port) != port;
        unique
            .entry((other, socket.port, socket.address))
            .or_insert(socket);
    }
    unique.into_values().take(limits::LISTENERS).collect()
}

/// The programs that hold these sockets open, by the sockets' inodes.
fn programs(wanted: &BTreeSet<u64>, until: Instant) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
    });
    for process in processes.take(PROCESSES) {
        if found.len() == wanted.len() || Instant::now() >= until {
            break;
        }
        let files = fs::read_dir(process.path().join("fd"));
        for file in files.into_iter().flatten().flatten().take(FILES) {
            let inode = fs::read_link(file.path())
                .ok()
                .and_then(|link| socket_inode(link.to_str()?));
            if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
                let name = fs::read_to_string(process.path().join("comm"));
                let name = limits::plain_text(name.unwrap_or_default().trim(), 64);
                if !name.is_empty() {
                    found.entry(inode).or_insert(name);
                }
            }
        }
    }
    found
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn shown(sockets: &[Socket]) -> Vec<String> {
        sockets
            .iter()
            .map(|s| format!("{} {} {}", s.address, s.port, s.inode))
            .collect()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn listening_sockets_of_both_tables_are_read() {
        let v4 = format!(
            "{HEAD}   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 1 0000000000000000 100 0 0 10 0\n\
             \x20  1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1068 1 00000000b18f75d3 100 0 0 10 0\n\
             \x20  2: 0100007F:A1B2 0100007F:0BB8 01 00000000:00000000 00:00000000 00000000  1000        0 40404 1 0000000000000000 20 4 30 10 -1\n"
        );
        let v6 = format!(
            "{HEAD}   0: 00000000000000000000000001000000:1538 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   105        0 20202 1 0000000000000000 100 0 0 10 0\n\
             \x20  1: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 50505 1 0000000000000000 100 0 0 10 0\n"
        );
        assert_eq!(
            shown(&parse(&v4, &v6)),
            [
                "127.0.0.1 3000 31337",
                "0.0.0.0 22 1068",
                "::1 5432 20202",
                "2001:db8::1 443 50505"
            ]
        );
        assert!(parse("", "").is_empty());
        for odd in [
            "x",
            "0: é:1 a:b 0A",
            "0: 0100007F 0 0A 0 0 0 0 0 1",
            "0: 01:0016 0 0A 0 0 0 0 0 1",
        ] {
            assert!(parse(&format!("{HEAD}{odd}\n"), "").is_empty(), "{odd}");
        }
    }

    #[test]
    fn the_targets_port_comes_first_and_few_are_told() {
        let socket = |port: u16| Socket {
            address: [127, 0, 0, 1].into(),
            port,
            inode: port.into(),
        };
        let many: Vec<Socket> = (1..=200).chain(1..=200).map(socket).collect();
        let chosen = choose(many, Some(150));
        assert_eq!(chosen.len(), limits::LISTENERS);
        let ports: Vec<u16> = chosen.iter().map(|s| s.port).collect();
        assert_eq!(&ports[..3], [150, 1, 2]);
    }

    #[test]
    fn the_program_of_an_own_socket_is_known() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let told = list(Some(port));
        assert_eq!(told[0].port, port);
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(told[0].program.as_deref(), Some(own.trim()));
        assert_eq!(socket_inode("socket:[12]"), Some(12));
        assert_eq!(socket_inode("pipe:[12]"), None);
    }
}
