//! Hostile targets: one TCP server per behaviour, told apart by the address that is connected to.
//!
//! A thread per connection, blocking: a server that wants to be slow or stuck is written as it behaves.

mod certificate;
mod h2;
mod http;
mod records;
mod tcp;
mod tls;
mod visitor;

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use certificate::Shelf;
pub(super) use records::Records;
use records::Remember;
pub(super) use visitor::Visitor;
use visitor::{LIFE, PATIENCE};

use super::behaviour::{Act, Behaviour, Chain, Session, Version, address};
use super::behaviours as all;
use crate::LabError;

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// Connections at once; the hostile side has bounds as well, or it would not hold out.
const CONNECTIONS: usize = 256;

pub(super) fn behaviours() -> Vec<Behaviour> {
    [
        tcp::BEHAVIOURS,
        http::BEHAVIOURS,
        tls::BEHAVIOURS,
        records::BEHAVIOURS,
        h2::BEHAVIOURS,
    ]
    .concat()
}

/// Starts all hostile targets; they run until the process ends.
pub fn serve(shelf: Shelf) -> Result<(), LabError> {
    let shelf = Arc::new(shelf);
    for (place, behaviour) in all().iter().enumerate() {
        let failed = || LabError::io(format!("listen for {}", behaviour.name));
        let to = address(place);
        let http = match behaviour.does {
            Act::Socket(how) => tcp::listen(how, to, HTTP),
            _ => TcpListener::bind((to, HTTP)),
        };
        let https = TcpListener::bind((to, HTTPS)).map_err(failed())?;
        for listener in [http.map_err(failed())?, https] {
            accept(listener, *behaviour, Arc::clone(&shelf));
        }
    }
    Ok(())
}

fn accept(listener: TcpListener, behaviour: Behaviour, shelf: Arc<Shelf>) {
    let open = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (shelf, open) = (Arc::clone(&shelf), Arc::clone(&open));
            thread::spawn(move || {
                // That the other side breaks off is what it should do.
                let _ = meet(stream, &shelf, &behaviour);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
}

fn meet(mut stream: TcpStream, shelf: &Shelf, behaviour: &Behaviour) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let port = stream.local_addr()?.port();
    let until = Instant::now() + LIFE;
    let socket = stream.try_clone()?;
    let mut visitor = Visitor {
        host: behaviour.name.to_owned(),
        peer: stream.peer_addr()?,
        until,
        line: &mut stream,
    };
    match (behaviour.does, port) {
        (Act::Tcp(act), HTTP) | (Act::Handshake(act), HTTPS) => act(&mut visitor),
        (Act::Socket(how), HTTP) => tcp::meet(how, &socket, &mut visitor),
        (Act::Ping, HTTP) => ping(&mut visitor),
        (Act::Certificate(chain), HTTPS) => {
            let mut tls = session(stream, shelf.with_chain(chain)?)?;
            visitor_of(&mut tls, behaviour, until).wait()
        }
        (Act::Secure(kind, act), HTTPS) => {
            let mut tls = session(stream, shelf.good(kind)?)?;
            act(&mut visitor_of(&mut tls, behaviour, until))
        }
        (Act::Records(version, act), HTTPS) => {
            let remembered = Arc::new(Remember::default());
            let config = shelf.extractable(version, Arc::clone(&remembered) as _)?;
            let mut tls = session(stream, config)?;
            visitor_of(&mut tls, behaviour, until).request()?;
            let StreamOwned { conn, mut sock } = tls;
            act(&mut Records::take_over(
                &mut sock,
                conn,
                &remembered,
                until,
            )?)
        }
        _ => Ok(()),
    }
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn visitor_of<'a>(tls: &'a mut Tls, behaviour: &Behaviour, until: Instant) -> Visitor<'a> {
    Visitor {
        host: behaviour.name.to_owned(),
        peer: ([0, 0, 0, 0], 0).into(),
        line: tls,
        until,
    }
}

/// Shakes hands to the end.
fn session(mut stream: TcpStream, config: ServerConfig) -> io::Result<Tls> {
    let mut session = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let until = Instant::now() + LIFE;
    while session.is_handshaking() || session.wants_write() {
        match session.complete_io(&mut stream) {
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                    && Instant::now() < until => {}
            Err(error) => return Err(error),
        }
    }
    Ok(StreamOwned::new(session, stream))
}

/// Answers well, and floods the visitor with echo requests meanwhile: as fast as ping(8) can for three seconds.
fn ping(v: &mut Visitor<'_>) -> io::Result<()> {
    let mut flood = Command::new("ping")
        .args(["-q", "-f", "-s", "1400", "-w", "3"])
        .arg(v.peer.ip().to_string())
        .stdout(Stdio::null())
        .spawn()?;
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    v.wait()?;
    flood.wait().map(drop)
}
