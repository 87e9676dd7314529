//! The authentication matrix: every endpoint of both ports, called with every kind of credential, over real TLS.
//!
//! The endpoints are not listed here by hand: HTTP routes are those that the router is built from, gRPC methods those of
//! the descriptors that are compiled in. What is listed is who may call each of them; an endpoint without a row fails.

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{
    Coordinator, caller,
    http2::{self, Client, ClientIdentity, Ended},
    probe::{self, Identity, Manner},
    within,
};
use onlyhere_coordinator::{
    api::{Access, ROUTES},
    audit::By,
    clock,
    fleet::roll::Roll,
    identity::{Authority, PROBE_LIFE, SERVER_NAME},
    place::Place,
    tokens::{ADMIN, CLIENT, Scope, Secret, Token, TokenKind},
};
use onlyhere_proto::{
    Outcome, Timestamp,
    wire::{self, DESCRIPTORS},
};
use prost::Message;
use prost_types::FileDescriptorSet;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tonic_health::pb as health;
use tonic_reflection::pb::v1 as reflection;

/// In the order of the columns below. `check`, `list` and `read-all` are tokens with that scope alone; `join` is a join
/// token, `struck` the certificate of a probe that was struck off, `stale` one that has expired.
const CREDENTIALS: [&str; 14] = [
    "none", "wrong", "expired", "revoked", "client", "admin", "check", "list", "read-all", "join",
    "probe", "other-CA", "struck", "stale",
];

/// `ok`: served. `401`, `403`: refused. `-`: not on this port. `tls`: refused in the handshake.
///
/// A bearer token is none on the probe port, where an enrolment carries its secret inside; a client certificate is none on
/// the people's port, which does not ask for one.
const PEOPLE: &str = "
                                                           none wrong expired revoked client admin check list read-all join probe other-CA struck stale
GET /healthz                                               ok   ok    ok      ok      ok     ok    ok    ok   ok       ok   ok    ok       ok     ok
GET /readyz                                                ok   ok    ok      ok      ok     ok    ok    ok   ok       ok   ok    ok       ok     ok
GET /v1/vantages                                           401  401   401     401     ok     ok    403   ok   403      401  401   401      401    401
POST /v1/checks                                            401  401   401     401     ok     ok    ok    403  403      401  401   401      401    401
GET /v1/checks/{id}                                        401  401   401     401     ok     ok    403   403  ok       401  401   401      401    401
GET /v1/checks/{id}/events                                 401  401   401     401     ok     ok    403   403  ok       401  401   401      401    401
/onlyhere.v1.PublicService/Check                           401  401   401     401     ok     ok    ok    403  403      401  401   401      401    401
/onlyhere.v1.PublicService/ListVantages                    401  401   401     401     ok     ok    403   ok   403      401  401   401      401    401
/onlyhere.v1.ProbeService/Enrol                            -    -     -       -       -      -     -     -    -        -    -     -        -      -
/onlyhere.v1.ProbeService/Renew                            -    -     -       -       -      -     -     -    -        -    -     -        -      -
/onlyhere.v1.ProbeService/Attach                           -    -     -       -       -      -     -     -    -        -    -     -        -      -
/grpc.health.v1.Health/Check                               ok   ok    ok      ok      ok     ok    ok    ok   ok       ok   ok    ok       ok     ok
/grpc.health.v1.Health/Watch                               ok   ok    ok      ok      ok     ok    ok    ok   ok       ok   ok    ok       ok     ok
/grpc.reflection.v1.ServerReflection/ServerReflectionInfo  ok   ok    ok      ok      ok     ok    ok    ok   ok       ok   ok    ok       ok     ok
GET /nothing                                               -    -     -       -       -      -     -     -    -        -    -     -        -      -
/onlyhere.v1.PublicService/Nothing                         -    -     -       -       -      -     -     -    -        -    -     -        -      -
/nothing.Service/Nothing                                   -    -     -       -       -      -     -     -    -        -    -     -        -      -
";

const PROBES: &str = "
                                                           none wrong expired revoked client admin check list read-all join probe other-CA struck stale
