//! Enrolment and the attached stream, against a probe port that speaks the real protocol over real TLS, with its own CA.

mod ground;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};
use ground::{Ground, Server, authority, request};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use onlyhere_probe_node::{
    Prober, ProberSettings,
    attach::Worker,
    daemon::Attachment,
    enrol::{self, EnrolError},
    identity::{Existing, Identity},
    join_token::JoinToken,
};
use onlyhere_proto::{CheckRequest, Observation, Outcome, wire};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, KeyPair, SanType,
};
use rustls::{
    RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier, version::TLS13,
};
use rustls_pki_types::CertificateSigningRequestDer;
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
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

const SECRET: &str = "a-secret";
const SOON: Duration = Duration::from_secs(5);

/// One attached stream, as the coordinator holds it.
struct Line {
    orders: mpsc::Sender<Result<wire::AttachResponse, Status>>,
    answers: mpsc::Receiver<FromProbe>,
}

impl Line {
    async fn order(&self, message: ToProbe) {
        let message = wire::AttachResponse {
            message: Some(message),
        };
        self.orders.send(Ok(message)).await.unwrap();
    }

    async fn check(&self, request: &CheckRequest) {
        self.order(ToProbe::Check(request.into())).await;
    }

    async fn next(&mut self) -> FromProbe {
        timeout(SOON, self.answers.recv())
            .await
            .expect("an answer in time")
            .expect("a stream")
    }

