//! A chain of network namespaces: this program's own at one end, routers between, a host at the other end.
//!
//! A test that needs it runs again in a child of its program that has a network of its own ([`in_own_network`]). Every
//! further namespace is held open by a process that only reads its standard input, a pipe from here: when the test ends,
//! however it ends, the pipe closes and the namespace is gone.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

const INSIDE: &str = "ONLYHERE_TEST_INSIDE";

/// Runs `body` in a child of this test program with a network of its own: as root, or as root of a user namespace. Where
/// neither is allowed the test fails, for it has not been run.
pub fn in_own_network<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(body());
    }
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (package util-linux)");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(
        output.status.success() && said[0].contains("1 passed"),
        "{test} needs namespaces (root, or user namespaces) and then failed or did not run:\n{}\n{}",
        said[0],
        said[1]
    );
}

/// `n` routers between this program and a host; both families.
pub struct Chain {
    hops: Vec<Node>,
}

struct Node {
    holder: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Node {
    fn start() -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let node = Self { holder };
        let mine = fs::read_link("/proc/self/ns/net").unwrap();
        for _ in 0..400 {
            if fs::read_link(node.namespace()).is_ok_and(|theirs| theirs != mine) {
                node.sh("ip link set lo up
                    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
                    sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
                return node;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("a namespace does not start");
    }

    fn pid(&self) -> String {
        self.holder.id().to_string()
    }

    fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    fn sh(&self, script: &str) {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.pid(), "--", "sh", "-e"]);
        run(command, script);
    }
}

/// Runs a shell script in this program's own network.
pub fn sh(script: &str) {
    let mut command = Command::new("sh");
    command.arg("-e");
    run(command, script);
}

fn run(mut command: Command, script: &str) {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut child = command
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}");
}

impl Chain {
    /// This program is 198.18.1.1 and 2001:db8:1::1 on `out0`; link `k` is 198.18.k.0/24 and 2001:db8:k::/64, whose
    /// nearer end is `.1` and whose farther end is `.2` (`far0` and `near0` of whoever they belong to).
    pub fn of(routers: usize) -> Self {
        sh("ip link set lo up");
        let hops: Vec<Node> = (0..=routers).map(|_| Node::start()).collect();
        for (place, node) in hops.iter().enumerate() {
            let link = place + 1;
            let ends = format!(
                "ip address add 198.18.{link}.1/24 dev DEVICE
                 ip address add 2001:db8:{link}::1/64 dev DEVICE nodad
                 ip link set DEVICE up"
            );
            match place {
                0 => {
                    sh(&format!(
                        "ip link add out0 type veth peer name near0 netns {}",
                        node.pid()
                    ));
                    sh(&ends.replace("DEVICE", "out0"));
                }
                _ => {
                    let before = &hops[place - 1];
                    before.sh(&format!(
                        "ip link add far0 type veth peer name near0 netns {}",
                        node.pid()
                    ));
                    before.sh(&ends.replace("DEVICE", "far0"));
                }
            }
            node.sh(&format!(
                "ip address add 198.18.{link}.2/24 dev near0
                 ip address add 2001:db8:{link}::2/64 dev near0 nodad
                 ip link set near0 up
                 ip route add default via 198.18.{link}.1
                 ip -6 route add default via 2001:db8:{link}::1"
            ));
        }
        for (place, node) in hops.iter().enumerate().take(routers) {
            let next = place + 2;
            for link in next..=routers + 1 {
                node.sh(&format!(
                    "ip route replace 198.18.{link}.0/24 {}
                     ip -6 route replace 2001:db8:{link}::/64 {}",
                    if link == next {
                        "dev far0".to_owned()
                    } else {
                        format!("via 198.18.{next}.2")
                    },
                    if link == next {
                        "dev far0".to_owned()
                    } else {
                        format!("via 2001:db8:{next}::2")
                    },
                ));
            }
        }
        sh("ip route add default via 198.18.1.2
            ip -6 route add default via 2001:db8:1::2");
        let chain = Self { hops };
        chain.wait_until_it_carries();
        chain
    }

    /// A new link carries nothing for up to some seconds.
    fn wait_until_it_carries(&self) {
        for v6 in [false, true] {
            let nobody = SocketAddr::new(self.host(v6), 9);
            let refused = || {
                let tried = TcpStream::connect_timeout(&nobody, Duration::from_millis(100));
                tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            };
            assert!((0..100).any(|_| refused()), "the host is not reached");
        }
    }

    /// The host's address.
    pub fn host(&self, v6: bool) -> IpAddr {
        self.near(self.hops.len(), v6)
    }

    /// The nearer address of a router (from 1), or of the host.
    pub fn near(&self, hop: usize, v6: bool) -> IpAddr {
        let text = if v6 {
            format!("2001:db8:{hop}::2")
        } else {
            format!("198.18.{hop}.2")
        };
        text.parse().unwrap()
    }

    /// Runs a shell script at a router (from 1), or at the host (the last).
    pub fn sh(&self, hop: usize, script: &str) {
        self.hops[hop - 1].sh(script);
    }

    /// From now on this rule of nft's language, and no other, stands in one of a router's hooks.
    pub fn rule(&self, hop: usize, hook: &str, rule: &str) {
        self.sh(
            hop,
            &format!(
                "nft -f - <<'END'
flush ruleset
table inet test {{
    chain only {{
        type filter hook {hook} priority 0
        {rule}
    }}
}}
END"
            ),
        );
    }

    /// A listener at the host: a socket stays in the network it was made in, whoever uses it.
    pub fn listen(&self, v6: bool, port: u16) -> TcpListener {
        self.listen_at(self.hops.len(), SocketAddr::new(self.host(v6), port))
    }

    /// A listener at a router (from 1), or at the host.
    pub fn listen_at(&self, hop: usize, at: SocketAddr) -> TcpListener {
        let namespace = File::open(self.hops[hop - 1].namespace()).unwrap();
        let bind = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind(at).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        thread::spawn(bind).join().unwrap()
    }
}
