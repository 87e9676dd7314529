//! Enrolment and the attached stream, against a probe port that speaks the real protocol over real TLS, with its own CA.

mod connection;
#[path = "../ground/mod.rs"]
mod ground;
mod identity;
mod requests;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt};
use ground::{Ground, Server, authority};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use onlyhere_probe_node::{
    Prober, ProberSettings,
    attach::Worker,
    daemon::Attachment,
    enrol::{self},
    identity::{Existing, Identity},
    join_token::JoinToken,
};
use onlyhere_proto::{CheckRequest, Observation, wire};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, KeyPair, SanType,
};
use rustls::{
    RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier, version::TLS13,
};
use rustls_pki_types::CertificateSigningRequestDer;
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, service::Routes};
use wire::{
    attach_request::Message as FromProbe,
    attach_response::Message as ToProbe,
    probe_service_server::{ProbeService, ProbeServiceServer},
};

pub(crate) const SECRET: &str = "a-secret";

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// One attached stream, as the coordinator holds it.
pub(crate) struct Line {
    pub(crate) orders: mpsc::Sender<Result<wire::AttachResponse, Status>>,
    pub(crate) answers: mpsc::Receiver<FromProbe>,
}

impl Line {
    pub(crate) async fn order(&self, message: ToProbe) {
        let message = wire::AttachResponse {
            message: Some(message),
        };
        self.orders.send(Ok(message)).await.unwrap();
    }

    pub(crate) async fn check(&self, request: &CheckRequest) {
        self.order(ToProbe::Check(request.into())).await;
    }

    pub(crate) async fn next(&mut self) -> FromProbe {
        timeout(SOON, self.answers.recv())
            .await
            .expect("an answer in time")
            .expect("a stream")
    }

    /// Everything up to the request's end.
    pub(crate) async fn answers_to(&mut self, request: u32) -> Vec<Observation> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                FromProbe::Observations(batch) => {
                    all.extend(
                        batch
                            .observations
                            .into_iter()
                            .map(|o| Observation::try_from(o).unwrap()),
                    );
                }
                FromProbe::Done(done) if done.request == request => return all,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    pub(crate) attached: mpsc::Sender<Line>,
    pub(crate) renewals_to_refuse: Arc<AtomicUsize>,
}

impl Port {
    pub(crate) fn sign(&self, signing_request: Vec<u8>) -> Vec<Vec<u8>> {
        let wish = CertificateSigningRequestDer::from(signing_request);
        let wish = CertificateSigningRequestParams::from_der(&wish).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("onlyhere://probe/fra1".try_into().unwrap())];
        let leaf = params
            .signed_by(&wish.public_key, &*self.authority)
            .unwrap();
        vec![leaf.der().to_vec(), self.authority.der().to_vec()]
    }
}

#[tonic::async_trait]
impl ProbeService for Port {
    async fn enrol(
        &self,
        request: Request<wire::EnrolRequest>,
    ) -> Result<Response<wire::EnrolResponse>, Status> {
        let request = request.into_inner();
        if request.secret != SECRET {
            return Err(Status::unauthenticated("the join token is used up"));
        }
        Ok(Response::new(wire::EnrolResponse {
            name: if request.name.is_empty() {
                "fra1".into()
            } else {
                request.name
            },
            certificate_chain: self.sign(request.signing_request),
            authorities: Vec::new(),
        }))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let refused =
            self.renewals_to_refuse
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                });
        if refused.is_ok() {
            return Err(Status::internal("not now"));
        }
        let new = authority("The next CA").der().to_vec();
        Ok(Response::new(wire::RenewResponse {
            certificate_chain: self.sign(request.into_inner().signing_request),
            authorities: vec![new, self.authority.der().to_vec()],
        }))
    }

    type AttachStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<wire::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut inbound = request.into_inner();
        let (orders, waiting) = mpsc::channel(64);
        let (answered, answers) = mpsc::channel(1_024);
        let welcome = wire::Welcome {
            name: "fra1".into(),
            now_us: 0,
        };
        orders
            .send(Ok(wire::AttachResponse {
                message: Some(ToProbe::Welcome(welcome)),
            }))
            .await
            .unwrap();
        self.attached.send(Line { orders, answers }).await.unwrap();
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                if answered.send(message.message.unwrap()).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(waiting).boxed()))
    }
}

/// A coordinator's probe port.
pub(crate) struct Coordinator {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    pub(crate) lines: mpsc::Receiver<Line>,
    pub(crate) renewals_to_refuse: Arc<AtomicUsize>,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0", Arc::new(authority("Coordinator CA"))).await
    }

    pub(crate) async fn start_at(
        at: &str,
        authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    ) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (attached, lines) = mpsc::channel(8);
        let renewals_to_refuse = Arc::new(AtomicUsize::new(0));
        let port = Port {
            authority: authority.clone(),
            attached,
            renewals_to_refuse: renewals_to_refuse.clone(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls(&authority)));
        let service = Routes::new(ProbeServiceServer::new(port)).prepare();
        let service = TowerToHyperService::new(service);
        let task = tokio::spawn(async move {
            // Dropped with the task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), service.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = http2::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                });
            }
        });
        Self {
            address,
            authority,
            lines,
            renewals_to_refuse,
            task,
        }
    }

    pub(crate) fn token(&self) -> JoinToken {
        JoinToken {
            address: self.address.to_string(),
            ca_sha256: Sha256::digest(self.authority.der()).into(),
            secret: SECRET.to_owned(),
        }
    }

    pub(crate) async fn line(&mut self) -> Line {
        let mut line = timeout(SOON, self.lines.recv())
            .await
            .expect("attached in time")
            .unwrap();
        match line.next().await {
            FromProbe::Hello(hello) => {
                assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
                assert!(hello.capabilities.contains(&"error_queue".to_owned()));
                assert_eq!(hello.source_addresses, ["127.0.0.7"]);
                assert_eq!(hello.instance, "one-process");
            }
            other => panic!("no greeting: {other:?}"),
        }
        line
    }
}

/// A probe that runs in this process until it is told to stop.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) ready: Arc<AtomicUsize>,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stopped(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(8), self.task)
            .await
            .expect("stopped in time")
            .unwrap();
    }
}

pub(crate) async fn run(coordinator: &Coordinator, ground: &Ground, requests: usize) -> Running {
    let dir = ground.directory().join("data");
    let identity = match Identity::load(&dir) {
        Ok(identity) => identity,
        Err(_) => enrol::join(&coordinator.token(), None, &dir, Existing::Keep)
            .await
            .unwrap(),
    };
    let worker = Worker {
        prober: Prober::new(ProberSettings {
            source_addresses: vec![[127, 0, 0, 7].into()],
            ..ground.settings.clone()
        })
        .unwrap(),
        name: identity.name.clone(),
        requests,
        instance: "one-process".to_owned(),
    };
    let attachment = Attachment::new(dir, identity, worker).unwrap();
    let stop = CancellationToken::new();
    let ready = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn({
        let (stop, ready) = (stop.clone(), ready.clone());
        async move {
            let count = || {
                ready.fetch_add(1, Ordering::SeqCst);
            };
            attachment.keep(&stop, count).await.unwrap();
        }
    });
    Running { stop, ready, task }
}

/// A server that accepts and says nothing.
pub(crate) async fn silent() -> Server {
    Server::tcp(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await
}

pub(crate) fn tls(authority: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut identity = ground::signed(
        authority,
        ground::params(&["coordinator.onlyhere.internal"]),
    );
    identity.chain.push(authority.der().clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
