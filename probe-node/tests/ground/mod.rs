//! What the tests stand on: a prober with a hosts file, resolvers and authorities of its own, and real servers on
//! loopback.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses its own part"
)]

pub mod network;

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onlyhere_probe_node::{Guard, Prober, ProberSettings};
use onlyhere_proto::{
    CheckRequest, Facts, HttpFacts, Observation, Purpose, Stage, Target, TlsFacts, VantageName,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub const ATTEMPT: Duration = Duration::from_millis(1_500);

pub struct Ground {
    pub settings: ProberSettings,
    pub authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    directory: TempDir,
}

impl Ground {
    /// Everything may be tried; no name is known and no resolver is there.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Arc::new(authority("Test CA"));
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let settings = ProberSettings {
            roots: Arc::new(roots),
            hosts_file: file("hosts"),
            resolv_conf: file("resolv.conf"),
            ..ProberSettings::of_this_system(Guard::open())
        };
        Self {
            settings,
            authority,
            directory,
        }
    }

    pub fn hosts(&self, text: &str) -> &Self {
        std::fs::write(&self.settings.hosts_file, text).unwrap();
        self
    }

    pub fn resolvers(&mut self, resolvers: &[IpAddr], port: u16) -> &mut Self {
        let lines: String = resolvers
            .iter()
            .map(|r| format!("nameserver {r}\n"))
            .collect();
        std::fs::write(&self.settings.resolv_conf, lines).unwrap();
        self.settings.dns_port = port;
        self
    }

    pub fn guarded(&mut self, allow: &[&str], deny: &[&str]) -> &mut Self {
        let rules = |rules: &[&str]| rules.iter().map(|r| r.parse().unwrap()).collect();
        self.settings.guard = Guard::for_probe(rules(allow), rules(deny));
        self
    }

    pub fn prober(&self) -> Prober {
        Prober::new(self.settings.clone()).unwrap()
    }

    pub async fn observe(&self, target: &str) -> Vec<Observation> {
        self.ask(request(target)).await
    }

    pub async fn ask(&self, request: CheckRequest) -> Vec<Observation> {
        run(&self.prober(), request).await
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A server certificate of the ground's own authority.
    pub fn certificate(&self, names: &[&str]) -> Identity {
        signed(&self.authority, params(names))
    }
}

pub async fn run(prober: &Prober, request: CheckRequest) -> Vec<Observation> {
    let (sink, mut seen) = mpsc::channel(8);
    let run = prober.run(VantageName::you(), request, sink, CancellationToken::new());
    let collect = async {
        let mut all = Vec::new();
        while let Some(observation) = seen.recv().await {
            all.push(observation);
        }
        all
    };
    let ((), mut all) = tokio::join!(run, collect);
    all.sort_by_key(|observation| observation.sequence);
    for (place, observation) in all.iter().enumerate() {
        assert_eq!(
            observation.sequence as usize, place,
            "numbered from 0 without gaps"
        );
    }
    all
}

pub fn request(target: &str) -> CheckRequest {
    let target = Target::parse(target).unwrap();
    CheckRequest {
        check: "01JD0000000000000000000000".parse().unwrap(),
        request: 7,
        purpose: Purpose::Target,
        addresses: Vec::new(),
        depth: target.depth(),
        ping: false,
        resolvers: Vec::new(),
        deadline: Duration::from_secs(8),
        attempt_timeout: ATTEMPT,
        max_connections: 32,
        slot: 3,
        way: Default::default(),
        authoritative: false,
        target,
    }
}

/// The one observation of a stage.
pub fn only(all: &[Observation], stage: Stage) -> &Observation {
    let of_stage: Vec<_> = all.iter().filter(|o| o.stage == stage).collect();
    assert_eq!(of_stage.len(), 1, "{stage}: {all:#?}");
    of_stage[0]
}

pub fn stages(all: &[Observation]) -> Vec<String> {
    all.iter()
        .map(|o| format!("{} {}", o.stage, o.outcome))
        .collect()
}

pub fn tls(observation: &Observation) -> &TlsFacts {
    match &observation.facts {
        Some(Facts::Tls(facts)) => facts,
        other => panic!("no TLS facts: {other:?}"),
    }
}

pub fn http(observation: &Observation) -> &HttpFacts {
    match &observation.facts {
        Some(Facts::Http(facts)) => facts,
        other => panic!("no HTTP facts: {other:?}"),
    }
}

pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

pub fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap()
}

pub fn signed(
    authority: &CertifiedIssuer<'static, KeyPair>,
    params: CertificateParams,
) -> Identity {
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, authority).unwrap();
    Identity {
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

pub fn server_config(identity: Identity, alpn: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A server on loopback; it ends with its handle.
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Hands every connection to `serve`.
    pub async fn tcp<F, W>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self::tcp_at("127.0.0.1:0", serve).await
    }

    pub async fn tcp_at<F, W>(at: &str, serve: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind(at).await.unwrap(), serve)
    }

    /// Hands every connection of a listener to `serve`.
    pub fn on<F, W>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self {
            address,
            accepted,
            task,
        }
    }

    /// TLS, and the same plain-text HTTP/1.1 answer to every request.
    pub async fn https(config: ServerConfig, answer: &'static str) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::tcp(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    answer_http(&mut stream, answer).await;
                }
            }
        })
        .await
    }

    /// The same HTTP/1.1 answer to every request.
    pub async fn http(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::tcp(move |mut stream| {
            let answer = answer.clone();
            async move {
                answer_http(&mut stream, &answer).await;
            }
        })
        .await
    }
}

/// Reads a request's header lines, answers, and closes. Returns what was read.
pub async fn answer_http<S>(stream: &mut S, answer: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    answer_http_by(stream, |_| answer).await
}

/// The same, with an answer that depends on what was read.
pub async fn answer_http_by<'a, S>(stream: &mut S, answer: impl Fn(&str) -> &'a str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::new(),
            Ok(length) => request.extend_from_slice(&buffer[..length]),
        }
    }
    let request = String::from_utf8(request).unwrap();
    let _ = stream.write_all(answer(&request).as_bytes()).await;
    let _ = stream.shutdown().await;
    request
}
