//! Timed grants: grants with an end.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable, stored};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, GrantKind, TimedGrantState};

/// A grant with an end.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TimedGrantRow {
    /// Flareward's id.
    pub id: String,
    /// The connection of the account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The kind of grant.
    #[sqlx(try_from = "String")]
    pub kind: GrantKind,
    /// The group's or role's id.
    pub entitlement_id: String,
    /// Its name.
    pub entitlement_name: String,
    /// The holder's address, in lower case.
    pub email: String,
    /// The actor who requested it.
    pub actor: String,
    /// When it started.
    pub granted_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// When the journal announces its end.
    pub notice_at: DateTime<Utc>,
    /// When the end was announced.
    pub noticed_at: Option<DateTime<Utc>>,
    /// Its state.
    #[sqlx(try_from = "String")]
    pub state: TimedGrantState,
    /// The number of attempts to revoke it.
    pub attempts: i64,
    /// The time of the next attempt.
    pub next_attempt_at: DateTime<Utc>,
    /// Why it could not be revoked.
    pub problem: Option<String>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The request that revokes what it granted, as JSON; `None` for grants from before this was stored.
    pub take_back: Option<String>,
    /// The change that makes it, while it is pending.
    pub change_id: Option<String>,
}

impl TimedGrantRow {
    /// The request that revokes what it granted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it cannot be read.
    pub fn take_back_json<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let take_back = self.take_back.as_deref();
        take_back
            .map(|text| stored("timed_grant", &self.id, "take_back", text))
            .transpose()
    }
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    INSERT, ACTIVATE, LIVE, EXTEND, TO_NOTICE, NOTICED, DUE, FAILED, ENDED, LIST, MARK, MARK_GET,
];

const INSERT: &str = "
    INSERT INTO timed_grant (id, connection_id, kind, entitlement_id, entitlement_name, email, actor,
        granted_at, expires_at, notice_at, noticed_at, state, attempts, next_attempt_at, problem, ended_at, take_back,
        change_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, 0, $9, NULL, NULL, $12, $13)";
const ACTIVATE: &str =
    "UPDATE timed_grant SET state = 'active', change_id = NULL WHERE id = $1 AND state = 'pending'";
const LIVE: &str = "
    SELECT * FROM timed_grant
    WHERE connection_id = $1 AND kind = $2 AND entitlement_id = $3 AND email = $4 AND ended_at IS NULL";
const EXTEND: &str = "
    UPDATE timed_grant SET expires_at = $2, notice_at = $3, noticed_at = NULL,
        state = CASE state WHEN 'pending' THEN 'pending' ELSE 'active' END,
        next_attempt_at = $2, problem = NULL
    WHERE id = $1 AND ended_at IS NULL";
const TO_NOTICE: &str = "
    SELECT * FROM timed_grant
    WHERE state = 'active' AND noticed_at IS NULL AND notice_at <= $1 ORDER BY notice_at, id LIMIT 100";
const NOTICED: &str = "UPDATE timed_grant SET noticed_at = $2 WHERE id = $1";
const DUE: &str = "
    SELECT * FROM timed_grant
    WHERE state IN ('active', 'overdue') AND expires_at <= $1 AND next_attempt_at <= $1
    ORDER BY expires_at, id LIMIT 100";
const FAILED: &str = "
    UPDATE timed_grant SET state = 'overdue', attempts = attempts + 1, next_attempt_at = $2, problem = $3
    WHERE id = $1 AND ended_at IS NULL";
const ENDED: &str = "
    UPDATE timed_grant SET state = $2, ended_at = $3, problem = NULL WHERE id = $1 AND ended_at IS NULL";
const LIST: &str = "
    SELECT * FROM timed_grant
    WHERE (CAST($1 AS TEXT) IS NULL OR email = $1
        OR email IN (SELECT address FROM person_alias WHERE person_id = (SELECT id FROM person WHERE email = $1))) AND ($2 OR ended_at IS NULL)
    ORDER BY ended_at IS NOT NULL, expires_at, id LIMIT $3";
const MARK: &str = "
    INSERT INTO time_mark (name, at) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE time_mark.at < excluded.at";
