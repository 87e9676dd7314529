//! What both ports promise besides checks: health, reflection, JSON, TLS, bounds, and patience with nobody.

mod common;

use std::time::Duration;

use common::{
    Coordinator,
    caller::{self, with_token},
    get,
    http2::{self, Client, Ended},
    probe::{self, Manner},
    within,
};
use onlyhere_coordinator::{
    config::{Api, Config},
    tokens::{ADMIN, TokenKind},
};
use onlyhere_proto::Outcome;
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

async fn plain(coordinator: &Coordinator) -> TcpStream {
    TcpStream::connect(coordinator.api).await.unwrap()
}

#[tokio::test]
async fn health_and_reflection_are_there_for_tools() {
    let coordinator = Coordinator::start(Config::default()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            get(plain(&coordinator).await, path, "").await.0,
            200,
            "{path}"
        );
    }
    let mut health = HealthClient::new(coordinator.api_channel().await);
    let question = HealthCheckRequest {
        service: "onlyhere.v1.PublicService".into(),
    };
    let health = health.check(question).await.unwrap().into_inner();
    assert_eq!(health.status().as_str_name(), "SERVING");

    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut reflection = ServerReflectionClient::new(coordinator.api_channel().await);
    let stream = reflection
        .server_reflection_info(tokio_stream::once(list))
        .await
        .unwrap();
    let answer = stream
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        list.service
            .iter()
            .any(|s| s.name == "onlyhere.v1.PublicService"),
        "{list:?}"
    );
}

