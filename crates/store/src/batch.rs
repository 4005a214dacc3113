//! Log batches: the place of each in the archive, and its processing state.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::evidence::{EvidenceRow, evidence_write};
use crate::group_debt::groups_owe;
use crate::identifier::{IdentifierSeenRow, identifiers_seen};
use crate::matches::{MatchRow, MatchRun, WATERMARK_SET, earliest, groups_of, matches_write};
use crate::part::{PartRow, parts_add};
use crate::reject::{self, RejectRow, reject_write};
use crate::rule_admin::TEST_ADD;
use crate::unmapped::{UnmappedRow, unmapped_count};
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
    /// Whether its object is still in the archive.
    pub has_object: bool,
}

/// A match of a rule in test mode: rule, event, person or identifier, time.
pub type TestMatch = (String, String, String, DateTime<Utc>);

/// What the rules found in the records of a batch.
#[derive(Debug, Clone)]
pub struct BatchMatches {
    /// Matches.
    pub matches: Vec<MatchRow>,
    /// The records that matched.
    pub evidence: Vec<EvidenceRow>,
    /// Matches of rules in test mode.
    pub tested: Vec<TestMatch>,
    /// The run that found them.
    pub run: MatchRun,
    /// The time of the newest record, never ahead of the clock.
    pub newest: Option<DateTime<Utc>>,
    /// The number of records that were too late for correlations.
    pub late: i64,
}

/// Everything that follows from the records of a batch.
#[derive(Debug)]
pub struct BatchOutcome {
    /// Lines and records.
    pub records: i64,
    /// Records that are in the parts.
    pub accepted: i64,
    /// Records that came more than once in the batch.
    pub duplicates: i64,
    /// Records that were repaired.
    pub repaired: i64,
    /// Why the object cannot be read further, if it is damaged.
    pub problem: Option<String>,
    /// The parts with its records.
    pub parts: Vec<PartRow>,
    /// Lines that could not be read.
    pub rejects: Vec<RejectRow>,
    /// When its identifiers were seen, in their order.
    pub seen: Vec<IdentifierSeenRow>,
    /// The number of its records with unmapped identifiers, in their order.
    pub unmapped: Vec<UnmappedRow>,
    /// What the rules found.
    pub found: BatchMatches,
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
    DONE,
    REJECTED,
    FAILED,
    LIST,
    COUNTS,
    RECENT,
    WITH_OBJECT,
    OBJECT_REMOVED,
];

const ARCHIVE: &str = "
    INSERT INTO batch (id, connection_id, dataset, source, path, bytes, received_at, deliveries, state, records,
        accepted, duplicates, rejected)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 'archived', 0, 0, 0, 0)
    ON CONFLICT (id) DO UPDATE SET deliveries = batch.deliveries + 1,
        path = CASE WHEN batch.state = 'failed' THEN excluded.path ELSE batch.path END,
        has_object = CASE WHEN batch.state = 'failed' THEN TRUE ELSE batch.has_object END,
        problem = CASE WHEN batch.state = 'failed' THEN NULL ELSE batch.problem END,
        state = CASE WHEN batch.state = 'failed' THEN 'archived' ELSE batch.state END
    RETURNING deliveries";
const GET: &str = "SELECT * FROM batch WHERE id = $1";
pub(crate) const PATHS_HEAD: &str = "
    SELECT id, CASE WHEN has_object THEN path ELSE '' END FROM batch WHERE id IN (";
// Only by whoever claims it. What stands at line 0 of the rejects is about the whole batch, and no record of it.
const DONE: &str = "
    UPDATE batch SET state = CASE WHEN CAST($7 AS TEXT) IS NULL THEN 'detected' ELSE 'failed' END, problem = $7,
        records = $3, accepted = $4, duplicates = $5, repaired = $6, claimed_by = NULL, claimed_until_ms = 0
    WHERE id = $1 AND claimed_by = $2 AND state = 'archived'";
const REJECTED: &str = "
    UPDATE batch SET rejected = (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM reject WHERE batch_id = $1)
    WHERE id = $1";
const FAILED: &str = "
    UPDATE batch SET state = 'failed', problem = $3, claimed_by = NULL, claimed_until_ms = 0
    WHERE id = $1 AND claimed_by = $2";
const LIST: &str = "
    SELECT * FROM batch
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2)
    ORDER BY received_at DESC, id DESC LIMIT $3";
