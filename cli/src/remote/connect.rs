//! A connection to the coordinator: every address of its name races, so that one broken family costs nothing, then
//! TLS, then HTTP/2. Done by hand up to TLS, because the errors are for a person.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use onlyhere_proto::limits;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::{CoordinatorUrl, RemoteError};

/// Head start of one address over the next (RFC 8305 recommends 250 ms and permits from 100 ms).
const STAGGER: Duration = Duration::from_millis(150);
/// A handshake that takes longer is tried once more beside it; few round trips are as long.
const AGAIN: Duration = Duration::from_millis(400);

/// Connects to one of these addresses, without a limit of time: the caller sets it.
pub(super) async fn connect(
    url: &CoordinatorUrl,
    addresses: Vec<SocketAddr>,
    roots: Arc<RootCertStore>,
) -> Result<Channel, RemoteError> {
    let unreachable = |why: String| RemoteError::Unreachable {
        url: url.clone(),
        why: limits::plain_text(&why, limits::TEXT),
    };
    let stream = dial(addresses)
        .await
        .map_err(|error| unreachable(plain(&error)))?;
    if url.is_tls() {
        let stream = secure(url, stream, roots).await.map_err(unreachable)?;
        speak(url, stream).await
    } else {
        speak(url, stream).await
    }
}

async fn dial(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut race = JoinSet::new();
    for (address, turn) in alternating(addresses)
        .into_iter()
        .take(limits::ADDRESSES)
        .zip(0..)
    {
        race.spawn(async move {
            tokio::time::sleep(STAGGER * turn).await;
            insist(address).await
        });
    }
    let mut last = io::Error::other("its name has no address");
    while let Some(finished) = race.join_next().await {
        match finished.map_err(io::Error::other)? {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The kernel repeats a SYN that was lost after a second, a third of all the time there is: a second connection is sooner.
async fn insist(address: SocketAddr) -> io::Result<TcpStream> {
    let mut first = pin!(TcpStream::connect(address));
    match timeout(AGAIN, &mut first).await {
        Ok(ended) => ended,
        Err(_) => tokio::select! {
            ended = &mut first => ended,
            ended = TcpStream::connect(address) => ended,
        },
    }
}

/// Families take turns, in the order the resolver prefers.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns: Vec<(usize, u8, SocketAddr)> = preferred
        .into_iter()
        .enumerate()
        .map(|(i, a)| (i, 0, a))
        .collect();
    turns.extend(other.into_iter().enumerate().map(|(i, a)| (i, 1, a)));
    turns.sort_by_key(|&(i, family, _)| (i, family));
    turns.into_iter().map(|(_, _, address)| address).collect()
}

async fn secure(
    url: &CoordinatorUrl,
    stream: TcpStream,
    roots: Arc<RootCertStore>,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, String> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(url.host()).map_err(|error| error.to_string())?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| why_no_tls(&error))
}

fn why_no_tls(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("its certificate does not verify ({why:?})")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS; is it http://?".to_owned()
        }
        Some(other) => format!("no TLS session ({other})"),
        None => format!("no TLS session ({})", plain(error)),
    }
}

/// The words without `(os error 111)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// HTTP/2 over the stream. The channel never dials again: a check does not outlive its connection.
async fn speak<S>(url: &CoordinatorUrl, stream: S) -> Result<Channel, RemoteError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let lost = |error: &dyn std::error::Error| RemoteError::Unreachable {
        url: url.clone(),
        why: format!("it does not speak gRPC there ({error})"),
    };
    // TLS, where there is any, is done: to the channel the stream is a plain one.
    let address = url.to_string().replacen("https://", "http://", 1);
    let origin = url.to_string().parse().map_err(|error| lost(&error))?;
    let mut stream = Some(TokioIo::new(stream));
    let once = tower::service_fn(move |_| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted)) }
    });
    Endpoint::from_shared(address)
        .map_err(|error| lost(&error))?
        .origin(origin)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .connect_with_connector(once)
        .await
        .map_err(|error| lost(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        assert_eq!(
            alternating(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"])),
            parse(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"])
        );
    }

    #[tokio::test]
    async fn failures_are_told_in_words() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url: CoordinatorUrl = format!("http://127.0.0.1:{port}").parse().unwrap();
        let addresses = vec![([127, 0, 0, 1], port).into()];
        let error = connect(&url, addresses, Arc::new(RootCertStore::empty()))
            .await
            .expect_err("nobody listens")
            .to_string();
        assert_eq!(
            error,
            format!(
                "the coordinator http://127.0.0.1:{port} cannot be reached: connection refused"
            )
        );
    }
}
