//! Errors of reading and writing a file.

use crate::ID_BYTES_MAX;
use chrono::{DateTime, Utc};
use std::path::PathBuf;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum C1zError {
    /// An object without an id. Readers look objects up by id.
    #[error("{what} has an empty id")]
    EmptyId {
        /// The kind of object, with its name if it has one.
        what: String,
    },
    /// An id that is too long for readers. It is not truncated, because two ids could become equal.
    #[error("the id of {what} is longer than {ID_BYTES_MAX} bytes: {start}…")]
    LongId {
        /// The kind of object.
        what: String,
        /// The start of the id.
        start: String,
    },
    /// A message without a required part.
    #[error("{what} has no {missing}")]
    Missing {
        /// The kind of object, with its id.
        what: String,
        /// The missing part.
        missing: &'static str,
    },
    /// A time outside the range of a sync id, which counts seconds since 2014-05-13 in 32 bits.
    #[error("a sync cannot start at {at}: ids support times from 2014-05-13 to 2150-06-19")]
    Time {
        /// The given time.
        at: DateTime<Utc>,
    },
    /// A sync that ends before it begins.
    #[error("a sync that started at {started_at} cannot end at {ended_at}")]
    EndsBeforeStart {
        /// The start time.
        started_at: DateTime<Utc>,
        /// The end time.
        ended_at: DateTime<Utc>,
    },
    /// The file already contains this sync: its time and random bytes were used before.
    #[error("the file already has a sync {id}")]
    SyncExists {
        /// The sync's id.
        id: String,
    },
    /// Not a `.c1z` file of version 1.
    #[error("{path} is not a .c1z file of version 1: {why}")]
    NotC1z {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
    /// The unpacked file would exceed the given limit.
    #[error("{path} is larger than {limit_bytes} bytes when unpacked")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file of another program. Keeping its sync would lose data.
    #[error("{path} belongs to another program: it has a column {table}.{column}; write to another file")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The column that this crate does not write.
        column: String,
    },
    /// A stored message that cannot be decoded.
    #[error("the message stored under {id} cannot be decoded")]
    Message {
        /// The id of the row.
        id: String,
        /// The decoder's error.
        source: prost::DecodeError,
    },
    /// A time in the file that is not in Baton's format.
    #[error("{text:?} is not a time in the format of .c1z files")]
    TimeText {
        /// The text in the file.
        text: String,
    },
    /// A file system error.
    #[error("cannot {doing} {path}")]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// An SQLite error.
    #[error("the database in the file cannot be read or written")]
    Database(#[from] sqlx::Error),
}

impl C1zError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
