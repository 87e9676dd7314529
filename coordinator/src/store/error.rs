//! Why state cannot be read or kept, in sentences for whoever runs the coordinator.

use crate::data_file::DataError;

/// Why the store cannot do what was asked. What was committed before stays committed, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room.
    #[error(
        "{path} cannot grow: the disk is full; free some space, and what was refused works again; nothing that was kept \
         is lost"
    )]
    Full {
        /// Which file.
        path: String,
    },
    /// The system refuses to write, and says no more.
    #[error(
        "{path} cannot be written to ({why}): the disk fails, or a quota or size limit is reached; mend that, and what \
         was refused works again; nothing that was kept is lost"
    )]
    NotWritten {
        /// Which file.
        path: String,
        /// What the engine says.
        why: String,
    },
    /// Another process writes and does not end.
    #[error(
        "{path} is locked: another process has been writing to it for more than {waited_s} s; end that process \
         (`fuser {path}` names it) and try again"
    )]
    Locked {
        /// Which file.
        path: String,
        /// How long it was waited for, seconds.
        waited_s: u64,
    },
    /// Not what was written.
    #[error(
        "{path} is damaged ({why}): stop the coordinator, keep a copy of the file, and bring back a backup with \
         `onlyhere-coordinator restore FILE`"
    )]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It can be read and not be written.
    #[error(
        "{path} cannot be written: it, its directory or its file system is read-only for this user; the coordinator \
         and its commands must run as the user who owns it"
    )]
    ReadOnly {
        /// Which file.
        path: String,
    },
    /// It cannot be opened.
    #[error(
        "{path} cannot be opened: {why}; the directory must exist and belong to the user who runs this"
    )]
    CannotOpen {
        /// Which file.
        path: String,
        /// The system's word.
        why: String,
    },
    /// Written by a later version.
    #[error(
        "{path} was written by a newer version (schema {has}, this version knows {knows}): run that version, or \
         bring back a backup of this one; nothing was changed"
    )]
    Newer {
        /// Which file.
        path: String,
        /// Its schema.
        has: i64,
        /// Ours.
        knows: i64,
    },
    /// Somebody else's database.
    #[error("{path} is a database of another program: let store.url name another file")]
    Foreign {
        /// Which file.
        path: String,
    },
    /// Others change the same thing without end.
    #[error("others keep changing the same thing; try again")]
    Contended,
    /// The disk fails, or something that should not happen.
    #[error("{path} cannot be used: {why}")]
    Other {
        /// Which file.
        path: String,
        /// What the engine says.
        why: String,
    },
    /// A file beside it.
    #[error(transparent)]
    File(#[from] DataError),
}
