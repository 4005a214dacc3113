//! Events, and unmapped identifiers.

use crate::TimeCursor;
use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, EventId, PersonId};
use sqlx::QueryBuilder;
use std::collections::{BTreeMap, HashMap, HashSet};

/// One log record, normalised.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EventRow {
    /// Digest of connection, dataset and the record's key.
    #[sqlx(try_from = "String")]
    pub id: EventId,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// When it happened, by the record's own time.
    pub at: DateTime<Utc>,
    /// The person.
    pub person_id: Option<String>,
    /// The address or name in the record, in lower case.
    pub identifier: Option<String>,
    /// The action or decision.
    pub action: Option<String>,
    /// The target: a name, an address, an application.
    pub target: Option<String>,
    /// The source IP address.
    pub source_ip: Option<String>,
    /// The country, in upper case.
    pub country: Option<String>,
    /// The batch that first contained it.
    pub batch_id: String,
    /// The record as received.
    pub raw: String,
}

/// An unmapped identifier: it occurs in events but belongs to no person.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "identifier and dataset as in events; how many, the first and the last"
)]
pub struct UnmappedRow {
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    pub identifier: String,
    pub dataset: String,
    pub events: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// The result of storing a part of a batch.
#[derive(Debug)]
pub struct EventsStored {
    /// The number of new events.
    pub new: usize,
    /// The events that this batch was the first to contain, now or before an interruption.
    pub of_batch: Vec<EventRow>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only for this person.
    pub person_id: Option<PersonId>,
    /// Only for this dataset.
    pub dataset: Option<String>,
    /// Only for this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only before this position.
    pub before: Option<TimeCursor>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    ADOPTABLE,
    ADOPT_BATCHES,
    ADOPT_EVENTS,
    ADOPT_DETECTIONS,
    ADOPTED,
    LIST,
    LIST_BY_PERSON,
    LIST_BY_DATASET,
    BY_BATCH,
    GET,
    UNMAPPED_LIST,
];
pub(crate) const INSERT_HEAD: &str = "
    INSERT INTO event (id, connection_id, dataset, at, person_id, identifier, action, target, source_ip,
        country, batch_id, raw) ";
pub(crate) const INSERT_TAIL: &str = " ON CONFLICT (id) DO NOTHING RETURNING id";
pub(crate) const BATCH_HEAD: &str = "SELECT id, batch_id FROM event WHERE id IN (";
/// Rows in one statement.
const ROWS: usize = 500;

pub(crate) const UNMAPPED_HEAD: &str =
    "INSERT INTO unmapped_identifier (connection_id, identifier, dataset, events, first_at, last_at)";
pub(crate) const UNMAPPED_TAIL: &str = "
    ON CONFLICT (connection_id, identifier, dataset) DO UPDATE SET
        events = unmapped_identifier.events + excluded.events,
        first_at = CASE WHEN excluded.first_at < unmapped_identifier.first_at
            THEN excluded.first_at ELSE unmapped_identifier.first_at END,
        last_at = CASE WHEN excluded.last_at > unmapped_identifier.last_at
            THEN excluded.last_at ELSE unmapped_identifier.last_at END";
const LIST: &str = "
    SELECT * FROM event
    WHERE (at, id) < ($1, $2) AND (CAST($3 AS TEXT) IS NULL OR connection_id = $3)
    ORDER BY at DESC, id DESC LIMIT $4";
const LIST_BY_PERSON: &str = "
    SELECT * FROM event
    WHERE person_id = $5 AND (at, id) < ($1, $2) AND (CAST($3 AS TEXT) IS NULL OR connection_id = $3)
      AND (CAST($6 AS TEXT) IS NULL OR dataset = $6)
    ORDER BY at DESC, id DESC LIMIT $4";
const LIST_BY_DATASET: &str = "
    SELECT * FROM event
    WHERE dataset = $5 AND (at, id) < ($1, $2) AND (CAST($3 AS TEXT) IS NULL OR connection_id = $3)
    ORDER BY at DESC, id DESC LIMIT $4";
const BY_BATCH: &str = "SELECT * FROM event WHERE batch_id = $1 AND id > $2 ORDER BY id LIMIT $3";
const GET: &str = "SELECT * FROM event WHERE id = $1";
const ADOPTABLE: &str = "
    SELECT u.connection_id, u.identifier, p.id
    FROM unmapped_identifier u JOIN person p ON p.email = u.identifier
    WHERE SUBSTR(u.identifier, 1, 13) <> 'non_identity@'
    UNION SELECT u.connection_id, u.identifier, a.person_id
    FROM unmapped_identifier u JOIN person_alias a ON a.address = u.identifier
    WHERE SUBSTR(u.identifier, 1, 13) <> 'non_identity@'
    ORDER BY 1, 2 LIMIT $1";
const ADOPT_BATCHES: &str = "
    UPDATE batch SET state = CASE state WHEN 'detected' THEN 'stored' ELSE state END, replay_id = NULL,
        again = again + 1
    WHERE state IN ('archived', 'stored', 'detected') AND id IN (SELECT batch_id FROM event
        WHERE connection_id = $1 AND identifier = $2 AND person_id IS NULL)";
const ADOPT_EVENTS: &str = "
    UPDATE event SET person_id = $3 WHERE connection_id = $1 AND identifier = $2 AND person_id IS NULL";
const ADOPT_DETECTIONS: &str = "
    UPDATE detection SET person_id = $3 WHERE connection_id = $1 AND identifier = $2 AND person_id IS NULL
    RETURNING id, title";
const ADOPTED: &str = "DELETE FROM unmapped_identifier WHERE connection_id = $1 AND identifier = $2";
pub(crate) const GET_MANY_HEAD: &str = "SELECT * FROM event WHERE id IN (";
const UNMAPPED_LIST: &str = "
    SELECT * FROM unmapped_identifier WHERE CAST($1 AS TEXT) IS NULL OR connection_id = $1
    ORDER BY events DESC, identifier, dataset, connection_id LIMIT $2";

impl Store {
    /// Stores a part of a batch in one transaction: new events, and the counts of unmapped identifiers (from new events
    /// only, so that repeating a part changes nothing).
    pub async fn event_store(&self, mut events: Vec<EventRow>) -> Result<EventsStored, StoreError> {
        // The first of one record counts, here as in the table.
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(event.id.0.clone()));
        let (new, others) = in_transaction!(self, tx => {
            let mut new: HashSet<String> = HashSet::new();
            for part in events.chunks(ROWS) {
                let mut query = QueryBuilder::new(INSERT_HEAD);
                query.push_values(part, |mut row, event| {
                    row.push_bind(&event.id.0).push_bind(&event.connection_id.0).push_bind(&event.dataset)
                        .push_bind(event.at).push_bind(&event.person_id).push_bind(kept(&event.identifier))
                        .push_bind(kept(&event.action)).push_bind(kept(&event.target))
                        .push_bind(kept(&event.source_ip)).push_bind(kept(&event.country))
                        .push_bind(&event.batch_id).push_bind(storable(&event.raw));
                });
                query.push(INSERT_TAIL);
                let ids: Vec<String> = query.build_query_scalar().fetch_all(&mut *tx).await?;
                new.extend(ids);
            }
            let known: Vec<&EventRow> = events.iter().filter(|event| !new.contains(&event.id.0)).collect();
            let mut batches: HashMap<String, String> = HashMap::new();
            for part in known.chunks(ROWS) {
                let mut query = QueryBuilder::new(BATCH_HEAD);
                let mut list = query.separated(", ");
                for event in part {
                    list.push_bind(&event.id.0);
                }
                query.push(")");
                let rows: Vec<(String, String)> = query.build_query_as().fetch_all(&mut *tx).await?;
                batches.extend(rows);
            }
            let unmapped: Vec<_> = unmapped(&events, &new).into_iter().collect();
            for part in unmapped.chunks(ROWS) {
                let mut query = QueryBuilder::new(UNMAPPED_HEAD);
                query.push_values(part, |mut row, ((connection, identifier, dataset), (events, first, last))| {
                    row.push_bind(*connection).push_bind(identifier.as_ref()).push_bind(*dataset)
                        .push_bind(*events).push_bind(*first).push_bind(*last);
                });
                query.push(UNMAPPED_TAIL);
                query.build().execute(&mut *tx).await?;
            }
            (new.len(), batches)
        });
        events.retain(|event| {
            others
                .get(&event.id.0)
                .is_none_or(|batch| *batch == event.batch_id)
        });
        Ok(EventsStored {
            new,
            of_batch: events,
        })
    }

