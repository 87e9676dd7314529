//! A confined thread against the real kernel: what it kept works, what it gave up is refused.
//!
//! Each test confines a thread of its own, because nothing gives a thread its rights back.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use onlyhere_sandbox::{Confined, Holds, Rights, confine};

/// Runs `check` in a thread that has confined itself to `kept` for writing and `read` for reading. Says so and does not
/// run it where the kernel lacks what it would test; a machine on which all must run (`LAB_REQUIRED=1`) fails instead.
fn confined(read: &Path, kept: &Path, check: impl FnOnce(Confined) + Send + 'static) {
    let rights = Rights {
        read: vec![read.to_owned(), "/does/not/exist".into()],
        write: vec![kept.to_owned()],
    };
    let thread = thread::spawn(move || {
        let confined = confine(&rights).expect("no kernel refuses it");
        if confined.files == Holds::Not || confined.calls == Holds::Not {
            eprintln!("skipped: this kernel lacks Landlock or seccomp ({confined:?})");
            assert!(
                std::env::var("LAB_REQUIRED").is_err(),
                "the sandbox must be tested here"
            );
            return;
        }
        check(confined);
    });
    thread.join().expect("the confined thread");
}

fn refused<T>(result: io::Result<T>, what: &str) {
    match result {
        Ok(_) => panic!("{what} was allowed"),
        Err(error) => assert_eq!(
            error.kind(),
            io::ErrorKind::PermissionDenied,
            "{what}: {error}"
        ),
    }
}

fn folders() -> (tempfile::TempDir, [PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["read", "kept", "other"].map(|name| dir.path().join(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "content").unwrap();
    }
    (dir, folders)
}

#[test]
fn only_what_was_kept_can_be_read_and_written() {
    let (_dir, [read, kept, other]) = folders();
    confined(&read.clone(), &kept.clone(), move |_| {
        assert_eq!(fs::read_to_string(read.join("file")).unwrap(), "content");
        refused(
            fs::write(read.join("file"), "x"),
            "writing what may be read",
        );
        refused(
            fs::write(read.join("new"), "x"),
            "making a file where one may read",
        );

        fs::write(kept.join("new"), "x").unwrap();
        fs::rename(kept.join("new"), kept.join("file")).unwrap();
        fs::create_dir(kept.join("folder")).unwrap();
        fs::remove_file(kept.join("file")).unwrap();

        refused(fs::read(other.join("file")), "reading elsewhere");
        refused(fs::write(other.join("file"), "x"), "writing elsewhere");
        refused(fs::read_dir(&other), "listing elsewhere");
        refused(fs::remove_file(other.join("file")), "removing elsewhere");
        refused(fs::read("/etc/passwd"), "/etc/passwd");
        refused(fs::read("/proc/self/environ"), "its own environment");
    });
}

#[test]
fn threads_that_are_started_afterwards_are_confined_as_well() {
    let (_dir, [read, kept, other]) = folders();
    confined(&read, &kept, move |_| {
        let of_thread = thread::spawn(move || fs::read(other.join("file")));
        refused(
            of_thread.join().unwrap(),
            "reading elsewhere from a new thread",
        );
    });
}

#[test]
fn no_program_can_be_started() {
    let (_dir, [read, kept, _]) = folders();
    confined(&read, &kept, |_| {
        refused(Command::new("/bin/true").status(), "starting a program");
    });
}

#[test]
fn other_processes_and_the_system_are_out_of_reach() {
    let (_dir, [read, kept, _]) = folders();
    confined(&read, &kept, |_| {
        use nix::{sched, sys::ptrace, unistd};
        let errno = |result: nix::Result<()>| result.expect_err("allowed");
        let parent = unistd::getppid();
        assert_eq!(errno(ptrace::attach(parent)), nix::Error::EPERM);
        assert_eq!(
            errno(sched::unshare(sched::CloneFlags::CLONE_NEWUSER)),
            nix::Error::EPERM
        );
        assert_eq!(errno(unistd::chroot("/")), nix::Error::EPERM);
    });
}

#[test]
fn connections_go_out_and_no_port_can_be_listened_on() {
    let (_dir, [read, kept, _]) = folders();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    confined(&read, &kept, move |confined| {
        TcpStream::connect(there).expect("connecting is what a probe does");
        if confined.files == Holds::Wholly {
            refused(TcpListener::bind("127.0.0.1:47811"), "listening");
        }
    });
}
