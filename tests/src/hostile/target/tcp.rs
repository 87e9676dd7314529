//! Peers that misbehave below HTTP.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket as RawSocket, Type};

use super::Visitor;
use crate::hostile::behaviour::{
    Act::{Ping, Socket as Listening, Tcp},
    Behaviour, Socket,
};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new(
        "tcp-resets-in-a-loop",
        Listening(Socket::Resets),
        &["global reset", "global http", "global refused"],
    ),
    Behaviour::new(
        "tcp-never-reads",
        Listening(Socket::NeverReads),
        &["global timeout"],
    ),
    Behaviour::new(
        "tcp-tiny-segments",
        Listening(Socket::TinySegments),
        &["ok none"],
    ),
    Behaviour::new(
        "tcp-closes-at-once",
        Tcp(closes),
        &["global http", "global reset"],
    ),
    Behaviour::new(
        "tcp-floods-before-the-request",
        Tcp(floods),
        &["global http", "global reset"],
    ),
    Behaviour::new("ping-flood", Ping, &["ok none"]),
];

/// A listening socket as one behaviour wants it, at its own address only.
pub(super) fn listen(
    how: Socket,
    address: Ipv4Addr,
    port: u16,
) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    match how {
        // Sockets that are accepted inherit it.
        Socket::TinySegments => socket.set_tcp_mss(88)?,
        Socket::NeverReads => socket.set_recv_buffer_size(1)?,
        Socket::Resets => {}
    }
    socket.bind(&std::net::SocketAddr::from((address, port)).into())?;
    socket.listen(256)?;
    Ok(socket.into())
}

pub(super) fn meet(
    how: Socket,
    stream: &std::net::TcpStream,
    v: &mut Visitor<'_>,
) -> io::Result<()> {
    match how {
        Socket::Resets => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
        Socket::NeverReads => v.stall(),
        Socket::TinySegments => {
            v.request()?;
            let body = "tiny ".repeat(8_000);
            v.say(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))?;
            v.wait()
        }
    }
}

fn closes(_: &mut Visitor<'_>) -> io::Result<()> {
    Ok(())
}

fn floods(v: &mut Visitor<'_>) -> io::Result<()> {
    v.flood([0xa5; 4096])
}
