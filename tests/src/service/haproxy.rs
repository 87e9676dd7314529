//! haproxy: as a site's load balancer, and as the box on somebody's way that opens TLS.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Authority, CertificateKind, nftables, wait_for_port};
use crate::LabError;
use crate::error::{make_dir, write};
use crate::lab::{Daemon, Host};

/// The first backend's port on the balancer's own host.
const BACKENDS: u16 = 8081;
/// Where the interceptor takes what the kernel diverts to it.
const INTERCEPTOR: u16 = 8443;

/// What one of several backends does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// It answers with 200.
    Works,
    /// It answers with 503.
    Fails,
    /// Nothing listens there.
    Refuses,
    /// It takes the request and closes the connection without a word.
    Closes,
}

/// Where the balancer opens TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Itself: it speaks HTTP with both sides.
    #[default]
    Http,
    /// Not at all: it hands bytes to backends that speak TLS.
    Tcp,
}

/// A running haproxy before several backends, which all live in one nginx on the same host.
#[derive(Debug)]
pub struct Balancer {
    _haproxy: Daemon,
    _backends: Daemon,
}

impl Balancer {
    /// Starts both on a host whose ports 80 and 443 are free, and waits until they listen. Requests are handed out in
    /// turn; with `health_checks` a backend that fails them gets none.
    pub fn start(
        host: &Host,
        authority: &Authority,
        names: &[String],
        backends: &[Backend],
        layer: Layer,
        health_checks: bool,
    ) -> Result<Self, LabError> {
        let dir = host.dir().join("haproxy");
        make_dir(&dir)?;
        let files = authority.issue(names, CertificateKind::Valid, &dir, "site")?;
        let mut nginx = start_backends(host, &dir, &files, backends, layer)?;
        for (port, backend) in (BACKENDS..).zip(backends) {
            if *backend != Backend::Refuses {
                wait_for_port(host, &mut nginx, port, 20)?;
            }
        }
        let pem = bundle(&files, &dir.join("site.pem"))?;
        let config = balancer_config(&pem, backends, layer, health_checks);
        let file = dir.join("haproxy.cfg");
        write(&file, config)?;
        let mut haproxy = host.daemon(
            "haproxy",
            host.command("haproxy").arg("-db").arg("-f").arg(&file),
        )?;
        wait_for_port(host, &mut haproxy, 443, 20)?;
        if health_checks {
            wait_for_checks(&mut haproxy, backends)?;
        }
        Ok(Self {
            _haproxy: haproxy,
            _backends: nginx,
        })
    }
}

fn start_backends(
    host: &Host,
    dir: &Path,
    (certificate, key): &(PathBuf, PathBuf),
    backends: &[Backend],
    layer: Layer,
) -> Result<Daemon, LabError> {
    let mut servers = String::new();
    for (port, backend) in (BACKENDS..).zip(backends) {
        let answer = match backend {
            Backend::Works => r#"200 "the shop\n""#,
            Backend::Fails => r#"503 "out of order\n""#,
            Backend::Closes => "444",
            Backend::Refuses => continue,
        };
        let tls = match layer {
            Layer::Http => String::new(),
            Layer::Tcp => format!(
                " ssl http2;\n        ssl_certificate {};\n        ssl_certificate_key {}",
                certificate.display(),
                key.display()
            ),
        };
        let _ = writeln!(
            servers,
            "    server {{\n        listen 127.0.0.1:{port}{tls};\n        location / {{ return {answer}; }}\n    }}"
        );
    }
    let config = NGINX
        .replace("DIR", &dir.display().to_string())
        .replace("SERVERS", &servers);
    let file = dir.join("backends.conf");
    write(&file, config)?;
    let mut command = host.command("nginx");
    command.arg("-e").arg(dir.join("backends.log"));
    host.daemon("backends", command.arg("-c").arg(&file))
}

fn balancer_config(pem: &Path, backends: &[Backend], layer: Layer, health_checks: bool) -> String {
    let (mode, tls) = match layer {
        Layer::Http => (
            "http",
            format!(" ssl crt {} alpn h2,http/1.1", pem.display()),
        ),
        Layer::Tcp => ("tcp", String::new()),
    };
    let mut config = format!(
        "{GLOBAL}
frontend site
    mode {mode}
    log global
    option {mode}log
    bind 0.0.0.0:443{tls}
    bind :::443 v6only{tls}
    default_backend shop
"
    );
    if layer == Layer::Http {
        config.push_str("    bind 0.0.0.0:80\n    bind :::80 v6only\n");
    }
    let _ = writeln!(
        config,
        "backend shop\n    mode {mode}\n    balance roundrobin"
    );
    let check = match (health_checks, layer) {
        (false, _) => "",
        (true, Layer::Tcp) => " check inter 200ms fall 1",
        (true, Layer::Http) => {
            config.push_str("    option httpchk GET /\n");
            " check inter 200ms fall 1"
        }
    };
    for (port, _) in (BACKENDS..).zip(backends) {
        let _ = writeln!(config, "    server s{port} 127.0.0.1:{port}{check}");
    }
    config
}