GET /healthz                                               -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
GET /readyz                                                -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
GET /v1/vantages                                           -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
POST /v1/checks                                            -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
GET /v1/checks/{id}                                        -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
GET /v1/checks/{id}/events                                 -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/onlyhere.v1.PublicService/Check                           -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/onlyhere.v1.PublicService/ListVantages                    -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/onlyhere.v1.ProbeService/Enrol                            401  401   401     401     401    401   401   401  401      ok   401   tls      401    tls
/onlyhere.v1.ProbeService/Renew                            401  401   401     401     401    401   401   401  401      401  ok    tls      403    tls
/onlyhere.v1.ProbeService/Attach                           401  401   401     401     401    401   401   401  401      401  ok    tls      403    tls
/grpc.health.v1.Health/Check                               -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/grpc.health.v1.Health/Watch                               -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/grpc.reflection.v1.ServerReflection/ServerReflectionInfo  -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
GET /nothing                                               -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/onlyhere.v1.PublicService/Nothing                         -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
/nothing.Service/Nothing                                   -    -     -       -       -      -     -     -    -        -    -     tls      -      tls
";

/// Asked for besides what there is: what there is not.
const NOTHING: [&str; 3] = [
    "GET /nothing",
    "/onlyhere.v1.PublicService/Nothing",
    "/nothing.Service/Nothing",
];

/// What a client shows: a bearer token, the secret of an enrolment, a certificate.
#[derive(Default)]
struct Credential {
    bearer: Option<String>,
    secret: String,
    identity: Option<ClientIdentity>,
}

/// Everything that is served, as the router and the descriptors have it.
fn endpoints() -> Vec<String> {
    let mut endpoints: Vec<String> = ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    for encoded in [
        DESCRIPTORS,
        health::FILE_DESCRIPTOR_SET,
        reflection::FILE_DESCRIPTOR_SET,
    ] {
        for file in FileDescriptorSet::decode(encoded).unwrap().file {
            for service in &file.service {
                let path =
                    |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
                endpoints.extend(service.method.iter().map(|method| path(method.name())));
            }
        }
    }
    endpoints
}

/// Rows by endpoint.
fn expected(table: &str) -> Vec<(String, Vec<String>)> {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(columns, CREDENTIALS);
    let row = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let (endpoint, cells) = words.split_at(words.len() - CREDENTIALS.len());
        (endpoint.join(" "), cells.to_vec())
    };
    lines.map(row).collect()
}

/// One coordinator, a finished check of the client's, and one credential of every kind.
struct Stage {
    coordinator: Coordinator,
    api_root: CertificateDer<'static>,
    check: String,
    _files: tempfile::TempDir,
    _probe: probe::Running,
}

impl Stage {
    async fn set(
        client: &Secret,
        files: tempfile::TempDir,
        coordinator: Coordinator,
        api_root: CertificateDer<'static>,
    ) -> Self {
        let probe = probe::start(&coordinator, "p0", 64500, Manner::Healthy).await;
        let stream = http2::secure(coordinator.api, &api_root, http2::API_NAME, b"h2", None);
        let channel = common::channel_over(stream.await.unwrap()).await;
        let token = format!("{CLIENT}{}", client.as_str());
        let check = caller::open_over(channel, &token, caller::start("tcp://shop.example:22"));
        let told = check.await.unwrap().follow(Outcome::Ok).await.unwrap();
        Self {
            check: told.report().id.to_string(),
            coordinator,
            api_root,
            _files: files,
            _probe: probe,
        }
    }

    /// One connection to each port.
    async fn connect(&self, port: &str, credential: &Credential) -> Option<Client> {
        let authority = self.coordinator.authority();
        let (address, root, name) = match port {
            "people's port" => (self.coordinator.api, &self.api_root, http2::API_NAME),
            _ => (
                self.coordinator.probes,
                authority.certificate(),
                SERVER_NAME,
            ),
        };
        let identity = credential.identity.as_ref();
        let identity = identity.map(|(chain, key)| (chain.clone(), key.clone_key()));
        let stream = http2::secure(address, root, name, b"h2", identity)
            .await
            .ok()?;
        Client::over(stream).await
    }

