//! TLS against real rustls servers, and against peers that are none.

mod ground;

use std::{sync::Arc, time::Duration};

use ground::{Ground, Server, authority, only, params, server_config, signed, stages, tls};
use onlyhere_proto::{CertificateError, Outcome, SaidBy, Stage};
use rcgen::date_time_ymd;
use rustls::{ServerConfig, crypto::ring, version::TLS12};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn ground() -> Ground {
    let ground = Ground::new();
    ground.hosts("127.0.0.1 shop.example\n");
    ground
}

async fn handshake(ground: &Ground, server: &Server) -> Vec<onlyhere_proto::Observation> {
    let all = ground
        .observe(&format!("tls://shop.example:{}", server.port()))
        .await;
    all.into_iter().filter(|o| o.stage != Stage::Dns).collect()
}

#[tokio::test]
async fn a_good_handshake_tells_version_protocol_and_chain() {
    let ground = ground();
    let mut identity = ground.certificate(&["shop.example", "www.shop.example"]);
    identity.chain.push(ground.authority.der().clone());
    let config = server_config(identity, &["http/1.1"]);
    let server = Server::https(config, OK).await;
    let all = ground
        .observe(&format!("https://shop.example:{}/", server.port()))
        .await;
    assert_eq!(stages(&all), ["dns ok", "tcp ok", "tls ok", "http ok"]);
    let facts = tls(only(&all, Stage::Tls));
    assert_eq!(facts.version.as_deref(), Some("TLSv1.3"));
    assert_eq!(facts.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(facts.server_name.as_deref(), Some("shop.example"));
    assert_eq!((facts.error, facts.alert), (None, None));
    assert_eq!(facts.certificates.len(), 2);
    let leaf = &facts.certificates[0];
    assert_eq!(leaf.names, ["shop.example", "www.shop.example"]);
    assert_eq!(leaf.issuer, "CN=Test CA");
    assert_eq!(leaf.sha256.len(), 64);
    assert!(leaf.not_before < leaf.not_after);
    assert_eq!(facts.certificates[1].subject, "CN=Test CA");
}

#[tokio::test]
async fn every_fault_of_a_certificate_is_named_and_ends_the_climb() {
    let ground = ground();
    let stranger = authority("Somebody");
    let mut expired = params(&["shop.example"]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    expired.not_before = date_time_ymd(2019, 1, 1);
    let mut early = params(&["shop.example"]);
    early.not_before = date_time_ymd(2400, 1, 1);
    early.not_after = date_time_ymd(2401, 1, 1);
    let alone = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let alone = ground::Identity {
        chain: vec![alone.cert.der().clone()],
        key: alone.signing_key.serialize_der().try_into().unwrap(),
    };
    for (identity, error) in [
        (
            signed(&ground.authority, expired),
            CertificateError::Expired,
        ),
        (
            signed(&ground.authority, early),
            CertificateError::NotYetValid,
        ),
        (
            ground.certificate(&["other.example"]),
            CertificateError::NameMismatch,
        ),
        (
            signed(&stranger, params(&["shop.example"])),
            CertificateError::UnknownIssuer,
        ),
        (alone, CertificateError::UnknownIssuer),
    ] {
        let server = Server::https(server_config(identity, &["h2", "http/1.1"]), OK).await;
        let all = ground
            .observe(&format!("https://shop.example:{}/", server.port()))
            .await;
        let seen = only(&all, Stage::Tls);
        assert_eq!(seen.outcome, Outcome::BadCertificate, "{error}");
        let facts = tls(seen);
        assert_eq!(facts.error, Some(error), "{:?}", seen.detail);
        assert_eq!(facts.version.as_deref(), Some("TLSv1.3"), "{error}");
        assert_eq!(facts.alpn.as_deref(), Some("h2"), "{error}");
        assert_eq!(facts.certificates.len(), 1, "{error}");
        assert!(all.iter().all(|o| o.stage != Stage::Http), "{error}");
    }
}

#[tokio::test]
async fn an_address_is_verified_as_an_address() {
    let ground = ground();
    let server = Server::https(server_config(ground.certificate(&["127.0.0.1"]), &[]), OK).await;
    let all = ground
        .observe(&format!("tls://127.0.0.1:{}", server.port()))
        .await;
    assert_eq!(stages(&all), ["tcp ok", "tls ok"]);
    assert_eq!(tls(&all[1]).server_name, None);
    assert_eq!(tls(&all[1]).certificates[0].names, ["127.0.0.1"]);
}

#[tokio::test]
async fn tls_1_2_is_spoken_too() {
    let ground = ground();
    let identity = ground.certificate(&["shop.example"]);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let server = Server::https(config, OK).await;
    let all = handshake(&ground, &server).await;
    assert_eq!(stages(&all), ["tcp ok", "tls ok"]);
    assert_eq!(tls(&all[1]).version.as_deref(), Some("TLSv1.2"));
}

#[tokio::test]
async fn an_alert_is_kept_by_its_number() {
    let ground = ground();
    // A server that speaks none of the protocols offered ends the handshake with no_application_protocol.
    let config = server_config(ground.certificate(&["shop.example"]), &["nothing/1"]);
    let server = Server::https(config, OK).await;
    let all = ground
        .observe(&format!("https://shop.example:{}/", server.port()))
        .await;
    let seen = only(&all, Stage::Tls);
    assert_eq!(seen.outcome, Outcome::TlsAlert);
    assert_eq!(tls(seen).alert, Some(120));
}

#[tokio::test]
async fn a_key_that_does_not_fit_the_certificate_is_never_waived() {
    // The chain is right and public; only the signature shows that the peer does not hold the key.
    let ground = ground();
    let mut identity = ground.certificate(&["shop.example"]);
    let other = ground.certificate(&["shop.example"]);
    identity.key = other.key;
    let key = ring::sign::any_supported_type(&identity.key).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(identity.chain, key));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let server = Server::https(config, OK).await;
    let all = handshake(&ground, &server).await;
    assert_eq!(stages(&all), ["tcp ok", "tls bad_certificate"], "{all:#?}");
    assert!(
        all[1].detail.as_ref().unwrap().contains("BadSignature"),
        "{:?}",
        all[1].detail
    );
}

#[tokio::test]
async fn peers_that_are_no_tls_servers_are_told_apart() {
    let ground = ground();
    let talks = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        let _ = stream.read(&mut [0; 512]).await;
    })
    .await;
    let closes = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let resets = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 16]).await;
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;
    let silent = Server::tcp(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    for (server, outcome) in [
        (talks, Outcome::TlsAlert),
        (closes, Outcome::Closed),
        (resets, Outcome::Reset),
        (silent, Outcome::Timeout),
    ] {
        let all = handshake(&ground, &server).await;
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].outcome, outcome, "{:?}", all[1]);
        assert_eq!(
            all[1].said_by == Some(SaidBy::Rst),
            outcome == Outcome::Reset
        );
        assert_eq!(tls(&all[1]).alert, None);
    }
}

#[tokio::test]
async fn a_server_that_dies_within_the_handshake_is_closed_not_untrusted() {
    let ground = ground();
    let config = Arc::new(server_config(ground.certificate(&["shop.example"]), &[]));
    let server = Server::tcp(move |stream| {
        let acceptor = TlsAcceptor::from(config.clone());
        async move {
            // Reads the greeting, answers nothing.
            drop(tokio_rustls::LazyConfigAcceptor::new(Default::default(), stream).await);
            drop(acceptor);
        }
    })
    .await;
    let all = handshake(&ground, &server).await;
    assert_eq!(stages(&all), ["tcp ok", "tls closed"]);
}
