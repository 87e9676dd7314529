//! Settings files: the coordinator's, and behind a first byte of `p` the probe's.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use onlyhere_coordinator::config as coordinator;
use onlyhere_fuzz::sentence;
use onlyhere_probe_node::config as probe;

/// In memory where there is such a place; removed at the end by whoever cleans there.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = if PathBuf::from("/dev/shm").is_dir() {
        "/dev/shm".into()
    } else {
        std::env::temp_dir()
    };
    folder.join(format!("onlyhere-fuzz-{}.toml", std::process::id()))
});

fuzz_target!(|text: &str| {
    match text.strip_prefix('p') {
        Some(text) => of_probe(text),
        None => of_coordinator(text),
    }
});

fn of_coordinator(text: &str) {
    let load = |text: &str| {
        fs::write(&*FILE, text).expect("a file can be written");
        coordinator::Config::load(Some(&FILE), std::iter::empty())
    };
    match load(text) {
        Err(why) => sentence(&why),
        Ok(config) => assert_eq!(load(&config.to_toml()), Ok(config)),
    }
}

fn of_probe(text: &str) {
    fs::write(&*FILE, text).expect("a file can be written");
    match probe::Config::load(Some(&FILE), std::iter::empty()) {
        Err(why) => sentence(&why),
        Ok(config) => {
            let rules = config.guard.allow.iter().chain(&config.guard.deny);
            rules.for_each(|rule| assert_eq!(rule.to_string().parse().as_ref(), Ok(rule)));
        }
    }
}
