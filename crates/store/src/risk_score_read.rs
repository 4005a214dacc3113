//! The position up to which Cloudflare's risk events were read, for each user.

use crate::engine::{Store, StoreError, in_transaction, on_reader, storable};
use chrono::{DateTime, Utc};
use model::ConnectionId;

/// The state of the last read of one user's events.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RiskScoreReadRow {
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The Access user's id.
    pub user_id: String,
    /// The number of events in the summary; `None` before they were read.
    pub event_count: Option<i64>,
    /// The time of the newest one, as written in the summary.
    pub last_event: Option<String>,
    /// A JSON array: the ids of the events.
    pub event_ids: String,
    /// Why the last read failed.
    pub problem: Option<String>,
    /// When it was last tried.
    pub read_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[PUT, LIST, GET];

const PUT: &str = "
    INSERT INTO risk_score_read (connection_id, user_id, event_count, last_event, event_ids, problem, read_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (connection_id, user_id) DO UPDATE SET event_count = excluded.event_count,
        last_event = excluded.last_event, event_ids = excluded.event_ids, problem = excluded.problem,
        read_at = excluded.read_at";
// The ids are as many as all events: they are read for those users alone that are asked for.
const LIST: &str = "
    SELECT connection_id, user_id, event_count, last_event, '[]' AS event_ids, problem, read_at FROM risk_score_read
    WHERE connection_id = $1 ORDER BY user_id LIMIT 1000000";
const GET: &str = "SELECT * FROM risk_score_read WHERE connection_id = $1 AND user_id = $2";

impl Store {
    /// Stores the read state of some users.
    pub async fn risk_score_read_put(&self, rows: &[RiskScoreReadRow]) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            for row in rows {
                sqlx::query(PUT)
                    .bind(&row.connection_id.0).bind(&row.user_id).bind(row.event_count).bind(&row.last_event)
                    .bind(&row.event_ids)
                    .bind(row.problem.as_deref().map(|text| storable(text).into_owned())).bind(row.read_at)
                    .execute(&mut *tx).await?;
            }
        });
        Ok(())
    }

    /// The read state of every user, without the ids of their events.
    pub async fn risk_score_read_list(
        &self,
        connection: &ConnectionId,
    ) -> Result<Vec<RiskScoreReadRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(&connection.0).fetch_all(pool).await?
        }))
    }

    /// The read state of one user.
    pub async fn risk_score_read_get(
        &self,
        connection: &ConnectionId,
        user_id: &str,
    ) -> Result<Option<RiskScoreReadRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(GET).bind(&connection.0).bind(user_id).fetch_optional(pool).await?
        }))
    }
}
