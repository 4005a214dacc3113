//! The journal: the append-only record of everything that happened, and the position of each consumer.
//!
//! The operations that change data write its rows in the same transaction.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader};
use chrono::{DateTime, Utc};
use model::{ConnectionId, JournalKind, PersonId};
use serde_json::Value;

/// A new journal entry, to be written together with the change that it records.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// The kind.
    pub kind: JournalKind,
    /// The person concerned.
    pub person_id: Option<PersonId>,
    /// The connection concerned.
    pub connection_id: Option<ConnectionId>,
    /// The id of the thing that changed.
    pub subject_id: Option<String>,
    /// A sentence for people.
    pub summary: String,
    /// Data for programs.
    pub data: Value,
}

/// A stored entry.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct JournalRow {
    /// Its position. Later entries have larger ones, with gaps.
    pub seq: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The kind.
    #[sqlx(try_from = "String")]
    pub kind: JournalKind,
    /// The person concerned.
    pub person_id: Option<String>,
    /// The connection concerned.
    pub connection_id: Option<String>,
    /// The id of the thing that changed.
    pub subject_id: Option<String>,
    /// A sentence for people.
    pub summary: String,
    /// A JSON object for programs.
    pub data: String,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    LATEST,
    LATEST_OF_PERSON,
    AFTER,
    HAS_AFTER,
    NEWEST,
    POSITION,
    POSITION_SET,
];

pub(crate) const INSERT_HEAD: &str =
    "INSERT INTO journal (at, kind, person_id, connection_id, subject_id, summary, data)";

const LATEST: &str = "
    SELECT seq, at, kind, person_id, connection_id, subject_id, summary, data FROM journal
    WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
const LATEST_OF_PERSON: &str = "
    SELECT seq, at, kind, person_id, connection_id, subject_id, summary, data FROM journal
    WHERE person_id = $3 AND seq < $1 ORDER BY seq DESC LIMIT $2";

// Whoever writes waits for the one who wrote before (on PostgreSQL by the trigger `journal_in_order`; SQLite has one
// writer), so numbers become visible in their order and nothing is behind the highest number that was seen.
const AFTER: &str = "
    SELECT seq, at, kind, person_id, connection_id, subject_id, summary, data FROM journal
    WHERE seq > $1 AND kind LIKE $2 ORDER BY seq LIMIT $3";

const HAS_AFTER: &str = "SELECT EXISTS (SELECT 1 FROM journal WHERE seq > $1 AND kind LIKE $2)";
const NEWEST: &str = "SELECT MAX(seq) FROM journal";
const POSITION: &str = "SELECT position FROM consumer WHERE name = $1";
pub(crate) const POSITION_SET: &str = "
    INSERT INTO consumer (name, position) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE consumer.position < excluded.position";

/// Writes entries in the transaction `$tx`, in this order.
macro_rules! journal_write_many {
    ($tx:expr, $entries:expr) => {{
        let entries: &[$crate::journal::JournalEntry] = $entries;
        for part in entries.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::journal::INSERT_HEAD);
            query.push_values(part, |mut row, entry| {
                row.push_bind(entry.at)
                    .push_bind(entry.kind.as_str())
                    .push_bind(entry.person_id.as_ref().map(|id| id.0.as_str()))
                    .push_bind(entry.connection_id.as_ref().map(|id| id.0.as_str()))
                    .push_bind(entry.subject_id.as_deref())
                    .push_bind($crate::engine::storable(&entry.summary).into_owned())
                    .push_bind(entry.data.to_string());
            });
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use journal_write_many;

/// Writes one entry in the transaction `$tx`.
macro_rules! journal_write {
    ($tx:expr, $entry:expr) => {{
        $crate::journal::journal_write_many!($tx, std::slice::from_ref($entry));
    }};
}
pub(crate) use journal_write;

impl Store {
    /// Writes an entry that records no other change.
    pub async fn journal_append(&self, entry: &JournalEntry) -> Result<(), StoreError> {
        in_transaction!(self, tx => { journal_write!(tx, entry); });
        Ok(())
    }

    /// The newest entries before `before` (a `seq`; `None` for the very newest), newest first.
    pub async fn journal_latest(
        &self,
        person: Option<&PersonId>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<JournalRow>, StoreError> {
        let (before, limit) = (before.unwrap_or(i64::MAX), bounded(limit));
        Ok(on_reader!(self, pool => match person {
            Some(person) => sqlx::query_as(LATEST_OF_PERSON)
                .bind(before).bind(limit).bind(person.as_str()).fetch_all(pool).await?,
            None => sqlx::query_as(LATEST).bind(before).bind(limit).fetch_all(pool).await?,
        }))
    }

    /// Entries after `position` whose kind matches the pattern `kind` (`detection.%`), oldest first, without ever
    /// skipping one.
    pub async fn journal_after(
        &self,
        position: i64,
        kind: &str,
        limit: i64,
    ) -> Result<Vec<JournalRow>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(AFTER).bind(position).bind(kind).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Whether there is an entry after `position` whose kind matches the pattern `kind`.
    pub async fn journal_has_after(&self, position: i64, kind: &str) -> Result<bool, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_scalar(HAS_AFTER).bind(position).bind(kind).fetch_one(pool).await?
        }))
    }

    /// The position of the newest entry; 0 if there is none.
    pub async fn journal_newest(&self) -> Result<i64, StoreError> {
        let newest: Option<i64> = on_engine!(self, pool => sqlx::query_scalar(NEWEST).fetch_one(pool).await?);
        Ok(newest.unwrap_or(0))
    }

    /// The position of a consumer: a `seq`, 0 at first.
    pub async fn consumer_position(&self, name: &str) -> Result<i64, StoreError> {
        let position: Option<i64> =
            on_reader!(self, pool => sqlx::query_scalar(POSITION).bind(name).fetch_optional(pool).await?);
        Ok(position.unwrap_or(0))
    }
}
