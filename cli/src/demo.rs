//! `onlyhere demo`: hands over to `onlyhere-lab demo`, which builds the little internet.

use std::{
    convert::Infallible,
    env, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{args::DemoArgs, error::CliError};

const LAB: &str = "onlyhere-lab";

/// Becomes the lab program; comes back only when that fails.
pub fn run(args: DemoArgs) -> Result<Infallible, CliError> {
    let beside = env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(Path::to_path_buf));
    let lab = find(beside.as_deref(), env::var_os("PATH").as_deref()).ok_or_else(|| {
        CliError::own(
            "the demo needs the program onlyhere-lab, which is neither beside this one nor on PATH",
            "run `make demo` in the project's source tree, which builds it",
        )
    })?;
    let error = Command::new(&lab).arg("demo").args(args.args).exec();
    Err(CliError::own(
        "onlyhere-lab cannot be started",
        io::Error::new(error.kind(), format!("{}: {error}", lab.display())),
    ))
}

fn find(beside: Option<&Path>, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let on_path = path
        .map(|path| env::split_paths(path).collect::<Vec<_>>())
        .unwrap_or_default();
    beside
        .map(Path::to_path_buf)
        .into_iter()
        // An empty or relative entry of PATH would make the current directory a place to start programs from.
        .chain(on_path.into_iter().filter(|dir| dir.is_absolute()))
        .map(|dir| dir.join(LAB))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_is_found_beside_the_program_first() {
        let (beside, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = other.path().as_os_str();
        assert_eq!(find(Some(beside.path()), Some(path)), None);
        std::fs::write(other.path().join(LAB), "").unwrap();
        assert_eq!(
            find(Some(beside.path()), Some(path)),
            Some(other.path().join(LAB))
        );
        std::fs::write(beside.path().join(LAB), "").unwrap();
        assert_eq!(
            find(Some(beside.path()), Some(path)),
            Some(beside.path().join(LAB))
        );
    }
}
