//! Log batches: the place of each in the archive, and its processing state.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::reject::{self, RejectRow, reject_write};
use chrono::{DateTime, Utc};
use model::{BatchState, ConnectionId};
use sqlx::QueryBuilder;
use std::collections::HashMap;

/// A batch that is durable in the archive.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of BatchRow")]
pub struct NewBatch {
    pub id: String,
    pub connection_id: ConnectionId,
    pub dataset: String,
    pub source: &'static str,
    pub path: String,
    pub bytes: i64,
    pub received_at: DateTime<Utc>,
}

/// One delivery of log records.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct BatchRow {
    /// SHA-256 over connection, dataset and uncompressed content, in hex.
    pub id: String,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// `logpush`, `pull`, `object` or `file`.
    pub source: String,
    /// Its path in the archive.
    pub path: String,
    /// Its size, uncompressed.
    pub bytes: i64,
    /// When it was first delivered.
    pub received_at: DateTime<Utc>,
    /// How often the same content was delivered.
    pub deliveries: i64,
    /// Its processing state.
    #[sqlx(try_from = "String")]
    pub state: BatchState,
    /// Why it cannot be processed.
    pub problem: Option<String>,
    /// Lines that are not blank; a mail counts once for each of its recipients.
    pub records: i64,
    /// Records that became events of this batch.
    pub accepted: i64,
    /// Records that were already events.
    pub duplicates: i64,
    /// Lines that could not be read.
    pub rejected: i64,
    /// Records that became events after a repair.
    pub repaired: i64,
    /// How many times a new look at its events was requested.
    pub again: i64,
}

/// The totals over all batches.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "sums of the columns of the same name; pending counts unfinished batches"
)]
pub struct BatchCounts {
    pub batches: i64,
    pub deliveries: i64,
    pub records: i64,
    pub accepted: i64,
    pub duplicates: i64,
    pub rejected: i64,
    pub repaired: i64,
    pub pending: i64,
    pub failed: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    ARCHIVE,
    GET,
    BEGIN_STORED,
    STORED,
    DETECTED,
    FAILED,
    LIST,
    COUNTS,
    BETWEEN,
    REPLAY,
    REPLAY_TOTAL,
    REPLAY_LEFT,
    REPLAY_OWN,
    REPLAY_CANCEL,
    RECENT,
];

const ARCHIVE: &str = "
    INSERT INTO batch (id, connection_id, dataset, source, path, bytes, received_at, deliveries, state, records,
        accepted, duplicates, rejected)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 'archived', 0, 0, 0, 0)
    ON CONFLICT (id) DO UPDATE SET deliveries = batch.deliveries + 1,
        path = CASE WHEN batch.state = 'failed' THEN excluded.path ELSE batch.path END,
        problem = CASE WHEN batch.state = 'failed' THEN NULL ELSE batch.problem END,
        state = CASE WHEN batch.state = 'failed' THEN 'archived' ELSE batch.state END
    RETURNING deliveries";
const GET: &str = "SELECT * FROM batch WHERE id = $1";
pub(crate) const PATHS_HEAD: &str = "SELECT id, path FROM batch WHERE id IN (";
// Counted from what is there, not from what this run inserted: a run that was killed half-way and repeated
// comes to the same figures. What stands at line 0 is about the whole batch, and no record of it.
const STORED: &str = "
    UPDATE batch SET records = $2, repaired = $3,
        accepted = (SELECT COUNT(*) FROM event WHERE batch_id = $1),
        rejected = (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM reject WHERE batch_id = $1),
        duplicates = $2 - (SELECT COUNT(*) FROM event WHERE batch_id = $1)
            - (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM reject WHERE batch_id = $1 AND first_line > 0)
    WHERE id = $1";
const BEGIN_STORED: &str = "UPDATE batch SET state = 'stored' WHERE id = $1 AND state = 'archived'";
// Only by whoever claims it, and only when nothing asked for its events anew since.
const DETECTED: &str = "
    UPDATE batch SET state = CASE WHEN again = $3 THEN 'detected' ELSE state END,
        replay_id = CASE WHEN again = $3 THEN NULL ELSE replay_id END, claimed_by = NULL, claimed_until_ms = 0
    WHERE id = $1 AND claimed_by = $2 AND state = 'stored'";
const FAILED: &str = "
    UPDATE batch SET state = 'failed', problem = $3, replay_id = NULL, claimed_by = NULL, claimed_until_ms = 0
    WHERE id = $1 AND claimed_by = $2";
