//! Changes of access: the request, the plan, the outcome, and the request that would undo the change.

use crate::TimeCursor;
use crate::engine::{
    Store, StoreError, bounded, in_transaction, json_columns, on_engine, on_reader, storable, stored,
};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ChangeOutcome, ConnectionId};

/// One change of access, or one step of a larger one.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccessChangeRow {
    /// Flareward's id.
    pub id: String,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The change that this step belongs to.
    pub parent_id: Option<String>,
    /// `group.grant`, `role.revoke`, `member.remove`, …
    pub action: String,
    /// The changed group, role or membership, as text.
    pub object: String,
    /// The address of the person whose access changes.
    pub email: Option<String>,
    /// The request, as JSON.
    pub request: String,
    /// The plan, as JSON: before, after, calls, guards.
    pub plan: String,
    /// The actor who requested it.
    pub actor: String,
    /// The reason, as the actor wrote it.
    pub note: Option<String>,
    /// The outcome.
    #[sqlx(try_from = "String")]
    pub outcome: ChangeOutcome,
    /// The reason for the outcome.
    pub reason: Option<String>,
    /// Further information, as JSON: what remains, how often a lost write was repeated.
    pub detail: String,
    /// The request that undoes it, as JSON; `None` if nothing can.
    pub undo: Option<String>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// When its outcome was known; `None` while it runs or if it was killed.
    pub finished_at: Option<DateTime<Utc>>,
}

json_columns! {
    AccessChangeRow in "access_change" by |row| &row.id;
    /// The request.
    request_json = request: serde_json::Value;
    /// The plan.
    plan_json = plan: serde_json::Value;
    /// Further information.
    detail_json = detail: serde_json::Value;
}

impl AccessChangeRow {
    /// The request that undoes it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it cannot be read.
    pub fn undo_json<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let undo = self.undo.as_deref();
        undo.map(|text| stored("access_change", &self.id, "undo", text))
            .transpose()
    }
}

/// Which changes to list.
#[derive(Debug, Clone, Default)]
pub struct AccessChangeFilter {
    /// Only for this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only for this person, by their main address in lower case; aliases are included.
    pub email: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<ChangeOutcome>,
    /// Only before this position.
    pub before: Option<TimeCursor>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[INSERT, FINISH, GET, STEPS, LIST];

const INSERT: &str = "
    INSERT INTO access_change (id, connection_id, parent_id, action, object, email, request, plan, actor, note,
        outcome, reason, detail, undo, created_at, finished_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
const FINISH: &str = "
    UPDATE access_change SET outcome = $2, reason = $3, detail = $4, undo = $5, finished_at = $6, plan = $7
    WHERE id = $1";
const GET: &str = "SELECT * FROM access_change WHERE id = $1";
const STEPS: &str = "SELECT * FROM access_change WHERE parent_id = $1 ORDER BY created_at, id LIMIT 1000";
const LIST: &str = "
    SELECT * FROM access_change
    WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (CAST($2 AS TEXT) IS NULL OR email = $2
        OR email IN (SELECT address FROM person_alias WHERE person_id = (SELECT id FROM person WHERE email = $2)))
      AND (CAST($3 AS TEXT) IS NULL OR outcome = $3) AND (created_at, id) < ($4, $5)
    ORDER BY created_at DESC, id DESC LIMIT $6";

impl Store {
    /// Stores a change before any part of it is done.
    pub async fn access_change_insert(&self, row: &AccessChangeRow) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(INSERT)
                .bind(&row.id).bind(&row.connection_id.0).bind(&row.parent_id).bind(&row.action)
                .bind(storable(&row.object).as_ref()).bind(&row.email).bind(&row.request).bind(&row.plan)
                .bind(&row.actor).bind(row.note.as_deref().map(|note| storable(note).into_owned()))
                .bind(row.outcome.as_str()).bind(&row.reason).bind(&row.detail).bind(&row.undo).bind(row.created_at)
                .bind(row.finished_at).execute(pool).await?;
        });
        Ok(())
    }

    /// Stores the outcome of a change, with the latest version of its plan, and writes a journal entry.
    pub async fn access_change_finish(
        &self,
        row: &AccessChangeRow,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(FINISH)
                .bind(&row.id).bind(row.outcome.as_str())
                .bind(row.reason.as_deref().map(|reason| storable(reason).into_owned())).bind(&row.detail)
                .bind(&row.undo).bind(row.finished_at).bind(&row.plan).execute(&mut *tx).await?;
            journal_write!(tx, entry);
        });
        Ok(())
    }

    /// One change.
    pub async fn access_change_get(&self, id: &str) -> Result<Option<AccessChangeRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?))
    }

    /// The steps of a change, in order.
    pub async fn access_change_steps(&self, id: &str) -> Result<Vec<AccessChangeRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(STEPS).bind(id).fetch_all(pool).await?))
    }

    /// Changes, newest first.
    pub async fn access_change_list(
        &self,
        filter: &AccessChangeFilter,
    ) -> Result<Vec<AccessChangeRow>, StoreError> {
        let before = filter.before.clone().unwrap_or_else(TimeCursor::end);
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST)
                .bind(filter.connection_id.as_ref().map(ConnectionId::as_str)).bind(filter.email.as_deref())
                .bind(filter.outcome.map(ChangeOutcome::as_str)).bind(before.at).bind(&before.id).bind(bounded(filter.limit))
                .fetch_all(pool).await?
        }))
    }
}
