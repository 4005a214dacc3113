//! The sources of log records, the state of each, and the bucket objects that have been read.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, SourceState};
use sqlx::QueryBuilder;

/// One dataset of one connection through one delivery method.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LogSourceRow {
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// `logpush`, `pull` or `object`.
    pub source: String,
    /// Whether it is enabled in Flareward.
    pub wanted: bool,
    /// Its state.
    #[sqlx(try_from = "String")]
    pub state: SourceState,
    /// The problem, if there is one.
    pub problem: Option<String>,
    /// The destination URL, or the bucket. Never with a secret.
    pub place: Option<String>,
    /// The URL of the bucket's service, if it is not the default.
    pub endpoint: Option<String>,
    /// The encrypted keys of the bucket.
    pub keys_sealed: Option<Vec<u8>>,
    /// The job at Cloudflare.
    pub job_id: Option<i64>,
    /// The time up to which a pulled log has been read completely.
    pub cursor_at: Option<DateTime<Utc>>,
    /// When it last delivered records.
    pub last_complete_at: Option<DateTime<Utc>>,
    /// When it last failed.
    pub last_error_at: Option<DateTime<Utc>>,
    /// The error message.
    pub error_message: Option<String>,
    /// A JSON array: the fields of the dataset that the job does not request.
    pub missing_fields: String,
    /// A JSON array of sentences.
    pub warnings: String,
    /// When it was last checked.
    pub checked_at: Option<DateTime<Utc>>,
    /// When the fields of the dataset were last compared.
    pub fields_checked_at: Option<DateTime<Utc>>,
}

impl LogSourceRow {
    /// A source that was never checked.
    pub fn new(connection_id: ConnectionId, dataset: &str, source: &str) -> Self {
        Self {
            connection_id,
            dataset: dataset.to_owned(),
            source: source.to_owned(),
            wanted: true,
            state: SourceState::New,
            problem: None,
            place: None,
            endpoint: None,
            keys_sealed: None,
            job_id: None,
            cursor_at: None,
            last_complete_at: None,
            last_error_at: None,
            error_message: None,
            missing_fields: "[]".to_owned(),
            warnings: "[]".to_owned(),
            checked_at: None,
            fields_checked_at: None,
        }
    }
}

/// The newest batch of a dataset through one delivery method.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LastBatch {
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// The delivery method.
    pub source: String,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

/// A bucket object that was read or tried.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ObjectReadRow {
    /// The connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// Its URL, including the bucket.
    pub location: String,
    /// The object store's identifier of its content; empty if there is none.
    pub etag: String,
    /// Its stored size.
    pub bytes: i64,
    /// The batch that was created from it.
    pub batch_id: Option<String>,
    /// Why no batch was created.
    pub problem: Option<String>,
    /// The number of attempts.
    pub attempts: i64,
    /// When.
    pub read_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    PUT,
    LIST,
    GET,
    CURSOR,
    DELETE,
    LAST_BATCHES,
    OBJECT_PUT,
    OBJECT_PROBLEMS,
    OBJECTS_COUNT,
    OBJECTS_FORGET,
];

