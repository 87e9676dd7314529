//! What a running program takes of the machine, as the kernel counts it (proc(5)).

use std::path::PathBuf;

use crate::LabError;

/// A process under watch.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) name: String,
    proc: PathBuf,
}

impl Watch {
    pub(super) fn new(name: &str, pid: i32) -> Self {
        Self {
            name: name.to_owned(),
            proc: format!("/proc/{pid}").into(),
        }
    }

    /// Forgets the peak so far: from now on [`Watch::peak_kib`] counts anew, from what is resident now.
    pub(super) fn forget_peak(&self) -> Result<(), LabError> {
        std::fs::write(self.proc.join("clear_refs"), "5")
            .map_err(LabError::io(format!("reset the peak of {}", self.name)))
    }

    /// The most that was resident at any time (`VmHWM`), the program's own text included, KiB.
    pub(super) fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(self.proc.join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Processor time so far, in hundredths of a second (`USER_HZ` is 100 on every Linux that is).
    pub(super) fn cpu_centis(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(self.proc.join("stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        Some(number(11)? + number(12)?)
    }

    /// Open sockets.
    pub(super) fn sockets(&self) -> Option<usize> {
        let entries = std::fs::read_dir(self.proc.join("fd")).ok()?;
        let links = entries
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Some(
            links
                .filter(|link| link.to_string_lossy().starts_with("socket:"))
                .count(),
        )
    }

    /// Whether it runs; a zombie does not.
    pub(super) fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(self.proc.join("stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }
}
