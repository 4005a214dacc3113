//! Rejected records: the number for each batch and reason, with a few samples.
//!
//! The rows of a batch are written together at the end of processing. If a batch is processed again, they contain the
//! last result.

use crate::engine::{Store, StoreError, bounded, on_reader};
use chrono::{DateTime, Utc};
use model::ConnectionId;
use sqlx::QueryBuilder;
use std::collections::HashMap;

/// Records of a batch that were rejected for one reason.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RejectRow {
    /// The batch.
    pub batch_id: String,
    /// The reason, with the same text for every record of this kind.
    pub reason: String,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// The number of records.
    pub count: i64,
    /// The line number of the first, from 1; 0 if the reason is about the whole batch.
    pub first_line: i64,
    /// When they were rejected.
    pub rejected_at: DateTime<Utc>,
    /// Samples, in their order.
    #[sqlx(skip)]
    pub samples: Vec<RejectSample>,
}

/// One rejected record.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RejectSample {
    /// Its line number, from 1.
    pub line: i64,
    /// Details of the reason for this record: the column, the value. May be empty.
    pub detail: String,
    /// Its start.
    pub excerpt: String,
}

#[derive(sqlx::FromRow)]
struct SampleOf {
    batch_id: String,
    reason: String,
    #[sqlx(flatten)]
    sample: RejectSample,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[INSERT, INSERT_SAMPLE, CLEAR, LIST, OF_BATCH];

pub(crate) const INSERT: &str = "
    INSERT INTO reject (batch_id, reason, connection_id, dataset, count, first_line, rejected_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (batch_id, reason) DO NOTHING";
pub(crate) const INSERT_SAMPLE: &str = "
    INSERT INTO reject_sample (batch_id, reason, line, detail, excerpt)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (batch_id, reason, line) DO NOTHING";
// What is about the whole batch was said when it was received.
pub(crate) const CLEAR: &str = "DELETE FROM reject WHERE batch_id = $1 AND first_line > 0";
const LIST: &str = "
    SELECT * FROM reject WHERE CAST($1 AS TEXT) IS NULL OR connection_id = $1
    ORDER BY rejected_at DESC, batch_id, first_line, reason LIMIT $2";
const OF_BATCH: &str = "SELECT * FROM reject WHERE batch_id = $1 ORDER BY first_line, reason LIMIT 1000";
pub(crate) const SAMPLES_HEAD: &str =
    "SELECT batch_id, reason, line, detail, excerpt FROM reject_sample WHERE batch_id IN (";
pub(crate) const SAMPLES_TAIL: &str = ") ORDER BY batch_id, reason, line";

/// Writes rejects in the transaction `$tx`.
macro_rules! reject_write {
    ($tx:expr, $rejects:expr) => {{
        let rejects: &[$crate::reject::RejectRow] = $rejects;
        for reject in rejects {
            let reason = $crate::engine::storable(&reject.reason).into_owned();
            sqlx::query($crate::reject::INSERT)
                .bind(&reject.batch_id)
                .bind(&reason)
                .bind(&reject.connection_id.0)
                .bind(&reject.dataset)
                .bind(reject.count)
                .bind(reject.first_line)
                .bind(reject.rejected_at)
                .execute(&mut *$tx)
                .await?;
            for sample in &reject.samples {
                sqlx::query($crate::reject::INSERT_SAMPLE)
                    .bind(&reject.batch_id)
                    .bind(&reason)
                    .bind(sample.line)
                    .bind($crate::engine::storable(&sample.detail).into_owned())
                    .bind($crate::engine::storable(&sample.excerpt).into_owned())
                    .execute(&mut *$tx)
                    .await?;
            }
        }
    }};
}
pub(crate) use reject_write;

impl Store {
    /// Rejects, newest first: one row for each batch and reason.
    pub async fn reject_list(
        &self,
        connection: Option<&ConnectionId>,
        limit: i64,
    ) -> Result<Vec<RejectRow>, StoreError> {
        let rows = on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(connection.map(ConnectionId::as_str)).bind(bounded(limit))
                .fetch_all(pool).await?
        });
        self.with_samples(rows).await
    }

    /// The rejects of a batch, in the order of their first lines.
    pub async fn reject_of_batch(&self, batch: &str) -> Result<Vec<RejectRow>, StoreError> {
        let rows = on_reader!(self, pool => {
            sqlx::query_as(OF_BATCH).bind(batch).fetch_all(pool).await?
        });
        self.with_samples(rows).await
    }

    async fn with_samples(&self, mut rows: Vec<RejectRow>) -> Result<Vec<RejectRow>, StoreError> {
        let mut batches: Vec<String> = rows.iter().map(|row| row.batch_id.clone()).collect();
        batches.sort_unstable();
        batches.dedup();
        let mut samples: HashMap<(String, String), Vec<RejectSample>> = HashMap::new();
        for part in batches.chunks(500) {
            let found: Vec<SampleOf> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(SAMPLES_HEAD);
                let mut list = query.separated(", ");
                for id in part {
                    list.push_bind(id);
                }
                query.push(SAMPLES_TAIL);
                query.build_query_as().fetch_all(pool).await?
            });
            for one in found {
                samples
                    .entry((one.batch_id, one.reason))
                    .or_default()
                    .push(one.sample);
            }
        }
        for row in &mut rows {
            let key = (row.batch_id.clone(), row.reason.clone());
            row.samples = samples.remove(&key).unwrap_or_default();
        }
        Ok(rows)
    }
}
