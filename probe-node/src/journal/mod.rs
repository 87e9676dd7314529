//! What this vantage did, for its owner: one line for each request, kept in the data directory.
//!
//! A line is appended by one write, so that a crash can cut the last line and nothing else; what is cut is skipped when it
//! is read, and the next line begins on a line of its own. Two files hold half of the permitted size each: when the newer
//! is full it takes the older one's place. What cannot be written (a full disk) is said in the log of the program and
//! stops no check.

mod entry;
mod read;
mod recording;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

pub use entry::Entry;
pub use read::read;
pub(crate) use recording::Recording;

const NEWER: &str = "requests.log";
const OLDER: &str = "requests.log.1";

/// The journal of one vantage.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    coordinator: String,
    /// Of one of the two files, bytes.
    most: u64,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    /// Whether the last write failed, so that a full disk is said once and not for every check.
    failing: bool,
}

impl Journal {
    /// Opens the journal in a data directory, for requests of `coordinator`; it grows to `max_bytes` at most.
    pub fn open(dir: &Path, coordinator: &str, max_bytes: u64) -> io::Result<Self> {
        let open = open(&dir.join(NEWER))?;
        Ok(Self {
            dir: dir.to_owned(),
            coordinator: coordinator.to_owned(),
            most: max_bytes / 2,
            open: Mutex::new(open),
        })
    }

    /// Who asks.
    pub(crate) fn coordinator(&self) -> &str {
        &self.coordinator
    }

    /// Adds a line; a failure is logged and otherwise without consequence.
    pub(crate) fn append(&self, entry: &Entry) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write(&mut open, &entry.to_line());
        match &written {
            Err(error) if !open.failing => {
                tracing::error!(%error, dir = %self.dir.display(), "what is done for others cannot be recorded");
            }
            _ => {}
        }
        open.failing = written.is_err();
    }

    fn write(&self, open: &mut Open, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        if open.length > 0 && open.length + length > self.most {
            fs::rename(self.dir.join(NEWER), self.dir.join(OLDER))?;
            *open = Open {
                failing: open.failing,
                ..self::open(&self.dir.join(NEWER))?
            };
        }
        if open.failing {
            // A write that failed half-way has left a piece of a line.
            open.file.write_all(b"\n")?;
            open.length += 1;
        }
        open.file.write_all(line.as_bytes())?;
        open.length += length;
        Ok(())
    }
}

/// Opens a file to append to, readable by its owner alone; what a crash has cut is ended.
fn open(path: &Path) -> io::Result<Open> {
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let mut length = file.metadata()?.len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    Ok(Open {
        file,
        length,
        failing: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(request: u32) -> Entry {
        Entry {
            request,
            target: "https://shop.example".to_owned(),
            ..Entry::example()
        }
    }

    fn requests(dir: &Path) -> Vec<u32> {
        let all = read(dir, None, usize::MAX).unwrap();
        all.iter().map(|entry| entry.request).collect()
    }

    #[test]
    fn lines_come_back_in_their_order_and_only_their_owner_reads_them() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), "coordinator.example:7443", 100_000).unwrap();
        for request in 1..=3 {
            journal.append(&entry(request));
        }
        assert_eq!(requests(dir.path()), [1, 2, 3]);
        assert_eq!(read(dir.path(), None, 2).unwrap()[0].request, 2);
        let mode = fs::metadata(dir.path().join(NEWER)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_crash_in_the_middle_of_a_line_costs_that_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), "c", 100_000).unwrap();
        journal.append(&entry(1));
        let mut file = OpenOptions::new()
            .append(true)
            .open(dir.path().join(NEWER))
            .unwrap();
        file.write_all(&entry(2).to_line().as_bytes()[..40])
            .unwrap();
        assert_eq!(requests(dir.path()), [1]);
        let journal = Journal::open(dir.path(), "c", 100_000).unwrap();
        journal.append(&entry(3));
        assert_eq!(requests(dir.path()), [1, 3]);
        file.write_all(b"\xff\xfe\x00 nonsense\n{}\n[1]\n").unwrap();
        journal.append(&entry(4));
        assert_eq!(requests(dir.path()), [1, 3, 4]);
    }

    #[test]
    fn the_size_is_bounded_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let most = 20_000;
        let journal = Journal::open(dir.path(), "c", most).unwrap();
        for request in 0..1_000 {
            journal.append(&entry(request));
            let size: u64 = [NEWER, OLDER]
                .iter()
                .filter_map(|name| fs::metadata(dir.path().join(name)).ok())
                .map(|file| file.len())
                .sum();
            assert!(size <= most, "{size}");
        }
        let kept = requests(dir.path());
        assert_eq!(kept.last(), Some(&999));
        assert!(kept.len() > 20 && kept.is_sorted());
    }

    #[test]
    fn a_line_is_bounded_whatever_was_asked() {
        let long = Entry {
            target: "\u{1b}[31m".repeat(10_000),
            denied: vec!["x".repeat(10_000); 10_000],
            outcomes: vec!["tcp ok".to_owned(); 10_000],
            addresses: vec![[192, 0, 2, 1].into(); 10_000],
            ..Entry::example()
        };
        let line = long.to_line();
        assert!(line.len() < 8_192, "{}", line.len());
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
    }
}
