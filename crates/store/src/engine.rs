//! The two engines behind one type, and the macros that let one function serve both.

use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, str::FromStr, time::Duration};

/// A store on SQLite or PostgreSQL. Cloning shares the pools.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) engine: Engine,
}

#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// SQLite has one writer. A pool with one connection queues writers here, so that they do not fail in SQLite.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is for an unknown engine.
    #[error("the database URL must start with sqlite:// or postgres://")]
    Address,
    /// The database returned an error or could not be reached.
    #[error("a database operation failed")]
    Database(#[source] sqlx::Error),
    /// A stored value is unknown to this version: it is damaged, or a newer version wrote it.
    #[error(
        "column {column} contains an unreadable value: restore the row from a backup, or run the \
             version of Flareward that wrote it"
    )]
    Unread {
        /// The column.
        column: String,
        /// The problem, if known.
        #[source]
        source: Option<sqlx::error::BoxDynError>,
    },
    /// The tables could not be migrated to this version.
    #[error("could not migrate the database to this version")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Stored JSON cannot be read. It is damaged, which is never treated as empty.
    #[error(
        "table {table}, row {row}, column {column} contains invalid JSON: restore the row from a \
             backup, or sync again"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// The row, by its key.
        row: String,
        /// The column.
        column: &'static str,
        /// The problem.
        #[source]
        source: serde_json::Error,
    },
    /// A stored document cannot be read.
    #[error("the stored document of {what} is invalid")]
    Document {
        /// The column.
        what: &'static str,
        /// The problem.
        #[source]
        source: serde_json::Error,
    },
    /// A row that existed a moment ago is gone.
    #[error("{0} no longer exists")]
    Gone(&'static str),
    /// A value that must be unique already exists.
    #[error("{0} already exists")]
    Exists(String),
}

impl StoreError {
    /// Whether the statement violated a uniqueness constraint.
    pub(crate) fn is_unique_violation(error: &sqlx::Error) -> bool {
        error
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }
}

