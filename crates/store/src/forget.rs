//! Deletions on purpose: batches and parts past their retention, and the data of one person.

use crate::TimeCursor;
use crate::batch::BatchRow;
use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, journal_write};
use crate::part::{self, PartRow};
use crate::person::like_anywhere;
use chrono::{DateTime, Utc};
use model::PersonId;

/// A request to delete the log data of one person.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PurgeRow {
    /// Flareward's id.
    pub id: String,
    /// The person.
    pub person_id: String,
    /// The reason, as the actor wrote it.
    pub reason: String,
    /// The actor.
    pub actor: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while it runs or if it was killed.
    pub finished_at: Option<DateTime<Utc>>,
    /// The last batch that was searched.
    pub position: String,
    /// The number of batches searched.
    pub batches: i64,
    /// The number of objects rewritten.
    pub objects: i64,
    /// The number of records removed from them.
    pub records: i64,
    /// The number of events removed.
    pub events: i64,
    /// Why it could not continue.
    pub problem: Option<String>,
    /// Who cancelled it. What was removed before stays removed.
    pub cancelled_by: Option<String>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    OLD,
    FORGET_REJECTS,
    FORGET,
    PURGE_START,
    PURGE_OPEN,
    PURGE_OPEN_LIST,
    PURGE_GET,
    PURGE_LIST,
    PURGE_CANCEL,
    PURGE_CANCELLED,
    PURGE_PROBLEM,
    PURGE_PROGRESS,
    PURGE_FINISH,
    BATCHES_AFTER,
    MATCHES_OF_IDENTIFIER,
    TEST_MATCHES_OF_IDENTIFIER,
    EVIDENCE_OF_IDENTIFIER,
    UNMAPPED,
    REJECT_SAMPLES,
];

const OLD: &str = "
    SELECT * FROM batch WHERE dataset = $1 AND received_at < $2 AND state IN ('detected', 'failed')
    ORDER BY received_at, id LIMIT $3";
const FORGET_REJECTS: &str = "DELETE FROM reject WHERE batch_id = $1";
const FORGET: &str = "DELETE FROM batch WHERE id = $1";
const PURGE_START: &str = "
    INSERT INTO purge (id, person_id, reason, actor, started_at, position, batches, objects, records, events)
    VALUES ($1, $2, $3, $4, $5, '', 0, 0, 0, 0)";
const PURGE_OPEN: &str = "
    SELECT * FROM purge WHERE person_id = $1 AND finished_at IS NULL AND cancelled_by IS NULL ORDER BY started_at DESC LIMIT 1";
const PURGE_OPEN_LIST: &str =
    "SELECT * FROM purge WHERE finished_at IS NULL ORDER BY started_at, id LIMIT 100";
const PURGE_GET: &str = "SELECT * FROM purge WHERE id = $1";
const PURGE_LIST: &str = "
    SELECT * FROM purge WHERE started_at < $1 OR (started_at = $1 AND id < $2)
    ORDER BY started_at DESC, id DESC LIMIT $3";
const PURGE_CANCEL: &str =
    "UPDATE purge SET cancelled_by = $2 WHERE id = $1 AND finished_at IS NULL AND cancelled_by IS NULL";
const PURGE_CANCELLED: &str = "SELECT cancelled_by FROM purge WHERE id = $1 AND cancelled_by IS NOT NULL";
const PURGE_PROBLEM: &str = "UPDATE purge SET problem = $2 WHERE id = $1";
const PURGE_PROGRESS: &str = "
    UPDATE purge SET position = $2, batches = $3, objects = $4, records = $5, events = $6 WHERE id = $1";
const PURGE_FINISH: &str = "
    UPDATE purge SET finished_at = $2, batches = $3, objects = $4, records = $5, events = $6 WHERE id = $1";
const BATCHES_AFTER: &str = "SELECT * FROM batch WHERE has_object AND id > $1 ORDER BY id LIMIT $2";
// What rules remember of records, for correlations and for rules in test mode.
const MATCHES_OF_IDENTIFIER: &str = "
    DELETE FROM rule_hit WHERE event_id IN (SELECT id FROM evidence WHERE identifier = $1)";
const TEST_MATCHES_OF_IDENTIFIER: &str = "DELETE FROM test_match WHERE who = $1";
const EVIDENCE_OF_IDENTIFIER: &str = "DELETE FROM evidence WHERE identifier = $1";
const UNMAPPED: &str = "DELETE FROM unmapped_identifier WHERE identifier = $1";
const REJECT_SAMPLES: &str = "
    DELETE FROM reject_sample WHERE LOWER(excerpt) LIKE $1 ESCAPE '!' OR LOWER(detail) LIKE $1 ESCAPE '!'";

