//! The list of the archive's parts: Parquet objects with the records of one dataset.
//!
//! A part that was replaced or removed stays in the list with the time of its end until its object is deleted, because
//! a reader that began before may still read it.

use crate::engine::{Store, StoreError, in_transaction, on_engine, on_reader, storable};
use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use std::collections::HashSet;

/// A part in the archive.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PartRow {
    /// The path of the object.
    pub path: String,
    /// The dataset.
    pub dataset: String,
    /// The number of records.
    pub records: i64,
    /// The size of the object in bytes.
    pub bytes: i64,
    /// The SHA-256 of the object, in hex.
    pub sha256: String,
    /// The time of the earliest record, in microseconds since 1970.
    pub first_us: i64,
    /// The time of the latest record, in microseconds since 1970.
    pub last_us: i64,
    /// The first identifier in the order of bytes, if a record has one.
    pub first_identifier: Option<String>,
    /// The last identifier in the order of bytes, if a record has one.
    pub last_identifier: Option<String>,
    /// When the object was written.
    pub made_at: DateTime<Utc>,
    /// When it was replaced or removed.
    pub dropped_at: Option<DateTime<Utc>>,
    /// When its content was last compared with its checksum, or written.
    pub verified_at: DateTime<Utc>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// Which parts to list.
#[derive(Debug, Clone, Default)]
pub struct PartFilter {
    /// Only of this dataset.
    pub dataset: Option<String>,
    /// Only with a record at or after this time, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// Only with a record before this time.
    pub until_us: Option<i64>,
}

/// The parts of a dataset together.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "sums and limits of the columns of PartRow")]
pub struct PartTotal {
    pub dataset: String,
    pub parts: i64,
    pub records: i64,
    pub bytes: i64,
    pub first_us: i64,
    pub last_us: i64,
    pub problems: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    LIST,
    LIST_OF_DATASET,
    DROP,
    IS_LISTED,
    DROPPED,
    FORGET,
    TOTALS,
    PROBLEMS,
    UNVERIFIED,
    VERIFIED,
    OLD,
];

pub(crate) const INSERT_HEAD: &str = "
    INSERT INTO part (path, dataset, records, bytes, sha256, first_us, last_us, first_identifier, last_identifier,
        made_at, verified_at)";
pub(crate) const KNOWN_HEAD: &str = "SELECT path FROM part WHERE path IN (";
const LIST: &str = "
    SELECT * FROM part WHERE dropped_at IS NULL AND last_us >= $1 AND first_us < $2
    ORDER BY last_us DESC, path DESC";
const LIST_OF_DATASET: &str = "
    SELECT * FROM part WHERE dropped_at IS NULL AND dataset = $3 AND last_us >= $1 AND first_us < $2
    ORDER BY last_us DESC, path DESC";
pub(crate) const DROP: &str = "UPDATE part SET dropped_at = $2 WHERE path = $1 AND dropped_at IS NULL";
const IS_LISTED: &str = "SELECT EXISTS (SELECT 1 FROM part WHERE path = $1 AND dropped_at IS NULL)";
const DROPPED: &str = "
    SELECT * FROM part WHERE dropped_at IS NOT NULL AND dropped_at <= $1 ORDER BY dropped_at LIMIT 1000";
const FORGET: &str = "DELETE FROM part WHERE path = $1 AND dropped_at IS NOT NULL";
const TOTALS: &str = "
    SELECT dataset, COUNT(*) AS parts, CAST(SUM(records) AS BIGINT) AS records, CAST(SUM(bytes) AS BIGINT) AS bytes,
        MIN(first_us) AS first_us, MAX(last_us) AS last_us, COUNT(problem) AS problems
    FROM part WHERE dropped_at IS NULL GROUP BY dataset ORDER BY dataset";
const PROBLEMS: &str = "
    SELECT * FROM part WHERE dropped_at IS NULL AND problem IS NOT NULL ORDER BY path LIMIT 1000";
const UNVERIFIED: &str = "
    SELECT * FROM part WHERE dropped_at IS NULL AND verified_at < $1 ORDER BY verified_at LIMIT 1000";
const VERIFIED: &str = "UPDATE part SET verified_at = $2, problem = $3 WHERE path = $1";
const OLD: &str = "
    SELECT * FROM part WHERE dropped_at IS NULL AND dataset = $1 AND last_us < $2 ORDER BY last_us LIMIT 200";
