//! What the documents say, held against the tree: files that they name exist, links lead somewhere, `make` targets
//! are in the Makefile. And nothing in the tree names a place that only one machine has.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Folders that hold what was built or fetched, not what was written.
const NOT_WRITTEN_HERE: [&str; 4] = [".git", "target", ".tools", "node_modules"];

/// A name with one of these endings is a file of this project even without a folder before it. Others, such as
/// `config.toml`, are often a file of the reader's.
const OUR_ENDINGS: [&str; 3] = [".rs", ".proto", ".md"];

/// A path with one of these endings is a file, whatever its first folder is called.
const FILE_ENDINGS: [&str; 10] = [
    ".rs", ".proto", ".md", ".toml", ".sh", ".yaml", ".yml", ".json", ".html", ".service",
];

#[test]
fn files_named_in_documents_exist() {
    let tree = Tree::read();
    let mut named = 0;
    let mut missing = Vec::new();
    for document in tree.documents() {
        for name in code_spans(&document.text).filter(|code| is_file_name(code, &tree)) {
            named += 1;
            if !tree.has(name, &document.folder) {
                missing.push(format!("{}: `{name}`", document.path.display()));
            }
        }
        for link in link_targets(&document.text) {
            named += 1;
            if !document.folder.join(link).exists() {
                missing.push(format!("{}: link to {link}", document.path.display()));
            }
        }
    }
    assert!(
        named > 20,
        "only {named} names found: does the test still read the documents?"
    );
    assert!(
        missing.is_empty(),
        "named, but not in the tree:\n{}",
        missing.join("\n")
    );
}

#[test]
fn make_targets_named_in_documents_exist() {
    let tree = Tree::read();
    let makefile =
        fs::read_to_string(tree.root.join("Makefile")).expect("the Makefile is readable");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .filter(|target| {
            !target.is_empty() && target.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        })
        .collect();
    assert!(
        targets.contains("demo") && targets.contains("test"),
        "targets read: {targets:?}"
    );

    let mut missing = Vec::new();
    for document in tree.documents() {
        for target in make_targets(&document.text) {
            if !targets.contains(target) {
                missing.push(format!("{}: make {target}", document.path.display()));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not in the Makefile:\n{}",
        missing.join("\n")
    );
}

#[test]
fn nothing_names_a_place_of_one_machine() {
    let tree = Tree::read();
    let found: Vec<String> = tree
        .files
        .iter()
        .filter_map(|file| Some((file, fs::read_to_string(tree.root.join(file)).ok()?)))
        .flat_map(|(file, text)| {
            text.lines()
                .enumerate()
                .filter(|(_, line)| names_one_machine(line))
                .map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        tree.files.len() > 50,
        "only {} files found: does the test still read the tree?",
        tree.files.len()
    );
    assert!(
        found.is_empty(),
        "places of one machine:\n{}",
        found.join("\n")
    );
}

#[test]
fn the_readers_of_documents_see_what_is_there() {
    let tree = Tree::read();
    let text = "Edit `tests/none-such.toml` or `none_such.rs`; not `text/plain`, `GET /v1/checks`, `config.toml`.\n\
                [here](none-such.md#part) [there](https://shop.example/a.md)\n\
                Then `make none-such JOBS=2`.\n\
                ```\nmake other -j2\n`tests/in-a-block.toml`\n```\n";
    let names: Vec<&str> = code_spans(text)
        .filter(|code| is_file_name(code, &tree))
        .collect();
    assert_eq!(names, ["tests/none-such.toml", "none_such.rs"]);
    assert!(names.iter().all(|name| !tree.has(name, &tree.root)));
    assert!(
        tree.has("tests/tests/documents.rs", &tree.root) && tree.has("documents.rs", &tree.root)
    );
    assert_eq!(link_targets(text).collect::<Vec<_>>(), ["none-such.md"]);
    assert_eq!(make_targets(text), ["none-such", "other"]);
}

#[test]
fn places_of_one_machine_are_recognised() {
    for start in ["see ", "\"", "="] {
        assert!(names_one_machine(&format!("{start}/{}/main/src", "work")));
        assert!(names_one_machine(&format!("{start}/{}/ada/src", "home")));
    }
    assert!(names_one_machine(&format!(
        "https://{}.shop.example/x",
        "registry"
    )));
    assert!(!names_one_machine(
        "a network/home/office choice, $HOME/work/x, and ./work/x"
    ));
    assert!(!names_one_machine("/etc/resolv.conf and /var/lib/onlyhere"));
}

/// The project as it lies on the disk.
struct Tree {
    root: PathBuf,
    /// Relative to `root`.
    files: Vec<PathBuf>,
}

struct Document {
    /// Relative to the root, for messages.
    path: PathBuf,
    /// Absolute, where its links start.
    folder: PathBuf,
    text: String,
}

impl Tree {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the crate lies in the project")
            .to_path_buf();
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("the project's folders are readable") {
                let entry = entry.expect("the project's folders are readable");
                let kind = entry.file_type().expect("the project's files are readable");
                if kind.is_dir()
                    && !NOT_WRITTEN_HERE
                        .iter()
                        .any(|name| entry.file_name() == *name)
                {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.push(
                        entry
                            .path()
                            .strip_prefix(&root)
                            .expect("found below the root")
                            .to_path_buf(),
                    );
                }
            }
        }
        files.sort();
        Self { root, files }
    }

    fn documents(&self) -> impl Iterator<Item = Document> {
        self.files
            .iter()
            .filter(|file| file.extension().is_some_and(|ending| ending == "md"))
            .map(|file| {
                let path = self.root.join(file);
                Document {
                    path: file.clone(),
                    folder: path
                        .parent()
                        .expect("a file lies in a folder")
                        .to_path_buf(),
                    text: fs::read_to_string(&path).expect("documents are UTF-8"),
                }
            })
    }

    /// Whether `name` is there: from the root, beside the document, in a crate (`src/lib.rs` of any of them), or,
    /// for a name without a folder, anywhere.
    fn has(&self, name: &str, folder: &Path) -> bool {
        self.root.join(name).exists()
            || folder.join(name).exists()
            || self.files.iter().any(|file| {
                let below = file
                    .strip_prefix(file.iter().next().expect("a file has a name"))
                    .unwrap_or(file);
                below == Path::new(name) || (!name.contains('/') && file.ends_with(name))
            })
    }
}

/// The text between single backticks; blocks are left out, they show commands and output.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    lines(text)
        .filter(|(in_block, _)| !in_block)
        .flat_map(|(_, line)| line.split('`').skip(1).step_by(2))
}

