//! RFC 9457 problem documents.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use super::auth::Refusal;

/// What went wrong; `type` is left out, which means `about:blank`.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(serialize_with = "number")]
    status: StatusCode,
    title: &'static str,
    detail: String,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: String) -> Self {
        Self {
            status,
            title: status.canonical_reason().unwrap_or("error"),
            detail,
            retry_after_s: None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Self {
        let status = match why {
            Refusal::NoToken | Refusal::Refused(_) => StatusCode::UNAUTHORIZED,
            Refusal::Scope(_) | Refusal::Host { .. } => StatusCode::FORBIDDEN,
            Refusal::Busy(_) | Refusal::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            retry_after_s: why.retry_after_s(),
            ..Self::new(status, why.to_string())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 15.5.2: a 401 says how to do better.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Busy, tokens::Refused};

    #[test]
    fn who_comes_too_early_is_told_when_to_come_back_and_who_has_no_token_how_to_show_one() {
        let busy = Refusal::from(Busy::Token {
            what: "answers",
            waiting: 16,
        });
        let response = Problem::from(busy).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "10");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");

        let unknown = Problem::from(Refusal::from(Refused::Unknown)).into_response();
        assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(unknown.headers()[WWW_AUTHENTICATE], "Bearer");
        assert!(!unknown.headers().contains_key(RETRY_AFTER));
    }
}
