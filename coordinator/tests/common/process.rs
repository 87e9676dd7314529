//! The real program as a process of its own, for what only a process can show: another one beside it, and its death.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::Coordinator;

/// The program, with nothing of this machine's settings.
pub fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere-coordinator"));
    command.env_clear().env("HOME", data_dir);
    command
}

/// Runs a command on a data directory to its end.
pub fn run(data_dir: &Path, args: &[&str]) -> Output {
    program(data_dir)
        .args(args)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .unwrap()
}

/// The same, for a command that must do what it should; gives its stdout.
pub fn run_well(data_dir: &Path, args: &[&str]) -> String {
    let output = run(data_dir, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A serving process; killed when dropped.
pub struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it on the addresses and the data directory of `coordinator`; when this returns, it serves.
    pub fn start(coordinator: &Coordinator) -> Self {
        Self::start_with(coordinator, &[])
    }

    /// The same with further settings.
    pub fn start_with(coordinator: &Coordinator, settings: &[(&str, &str)]) -> Self {
        let mut command = program(coordinator.data_dir());
        command.envs(settings.iter().copied());
        Self::start_as(coordinator, command)
    }

    /// The same by another program, which becomes it.
    pub fn start_under(coordinator: &Coordinator, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(env!("CARGO_BIN_EXE_onlyhere-coordinator"));
        Self::start_as(coordinator, command)
    }

    fn start_as(coordinator: &Coordinator, mut command: Command) -> Self {
        let mut child = command
            .args(["serve", "--data-dir"])
            .arg(coordinator.data_dir())
            .env("ONLYHERE_PROBES__LISTEN", coordinator.probes.to_string())
            .env("ONLYHERE_API__LISTEN", coordinator.api.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let process = Self {
            child,
            log: Arc::clone(&log),
        };
        for line in errors.by_ref() {
            let line = line.unwrap();
            let is_ready = line == "ready";
            log.lock().unwrap().push(line);
            if is_ready {
                std::thread::spawn(move || {
                    for line in errors.map_while(Result::ok) {
                        log.lock().unwrap().push(line);
                    }
                });
                return process;
            }
        }
        panic!("it never was ready: {:#?}", process.log());
    }

    /// What it has said so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As SIGTERM does; waits for its end.
    pub fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < super::PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two loopback addresses that nobody uses.
pub fn free_addresses() -> (SocketAddr, SocketAddr) {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = (bind(), bind());
    (one.local_addr().unwrap(), other.local_addr().unwrap())
}
