//! The listings of a connection with their completeness, and the counts for the overview.

use crate::engine::{Store, StoreError, on_engine, on_reader};
use chrono::{DateTime, Utc};
use model::{ConnectionId, ListKind};

/// The state of one listing of a connection.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ListingRow {
    /// The connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The list.
    #[sqlx(try_from = "String")]
    pub kind: ListKind,
    /// When it was last read completely.
    pub complete_at: Option<DateTime<Utc>>,
    /// Why the data may be old; `None` if it is current.
    pub stale_reason: Option<String>,
    /// Whether the last read returned only a part of the list. Items that are missing from it may exist.
    pub is_partial: bool,
}

/// The counts of the overview.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "each is the number of rows of that name that are not gone; rejects that of rejected lines"
)]
pub struct Overview {
    pub connections: i64,
    pub people: i64,
    pub members: i64,
    pub access_users: i64,
    pub access_groups: i64,
    pub events: i64,
    pub rejects: i64,
    pub detections: i64,
    pub messages_delivered: i64,
    pub signals_delivered: i64,
    pub people_at_risk: i64,
    pub unmapped_identifiers: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[COMPLETE, STALE, LIST, OVERVIEW];

const COMPLETE: &str = "
    INSERT INTO listing (connection_id, kind, complete_at, stale_reason) VALUES ($1, $2, $3, NULL)
    ON CONFLICT (connection_id, kind) DO UPDATE
    SET complete_at = excluded.complete_at, stale_reason = NULL, is_partial = FALSE";
const STALE: &str = "
    INSERT INTO listing (connection_id, kind, complete_at, stale_reason, is_partial) VALUES ($1, $2, NULL, $3, $4)
    ON CONFLICT (connection_id, kind) DO UPDATE
    SET stale_reason = excluded.stale_reason, is_partial = listing.is_partial OR excluded.is_partial";
const LIST: &str = "SELECT * FROM listing WHERE connection_id = $1 ORDER BY kind LIMIT 100";
const OVERVIEW: &str = "
    SELECT (SELECT COUNT(*) FROM connection) AS connections,
        (SELECT COUNT(*) FROM person) AS people,
        (SELECT COUNT(*) FROM member WHERE gone_at IS NULL) AS members,
        (SELECT COUNT(*) FROM access_user WHERE gone_at IS NULL) AS access_users,
        (SELECT COUNT(*) FROM access_group WHERE gone_at IS NULL) AS access_groups,
        (SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT) FROM part WHERE dropped_at IS NULL) AS events,
        (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM reject) AS rejects,
        (SELECT COUNT(*) FROM detection) AS detections,
        (SELECT COUNT(*) FROM message WHERE state = 'delivered') AS messages_delivered,
        (SELECT COUNT(*) FROM signal WHERE state = 'delivered') AS signals_delivered,
        (SELECT COUNT(*) FROM person WHERE risk_level <> 'unscored') AS people_at_risk,
        (SELECT COUNT(DISTINCT identifier) FROM unmapped_identifier) AS unmapped_identifiers";

impl Store {
    /// Records that a listing was read completely.
    pub async fn listing_complete(
        &self,
        connection: &ConnectionId,
        kind: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(COMPLETE).bind(&connection.0).bind(kind).bind(now).execute(pool).await?;
        });
        Ok(())
    }

    /// Marks a listing as stale: its rows stay unchanged. `is_partial` means that Cloudflare returned only a part of
    /// it, and stays set until the list is read completely.
    pub async fn listing_stale(
        &self,
        connection: &ConnectionId,
        kind: &str,
        reason: &str,
        is_partial: bool,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(STALE).bind(&connection.0).bind(kind).bind(reason).bind(is_partial)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// The listings of a connection.
    pub async fn listing_list(&self, connection: &ConnectionId) -> Result<Vec<ListingRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(LIST).bind(&connection.0).fetch_all(pool).await?))
    }

    /// The counts of the overview.
    pub async fn overview(&self) -> Result<Overview, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(OVERVIEW).fetch_one(pool).await?))
    }
}