    /// Gives events and detections without a person to the one who has their identifier as an address by now, and
    /// sends their batches through detection again. Looks at `limit` identifiers; answers how many there were.
    ///
    /// `summary` tells the journal of a detection, from its title and the identifier.
    pub async fn event_adopt(
        &self,
        limit: i64,
        summary: &(dyn Fn(&str, &str) -> String + Sync),
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let adoptable: Vec<(String, String, String)> = on_engine!(self, pool => {
            sqlx::query_as(ADOPTABLE).bind(bounded(limit)).fetch_all(pool).await?
        });
        for (connection, identifier, person) in &adoptable {
            in_transaction!(self, tx => {
                sqlx::query(ADOPT_BATCHES).bind(connection).bind(identifier).execute(&mut *tx).await?;
                sqlx::query(ADOPT_EVENTS).bind(connection).bind(identifier).bind(person)
                    .execute(&mut *tx).await?;
                let detections: Vec<(String, String)> = sqlx::query_as(ADOPT_DETECTIONS)
                    .bind(connection).bind(identifier).bind(person).fetch_all(&mut *tx).await?;
                for (id, title) in detections {
                    let entry = JournalEntry {
                        at: now,
                        kind: model::JournalKind::DetectionMapped,
                        person_id: Some(PersonId(person.clone())),
                        connection_id: Some(ConnectionId(connection.clone())),
                        subject_id: Some(id),
                        summary: summary(&title, identifier),
                        data: serde_json::json!({}),
                    };
                    journal_write!(tx, &entry);
                }
                sqlx::query(ADOPTED).bind(connection).bind(identifier).execute(&mut *tx).await?;
            });
        }
        Ok(adoptable.len())
    }

