//! Bounds on everything that comes from outside; one place, so that both ends agree.

use std::time::Duration;

/// Longest target a person may type, bytes.
pub const TARGET_INPUT: usize = 2_048;
/// Longest host name (RFC 1035, 2.3.4), bytes of its ASCII form.
pub const HOST_NAME: usize = 253;
/// Addresses tried in one request.
pub const ADDRESSES: usize = 16;
/// Resolvers asked besides the system's.
pub const RESOLVERS: usize = 8;
/// Connections one request may open.
pub const CONNECTIONS: u16 = 64;
/// Longest deadline a request may carry.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Longest single attempt.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Observations one request may be answered with.
pub const OBSERVATIONS_PER_REQUEST: usize = 256;
/// Observations in one message.
pub const BATCH: usize = 256;
/// Rungs of one TTL ladder.
pub const HOPS: u8 = 24;
/// Smallest TCP segment that may be asked for, bytes (RFC 9293, 3.7.1).
pub const SMALLEST_SEGMENT: u16 = 536;
/// Listening sockets kept of a caller's machine.
pub const LISTENERS: usize = 64;
/// Words in which a vantage says what it can measure.
pub const CAPABILITIES: usize = 32;
/// Proxy settings, and hosts file entries, that are told of a caller's machine.
pub const LOCAL_ENTRIES: usize = 16;
/// Further addresses of one vantage.
pub const SOURCE_ADDRESSES: usize = 8;
/// DNS block lists at which one address is looked up.
pub const BLOCK_LISTS: usize = 8;
/// Bytes of one gRPC message.
pub const MESSAGE: usize = 4 * 1024 * 1024;
/// Bytes of one gRPC message that a probe sends: a batch of 1 MiB, and the observation with which it became so large.
pub const PROBE_MESSAGE: usize = 3 * 512 * 1024;
/// Bytes of one gRPC message that a caller sends: what one vantage sees is small.
pub const CALLER_MESSAGE: usize = 1024 * 1024;
/// Any free text of an observation, bytes.
pub const TEXT: usize = 512;
/// DNS answers kept of one response.
pub const DNS_ANSWERS: usize = 64;
/// Links of a CNAME chain.
pub const CNAME_CHAIN: usize = 16;
/// Certificates of one chain.
pub const CERTIFICATES: usize = 10;
/// Names kept of one certificate.
pub const CERTIFICATE_NAMES: usize = 100;
/// HTTP headers kept of one answer.
pub const HTTP_HEADERS: usize = 16;
/// Bytes of an HTTP body that are read.
pub const HTTP_BODY: usize = 64 * 1024;
/// Labels of one vantage.
pub const LABELS: usize = 16;
/// Longest time that can have passed in one stage, or in one check, whatever a clock says.
pub const ELAPSED: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes that are read of one connection to a target: handshake, header lines, body, and all that frames them.
pub const CONNECTION_BYTES: usize = 512 * 1024;
/// Vantages of one check.
pub const VANTAGES: usize = 64;
/// Selectors of one check.
pub const SELECTORS: usize = 16;

/// Whether a character could steer a terminal, turn the reading direction of what follows, or hide: controls, and what
/// Unicode calls format characters, line and paragraph separators (general categories Cc, Cf, Zl and Zp).
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'..='\u{e007f}')
}

/// Cuts a text to at most `max` bytes at a character boundary and replaces what [`steers`], so that text from strangers
/// can neither grow nor steer a terminal.
pub fn plain_text(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = if steers(c) { '\u{fffd}' } else { c };
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::plain_text;

    #[test]
    fn text_is_cut_at_a_character_and_cannot_steer_a_terminal() {
        assert_eq!(plain_text("aé", 2), "a");
        assert_eq!(plain_text("a\x1b[31mb", 64), "a\u{fffd}[31mb");
        for c in [
            '\u{9b}',
            '\u{7f}',
            '\u{202e}',
            '\u{2066}',
            '\u{200b}',
            '\u{2028}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(plain_text(&format!("a{c}b"), 64), "a\u{fffd}b", "{c:?}");
        }
        let plain = "shöp — 店 العربية हिन्दी ✗";
        assert_eq!(plain_text(plain, 64), plain);
    }
}
