//! The sources of log records, the state of each, and the bucket objects that have been read.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, SourceState};
use sqlx::QueryBuilder;
use std::collections::HashSet;

/// One dataset of one connection through one source.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LogSourceRow {
    /// Of which account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Which dataset.
    pub dataset: String,
    /// `logpush`, `pull` or `object`.
    pub source: String,
    /// Whether someone wants it to run.
    pub wanted: bool,
    /// How it fares.
    #[sqlx(try_from = "String")]
    pub state: SourceState,
    /// Why, when it does not fare well.
    pub problem: Option<String>,
    /// The address pushed to, or the bucket read from. Never with a secret.
    pub place: Option<String>,
    /// Where the bucket's service is, when it is not the usual one.
    pub endpoint: Option<String>,
    /// The sealed keys of the bucket.
    pub keys_sealed: Option<Vec<u8>>,
    /// The job at Cloudflare.
    pub job_id: Option<i64>,
    /// Up to which time a pulled log has been read to its end.
    pub cursor_at: Option<DateTime<Utc>>,
    /// When the source last gave records.
    pub last_complete_at: Option<DateTime<Utc>>,
    /// When it last failed.
    pub last_error_at: Option<DateTime<Utc>>,
    /// With which words.
    pub error_message: Option<String>,
    /// A JSON array: the fields that the dataset has and the job does not ask for.
    pub missing_fields: String,
    /// A JSON array of sentences.
    pub warnings: String,
    /// When it was last looked at.
    pub checked_at: Option<DateTime<Utc>>,
    /// When the fields of the dataset were last compared.
    pub fields_checked_at: Option<DateTime<Utc>>,
}

impl LogSourceRow {
    /// A source that was never looked at.
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

/// The newest batch of a dataset through one source.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LastBatch {
    /// From which account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Of which dataset.
    pub dataset: String,
    /// Through which source.
    pub source: String,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

/// An object of a bucket that was read, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ObjectReadRow {
    /// For which account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// As which dataset.
    pub dataset: String,
    /// Its address, the bucket included.
    pub location: String,
    /// What the store calls its content; empty when it says nothing.
    pub etag: String,
    /// Its size as it lies there.
    pub bytes: i64,
    /// The batch that it became.
    pub batch_id: Option<String>,
    /// Why it became none.
    pub problem: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// When.
    pub read_at: DateTime<Utc>,
}

/// Everything this file sends to either engine.
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

pub(crate) const KNOWN_HEAD: &str = "SELECT id FROM event WHERE id IN ";
pub(crate) const OBJECTS_HEAD: &str = "SELECT * FROM object_read WHERE connection_id = ";

impl Store {
    /// Keeps a source as it was found. `entry` goes to the journal with it, when something is to be told.
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

    /// Sources, of one connection or of all, of one kind or of every.
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

    /// Remembers up to which time a source has been read. It never goes back.
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

    /// Forgets a source, and which objects were read for it.
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

    /// When the newest batch of each dataset came, by source.
    pub async fn batch_last(&self, connection: Option<&ConnectionId>) -> Result<Vec<LastBatch>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LAST_BATCHES).bind(connection.map(ConnectionId::as_str)).fetch_all(pool).await?
        }))
    }

    /// Which of these events are stored already.
    pub async fn event_known(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut known = HashSet::new();
        // Below the number of parameters that either engine takes.
        for part in ids.chunks(1_000) {
            let found: Vec<String> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(KNOWN_HEAD);
                query.push("(");
                let mut list = query.separated(", ");
                for id in part {
                    list.push_bind(id);
                }
                query.push(")");
                query.build_query_scalar().fetch_all(pool).await?
            });
            known.extend(found);
        }
        Ok(known)
    }

    /// Keeps that an object was read, or why it could not be, with what the journal is to be told. Its attempts are
    /// counted here.
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

    /// Of these objects, those that were read or tried.
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

    /// How many objects of a bucket were read or tried.
    pub async fn object_read_count(
        &self,
        connection: &ConnectionId,
        dataset: &str,
    ) -> Result<i64, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar(OBJECTS_COUNT).bind(&connection.0).bind(dataset).fetch_one(pool).await?
        }))
    }

    /// The objects that could not be read, newest first.
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
