//! Detections: a rule matched an event.

use crate::TimeCursor;
use crate::engine::{
    Store, StoreError, bounded, in_transaction, json_columns, on_engine, on_reader, storable,
};
use crate::evidence::evidence_hold;
use crate::group_debt::{GroupDebt, PAID_HEAD, PAID_STAMPS};
use crate::journal::{JournalEntry, journal_write, journal_write_many};
use chrono::{DateTime, Utc};
use model::{ConnectionId, DetectionId, EventId, PersonId};
use sqlx::QueryBuilder;
use std::collections::{HashMap, HashSet};

/// A rule that matched for a person, or for an unmapped identifier.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DetectionRow {
    /// Digest of rule and event.
    #[sqlx(try_from = "String")]
    pub id: DetectionId,
    /// The rule's own id.
    pub rule_id: String,
    /// Its short name.
    pub rule_name: String,
    /// Its title at the time of the match.
    pub title: String,
    /// Its Sigma level: informational, low, medium, high, critical.
    pub level: String,
    /// The behaviour that it triggers.
    pub behaviour: Option<String>,
    /// The topic for coaching.
    pub topic: Option<String>,
    /// The event that matched.
    #[sqlx(try_from = "String")]
    pub event_id: EventId,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// The person.
    pub person_id: Option<String>,
    /// The identifier in the event.
    pub identifier: Option<String>,
    /// When the event happened.
    pub at: DateTime<Utc>,
    /// When the rule matched.
    pub detected_at: DateTime<Utc>,
    /// Further information from the rule, for example the speed of an impossible journey.
    pub detail: Option<String>,
    /// The watch that fired, with a digest of its definition; `None` for detections from before watches were stored.
    pub watch: Option<String>,
    /// The values that separate the watch's groups, as JSON.
    pub group_key: Option<String>,
    /// The number of its matches.
    pub matches: i64,
    /// When the last match happened.
    pub last_at: DateTime<Utc>,
    /// The ids of the events that are its evidence, as a JSON list, oldest first.
    pub evidence: String,
}

json_columns! {
    DetectionRow in "detection" by |row| &row.id;
    /// The ids of the events that are its evidence, oldest first.
    evidence_ids = evidence: Vec<String>;
}

/// The required changes of the detections of some groups.
#[derive(Debug, Clone, Default)]
pub struct DetectionChanges {
    /// Detections that do not exist yet.
    pub new: Vec<DetectionRow>,
    /// Detections that exist under their id, with new content.
    pub revised: Vec<DetectionRow>,
    /// Detections that later records invalidated.
    pub withdrawn: Vec<DetectionRow>,
}

/// The number of matches of a rule.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "the rule's name, its detections, and the people concerned"
)]
pub struct RuleCount {
    pub rule_name: String,
    pub detections: i64,
    pub people: i64,
    pub last_at: DateTime<Utc>,
}

