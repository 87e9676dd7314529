//! The stream to the coordinator's probe port, with bytes in place of messages.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::stream::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use onlyhere_probe_node::identity::Identity;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};

/// The name in the probe port's certificate.
const SERVER: &str = "coordinator.onlyhere.internal";
const ATTACH: &str = "/onlyhere.v1.ProbeService/Attach";

/// What it takes to connect.
pub(super) struct Wire {
    coordinator: String,
    tls: Arc<ClientConfig>,
}

/// An open stream: what is sent, and what comes.
pub(super) struct Line {
    pub(super) to: mpsc::Sender<Bytes>,
    pub(super) from: Streaming<Bytes>,
}

impl Wire {
    pub(super) fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in &identity.authorities {
            roots.add(authority.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            coordinator: identity.coordinator.clone(),
            tls: Arc::new(tls),
        })
    }

    /// A connection without gRPC.
    pub(super) async fn http2(&self) -> io::Result<Http2> {
        let stream = TcpStream::connect(&self.coordinator).await?;
        let name = ServerName::try_from(SERVER).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Http2(sender))
    }

    /// A connection of its own. With `tiny`, one that takes next to nothing until it is read.
    pub(super) async fn connect(&self, tiny: bool) -> Result<Channel, tonic::transport::Error> {
        let (coordinator, tls) = (self.coordinator.clone(), Arc::clone(&self.tls));
        let dial = tower::service_fn(move |_: Uri| {
            let (coordinator, tls) = (coordinator.clone(), Arc::clone(&tls));
            async move {
                let stream = TcpStream::connect(coordinator).await?;
                let name = ServerName::try_from(SERVER).map_err(io::Error::other)?;
                let stream = TlsConnector::from(tls).connect(name, stream).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://coordinator.onlyhere.internal")
            .connect_timeout(Duration::from_secs(5));
        let endpoint = if tiny {
            endpoint
                .initial_stream_window_size(1)
                .initial_connection_window_size(65_535)
        } else {
            endpoint
        };
        endpoint.connect_with_connector(dial).await
    }

    pub(super) async fn attach(channel: Channel, first: Vec<Bytes>) -> Result<Line, Status> {
        let (to, waiting) = mpsc::channel(64);
        for message in first {
            let _ = to.try_send(message);
        }
        let mut client = tonic::client::Grpc::new(channel).max_encoding_message_size(usize::MAX);
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let request = Request::new(ReceiverStream::new(waiting));
        let path = http::uri::PathAndQuery::from_static(ATTACH);
        let from = client.streaming(request, path, AsBytes).await?.into_inner();
        Ok(Line { to, from })
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

/// A connection over which streams can be opened and left as they are.
#[derive(Clone)]
pub(super) struct Http2(SendRequest<StreamBody<Frames>>);

impl Http2 {
    /// Begins a message of `length` bytes (its length comes first: gRPC over HTTP/2, `Length-Prefixed-Message`), and never
    /// ends it.
    pub(super) async fn say_half(mut self, length: usize) {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(4 + length, 0x0a);
        let half = futures::stream::once(async { Ok(Frame::data(bytes.into())) });
        let half: Frames = Box::pin(half.chain(futures::stream::pending()));
        let request = http::Request::post(format!("https://{SERVER}{ATTACH}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(half));
        if let Ok(request) = request
            && let Ok(response) = self.0.send_request(request).await
        {
            // Held for as long as the other side likes.
            let _ = response.into_body().collect().await;
        }
    }
}

/// Bytes as they are, in both directions.
#[derive(Debug, Clone, Copy, Default)]
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