    /// Events, newest first.
    pub async fn event_list(&self, filter: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
        let before = filter.before.clone().unwrap_or_else(TimeCursor::end);
        let connection = filter.connection_id.as_ref().map(ConnectionId::as_str);
        let limit = bounded(filter.limit);
        Ok(on_reader!(self, pool => {
            match (&filter.person_id, &filter.dataset) {
                (Some(person), dataset) => sqlx::query_as(LIST_BY_PERSON)
                    .bind(before.at).bind(&before.id).bind(connection).bind(limit).bind(&person.0)
                    .bind(dataset.as_deref()).fetch_all(pool).await?,
                (None, Some(dataset)) => sqlx::query_as(LIST_BY_DATASET)
                    .bind(before.at).bind(&before.id).bind(connection).bind(limit).bind(dataset)
                    .fetch_all(pool).await?,
                (None, None) => sqlx::query_as(LIST)
                    .bind(before.at).bind(&before.id).bind(connection).bind(limit).fetch_all(pool).await?,
            }
        }))
    }

    /// One event.
    pub async fn event_get(&self, id: &EventId) -> Result<Option<EventRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(&id.0).fetch_optional(pool).await?))
    }

    /// The events among these ids that exist, in no order.
    pub async fn event_get_many(&self, ids: &[String]) -> Result<Vec<EventRow>, StoreError> {
        let mut all = Vec::new();
        for part in ids.chunks(500) {
            let rows: Vec<EventRow> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(GET_MANY_HEAD);
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

    /// A part of a batch's events, by id, after `after`.
    pub async fn event_by_batch(
        &self,
        batch: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(BY_BATCH).bind(batch).bind(after).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Unmapped identifiers, ordered by their number of events.
    pub async fn unmapped_list(
        &self,
        connection: Option<&ConnectionId>,
        limit: i64,
    ) -> Result<Vec<UnmappedRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(UNMAPPED_LIST).bind(connection.map(ConnectionId::as_str)).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }
}

fn kept(text: &Option<String>) -> Option<String> {
    text.as_deref().map(|text| storable(text).into_owned())
}

type UnmappedKey<'a> = (&'a str, std::borrow::Cow<'a, str>, &'a str);

fn unmapped<'a>(
    events: &'a [EventRow],
    new: &HashSet<String>,
) -> BTreeMap<UnmappedKey<'a>, (i64, DateTime<Utc>, DateTime<Utc>)> {
    let mut counted = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event.person_id.is_none() && new.contains(&event.id.0))
    {
        let Some(identifier) = event.identifier.as_deref() else {
            continue;
        };
        // As it is kept, so that no two rows of one statement are the same.
        let identifier = storable(identifier);
        let key = (event.connection_id.as_str(), identifier, event.dataset.as_str());
        let (count, first, last) = counted.entry(key).or_insert((0, event.at, event.at));
        *count += 1;
        *first = event.at.min(*first);
        *last = event.at.max(*last);
    }
    counted
}
