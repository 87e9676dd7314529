//! Servers that speak something like HTTP/1.1.

use std::io;

use super::Visitor;
use crate::hostile::ZONE;
use crate::hostile::behaviour::{Act::Tcp, Behaviour};

const OK: &[&str] = &["ok none"];
const SILENT: &[&str] = &["global timeout"];
/// What is no HTTP, and what a server may be said to do that breaks it off.
const BROKEN: &[&str] = &["global http", "global reset", "global timeout"];

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("http-silent", Tcp(silent), SILENT),
    Behaviour::new("http-slow-status-line", Tcp(slow_status_line), SILENT),
    Behaviour::new("http-slow-headers", Tcp(slow_headers), SILENT),
    Behaviour::new("http-slow-body", Tcp(slow_body), SILENT),
    Behaviour::new("http-slow-body-without-length", Tcp(slow_open_body), OK),
    Behaviour::new("http-endless-headers", Tcp(endless_headers), BROKEN),
    Behaviour::new("http-endless-header-line", Tcp(endless_header_line), BROKEN),
    Behaviour::new("http-endless-status-line", Tcp(endless_status_line), BROKEN),
    Behaviour::new("http-65536-headers", Tcp(many_headers), BROKEN),
    Behaviour::new("http-endless-body", Tcp(endless_body), OK),
    Behaviour::new("http-endless-chunks", Tcp(endless_chunks), OK),
    Behaviour::new("http-one-byte-chunks", Tcp(one_byte_chunks), OK),
    Behaviour::new(
        "http-endless-chunk-extension",
        Tcp(endless_extension),
        BROKEN,
    ),
    Behaviour::new("http-endless-trailers", Tcp(endless_trailers), BROKEN),
    Behaviour::new("http-absurd-chunk-size", Tcp(absurd_chunk), BROKEN),
    Behaviour::new("http-largest-chunk-size", Tcp(largest_chunk), BROKEN),
    Behaviour::new("http-negative-length", Tcp(negative_length), BROKEN),
    Behaviour::new("http-huge-length", Tcp(huge_length), OK),
    Behaviour::new("http-overflowing-length", Tcp(overflowing_length), BROKEN),
    Behaviour::new("http-two-lengths", Tcp(two_lengths), BROKEN),
    Behaviour::new("http-gzip-bomb", Tcp(gzip_bomb), OK),
    Behaviour::new("http-endless-100-continue", Tcp(endless_continue), BROKEN),
    Behaviour::new("http-endless-103-hints", Tcp(endless_hints), BROKEN),
    Behaviour::new("http-upgrade-unasked", Tcp(upgrade), BROKEN),
    Behaviour::new("http-escapes", Tcp(escapes), &["global http"]),
    Behaviour::new("http-control-characters", Tcp(control_characters), BROKEN),
    Behaviour::new("http-09", Tcp(version_09), BROKEN),
    Behaviour::new("http-garbage", Tcp(garbage), BROKEN),
    Behaviour::new("http-redirect-to-itself", Tcp(redirect_to_itself), OK),
    Behaviour::new("http-redirect-circle", Tcp(redirect_circle), OK),
    Behaviour::new("http-redirect-endless-pages", Tcp(redirect_pages), OK),
    Behaviour::new("http-redirect-endless-hosts", Tcp(redirect_hosts), OK),
    Behaviour::new("http-redirect-1-mb", Tcp(redirect_megabyte), BROKEN),
    Behaviour::new("http-redirect-60-kb", Tcp(redirect_long), OK),
    // The caller's own machine goes where its browser would, and finds nobody.
    Behaviour::new(
        "http-redirect-inwards",
        Tcp(redirect_inwards),
        &["ok none", "inconclusive unreachable"],
    ),
    Behaviour::new("http-redirect-escapes", Tcp(redirect_escapes), OK),
];

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn silent(v: &mut Visitor<'_>) -> io::Result<()> {
    v.wait()
}

