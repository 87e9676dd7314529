//! The arrows between the workspace's crates, and what must never be in the tree. A measuring crate that learns to
//! judge, or a core that learns to open sockets, starts with one line in a manifest.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Who may depend on whom, at run time or at build time. The tests may depend on any.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("onlyhere-proto", &[]),
    ("onlyhere-diagnosis", &["onlyhere-proto"]),
    ("onlyhere-sandbox", &[]),
    (
        "onlyhere-probe-node",
        &["onlyhere-proto", "onlyhere-sandbox"],
    ),
    (
        "onlyhere-coordinator",
        &["onlyhere-proto", "onlyhere-diagnosis", "onlyhere-sandbox"],
    ),
    (
        "onlyhere-cli",
        &[
            "onlyhere-proto",
            "onlyhere-diagnosis",
            "onlyhere-probe-node",
        ],
    ),
];
const TESTS: &str = "onlyhere-tests";

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .exec()
        .expect("cargo metadata works")
}

/// Arrows between workspace crates. A crate's own tests may use what they like.
fn arrows(metadata: &Metadata) -> BTreeSet<(String, String)> {
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut arrows = BTreeSet::new();
    for package in &members {
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Development
                && names.contains(dependency.name.as_str())
            {
                arrows.insert((package.name.to_string(), dependency.name.clone()));
            }
        }
    }
    arrows
}

fn forbidden(arrows: &BTreeSet<(String, String)>) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    arrows
        .iter()
        .filter(|(from, _)| from != TESTS)
        .filter(|(from, to)| {
            !allowed
                .get(from.as_str())
                .is_some_and(|list| list.contains(&to.as_str()))
        })
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect()
}

#[test]
fn the_crates_depend_on_each_other_only_as_designed() {
    let metadata = metadata();
    let found: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let known = ALLOWED
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .chain([TESTS.to_owned()])
        .collect();
    assert_eq!(
        found, known,
        "a crate has come or gone: say here what it may depend on"
    );
    assert_eq!(forbidden(&arrows(&metadata)), Vec::<String>::new());
}

#[test]
fn a_forbidden_arrow_is_found() {
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let wrong = BTreeSet::from([
        arrow("onlyhere-proto", "onlyhere-diagnosis"),
        arrow("onlyhere-diagnosis", "onlyhere-probe-node"),
        arrow("onlyhere-cli", "onlyhere-coordinator"),
        arrow("onlyhere-cli", "onlyhere-proto"),
        arrow("onlyhere-tests", "onlyhere-proto"),
    ]);
    assert_eq!(
        forbidden(&wrong),
        [
            "onlyhere-cli -> onlyhere-coordinator",
            "onlyhere-diagnosis -> onlyhere-probe-node",
            "onlyhere-proto -> onlyhere-diagnosis",
        ]
    );
}

/// One cryptographic library is enough, and this one costs every start of a program some 45 ms.
#[test]
fn aws_lc_is_nowhere_in_the_tree() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("a resolved tree");
    // What a crate could have with other features is in `packages`; what is built is in the resolved tree.
    let built: Vec<&str> = resolve
        .nodes
        .iter()
        .map(|node| metadata[&node.id].name.as_str())
        .collect();
    assert!(
        built.contains(&"ring"),
        "the tree is not read rightly: ring must be in it"
    );
    let unwanted: Vec<&&str> = built
        .iter()
        .filter(|name| name.starts_with("aws-lc"))
        .collect();
    assert!(
        unwanted.is_empty(),
        "{unwanted:?}: turn off default features of who brings it (cargo tree -i aws-lc-rs)"
    );
}
