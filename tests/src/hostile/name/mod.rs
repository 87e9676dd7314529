//! A DNS server that is honest about everything but its own zone, over UDP and TCP.
//!
//! It is the system's resolver of every vantage, and the zone's own server besides: what it says reaches a probe
//! unfiltered, as a resolver's and as an authority's word.

mod acts;
mod message;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use acts::BEHAVIOURS;
use message::{A, AAAA, Message, NS, SOA};

use super::behaviour::{Act, Behaviour, ZONE, address};
use super::behaviours;
use crate::LabError;

const PORT: u16 = 53;
/// A flood goes on for so long.
const FLOOD: Duration = Duration::from_secs(4);
/// A connection is held for so long.
const LIFE: Duration = Duration::from_secs(10);
/// Threads that answer late or flood, at once.
const BUSY: usize = 128;

/// What was asked.
#[derive(Debug)]
pub struct Asked<'a> {
    pub(super) query: &'a [u8],
    /// Labels, lower case.
    pub(super) labels: Vec<String>,
    pub(super) kind: u16,
    /// Over TCP.
    pub(super) tcp: bool,
}

/// What is said.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This, at once.
    Now(Vec<u8>),
    /// This, so much later.
    Later(Duration, Vec<u8>),
    /// All of these, again and again; over TCP once.
    Flood(Vec<Vec<u8>>),
    /// Over TCP: one byte every second.
    Drip(Vec<u8>),
    /// What an honest server would say.
    Honest,
    /// Nothing.
    Nothing,
}

/// The names that are answered honestly.
#[derive(Debug, Default)]
pub struct Honest(BTreeMap<String, Vec<IpAddr>>);

impl Honest {
    /// From a file with a name and an address in each line.
    pub fn read(file: &Path) -> Result<Self, LabError> {
        let text =
            std::fs::read_to_string(file).map_err(|error| LabError::bad_file(file, error))?;
        let mut names: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for line in text.lines() {
            let fields = line.split_once(' ');
            let read = fields.and_then(|(name, address)| Some((name, address.parse().ok()?)));
            let (name, address) =
                read.ok_or_else(|| LabError::bad_file(file, "a line is `NAME ADDRESS`"))?;
            names.entry(name.to_owned()).or_default().push(address);
        }
        Ok(Self(names))
    }

    /// Starts the server; it runs until the process ends.
    pub fn serve(self) -> Result<(), LabError> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let udp = UdpSocket::bind(any).map_err(LabError::io("listen on UDP port 53"))?;
        let tcp = TcpListener::bind(any).map_err(LabError::io("listen on TCP port 53"))?;
        let server = Arc::new(Server {
            names: self,
            behaviours: behaviours(),
            busy: AtomicUsize::new(0),
        });
        let udp = Arc::new(udp);
        let over_udp = Arc::clone(&server);
        thread::spawn(move || over_udp.udp(&udp));
        thread::spawn(move || server.tcp(&tcp));
        Ok(())
    }
}

struct Server {
    names: Honest,
    behaviours: Vec<Behaviour>,
    busy: AtomicUsize,
}