/// Which detections to list.
#[derive(Debug, Clone, Default)]
pub struct DetectionFilter {
    /// Only for this person.
    pub person_id: Option<PersonId>,
    /// Only for the rule with this name.
    pub rule_name: Option<String>,
    /// Only before this position.
    pub before: Option<TimeCursor>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[REVISE, WITHDRAW, LIST, LIST_BY_PERSON, GET, COUNTS];

pub(crate) const INSERT_HEAD: &str = "
    INSERT INTO detection (id, rule_id, rule_name, title, level, behaviour, topic, event_id, connection_id,
        dataset, person_id, identifier, at, detected_at, detail, watch, group_key, matches, last_at, evidence)";
pub(crate) const INSERT_TAIL: &str = " ON CONFLICT DO NOTHING RETURNING id";
pub(crate) const GET_MANY_HEAD: &str = "SELECT * FROM detection WHERE id IN (";
/// Rows in one statement.
const ROWS: usize = 200;
const REVISE: &str = "
    UPDATE detection SET event_id = $2, connection_id = $3, dataset = $4, person_id = $5, identifier = $6, at = $7,
        detail = $8, matches = $9, last_at = $10, evidence = $11
    WHERE id = $1";
const WITHDRAW: &str = "DELETE FROM detection WHERE id = $1";
pub(crate) const GROUPS_HEAD: &str = "SELECT * FROM detection WHERE watch = ";
pub(crate) const GROUPS_TAIL: &str = ") AND last_at >= ";
pub(crate) const GROUPS_ORDER: &str = " ORDER BY at, id";
const LIST: &str = "
    SELECT * FROM detection
    WHERE (at, id) < ($1, $2) AND (CAST($3 AS TEXT) IS NULL OR rule_name = $3)
    ORDER BY at DESC, id DESC LIMIT $4";
const LIST_BY_PERSON: &str = "
    SELECT * FROM detection
    WHERE person_id = $5 AND (at, id) < ($1, $2) AND (CAST($3 AS TEXT) IS NULL OR rule_name = $3)
    ORDER BY at DESC, id DESC LIMIT $4";
const GET: &str = "SELECT * FROM detection WHERE id = $1";
const COUNTS: &str = "
    SELECT rule_name, COUNT(*) AS detections, COUNT(DISTINCT COALESCE(person_id, identifier)) AS people,
        MAX(at) AS last_at
    FROM detection GROUP BY rule_name ORDER BY rule_name LIMIT 1000";

fn kept(text: &Option<String>) -> Option<String> {
    text.as_deref().map(|text| storable(text).into_owned())
}

fn journal_entry(
    found: &DetectionRow,
    now: DateTime<Utc>,
    kind: model::JournalKind,
    summary: String,
) -> JournalEntry {
    JournalEntry {
        at: now,
        kind,
        person_id: found.person_id.clone().map(PersonId),
        connection_id: Some(found.connection_id.clone()),
        subject_id: Some(found.id.0.clone()),
        summary,
        data: serde_json::json!({
            "rule": found.rule_name, "level": found.level, "behaviour": found.behaviour,
            "topic": found.topic, "event_id": found.event_id, "event_at": found.at,
        }),
    }
}

impl Store {
    /// Applies changes of detections and removes the paid debts, in one transaction, with a journal entry for each new
    /// or withdrawn detection. Returns the number of new ones. Returns `None` without a change if another process paid
    /// one of `paid`, or if its debt grew since it was read: the groups must then be evaluated again.
    pub async fn detection_change(
        &self,
        changes: &DetectionChanges,
        paid: &[GroupDebt],
        summary: &(dyn Fn(&DetectionRow) -> String + Sync),
        now: DateTime<Utc>,
    ) -> Result<Option<usize>, StoreError> {
        let mut held = Vec::new();
        for found in changes.new.iter().chain(&changes.revised) {
            held.push(found.event_id.0.clone());
            held.extend(found.evidence_ids()?);
        }
        let new = in_transaction!(self, tx => {
            let mut new = 0;
            let of_watches = paid.chunk_by(|one, next| one.watch == next.watch);
            for part in of_watches.flat_map(|debts| debts.chunks(ROWS)) {
                let mut query = QueryBuilder::new(PAID_HEAD);
                query.push_bind(&part[0].watch).push(" AND group_key IN (");
                let mut list = query.separated(", ");
                for debt in part {
                    list.push_bind(&debt.group_key);
                }
                query.push(PAID_STAMPS);
                query.push_values(part, |mut row, debt| {
                    row.push_bind(&debt.group_key).push_bind(&debt.stamp);
                });
                query.push(")");
                let removed = query.build().execute(&mut *tx).await?.rows_affected();
                if removed != part.len() as u64 {
                    return Ok(None);
                }
            }
            for found in &changes.withdrawn {
                sqlx::query(WITHDRAW).bind(&found.id.0).execute(&mut *tx).await?;
                let entry = journal_entry(found, now, model::JournalKind::DetectionWithdrawn, summary(found));
                journal_write!(tx, &entry);
            }
            for found in &changes.revised {
                sqlx::query(REVISE)
                    .bind(&found.id.0).bind(&found.event_id.0).bind(&found.connection_id.0).bind(&found.dataset)
                    .bind(&found.person_id).bind(kept(&found.identifier)).bind(found.at).bind(kept(&found.detail))
                    .bind(found.matches).bind(found.last_at).bind(&found.evidence).execute(&mut *tx).await?;
            }
            for part in changes.new.chunks(ROWS) {
                let mut query = QueryBuilder::new(INSERT_HEAD);
                query.push_values(part, |mut row, found| {
                    row.push_bind(&found.id.0).push_bind(&found.rule_id).push_bind(&found.rule_name)
                        .push_bind(&found.title).push_bind(&found.level).push_bind(&found.behaviour)
                        .push_bind(&found.topic).push_bind(&found.event_id.0).push_bind(&found.connection_id.0)
                        .push_bind(&found.dataset).push_bind(&found.person_id).push_bind(kept(&found.identifier))
                        .push_bind(found.at).push_bind(found.detected_at).push_bind(kept(&found.detail))
                        .push_bind(&found.watch).push_bind(kept(&found.group_key)).push_bind(found.matches)
                        .push_bind(found.last_at).push_bind(&found.evidence);
                });
                query.push(INSERT_TAIL);
                let inserted: Vec<String> = query.build_query_scalar().fetch_all(&mut *tx).await?;
                let mut inserted: HashSet<&str> = inserted.iter().map(String::as_str).collect();
                let entries: Vec<JournalEntry> = part
                    .iter()
                    .filter(|found| inserted.remove(found.id.as_str()))
                    .map(|found| journal_entry(found, now, model::JournalKind::DetectionCreated, summary(found)))
                    .collect();
                new += entries.len();
                journal_write_many!(tx, &entries);
            }
            evidence_hold!(tx, held);
            new
        });
        Ok(Some(new))
    }

