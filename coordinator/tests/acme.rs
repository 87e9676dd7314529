//! A certificate by ACME, from a real authority (Pebble, which Let's Encrypt makes for tests) that really connects to the
//! port to see that the name leads there.

mod common;

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::{Coordinator, get, http2};
use onlyhere_coordinator::{
    config::{Acme, Api, ApiTls, Config, Zone},
    identity::acme::CHALLENGE,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

const DOMAIN: &str = http2::API_NAME;
/// Life of a certificate, short enough to see it renewed at two thirds.
const LIFE_S: u64 = 12;

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The authority, and the name server that it asks.
struct Authority {
    directory: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    tls: CertificateDer<'static>,
    running: Vec<Running>,
}

impl Authority {
    /// Nothing runs yet: the coordinator must know where it will be.
    fn plan(dir: &tempfile::TempDir) -> Self {
        let (_, tls) = http2::certificate_files(dir, "pebble-c.pem", "pebble-k.pem");
        Self {
            directory: free_port(),
            management: free_port(),
            names: free_port(),
            tls,
            running: Vec::new(),
        }
    }

    /// Starts both; the name leads to loopback, and the authority tries this port of it.
    fn start(&mut self, dir: &Path, validate: SocketAddr) {
        let config = serde_json::json!({"pebble": {
            "listenAddress": self.directory,
            "managementListenAddress": self.management,
            "certificate": dir.join("pebble-c.pem"),
            "privateKey": dir.join("pebble-k.pem"),
            "httpPort": 1,
            "tlsPort": validate.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": LIFE_S,
        }});
        std::fs::write(dir.join("pebble.json"), config.to_string()).unwrap();
        let names = self.names.to_string();
        self.running
            .push(start(Command::new("pebble-challtestsrv").args([
                "-dns01",
                &names,
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-management",
                &free_port().to_string(),
            ])));
        self.running.push(start(
            Command::new("pebble")
                .args(["-strict", "-dnsserver", &names, "-config"])
                .arg(dir.join("pebble.json"))
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0"),
        ));
    }

    /// The root under which it issues, which is new with every start.
    async fn root(&self) -> Option<CertificateDer<'static>> {
        let stream = http2::secure(self.management, &self.tls, DOMAIN, b"http/1.1", None);
        let (status, answer) = get(stream.await.ok()?, "/roots/0", "").await;
        assert_eq!(status, 200, "{answer}");
        let pem = answer.split_once("\r\n\r\n").unwrap().1;
        Some(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    }
}

fn start(command: &mut Command) -> Running {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; deploy/dev/install-lab-services.sh installs pebble")
    }))
}

fn free_port() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

fn config(authority: &Authority, dir: &Path) -> Config {
    let tls = ApiTls::Acme(Acme {
        domains: vec![Zone(DOMAIN.into())],
        contact: vec!["admin@coordinator.example".into()],
        // Its certificate has the name, not the address: the system's resolver does not know the name, so a local one.
        directory: format!("https://localhost:{}/dir", authority.directory.port()),
        cache: Some(dir.join("acme")),
        ca: Some(dir.join("pebble-c.pem")),
    });
    Config {
        api: Api {
            tls: Some(tls),
            ..Api::default()
        },
        ..Config::default()
    }
}

/// The certificate that a caller who trusts `root` gets, as soon as there is one that `wanted` likes.
async fn served(
    coordinator: &Coordinator,
    root: &CertificateDer<'static>,
    wanted: impl Fn(&CertificateDer<'static>) -> bool,
) -> CertificateDer<'static> {
    let fetched = async {
        loop {
            let stream = http2::secure(coordinator.api, root, DOMAIN, b"http/1.1", None);
            if let Ok(stream) = stream.await {
                let leaf = stream.get_ref().1.peer_certificates().unwrap()[0]
                    .clone()
                    .into_owned();
                if wanted(&leaf) {
                    assert_eq!(get(stream, "/readyz", "").await.0, 200);
                    return leaf;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), fetched)
        .await
        .expect("a certificate in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_fetched_kept_renewed_and_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut authority = Authority::plan(&dir);
    // The authority is not there yet: the port serves, nobody gets through, and it is tried again.
    let coordinator = Coordinator::start(config(&authority, dir.path())).await;
    let stranger = http2::secure(coordinator.api, &authority.tls, DOMAIN, b"http/1.1", None).await;
    assert!(stranger.is_err(), "there is no certificate yet");

    authority.start(dir.path(), coordinator.api);
    let root = loop {
        match authority.root().await {
            Some(root) => break root,
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let first = served(&coordinator, &root, |_| true).await;
    let names_it = |der: &CertificateDer<'static>| {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        format!("{:?}", names.value).contains(DOMAIN)
    };
    assert!(names_it(&first));
    // Who poses as the authority when nothing is being proved learns nothing, and others are served on.
    let challenge = http2::secure(coordinator.api, &root, DOMAIN, CHALLENGE, None).await;
    assert!(challenge.is_err());

    let second = served(&coordinator, &root, |leaf| *leaf != first).await;
    assert!(names_it(&second), "renewed before it ended");

    for file in std::fs::read_dir(dir.path().join("acme")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is for its owner alone", file.path());
    }
    // Without the authority the kept certificate is used at once.
    authority.running.clear();
    drop(coordinator);
    let coordinator = Coordinator::start(config(&authority, dir.path())).await;
    served(&coordinator, &root, |_| true).await;
}
