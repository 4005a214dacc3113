//! Writes one sync into a file, next to the newest sync that the file contains.
//!
//! Rows go in batches to a database in a scratch folder. The file itself changes only at the end of
//! [`SyncWriter::finish`], which replaces it in one step. A writer that is dropped earlier changes nothing. Memory does
//! not grow with the number of rows.

use crate::message::{Entitlement, Grant, Resource, ResourceId, ResourceType};
use crate::tables::{self, Table};
use crate::{
    C1zError, DESCRIPTION_BYTES_MAX, ID_BYTES_MAX, SyncId, SyncRun, UNPACKED_BYTES_MAX, container, reader,
};
use chrono::{DateTime, Utc};
use prost::Message;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The number of rows in a batch: SQLite accepts 32,766 values in a statement, and a grant has nine.
const BATCH_ROWS: usize = 500;
/// The size of a batch, for large rows; chosen, nothing depends on it.
const BATCH_BYTES: usize = 1 << 20;

/// The page size of Baton's own writers.
const PAGE_BYTES: u32 = 4096;

/// Options for writing.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Where the new database is created before it is packed, and the old one unpacked; `None` means the system's
    /// folder for temporary files. It needs space for both.
    pub scratch_folder: Option<PathBuf>,
    /// The zstd level, 1 (fast) to 19 (small).
    pub level: i32,
    /// The maximum size of the database in a file, in bytes. A larger existing one is refused; if the new one would be
    /// larger, it is written without the older sync.
    pub unpacked_bytes_max: u64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            scratch_folder: None,
            level: 3,
            unpacked_bytes_max: UNPACKED_BYTES_MAX,
        }
    }
}

/// A file that will get a new sync.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    level: i32,
    unpacked_bytes_max: u64,
    database: SqliteConnection,
    database_path: PathBuf,
    kept: Option<SyncRun>,
    /// Removed when the writer is dropped.
    _scratch: TempDir,
}

impl Writer {
    /// Opens `path` for one more sync. If it has finished syncs, the newest is kept; if it is empty or missing, it will
    /// contain only the new one.
    ///
    /// # Errors
    ///
    /// [`C1zError::NotC1z`] and [`C1zError::Foreign`] if writing would destroy the existing content;
    /// [`C1zError::TooLarge`] if the unpacked size exceeds the limit.
    pub async fn open(path: impl Into<PathBuf>, options: WriterOptions) -> Result<Self, C1zError> {
        let path = path.into();
        let scratch = match &options.scratch_folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        }
        .map_err(C1zError::io("make a folder to write", &path))?;
        let database_path = scratch.path().join("sync.db");
        let mut database = SqliteConnectOptions::new()
            .filename(&database_path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .pragma("encoding", "'UTF-8'")
            .pragma("trusted_schema", "OFF")
            // Nothing is to be rolled back: a database that could not be written to its end is thrown away.
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .disable_statement_logging()
            .connect()
            .await?;
        for table in tables::ALL {
            sqlx::raw_sql(table.create).execute(&mut database).await?;
        }
        let kept = keep_newest(&path, scratch.path(), options.unpacked_bytes_max, &mut database).await?;
        Ok(Self {
            path,
            level: options.level,
            unpacked_bytes_max: options.unpacked_bytes_max,
            database,
            database_path,
            kept,
            _scratch: scratch,
        })
    }

    /// The sync that stays in the file, if there is one.
    pub fn kept(&self) -> Option<&SyncRun> {
        self.kept.as_ref()
    }