const MARK_GET: &str = "SELECT at FROM time_mark WHERE name = $1";

impl Store {
    /// Stores a timed grant. [`StoreError::Exists`] if there already is one.
    pub async fn timed_grant_insert(&self, row: &TimedGrantRow) -> Result<(), StoreError> {
        let result = on_engine!(self, pool => {
            sqlx::query(INSERT)
                .bind(&row.id).bind(&row.connection_id.0).bind(row.kind.as_str()).bind(&row.entitlement_id)
                .bind(storable(&row.entitlement_name).as_ref()).bind(&row.email)
                .bind(&row.actor).bind(row.granted_at).bind(row.expires_at).bind(row.notice_at)
                .bind(row.state.as_str()).bind(&row.take_back).bind(&row.change_id)
                .execute(pool).await.map(|_| ())
        });
        result.map_err(|error| {
            if StoreError::is_unique_violation(&error) {
                StoreError::Exists("a timed grant of this person for this".to_owned())
            } else {
                error.into()
            }
        })
    }

    /// Marks a pending grant as active.
    pub async fn timed_grant_activate(&self, id: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(ACTIVATE).bind(id).execute(pool).await?; });
        Ok(())
    }

    /// A person's current timed grant of an entitlement.
    pub async fn timed_grant_live(
        &self,
        connection: &ConnectionId,
        kind: GrantKind,
        entitlement: &str,
        email: &str,
    ) -> Result<Option<TimedGrantRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIVE).bind(&connection.0).bind(kind.as_str()).bind(entitlement).bind(email)
                .fetch_optional(pool).await?
        }))
    }

    /// Changes the end.
    pub async fn timed_grant_extend(
        &self,
        id: &str,
        expires_at: DateTime<Utc>,
        notice_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(EXTEND).bind(id).bind(expires_at).bind(notice_at).execute(pool).await?;
        });
        Ok(())
    }

    /// Grants whose end should be announced in the journal.
    pub async fn timed_grant_to_notice(&self, now: DateTime<Utc>) -> Result<Vec<TimedGrantRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(TO_NOTICE).bind(now).fetch_all(pool).await?))
    }

    /// Announces the end in the journal, once.
    pub async fn timed_grant_noticed(
        &self,
        id: &str,
        now: DateTime<Utc>,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(NOTICED).bind(id).bind(now).execute(&mut *tx).await?;
            journal_write!(tx, entry);
        });
        Ok(())
    }

    /// Grants whose end has passed and whose next attempt is due.
    pub async fn timed_grant_due(&self, now: DateTime<Utc>) -> Result<Vec<TimedGrantRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(DUE).bind(now).fetch_all(pool).await?))
    }

    /// Records a failed attempt to revoke it: it stays visible and is tried again.
    pub async fn timed_grant_failed(
        &self,
        id: &str,
        next_attempt_at: DateTime<Utc>,
        problem: &str,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(FAILED).bind(id).bind(next_attempt_at).bind(storable(problem).as_ref())
                .execute(&mut *tx).await?;
            journal_write!(tx, entry);
        });
        Ok(())
    }

    /// Marks it as ended: `revoked`, `permanent` or `gone`.
    pub async fn timed_grant_ended(
        &self,
        id: &str,
        state: TimedGrantState,
        now: DateTime<Utc>,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(ENDED).bind(id).bind(state.as_str()).bind(now).execute(&mut *tx).await?;
            journal_write!(tx, entry);
        });
        Ok(())
    }

    /// Timed grants. Ended ones are last, and only included on request.
    pub async fn timed_grant_list(
        &self,
        email: Option<&str>,
        with_ended: bool,
        limit: i64,
    ) -> Result<Vec<TimedGrantRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(email).bind(with_ended).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Moves a mark forward, never back; returns its position.
    pub async fn time_mark(&self, name: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        on_engine!(self, pool => { sqlx::query(MARK).bind(name).bind(now).execute(pool).await?; });
        Ok(on_reader!(self, pool => sqlx::query_scalar(MARK_GET).bind(name).fetch_one(pool).await?))
    }
}
