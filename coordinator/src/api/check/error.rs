//! Why there is no report, in a sentence for whoever asked; gRPC and HTTP each say it in their own way.

use http::StatusCode;
use tonic::Status;

use crate::api::{auth::Refusal, problem::Problem};

/// Why a check is not begun, or has no report.
#[derive(Debug, thiserror::Error)]
pub(in crate::api) enum CheckError {
    /// The token, or no room.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was asked cannot be asked.
    #[error("{0}")]
    Question(String),
    /// Nobody that is attached now can try it.
    #[error("{0}")]
    NoVantage(String),
    /// Too much was sent.
    #[error("{0}")]
    TooMuch(String),
    /// The coordinator ends.
    #[error("the coordinator is stopping")]
    Stopping,
    /// Ours.
    #[error("the check failed by a fault of the coordinator; its log says more")]
    Fault,
}

impl From<CheckError> for Status {
    fn from(error: CheckError) -> Self {
        let says = error.to_string();
        match error {
            CheckError::Refused(refusal) => refusal.into(),
            CheckError::Question(_) => Self::invalid_argument(says),
            CheckError::NoVantage(_) => Self::failed_precondition(says),
            CheckError::TooMuch(_) => Self::resource_exhausted(says),
            CheckError::Stopping => Self::unavailable(says),
            CheckError::Fault => Self::internal(says),
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        let status = match error {
            CheckError::Refused(refusal) => return refusal.into(),
            CheckError::Question(_) => StatusCode::UNPROCESSABLE_ENTITY,
            // It is in order, and may be answered when another probe is attached.
            CheckError::NoVantage(_) => StatusCode::CONFLICT,
            CheckError::TooMuch(_) => StatusCode::PAYLOAD_TOO_LARGE,
            CheckError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            CheckError::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