    /// Starts the sync. `random` makes it unique within the same second, and must not be used twice.
    ///
    /// # Errors
    ///
    /// [`C1zError::SyncExists`] if the kept sync has the same time and random bytes; [`C1zError::Time`] if the time is
    /// outside the range of an id.
    pub async fn begin_sync(
        mut self,
        started_at: DateTime<Utc>,
        random: [u8; 16],
    ) -> Result<SyncWriter, C1zError> {
        let id = SyncId::new(started_at, random)?;
        if self.kept.as_ref().is_some_and(|kept| kept.id == id) {
            return Err(C1zError::SyncExists { id: id.to_string() });
        }
        let started = reader::time_text(started_at);
        sqlx::raw_sql("BEGIN").execute(&mut self.database).await?;
        sqlx::query("INSERT INTO v1_sync_runs (sync_id, started_at, sync_token) VALUES ($1, $2, '')")
            .bind(id.as_str())
            .bind(&started)
            .execute(&mut self.database)
            .await?;
        let waiting = [
            &tables::RESOURCE_TYPES,
            &tables::RESOURCES,
            &tables::ENTITLEMENTS,
            &tables::GRANTS,
        ]
        .map(Batch::new);
        Ok(SyncWriter {
            writer: self,
            id,
            started_at,
            discovered: started,
            waiting,
        })
    }
}

/// Copies the newest finished sync of `path` into `database`, and returns it.
async fn keep_newest(
    path: &Path,
    scratch: &Path,
    limit_bytes: u64,
    database: &mut SqliteConnection,
) -> Result<Option<SyncRun>, C1zError> {
    let before = scratch.join("before.db");
    if !blocking({
        let (path, before) = (path.to_owned(), before.clone());
        move || {
            let is_there = container::has_content(&path)?;
            if is_there {
                container::unpack(&path, &before, limit_bytes)?;
            }
            Ok(is_there)
        }
    })
    .await?
    {
        return Ok(None);
    }
    reader::check(path, &before).await?;
    sqlx::query("ATTACH DATABASE $1 AS before")
        .bind(before.to_string_lossy())
        .execute(&mut *database)
        .await?;
    for table in tables::ALL {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM pragma_table_info($1, 'before') WHERE name <> 'id' ORDER BY cid",
        )
        .bind(table.name)
        .fetch_all(&mut *database)
        .await?;
        if let Some(column) = columns
            .into_iter()
            .find(|column| !table.columns.contains(&column.as_str()))
        {
            return Err(C1zError::Foreign {
                path: path.to_owned(),
                table: table.name,
                column,
            });
        }
    }
    let newest: Option<(String, String, Option<String>)> = sqlx::query_as(
        "SELECT sync_id, started_at, ended_at FROM before.v1_sync_runs
         WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, sync_id DESC LIMIT 1",
    )
    .fetch_optional(&mut *database)
    .await?;
    let newest = newest.map(SyncRun::from_row).transpose()?;
    if let Some(newest) = &newest {
        for table in tables::ALL {
            sqlx::query(table.keep)
                .bind(newest.id.as_str())
                .execute(&mut *database)
                .await?;
        }
    }
    // A statement that is cached would hold the database that is to be let go.
    database.clear_cached_statements().await?;
    sqlx::raw_sql("DETACH DATABASE before")
        .execute(&mut *database)
        .await?;
    std::fs::remove_file(&before).map_err(C1zError::io("remove", &before))?;
    Ok(newest)
}

/// Runs a blocking function on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, C1zError> + Send + 'static,
) -> Result<T, C1zError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// A sync in progress. Objects can come in any order; of two with the same id, the later one wins.
#[derive(Debug)]
pub struct SyncWriter {
    writer: Writer,
    id: SyncId,
    started_at: DateTime<Utc>,
    discovered: String,
    waiting: [Batch; 4],
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The new sync.
    pub sync_id: SyncId,
    /// The older sync that is also in the file.
    pub kept: Option<SyncId>,
    /// Resource types of the new sync.
    pub resource_types: u64,
    /// Resources of the new sync.
    pub resources: u64,
    /// Entitlements of the new sync.
    pub entitlements: u64,
    /// Grants of the new sync.
    pub grants: u64,
    /// The size of the database, with both syncs, in bytes. SDK 0.1 reads up to [`UNPACKED_BYTES_MAX`].
    pub database_bytes: u64,
    /// The size of the file in bytes.
    pub file_bytes: u64,
}

impl SyncWriter {
    /// The new sync's id.
    pub fn id(&self) -> &SyncId {
        &self.id
    }

