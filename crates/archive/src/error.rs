//! Why a part cannot be used.

use parquet::errors::ParquetError;

/// Why a part cannot be written or read. The path names the object.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The object store.
    #[error("cannot read or write the archived part {path}")]
    Object {
        /// Which part.
        path: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The content of the object.
    #[error("the archived part {path} is damaged")]
    Damaged {
        /// Which part.
        path: String,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// A column is missing, or has another type.
    #[error("the archived part {path} has no column \"{column}\" of the expected type")]
    Column {
        /// Which part.
        path: String,
        /// The column.
        column: &'static str,
    },
    /// The part was written by a newer version.
    #[error("the archived part {path} has schema version \"{version}\", which this version cannot read")]
    Version {
        /// Which part.
        path: String,
        /// The version that it names.
        version: String,
    },
    /// The object is not the one that was written.
    #[error("the archived part {path} was changed: its SHA-256 is {found}, expected {expected}")]
    Checksum {
        /// Which part.
        path: String,
        /// The digest of the object, in hex.
        found: String,
        /// The digest of what was written, in hex.
        expected: String,
    },
    /// Another number of records than the list of parts says.
    #[error("the archived part {path} has {found} records, expected {expected}")]
    Records {
        /// Which part.
        path: String,
        /// The number in the object.
        found: u64,
        /// The number that was written.
        expected: u64,
    },
    /// The task that read it ended.
    #[error("reading the archived part {path} ended unexpectedly")]
    Task {
        /// Which part.
        path: String,
    },
    /// A part cannot be encoded.
    #[error("cannot encode records as Parquet")]
    Encode(#[source] ParquetError),
}

impl PartError {
    /// Whether the object is missing, rather than unreadable.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Object {
                source: object_store::Error::NotFound { .. },
                ..
            }
        )
    }

    /// The path of the part; `None` for one that is not written yet.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Object { path, .. }
            | Self::Damaged { path, .. }
            | Self::Column { path, .. }
            | Self::Version { path, .. }
            | Self::Checksum { path, .. }
            | Self::Records { path, .. }
            | Self::Task { path } => Some(path),
            Self::Encode(_) => None,
        }
    }

    pub(crate) fn object(path: &str) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Object { path, source }
    }

    /// What the reader of Parquet reports: an error of the object store keeps its kind.
    pub(crate) fn content(path: &str) -> impl FnOnce(ParquetError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
                Ok(source) => Self::Object {
                    path,
                    source: *source,
                },
                Err(inner) => Self::Damaged {
                    path,
                    source: ParquetError::External(inner),
                },
            },
            source => Self::Damaged { path, source },
        }
    }
}
