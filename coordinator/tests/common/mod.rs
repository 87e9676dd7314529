//! A coordinator on loopback, and peers that speak the real protocol to it over real TLS sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod caller;
pub mod http2;
pub mod mmdb;
pub mod probe;
pub mod process;
pub mod raw;
pub mod rest;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use onlyhere_coordinator::{
    Listeners,
    audit::{Act, By, Event, Filter},
    clock,
    config::Config,
    fleet::roll::Roll,
    identity::{Authority, SERVER_NAME},
    place::Place,
    serve,
    store::{self, Store},
    tokens::{CLIENT, Secret, Token, TokenKind, Tokens},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

/// Longer than anything here takes when it works.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running coordinator; it stops when dropped.
pub struct Coordinator {
    pub dir: tempfile::TempDir,
    pub probes: SocketAddr,
    pub api: SocketAddr,
    pub served: Option<JoinHandle<()>>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Coordinator {
    pub async fn start(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (probes, api) = (bind().await, bind().await);
        let addresses = (probes.local_addr().unwrap(), api.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn({
            let (stop, dir) = (stop.clone(), dir.path().to_owned());
            let listeners = Listeners { probes, api };
            async move {
                serve(listeners, config, &dir, || {}, stop.cancelled_owned())
                    .await
                    .unwrap();
            }
        });
        Self {
            dir,
            probes: addresses.0,
            api: addresses.1,
            served: Some(served),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// The one that a [`process::Process`] is to run, or runs, on a data directory.
    pub fn of_process(dir: tempfile::TempDir) -> Self {
        let (probes, api) = process::free_addresses();
        let stop = CancellationToken::new();
        Self {
            dir,
            probes,
            api,
            served: None,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// As SIGTERM does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// A token as `token create` makes it, changed as a test needs it; gives the secret.
    pub async fn token(
        &self,
        kind: TokenKind,
        name: &str,
        change: impl FnOnce(Token) -> Token,
    ) -> Secret {
        let (token, secret) = Token::generate(kind, name.parse().unwrap(), clock::now());
        let single = (kind == TokenKind::Probe).then_some(1);
        let token = change(Token {
            uses: single,
            uses_left: single,
            ..token
        });
        let tokens = Tokens::new(self.store().await);
        tokens.add(token, &By::operator()).await.unwrap();
        secret
    }

    pub async fn probe_token(&self, name: &str, place: Place) -> Secret {
        self.token(TokenKind::Probe, name, |token| Token { place, ..token })
            .await
    }

    /// A client token's text.
    pub async fn client_token(&self) -> String {
        let secret = self.token(TokenKind::Client, "tester", |token| token).await;
        format!("{CLIENT}{}", secret.as_str())
    }

    /// The store, as another process opens it beside the server.
    pub async fn store(&self) -> Arc<dyn Store> {
        let url = Config::default().store.url;
        store::open(&url, self.data_dir()).await.unwrap()
    }

    /// Lines of the audit log of this act, the latest first: who from where, and what came of it.
    pub async fn audit(&self, act: Act) -> Vec<String> {
        let filter = Filter {
            since: None,
            act: Some(act),
            limit: 100,
        };
        let lines = self.store().await.audit(&filter).await.unwrap();
        let shown = |line: &Event| format!("{} {}: {}", line.by, line.subject, line.outcome);
        lines.iter().map(shown).collect()
    }

    /// What an operator's `probe revoke` does.
    pub async fn strike(&self, name: &str) {
        let roll = Roll::new(self.store().await);
        let name = name.parse().unwrap();
        assert!(roll.strike(&name, &By::operator()).await.unwrap());
    }

    pub fn authority(&self) -> Authority {
        Authority::load_or_create(self.data_dir()).unwrap()
    }

    /// A gRPC channel to the probe port, with or without a client certificate.
    pub async fn probe_channel(
        &self,
        shown: Option<Shown>,
    ) -> Result<Channel, tonic::transport::Error> {
        self.channel_with(self.probe_tls(shown)).await
    }

    /// TLS to the probe port, under the CA of now.
    pub fn probe_tls(&self, shown: Option<Shown>) -> Arc<ClientConfig> {
        probe_tls(&[self.authority().certificate().clone()], shown)
    }

    pub async fn channel_with(
        &self,
        tls: Arc<ClientConfig>,
    ) -> Result<Channel, tonic::transport::Error> {
        let connector = tokio_rustls::TlsConnector::from(tls);
        let address = self.probes;
        let dial = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from(SERVER_NAME).unwrap();
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
            }
        });
        Endpoint::from_static("http://coordinator.onlyhere.internal")
            .connect_with_connector(dial)
            .await
    }

    /// A gRPC channel to the people's port, which is plain on loopback.
    pub async fn api_channel(&self) -> Channel {
        self.try_api_channel().await.unwrap()
    }

    /// The same where nobody may be listening.
    pub async fn try_api_channel(&self) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.api)).unwrap();
        endpoint.connect().await
    }

    /// Waits until exactly these probes are attached.
    pub async fn wait_for(&self, names: &[&str]) {
        let token = self.client_token().await;
        let mut names = names.to_vec();
        names.sort_unstable();
        within(async {
            loop {
                let attached = caller::vantages(self, &token).await;
                if attached == names {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// A plain HTTP/1.1 request: the status line, and all that came.
pub async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
    token: &str,
) -> (u16, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: coordinator.example\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    within(async {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (
            status.unwrap_or_else(|| panic!("no HTTP answer: {answer}")),
            answer,
        )
    })
    .await
}

/// A gRPC channel over a connection that there is already.
pub async fn channel_over<S>(stream: S) -> Channel
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut once = Some(TokioIo::new(stream));
    let dial = tower::service_fn(move |_| {
        let stream = once.take().ok_or(std::io::Error::other("dialled twice"));
        async move { stream }
    });
    let endpoint = Endpoint::from_static("http://coordinator.example");
    endpoint.connect_with_connector(dial).await.unwrap()
}

/// Certificates and key, as TLS shows them.
pub type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// TLS of a probe that trusts these authorities.
pub fn probe_tls(trusted: &[CertificateDer<'static>], shown: Option<Shown>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.clone()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

async fn bind() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

/// Fails the test when something takes far too long.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("this takes too long")
}