const LIST: &str = "
    SELECT * FROM batch
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2)
    ORDER BY received_at DESC, id DESC LIMIT $3";
// A batch that was pushed may hold records up to a day older than its arrival, any other records of any age.
const BETWEEN: &str = "
    SELECT * FROM batch WHERE (received_at >= $1 OR source <> 'logpush') AND state <> 'failed' AND id > $2
    ORDER BY id LIMIT 1000";
// A batch that something else sends through detection as well belongs to no replay: cancelling one must not take it back.
const REPLAY: &str = "
    UPDATE batch SET state = CASE state WHEN 'detected' THEN 'stored' ELSE state END,
        replay_id = CASE WHEN state = 'detected' OR replay_id = $4 THEN $4 END, again = again + 1
    WHERE state IN ('stored', 'detected') AND received_at >= $1 AND received_at < $2
        AND (CAST($3 AS TEXT) IS NULL OR dataset = $3)
    RETURNING id";
const REPLAY_TOTAL: &str = "UPDATE operation SET total = $2 WHERE id = $1 AND (total IS NULL OR total < $2)";
// The index of batches that wait is asked: there are few, however many batches there are.
const REPLAY_LEFT: &str = "
    SELECT COUNT(*) FROM batch
    WHERE state = 'stored' AND state IN ('archived', 'stored') AND received_at >= $1 AND received_at < $2
        AND (CAST($3 AS TEXT) IS NULL OR dataset = $3)";
const REPLAY_OWN: &str = "SELECT COUNT(*) FROM batch WHERE replay_id = $1";
// A process finishes the batch that it works on.
const REPLAY_CANCEL: &str = "
    UPDATE batch SET state = 'detected', replay_id = NULL
    WHERE replay_id = $1 AND state = 'stored' AND claimed_by IS NULL";
const RECENT: &str = "
    SELECT * FROM batch
    WHERE connection_id = $1 AND dataset = $2 AND source = $3 AND state IN ('stored', 'detected')
    ORDER BY received_at DESC LIMIT $4";
const COUNTS: &str = "
    SELECT COUNT(*) AS batches, CAST(COALESCE(SUM(deliveries), 0) AS BIGINT) AS deliveries,
        CAST(COALESCE(SUM(records), 0) AS BIGINT) AS records,
        CAST(COALESCE(SUM(accepted), 0) AS BIGINT) AS accepted,
        CAST(COALESCE(SUM(duplicates), 0) AS BIGINT) AS duplicates,
        CAST(COALESCE(SUM(rejected), 0) AS BIGINT) AS rejected,
        CAST(COALESCE(SUM(repaired), 0) AS BIGINT) AS repaired,
        COUNT(CASE WHEN state IN ('archived', 'stored') THEN 1 END) AS pending,
        COUNT(CASE WHEN state = 'failed' THEN 1 END) AS failed
    FROM batch WHERE CAST($1 AS TEXT) IS NULL OR connection_id = $1";

impl Store {
    /// Records that a batch is in the archive. Returns `false` if the same content already was. If that batch could not
    /// be processed, it is then processed again from its new path. `about` describes a problem with the batch as a
    /// whole.
    pub async fn batch_archive(&self, new: &NewBatch, about: &[RejectRow]) -> Result<bool, StoreError> {
        let deliveries: i64 = in_transaction!(self, tx => {
            let deliveries = sqlx::query_scalar(ARCHIVE)
                .bind(&new.id).bind(&new.connection_id.0).bind(&new.dataset).bind(new.source).bind(&new.path)
                .bind(new.bytes).bind(new.received_at).fetch_one(&mut *tx).await?;
            reject_write!(tx, about);
            deliveries
        });
        Ok(deliveries == 1)
    }

