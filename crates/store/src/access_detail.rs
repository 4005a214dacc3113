//! Data that needs one request for each Access user: last seen identity, sessions, failed logins.

use crate::engine::{Store, StoreError, bounded, json_columns, on_engine, on_reader, stored};
use chrono::{DateTime, Utc};
use model::ConnectionId;

/// The data last read about one Access user.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccessUserDetailRow {
    /// The user's connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// Cloudflare's id.
    pub access_user_id: String,
    /// The last seen identity as Cloudflare returned it; `None` for a user who never signed in.
    pub identity: Option<String>,
    /// A JSON array of active sessions.
    pub sessions: String,
    /// A JSON array of failed logins.
    pub failed_logins: String,
    /// When this was last read or tried.
    pub read_at: DateTime<Utc>,
    /// Why the last read failed; the other fields are then older.
    pub problem: Option<String>,
}

json_columns! {
    AccessUserDetailRow in "access_user_detail" by |row| format!("{} of connection {}", row.access_user_id, row.connection_id);
    /// The active sessions.
    sessions_json = sessions: Vec<serde_json::Value>;
    /// The failed logins.
    failed_logins_json = failed_logins: Vec<serde_json::Value>;
}

impl AccessUserDetailRow {
    /// The last seen identity; `None` for a user who never signed in.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it cannot be read.
    pub fn identity_json(&self) -> Result<Option<serde_json::Value>, StoreError> {
        let row = || format!("{} of connection {}", self.access_user_id, self.connection_id);
        self.identity
            .as_deref()
            .map(|text| stored("access_user_detail", row(), "identity", text))
            .transpose()
    }
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[UPSERT, FAILED, LIST, BY_PERSON, OLDEST, SINCE];

const UPSERT: &str = "
    INSERT INTO access_user_detail (connection_id, access_user_id, identity, sessions, failed_logins, read_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (connection_id, access_user_id) DO UPDATE SET identity = excluded.identity,
        sessions = excluded.sessions, failed_logins = excluded.failed_logins, read_at = excluded.read_at,
        problem = NULL";
const FAILED: &str = "
    INSERT INTO access_user_detail (connection_id, access_user_id, identity, sessions, failed_logins, read_at, problem)
    VALUES ($1, $2, NULL, '[]', '[]', $3, $4)
    ON CONFLICT (connection_id, access_user_id) DO UPDATE SET read_at = excluded.read_at, problem = excluded.problem";
const LIST: &str = "
    SELECT * FROM access_user_detail
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (connection_id, access_user_id) > ($2, $3)
    ORDER BY connection_id, access_user_id LIMIT $4";
const BY_PERSON: &str = "
    SELECT d.* FROM access_user_detail d
    JOIN access_user u ON u.connection_id = d.connection_id AND u.id = d.access_user_id
    WHERE u.person_id = $1 AND u.gone_at IS NULL ORDER BY d.connection_id, d.access_user_id LIMIT 1000";
const OLDEST: &str = "
    SELECT u.id FROM access_user u
    LEFT JOIN access_user_detail d ON d.connection_id = u.connection_id AND d.access_user_id = u.id
    WHERE u.connection_id = $1 AND u.gone_at IS NULL AND (d.read_at IS NULL OR d.read_at < $2)
    ORDER BY d.read_at IS NOT NULL, d.read_at, u.id LIMIT $3";

const SINCE: &str = "SELECT COUNT(*) FROM access_user_detail WHERE read_at > $1";

impl Store {
    /// The number of Access users whose data was read since `since`.
    pub async fn access_user_detail_since(&self, since: DateTime<Utc>) -> Result<i64, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_scalar(SINCE).bind(since).fetch_one(pool).await?))
    }

    /// Stores the data about an Access user.
    pub async fn access_user_detail_set(&self, detail: &AccessUserDetailRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(UPSERT)
                .bind(&detail.connection_id.0).bind(&detail.access_user_id).bind(&detail.identity)
                .bind(&detail.sessions).bind(&detail.failed_logins).bind(detail.read_at)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Records that the data about an Access user could not be read, and why. The user goes to the end of the queue.
    pub async fn access_user_detail_failed(
        &self,
        connection: &ConnectionId,
        access_user: &str,
        problem: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(FAILED)
                .bind(&connection.0).bind(access_user).bind(now).bind(problem)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Stored data, after `(connection, Access user)`.
    pub async fn access_user_detail_list(
        &self,
        connection: Option<&ConnectionId>,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<AccessUserDetailRow>, StoreError> {
        let (after_connection, after_id) = after.unwrap_or(("", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(connection.map(ConnectionId::as_str)).bind(after_connection).bind(after_id)
                .bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Stored data about the Access users of one person.
    pub async fn access_user_detail_by_person(
        &self,
        person: &model::PersonId,
    ) -> Result<Vec<AccessUserDetailRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(BY_PERSON).bind(&person.0).fetch_all(pool).await?))
    }

    /// Access users whose data was not read since `before`: first those never read, then the oldest.
    pub async fn access_user_detail_due(
        &self,
        connection: &ConnectionId,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<String>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar(OLDEST).bind(&connection.0).bind(before).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }
}
