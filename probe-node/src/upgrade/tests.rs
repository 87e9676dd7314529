//! Upgrading by a small signed release, whose program is a script, beside a daemon that is played by the test.

use std::{os::unix::fs::PermissionsExt, thread};

use super::*;
use crate::standing::{Standing, tests::attached};

const OLD: &[u8] = b"#!/bin/sh\necho the old one\n";
const NEW: &[u8] = include_bytes!("testdata/program");

/// A release folder, a program, and a data directory with a daemon that is attached.
struct Machine {
    dir: tempfile::TempDir,
    standing: Standing,
}

impl Machine {
    fn new(sums: &[u8], signature: &[u8], version: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| fs::write(dir.path().join(name), content).unwrap();
        put("release.pub", include_bytes!("testdata/release.pub"));
        put(SUMS, sums);
        put(SIGNATURE, signature);
        let machine = std::env::consts::ARCH;
        put(&format!("onlyhere-probe-{version}-{machine}-linux"), NEW);
        put("onlyhere-probe", OLD);
        let standing = Standing::open(dir.path()).unwrap();
        standing.begin(&attached(1)).unwrap();
        Self { dir, standing }
    }

    fn good() -> Self {
        let sums = include_bytes!("testdata/SHA256SUMS");
        Self::new(sums, include_bytes!("testdata/SHA256SUMS.minisig"), "0.2.0")
    }

    fn upgrade(&self) -> Upgrade {
        let dir = self.dir.path();
        Upgrade {
            program: dir.join("onlyhere-probe"),
            running: "0.1.0".parse().unwrap(),
            data_dir: dir.to_owned(),
            source: Source::Folder(dir.to_owned()),
            key_file: dir.join("release.pub"),
            restart: vec!["true".to_owned()],
            within: Duration::from_millis(500),
            older: false,
        }
    }

    fn program(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("onlyhere-probe")).unwrap()
    }

    /// Names that begin with a dot: what must be gone when all is over.
    fn left_over(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }
}

#[tokio::test]
async fn a_new_program_that_attaches_stays() {
    let machine = Machine::good();
    let upgrade = Upgrade {
        within: Duration::from_secs(10),
        ..machine.upgrade()
    };
    let program = upgrade.program.clone();
    let Machine { dir, standing } = machine;
    // Plays the service: as soon as the new program is there, another process is attached.
    let service = thread::spawn(move || {
        while fs::read(&program).unwrap() != NEW {
            thread::sleep(Duration::from_millis(5));
        }
        standing.end();
        standing.begin(&attached(2)).unwrap();
        standing
    });
    let done = upgrade.run().await.unwrap();
    assert_eq!(done, Upgraded::To("0.2.0".parse().unwrap(), attached(2)));
    let standing = service.join().unwrap();
    let machine = Machine { dir, standing };
    assert_eq!(machine.program(), NEW);
    assert_eq!(machine.left_over(), [""; 0]);
    let mode = fs::metadata(&upgrade.program).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[tokio::test]
async fn a_new_program_that_does_not_attach_makes_room_for_the_old_one() {
    let machine = Machine::good();
    let said = machine.upgrade().run().await.unwrap_err();
    assert!(matches!(said, UpgradeError::RolledBack { .. }), "{said}");
    let said = said.to_string();
    assert!(
        said.starts_with("0.2.0 did not attach (not within"),
        "{said}"
    );
    assert_eq!(machine.program(), OLD);
    assert_eq!(machine.left_over(), [""; 0]);
}

#[tokio::test]
async fn a_service_that_cannot_be_started_again_is_no_reason_to_lose_the_old_program() {
    let machine = Machine::good();
    let upgrade = Upgrade {
        restart: vec!["false".to_owned()],
        ..machine.upgrade()
    };
    let said = upgrade.run().await.unwrap_err().to_string();
    assert!(said.contains("`false` ended with exit status: 1"), "{said}");
    assert_eq!(machine.program(), OLD);
}

#[tokio::test]
async fn what_is_not_what_was_signed_changes_nothing() {
    let machine = Machine::good();
    let name = format!("onlyhere-probe-0.2.0-{}-linux", std::env::consts::ARCH);
    fs::write(machine.dir.path().join(name), "something else").unwrap();
    let said = machine.upgrade().run().await.unwrap_err().to_string();
    assert!(said.contains("is not the file that was signed"), "{said}");

    let another = include_bytes!("testdata/another.pub");
    fs::write(machine.dir.path().join("release.pub"), another).unwrap();
    let said = machine.upgrade().run().await.unwrap_err().to_string();
    assert!(said.contains("is not by the key in"), "{said}");
    assert_eq!(machine.program(), OLD);
    assert_eq!(machine.left_over(), [""; 0]);
}

#[tokio::test]
async fn a_program_that_is_another_version_than_its_name_changes_nothing() {
    let sums = include_bytes!("testdata/mislabelled");
    let signature = include_bytes!("testdata/mislabelled.minisig");
    let machine = Machine::new(sums, signature, "0.3.0");
    let said = machine.upgrade().run().await.unwrap_err();
    assert!(matches!(said, UpgradeError::DoesNotRun(_)), "{said}");
    assert_eq!(machine.program(), OLD);
    assert_eq!(machine.left_over(), [""; 0]);
}

#[tokio::test]
async fn nobody_goes_back_unasked_and_the_same_version_is_left_alone() {
    let machine = Machine::good();
    let running = |text: &str| Upgrade {
        running: text.parse().unwrap(),
        ..machine.upgrade()
    };
    let said = running("0.3.0").run().await.unwrap_err();
    assert!(matches!(said, UpgradeError::Older { .. }), "{said}");
    let same = "0.2.0".parse().unwrap();
    let done = running("0.2.0").run().await.unwrap();
    assert_eq!(done, Upgraded::AlreadyThere(same));
    assert_eq!(machine.program(), OLD);
}

#[tokio::test]
async fn a_probe_that_is_not_attached_is_not_upgraded() {
    let machine = Machine::good();
    machine.standing.end();
    let said = machine.upgrade().run().await.unwrap_err();
    assert!(matches!(said, UpgradeError::NotAttached), "{said}");
    assert_eq!(machine.program(), OLD);
}
