//! Which program most likely answers at a port, and how one looks after it.

use onlyhere_proto::{Layer, Target};

/// A program that answers at a port: names and commands for the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service {
    /// systemd's name of it.
    pub(super) unit: &'static str,
    /// Looks its configuration over.
    pub(super) config_check: &'static str,
    /// What lets it listen on all addresses.
    pub(super) listen: &'static str,
    /// The jail that fail2ban's own configuration has for it.
    pub(super) jail: &'static str,
}

const NGINX: Service = Service {
    unit: "nginx",
    config_check: "nginx -t",
    listen: "in nginx `listen {port} ssl;` and `listen [::]:{port} ssl;` in place of 127.0.0.1",
    jail: "nginx-http-auth",
};

/// The same without TLS.
const NGINX_PLAIN: Service = Service {
    listen: "in nginx `listen {port};` and `listen [::]:{port};` in place of 127.0.0.1",
    ..NGINX
};

/// Nothing is known of the program.
const ANY: Service = Service {
    unit: "SERVICE",
    config_check: "systemctl cat SERVICE",
    listen: "in its configuration 0.0.0.0 and :: in place of 127.0.0.1",
    jail: "JAIL",
};

/// By the ports that the programs have when nobody moves them.
const BY_PORT: &[(&[u16], Service)] = &[
    (&[443, 8443], NGINX),
    (&[80, 8080], NGINX_PLAIN),
    (
        &[22],
        Service {
            unit: "ssh",
            config_check: "sshd -t",
            listen: "in sshd_config no `ListenAddress` but 0.0.0.0 and ::",
            jail: "sshd",
        },
    ),
    (
        &[25, 465, 587],
        Service {
            unit: "postfix",
            config_check: "postfix check",
            listen: "in main.cf `inet_interfaces = all`",
            jail: "postfix",
        },
    ),
    (
        &[110, 143, 993, 995],
        Service {
            unit: "dovecot",
            config_check: "doveconf -n",
            listen: "in dovecot.conf `listen = *, ::`",
            jail: "dovecot",
        },
    ),
    (
        &[5432],
        Service {
            unit: "postgresql",
            config_check: "pg_lsclusters",
            listen: "in postgresql.conf `listen_addresses = '*'`, and a line for the callers in pg_hba.conf",
            jail: "JAIL",
        },
    ),
    (
        &[3306],
        Service {
            unit: "mariadb",
            config_check: "mariadbd --help --verbose",
            listen: "in its configuration `bind-address = *`",
            jail: "mysqld-auth",
        },
    ),
    (
        &[6379],
        Service {
            unit: "redis-server",
            config_check: "systemctl cat redis-server",
            listen: "in redis.conf `bind * -::*`, with a password",
            jail: "JAIL",
        },
    ),
    (
        &[27017],
        Service {
            unit: "mongod",
            config_check: "systemctl cat mongod",
            listen: "in mongod.conf `bindIpAll: true`, with authorization",
            jail: "mongodb-auth",
        },
    ),
    (
        &[53],
        Service {
            unit: "named",
            config_check: "named-checkconf",
            listen: "in named.conf `listen-on { any; };`",
            jail: "named-refused",
        },
    ),
    (
        &[21],
        Service {
            unit: "vsftpd",
            config_check: "systemctl cat vsftpd",
            listen: "in vsftpd.conf no `listen_address`",
            jail: "vsftpd",
        },
    ),
];

/// The likeliest program behind a target: its layer says more than its port.
pub(super) fn service(target: &Target) -> Service {
    let port = match target.layer {
        Layer::Https => 443,
        Layer::Http => 80,
        Layer::Ssh => 22,
        Layer::Smtp => 25,
        _ => target.port.unwrap_or_default(),
    };
    BY_PORT
        .iter()
        .find(|(ports, _)| ports.contains(&port))
        .map_or(ANY, |(_, service)| *service)
}
