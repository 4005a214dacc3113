//! Groups whose matches changed and whose detections are not recomputed yet.
//!
//! A row is written in the same transaction as its cause ([`crate::matches`]) and removed together with the recomputed
//! detections ([`Store::detection_change`]). If a process is killed in between, the next one finds the row.

use crate::engine::{Store, StoreError, bounded, on_engine};
use chrono::{DateTime, Utc};

/// A group whose detections must be recomputed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct GroupDebt {
    /// The watch, with a digest of its definition.
    pub watch: String,
    /// The values that separate groups, as JSON.
    pub group_key: String,
    /// The earliest time of a change, in microseconds since 1970.
    pub from_us: i64,
    /// A new value with each change.
    pub stamp: String,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[WATCHES, LIST, FORGET];

pub(crate) const OWE_HEAD: &str = "INSERT INTO group_debt (watch, group_key, from_us, stamp, owed_at)";
pub(crate) const OWE_TAIL: &str = "
    ON CONFLICT (watch, group_key) DO UPDATE SET stamp = excluded.stamp, owed_at = excluded.owed_at,
        from_us = CASE WHEN excluded.from_us < group_debt.from_us THEN excluded.from_us ELSE group_debt.from_us END";
// The list of keys finds the rows: SQLite reads the whole table for a list of pairs alone.
pub(crate) const PAID_HEAD: &str = "DELETE FROM group_debt WHERE watch = ";
pub(crate) const PAID_STAMPS: &str = ") AND (group_key, stamp) IN (";
// From one watch to the next through the key: `DISTINCT` reads every debt.
const WATCHES: &str = "
    WITH RECURSIVE each (watch) AS (
        SELECT MIN(watch) FROM group_debt
        UNION ALL SELECT (SELECT MIN(watch) FROM group_debt WHERE watch > each.watch) FROM each WHERE watch IS NOT NULL
    )
    SELECT watch FROM each WHERE watch IS NOT NULL";
const LIST: &str = "
    SELECT watch, group_key, from_us, stamp FROM group_debt WHERE watch = $1 ORDER BY group_key LIMIT $2";
const FORGET: &str = "DELETE FROM group_debt WHERE watch = $1 AND owed_at < $2";

/// Records in the transaction `$tx` that the detections of groups must be recomputed: `(watch, group_key, from_us)`,
/// each group once.
macro_rules! groups_owe {
    ($tx:expr, $groups:expr, $stamp:expr, $now:expr) => {{
        let groups: Vec<(&str, &str, i64)> = $groups;
        for part in groups.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::group_debt::OWE_HEAD);
            query.push_values(part, |mut row, (watch, key, from_us)| {
                row.push_bind(*watch)
                    .push_bind($crate::engine::storable(key).into_owned())
                    .push_bind(*from_us)
                    .push_bind($stamp)
                    .push_bind($now);
            });
            query.push($crate::group_debt::OWE_TAIL);
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use groups_owe;

impl Store {
    /// The watches with such groups.
    pub async fn group_debt_watches(&self) -> Result<Vec<String>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(WATCHES).fetch_all(pool).await?))
    }

    /// Such groups of a watch, at most `limit`.
    pub async fn group_debt_list(&self, watch: &str, limit: i64) -> Result<Vec<GroupDebt>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(LIST).bind(watch).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Deletes the records for groups of a watch that no longer exists.
    pub async fn group_debt_forget(
        &self,
        watch: &str,
        owed_before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query(FORGET).bind(watch).bind(owed_before).execute(pool).await?.rows_affected()
        }))
    }
}