    async fn call(&self, client: &mut Client, endpoint: &str, credential: &Credential) -> Ended {
        let bearer = credential.bearer.as_deref();
        if let Some(path) = endpoint.strip_prefix("GET ") {
            let path = path.replace("{id}", &self.check);
            return client.http("GET", &path, bearer).await;
        }
        if let Some(path) = endpoint.strip_prefix("POST ") {
            let question = r#"{"target": "tcp://shop.example:22"}"#;
            return client.post(path, question, bearer).await;
        }
        match endpoint.rsplit('/').next() {
            Some("Check") if endpoint.contains("PublicService") => {
                let start = wire::Start {
                    no_local: true,
                    ..caller::start("tcp://shop.example:22")
                };
                let message = wire::public_service_check_request::Message::Start(start);
                let message = wire::PublicServiceCheckRequest {
                    message: Some(message),
                };
                client.call(endpoint, &message, bearer).await
            }
            Some("Enrol") => {
                let key = KeyPair::generate().unwrap();
                let request = CertificateParams::default()
                    .serialize_request(&key)
                    .unwrap();
                let message = wire::EnrolRequest {
                    secret: credential.secret.clone(),
                    signing_request: request.der().to_vec(),
                    name: String::new(),
                };
                client.call(endpoint, &message, bearer).await
            }
            Some("Renew") => {
                let key = KeyPair::generate().unwrap();
                let request = CertificateParams::default()
                    .serialize_request(&key)
                    .unwrap();
                let message = wire::RenewRequest {
                    signing_request: request.der().to_vec(),
                };
                client.call(endpoint, &message, bearer).await
            }
            Some("Attach") => {
                let hello = wire::attach_request::Message::Hello(wire::Hello::default());
                let message = wire::AttachRequest {
                    message: Some(hello),
                };
                client.call(endpoint, &message, bearer).await
            }
            Some("ServerReflectionInfo") => {
                let list = reflection::server_reflection_request::MessageRequest::ListServices(
                    String::new(),
                );
                let message = reflection::ServerReflectionRequest {
                    message_request: Some(list),
                    ..Default::default()
                };
                client.call(endpoint, &message, bearer).await
            }
            _ => client.grpc(endpoint, &[], bearer).await,
        }
    }

    async fn cell(&self, port: &str, endpoint: &str, credential: &Credential) -> String {
        let Some(mut client) = self.connect(port, credential).await else {
            return "tls".into();
        };
        match within(self.call(&mut client, endpoint, credential)).await {
            Ended::Http(200 | 202) | Ended::Grpc(0) => "ok".into(),
            Ended::Http(401) | Ended::Grpc(16) => "401".into(),
            Ended::Http(403) | Ended::Grpc(7) => "403".into(),
            Ended::Http(404) | Ended::Grpc(12) => "-".into(),
            Ended::Broken => "tls".into(),
            other => format!("{other:?}"),
        }
    }
}

type Change = fn(Token) -> Token;

async fn token(coordinator: &Coordinator, kind: TokenKind, name: &str, change: Change) -> Secret {
    coordinator.token(kind, name, change).await
}