/// haproxy says of each backend when it goes down.
fn wait_for_checks(haproxy: &mut Daemon, backends: &[Backend]) -> Result<(), LabError> {
    for (port, backend) in (BACKENDS..).zip(backends) {
        if *backend != Backend::Works {
            let words = format!("Server shop/s{port} is DOWN");
            haproxy.wait_for(&words, 20, |line| line.contains(&words))?;
        }
    }
    Ok(())
}

/// A running box that opens the TLS of everything that passes through a gateway to port 443, with an authority of its
/// own, and speaks TLS again with whom the visitor meant.
#[derive(Debug)]
pub struct Interceptor {
    _haproxy: Daemon,
}

impl Interceptor {
    /// Starts it on a gateway. It has a certificate by `authority` for each of `names`, as a real box makes them when they are asked
    /// for; for other names it shows the first. The kernel diverts without changing addresses (TPROXY), so that the box
    /// knows where the visitor wanted to go over either family.
    pub fn start(
        gateway: &Host,
        authority: &Authority,
        names: &[String],
    ) -> Result<Self, LabError> {
        let dir = gateway.dir().join("interceptor");
        let certificates = dir.join("certificates");
        make_dir(&certificates)?;
        for name in names {
            let own = [name.clone()];
            let files = authority.issue(&own, CertificateKind::Valid, &dir, name)?;
            bundle(&files, &certificates.join(format!("{name}.pem")))?;
        }
        let config = format!(
            "{GLOBAL}
frontend lan
    mode http
    log global
    option httplog
    bind 0.0.0.0:{INTERCEPTOR} transparent ssl crt {crt} alpn h2,http/1.1
    bind :::{INTERCEPTOR} v6only transparent ssl crt {crt} alpn h2,http/1.1
    default_backend meant
backend meant
    mode http
    server meant 0.0.0.0:0 ssl verify none sni ssl_fc_sni
",
            crt = certificates.display()
        );
        let file = dir.join("haproxy.cfg");
        write(&file, config)?;
        let mut haproxy = gateway.daemon(
            "interceptor",
            gateway.command("haproxy").arg("-db").arg("-f").arg(&file),
        )?;
        wait_for_port(gateway, &mut haproxy, INTERCEPTOR, 20)?;
        gateway.script(LOCAL_ROUTES)?;
        nftables::load(gateway, &DIVERT.replace("PORT", &INTERCEPTOR.to_string()))?;
        Ok(Self { _haproxy: haproxy })
    }
}

/// haproxy wants certificate, chain and key in one file.
fn bundle((certificate, key): &(PathBuf, PathBuf), to: &Path) -> Result<PathBuf, LabError> {
    let read = |file: &Path| {
        std::fs::read_to_string(file).map_err(LabError::io(format!("read {}", file.display())))
    };
    write(to, read(certificate)? + &read(key)?)?;
    Ok(to.into())
}

/// One retry a second later, so that a visitor of a dead backend gets an answer within the visitor's patience.
const GLOBAL: &str = "global
    maxconn 400
    log stdout format raw local0
defaults
    timeout connect 3s
    timeout client 20s
    timeout server 20s
    retries 1";

const NGINX: &str = "daemon off;
master_process off;
user root root;
pid DIR/backends.pid;
error_log DIR/backends.log error;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    default_type text/plain;
SERVERS
}
";

/// Marked packets are for this machine, whatever address they carry (the kernel's tproxy.txt). A bridge that shows its
/// packets to the firewall early would lose the socket they are diverted to.
const LOCAL_ROUTES: &str = "for file in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do
    [ ! -e $file ] || echo 0 > $file
done
ip -4 rule add fwmark 1 lookup 100
ip -4 route add local default dev lo table 100
ip -6 rule add fwmark 1 lookup 100
ip -6 route add local default dev lo table 100
";

const DIVERT: &str = "table inet interceptor {
    chain divert {
        type filter hook prerouting priority mangle;
        iifname lan meta nfproto ipv4 tcp dport 443 tproxy ip to :PORT meta mark set 1 accept
        iifname lan meta nfproto ipv6 tcp dport 443 tproxy ip6 to :PORT meta mark set 1 accept
    }
}";