impl Server {
    fn udp(self: &Arc<Self>, socket: &Arc<UdpSocket>) {
        let mut buffer = [0; 1500];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let query = &buffer[..length];
            match self.reply(query, false) {
                Reply::Now(answer) => drop(socket.send_to(&answer, from)),
                Reply::Later(after, answer) => {
                    let socket = Arc::clone(socket);
                    self.beside(move || {
                        thread::sleep(after);
                        let _ = socket.send_to(&answer, from);
                    });
                }
                Reply::Flood(answers) => {
                    let socket = Arc::clone(socket);
                    self.beside(move || flood(&socket, from, &answers));
                }
                Reply::Drip(_) | Reply::Nothing | Reply::Honest => {}
            }
        }
    }

    fn tcp(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let server = Arc::clone(self);
            self.beside(move || drop(server.converse(stream)));
        }
    }

    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(LIFE))?;
        stream.set_write_timeout(Some(LIFE))?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query)?;
            match self.reply(&query, true) {
                Reply::Now(answer) => stream.write_all(&framed(&answer))?,
                Reply::Later(after, answer) => {
                    thread::sleep(after);
                    stream.write_all(&framed(&answer))?;
                }
                Reply::Flood(answers) => {
                    for answer in &answers {
                        stream.write_all(&framed(answer))?;
                    }
                }
                Reply::Drip(answer) => {
                    for byte in framed(&answer) {
                        stream.write_all(&[byte])?;
                        thread::sleep(Duration::from_secs(1));
                    }
                }
                Reply::Nothing | Reply::Honest => thread::sleep(LIFE),
            }
        }
    }

    fn beside(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) {
        let server = Arc::clone(self);
        if server.busy.fetch_add(1, Ordering::Relaxed) >= BUSY {
            server.busy.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        thread::spawn(move || {
            work();
            server.busy.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn reply(&self, query: &[u8], tcp: bool) -> Reply {
        let Some((labels, kind)) = message::question(query) else {
            return Reply::Nothing;
        };
        let asked = Asked {
            query,
            labels,
            kind,
            tcp,
        };
        let own = asked.below_zone();
        let behaviour = own.as_ref().and_then(|below| {
            let name = below.last()?;
            let place = self.behaviours.iter().position(|b| b.name == *name)?;
            Some((place, self.behaviours[place]))
        });
        let reply = match behaviour {
            Some((
                _,
                Behaviour {
                    does: Act::Name(act),
                    ..
                },
            )) => act(&asked),
            _ => Reply::Honest,
        };
        match reply {
            Reply::Honest => {
                Reply::Now(self.honestly(&asked, own.is_some(), behaviour.map(|(place, _)| place)))
            }
            other => other,
        }
    }

    /// Every name below a behaviour's is its address.
    fn honestly(&self, asked: &Asked<'_>, own: bool, behaviour: Option<usize>) -> Vec<u8> {
        let name = asked.labels.join(".");
        let mut answer = Message::answer(asked.query);
        if own && asked.kind == NS && name == ZONE {
            return answer.name_record(ZONE, NS, &format!("ns.{ZONE}")).finish();
        }
        let addresses: Vec<IpAddr> = match behaviour {
            Some(place) => vec![address(place).into()],
            None if own => self.names.0.get("ns").cloned().unwrap_or_default(),
            None => self.names.0.get(&name).cloned().unwrap_or_default(),
        };
        let known = own || behaviour.is_some() || self.names.0.contains_key(&name);
        for address in addresses {
            match (address, asked.kind) {
                (IpAddr::V4(address), A) => answer.address(&name, address.into()),
                (IpAddr::V6(address), AAAA) => answer.address(&name, address.into()),
                _ => &mut answer,
            };
        }
        if answer.is_empty() {
            answer.authority(if own { ZONE } else { "example" }, SOA);
        }
        if !known {
            answer.code(3);
        }
        answer.finish()
    }
}

/// Thousands of datagrams a second: more than any asker should read, and less than the wire carries, on which honest
/// answers travel as well.
fn flood(socket: &UdpSocket, to: SocketAddr, answers: &[Vec<u8>]) {
    let until = Instant::now() + FLOOD;
    while Instant::now() < until {
        for answer in answers.iter().cycle().take(64) {
            let _ = socket.send_to(answer, to);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

impl Asked<'_> {
    /// The labels below the hostile zone; none for a name outside of it.
    fn below_zone(&self) -> Option<Vec<String>> {
        let zone: Vec<&str> = ZONE.split('.').collect();
        let below = self.labels.len().checked_sub(zone.len())?;
        (self.labels[below..] == zone[..]).then(|| self.labels[..below].to_vec())
    }

    /// Whether an address is asked for.
    pub(super) fn is_address(&self) -> bool {
        matches!(self.kind, A | AAAA)
    }

    pub(super) fn name(&self) -> String {
        self.labels.join(".")
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    framed
}
