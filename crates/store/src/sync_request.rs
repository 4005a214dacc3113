//! Requested syncs that have not run yet.

use crate::engine::{Store, StoreError, on_engine};
use chrono::{DateTime, Utc};
use model::ConnectionId;

/// A requested sync.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SyncRequestRow {
    /// The connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Whether lists that became less than half as long are accepted.
    pub confirm: bool,
    /// The actor who requested it.
    pub actor: String,
    /// When.
    pub asked_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[PUT, LIST, DONE];

const PUT: &str = "
    INSERT INTO sync_request (connection_id, confirm, actor, asked_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (connection_id) DO UPDATE SET confirm = excluded.confirm OR sync_request.confirm,
        actor = excluded.actor, asked_at = excluded.asked_at";
const LIST: &str = "SELECT * FROM sync_request ORDER BY asked_at, connection_id LIMIT 1000";
const DONE: &str = "DELETE FROM sync_request WHERE connection_id = $1 AND asked_at = $2";

impl Store {
    /// Requests a sync. A request that has not started yet stays the same request.
    pub async fn sync_request_put(&self, request: &SyncRequestRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PUT)
                .bind(&request.connection_id.0).bind(request.confirm).bind(&request.actor).bind(request.asked_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// The requested syncs, oldest first.
    pub async fn sync_request_list(&self) -> Result<Vec<SyncRequestRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(LIST).fetch_all(pool).await?))
    }

    /// Removes a finished request. A newer request stays.
    pub async fn sync_request_done(&self, request: &SyncRequestRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(DONE).bind(&request.connection_id.0).bind(request.asked_at).execute(pool).await?;
        });
        Ok(())
    }
}
