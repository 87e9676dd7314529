//! The coordinator, as the command line sees it: an address, a connection, a check that both sides work on.

mod connect;
mod error;
mod resolve;
mod session;
mod url;

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use onlyhere_proto::{CheckId, Selector, Vantage, limits, wire};
use prost::bytes::Bytes;
use tonic::{Request, metadata::MetadataValue, transport::Channel};
use tower::{Service as _, ServiceExt as _};
use wire::public_service_client::PublicServiceClient;

pub use error::RemoteError;
pub use session::{Question, Session};
pub use url::{CoordinatorUrl, InvalidCoordinatorUrl};

use crate::settings::Token;

/// For the coordinator's name, where nothing else limits it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is attached now, as far as the selector matches; all without one.
pub async fn list_vantages(
    url: &CoordinatorUrl,
    token: &Token,
    selector: Option<&Selector>,
) -> Result<Vec<Vantage>, RemoteError> {
    let selector = selector.map(ToString::to_string).unwrap_or_default();
    let request = authorized(wire::ListVantagesRequest { selector }, token);
    let roots = Arc::new(onlyhere_probe_node::trust::roots());
    let addresses = resolve::addresses(url, std::future::ready(Vec::new()), PATIENCE).await?;
    let answer = client(connect::connect(url, addresses, roots).await?)
        .list_vantages(request)
        .await
        .map_err(|status| RemoteError::from_status(url, &status))?;
    let vantages = answer.into_inner().vantages.into_iter();
    Ok(vantages.map(TryInto::try_into).collect::<Result<_, _>>()?)
}

/// The report of an earlier check, as JSON.
pub async fn fetch_report(
    url: &CoordinatorUrl,
    token: &Token,
    id: &CheckId,
) -> Result<Bytes, RemoteError> {
    let roots = Arc::new(onlyhere_probe_node::trust::roots());
    let addresses = resolve::addresses(url, std::future::ready(Vec::new()), PATIENCE).await?;
    let mut channel = connect::connect(url, addresses, roots).await?;
    let lost = |why: String| RemoteError::Lost {
        url: url.clone(),
        why: limits::plain_text(&why, limits::TEXT),
    };
    // The REST side is on the same port.
    let request = http::Request::get(format!("/v1/checks/{id}"))
        .header("authorization", format!("Bearer {}", token.secret()))
        .body(tonic::body::Body::empty())
        .map_err(|error| lost(error.to_string()))?;
    let channel = channel
        .ready()
        .await
        .map_err(|error| lost(error.to_string()))?;
    let answer = channel
        .call(request)
        .await
        .map_err(|error| lost(error.to_string()))?;
    let status = answer.status();
    let body = http_body_util::Limited::new(answer.into_body(), limits::MESSAGE)
        .collect()
        .await
        .map_err(|error| lost(error.to_string()))?
        .to_bytes();
    match status {
        http::StatusCode::OK => Ok(body),
        status => Err(RemoteError::from_problem(url, status, &body)),
    }
}

fn client(channel: Channel) -> PublicServiceClient<Channel> {
    PublicServiceClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE)
        .max_encoding_message_size(limits::MESSAGE)
}

fn authorized<T>(message: T, token: &Token) -> Request<T> {
    let mut request = Request::new(message);
    // Settings let only printable ASCII through, which is always a header value.
    if let Ok(mut value) = MetadataValue::try_from(format!("Bearer {}", token.secret())) {
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    request
}
