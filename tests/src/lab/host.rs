//! One host: a process that holds network, mount and PID namespaces open.
//!
//! The holder is PID 1 of its host and does nothing but read its standard input, which is a pipe from the lab.
//! When the lab ends, however it ends, the pipe closes, PID 1 exits and the kernel kills everything in the host;
//! the namespaces have no name, so nothing is left behind. Other processes get in with `nsenter`.
//!
//! A host has its own `/proc`, `/run`, `/var/log`, `/etc/resolv.conf` and `/etc/hosts`; the rest of the file
//! system is the machine's, so a path in the lab's directory means the same inside and outside.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::LabError;
use crate::error::{make_dir, write};

/// Everything a program in the lab may rely on; the machine's own environment stays outside.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Run by PID 1. `/proc` is still the machine's when the first line reads it, so the number is the PID as seen
/// from outside. A resolv.conf that points into the hidden /run gets its target back.
const HOLDER: &str = r#"set -e
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
for file in resolv.conf hosts; do
    place=$(readlink -m /etc/$file)
    mkdir -p "$(dirname "$place")"
    [ -e "$place" ] || : > "$place"
    mount --bind "$1/$file" "$place"
done
echo "$pid"
exec cat > /dev/null
"#;

/// A running host.
#[derive(Debug)]
pub struct Host {
    name: String,
    dir: PathBuf,
    pid: i32,
    trust: Option<PathBuf>,
    holder: Child,
}

