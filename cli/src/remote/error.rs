//! Why the coordinator does not help, in a sentence for the person.

use std::time::Duration;

use http::StatusCode;
use onlyhere_proto::{Invalid, limits};
use serde::Deserialize;
use tonic::{Code, Status};

use super::CoordinatorUrl;

/// Why the coordinator does not help.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// None is configured, and the command needs one.
    #[error(
        "no coordinator is set; type `onlyhere login URL`, give --coordinator URL and a token, or set both in the config file"
    )]
    NotSet,
    /// Every call needs a token.
    #[error(
        "the coordinator {url} needs a token; type `onlyhere login {url}`, give --token TOKEN, or set ONLYHERE_TOKEN or `token` in the config file"
    )]
    NoToken {
        /// Which coordinator.
        url: CoordinatorUrl,
    },
    /// Nobody knows where it is.
    #[error("the coordinator {url} cannot be reached: its name does not resolve ({why})")]
    NotResolved {
        /// Which coordinator.
        url: CoordinatorUrl,
        /// What the resolvers said.
        why: String,
    },
    /// No connection.
    #[error("the coordinator {url} cannot be reached: {why}")]
    Unreachable {
        /// Which coordinator.
        url: CoordinatorUrl,
        /// What went wrong.
        why: String,
    },
    /// No answer in time.
    #[error("the coordinator {url} cannot be reached: no answer within {:.1} s", within.as_secs_f64())]
    TooSlow {
        /// Which coordinator.
        url: CoordinatorUrl,
        /// How long was waited.
        within: Duration,
    },
    /// It does not know the token, or not for this.
    #[error("the coordinator {url} refuses the token: {why}")]
    Token {
        /// Which coordinator.
        url: CoordinatorUrl,
        /// In its own words.
        why: String,
    },
    /// It does not want to do what was asked.
    #[error("the coordinator {url} refuses: {why}")]
    Refused {
        /// Which coordinator.
        url: CoordinatorUrl,
        /// In its own words.
        why: String,
    },
    /// The stream ended before the report.
    #[error("the coordinator {url} was lost during the check: {why}")]
    Lost {
        /// Which coordinator.
        url: CoordinatorUrl,
        /// What went wrong.
        why: String,
    },
    /// It says what cannot be.
    #[error("the coordinator's answer cannot be believed: {0}")]
    Invalid(#[from] Invalid),
}

impl RemoteError {
    /// Reads a gRPC status.
    pub(super) fn from_status(url: &CoordinatorUrl, status: &Status) -> Self {
        let url = url.clone();
        let why = words(status);
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Token { url, why },
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::ResourceExhausted
            | Code::OutOfRange => Self::Refused { url, why },
            Code::Unimplemented => Self::Refused {
                url,
                why: "it knows no such call; is this a coordinator's address, and of this version?"
                    .to_owned(),
            },
            _ => Self::Lost { url, why },
        }
    }

    /// Reads an RFC 9457 problem document, or what stands in its place.
    pub(super) fn from_problem(url: &CoordinatorUrl, status: StatusCode, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        struct Problem {
            #[serde(default)]
            detail: String,
        }
        let url = url.clone();
        let Problem { detail } = serde_json::from_slice(body).unwrap_or_default();
        let why = match detail.trim() {
            "" => status.to_string(),
            detail => limits::plain_text(detail, limits::TEXT),
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Token { url, why },
            status if status.is_client_error() => Self::Refused { url, why },
            _ => Self::Lost { url, why },
        }
    }
}

/// The message, or the code where there is none; never more than one line.
fn words(status: &Status) -> String {
    let text = match status.message().trim() {
        "" => status.code().description(),
        message => message,
    };
    limits::plain_text(text, limits::TEXT)
}