    /// Adds a resource type. This and the functions below truncate names and descriptions that are too long.
    ///
    /// # Errors
    ///
    /// [`C1zError::EmptyId`], [`C1zError::LongId`] and [`C1zError::Missing`] for an object that readers cannot use; the
    /// sync continues without it. Any other error ends the sync. The same applies to the functions below.
    pub async fn resource_type(&mut self, mut kind: ResourceType) -> Result<(), C1zError> {
        id_fits("a resource type", &kind.display_name, &kind.id)?;
        cut(&mut kind.display_name, ID_BYTES_MAX);
        cut(&mut kind.description, DESCRIPTION_BYTES_MAX);
        let data = kind.encode_to_vec();
        self.add(0, vec![Some(kind.id)], data).await
    }

    /// Adds a resource.
    ///
    /// # Errors
    ///
    /// See [`Self::resource_type`].
    pub async fn resource(&mut self, mut resource: Resource) -> Result<(), C1zError> {
        cut(&mut resource.display_name, ID_BYTES_MAX);
        cut(&mut resource.description, DESCRIPTION_BYTES_MAX);
        let data = resource.encode_to_vec();
        let id = resource_id(resource.id, "a resource", &resource.display_name)?;
        let (parent_type, parent) = match resource.parent_resource_id {
            Some(parent) => (Some(parent.resource_type), Some(parent.resource)),
            None => (None, None),
        };
        let external = format!("{}:{}", id.resource_type, id.resource);
        let keys = vec![Some(id.resource_type), Some(external), parent_type, parent];
        self.add(1, keys, data).await
    }

    /// Adds an entitlement.
    ///
    /// # Errors
    ///
    /// See [`Self::resource_type`].
    pub async fn entitlement(&mut self, mut entitlement: Entitlement) -> Result<(), C1zError> {
        id_fits("an entitlement", &entitlement.display_name, &entitlement.id)?;
        cut(&mut entitlement.display_name, ID_BYTES_MAX);
        cut(&mut entitlement.description, DESCRIPTION_BYTES_MAX);
        let data = entitlement.encode_to_vec();
        let of = entitlement.resource.and_then(|resource| resource.id);
        let of = resource_id(of, "the resource of an entitlement", &entitlement.id)?;
        let keys = vec![Some(of.resource_type), Some(of.resource), Some(entitlement.id)];
        self.add(2, keys, data).await
    }

    /// Adds a grant.
    ///
    /// # Errors
    ///
    /// See [`Self::resource_type`].
    pub async fn grant(&mut self, grant: Grant) -> Result<(), C1zError> {
        id_fits("a grant", "", &grant.id)?;
        let data = grant.encode_to_vec();
        let Some(entitlement) = grant.entitlement else {
            return Err(C1zError::Missing {
                what: format!("grant {}", grant.id),
                missing: "entitlement",
            });
        };
        id_fits("the entitlement of a grant", &grant.id, &entitlement.id)?;
        let of = entitlement.resource.and_then(|resource| resource.id);
        let of = resource_id(of, "the resource of a grant", &grant.id)?;
        let who = grant.principal.and_then(|principal| principal.id);
        let who = resource_id(who, "the principal of a grant", &grant.id)?;
        let keys = vec![
            Some(of.resource_type),
            Some(of.resource),
            Some(entitlement.id),
            Some(who.resource_type),
            Some(who.resource),
            Some(grant.id),
        ];
        self.add(3, keys, data).await
    }