/// Runs one expression on this store's engine; `$pool` may write.
macro_rules! on_engine {
    ($store:expr, $pool:ident => $body:expr) => {
        match &$store.engine {
            $crate::engine::Engine::Sqlite { write: $pool, .. } => $body,
            $crate::engine::Engine::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on_engine;

/// The same for reading only: on SQLite, readers do not wait for the writer.
macro_rules! on_reader {
    ($store:expr, $pool:ident => $body:expr) => {
        match &$store.engine {
            $crate::engine::Engine::Sqlite { read: $pool, .. } => $body,
            $crate::engine::Engine::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on_reader;

/// Runs a block in one transaction, which is rolled back if the block returns with `?`.
///
/// SQLite takes the write lock at once. A transaction that reads first and writes later would fail if another process
/// wrote in between.
macro_rules! in_transaction {
    ($store:expr, $tx:ident => $body:expr) => {
        match &$store.engine {
            $crate::engine::Engine::Sqlite { write, .. } => {
                let mut $tx = write.begin_with("BEGIN IMMEDIATE").await?;
                let result = $body;
                $tx.commit().await?;
                result
            }
            $crate::engine::Engine::Postgres(pool) => {
                let mut $tx = pool.begin().await?;
                let result = $body;
                $tx.commit().await?;
                result
            }
        }
    };
}
pub(crate) use in_transaction;

impl Store {
    /// Opens the store at `address` (`sqlite:///path/file.db` or `postgres://…`), creates a missing SQLite file, and
    /// migrates the tables to this version.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for another scheme; otherwise the database's own error.
    pub async fn connect(address: &str) -> Result<Store, StoreError> {
        let engine = if address.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(address)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(30))
                // Rows come from a thread of their own: without room for many, each one wakes the other side.
                .row_buffer_size(1_024)
                // Detections and their evidence are stored under digests, all over the file: 64 MiB of it stay in
                // memory, and the log is written back every 32 MiB.
                .pragma("cache_size", "-65536")
                .pragma("wal_autocheckpoint", "8192");
            make_private(options.get_filename())?;
            let write = SqlitePoolOptions::new()
                .max_connections(1)
                .before_acquire(|connection, _| Box::pin(async { Ok(is_known(connection).await) }))
                .connect_with(options.clone())
                .await?;
            sqlx::migrate!("migrations/sqlite").run(&write).await?;
            // Each reader has a cache of its own.
            let options = options.read_only(true).pragma("cache_size", "-4096");
            let read = SqlitePoolOptions::new()
                .max_connections(4)
                .connect_with(options)
                .await?;
            Engine::Sqlite { write, read }
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            let pool = PgPoolOptions::new()
                .max_connections(10)
                .acquire_timeout(Duration::from_secs(30))
                .before_acquire(|connection, _| Box::pin(async { Ok(is_known(connection).await) }))
                .connect(address)
                .await?;
            sqlx::migrate!("migrations/postgres").run(&pool).await?;
            Engine::Postgres(pool)
        } else {
            return Err(StoreError::Address);
        };
        Ok(Store { engine })
    }

    /// The name of the engine for messages: `SQLite` or `PostgreSQL`.
    pub fn engine_name(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite { .. } => "SQLite",
            Engine::Postgres(_) => "PostgreSQL",
        }
    }

    /// Whether the database responds.
    pub async fn is_ready(&self) -> bool {
        on_reader!(self, pool => sqlx::query("SELECT 1").execute(pool).await.is_ok())
    }

    /// Whether the database accepts a write now. It may answer queries while its disk is full.
    ///
    /// # Errors
    ///
    /// The database's own error.
    pub async fn write_try(&self, now: chrono::DateTime<chrono::Utc>) -> Result<(), StoreError> {
        self.time_mark("write-tried", now).await.map(|_| ())
    }

    /// Closes every connection to the database.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

/// Creates the file of a new SQLite database, readable only by its owner. The files that SQLite creates next to it
/// (`-wal`, `-shm`) get the same mode.
fn make_private(file: &Path) -> Result<(), StoreError> {
    if file.as_os_str().is_empty() || file == Path::new(":memory:") {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(sqlx::Error::Io(error).into()),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { index, source } => StoreError::Unread {
                column: index.trim_matches('"').to_owned(),
                // sqlx 0.9.0 replaces what a `try_from` column says by this text.
                source: Some(source).filter(|source| !source.to_string().starts_with("unprintable error")),
            },
            other => StoreError::Database(other),
        }
    }
}

/// Reads JSON from a column.
///
/// # Errors
///
/// [`StoreError::Damaged`], which names the row: unreadable JSON is not treated as empty.
pub fn stored<T: serde::de::DeserializeOwned>(
    table: &'static str,
    row: impl std::fmt::Display,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged {
        table,
        row: row.to_string(),
        column,
        source,
    })
}

/// Adds a method for each JSON column of a row. It reads the column, or fails with the row's name.
macro_rules! json_columns {
    ($row:ident in $table:literal by |$this:ident| $key:expr; $($(#[$doc:meta])* $method:ident = $column:ident: $type:ty;)+) => {
        impl $row {
            $($(#[$doc])*
            ///
            /// # Errors
            ///
            /// [`StoreError::Damaged`](crate::StoreError::Damaged) if the column cannot be read.
            pub fn $method(&self) -> Result<$type, $crate::engine::StoreError> {
                let $this = self;
                $crate::engine::stored($table, $key, stringify!($column), &self.$column)
            })+
        }
    };
}
pub(crate) use json_columns;

/// Whether the state of a database connection is known. A connection that is still in a transaction without an owner,
/// because its end failed, is closed instead of reused. A full disk leaves SQLite's only writer in this state.
async fn is_known<C: sqlx::Connection>(connection: &mut C) -> bool {
    if !connection.is_in_transaction() {
        return true;
    }
    // What was begun to be undone may not have been done yet.
    let undone = connection.ping().await.is_ok();
    if undone && !connection.is_in_transaction() {
        return true;
    }
    tracing::warn!("closed a database connection because a transaction on it did not end");
    false
}

/// A caller's limit, bounded by the maximum for any list.
pub(crate) fn bounded(limit: i64) -> i64 {
    limit.clamp(1, crate::LIST_LIMIT_MAX)
}

/// Text that both engines can store: PostgreSQL refuses NUL in text.
pub(crate) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}
