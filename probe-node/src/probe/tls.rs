//! A TLS handshake that records the chain and the verdict on it, and goes on to its end either way: version and protocol
//! are facts of a server with a bad certificate too. Nothing is sent over such a connection.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use onlyhere_proto::{
    Certificate, Facts, Host, Layer, Outcome, Timestamp, TlsFacts, limits, limits::plain_text,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::{extensions::GeneralName, prelude::*};

use super::{Attempt, Connection, Seen, bounded::Bounded};
use crate::{
    classify::{self, Failure},
    trust,
};

pub(super) async fn probe(attempt: &mut Attempt<'_>) -> Seen {
    let Connection::Plain(stream) = std::mem::take(&mut attempt.connection) else {
        return Seen::not_measured("there is no connection to shake hands over");
    };
    let source = stream.local_addr().ok().map(|local| local.ip());
    let name = match server_name(&attempt.target.host) {
        Ok(name) => name,
        Err(why) => return Seen::not_measured(why),
    };
    let recorder = Arc::new(Recorder::new(attempt.verifier.clone()));
    let config = match config(recorder.clone(), attempt.target.layer) {
        Ok(config) => config,
        Err(error) => return Seen::not_measured(error.to_string()),
    };
    let mut facts = TlsFacts {
        server_name: match &name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            _ => None,
        },
        ..TlsFacts::default()
    };
    let start = Instant::now();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, Bounded::new(stream));
    let result = tokio::time::timeout(attempt.timeout, handshake).await;
    let elapsed = start.elapsed();
    let rejected = recorder.tell(&mut facts);
    let seen = match result {
        Err(_) => Seen::failed(Failure::of(Outcome::Timeout), elapsed),
        Ok(Err(error)) => {
            let tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            facts.alert = tls.and_then(|error| classify::handshake(error).1);
            Seen::failed(classify::connected(&error), elapsed)
        }
        Ok(Ok(stream)) => {
            agreed(&stream, &mut facts);
            match rejected {
                Some(why) => {
                    Seen::failed(Failure::of(Outcome::BadCertificate).because(why), elapsed)
                }
                None => {
                    attempt.connection = Connection::Tls(Box::new(stream));
                    Seen::ok(elapsed)
                }
            }
        }
    };
    seen.from(source).with_facts(Facts::Tls(facts))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| format!("{name} cannot stand in a certificate")),
    }
}

/// One configuration for each attempt: it carries the attempt's own recorder, and resumes no session, so that every
/// handshake shows its certificates.
fn config(recorder: Arc<Recorder>, layer: Layer) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(trust::provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    if layer == Layer::Https {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(config)
}

fn agreed(stream: &TlsStream<Bounded<tokio::net::TcpStream>>, facts: &mut TlsFacts) {
    let (_, session) = stream.get_ref();
    facts.version = session.protocol_version().map(|version| {
        let name = version.as_str().unwrap_or("unknown");
        name.replace("TLSv1_", "TLSv1.")
    });
    facts.alpn = session
        .alpn_protocol()
        .map(|name| plain_text(&String::from_utf8_lossy(name), limits::TEXT));
}

/// Lets every chain pass, and remembers it together with the verdict of the verifier it wraps.
#[derive(Debug)]
struct Recorder {
    verifier: Arc<WebPkiServerVerifier>,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    chain: Vec<Certificate>,
    error: Option<rustls::Error>,
}

impl Recorder {
    fn new(verifier: Arc<WebPkiServerVerifier>) -> Self {
        Self {
            verifier,
            record: Mutex::default(),
        }
    }

    /// Adds what was recorded to the facts; the reason if the chain was rejected.
    fn tell(&self, facts: &mut TlsFacts) -> Option<String> {
        let record = std::mem::take(&mut *self.lock());
        facts.certificates = record.chain;
        facts.error = record.error.as_ref().map(classify::certificate);
        record.error.map(|error| error.to_string())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let chain = std::iter::once(end_entity).chain(intermediates);
        let mut record = self.lock();
        record.chain = chain.take(limits::CERTIFICATES).map(described).collect();
        record.error = verdict.err();
        Ok(ServerCertVerified::assertion())
    }

    // That the peer holds the certificate's key is never waived.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A certificate as facts; one that cannot be read keeps its digest.
pub(crate) fn described(der: &CertificateDer<'_>) -> Certificate {
    let sha256 = hex::encode(Sha256::digest(der));
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Certificate {
            sha256,
            subject: String::new(),
            names: Vec::new(),
            issuer: String::new(),
            not_before: Timestamp::default(),
            not_after: Timestamp::default(),
        };
    };
    let moment = |time: ASN1Time| {
        Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000)).unwrap_or_default()
    };
    Certificate {
        sha256,
        subject: plain_text(&certificate.subject().to_string(), limits::TEXT),
        names: names(&certificate),
        issuer: plain_text(&certificate.issuer().to_string(), limits::TEXT),
        not_before: moment(certificate.validity().not_before),
        not_after: moment(certificate.validity().not_after),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(plain_text(name, limits::HOST_NAME)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    };
    let names = &alternatives.value.general_names;
    names
        .iter()
        .filter_map(name)
        .take(limits::CERTIFICATE_NAMES)
        .collect()
}
