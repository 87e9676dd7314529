//! A web page that stands where another was asked for: a captive portal's, or a provider's notice that a site is blocked.

use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

use super::{Authority, CertificateKind, wait_for_port};

/// What every visitor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Go to this address, with 302: how a portal asks for a login.
    GoTo(String),
    /// A page with 200.
    Page(String),
}

/// A running nginx with ports 80 and 443 of both families.
#[derive(Debug)]
pub struct Portal {
    _daemon: Daemon,
}

impl Portal {
    /// Starts it on a host whose ports 80 and 443 are free. Its certificate is a good one, for `name`: not for the sites
    /// in whose place it stands.
    pub fn start(
        host: &Host,
        authority: &Authority,
        name: &str,
        notice: &Notice,
    ) -> Result<Self, LabError> {
        let dir = host.dir().join("portal");
        make_dir(&dir)?;
        let names = [name.to_owned()];
        let (certificate, key) = authority.issue(&names, CertificateKind::Valid, &dir, "portal")?;
        let answer = match notice {
            Notice::GoTo(url) => format!("302 {url}"),
            Notice::Page(text) => format!("200 \"{text}\\n\""),
        };
        let config = CONFIG
            .replace("DIR", &dir.display().to_string())
            .replace("NAME", name)
            .replace("ANSWER", &answer)
            .replace("CERTIFICATE", &certificate.display().to_string())
            .replace("KEY", &key.display().to_string());
        let file = dir.join("nginx.conf");
        write(&file, config)?;
        let mut command = host.command("nginx");
        command.arg("-e").arg(dir.join("error.log"));
        let mut daemon = host.daemon("portal", command.arg("-c").arg(&file))?;
        wait_for_port(host, &mut daemon, 443, 20)?;
        Ok(Self { _daemon: daemon })
    }
}

/// The page under the portal's own name is a plain 200, so that whoever follows the redirect arrives.
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
    default_type text/html;
    ssl_certificate CERTIFICATE;
    ssl_certificate_key KEY;
    server {
        listen 80 default_server;
        listen [::]:80 default_server ipv6only=on;
        listen 443 ssl http2 default_server;
        listen [::]:443 ssl http2 default_server ipv6only=on;
        location / { return ANSWER; }
    }
    server {
        listen 80;
        listen [::]:80;
        server_name NAME;
        location / { return 200 "<p>Welcome. Please log in.</p>\n"; }
    }
}
"#;