impl Host {
    /// Starts the namespaces of one host. Its files (`resolv.conf`, `hosts`, logs) live in `dir`.
    pub fn start(name: &str, dir: &Path) -> Result<Self, LabError> {
        make_dir(dir)?;
        write(&dir.join("resolv.conf"), "")?;
        write(
            &dir.join("hosts"),
            format!("127.0.0.1 localhost {name}\n::1 localhost\n"),
        )?;
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                HOLDER,
                "holder",
            ])
            .arg(dir)
            .env_clear()
            .env("PATH", PATH)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::io("start unshare (package util-linux)"))?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(LabError::io(format!("start host {name}")))?;
        }
        match line.trim().parse() {
            Ok(pid) => Ok(Self {
                name: name.into(),
                dir: dir.into(),
                pid,
                trust: None,
                holder,
            }),
            Err(_) => Err(LabError::NoNamespaces {
                reason: what_unshare_said(holder),
            }),
        }
    }

    /// The host's name in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the host's own files live.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// PID 1 of the host, as the machine counts.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The file that names the host's network namespace.
    pub fn net_namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.pid))
    }

    /// From now on programs of this host trust the certificates in `file`, and nothing else.
    pub fn trust_only(&mut self, file: &Path) {
        self.trust = Some(file.into());
    }

    /// The host's name servers, one per line of `/etc/resolv.conf`. Short timeouts: everything is near.
    pub fn use_resolvers(&self, addresses: &[String]) -> Result<(), LabError> {
        let lines: String = addresses
            .iter()
            .map(|address| format!("nameserver {address}\n"))
            .collect();
        write(&self.dir.join("resolv.conf"), lines)
    }

    /// A command that will run inside the host with a clean environment. Killing the child kills the program.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.foreground(program);
        command.process_group(0);
        command
    }

    /// The same for a program that needs the terminal: it stays in the terminal's foreground process group.
    pub fn foreground(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &self.pid.to_string(),
                "--net",
                "--mount",
                "--pid",
                "--root",
                "--",
            ])
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.dir)
            .env("LANG", "C.UTF-8");
        if let Some(file) = &self.trust {
            command.env("SSL_CERT_FILE", file);
        }
        command
    }

    /// Runs a program to its end, whatever its exit code.
    pub fn output(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Result<Output, LabError> {
        let program = program.as_ref();
        self.command(program)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(LabError::io(format!(
                "on {}: run {}",
                self.name,
                program.display()
            )))
    }

    /// Runs a program and returns what it printed; a non-zero exit is an error.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, LabError> {
        let output = self.output(program, args)?;
        self.succeeded(&format!("{program} {}", args.join(" ")), &output)
    }

    /// Runs a shell script that stops at its first failing line.
    pub fn script(&self, script: &str) -> Result<String, LabError> {
        self.run_with_input("sh", &["-e"], script)
    }

    /// Runs a program with `input` on its standard input; a non-zero exit is an error.
    pub fn run_with_input(
        &self,
        program: &str,
        args: &[&str],
        input: &str,
    ) -> Result<String, LabError> {
        let output = self.feed(program, args, input)?;
        self.succeeded(&format!("{program} {}", args.join(" ")), &output)
    }

    fn feed(&self, program: &str, args: &[&str], input: &str) -> Result<Output, LabError> {
        let what = || format!("on {}: run {program}", self.name);
        let mut child = self
            .command(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::io(what()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that fails early closes the pipe; its exit status tells the story better than EPIPE.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().map_err(LabError::io(what()))
    }

    /// Starts a program that stays; its standard error and output go to `NAME.log` in the host's directory.
    pub fn daemon(&self, name: &str, command: &mut Command) -> Result<Daemon, LabError> {
        let log = self.dir.join(format!("{name}.log"));
        let open = || -> Result<File, LabError> {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&log)
                .map_err(LabError::io(format!("open {}", log.display())))
        };
        let from = std::fs::metadata(&log).map_or(0, |about| about.len());
        let child = command
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .map_err(LabError::io(format!("on {}: start {name}", self.name)))?;
        Ok(Daemon {
            name: format!("{name} on {}", self.name),
            child,
            log,
            from,
        })
    }

    fn succeeded(&self, command: &str, output: &Output) -> Result<String, LabError> {
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        Err(LabError::Command {
            host: self.name.clone(),
            command: command.chars().take(200).collect(),
            status: output.status,
            output: tail(&said, 12),
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A program that stays running in a host. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where this run's part of the log begins.
    from: u64,
}

impl Daemon {
    /// The program's PID as the machine counts; none once it has ended. The child is `nsenter`, whose only child it is.
    pub fn program(&self) -> Option<i32> {
        child_of(self.child.id())
    }

    /// The file that holds what the program printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What this run has printed so far.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.from).unwrap_or(0).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Waits until a line of the program's output satisfies `wanted`; fails early when the program ends.
    pub fn wait_for(
        &mut self,
        what: &str,
        seconds: u64,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), LabError> {
        self.wait_until(what, seconds, |said| said.lines().any(&wanted))
    }

    /// Waits until `there` says yes, given the output so far; fails early when the program ends.
    pub fn wait_until(
        &mut self,
        what: &str,
        seconds: u64,
        there: impl Fn(&str) -> bool,
    ) -> Result<(), LabError> {
        let name = self.name.clone();
        let waited = wait_until(&format!("{name}: {what}"), seconds, || {
            if there(&self.said()) {
                return Ok(true);
            }
            match self.child.try_wait() {
                Ok(Some(status)) => Err(LabError::Late {
                    what: format!("{name}: {what} (it ended with {status})"),
                    seconds,
                    tail: String::new(),
                }),
                _ => Ok(false),
            }
        });
        waited.map_err(|error| match error {
            LabError::Late { what, seconds, .. } => LabError::Late {
                what,
                seconds,
                tail: format!(":\n{}", tail(&self.said(), 15)),
            },
            other => other,
        })
    }

    /// Kills the program at once and waits until it is gone.
    pub fn stop(mut self) {
        self.end();
    }

    /// The child is `nsenter`; the program itself is its child and dies with it, a moment later. The host's PID 1
    /// does not reap it, so a zombie counts as gone: its sockets are closed.
    fn end(&mut self) {
        let program = self.program();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let Some(program) = program else { return };
        let stat = format!("/proc/{program}/stat");
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let _ = wait_until("its end", 5, || Ok(gone()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first child of a process (proc(5), `/proc/PID/task/TID/children`).
pub(crate) fn child_of(parent: u32) -> Option<i32> {
    let children =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Asks again every 15 ms until the answer is yes.
pub(crate) fn wait_until(
    what: &str,
    seconds: u64,
    mut question: impl FnMut() -> Result<bool, LabError>,
) -> Result<(), LabError> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if question()? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(LabError::Late {
                what: what.into(),
                seconds,
                tail: String::new(),
            });
        }
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// The last `lines` lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn what_unshare_said(holder: Child) -> String {
    let output = holder.wait_with_output();
    output.map_or_else(
        |error| error.to_string(),
        |out| String::from_utf8_lossy(&out.stderr).trim().to_owned(),
    )
}
