//! Matches, stored as long as a correlation may need them, and the watermark of each source.

use crate::engine::{Store, StoreError, in_transaction, on_engine, on_reader, storable};
use crate::evidence::{EvidenceRow, evidence_write};
use crate::group_debt::groups_owe;
use chrono::{DateTime, Utc};
use model::ConnectionId;
use sqlx::QueryBuilder;
use std::collections::BTreeMap;

/// The maximum number of matches of one group that are evaluated together. Chosen: more means that the rule is far too
/// broad.
pub const MATCHES_MAX: i64 = 100_000;
/// Rows in one statement.
const ROWS: usize = 500;

/// A stored match of a watch.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MatchRow {
    /// The watch, with a digest of its definition.
    pub watch: String,
    /// The values that separate groups, as JSON.
    pub group_key: String,
    /// Makes the match unique inside the group: the event, or the day if only one match a day counts.
    pub slot: String,
    /// The rule of the watch that matched.
    pub part: i64,
    /// The compared value; empty if there is none.
    pub value: String,
    /// The time, in microseconds since 1970.
    pub at_us: i64,
    /// The event.
    pub event_id: String,
    /// The batch that contained it.
    pub batch_id: String,
}

/// Data about a part of a run: its start time, and the stamp of the debts that it creates.
#[derive(Debug, Clone)]
pub struct MatchRun {
    /// When the run over the batch started. Matches that a later run stores count as stored by that run.
    pub began_at: DateTime<Utc>,
    /// A new value with each call.
    pub stamp: String,
}

/// A group with changes, and their earliest time.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "columns of the same names in MatchRow; the earliest time"
)]
pub struct MatchGroup {
    pub watch: String,
    pub group_key: String,
    pub at_us: i64,
}

/// The watermark of a source.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WatermarkRow {
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// The latest time of its records, never ahead of the clock.
    pub at: DateTime<Utc>,
    /// The number of records that were too late for correlations.
    pub late: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    FORGET_DERIVED,
    PRUNE,
    PRUNE_UNKNOWN,
    WATCHES,
    WATERMARKS,
    WATERMARK,
    WATERMARK_SET,
];

pub(crate) const MATCH_HEAD: &str =
    "INSERT INTO rule_hit (watch, group_key, slot, part, value, at_us, event_id, batch_id, kept_at)";
pub(crate) const MATCH_TAIL: &str = "
    ON CONFLICT (watch, group_key, slot, part, value) DO UPDATE SET at_us = excluded.at_us,
        event_id = excluded.event_id, batch_id = excluded.batch_id,
        kept_at = CASE WHEN excluded.kept_at > rule_hit.kept_at THEN excluded.kept_at ELSE rule_hit.kept_at END
    WHERE excluded.at_us < rule_hit.at_us
        OR (excluded.at_us = rule_hit.at_us AND excluded.event_id <= rule_hit.event_id)";
pub(crate) const GROUPS_HEAD: &str = "
    SELECT watch, group_key, slot, part, value, at_us, event_id, batch_id FROM rule_hit WHERE watch = ";
