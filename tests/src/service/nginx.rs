//! nginx, as the target of checks and as the always-healthy controls.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::{Authority, CertificateKind, wait_for_port};
use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

/// What a site does when asked.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    /// The names it serves.
    pub names: Vec<String>,
    /// The HTTP status of every page but `/login`.
    pub status: u16,
    /// Visitors it answers with 403.
    pub forbidden: Vec<IpNet>,
    /// The certificate it shows.
    pub certificate: CertificateKind,
    /// Lines in nginx's own language for the `http` block.
    pub http: String,
    /// The same for the `server` block.
    pub server: String,
    /// The same for `/`, instead of answering with `status`.
    pub location: Option<String>,
    /// Where it listens with TLS; on ports 80 and 443 of every address when empty.
    pub sockets: Vec<SocketAddr>,
    /// Whether it crashes again and again: for how many seconds it lives, and for how many it stays dead.
    pub crash_loop: Option<(f64, f64)>,
}

impl SiteSettings {
    /// A healthy site.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            names,
            status: 200,
            forbidden: Vec::new(),
            certificate: CertificateKind::Valid,
            http: String::new(),
            server: String::new(),
            location: None,
            sockets: Vec::new(),
            crash_loop: None,
        }
    }
}

/// A running nginx: as a rule ports 80 and 443 of both families; `/login` asks for a password.
#[derive(Debug)]
pub struct Site {
    daemon: Daemon,
    errors: PathBuf,
}

impl Site {
    /// Starts nginx on a host and waits until it listens; one that crashes again and again is dead at first.
    pub fn start(
        host: &Host,
        settings: &SiteSettings,
        authority: &Authority,
    ) -> Result<Self, LabError> {
        let dir = host.dir().join("nginx");
        make_dir(&dir)?;
        let (certificate, key) =
            authority.issue(&settings.names, settings.certificate, &dir, "site")?;
        write(&dir.join("members"), "owner:{PLAIN}the right password\n")?;
        let errors = dir.join("error.log");
        let config = configuration(settings)
            .replace("DIR", &dir.display().to_string())
            .replace("CERTIFICATE", &certificate.display().to_string())
            .replace("KEY", &key.display().to_string());
        let file = dir.join("nginx.conf");
        write(&file, config)?;
        let nginx = [
            "nginx".as_ref(),
            "-e".as_ref(),
            errors.as_os_str(),
            "-c".as_ref(),
            file.as_os_str(),
        ];
        let mut daemon = match settings.crash_loop {
            Some(times) => host.daemon(
                "nginx",
                host.command("sh")
                    .args(["-c", &again_and_again(times), "sh"])
                    .args(nginx),
            )?,
            None => host.daemon("nginx", host.command(nginx[0]).args(&nginx[1..]))?,
        };
        if settings.crash_loop.is_none() {
            let port = settings.sockets.first().map_or(443, SocketAddr::port);
            wait_for_port(host, &mut daemon, port, 20)?;
        }
        Ok(Self { daemon, errors })
    }

    /// Where failed logins are written, for fail2ban to read.
    pub fn error_log(&self) -> &std::path::Path {
        &self.errors
    }

    /// Kills it; its ports answer RST from then on.
    pub fn stop(self) {
        self.daemon.stop();
    }
}

/// The configuration but for where its files are. `return` comes before access rules in nginx, so the status is
/// chosen by the visitor's address.
fn configuration(settings: &SiteSettings) -> String {
    let forbidden: String = settings
        .forbidden
        .iter()
        .map(|source| format!("{source} 1;\n"))
        .collect();
    let location = settings
        .location
        .clone()
        .unwrap_or_else(|| format!("return {} \"the shop\\n\";", settings.status));
    CONFIG
        .replace("LISTEN", &listen(&settings.sockets))
        .replace("NAMES", &settings.names.join(" "))
        .replace("FORBIDDEN", &forbidden)
        .replace("HTTP_LINES", &settings.http)
        .replace("SERVER_LINES", &settings.server)
        .replace("LOCATION_LINES", &location)
}

fn listen(sockets: &[SocketAddr]) -> String {
    if sockets.is_empty() {
        return EVERYWHERE.into();
    }
    let mut lines = String::new();
    for socket in sockets {
        let only = if socket.is_ipv6() { " ipv6only=on" } else { "" };
        let _ = writeln!(lines, "listen {socket} ssl http2 default_server{only};");
    }
    lines
}

/// A supervisor's loop: starts the program that follows as arguments, and it dies soon.
fn again_and_again((up, down): (f64, f64)) -> String {
    format!(
        "while :; do sleep {down}; setpriv --pdeathsig KILL -- \"$@\" & sleep {up}; kill -KILL $!; wait $! || :; done"
    )
}

const EVERYWHERE: &str = "listen 80 default_server;
        listen [::]:80 default_server ipv6only=on;
        listen 443 ssl http2 default_server;
        listen [::]:443 ssl http2 default_server ipv6only=on;";

/// One process, in the foreground: inside a user namespace there is no other user to become. The error log tells of
/// failed logins at level `error`, which is what fail2ban's own filter reads.
const CONFIG: &str = r#"daemon off;
master_process off;
user root root;
pid DIR/nginx.pid;
error_log DIR/error.log error;
events { worker_connections 512; }
http {
    access_log DIR/access.log;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    default_type text/plain;
    geo $forbidden {
        default 0;
        FORBIDDEN
    }
    HTTP_LINES
    server {
        LISTEN
        server_name NAMES;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key KEY;
        if ($forbidden) { return 403 "forbidden\n"; }
        SERVER_LINES
        location / { LOCATION_LINES }
        location /login {
            auth_basic "members";
            auth_basic_user_file DIR/members;
        }
    }
}
"#;
