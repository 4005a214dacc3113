//! Unmapped identifiers: they occur in records but belong to no person.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, PersonId};

/// An unmapped identifier. A record that was received twice counts twice.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "identifier and dataset as in records; how many, the first and the last"
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

/// An unmapped identifier that belongs to a person by now.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Adoptable {
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The identifier.
    pub identifier: String,
    /// The person.
    #[sqlx(try_from = "String")]
    pub person_id: PersonId,
    /// The number of its records when it was read.
    pub events: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[ADOPTABLE, ADOPT_DETECTIONS, ADOPTED_COUNT, ADOPTED, UNMAPPED_LIST];

pub(crate) const UNMAPPED_HEAD: &str =
    "INSERT INTO unmapped_identifier (connection_id, identifier, dataset, events, first_at, last_at)";
pub(crate) const UNMAPPED_TAIL: &str = "
    ON CONFLICT (connection_id, identifier, dataset) DO UPDATE SET
        events = unmapped_identifier.events + excluded.events,
        first_at = CASE WHEN excluded.first_at < unmapped_identifier.first_at
            THEN excluded.first_at ELSE unmapped_identifier.first_at END,
        last_at = CASE WHEN excluded.last_at > unmapped_identifier.last_at
            THEN excluded.last_at ELSE unmapped_identifier.last_at END";
const ADOPTABLE: &str = "
    SELECT connection_id, identifier, person_id, CAST(SUM(events) AS BIGINT) AS events FROM (
        SELECT u.connection_id, u.identifier, u.dataset, u.events, p.id AS person_id
        FROM unmapped_identifier u JOIN person p ON p.email = u.identifier
        WHERE SUBSTR(u.identifier, 1, 13) <> 'non_identity@'
        UNION SELECT u.connection_id, u.identifier, u.dataset, u.events, a.person_id
        FROM unmapped_identifier u JOIN person_alias a ON a.address = u.identifier
        WHERE SUBSTR(u.identifier, 1, 13) <> 'non_identity@'
    ) AS adoptable
    GROUP BY connection_id, identifier, person_id ORDER BY connection_id, identifier LIMIT $1";
const ADOPT_DETECTIONS: &str = "
    UPDATE detection SET person_id = $3 WHERE connection_id = $1 AND identifier = $2 AND person_id IS NULL
    RETURNING id, title";
const ADOPTED_COUNT: &str = "
    SELECT CAST(COALESCE(SUM(events), 0) AS BIGINT) FROM unmapped_identifier
    WHERE connection_id = $1 AND identifier = $2";
const ADOPTED: &str = "DELETE FROM unmapped_identifier WHERE connection_id = $1 AND identifier = $2";
const UNMAPPED_LIST: &str = "
    SELECT * FROM unmapped_identifier WHERE CAST($1 AS TEXT) IS NULL OR connection_id = $1
    ORDER BY events DESC, identifier, dataset, connection_id LIMIT $2";

/// Counts records of unmapped identifiers in the transaction `$tx`.
macro_rules! unmapped_count {
    ($tx:expr, $unmapped:expr) => {{
        let unmapped: &[$crate::unmapped::UnmappedRow] = $unmapped;
        for some in unmapped.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::unmapped::UNMAPPED_HEAD);
            query.push_values(some, |mut row, one| {
                row.push_bind(&one.connection_id.0)
                    .push_bind($crate::engine::storable(&one.identifier).into_owned())
                    .push_bind(&one.dataset)
                    .push_bind(one.events)
                    .push_bind(one.first_at)
                    .push_bind(one.last_at);
            });
            query.push($crate::unmapped::UNMAPPED_TAIL);
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use unmapped_count;

impl Store {
    /// Unmapped identifiers that are an address of a person by now.
    pub async fn adoptable(&self, limit: i64) -> Result<Vec<Adoptable>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(ADOPTABLE).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Gives the detections of an identifier to the person that it belongs to, with a journal entry for each, which
    /// `summary` words from its title and the identifier.
    pub async fn adopt_detections(
        &self,
        found: &Adoptable,
        summary: &(dyn Fn(&str, &str) -> String + Sync),
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let detections: Vec<(String, String)> = sqlx::query_as(ADOPT_DETECTIONS)
                .bind(&found.connection_id.0).bind(&found.identifier).bind(&found.person_id.0)
                .fetch_all(&mut *tx).await?;
            for (id, title) in detections {
                let entry = JournalEntry {
                    at: now,
                    kind: model::JournalKind::DetectionMapped,
                    person_id: Some(found.person_id.clone()),
                    connection_id: Some(found.connection_id.clone()),
                    subject_id: Some(id),
                    summary: summary(&title, &found.identifier),
                    data: serde_json::json!({}),
                };
                journal_write!(tx, &entry);
            }
        });
        Ok(())
    }

    /// Ends an adoption: the identifier is no longer unmapped. Returns `false` without a change if more of its records
    /// came since it was read.
    pub async fn adopted(&self, found: &Adoptable) -> Result<bool, StoreError> {
        in_transaction!(self, tx => {
            let events: i64 = sqlx::query_scalar(ADOPTED_COUNT)
                .bind(&found.connection_id.0).bind(&found.identifier).fetch_one(&mut *tx).await?;
            if events != found.events {
                return Ok(false);
            }
            sqlx::query(ADOPTED).bind(&found.connection_id.0).bind(&found.identifier).execute(&mut *tx).await?;
        });
        Ok(true)
    }

    /// Unmapped identifiers, ordered by their number of records.
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
