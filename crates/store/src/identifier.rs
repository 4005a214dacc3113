//! The identifiers in records: when each was first and last seen.

use crate::engine::{Store, StoreError, on_engine, on_reader};
use chrono::{DateTime, Utc};
use model::ConnectionId;
use sqlx::QueryBuilder;

/// The first and the last record of an identifier in a dataset of a connection.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "the identifier and dataset as in records; the two times"
)]
pub struct IdentifierSeenRow {
    pub identifier: String,
    pub dataset: String,
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[OF_SOURCE, FORGET, FORGET_OLD];

pub(crate) const SEEN_HEAD: &str =
    "INSERT INTO identifier_seen (identifier, dataset, connection_id, first_at, last_at)";
pub(crate) const SEEN_TAIL: &str = "
    ON CONFLICT (identifier, dataset, connection_id) DO UPDATE SET
        first_at = CASE WHEN excluded.first_at < identifier_seen.first_at
            THEN excluded.first_at ELSE identifier_seen.first_at END,
        last_at = CASE WHEN excluded.last_at > identifier_seen.last_at
            THEN excluded.last_at ELSE identifier_seen.last_at END
    WHERE excluded.first_at < identifier_seen.first_at OR excluded.last_at > identifier_seen.last_at";
pub(crate) const GET_HEAD: &str = "SELECT * FROM identifier_seen WHERE identifier IN (";
const OF_SOURCE: &str = "
    SELECT * FROM identifier_seen WHERE connection_id = $1 AND dataset = $2 AND identifier > $3
    ORDER BY identifier LIMIT 1000";
const FORGET: &str = "DELETE FROM identifier_seen WHERE identifier = $1";
const FORGET_OLD: &str = "DELETE FROM identifier_seen WHERE dataset = $1 AND last_at < $2";

/// Stores when identifiers were seen in the transaction `$tx`.
macro_rules! identifiers_seen {
    ($tx:expr, $seen:expr) => {{
        let seen: &[$crate::identifier::IdentifierSeenRow] = $seen;
        for some in seen.chunks(500) {
            let mut query = sqlx::QueryBuilder::new($crate::identifier::SEEN_HEAD);
            query.push_values(some, |mut row, one| {
                row.push_bind($crate::engine::storable(&one.identifier).into_owned())
                    .push_bind(&one.dataset)
                    .push_bind(&one.connection_id.0)
                    .push_bind(one.first_at)
                    .push_bind(one.last_at);
            });
            query.push($crate::identifier::SEEN_TAIL);
            query.build().execute(&mut *$tx).await?;
        }
    }};
}
pub(crate) use identifiers_seen;

impl Store {
    /// Where and when these identifiers were seen.
    pub async fn identifier_seen(
        &self,
        identifiers: &[String],
    ) -> Result<Vec<IdentifierSeenRow>, StoreError> {
        let mut all = Vec::new();
        for some in identifiers.chunks(500) {
            let rows: Vec<IdentifierSeenRow> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(GET_HEAD);
                let mut list = query.separated(", ");
                for identifier in some {
                    list.push_bind(identifier);
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            all.extend(rows);
        }
        Ok(all)
    }

    /// The identifiers of a dataset of a connection, by name, after one.
    pub async fn identifier_seen_list(
        &self,
        connection: &ConnectionId,
        dataset: &str,
        after: &str,
    ) -> Result<Vec<IdentifierSeenRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(OF_SOURCE).bind(&connection.0).bind(dataset).bind(after).fetch_all(pool).await?
        }))
    }

    /// Forgets where an identifier was seen.
    pub async fn identifier_forget(&self, identifier: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(FORGET).bind(identifier).execute(pool).await?; });
        Ok(())
    }

    /// Forgets identifiers of a dataset that were not seen since a time.
    pub async fn identifier_forget_old(
        &self,
        dataset: &str,
        before: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(FORGET_OLD).bind(dataset).bind(before).execute(pool).await?; });
        Ok(())
    }
}