#[tokio::test]
async fn reports_are_read_by_their_owner_and_by_admins_only() {
    let coordinator = Coordinator::start(Config::default()).await;
    let _probe = probe::start(&coordinator, "p0", 64500, Manner::Healthy).await;
    let (mine, other) = (
        coordinator.client_token().await,
        coordinator.client_token().await,
    );
    let admin = format!(
        "{ADMIN}{}",
        coordinator
            .token(TokenKind::Admin, "root", |t| t)
            .await
            .as_str()
    );
    let told = caller::check(&coordinator, &mine, "tcp://shop.example:22", Outcome::Ok)
        .await
        .unwrap();
    let path = format!("/v1/checks/{}", told.report().id);
    for (token, status) in [
        (&mine, 200),
        (&admin, 200),
        (&other, 404),
        (&"x".to_owned(), 401),
    ] {
        assert_eq!(get(plain(&coordinator).await, &path, token).await.0, status);
    }
    let (_, answer) = get(plain(&coordinator).await, &path, &mine).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let report: onlyhere_proto::Report = serde_json::from_str(body).unwrap();
    assert_eq!(report.id, told.report().id);
    assert_eq!(report.vantages.len(), told.report().vantages.len());
    let (status, answer) = get(plain(&coordinator).await, "/v1/checks/nonsense", &mine).await;
    assert!(
        status == 400 && answer.contains("application/problem+json"),
        "{answer}"
    );
    let (status, answer) = get(plain(&coordinator).await, "/v1/vantages", &mine).await;
    assert!(status == 200 && answer.contains(r#""id":"p0""#), "{answer}");
    assert_eq!(
        get(plain(&coordinator).await, "/nothing", &mine).await.0,
        404
    );
}

#[tokio::test]
async fn the_peoples_port_speaks_tls_with_the_certificate_that_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let (config, root) = http2::api_tls(&dir);
    let coordinator = Coordinator::start(config).await;
    let stream = secure(&coordinator, &root, b"http/1.1").await;
    assert_eq!(get(stream, "/readyz", "").await.0, 200);

    let stream = secure(&coordinator, &root, b"h2").await;
    let channel = common::channel_over(stream).await;
    let health = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
    assert_eq!(health.into_inner().status().as_str_name(), "SERVING");
    // And in clear there is nothing to be had.
    let mut clear = plain(&coordinator).await;
    clear
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = within(clear.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

async fn secure(
    coordinator: &Coordinator,
    root: &CertificateDer<'static>,
    protocol: &[u8],
) -> TlsStream<TcpStream> {
    let stream = http2::secure(coordinator.api, root, http2::API_NAME, protocol, None);
    stream.await.unwrap()
}

/// Which certificate a new connection gets, of those that it could trust.
async fn served(coordinator: &Coordinator, roots: &[&CertificateDer<'static>]) -> Option<usize> {
    for (at, root) in roots.iter().enumerate() {
        let stream = http2::secure(coordinator.api, root, http2::API_NAME, b"http/1.1", None);
        if let Ok(stream) = stream.await {
            let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
            assert_eq!(chain[0], **root);
            assert_eq!(get(stream, "/readyz", "").await.0, 200);
            return Some(at);
        }
    }
    None
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_broken_one_leaves_the_old_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (config, first) = http2::api_tls(&dir);
    let coordinator = Coordinator::start(config).await;
    // One that lives on across all that follows.
    let mut lasting = Client::over(secure(&coordinator, &first, b"h2").await)
        .await
        .unwrap();
    assert_eq!(lasting.http("GET", "/readyz", None).await, Ended::Http(200));
    let (_, second) = http2::certificate_files(&dir, "new-c.pem", "new-k.pem");
    let roots = [&first, &second];
    assert_eq!(served(&coordinator, &roots).await, Some(0));

    let whole = std::fs::read_to_string(dir.path().join("new-c.pem")).unwrap();
    for broken in ["", "no certificate\n", &whole[..whole.len() / 2], &whole] {
        // The whole certificate is broken, too, as long as its key is not there.
        std::fs::write(dir.path().join("c.pem"), broken).unwrap();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(served(&coordinator, &roots).await, Some(0), "{broken:?}");
    }
    std::fs::remove_file(dir.path().join("c.pem")).unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(served(&coordinator, &roots).await, Some(0), "no file");

    std::fs::write(dir.path().join("c.pem"), whole).unwrap();
    std::fs::rename(dir.path().join("new-k.pem"), dir.path().join("k.pem")).unwrap();
    within(async {
        while served(&coordinator, &roots).await != Some(1) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(lasting.http("GET", "/readyz", None).await, Ended::Http(200));
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_holds_nobody_up() {
    let coordinator = Coordinator::start(Config::default()).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(coordinator.probes).await.unwrap();
        if idle.len() % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        idle.push(stream);
    }
    let started = tokio::time::timeout(
        Duration::from_secs(5),
        probe::start(&coordinator, "p0", 64500, Manner::Healthy),
    );
    let _probe = started
        .await
        .expect("others' handshakes are not waited for");
    coordinator.wait_for(&["p0"]).await;
}

#[tokio::test]
async fn a_check_begins_with_its_start() {
    use onlyhere_proto::wire::{
        PublicServiceCheckRequest, RequestDone, public_service_check_request::Message,
        public_service_client::PublicServiceClient,
    };
    let coordinator = Coordinator::start(Config::default()).await;
    let token = coordinator.client_token().await;
    let (send, waiting) = tokio::sync::mpsc::channel(1);
    let first = Message::Done(RequestDone::default());
    send.send(PublicServiceCheckRequest {
        message: Some(first),
    })
    .await
    .unwrap();
    let mut client = PublicServiceClient::new(coordinator.api_channel().await);
    let request = with_token(ReceiverStream::new(waiting), &token);
    let mut stream = client.check(request).await.unwrap().into_inner();
    let refused = within(stream.message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "the first message of a check is its start"
    );
}

#[tokio::test]
async fn behind_a_proxy_the_caller_is_who_the_proxy_says() {
    use onlyhere_proto::wire::{
        PublicServiceCheckRequest, public_service_check_request::Message,
        public_service_check_response::Message as Answer,
        public_service_client::PublicServiceClient,
    };
    for (behind_proxy, address) in [(true, "203.0.113.7"), (false, "127.0.0.1")] {
        let config = Config {
            api: Api {
                behind_proxy,
                ..Api::default()
            },
            ..Config::default()
        };
        let coordinator = Coordinator::start(config).await;
        let (send, waiting) = tokio::sync::mpsc::channel(1);
        let first = Message::Start(caller::start("tcp://shop.example:22"));
        send.send(PublicServiceCheckRequest {
            message: Some(first),
        })
        .await
        .unwrap();
        let token = coordinator.client_token().await;
        let mut request = with_token(ReceiverStream::new(waiting), &token);
        let hops = "198.51.100.66, 203.0.113.7".parse().unwrap();
        request.metadata_mut().insert("x-forwarded-for", hops);
        let mut client = PublicServiceClient::new(coordinator.api_channel().await);
        let mut stream = client.check(request).await.unwrap().into_inner();
        let answer = within(stream.message()).await.unwrap().unwrap().message;
        let Some(Answer::Accepted(accepted)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(accepted.public_address, address);
    }
}