/// Those of [`CREDENTIALS`], in their order.
async fn credentials(coordinator: &Coordinator, client: Secret) -> Vec<Credential> {
    let expired: Change = |token| Token {
        expires_at: Some(Timestamp(clock::now().0 - 1)),
        ..token
    };
    let revoked: Change = |token| Token {
        revoked: true,
        ..token
    };
    let token = async |kind, name, change| token(coordinator, kind, name, change).await;
    let bearer = |prefix: &str, secret: &Secret, of_enrolment: &Secret| Credential {
        bearer: Some(format!("{prefix}{}", secret.as_str())),
        secret: of_enrolment.as_str().into(),
        identity: None,
    };
    let wrong = Secret::generate();
    let late = [
        token(TokenKind::Client, "late", expired).await,
        token(TokenKind::Probe, "late", expired).await,
    ];
    let gone = [
        token(TokenKind::Client, "gone", revoked).await,
        token(TokenKind::Probe, "gone", revoked).await,
    ];
    let admin = token(TokenKind::Admin, "root", |token| token).await;
    let only = [
        token(TokenKind::Client, "check", |token| {
            scoped_to(token, Scope::Check)
        })
        .await,
        token(TokenKind::Client, "list", |token| {
            scoped_to(token, Scope::Vantages)
        })
        .await,
        token(TokenKind::Admin, "reader", |token| {
            scoped_to(token, Scope::ReadAll)
        })
        .await,
    ];
    let join = token(TokenKind::Probe, "new", |token| token).await;
    let enrolled = enrol(coordinator, "fra1").await;
    let struck = enrol(coordinator, "nyc1").await;
    let roll = Roll::new(coordinator.store().await);
    let nyc1 = "nyc1".parse().unwrap();
    assert!(roll.strike(&nyc1, &By::operator()).await.unwrap());
    let of_another_life = |authority: &Authority, life: Duration| {
        let request = CertificateParams::default()
            .serialize_request(&enrolled.key)
            .unwrap();
        let signed = authority.sign_probe(request.der(), &"fra1".parse().unwrap(), life);
        Identity {
            chain: signed.unwrap().chain,
            key: KeyPair::from_pem(&enrolled.key.serialize_pem()).unwrap(),
            name: "fra1".into(),
        }
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::load_or_create(elsewhere.path()).unwrap();
    let stranger = of_another_life(&other, PROBE_LIFE);
    let stale = of_another_life(&coordinator.authority(), Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let certificate = |identity: &Identity| Credential {
        identity: Some(identity.for_tls()),
        ..Credential::default()
    };
    vec![
        Credential::default(),
        bearer(CLIENT, &wrong, &wrong),
        bearer(CLIENT, &late[0], &late[1]),
        bearer(CLIENT, &gone[0], &gone[1]),
        bearer(CLIENT, &client, &client),
        bearer(ADMIN, &admin, &admin),
        bearer(CLIENT, &only[0], &only[0]),
        bearer(CLIENT, &only[1], &only[1]),
        bearer(ADMIN, &only[2], &only[2]),
        bearer(CLIENT, &join, &join),
        certificate(&enrolled),
        certificate(&stranger),
        certificate(&struck),
        certificate(&stale),
    ]
}

fn scoped_to(token: Token, scope: Scope) -> Token {
    Token {
        scopes: Some([scope].into()),
        ..token
    }
}

async fn enrol(coordinator: &Coordinator, name: &str) -> Identity {
    let secret = coordinator.probe_token(name, Place::default()).await;
    probe::enrol(coordinator, secret.as_str(), "")
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_lets_in_whom_it_should_and_nobody_else() {
    let files = tempfile::tempdir().unwrap();
    let (config, api_root) = http2::api_tls(&files);
    let coordinator = Coordinator::start(config).await;
    let client = token(&coordinator, TokenKind::Client, "me", |token| token).await;
    let stage = Stage::set(&client, files, coordinator, api_root).await;
    let credentials = credentials(&stage.coordinator, client).await;
    let served: BTreeSet<String> = endpoints()
        .into_iter()
        .chain(NOTHING.map(str::to_owned))
        .collect();

    let (mut asserted, mut wrong) = (0, Vec::new());
    for (port, table) in [("people's port", PEOPLE), ("probes' port", PROBES)] {
        let expected = expected(table);
        let rows: BTreeSet<String> = expected
            .iter()
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        assert_eq!(
            rows, served,
            "every endpoint has its row, and every row its endpoint, on the {port}"
        );
        println!("{:<60}{}", port, line(CREDENTIALS));
        for (endpoint, expected) in expected {
            let mut cells = Vec::new();
            for credential in &credentials {
                cells.push(stage.cell(port, &endpoint, credential).await);
            }
            println!("{endpoint:<60}{}", line(cells.iter().map(String::as_str)));
            for ((cell, expected), credential) in cells.iter().zip(&expected).zip(CREDENTIALS) {
                asserted += 1;
                if cell != expected {
                    wrong.push(format!(
                        "{port}, {endpoint}, {credential}: {cell}, not {expected}"
                    ));
                }
            }
        }
    }
    println!(
        "authentication matrix: {} endpoints x {} credentials x 2 ports = {asserted} cells asserted, {} wrong",
        served.len(),
        CREDENTIALS.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(asserted, served.len() * CREDENTIALS.len() * 2);
}

fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    cells.into_iter().map(|cell| format!("{cell:<9}")).collect()
}

/// Another method on a route that is there: refused before anything is told, and HEAD is guarded as GET is.
#[tokio::test]
async fn other_methods_open_no_side_door() {
    let files = tempfile::tempdir().unwrap();
    let (config, root) = http2::api_tls(&files);
    let coordinator = Coordinator::start(config).await;
    let stream = http2::secure(coordinator.api, &root, http2::API_NAME, b"h2", None).await;
    let mut client = Client::over(stream.unwrap()).await.unwrap();
    for route in ROUTES {
        let path = route.path.replace("{id}", "01JD0000000000000000000000");
        let known: Vec<&str> = ROUTES
            .iter()
            .filter(|other| other.path == route.path)
            .flat_map(|route| match route.method.as_str() {
                "GET" => vec!["GET", "HEAD"],
                other => vec![other],
            })
            .collect();
        let served = match route.access {
            Access::Open => 200,
            Access::Token(_) => 401,
        };
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let status = if known.contains(&method) { served } else { 405 };
            assert_eq!(
                client.http(method, &path, None).await,
                Ended::Http(status),
                "{method} {path}"
            );
        }
    }
    let told = client
        .http("GET", "/onlyhere.v1.PublicService/ListVantages", None)
        .await;
    assert_eq!(told, Ended::Grpc(16));
}
