//! A check under way and what it leaves.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::LabError;

/// No check may take longer, whatever its scenario allows.
const LIMIT: Duration = Duration::from_secs(60);

/// What a finished `onlyhere check` left.
#[derive(Debug)]
pub struct CheckRun {
    /// Its exit code; none when it was killed.
    pub exit: Option<i32>,
    /// From start to end.
    pub elapsed: Duration,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A check under way.
#[derive(Debug)]
pub struct RunningCheck {
    pub(super) child: Child,
    pub(super) started: Instant,
    pub(super) dir: PathBuf,
}

impl RunningCheck {
    /// Waits for its end; kills it after a minute.
    pub fn finish(mut self) -> Result<CheckRun, LabError> {
        let exit = loop {
            if let Some(status) = self
                .child
                .try_wait()
                .map_err(LabError::io("wait for onlyhere check"))?
            {
                break status.code();
            }
            if self.started.elapsed() > LIMIT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(3));
        };
        let elapsed = self.started.elapsed();
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        Ok(CheckRun {
            exit,
            elapsed,
            stdout: read("stdout"),
            stderr: read("stderr"),
        })
    }
}
