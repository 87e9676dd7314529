//! The example reports that README.md shows: each is what the program prints of a report in `docs/examples/`, which the
//! lab made; and the diagnosis of today still comes to the same of its observations.
//!
//! After a change of words: `UPDATE_EXAMPLES=1 cargo test -p onlyhere-cli --test examples` judges the reports again and
//! writes them and README.md anew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use onlyhere_cli::{answer::Answer, render::text, standing::Standing};
use onlyhere_proto::Report;

/// Columns of the examples.
const WIDTH: usize = 80;

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = root().join("README.md");
    let update = std::env::var_os("UPDATE_EXAMPLES").is_some();
    let mut shown = fs::read_to_string(&readme).unwrap();
    let mut count = 0;
    for path in examples() {
        let judged = judged_again(&path);
        if update {
            let line = serde_json::to_string(&judged).unwrap();
            fs::write(&path, line + "\n").unwrap();
        }
        let report: Report = read(&path);
        let gist = |r: &Report| (r.verdict.scope, r.verdict.causes.first().map(|c| c.id));
        assert_eq!(gist(&judged), gist(&report), "{}", path.display());
        let answer = Answer {
            report: &report,
            alone: None,
            standing: Standing::Passed,
        };
        let printed = anstream::adapter::strip_str(&text::answer(&answer, WIDTH)).to_string();
        let wider = printed.lines().find(|line| line.chars().count() > WIDTH);
        assert_eq!(wider, None, "{}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        let (start, end) = block(&shown, name);
        if update {
            shown.replace_range(start..end, printed.trim_end());
        } else {
            assert_eq!(
                &shown[start..end],
                printed.trim_end(),
                "{name} in README.md"
            );
        }
        count += 1;
    }
    assert!(count >= 3, "only {count} examples");
    if update {
        fs::write(&readme, shown).unwrap();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn examples() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("docs/examples")).unwrap();
    let mut all: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn read(path: &Path) -> Report {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The report with the verdict that `onlyhere replay` comes to.
fn judged_again(path: &Path) -> Report {
    let run = Command::new(env!("CARGO_BIN_EXE_onlyhere"))
        .args(["replay", "--format", "json"])
        .arg(path)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// Where the text of an example stands: in the fence after the remark that names its file.
fn block(readme: &str, name: &str) -> (usize, usize) {
    let remark = format!("<!-- docs/examples/{name} -->\n```\n");
    let start = readme
        .find(&remark)
        .unwrap_or_else(|| panic!("README.md does not show {name}"))
        + remark.len();
    let length = readme[start..].find("\n```").expect("a fence ends");
    (start, start + length)
}
