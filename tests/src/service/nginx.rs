//! nginx, as the target of checks and as the always-healthy controls.

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
}

impl SiteSettings {
    /// A healthy site.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            names,
            status: 200,
            forbidden: Vec::new(),
            certificate: CertificateKind::Valid,
        }
    }
}

/// A running nginx: ports 80 and 443 of both families; `/login` asks for a password.
#[derive(Debug)]
pub struct Site {
    daemon: Daemon,
    errors: PathBuf,
}

impl Site {
    /// Starts nginx on a host and waits until it listens.
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
        // `return` comes before access rules in nginx, so the status is chosen by the visitor's address.
        let forbidden: String = settings
            .forbidden
            .iter()
            .map(|source| format!("{source} 1;\n"))
            .collect();
        let config = CONFIG
            .replace("DIR", &dir.display().to_string())
            .replace("NAMES", &settings.names.join(" "))
            .replace("STATUS", &settings.status.to_string())
            .replace("FORBIDDEN", &forbidden)
            .replace("CERTIFICATE", &certificate.display().to_string())
            .replace("KEY", &key.display().to_string());
        let file = dir.join("nginx.conf");
        write(&file, config)?;
        let mut daemon = host.daemon(
            "nginx",
            host.command("nginx")
                .arg("-e")
                .arg(&errors)
                .arg("-c")
                .arg(&file),
        )?;
        wait_for_port(host, &mut daemon, 443, 20)?;
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
    server {
        listen 80 default_server;
        listen [::]:80 default_server ipv6only=on;
        listen 443 ssl http2 default_server;
        listen [::]:443 ssl http2 default_server ipv6only=on;
        server_name NAMES;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key KEY;
        if ($forbidden) { return 403 "forbidden\n"; }
        location / { return STATUS "the shop\n"; }
        location /login {
            auth_basic "members";
            auth_basic_user_file DIR/members;
        }
    }
}
"#;