const PUT: &str = "
    INSERT INTO log_source (connection_id, dataset, source, wanted, state, problem, place, endpoint, keys_sealed,
        job_id, cursor_at, last_complete_at, last_error_at, error_message, missing_fields, warnings, checked_at,
        fields_checked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    ON CONFLICT (connection_id, dataset, source) DO UPDATE SET wanted = excluded.wanted, state = excluded.state,
        problem = excluded.problem, place = excluded.place, endpoint = excluded.endpoint,
        keys_sealed = excluded.keys_sealed, job_id = excluded.job_id, cursor_at = excluded.cursor_at,
        last_complete_at = excluded.last_complete_at, last_error_at = excluded.last_error_at,
        error_message = excluded.error_message, missing_fields = excluded.missing_fields,
        warnings = excluded.warnings, checked_at = excluded.checked_at,
        fields_checked_at = excluded.fields_checked_at";
const LIST: &str = "
    SELECT * FROM log_source
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (CAST($2 AS TEXT) IS NULL OR source = $2)
    ORDER BY connection_id, dataset, source LIMIT 10000";
const GET: &str = "SELECT * FROM log_source WHERE connection_id = $1 AND dataset = $2 AND source = $3";
const CURSOR: &str = "
    UPDATE log_source SET cursor_at = $4
    WHERE connection_id = $1 AND dataset = $2 AND source = $3 AND (cursor_at IS NULL OR cursor_at < $4)";
const DELETE: &str = "DELETE FROM log_source WHERE connection_id = $1 AND dataset = $2 AND source = $3";
const LAST_BATCHES: &str = "
    SELECT connection_id, dataset, source, MAX(received_at) AS received_at FROM batch
    WHERE CAST($1 AS TEXT) IS NULL OR connection_id = $1
    GROUP BY connection_id, dataset, source ORDER BY connection_id, dataset, source LIMIT 10000";
const OBJECT_PUT: &str = "
    INSERT INTO object_read (connection_id, dataset, location, etag, bytes, batch_id, problem, attempts, read_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)
    ON CONFLICT (connection_id, dataset, location) DO UPDATE SET etag = excluded.etag, bytes = excluded.bytes,
        batch_id = excluded.batch_id, problem = excluded.problem, read_at = excluded.read_at,
        attempts = CASE WHEN object_read.etag = excluded.etag AND object_read.bytes = excluded.bytes
            THEN object_read.attempts + 1 ELSE 1 END";
const OBJECT_PROBLEMS: &str = "
    SELECT * FROM object_read WHERE connection_id = $1 AND dataset = $2 AND batch_id IS NULL AND problem IS NOT NULL
    ORDER BY read_at DESC, location LIMIT $3";
const OBJECTS_COUNT: &str = "SELECT COUNT(*) FROM object_read WHERE connection_id = $1 AND dataset = $2";
const OBJECTS_FORGET: &str = "DELETE FROM object_read WHERE connection_id = $1 AND dataset = $2";

pub(crate) const OBJECTS_HEAD: &str = "SELECT * FROM object_read WHERE connection_id = ";

impl Store {
    /// Stores the state of a source, together with `entry` for the journal if there is one.
    pub async fn log_source_put(
        &self,
        row: &LogSourceRow,
        entry: Option<&JournalEntry>,
    ) -> Result<(), StoreError> {
        let kept = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
        in_transaction!(self, tx => {
            sqlx::query(PUT)
                .bind(&row.connection_id.0).bind(&row.dataset).bind(&row.source).bind(row.wanted)
                .bind(row.state.as_str()).bind(kept(&row.problem)).bind(&row.place).bind(&row.endpoint)
                .bind(&row.keys_sealed).bind(row.job_id).bind(row.cursor_at).bind(row.last_complete_at)
                .bind(row.last_error_at).bind(kept(&row.error_message)).bind(&row.missing_fields)
                .bind(&row.warnings).bind(row.checked_at).bind(row.fields_checked_at)
                .execute(&mut *tx).await?;
            if let Some(entry) = entry {
                journal_write!(tx, entry);
            }
        });
        Ok(())
    }

    /// Sources, of one connection or all, of one delivery method or all.
    pub async fn log_source_list(
        &self,
        connection: Option<&ConnectionId>,
        source: Option<&str>,
    ) -> Result<Vec<LogSourceRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(connection.map(ConnectionId::as_str)).bind(source).fetch_all(pool).await?
        }))
    }

    /// One source.
    pub async fn log_source_get(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        source: &str,
    ) -> Result<Option<LogSourceRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(GET).bind(&connection.0).bind(dataset).bind(source).fetch_optional(pool).await?
        }))
    }

    /// Stores the time up to which a source has been read. It never moves back.
    pub async fn log_source_cursor_set(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        source: &str,
        cursor_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(CURSOR).bind(&connection.0).bind(dataset).bind(source).bind(cursor_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Deletes a source, and the record of the objects read for it.
    pub async fn log_source_delete(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        source: &str,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(DELETE).bind(&connection.0).bind(dataset).bind(source).execute(&mut *tx).await?;
            if source == "object" {
                sqlx::query(OBJECTS_FORGET).bind(&connection.0).bind(dataset).execute(&mut *tx).await?;
            }
        });
        Ok(())
    }

    /// When the newest batch of each dataset arrived, by delivery method.
    pub async fn batch_last(&self, connection: Option<&ConnectionId>) -> Result<Vec<LastBatch>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LAST_BATCHES).bind(connection.map(ConnectionId::as_str)).fetch_all(pool).await?
        }))
    }

    /// Records that an object was read, or why it could not be, together with a journal entry. Counts the attempts.
    pub async fn object_read_put(
        &self,
        row: &ObjectReadRow,
        entry: Option<&JournalEntry>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(OBJECT_PUT)
                .bind(&row.connection_id.0).bind(&row.dataset).bind(&row.location).bind(&row.etag)
                .bind(row.bytes).bind(&row.batch_id)
                .bind(row.problem.as_deref().map(|text| storable(text).into_owned())).bind(row.read_at)
                .execute(&mut *tx).await?;
            if let Some(entry) = entry {
                journal_write!(tx, entry);
            }
        });
        Ok(())
    }

    /// The objects among these that were read or tried.
    pub async fn object_read_known(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        locations: &[String],
    ) -> Result<Vec<ObjectReadRow>, StoreError> {
        let mut known = Vec::new();
        for part in locations.chunks(500) {
            let found: Vec<ObjectReadRow> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(OBJECTS_HEAD);
                query.push_bind(&connection.0).push(" AND dataset = ").push_bind(dataset).push(" AND location IN (");
                let mut list = query.separated(", ");
                for location in part {
                    list.push_bind(location);
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            known.extend(found);
        }
        Ok(known)
    }

    /// The number of objects of a bucket that were read or tried.
    pub async fn object_read_count(
        &self,
        connection: &ConnectionId,
        dataset: &str,
    ) -> Result<i64, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar(OBJECTS_COUNT).bind(&connection.0).bind(dataset).fetch_one(pool).await?
        }))
    }

    /// The unreadable objects, newest first.
    pub async fn object_read_problems(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        limit: i64,
    ) -> Result<Vec<ObjectReadRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(OBJECT_PROBLEMS).bind(&connection.0).bind(dataset).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }
}
