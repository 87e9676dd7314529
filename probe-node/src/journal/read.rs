//! Reads the journal back.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use jiff::Timestamp;

use super::{Entry, NEWER, OLDER};

/// Longer lines are nobody's.
const LINE: u64 = 64 * 1024;

/// The last `limit` lines since `since`, the oldest first. What is no line of the journal is skipped.
///
/// # Errors
/// A file that is there and cannot be read. No file is no line.
pub fn read(dir: &Path, since: Option<Timestamp>, limit: usize) -> io::Result<Vec<Entry>> {
    let mut last = VecDeque::new();
    for name in [OLDER, NEWER] {
        let file = match File::open(dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file);
        while let Some(line) = next_line(&mut lines)? {
            let Ok(entry) = serde_json::from_slice::<Entry>(&line) else {
                continue;
            };
            if since.is_some_and(|since| entry.at < since) {
                continue;
            }
            last.push_back(entry);
            if last.len() > limit {
                last.pop_front();
            }
        }
    }
    Ok(last.into())
}

fn next_line(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    match lines.by_ref().take(LINE).read_until(b'\n', &mut line)? {
        0 => Ok(None),
        _ => Ok(Some(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_there_before_the_first_request() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), None, 10).unwrap(), []);
    }

    #[test]
    fn only_what_is_young_enough_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let lines: String = ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"]
            .map(|at| {
                let at = at.parse().unwrap();
                Entry {
                    at,
                    ..Entry::example()
                }
                .to_line()
            })
            .concat();
        std::fs::write(dir.path().join(NEWER), lines).unwrap();
        let since = "2026-01-01T00:30:00Z".parse().unwrap();
        assert_eq!(read(dir.path(), Some(since), 10).unwrap().len(), 1);
        assert_eq!(read(dir.path(), None, 10).unwrap().len(), 2);
    }
}
