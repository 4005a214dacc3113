//! Shows the contents of a file: its syncs, the number of objects of each type, and the objects.
//!
//! Also reads files from other writers, as far as their tables allow. A file is untrusted input: its unpacked size is
//! limited, its database is opened read-only, and unexpected objects in place of tables are refused.

use crate::message::{Entitlement, Grant, Resource, ResourceType};
use crate::writer::blocking;
use crate::{C1zError, SyncId, container, tables};
use chrono::{DateTime, NaiveDateTime, Utc};
use prost::Message;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The maximum number of rows in a page.
const PAGE_ROWS_MAX: u32 = 10_000;

/// An open file.
#[derive(Debug)]
pub struct Reader {
    database: SqliteConnection,
    /// Removed when the reader is dropped.
    _scratch: TempDir,
}

/// One sync of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRun {
    /// Its id.
    pub id: SyncId,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` if it did not end.
    pub ended_at: Option<DateTime<Utc>>,
}

impl SyncRun {
    pub(crate) fn from_row((id, started, ended): (String, String, Option<String>)) -> Result<Self, C1zError> {
        Ok(Self {
            id: SyncId::stored(id),
            started_at: time_of(&started)?,
            ended_at: ended.as_deref().map(time_of).transpose()?,
        })
    }
}

/// The number of objects in a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resource types.
    pub resource_types: u64,
    /// Resources, by their type.
    pub resources: BTreeMap<String, u64>,
    /// Entitlements, by the type of their resource.
    pub entitlements: BTreeMap<String, u64>,
    /// Grants, by the resource type of the entitlement.
    pub grants: BTreeMap<String, u64>,
}

/// A stored object.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<M> {
    /// Its position in the table, to continue from.
    pub position: i64,
    /// Its id; a resource's id is `{type}:{id}`.
    pub id: String,
    /// The object, with the fields that this crate knows.
    pub object: M,
    /// The stored bytes.
    pub bytes: Vec<u8>,
}

/// A kind of object with its own table: a resource type, a resource, an entitlement or a grant.
pub trait Stored: Message + Default + private::Page {}

mod private {
    /// Reads a page of one kind of object.
    pub trait Page {
        const PAGE: &'static str;
    }
}

macro_rules! stored {
    ($($message:ident from $table:literal),* $(,)?) => { $(
        impl Stored for $message {}
        impl private::Page for $message {
            const PAGE: &'static str = concat!(
                "SELECT id, external_id, data FROM ", $table,
                " WHERE sync_id = $1 AND id > $2 ORDER BY id LIMIT $3"
            );
        }
    )* };
}

stored!(
    ResourceType from "v1_resource_types", Resource from "v1_resources",
    Entitlement from "v1_entitlements", Grant from "v1_grants",
);

impl Reader {
    /// Opens a file whose database has at most `limit_bytes`; see [`crate::UNPACKED_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`C1zError::NotC1z`] if the file has another format or is empty; [`C1zError::TooLarge`].
    pub async fn open(path: impl Into<PathBuf>, limit_bytes: u64) -> Result<Self, C1zError> {
        let path = path.into();
        let scratch = tempfile::tempdir().map_err(C1zError::io("make a folder to read", &path))?;
        let unpacked = scratch.path().join("sync.db");
        blocking({
            let (path, unpacked) = (path.clone(), unpacked.clone());
            move || container::unpack(&path, &unpacked, limit_bytes)
        })
        .await?;
        Ok(Self {
            database: check(&path, &unpacked).await?,
            _scratch: scratch,
        })
    }

    /// All syncs, newest first; unfinished ones are last.
    pub async fn syncs(&mut self) -> Result<Vec<SyncRun>, C1zError> {
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT sync_id, started_at, ended_at FROM v1_sync_runs
             ORDER BY ended_at IS NULL, ended_at DESC, sync_id DESC LIMIT 1000",
        )
        .fetch_all(&mut self.database)
        .await?;
        rows.into_iter().map(SyncRun::from_row).collect()
    }

    /// The number of objects in a sync.
    pub async fn counts(&mut self, sync: &SyncId) -> Result<Counts, C1zError> {
        let types: i64 = sqlx::query_scalar(tables::RESOURCE_TYPES.count)
            .bind(sync.as_str())
            .fetch_one(&mut self.database)
            .await?;
        let mut by_type = Vec::new();
        for statement in [
            "SELECT resource_type_id, count(*) FROM v1_resources WHERE sync_id = $1 GROUP BY 1",
            "SELECT resource_type_id, count(*) FROM v1_entitlements WHERE sync_id = $1 GROUP BY 1",
            "SELECT resource_type_id, count(*) FROM v1_grants WHERE sync_id = $1 GROUP BY 1",
        ] {
            let rows: Vec<(String, i64)> = sqlx::query_as(statement)
                .bind(sync.as_str())
                .fetch_all(&mut self.database)
                .await?;
            by_type.push(
                rows.into_iter()
                    .map(|(kind, count)| (kind, count.unsigned_abs()))
                    .collect(),
            );
        }
        let mut by_type = by_type.into_iter();
        let mut next = || by_type.next().unwrap_or_default();
        Ok(Counts {
            resource_types: types.unsigned_abs(),
            resources: next(),
            entitlements: next(),
            grants: next(),
        })
    }

    /// The objects of one kind in a sync, in the order in which they were written: up to `limit` after the position
    /// `after` (0 at first). An empty page is the end.
    ///
    /// # Errors
    ///
    /// [`C1zError::Message`] if a message cannot be decoded.
    pub async fn page<M: Stored>(
        &mut self,
        sync: &SyncId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Row<M>>, C1zError> {
        let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(M::PAGE)
            .bind(sync.as_str())
            .bind(after)
            .bind(limit.min(PAGE_ROWS_MAX))
            .fetch_all(&mut self.database)
            .await?;
        rows.into_iter()
            .map(|(position, id, bytes)| match M::decode(bytes.as_slice()) {
                Ok(object) => Ok(Row {
                    position,
                    id,
                    object,
                    bytes,
                }),
                Err(source) => Err(C1zError::Message { id, source }),
            })
            .collect()
    }
}

