//! Whoever connects, and what can be done to them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// No connection is held for longer, however patient the other side is.
pub(super) const LIFE: Duration = Duration::from_secs(25);
/// The other side has so long to take or send something before its end is looked for.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// A connection, plain or within TLS.
pub(super) trait Line: Read + Write {}
impl<T: Read + Write> Line for T {}

/// A connection under way.
pub struct Visitor<'a> {
    pub(super) line: &'a mut dyn Line,
    /// The name of the behaviour that they came to.
    pub(super) host: String,
    pub(super) peer: SocketAddr,
    pub(super) until: Instant,
}

impl Visitor<'_> {
    /// Sends all of it, however slowly it is taken.
    pub(super) fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            match self.line.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => rest = &rest[sent..],
                Err(error) => self.go_on(error)?,
            }
        }
        match self.line.flush() {
            Err(error) => self.go_on(error),
            Ok(()) => Ok(()),
        }
    }

    /// Sends the same again and again until the other side has had enough, or the time is over.
    pub(super) fn flood(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        // Many at once: the other side shall be busy with reading, not this one with writing.
        let times = (64 * 1024 / bytes.as_ref().len().max(1)).max(1);
        let many = bytes.as_ref().repeat(times);
        while Instant::now() < self.until {
            self.say(&many)?;
        }
        Ok(())
    }

    /// Sends one byte every second.
    pub(super) fn drip(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        for byte in bytes.as_ref() {
            if Instant::now() >= self.until {
                return Ok(());
            }
            self.say([*byte])?;
            thread::sleep(Duration::from_secs(1));
        }
        self.wait()
    }

    /// Reads the head of a request; what it asks for.
    pub(super) fn request(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        let mut buffer = [0; 2048];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match self.line.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => head.extend_from_slice(&buffer[..length]),
                Err(error) => self.go_on(error)?,
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        Ok(text.split(' ').nth(1).unwrap_or("/").to_owned())
    }

    /// Takes whatever comes and says nothing, until the other side goes away.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.line.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) if Instant::now() < self.until => {}
                Ok(_) => return Ok(()),
                Err(error) => self.go_on(error)?,
            }
        }
    }

    /// Takes nothing and says nothing.
    pub(super) fn stall(&mut self) -> io::Result<()> {
        thread::sleep(self.until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    /// A connection whose other side is slow goes on until its time is over.
    fn go_on(&self, error: io::Error) -> io::Result<()> {
        let slow = matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
        );
        if slow && Instant::now() < self.until {
            Ok(())
        } else {
            Err(error)
        }
    }
}