    /// Ends the sync and replaces the file.
    ///
    /// # Errors
    ///
    /// [`C1zError::EndsBeforeStart`]; [`C1zError::Io`] if the file cannot be written, in which case the old file is
    /// unchanged.
    pub async fn finish(mut self, ended_at: DateTime<Utc>) -> Result<Finished, C1zError> {
        if ended_at < self.started_at {
            return Err(C1zError::EndsBeforeStart {
                started_at: self.started_at,
                ended_at,
            });
        }
        for place in 0..self.waiting.len() {
            self.flush(place).await?;
        }
        let Self { mut writer, id, .. } = self;
        let database = &mut writer.database;
        sqlx::query("UPDATE v1_sync_runs SET ended_at = $2 WHERE sync_id = $1")
            .bind(id.as_str())
            .bind(reader::time_text(ended_at))
            .execute(&mut *database)
            .await?;
        let mut counts = [0_u64; 4];
        for (count, table) in counts.iter_mut().zip(tables::ALL) {
            let rows: i64 = sqlx::query_scalar(table.count)
                .bind(id.as_str())
                .fetch_one(&mut *database)
                .await?;
            *count = rows.unsigned_abs();
        }
        for statement in tables::ALL.iter().flat_map(|table| table.index) {
            sqlx::raw_sql(*statement).execute(&mut *database).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut *database).await?;
        // Better one sync that readers take than two that they refuse.
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
            .fetch_one(&mut *database)
            .await?;
        let is_too_large = pages.unsigned_abs() * u64::from(PAGE_BYTES) > writer.unpacked_bytes_max;
        if let Some(kept) = writer.kept.take_if(|_| is_too_large) {
            for table in tables::ALL {
                sqlx::query(table.remove)
                    .bind(kept.id.as_str())
                    .execute(&mut *database)
                    .await?;
            }
            sqlx::raw_sql("VACUUM").execute(&mut *database).await?;
        }
        let Writer {
            path,
            level,
            unpacked_bytes_max: _,
            database,
            database_path,
            kept,
            _scratch,
        } = writer;
        database.close().await?;
        let (database_bytes, file_bytes) = blocking(move || {
            let about = std::fs::metadata(&database_path).map_err(C1zError::io("read", &database_path))?;
            Ok((about.len(), container::pack(&database_path, &path, level)?))
        })
        .await?;
        let [resource_types, resources, entitlements, grants] = counts;
        Ok(Finished {
            sync_id: id,
            kept: kept.map(|run| run.id),
            resource_types,
            resources,
            entitlements,
            grants,
            database_bytes,
            file_bytes,
        })
    }

    async fn add(&mut self, place: usize, keys: Vec<Option<String>>, data: Vec<u8>) -> Result<(), C1zError> {
        let batch = &mut self.waiting[place];
        batch.bytes += data.len();
        batch.rows.push((keys, data));
        if batch.rows.len() >= BATCH_ROWS || batch.bytes >= BATCH_BYTES {
            self.flush(place).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, place: usize) -> Result<(), C1zError> {
        let batch = &mut self.waiting[place];
        if batch.rows.is_empty() {
            return Ok(());
        }
        let (id, discovered) = (&self.id, &self.discovered);
        let mut insert = QueryBuilder::new(batch.table.insert);
        insert.push_values(batch.rows.drain(..), |mut row, (keys, data)| {
            for key in keys {
                row.push_bind(key);
            }
            row.push_bind(data).push_bind(id.as_str()).push_bind(discovered);
        });
        insert.push(tables::REPLACE);
        batch.bytes = 0;
        insert.build().execute(&mut self.writer.database).await?;
        Ok(())
    }
}

/// Rows that will be sent together: the columns before `data`, and the data.
#[derive(Debug)]
struct Batch {
    table: &'static Table,
    rows: Vec<(Vec<Option<String>>, Vec<u8>)>,
    bytes: usize,
}

impl Batch {
    fn new(table: &'static Table) -> Self {
        Self {
            table,
            rows: Vec::new(),
            bytes: 0,
        }
    }
}

/// Refuses an id that readers cannot use. `name` helps a person to find the object.
fn id_fits(what: &str, name: &str, id: &str) -> Result<(), C1zError> {
    let what = || match name {
        "" => what.to_owned(),
        name => format!("{what} ({name})"),
    };
    if id.is_empty() {
        return Err(C1zError::EmptyId { what: what() });
    }
    if id.len() > ID_BYTES_MAX {
        return Err(C1zError::LongId {
            what: what(),
            start: id.chars().take(60).collect(),
        });
    }
    Ok(())
}

fn resource_id(id: Option<ResourceId>, what: &str, name: &str) -> Result<ResourceId, C1zError> {
    let id = id.unwrap_or_default();
    id_fits(&format!("the type of {what}"), name, &id.resource_type)?;
    id_fits(what, name, &id.resource)?;
    Ok(id)
}

/// Truncates a text at a character boundary to at most `bytes`.
fn cut(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}
