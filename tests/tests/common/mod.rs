//! What the tests that need namespaces share.

use std::path::Path;

use onlyhere_lab::lab::{Topology, permission};

/// The plan all tests use.
pub(crate) fn eight_networks() -> Topology {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/eight-networks.toml");
    Topology::read(&file).expect("the plan is right")
}

/// Runs a test's body where an internet can be built: here if that is allowed, else in a child of this test
/// program that has what it takes. Where neither is allowed it says so on standard error; `onlyhere-lab` exits 77 in the same case.
pub(crate) fn in_lab(test: &str, body: impl FnOnce()) {
    let way = match permission::check() {
        Ok(permission::Way::AsIs) => return body(),
        Ok(way) => way,
        Err(reason) => return eprintln!("{test}: {reason}"),
    };
    let program = std::env::current_exe().expect("this program has a path");
    let status = way
        .command(program)
        .args(["--exact", test, "--nocapture"])
        .status()
        .expect("unshare starts");
    assert!(status.success(), "{test} failed inside its namespaces");
}
