//! Requested syncs that have not run yet.

use crate::engine::{Store, StoreError, on_engine};
use chrono::{DateTime, Utc};
use model::ConnectionId;

/// A sync that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SyncRequestRow {
    /// Of which connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Whether lists that have become less than half as long are accepted.
    pub confirm: bool,
    /// Who asked.
    pub actor: String,
    /// When.
    pub asked_at: DateTime<Utc>,
}

/// Everything this file sends to either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[PUT, LIST, DONE];

const PUT: &str = "
    INSERT INTO sync_request (connection_id, confirm, actor, asked_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (connection_id) DO UPDATE SET confirm = excluded.confirm OR sync_request.confirm,
        actor = excluded.actor, asked_at = excluded.asked_at";
const LIST: &str = "SELECT * FROM sync_request ORDER BY asked_at, connection_id LIMIT 1000";
const DONE: &str = "DELETE FROM sync_request WHERE connection_id = $1 AND asked_at = $2";

impl Store {
    /// Asks for a sync. One that was asked for already and has not begun stays the same request.
    pub async fn sync_request_put(&self, request: &SyncRequestRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PUT)
                .bind(&request.connection_id.0).bind(request.confirm).bind(&request.actor).bind(request.asked_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// The syncs that were asked for, oldest first.
    pub async fn sync_request_list(&self) -> Result<Vec<SyncRequestRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(LIST).fetch_all(pool).await?))
    }

    /// Removes a request that was done. One that was asked for since then stays.
    pub async fn sync_request_done(&self, request: &SyncRequestRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(DONE).bind(&request.connection_id.0).bind(request.asked_at).execute(pool).await?;
        });
        Ok(())
    }
}