    /// Everything up to the request's end.
    async fn answers_to(&mut self, request: u32) -> Vec<Observation> {
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
struct Port {
    authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    attached: mpsc::Sender<Line>,
    renewals_to_refuse: Arc<AtomicUsize>,
}

impl Port {
    fn sign(&self, signing_request: Vec<u8>) -> Vec<Vec<u8>> {
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
struct Coordinator {
    address: SocketAddr,
    authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    lines: mpsc::Receiver<Line>,
    renewals_to_refuse: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Coordinator {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0", Arc::new(authority("Coordinator CA"))).await
    }

    async fn start_at(at: &str, authority: Arc<CertifiedIssuer<'static, KeyPair>>) -> Self {
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

    fn token(&self) -> JoinToken {
        JoinToken {
            address: self.address.to_string(),
            ca_sha256: Sha256::digest(self.authority.der()).into(),
            secret: SECRET.to_owned(),
        }
    }

    async fn line(&mut self) -> Line {
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

fn tls(authority: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
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

/// A probe that runs in this process until it is told to stop.
struct Running {
    stop: CancellationToken,
    ready: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Running {
    async fn stopped(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(8), self.task)
            .await
            .expect("stopped in time")
            .unwrap();
    }
}

async fn run(coordinator: &Coordinator, ground: &Ground, requests: usize) -> Running {
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

#[tokio::test]
async fn a_token_becomes_an_identity_once() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let wish = "ams1".parse().unwrap();
    let joined = enrol::join(&coordinator.token(), Some(&wish), &dir, Existing::Keep)
        .await
        .unwrap();
    assert_eq!(joined.name, wish);
    assert_eq!(joined.authorities, [coordinator.authority.der().clone()]);
    assert_eq!(Identity::load(&dir).unwrap().chain, joined.chain);
    let again = enrol::join(&coordinator.token(), None, &dir, Existing::Keep)
        .await
        .unwrap_err();
    assert!(
        again
            .to_string()
            .contains("already holds the identity `ams1`"),
        "{again}"
    );
    let replaced = enrol::join(&coordinator.token(), None, &dir, Existing::Replace)
        .await
        .unwrap();
    assert_eq!(Identity::load(&dir).unwrap().chain, replaced.chain);
    assert_eq!(Identity::load(&dir).unwrap().name.as_str(), "fra1");
}

#[tokio::test]
async fn a_certificate_is_renewed_when_the_coordinator_asks_and_the_probe_attaches_with_it() {
    let mut coordinator = Coordinator::start().await;
    coordinator.renewals_to_refuse.store(1, Ordering::SeqCst);
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let old = Identity::load(&dir).unwrap();
    // What runs is not broken off for it.
    let server = silent().await;
    line.check(&request(&format!("http://127.0.0.1:{}/", server.port())))
        .await;
    line.order(ToProbe::Renew(wire::RenewOrder {})).await;
    let all = line.answers_to(7).await;
    assert_eq!(ground::stages(&all), ["tcp ok", "http timeout"]);
    let began = Instant::now();
    while coordinator.renewals_to_refuse.load(Ordering::SeqCst) > 0 {
        assert!(began.elapsed() < SOON, "it does not renew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // That was refused once, and of a certificate that holds for centuries the next try comes after an hour; but over a
    // new stream the coordinator asks again.
    drop(line);
    let line = coordinator.line().await;
    line.order(ToProbe::Renew(wire::RenewOrder {})).await;
    let mut line = coordinator.line().await;
    line.check(&request("tcp://127.0.0.1:9")).await;
    assert_eq!(ground::stages(&line.answers_to(7).await), ["tcp refused"]);
    let new = Identity::load(&dir).unwrap();
    assert_ne!(new.key, old.key);
    assert_ne!(new.chain, old.chain);
    assert_eq!(new.authorities.len(), 2);
    assert_eq!(new.authorities[1], *coordinator.authority.der());
    probe.stopped().await;
}

#[tokio::test]
async fn the_secret_is_shown_to_nobody_but_the_coordinator_that_made_the_token() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let mut token = coordinator.token();
    token.ca_sha256 = Sha256::digest(authority("Somebody else").der()).into();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("it is not the coordinator that made the token"),
        "{error}"
    );
    assert!(Identity::load(&dir).is_err(), "nothing was stored");

    // The right CA beside a certificate that somebody else signed.
    let impostor = Coordinator::start().await;
    let mut both = tls(&impostor.authority);
    let mut identity = ground::signed(
        &impostor.authority,
        ground::params(&["coordinator.onlyhere.internal"]),
    );
    identity.chain.push(coordinator.authority.der().clone());
    both = ServerConfig::builder_with_provider(both.crypto_provider().clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let server = Server::https(both, "").await;
    let mut token = coordinator.token();
    token.address = server.address.to_string();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_used_token_and_an_absent_coordinator_are_said_in_a_sentence() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let dir = ground.directory().join("data");
    let mut token = coordinator.token();
    token.secret = "used".into();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the coordinator refused: the join token is used up");
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    token.address = closed.to_string();
    let error = enrol::join(&token, None, &dir, Existing::Keep)
        .await
        .unwrap_err()
        .to_string();
    let expected = format!("the coordinator at {closed} cannot be reached: Connection refused");
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_check_is_answered_with_observations_and_done() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let server = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    line.check(&request(&format!("http://127.0.0.1:{}/", server.port())))
        .await;
    let all = line.answers_to(7).await;
    assert_eq!(ground::stages(&all), ["tcp ok", "http ok"]);
    assert_eq!(all[0].vantage.as_str(), "fra1");
    assert_eq!(probe.ready.load(Ordering::SeqCst), 1);
    probe.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_done_and_the_stream_lives_on() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let mut wrong = wire::CheckRequest::from(&request("tcp://127.0.0.1:9"));
    wrong.depth = 99;
    line.order(ToProbe::Check(wrong.clone())).await;
    assert!(line.answers_to(7).await.is_empty());
    // Not even the id: nothing can be said about it.
    wrong.check_id = "x".into();
    line.order(ToProbe::Check(wrong)).await;
    line.order(ToProbe::Cancel(wire::CancelRequest {
        check_id: "y".into(),
        request: 1,
    }))
    .await;
    line.check(&request("tcp://127.0.0.1:9")).await;
    assert_eq!(ground::stages(&line.answers_to(7).await), ["tcp refused"]);
    probe.stopped().await;
}

/// A server that accepts and says nothing.
async fn silent() -> Server {
    Server::tcp(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await
}

#[tokio::test]
async fn over_the_bound_a_request_is_declined_at_once() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 1).await;
    let mut line = coordinator.line().await;
    let server = silent().await;
    let first = request(&format!("http://127.0.0.1:{}/", server.port()));
    line.check(&first).await;
    let mut second = first.clone();
    second.request = 8;
    line.check(&second).await;
    let mut declined = Vec::new();
    loop {
        match line.next().await {
            FromProbe::Observations(batch) => declined.extend(batch.observations),
            FromProbe::Done(done) => {
                assert_eq!(done.request, 8, "the one that is under way goes on");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let busy = declined.into_iter().find(|o| o.request == 8).unwrap();
    let busy = Observation::try_from(busy).unwrap();
    assert_eq!(busy.outcome, Outcome::NotMeasured);
    assert_eq!(
        busy.detail.as_deref(),
        Some("this vantage is busy with other checks")
    );
    probe.stopped().await;
}

#[tokio::test]
async fn a_withdrawn_request_ends_at_once() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let server = silent().await;
    let mut endless = request(&format!("http://127.0.0.1:{}/", server.port()));
    endless.attempt_timeout = Duration::from_secs(20);
    endless.deadline = Duration::from_secs(30);
    let began = Instant::now();
    line.check(&endless).await;
    let withdrawn = wire::CancelRequest {
        check_id: endless.check.to_string(),
        request: 7,
    };
    line.order(ToProbe::Cancel(withdrawn)).await;
    let all = line.answers_to(7).await;
    assert!(
        all.iter().all(|o| o.stage == onlyhere_proto::Stage::Tcp),
        "{all:#?}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
    probe.stopped().await;
}

#[tokio::test]
async fn a_coordinator_that_comes_back_is_attached_to_again() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    drop(coordinator.line().await);
    let (address, authority) = (
        coordinator.address.to_string(),
        coordinator.authority.clone(),
    );
    drop(coordinator);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut coordinator = Coordinator::start_at(&address, authority).await;
    let mut line = coordinator.line().await;
    line.check(&request("tcp://127.0.0.1:9")).await;
    assert_eq!(ground::stages(&line.answers_to(7).await), ["tcp refused"]);
    assert_eq!(probe.ready.load(Ordering::SeqCst), 1, "ready is said once");
    probe.stopped().await;
}

#[tokio::test]
async fn a_probe_that_is_told_to_stop_finishes_what_it_has() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    let mut line = coordinator.line().await;
    let server = silent().await;
    line.check(&request(&format!("http://127.0.0.1:{}/", server.port())))
        .await;
    assert!(
        matches!(line.next().await, FromProbe::Observations(_)),
        "the connection stands"
    );
    let stopping = tokio::spawn(probe.stopped());
    let all = line.answers_to(7).await;
    assert_eq!(ground::stages(&all), ["http timeout"]);
    stopping.await.unwrap();
    assert!(
        timeout(SOON, line.answers.recv()).await.unwrap().is_none(),
        "and then it goes"
    );
}

#[tokio::test]
async fn a_coordinator_with_another_authority_is_not_attached_to() {
    let coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let probe = run(&coordinator, &ground, 8).await;
    probe.stopped().await;
    let address = coordinator.address.to_string();
    drop(coordinator);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut impostor = Coordinator::start_at(&address, Arc::new(authority("Somebody"))).await;
    let probe = run(&impostor, &ground, 8).await;
    assert!(
        timeout(Duration::from_secs(2), impostor.lines.recv())
            .await
            .is_err()
    );
    assert_eq!(probe.ready.load(Ordering::SeqCst), 0);
    probe.stopped().await;
}

/// Between probe and coordinator; carries bytes until it is told to stand still, and then says nothing to anyone.
async fn carrier(to: SocketAddr, still: CancellationToken) -> Server {
    Server::tcp(move |mut near| {
        let still = still.clone();
        async move {
            let mut far = TcpStream::connect(to).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = still.cancelled() => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_coordinator_that_falls_silent_is_noticed() {
    let mut coordinator = Coordinator::start().await;
    let ground = Ground::new();
    let still = CancellationToken::new();
    let between = carrier(coordinator.address, still.clone()).await;
    let mut token = coordinator.token();
    token.address = between.address.to_string();
    enrol::join(
        &token,
        None,
        &ground.directory().join("data"),
        Existing::Keep,
    )
    .await
    .unwrap();
    let probe = run(&coordinator, &ground, 8).await;
    let _line = coordinator.line().await;
    still.cancel();
    // New connections stand still as well, so what is seen is that the probe dials anew.
    let began = Instant::now();
    while between.connections() < 3 {
        assert!(
            began.elapsed() < Duration::from_secs(25),
            "the dead stream is not noticed"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        began.elapsed() > Duration::from_secs(3),
        "a living stream was given up"
    );
    probe.stopped().await;
}