/// Each line, and whether it stands in a fenced block.
fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.lines().scan(false, |in_block, line| {
        if line.trim_start().starts_with("```") {
            *in_block = !*in_block;
            return Some((true, ""));
        }
        Some((*in_block, line))
    })
}

fn is_file_name(code: &str, tree: &Tree) -> bool {
    let plain = code
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    if !plain || code.starts_with(['/', '-']) || code.starts_with("target/") {
        return false;
    }
    match code.split_once('/') {
        Some((first, _)) => {
            tree.root.join(first).is_dir()
                || FILE_ENDINGS.iter().any(|ending| code.ends_with(ending))
        }
        None => OUR_ENDINGS.iter().any(|ending| code.ends_with(ending)),
    }
}

/// Where links lead, for those that lead to a file here.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    lines(text)
        .filter(|(in_block, _)| !in_block)
        .flat_map(|(_, line)| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .filter_map(|(target, _)| target.split('#').next())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
        })
}

/// What `make` is told to make, in backticks and in blocks.
fn make_targets(text: &str) -> Vec<&str> {
    let commands = lines(text).flat_map(|(in_block, line)| {
        let pieces: Vec<&str> = if in_block {
            vec![line]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        pieces
    });
    commands
        .filter_map(|command| command.trim_start_matches("$ ").strip_prefix("make "))
        .flat_map(|arguments| {
            arguments
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace()
        })
        .filter(|word| !word.starts_with('-') && !word.contains('='))
        .collect()
}

/// Whether a line holds a path below a folder that is private to one machine, or the host of a package registry.
fn names_one_machine(line: &str) -> bool {
    // Spelled in halves, so that this file does not find itself.
    let folders = ["wo|rk", "fa|rm", "ho|me", "ro|ot", "Us|ers"]
        .map(|name| format!("/{}/", name.replace('|', "")));
    let hosts =
        ["regis|try", "ind|ex", "sta|tic"].map(|name| format!("//{}.", name.replace('|', "")));
    let is_path_start = |at: usize| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_ascii_alphanumeric() && before != '.')
    };
    folders
        .iter()
        .any(|folder| line.match_indices(folder).any(|(at, _)| is_path_start(at)))
        || hosts.iter().any(|host| line.contains(host))
}