    /// One batch.
    pub async fn batch_get(&self, id: &str) -> Result<Option<BatchRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?))
    }

    /// The paths of the known batches among these, by id.
    pub async fn batch_paths(&self, ids: &[String]) -> Result<HashMap<String, String>, StoreError> {
        let mut all = HashMap::new();
        for part in ids.chunks(500) {
            let rows: Vec<(String, String)> = on_engine!(self, pool => {
                let mut query = QueryBuilder::new(PATHS_HEAD);
                let mut list = query.separated(", ");
                for id in part {
                    list.push_bind(id);
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            all.extend(rows);
        }
        Ok(all)
    }

    /// Marks a batch as stored. It had `records` lines, of which `rejects` could not become events. If another process
    /// already marked it, nothing changes.
    pub async fn batch_stored(
        &self,
        id: &str,
        records: i64,
        repaired: i64,
        rejects: &[RejectRow],
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let begun = sqlx::query(BEGIN_STORED).bind(id).execute(&mut *tx).await?.rows_affected();
            if begun > 0 {
                sqlx::query(reject::CLEAR).bind(id).execute(&mut *tx).await?;
                reject_write!(tx, rejects);
                sqlx::query(STORED).bind(id).bind(records).bind(repaired).execute(&mut *tx).await?;
            }
        });
        Ok(())
    }

    /// The newest batches of a source that were read, newest first.
    pub async fn batch_recent(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        source: &str,
        limit: i64,
    ) -> Result<Vec<BatchRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(RECENT).bind(connection.as_str()).bind(dataset).bind(source).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }

    /// Marks a batch as detected and ends the claim on it. If a new look at its events was requested since `batch` was
    /// read, the batch stays in state `stored`.
    pub async fn batch_detected(&self, batch: &BatchRow, claimant: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(DETECTED).bind(&batch.id).bind(claimant).bind(batch.again).execute(pool).await?;
        });
        Ok(())
    }

    /// Marks an unreadable batch as failed with the reason, and ends the claim on it. Its object stays in the archive.
    pub async fn batch_failed(&self, id: &str, claimant: &str, problem: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(FAILED).bind(id).bind(claimant).bind(storable(problem).into_owned()).execute(pool).await?;
        });
        Ok(())
    }

    /// Batches, newest first.
    pub async fn batch_list(
        &self,
        connection: Option<&ConnectionId>,
        state: Option<BatchState>,
        limit: i64,
    ) -> Result<Vec<BatchRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST)
                .bind(connection.map(ConnectionId::as_str)).bind(state.map(BatchState::as_str))
                .bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Batches received since a time, and all that were not pushed, of these datasets (an empty list means all), in
    /// order of arrival.
    pub async fn batch_between(
        &self,
        since: DateTime<Utc>,
        datasets: &[String],
    ) -> Result<Vec<BatchRow>, StoreError> {
        let mut all: Vec<BatchRow> = Vec::new();
        let mut after = String::new();
        loop {
            let part: Vec<BatchRow> = on_reader!(self, pool => {
                sqlx::query_as(BETWEEN).bind(since).bind(&after).fetch_all(pool).await?
            });
            let Some(last) = part.last() else { break };
            after.clone_from(&last.id);
            all.extend(
                part.into_iter()
                    .filter(|batch| datasets.is_empty() || datasets.contains(&batch.dataset)),
            );
        }
        all.sort_by(|left, right| (left.received_at, &left.id).cmp(&(right.received_at, &right.id)));
        Ok(all)
    }

    /// Sends the batches that were received between two times through detection again, and records their number with the
    /// replay `id`. Returns which.
    pub async fn batch_replay(
        &self,
        id: &str,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
        dataset: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        Ok(in_transaction!(self, tx => {
            let batches: Vec<String> = sqlx::query_scalar(REPLAY).bind(since).bind(until).bind(dataset).bind(id)
                .fetch_all(&mut *tx).await?;
            let total = i64::try_from(batches.len()).unwrap_or(i64::MAX);
            sqlx::query(REPLAY_TOTAL).bind(id).bind(total).execute(&mut *tx).await?;
            batches
        }))
    }

    /// The number of batches between two times that wait for detection, for whatever reason.
    pub async fn batch_replay_left(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
        dataset: Option<&str>,
    ) -> Result<i64, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_scalar(REPLAY_LEFT).bind(since).bind(until).bind(dataset).fetch_one(pool).await?
        }))
    }

    /// Takes back the batches of a replay that nothing else waits for and nobody works on; their detections stay as they
    /// are. Returns the number of batches that are still worked on.
    pub async fn batch_replay_cancel(&self, id: &str) -> Result<i64, StoreError> {
        Ok(in_transaction!(self, tx => {
            sqlx::query(REPLAY_CANCEL).bind(id).execute(&mut *tx).await?;
            let left: i64 = sqlx::query_scalar(REPLAY_OWN).bind(id).fetch_one(&mut *tx).await?;
            left
        }))
    }

    /// Totals over all batches, of one connection or of all.
    pub async fn batch_counts(&self, connection: Option<&ConnectionId>) -> Result<BatchCounts, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(COUNTS).bind(connection.map(ConnectionId::as_str)).fetch_one(pool).await?
        }))
    }
}