pub(crate) const GROUPS_TAIL: &str = ") AND at_us >= ";
pub(crate) const GROUPS_ORDER: &str = " ORDER BY group_key, at_us LIMIT ";
// What was derived names its source with a blank; it follows from other matches, not from a record.
pub(crate) const OF_EVENTS_HEAD: &str = "
    SELECT watch, group_key, MIN(at_us) AS at_us FROM rule_hit WHERE event_id IN (";
pub(crate) const OF_EVENTS_MIDDLE: &str = ") AND batch_id NOT LIKE '% %' AND kept_at < ";
pub(crate) const OF_EVENTS_TAIL: &str = " GROUP BY watch, group_key ORDER BY watch, group_key";
pub(crate) const FORGET_EVENTS_HEAD: &str = "DELETE FROM rule_hit WHERE event_id IN (";
const FORGET_DERIVED: &str =
    "DELETE FROM rule_hit WHERE watch = $1 AND group_key = $2 AND batch_id = $3 AND at_us >= $4";
const PRUNE: &str = "DELETE FROM rule_hit WHERE watch = $1 AND at_us < $2 AND kept_at < $3";
const PRUNE_UNKNOWN: &str = "DELETE FROM rule_hit WHERE watch = $1 AND kept_at < $2";
// From one watch to the next through the index: `DISTINCT` reads every match.
const WATCHES: &str = "
    WITH RECURSIVE each (watch) AS (
        SELECT MIN(watch) FROM rule_hit
        UNION ALL SELECT (SELECT MIN(watch) FROM rule_hit WHERE watch > each.watch) FROM each WHERE watch IS NOT NULL
    )
    SELECT watch FROM each WHERE watch IS NOT NULL";
const WATERMARKS: &str = "SELECT * FROM watermark ORDER BY connection_id, dataset LIMIT 10000";
const WATERMARK: &str = "SELECT at FROM watermark WHERE connection_id = $1 AND dataset = $2";
pub(crate) const WATERMARK_SET: &str = "
    INSERT INTO watermark (connection_id, dataset, at, late) VALUES ($1, $2, $3, $4)
    ON CONFLICT (connection_id, dataset) DO UPDATE SET late = watermark.late + excluded.late,
        at = CASE WHEN excluded.at > watermark.at THEN excluded.at ELSE watermark.at END";

/// Writes matches in the transaction `$tx`.
macro_rules! matches_write {
    ($tx:expr, $matches:expr, $run:expr) => {{
        let matches: &[&$crate::matches::MatchRow] = &$matches;
        for part in matches.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::matches::MATCH_HEAD);
            query.push_values(part, |mut row, one| {
                row.push_bind(&one.watch)
                    .push_bind($crate::engine::storable(&one.group_key).into_owned())
                    .push_bind(&one.slot)
                    .push_bind(one.part)
                    .push_bind($crate::engine::storable(&one.value).into_owned())
                    .push_bind(one.at_us)
                    .push_bind(&one.event_id)
                    .push_bind(&one.batch_id)
                    .push_bind($run.began_at);
            });
            query.push($crate::matches::MATCH_TAIL);
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use matches_write;

/// For matches with the same key, the earliest one, in the order of their keys, so that two transactions lock rows in
/// the same order.
pub(crate) fn earliest(matches: &[MatchRow]) -> Vec<&MatchRow> {
    let mut first = BTreeMap::new();
    for one in matches {
        let key = (&one.watch, &one.group_key, &one.slot, one.part, &one.value);
        let kept = first.entry(key).or_insert(one);
        if (one.at_us, &one.event_id) < (kept.at_us, &kept.event_id) {
            *kept = one;
        }
    }
    first.into_values().collect()
}

/// The groups of these matches, with the earliest time in each.
pub(crate) fn groups_of<'m>(matches: &[&'m MatchRow]) -> Vec<(&'m str, &'m str, i64)> {
    let mut groups = BTreeMap::new();
    for one in matches {
        let from = groups
            .entry((one.watch.as_str(), one.group_key.as_str()))
            .or_insert(one.at_us);
        *from = one.at_us.min(*from);
    }
    groups
        .into_iter()
        .map(|((watch, key), from_us)| (watch, key, from_us))
        .collect()
}

impl Store {
    /// Stores matches with their evidence, and records that the detections of their groups must be recomputed. An
    /// already stored match is kept, with the earlier of the two times.
    pub async fn match_keep(
        &self,
        matches: &[MatchRow],
        evidence: &[EvidenceRow],
        run: &MatchRun,
    ) -> Result<(), StoreError> {
        if matches.is_empty() {
            return Ok(());
        }
        let matches = earliest(matches);
        let groups = groups_of(&matches);
        in_transaction!(self, tx => {
            evidence_write!(tx, evidence, run.began_at);
            matches_write!(tx, matches, run);
            groups_owe!(tx, groups, &run.stamp, run.began_at);
        });
        Ok(())
    }

    /// The same for records that the rules saw before: deletes the matches of the records `looked_at` that this run did
    /// not find again, and records that the detections of their groups must be recomputed, too.
    pub async fn match_keep_again(
        &self,
        looked_at: &[String],
        matches: &[MatchRow],
        evidence: &[EvidenceRow],
        run: &MatchRun,
    ) -> Result<(), StoreError> {
        let matches = earliest(matches);
        in_transaction!(self, tx => {
            evidence_write!(tx, evidence, run.began_at);
            matches_write!(tx, matches, run);
            groups_owe!(tx, groups_of(&matches), &run.stamp, run.began_at);
            for some in looked_at.chunks(ROWS) {
                let mut query = QueryBuilder::new(OF_EVENTS_HEAD);
                let mut list = query.separated(", ");
                for id in some {
                    list.push_bind(id);
                }
                query.push(OF_EVENTS_MIDDLE).push_bind(run.began_at).push(OF_EVENTS_TAIL);
                let groups: Vec<MatchGroup> = query.build_query_as().fetch_all(&mut *tx).await?;
                if groups.is_empty() {
                    continue;
                }
                let mut query = QueryBuilder::new(FORGET_EVENTS_HEAD);
                let mut list = query.separated(", ");
                for id in some {
                    list.push_bind(id);
                }
                query.push(OF_EVENTS_MIDDLE).push_bind(run.began_at);
                query.build().execute(&mut *tx).await?;
                let groups = groups
                    .iter()
                    .map(|group| (group.watch.as_str(), group.group_key.as_str(), group.at_us))
                    .collect();
                groups_owe!(tx, groups, &run.stamp, run.began_at);
            }
        });
        Ok(())
    }

    /// The matches of these groups of a watch, starting at `from_us`, at most [`MATCHES_MAX`] in total: group by group,
    /// oldest first.
    pub async fn match_groups(
        &self,
        watch: &str,
        keys: &[&str],
        from_us: i64,
    ) -> Result<Vec<MatchRow>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(on_engine!(self, pool => {
            let mut query = QueryBuilder::new(GROUPS_HEAD);
            query.push_bind(watch.to_owned()).push(" AND group_key IN (");
            let mut list = query.separated(", ");
            for key in keys {
                list.push_bind(storable(key).into_owned());
            }
            query.push(GROUPS_TAIL).push_bind(from_us).push(GROUPS_ORDER).push_bind(MATCHES_MAX);
            query.build_query_as().fetch_all(pool).await?
        }))
    }

    /// Replaces the matches that one watch's firings since `from_us` created in another watch's group, whose detections
    /// must then be recomputed. `source` identifies the watch that fired.
    pub async fn match_replace_derived(
        &self,
        group: &MatchGroup,
        source: &str,
        matches: &[MatchRow],
        run: &MatchRun,
    ) -> Result<(), StoreError> {
        let matches = earliest(matches);
        in_transaction!(self, tx => {
            sqlx::query(FORGET_DERIVED)
                .bind(&group.watch).bind(storable(&group.group_key).into_owned()).bind(source).bind(group.at_us)
                .execute(&mut *tx).await?;
            matches_write!(tx, matches, run);
            let owed = vec![(group.watch.as_str(), group.group_key.as_str(), group.at_us)];
            groups_owe!(tx, owed, &run.stamp, run.began_at);
        });
        Ok(())
    }

    /// Deletes matches of a watch that no correlation needs any more: older than `before_us`, and stored before
    /// `kept_before`. Without `before_us`, deletes all of them.
    pub async fn match_prune(
        &self,
        watch: &str,
        before_us: Option<i64>,
        kept_before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Ok(on_engine!(self, pool => {
            match before_us {
                Some(before_us) => sqlx::query(PRUNE)
                    .bind(watch).bind(before_us).bind(kept_before).execute(pool).await?.rows_affected(),
                None => sqlx::query(PRUNE_UNKNOWN)
                    .bind(watch).bind(kept_before).execute(pool).await?.rows_affected(),
            }
        }))
    }

    /// The watches with stored matches.
    pub async fn match_watches(&self) -> Result<Vec<String>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_scalar(WATCHES).fetch_all(pool).await?))
    }

    /// The watermark of each source.
    pub async fn watermark_list(&self) -> Result<Vec<WatermarkRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(WATERMARKS).fetch_all(pool).await?))
    }

    /// The watermark of a source.
    pub async fn watermark_get(
        &self,
        connection: &ConnectionId,
        dataset: &str,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_scalar(WATERMARK).bind(&connection.0).bind(dataset).fetch_optional(pool).await?
        }))
    }
}
