//! What shells and `man` get: a real bash loads the completions and completes a command; the manual pages are read by
//! a real formatter where there is one.

use std::{
    fs,
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_onlyhere");

fn onlyhere(args: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("onlyhere.bash");
    fs::write(&script, onlyhere(&["completions", "bash"]).stdout).unwrap();
    let complete = |words: &[&str]| {
        let typed = words
            .iter()
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" ");
        let last = words.len() - 1;
        let commands = format!(
            "set -e; source '{}'; COMP_WORDS=({typed}); COMP_CWORD={last}; \
             f=$(complete -p onlyhere | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $f onlyhere '{}' '{}' || true; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words[last],
            words[last - 1]
        );
        let output = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", &commands])
            .output()
            .expect("bash is there");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    assert_eq!(complete(&["onlyhere", "che"]), "check\n");
    let formats = complete(&["onlyhere", "check", "shop.example", "--format", ""]);
    for format in ["text", "json", "markdown", "junit", "github"] {
        assert!(formats.contains(format), "{formats}");
    }
    assert!(complete(&["onlyhere", "check", "--retry"]).contains("--retry-for"));
}

#[test]
fn every_shell_has_a_script_and_an_unknown_one_is_told_which_there_are() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = onlyhere(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        assert!(text(&output.stdout).contains("retry-for"), "{shell}");
    }
    let output = onlyhere(&["completions", "tcsh"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bash, elvish, fish, powershell, zsh"));
}

#[test]
fn the_manual_pages_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    assert!(onlyhere(&["manual", "--out", out]).status.success());
    let mut pages: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|page| page.unwrap().path())
        .collect();
    pages.sort();
    let names: Vec<_> = pages
        .iter()
        .map(|page| page.file_name().unwrap().to_owned())
        .collect();
    for page in ["onlyhere.1", "onlyhere-check.1", "onlyhere-ticket.1"] {
        assert!(names.iter().any(|name| name == page), "{names:?}");
    }
    for page in &pages {
        let read = Command::new("man")
            .arg("-l")
            .arg(page)
            .env("MANWIDTH", "80")
            .output();
        match read {
            Ok(read) if read.status.success() => {
                assert!(
                    text(&read.stdout).contains("SYNOPSIS"),
                    "{}",
                    page.display()
                );
                assert_eq!(text(&read.stderr), "", "{}", page.display());
            }
            // Where there is no `man`, what is there is at least a page.
            _ => assert!(fs::read_to_string(page).unwrap().contains(".SH SYNOPSIS")),
        }
    }
    let output = onlyhere(&["manual", "--out", "/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("mkdir -p /nowhere"));
}