    /// The detections of these groups of a watch, starting at a time.
    pub async fn detection_groups(
        &self,
        watch: &str,
        keys: &[&str],
        from: DateTime<Utc>,
    ) -> Result<Vec<DetectionRow>, StoreError> {
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
            query.push(GROUPS_TAIL).push_bind(from).push(GROUPS_ORDER);
            query.build_query_as().fetch_all(pool).await?
        }))
    }

    /// Detections, newest event first.
    pub async fn detection_list(&self, filter: &DetectionFilter) -> Result<Vec<DetectionRow>, StoreError> {
        let before = filter.before.clone().unwrap_or_else(TimeCursor::end);
        let limit = bounded(filter.limit);
        Ok(on_reader!(self, pool => {
            match &filter.person_id {
                Some(person) => sqlx::query_as(LIST_BY_PERSON)
                    .bind(before.at).bind(&before.id).bind(filter.rule_name.as_deref()).bind(limit)
                    .bind(&person.0).fetch_all(pool).await?,
                None => sqlx::query_as(LIST)
                    .bind(before.at).bind(&before.id).bind(filter.rule_name.as_deref()).bind(limit)
                    .fetch_all(pool).await?,
            }
        }))
    }

    /// One detection.
    pub async fn detection_get(&self, id: &DetectionId) -> Result<Option<DetectionRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(&id.0).fetch_optional(pool).await?))
    }

    /// The detections among these ids that exist.
    pub async fn detection_get_many(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, DetectionRow>, StoreError> {
        let mut all = HashMap::new();
        for part in ids.chunks(ROWS) {
            let rows: Vec<DetectionRow> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(GET_MANY_HEAD);
                let mut list = query.separated(", ");
                for id in part {
                    list.push_bind(id);
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            all.extend(rows.into_iter().map(|row| (row.id.0.clone(), row)));
        }
        Ok(all)
    }

    /// The number of matches of each rule, by name.
    pub async fn detection_counts(&self) -> Result<Vec<RuleCount>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(COUNTS).fetch_all(pool).await?))
    }
}
