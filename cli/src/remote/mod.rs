//! The coordinator, as the command line sees it: an address, a connection, a check that both sides work on.

mod connect;
mod error;
mod resolve;
mod session;
mod url;

use std::{sync::Arc, time::Duration};

use onlyhere_proto::{Selector, Vantage, limits, wire};
use tonic::{Request, metadata::MetadataValue, transport::Channel};
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
