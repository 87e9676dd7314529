//! Who is refused in the TLS handshake of the probe port, and who behind it, with real clients.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Coordinator, probe, within};
use onlyhere_coordinator::{
    config::Config,
    identity::{Authority, SERVER_NAME},
    place::Place,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Shakes hands and speaks HTTP/2's first words; in TLS 1.3 a client learns only then that it was refused.
async fn handshake(
    coordinator: &Coordinator,
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<Shown>,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(coordinator.authority().certificate().clone())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let speak = async {
        let stream = TcpStream::connect(coordinator.probes).await?;
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await?;
        // The preface and an empty SETTINGS frame (RFC 9113, 3.4).
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await?;
        stream.read_u8().await
    };
    let spoken: std::io::Result<u8> = within(speak).await;
    spoken.map(|_| ()).map_err(|error| error.to_string())
}

/// A probe's certificate by this CA for a key of its own.
fn certificate(authority: &Authority, name: &str, life: Duration) -> Shown {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let signed = authority.sign_probe(request.der(), &name.parse().unwrap(), life);
    (
        signed.unwrap().chain,
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
}

#[tokio::test]
async fn only_tls_1_3_and_only_certificates_of_probes_pass() {
    let coordinator = Coordinator::start(Config::default()).await;
    let ours = coordinator.authority();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::load_or_create(elsewhere.path()).unwrap();
    let brief = certificate(&ours, "fra1", SECOND);
    let self_signed = {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::default().self_signed(&key).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![made.into()], PrivateKeyDer::from(key))
    };
    tokio::time::sleep(2 * SECOND + SECOND / 10).await;
    let tls13: &[_] = &[&version::TLS13];
    let tls12: &[_] = &[&version::TLS12];
    let cases = [
        ("no certificate", tls13, None, "passes"),
        (
            "a probe's",
            tls13,
            Some(certificate(&ours, "fra1", DAY)),
            "passes",
        ),
        (
            "another CA's",
            tls13,
            Some(certificate(&other, "fra1", DAY)),
            "UnknownCA",
        ),
        ("signed by itself", tls13, Some(self_signed), "UnknownCA"),
        ("expired", tls13, Some(brief), "CertificateExpired"),
        (
            "a server's of our CA",
            tls13,
            Some(ours.server_certificate().unwrap()),
            "UnsupportedCertificate",
        ),
        ("TLS 1.2, none", tls12, None, "ProtocolVersion"),
        (
            "TLS 1.2, a probe's",
            tls12,
            Some(certificate(&ours, "fra1", DAY)),
            "ProtocolVersion",
        ),
    ];
    for (what, versions, shown, expected) in cases {
        let seen = handshake(&coordinator, versions, shown).await;
        let seen = seen.map_or_else(|error| error, |()| "passes".to_owned());
        println!("{what:<22} {seen}");
        assert!(seen.contains(expected), "{what}: {seen}");
    }
}

#[tokio::test]
async fn a_resumed_handshake_lets_no_expired_certificate_in() {
    let coordinator = Coordinator::start(Config::default()).await;
    let secret = coordinator.probe_token("fra1", Place::default()).await;
    let mut identity = probe::enrol(&coordinator, secret.as_str(), "")
        .await
        .unwrap();
    // The same key with a certificate that is over soon.
    let request = CertificateParams::default()
        .serialize_request(&identity.key)
        .unwrap();
    let brief =
        coordinator
            .authority()
            .sign_probe(request.der(), &"fra1".parse().unwrap(), 2 * SECOND);
    identity.chain = brief.unwrap().chain;
    let tls = coordinator.probe_tls(Some(identity.for_tls()));
    let first = coordinator.channel_with(Arc::clone(&tls)).await.unwrap();
    let stream = probe::open_over(first).await.unwrap();
    drop(stream);
    tokio::time::sleep(3 * SECOND + SECOND / 10).await;
    let again = coordinator.channel_with(tls).await.unwrap();
    let refused = probe::open_over(again).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(
        refused.message().contains("certificate expired at"),
        "{refused}"
    );
    assert!(
        refused
            .message()
            .contains("onlyhere-probe join TOKEN --replace"),
        "{refused}"
    );
}
