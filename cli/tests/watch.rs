//! `onlyhere watch` as a script runs it: a line for each verdict, an end when it changes, and Ctrl-C.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

fn watch(target: SocketAddr, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_onlyhere"))
        .args(["watch", &target.to_string(), "--every", "5s"])
        .args(args)
        .env_clear()
        .env("HOME", "/nowhere")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn it_ends_when_the_verdict_changes_and_says_what_it_was() {
    let address = closed_port();
    let mut child = watch(address, &[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.contains(" ✗ ") && first.contains("(local, local_service_down)"),
        "{first}"
    );
    let server = TcpListener::bind(address).unwrap();
    let second = lines.next().unwrap().unwrap();
    assert!(
        second.contains(" ✓ ") && second.contains("(ok); before, from "),
        "{second}"
    );
    assert!(
        lines.next().is_none(),
        "a line for each change, and no more"
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(server);
}

#[test]
fn until_ok_ends_at_once_where_all_is_well() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = watch(server.local_addr().unwrap(), &["--until", "ok"]);
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(!shown.contains(['\x1b', '\x07']), "{shown:?}");
}

#[test]
fn ctrl_c_ends_it_with_130() {
    let mut child = watch(closed_port(), &["--until", "never"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains(" ✗ "));
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
