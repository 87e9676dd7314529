//! One HTTP/2 connection over TLS, for requests as no client library would send them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use onlyhere_coordinator::config::{Api, ApiTls, Config};

/// What a client shows in the handshake.
pub type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The name in the certificate of the people's port.
pub const API_NAME: &str = "coordinator.example";

/// A certificate for the people's port, and settings that use it; the files go with the directory.
pub fn api_tls(dir: &tempfile::TempDir) -> (Config, CertificateDer<'static>) {
    let (tls, root) = certificate_files(dir, "c.pem", "k.pem");
    let config = Config {
        api: Api {
            tls: Some(tls),
            ..Api::default()
        },
        ..Config::default()
    };
    (config, root)
}

/// Writes a new self-signed certificate and its key.
pub fn certificate_files(
    dir: &tempfile::TempDir,
    cert: &str,
    key: &str,
) -> (ApiTls, CertificateDer<'static>) {
    let pair = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new([API_NAME.to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&pair).unwrap();
    let (cert, key) = (dir.path().join(cert), dir.path().join(key));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    (ApiTls::Files { cert, key }, certificate.der().clone())
}

/// Shakes hands with a port that has this certificate.
pub async fn secure(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    name: &'static str,
    protocol: &[u8],
    identity: Option<ClientIdentity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The status of HTTP, where it is no gRPC.
    Http(u16),
    /// The status of gRPC; 0 also for a stream that began to answer.
    Grpc(u16),
    /// There was no answer.
    Broken,
}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A connection that sends requests one after another.
pub struct Client(http2::SendRequest<Body>);

impl Client {
    /// None when the port does not let it in.
    pub async fn over(stream: TlsStream<TcpStream>) -> Option<Self> {
        let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .ok()?;
        tokio::spawn(connection);
        Some(Self(send))
    }

    /// A GET or another method without a body.
    pub async fn http(&mut self, method: &str, path: &str, bearer: Option<&str>) -> Ended {
        let request = with_bearer(Request::builder().method(method), bearer)
            .uri(format!("https://{API_NAME}{path}"))
            .body(Full::default().boxed_unsync())
            .unwrap();
        match self.0.send_request(request).await {
            Ok(response) => grpc_status(response.headers())
                .unwrap_or_else(|| Ended::Http(response.status().as_u16())),
            Err(_) => Ended::Broken,
        }
    }

    /// A POST of JSON.
    pub async fn post(&mut self, path: &str, json: &'static str, bearer: Option<&str>) -> Ended {
        let request = with_bearer(Request::builder().method("POST"), bearer)
            .uri(format!("https://{API_NAME}{path}"))
            .header("content-type", "application/json")
            .body(Full::from(json).boxed_unsync())
            .unwrap();
        match self.0.send_request(request).await {
            Ok(response) => grpc_status(response.headers())
                .unwrap_or_else(|| Ended::Http(response.status().as_u16())),
            Err(_) => Ended::Broken,
        }
    }

    /// A gRPC call with one message, after which our side stays open; a stream is broken off after its first message.
    pub async fn grpc(&mut self, path: &str, message: &[u8], bearer: Option<&str>) -> Ended {
        let is_stream = path.ends_with("/Attach");
        let message = stream::iter([Ok(Frame::data(framed(message)))]);
        let body = match is_stream {
            true => StreamBody::new(message.chain(stream::pending())).boxed_unsync(),
            false => StreamBody::new(message).boxed_unsync(),
        };
        let request = with_bearer(Request::builder().method("POST"), bearer)
            .uri(format!("https://{API_NAME}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let Ok(response) = self.0.send_request(request).await else {
            return Ended::Broken;
        };
        if response.status() != 200 {
            return Ended::Http(response.status().as_u16());
        }
        if let Some(status) = grpc_status(response.headers()) {
            return status;
        }
        let mut body = response.into_body();
        let first = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
        let Ok(Some(Ok(frame))) = first else {
            return Ended::Broken;
        };
        match frame.trailers_ref().and_then(grpc_status) {
            Some(status) => status,
            None => Ended::Grpc(0),
        }
    }

    /// The same with a message as it is typed.
    pub async fn call(
        &mut self,
        path: &str,
        message: &impl Message,
        bearer: Option<&str>,
    ) -> Ended {
        self.grpc(path, &message.encode_to_vec(), bearer).await
    }
}

/// A message as gRPC writes it.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

fn with_bearer(request: http::request::Builder, bearer: Option<&str>) -> http::request::Builder {
    match bearer {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<Ended> {
    let status = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    Some(Ended::Grpc(status))
}