impl Store {
    /// Processed batches of a dataset that were received before `before`, oldest first.
    pub async fn batch_old(
        &self,
        dataset: &str,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<BatchRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(OLD).bind(dataset).bind(before).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Deletes batches with their rejects, drops parts, and writes the number of records to the journal, as `summary`.
    pub async fn archive_forget(
        &self,
        batches: &[String],
        parts: &[PartRow],
        dataset: &str,
        days: i64,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            for id in batches {
                sqlx::query(FORGET_REJECTS).bind(id).execute(&mut *tx).await?;
                sqlx::query(FORGET).bind(id).execute(&mut *tx).await?;
            }
            for part in parts {
                sqlx::query(part::DROP).bind(&part.path).bind(now).execute(&mut *tx).await?;
            }
            let events: i64 = parts.iter().map(|part| part.records).sum();
            let (batches, parts) = (batches.len(), parts.len());
            let entry = JournalEntry {
                at: now,
                kind: model::JournalKind::ArchiveRetention,
                person_id: None,
                connection_id: None,
                subject_id: Some(dataset.to_owned()),
                summary: summary.to_owned(),
                data: serde_json::json!({ "dataset": dataset, "batches": batches, "parts": parts, "events": events,
                    "days": days }),
            };
            journal_write!(tx, &entry);
        });
        Ok(())
    }

    /// Starts a purge.
    pub async fn purge_start(
        &self,
        id: &str,
        person: &PersonId,
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PURGE_START).bind(id).bind(&person.0).bind(reason).bind(actor).bind(now)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// The unfinished purge of a person.
    pub async fn purge_open(&self, person: &PersonId) -> Result<Option<PurgeRow>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(PURGE_OPEN).bind(&person.0).fetch_optional(pool).await?
        }))
    }

    /// Unfinished purges, oldest first, at most 100.
    pub async fn purge_open_list(&self) -> Result<Vec<PurgeRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(PURGE_OPEN_LIST).fetch_all(pool).await?))
    }

    /// One purge.
    pub async fn purge_get(&self, id: &str) -> Result<Option<PurgeRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(PURGE_GET).bind(id).fetch_optional(pool).await?
        }))
    }

    /// Asks a purge to stop; `false` when it has ended, or was asked before.
    pub async fn purge_cancel(&self, id: &str, actor: &str) -> Result<bool, StoreError> {
        let changed = on_engine!(self, pool => {
            sqlx::query(PURGE_CANCEL).bind(id).bind(actor).execute(pool).await?.rows_affected()
        });
        Ok(changed > 0)
    }

    /// Who cancelled a purge.
    pub async fn purge_cancelled(&self, id: &str) -> Result<Option<String>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(PURGE_CANCELLED).bind(id).fetch_optional(pool).await?))
    }

    /// Purges, newest first.
    pub async fn purge_list(
        &self,
        before: Option<TimeCursor>,
        limit: i64,
    ) -> Result<Vec<PurgeRow>, StoreError> {
        let before = before.unwrap_or_else(TimeCursor::end);
        Ok(on_reader!(self, pool => {
            sqlx::query_as(PURGE_LIST).bind(before.at).bind(&before.id).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }

    /// Stores why a purge could not continue; `None` when it continues.
    pub async fn purge_problem_set(&self, id: &str, problem: Option<&str>) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PURGE_PROBLEM).bind(id).bind(problem.map(|text| storable(text).into_owned()))
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Stores the progress of a purge.
    pub async fn purge_progress(&self, row: &PurgeRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PURGE_PROGRESS).bind(&row.id).bind(&row.position).bind(row.batches).bind(row.objects)
                .bind(row.records).bind(row.events).execute(pool).await?;
        });
        Ok(())
    }

    /// Ends a purge and tells the journal, as `summary`.
    pub async fn purge_finish(
        &self,
        row: &PurgeRow,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let entry = JournalEntry {
            at: now,
            kind: model::JournalKind::EventsPurged,
            person_id: Some(PersonId(row.person_id.clone())),
            connection_id: None,
            subject_id: Some(row.id.clone()),
            summary: summary.to_owned(),
            data: serde_json::json!({ "events": row.events, "records": row.records, "objects": row.objects,
                "reason": row.reason, "actor": row.actor }),
        };
        in_transaction!(self, tx => {
            sqlx::query(PURGE_FINISH).bind(&row.id).bind(now).bind(row.batches).bind(row.objects)
                .bind(row.records).bind(row.events).execute(&mut *tx).await?;
            journal_write!(tx, &entry);
        });
        Ok(())
    }

    /// Batches whose object is in the archive, by id, after `after`.
    pub async fn batch_after(&self, after: &str, limit: i64) -> Result<Vec<BatchRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(BATCHES_AFTER).bind(after).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Deletes what rules remember of records with this identifier, and their evidence.
    pub async fn evidence_purge(&self, identifier: &str) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(MATCHES_OF_IDENTIFIER).bind(identifier).execute(&mut *tx).await?;
            sqlx::query(TEST_MATCHES_OF_IDENTIFIER).bind(identifier).execute(&mut *tx).await?;
            sqlx::query(EVIDENCE_OF_IDENTIFIER).bind(identifier).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Deletes an unmapped identifier, and the samples of rejected lines that contain it.
    pub async fn identifier_purge(&self, identifier: &str) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(UNMAPPED).bind(identifier).execute(&mut *tx).await?;
            sqlx::query(REJECT_SAMPLES).bind(like_anywhere(identifier)).execute(&mut *tx).await?;
        });
        Ok(())
    }
}
