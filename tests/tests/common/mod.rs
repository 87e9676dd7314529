//! What the tests that need namespaces share.

use std::path::Path;

use onlyhere_lab::lab::{Topology, permission};

/// The plan all tests use.
pub(crate) fn eight_networks() -> Topology {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/eight-networks.toml");
    Topology::read(&file).expect("the plan is right")
}

/// Runs a test's body where an internet can be built: here as root, else in a child of this test program inside a
/// user namespace. Where neither is allowed it says so on standard error; `onlyhere-lab` exits 77 in the same case.
pub(crate) fn in_lab(test: &str, body: impl FnOnce()) {
    if let Err(reason) = permission::check() {
        eprintln!("{test}: {reason}");
        return;
    }
    if permission::is_root() {
        return body();
    }
    let program = std::env::current_exe().expect("this program has a path");
    let status = permission::over_in_namespace(program)
        .args(["--exact", test, "--nocapture"])
        .status()
        .expect("unshare starts");
    assert!(status.success(), "{test} failed inside the user namespace");
}
