//! The threat model, held against the tree: every defence names a test that exists.

use std::{fs, path::Path};

/// A row of a table of defences, by its last cell.
fn defences(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut rows = Vec::new();
    let mut is_defences = false;
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            is_defences = false;
        } else if cells.last() == Some(&"test") {
            is_defences = true;
        } else if is_defences && !cells[0].starts_with("---") {
            let named = cells.last().copied().unwrap_or_default();
            rows.push((cells[0], named.split('`').skip(1).step_by(2).collect()));
        }
    }
    rows
}

/// What is wrong with what a row names: files, each but scripts and fuzz targets followed by tests in it.
fn faults(root: &Path, named: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    if named.is_empty() {
        faults.push("names no test".to_owned());
    }
    let mut file: Option<(&str, String)> = None;
    for (at, &name) in named.iter().enumerate() {
        if name.contains('/') {
            let Ok(text) = fs::read_to_string(root.join(name)) else {
                faults.push(format!("{name} does not exist"));
                continue;
            };
            let alone = name.ends_with(".sh") || name.starts_with("tests/fuzz/targets/");
            let followed = named.get(at + 1).is_some_and(|next| !next.contains('/'));
            if !alone && !followed {
                faults.push(format!("{name} stands there without a test in it"));
            }
            file = Some((name, text));
        } else if let Some((path, text)) = &file
            && !is_test(text, name)
        {
            faults.push(format!("{path} has no test {name}"));
        }
    }
    faults
}

/// Whether a function of this name stands in the text, below an attribute that makes it a test.
fn is_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let Some(at) = text.find(&function) else {
        return false;
    };
    let line = text[..at].rfind('\n').unwrap_or(0);
    let mut attributes = text[..line]
        .lines()
        .rev()
        .take(6)
        .take_while(|line| !line.trim().is_empty());
    attributes.any(|line| line.contains("#[test]") || line.contains("#[tokio::test"))
}

#[test]
fn every_defence_names_a_test_that_exists() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md is readable");
    let rows = defences(&text);
    assert!(rows.len() >= 30, "only {} rows are read", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|(who, named)| {
            faults(root, named)
                .into_iter()
                .map(move |why| format!("{who}: {why}"))
        })
        .collect();
    assert!(wrong.is_empty(), "SECURITY.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let rows = defences(
        "| attacker | test |\n|---|---|\n| a | `tests/tests/security.rs` `no_such_test` |\n| b | `no/such/file.rs` `x` |\n\
         | c | |\n| d | `tests/tests/security.rs` |\n| e | `tests/tests/security.rs` `defences` |\n\
         | f | `tests/tests/security.rs` `a_test_that_does_not_exist_is_found` |\n",
    );
    let wrong: Vec<(&str, usize)> = rows
        .iter()
        .map(|(who, named)| (*who, faults(root, named).len()))
        .collect();
    assert_eq!(
        wrong,
        [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 0)]
    );
}
