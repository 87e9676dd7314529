//! HTTP as no client library would send it, byte by byte, over plain sockets.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};

/// Connects from one of loopback's many addresses, so that one test can be several peers.
pub async fn connect(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from: IpAddr = from.parse().unwrap();
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Everything that comes until the other side closes; none: it has not closed by then.
pub async fn until_closed(stream: &mut TcpStream, within: Duration) -> Option<Vec<u8>> {
    let end = Instant::now() + within;
    let (mut all, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        match timeout_at(end, stream.read(&mut buffer)).await {
            Err(_) => return None,
            // A reset closes it, too.
            Ok(Ok(0) | Err(_)) => return Some(all),
            Ok(Ok(length)) => all.extend_from_slice(&buffer[..length]),
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// One HTTP/2 connection in our hands (RFC 9113).
pub struct Http2(pub TcpStream);

impl Http2 {
    /// Opens it with this window for every stream's answers.
    pub async fn open(from: &str, to: SocketAddr, window: u32) -> Self {
        let mut http = Self(connect(from, to).await.unwrap());
        http.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut settings = vec![0, 4];
        settings.extend_from_slice(&window.to_be_bytes());
        http.frame(SETTINGS, 0, 0, &settings).await;
        http
    }

    /// False when the other side has closed.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send(&frame(kind, flags, stream, payload)).await
    }

    /// A request whose body follows, or not.
    pub async fn request(
        &mut self,
        stream: u32,
        method: &str,
        path: &str,
        token: &str,
        has_body: bool,
    ) -> bool {
        let flags = END_HEADERS | if has_body { 0 } else { END_STREAM };
        let bearer = format!("Bearer {token}");
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "coordinator.example"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", &bearer),
        ];
        let block: Vec<u8> = fields
            .iter()
            .flat_map(|(name, value)| field(name, value))
            .collect();
        self.frame(HEADERS, flags, stream, &block).await
    }

    /// A part of a request's body.
    pub async fn data(&mut self, stream: u32, bytes: &[u8]) -> bool {
        self.frame(DATA, 0, stream, bytes).await
    }

    /// Opens a stream and takes it back at once, so many times; false when the other side has closed.
    pub async fn open_and_reset(&mut self, first: u32, count: u32) -> bool {
        let block: Vec<u8> = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/readyz"),
        ]
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
        let mut bytes = Vec::new();
        for i in 0..count {
            let stream = first + 2 * i;
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        self.send(&bytes).await
    }

    /// Headers that never end; false when the other side has closed.
    pub async fn endless_headers(&mut self, stream: u32) -> bool {
        let block = field("x-more", &"x".repeat(100));
        if !self.frame(HEADERS, END_STREAM, stream, &block).await {
            return false;
        }
        for _ in 0..100_000 {
            if !self.frame(CONTINUATION, 0, stream, &block).await {
                return false;
            }
        }
        true
    }

    /// Answers every ping, and so seems to live, until the other side closes; says after how long. None: it has not.
    pub async fn live_on(&mut self, within: Duration) -> Option<Duration> {
        let began = Instant::now();
        let end = began + within;
        loop {
            let mut head = [0; 9];
            match timeout_at(end, self.0.read_exact(&mut head)).await {
                Err(_) => return None,
                Ok(Err(_)) => return Some(began.elapsed()),
                Ok(Ok(_)) => {}
            }
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if self.0.read_exact(&mut payload).await.is_err() {
                return Some(began.elapsed());
            }
            let is_answer = head[4] & ACK != 0;
            match head[3] {
                PING if !is_answer => {
                    self.frame(PING, ACK, 0, &payload).await;
                }
                SETTINGS if !is_answer => {
                    self.frame(SETTINGS, ACK, 0, &[]).await;
                }
                _ => {}
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A field as a literal without index or Huffman code (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        assert!(
            text.len() < 127,
            "a longer one needs more than a byte for its length"
        );
        field.push(u8::try_from(text.len()).unwrap());
        field.extend_from_slice(text.as_bytes());
    }
    field
}
