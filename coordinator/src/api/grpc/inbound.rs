//! What a caller sends during one check, bounded by number and by bytes.

use onlyhere_proto::wire;
use prost::Message as _;
use tonic::Streaming;
use wire::public_service_check_request::Message;

use crate::api::check::CheckError;

/// Messages of one caller in one check: an answer may come observation by observation.
const MESSAGES: usize = 16_384;
/// Bytes of one caller in one check. What a vantage sees in a whole check is far smaller.
const BYTES: usize = 2 * 1024 * 1024;

/// The messages of one caller.
pub(super) struct Inbound {
    stream: Streaming<wire::PublicServiceCheckRequest>,
    messages: usize,
    bytes: usize,
}

impl Inbound {
    pub(super) fn new(stream: Streaming<wire::PublicServiceCheckRequest>) -> Self {
        Self {
            stream,
            messages: 0,
            bytes: 0,
        }
    }

    /// The next message that is known here; none when the caller has closed its side, or broken off.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, CheckError> {
        // A message that says nothing is one of a newer caller.
        while let Ok(Some(request)) = self.stream.message().await {
            self.messages += 1;
            self.bytes += request.encoded_len();
            if self.messages > MESSAGES || self.bytes > BYTES {
                return Err(CheckError::TooMuch(format!(
                    "more than {MESSAGES} messages or {BYTES} bytes were sent in one check, which are more than one vantage can have seen"
                )));
            }
            if let Some(message) = request.message {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}