const WITH_OBJECT: &str = "
    SELECT * FROM batch WHERE has_object AND state = 'detected' AND received_at < $1 AND id > $2
    ORDER BY id LIMIT $3";
const OBJECT_REMOVED: &str = "UPDATE batch SET has_object = FALSE WHERE id = $1 AND state = 'detected'";
const RECENT: &str = "
    SELECT * FROM batch
    WHERE connection_id = $1 AND dataset = $2 AND source = $3 AND state = 'detected'
    ORDER BY received_at DESC LIMIT $4";
const COUNTS: &str = "
    SELECT COUNT(*) AS batches, CAST(COALESCE(SUM(deliveries), 0) AS BIGINT) AS deliveries,
        CAST(COALESCE(SUM(records), 0) AS BIGINT) AS records,
        CAST(COALESCE(SUM(accepted), 0) AS BIGINT) AS accepted,
        CAST(COALESCE(SUM(duplicates), 0) AS BIGINT) AS duplicates,
        CAST(COALESCE(SUM(rejected), 0) AS BIGINT) AS rejected,
        CAST(COALESCE(SUM(repaired), 0) AS BIGINT) AS repaired,
        COUNT(CASE WHEN state = 'archived' THEN 1 END) AS pending,
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

    /// The paths of the known batches among these, by id; empty if the object is no longer needed.
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

    /// Stores everything that follows from the records of a batch, and ends the claim on it. Returns `false` without a
    /// change if the claim is lost.
    pub async fn batch_done(
        &self,
        batch: &BatchRow,
        claimant: &str,
        outcome: &BatchOutcome,
    ) -> Result<bool, StoreError> {
        let found = &outcome.found;
        let matches = earliest(&found.matches);
        let problem = outcome.problem.as_deref().map(|text| storable(text).into_owned());
        in_transaction!(self, tx => {
            let ended = sqlx::query(DONE).bind(&batch.id).bind(claimant).bind(outcome.records)
                .bind(outcome.accepted).bind(outcome.duplicates).bind(outcome.repaired).bind(problem)
                .execute(&mut *tx).await?.rows_affected();
            if ended == 0 {
                return Ok(false);
            }
            parts_add!(tx, &outcome.parts);
            sqlx::query(reject::CLEAR).bind(&batch.id).execute(&mut *tx).await?;
            reject_write!(tx, &outcome.rejects);
            sqlx::query(REJECTED).bind(&batch.id).execute(&mut *tx).await?;
            identifiers_seen!(tx, &outcome.seen);
            unmapped_count!(tx, &outcome.unmapped);
            evidence_write!(tx, &found.evidence, found.run.began_at);
            matches_write!(tx, matches, found.run);
            groups_owe!(tx, groups_of(&matches), &found.run.stamp, found.run.began_at);
            for (rule, event, who, at) in &found.tested {
                sqlx::query(TEST_ADD).bind(rule).bind(event).bind(storable(who).into_owned()).bind(at)
                    .execute(&mut *tx).await?;
            }
            if let Some(newest) = found.newest {
                sqlx::query(WATERMARK_SET).bind(&batch.connection_id.0).bind(&batch.dataset).bind(newest)
                    .bind(found.late).execute(&mut *tx).await?;
            }
        });
        Ok(true)
    }

    /// Processed batches whose object is in the archive and that were received before a time, by
    /// ID, after `after`.
    pub async fn batch_with_object(
        &self,
        before: DateTime<Utc>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<BatchRow>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(WITH_OBJECT).bind(before).bind(after).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Records that the object of a processed batch is no longer in the archive.
    pub async fn batch_object_removed(&self, id: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(OBJECT_REMOVED).bind(id).execute(pool).await?; });
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

    /// Totals over all batches, of one connection or of all.
    pub async fn batch_counts(&self, connection: Option<&ConnectionId>) -> Result<BatchCounts, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(COUNTS).bind(connection.map(ConnectionId::as_str)).fetch_one(pool).await?
        }))
    }
}