fn slow_status_line(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.drip("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

fn slow_headers(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\n")?;
    v.drip("Content-Length: 2\r\nServer: none\r\n\r\nok")
}

fn slow_body(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
    v.drip([b'a'; 1000])
}

fn slow_open_body(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\n\r\n")?;
    v.drip([b'a'; 1000])
}

fn endless_headers(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\n")?;
    v.flood("X-A: b\r\n")
}

fn endless_header_line(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nX-A: ")?;
    v.flood("aaaaaaaaaaaaaaaa")
}

fn endless_status_line(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 ")?;
    v.flood("OK OK OK OK ")
}

fn many_headers(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    let lines: String = (0..65_536).map(|n| format!("X-{n}: {n}\r\n")).collect();
    v.say(format!(
        "HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok"
    ))?;
    v.wait()
}

fn endless_body(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\n\r\n")?;
    v.flood("more and more of it ")
}

fn endless_chunks(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(CHUNKED)?;
    v.flood(format!("4000\r\n{}\r\n", "a".repeat(0x4000)))
}

fn one_byte_chunks(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(CHUNKED)?;
    v.flood("1\r\na\r\n")
}

fn endless_extension(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(CHUNKED)?;
    v.say("1;x=")?;
    v.flood("aaaaaaaaaaaaaaaa")
}

fn endless_trailers(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(CHUNKED)?;
    v.say("1\r\na\r\n0\r\n")?;
    v.flood("X-Trailer: a\r\n")
}

fn absurd_chunk(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(CHUNKED)?;
    v.say(format!("{}\r\n", "f".repeat(4_096)))?;
    v.flood("aaaaaaaaaaaaaaaa")
}

/// The stream breaks off long before the chunk is whole.
fn largest_chunk(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(CHUNKED)?;
    v.say("ffffffffffffffff\r\nabc")
}

fn negative_length(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc")?;
    v.wait()
}

fn huge_length(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n")?;
    v.flood("aaaaaaaaaaaaaaaa")
}

fn overflowing_length(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n")?;
    v.flood("aaaaaaaaaaaaaaaa")
}

fn two_lengths(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 200\r\n\r\nok")?;
    v.wait()
}

/// Ten megabytes that are 1.6 gigabytes once they are inflated.
fn gzip_bomb(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/html\r\n\
         Content-Length: 10485760\r\n\r\n",
    )?;
    v.say(inflating(10 * 1024 * 1024))?;
    v.wait()
}

/// A gzip stream (RFC 1952) of so many bytes: one block with fixed codes (RFC 1951, 3.2.6), in it a zero, and copies of
/// the 258 zeros before, 13 bits each.
fn inflating(length: usize) -> Vec<u8> {
    const BLOCK_AND_ZERO: &str = "11000110000";
    const COPY: &str = "1100010100000";
    // Eight copies fill thirteen bytes, and then it all begins again.
    const PERIOD: usize = COPY.len();
    let copies = COPY.bytes().cycle();
    let mut bits = BLOCK_AND_ZERO.bytes().chain(copies).map(|bit| bit - b'0');
    let mut byte = || -> u8 {
        let eight = bits.by_ref().take(8);
        eight.enumerate().map(|(place, bit)| bit << place).sum()
    };
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    stream.extend([byte(), byte()]);
    let copies: Vec<u8> = (0..PERIOD).map(|_| byte()).collect();
    stream.extend(copies.repeat(length / PERIOD));
    stream.resize(length, 0);
    stream
}

fn endless_continue(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.flood("HTTP/1.1 100 Continue\r\n\r\n")
}

fn endless_hints(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.flood("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
}

fn upgrade(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: hostile\r\nConnection: upgrade\r\n\r\n")?;
    v.flood("aaaaaaaaaaaaaaaa")
}

/// What is left to a server that keeps to what may stand in a header: bytes from 0x80 on, in which C1 controls, overrides
/// of the reading direction and invisible characters fit, and markup. The reason phrase too.
fn escapes(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    let text =
        "<script>alert(1)</script>\u{9b}31m\u{9d}0;owned\u{9c}\u{202e}txt.exe\u{2066}\u{200b}";
    v.say(format!(
        "HTTP/1.1 503 {text}\r\nServer: {text}\r\nRetry-After: {text}\r\nVia: {text}\r\nCF-Ray: {text}\r\n\
         Content-Type: {text}\r\nContent-Length: 2\r\n\r\nno"
    ))?;
    v.wait()
}

fn control_characters(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say(
        "HTTP/1.1 503 \x1b[2J\x07\r\nServer: \x1b]0;owned\x07\x1b[31m\x08\x7f\r\n\
         X-\x1b[1m: 1\r\nContent-Length: 2\r\n\r\nno",
    )?;
    v.wait()
}

fn version_09(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    v.say("<html><title>\x1b[31mHTTP before it had a version</title></html>\n")
}

fn garbage(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    let bytes: Vec<u8> = (0..4096u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    v.flood(bytes)
}

fn found(v: &mut Visitor<'_>, location: &str) -> io::Result<()> {
    v.say(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ))
}

fn redirect_to_itself(v: &mut Visitor<'_>) -> io::Result<()> {
    let path = v.request()?;
    found(v, &path)
}

fn redirect_circle(v: &mut Visitor<'_>) -> io::Result<()> {
    let path = v.request()?;
    found(v, if path == "/a" { "/b" } else { "/a" })
}

fn redirect_pages(v: &mut Visitor<'_>) -> io::Result<()> {
    let path = v.request()?;
    let number: u32 = path.trim_start_matches('/').parse().unwrap_or(0);
    found(v, &format!("/{}", number + 1))
}

fn redirect_hosts(v: &mut Visitor<'_>) -> io::Result<()> {
    let path = v.request()?;
    let number: u32 = path.trim_start_matches('/').parse().unwrap_or(0) + 1;
    let host = &v.host.clone();
    found(v, &format!("http://h{number}.{host}.{ZONE}/{number}"))
}

fn redirect_megabyte(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    found(v, &format!("/{}", "a".repeat(1024 * 1024)))?;
    v.wait()
}

/// Fits the headers, but no page may have so long a name.
fn redirect_long(v: &mut Visitor<'_>) -> io::Result<()> {
    let path = v.request()?;
    if path == "/" {
        return found(v, &format!("/{}", "a".repeat(60_000)));
    }
    // Whoever asks for a part of the name asks for a page that was never named.
    v.say("HTTP/1.1 500 Cut\r\nContent-Length: 0\r\n\r\n")
}

fn redirect_inwards(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    found(v, "http://169.254.169.254/latest/meta-data/")
}

fn redirect_escapes(v: &mut Visitor<'_>) -> io::Result<()> {
    v.request()?;
    found(v, "javascript:\u{9b}31m\u{202e}alert(1)")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What gzip(1) makes of it: it is a real one, and large.
    #[test]
    fn the_bomb_inflates() {
        let mut gzip = Command::new("sh")
            .args(["-c", "gzip -dc 2> /dev/null | wc -c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let bomb = super::inflating(100_000);
        let mut stdin = gzip.stdin.take().expect("it is piped");
        stdin.write_all(&bomb).expect("gzip reads it");
        drop(stdin);
        let output = gzip.wait_with_output().expect("it ends");
        let inflated: usize = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .expect("a number");
        assert!(inflated > 15_000_000, "{inflated}");
    }
}
