//! Data that posture checks need in addition to the lists: when each member was first seen, and former Access
//! users.

use crate::engine::{Store, StoreError, bounded, on_reader};
use chrono::{DateTime, Utc};
use model::ConnectionId;

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[ADDED, RUN_FIRST, USER_GONE];

const ADDED: &str = "
    SELECT c.object_id, MAX(c.at) FROM sync_change c JOIN sync_run r ON r.id = c.run_id
    WHERE r.connection_id = $1 AND c.kind = 'members' AND c.change = 'added' AND c.object_id > $2
    GROUP BY c.object_id ORDER BY c.object_id LIMIT $3";
const RUN_FIRST: &str = "
    SELECT MIN(started_at) FROM sync_run
    WHERE connection_id = $1 AND outcome IN ('complete', 'partial')";
const USER_GONE: &str = "
    SELECT m.id, MAX(u.gone_at)
    FROM member m JOIN access_user u ON u.connection_id = m.connection_id AND u.person_id = m.person_id
    WHERE m.connection_id = $1 AND m.gone_at IS NULL AND m.id > $2
    GROUP BY m.id HAVING COUNT(u.gone_at) = COUNT(*) ORDER BY m.id LIMIT $3";

/// An id with the requested time.
pub type IdAndTime = (String, DateTime<Utc>);

macro_rules! by_id {
    ($(#[$doc:meta])* $name:ident, $sql:ident) => {
        $(#[$doc])*
        pub async fn $name(
            &self,
            connection: &ConnectionId,
            after: &str,
            limit: i64,
        ) -> Result<Vec<IdAndTime>, StoreError> {
            Ok(on_reader!(self, pool => {
                sqlx::query_as($sql).bind(&connection.0).bind(after).bind(bounded(limit)).fetch_all(pool).await?
            }))
        }
    };
}

macro_rules! one_time {
    ($(#[$doc:meta])* $name:ident, $sql:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, connection: &ConnectionId) -> Result<Option<DateTime<Utc>>, StoreError> {
            Ok(on_reader!(self, pool => sqlx::query_scalar($sql).bind(&connection.0).fetch_one(pool).await?))
        }
    };
}

impl Store {
    by_id!(
        /// Members that a stored sync found to be new, with the time, after a member's id.
        posture_member_added,
        ADDED
    );
    by_id!(
        /// Members who were Access users and no longer are, with the time, after a member's id.
        posture_user_gone,
        USER_GONE
    );
    one_time!(
        /// When the oldest stored sync started.
        posture_run_first,
        RUN_FIRST
    );
}
