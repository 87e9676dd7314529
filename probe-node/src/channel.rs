//! The channel to a coordinator's probe port: TLS 1.3 under the coordinator's own CA, and HTTP/2 that notices a dead
//! peer.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, version::TLS13};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{identity::Identity, trust};

/// The name in the probe port's certificate, whatever address a probe dials.
pub(crate) const SERVER_NAME: &str = "coordinator.onlyhere.internal";

const CONNECT: Duration = Duration::from_secs(10);
/// A ping every so often, and so long for its answer: a dead coordinator is noticed within 15 seconds.
const PING: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(5);

/// Dials `address` (`HOST:PORT`).
pub(crate) async fn open(
    address: &str,
    tls: Arc<ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let dialled: Arc<str> = address.into();
    let connector = tower::service_fn(move |_: Uri| dial(dialled.clone(), tls.clone()));
    // The URI only fills in `:authority`; where to go says the connector.
    Endpoint::from_static("http://coordinator.onlyhere.internal")
        .user_agent(concat!("onlyhere-probe/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING_ANSWER)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}

async fn dial(
    address: Arc<str>,
    tls: Arc<ClientConfig>,
) -> io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(&*address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).expect("a constant name");
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(TokioIo::new(stream))
}

/// TLS for an enrolled probe.
pub(crate) fn attached_tls(identity: &Identity) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in &identity.authorities {
        roots.add(authority.clone())?;
    }
    let (chain, key) = identity.clone_parts();
    let mut config = ClientConfig::builder_with_provider(trust::provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// The innermost reason of a transport's failure, which the outer ones only wrap.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
