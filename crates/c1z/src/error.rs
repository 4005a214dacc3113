//! Errors of reading and writing a file.

use crate::ID_BYTES_MAX;
use chrono::{DateTime, Utc};
use std::path::PathBuf;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum C1zError {
    /// An object without an id: readers look objects up by it.
    #[error("{what} has an empty id")]
    EmptyId {
        /// What it is, with its name if it has one.
        what: String,
    },
    /// An id that readers refuse. It is not cut, because two ids could become one.
    #[error("the id of {what} is longer than {ID_BYTES_MAX} bytes: {start}…")]
    LongId {
        /// What it is.
        what: String,
        /// How the id begins.
        start: String,
    },
    /// A message that lacks a part without which it cannot be stored.
    #[error("{what} does not say its {missing}")]
    Missing {
        /// What it is, with its id.
        what: String,
        /// Which part.
        missing: &'static str,
    },
    /// A time that a sync id cannot hold: it counts seconds since 2014-05-13 in 32 bits.
    #[error("a sync cannot begin at {at}: its id holds times from 2014-05-13 to 2150-06-19")]
    Time {
        /// The time that was given.
        at: DateTime<Utc>,
    },
    /// A sync that ends before it begins.
    #[error("a sync that began at {started_at} cannot end at {ended_at}")]
    EndsBeforeStart {
        /// When it began.
        started_at: DateTime<Utc>,
        /// When it should have ended.
        ended_at: DateTime<Utc>,
    },
    /// The file already has this sync: its time and its random bytes were used before.
    #[error("the file already has a sync {id}")]
    SyncExists {
        /// The sync's id.
        id: String,
    },
    /// Not a `.c1z` file of version 1.
    #[error("{path} is no .c1z file of version 1: {why}")]
    NotC1z {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: &'static str,
    },
    /// Unpacked, the file would be larger than the limit that was given.
    #[error("{path} is larger than {limit_bytes} bytes when unpacked")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file of another program, whose sync would lose something if it were kept.
    #[error("{path} is another program's: it has a column {table}.{column}; write to another file")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The column that this crate does not write.
        column: String,
    },
    /// A stored message that cannot be decoded.
    #[error("what is stored under {id} is no such message")]
    Message {
        /// The id of the row.
        id: String,
        /// What the decoder says.
        source: prost::DecodeError,
    },
    /// A time in the file that is not in Baton's form.
    #[error("{text:?} is not a time as .c1z files write it")]
    TimeText {
        /// What is there.
        text: String,
    },
    /// The file system said no.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// SQLite said no.
    #[error("the database in the file cannot be read or written")]
    Database(#[from] sqlx::Error),
}

impl C1zError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
