//! A coordinator and probes on loopback, as a person starts them.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use onlyhere_lab::service::Programs;

/// A running coordinator; killed when dropped.
pub(crate) struct Coordinator {
    programs: Programs,
    dir: tempfile::TempDir,
    api: SocketAddr,
    serving: Option<Running>,
    started: AtomicUsize,
}

impl Coordinator {
    /// With these further settings, TOML.
    pub(crate) fn start(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (probes, api) = (free_address(), free_address());
        let settings = match settings.strip_prefix("[probes]") {
            Some(rest) => format!("[probes]\nlisten = '{probes}'{rest}\n[api]\nlisten = '{api}'\n"),
            None => format!("{settings}\n[probes]\nlisten = '{probes}'\n[api]\nlisten = '{api}'\n"),
        };
        fs::write(dir.path().join("coordinator.toml"), settings).unwrap();
        let programs = Programs::beside_me().unwrap_or_else(|error| panic!("{error}"));
        let mut coordinator = Self {
            programs,
            dir,
            api,
            serving: None,
            started: AtomicUsize::new(0),
        };
        let log = coordinator.dir.path().join("coordinator.log");
        let mut serving = Running::start(&mut coordinator.command(&["serve"]), log);
        serving.wait_for("ready", Duration::from_secs(30));
        coordinator.serving = Some(serving);
        coordinator
    }

    pub(crate) fn stop(&mut self) {
        self.serving = None;
    }

    /// `onlyhere-coordinator …` with this coordinator's settings and data.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = clean(&self.programs.coordinator);
        command.args(arguments);
        command
            .arg("--config")
            .arg(self.dir.path().join("coordinator.toml"));
        command.arg("--data-dir").arg(self.dir.path().join("data"));
        command
    }

    /// What it prints when all is well.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(&output.stdout).to_owned()
    }

    pub(crate) fn join_token(&self, name: &str) -> String {
        self.placed_token(name, &[])
    }

    fn placed_token(&self, name: &str, place: &[&str]) -> String {
        let create = ["token", "create", "--kind", "probe", "--name", name];
        self.ask(&[&create, place].concat()).trim().to_owned()
    }

    /// `onlyhere-probe join` into the data directory of that name.
    pub(crate) fn join(&self, token: &str, dir: &str, arguments: &[&str]) -> Output {
        let mut join = clean(&self.programs.probe);
        join.args(["join", token]).args(arguments);
        join.arg("--data-dir")
            .arg(self.data_dir(dir))
            .output()
            .unwrap()
    }

    /// A probe that has joined, with these labels.
    pub(crate) fn joined(&self, name: &str, place: &[&str]) {
        let token = self.placed_token(name, place);
        let output = self.join(&token, name, &[]);
        assert!(output.status.success(), "{output:?}");
    }

    pub(crate) fn data_dir(&self, probe: &str) -> PathBuf {
        self.dir.path().join(probe)
    }

    pub(crate) fn run_probe(&self, dir: &str) -> Running {
        let mut run = clean(&self.programs.probe);
        run.arg("run").arg("--data-dir").arg(self.data_dir(dir));
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Running::start(
            &mut run,
            self.dir.path().join(format!("{dir}.{number}.log")),
        )
    }

    /// Waits for a line of the coordinator's log.
    pub(crate) fn log_line(&self, word: &str) -> String {
        let serving = self.serving.as_ref().expect("it serves");
        serving.line_with(word, Duration::from_secs(60))
    }

    /// `GET /v1/vantages` with a client's token.
    pub(crate) fn vantages(&self, token: &str) -> String {
        let mut stream = TcpStream::connect(self.api).unwrap();
        let request = format!(
            "GET /v1/vantages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

/// A program that runs until it is dropped, with its log in a file.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = fs::File::create(&log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        Self {
            child: command.spawn().unwrap(),
            log,
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a line of its log.
    pub(crate) fn wait_for(&mut self, word: &str, patience: Duration) -> String {
        self.line_with(word, patience)
    }

    fn line_with(&self, word: &str, patience: Duration) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(word)) {
                return line.to_owned();
            }
            assert!(
                began.elapsed() < patience,
                "no `{word}` in {}:\n{log}",
                self.log.display()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ends by itself, for its exit code.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                began.elapsed() < patience,
                "it does not end:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Without anything of this machine's settings.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("NO_COLOR", "1");
    command
}

/// Free now; the programs bind it a moment later.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