/// Rows in one statement.
const ROWS: usize = 500;

/// Adds parts to the list in the transaction `$tx`.
macro_rules! parts_add {
    ($tx:expr, $parts:expr) => {{
        let parts: &[$crate::part::PartRow] = $parts;
        for some in parts.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::part::INSERT_HEAD);
            query.push_values(some, |mut row, part| {
                let kept = |text: &Option<String>| {
                    text.as_deref()
                        .map(|text| $crate::engine::storable(text).into_owned())
                };
                row.push_bind(&part.path)
                    .push_bind(&part.dataset)
                    .push_bind(part.records)
                    .push_bind(part.bytes)
                    .push_bind(&part.sha256)
                    .push_bind(part.first_us)
                    .push_bind(part.last_us)
                    .push_bind(kept(&part.first_identifier))
                    .push_bind(kept(&part.last_identifier))
                    .push_bind(part.made_at)
                    .push_bind(part.verified_at);
            });
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use parts_add;

impl Store {
    /// Parts, those with the newest records first.
    pub async fn part_list(&self, filter: &PartFilter) -> Result<Vec<PartRow>, StoreError> {
        let since = filter.since_us.unwrap_or(i64::MIN);
        let until = filter.until_us.unwrap_or(i64::MAX);
        Ok(on_reader!(self, pool => {
            match &filter.dataset {
                Some(dataset) => sqlx::query_as(LIST_OF_DATASET)
                    .bind(since).bind(until).bind(dataset).fetch_all(pool).await?,
                None => sqlx::query_as(LIST).bind(since).bind(until).fetch_all(pool).await?,
            }
        }))
    }

    /// Replaces parts by others, at once. Returns `false` without a change if one of `old` is no longer in the list:
    /// another process replaced or removed it.
    pub async fn part_replace(
        &self,
        old: &[&str],
        new: &[PartRow],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        in_transaction!(self, tx => {
            for path in old {
                let dropped = sqlx::query(DROP).bind(path).bind(now).execute(&mut *tx).await?.rows_affected();
                if dropped == 0 {
                    return Ok(false);
                }
            }
            parts_add!(tx, new);
        });
        Ok(true)
    }

    /// Parts that were replaced or removed until a time, and whose objects may be deleted.
    pub async fn part_dropped(&self, until: DateTime<Utc>) -> Result<Vec<PartRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(DROPPED).bind(until).fetch_all(pool).await?))
    }

    /// Deletes the row of a part whose object is deleted.
    pub async fn part_forget(&self, path: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(FORGET).bind(path).execute(pool).await?; });
        Ok(())
    }

    /// Those of these paths that are in the list, replaced parts included.
    pub async fn part_known(&self, paths: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut known = HashSet::new();
        for some in paths.chunks(ROWS) {
            let found: Vec<String> = on_engine!(self, pool => {
                let mut query = QueryBuilder::new(KNOWN_HEAD);
                let mut list = query.separated(", ");
                for path in some {
                    list.push_bind(path);
                }
                query.push(")");
                query.build_query_scalar().fetch_all(pool).await?
            });
            known.extend(found);
        }
        Ok(known)
    }

    /// Whether a part is in the list and was not replaced.
    pub async fn part_is_listed(&self, path: &str) -> Result<bool, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(IS_LISTED).bind(path).fetch_one(pool).await?))
    }

    /// The totals of each dataset.
    pub async fn part_totals(&self) -> Result<Vec<PartTotal>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(TOTALS).fetch_all(pool).await?))
    }

    /// Parts that cannot be read, by path.
    pub async fn part_problems(&self) -> Result<Vec<PartRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(PROBLEMS).fetch_all(pool).await?))
    }

    /// Parts that were not verified since a time.
    pub async fn part_unverified(&self, since: DateTime<Utc>) -> Result<Vec<PartRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(UNVERIFIED).bind(since).fetch_all(pool).await?))
    }

    /// Stores that a part was verified, with what is wrong with it.
    pub async fn part_verified(
        &self,
        path: &str,
        problem: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(VERIFIED).bind(path).bind(now).bind(problem.map(|text| storable(text).into_owned()))
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Parts of a dataset whose records are all older than a time.
    pub async fn part_old(&self, dataset: &str, before_us: i64) -> Result<Vec<PartRow>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(OLD).bind(dataset).bind(before_us).fetch_all(pool).await?
        }))
    }
}