/// Opens an unpacked database read-only, and checks that it has the expected tables.
pub(crate) async fn check(path: &Path, database: &Path) -> Result<SqliteConnection, C1zError> {
    let not = |why| C1zError::NotC1z {
        path: path.to_owned(),
        why,
    };
    let mut connection = SqliteConnectOptions::new()
        .filename(database)
        .read_only(true)
        .immutable(true)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|_| not("what it holds is no SQLite database"))?;
    for table in tables::ALL {
        let kind: Option<String> = sqlx::query_scalar("SELECT type FROM sqlite_schema WHERE name = $1")
            .bind(table.name)
            .fetch_optional(&mut connection)
            .await
            .map_err(|_| not("what it holds is no SQLite database"))?;
        if kind.as_deref() != Some("table") {
            return Err(not("its database lacks a table"));
        }
    }
    Ok(connection)
}

/// A time in the format of the files: UTC without a zone, the fraction without trailing zeros.
pub(crate) fn time_text(at: DateTime<Utc>) -> String {
    let whole = at.format("%Y-%m-%d %H:%M:%S").to_string();
    match at.timestamp_subsec_nanos().min(999_999_999) {
        0 => whole,
        nanos => format!("{whole}.{}", format!("{nanos:09}").trim_end_matches('0')),
    }
}

fn time_of(text: &str) -> Result<DateTime<Utc>, C1zError> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .map(|at| at.and_utc())
        .map_err(|_| C1zError::TimeText {
            text: text.chars().take(40).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_without_zone_and_trailing_zeros() {
        for (given, written) in [
            ("2026-01-05T10:00:00Z", "2026-01-05 10:00:00"),
            ("2026-01-05T10:00:00.120Z", "2026-01-05 10:00:00.12"),
            ("2026-01-05T10:00:00.000000009Z", "2026-01-05 10:00:00.000000009"),
            ("2026-01-05T12:30:00+02:00", "2026-01-05 10:30:00"),
        ] {
            let at: DateTime<Utc> = given.parse().unwrap();
            assert_eq!(time_text(at), written);
            assert_eq!(time_of(written).unwrap(), at);
        }
        assert!(time_of("2026-01-05T10:00:00Z").is_err());
    }
}
