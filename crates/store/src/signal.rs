//! The outbox of signals: one row for each integration and change of a risk level.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, POSITION_SET, journal_write};
use chrono::{DateTime, Utc};
use model::{IntegrationId, PersonId, RiskLevel, SignalId, SignalState};

/// A new signal.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of SignalRow")]
pub struct NewSignal {
    pub id: SignalId,
    pub integration_id: IntegrationId,
    pub person_id: PersonId,
    pub risk_change_id: String,
    pub subject: String,
    pub previous: RiskLevel,
    pub current: RiskLevel,
    pub claims: String,
    pub created_at: DateTime<Utc>,
}

/// One Security Event Token on its way to one receiver.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SignalRow {
    /// The token's `jti`.
    #[sqlx(try_from = "String")]
    pub id: SignalId,
    /// The integration.
    #[sqlx(try_from = "String")]
    pub integration_id: IntegrationId,
    /// The person.
    #[sqlx(try_from = "String")]
    pub person_id: PersonId,
    /// The change that it reports.
    pub risk_change_id: String,
    /// The subject's address as sent to the receiver.
    pub subject: String,
    /// The previous level.
    #[sqlx(try_from = "String")]
    pub previous: RiskLevel,
    /// The new level.
    #[sqlx(try_from = "String")]
    pub current: RiskLevel,
    /// The claims, as JSON.
    pub claims: String,
    /// The token after signing: repeated attempts send the same bytes.
    pub token: Option<String>,
    /// Its state.
    #[sqlx(try_from = "String")]
    pub state: SignalState,
    /// The number of attempts.
    pub attempts: i64,
    /// The earliest time of the next attempt.
    pub next_attempt_at: DateTime<Utc>,
    /// The last HTTP status.
    pub last_status: Option<i64>,
    /// The result of the last attempt.
    pub problem: Option<String>,
    /// When the change happened.
    pub created_at: DateTime<Utc>,
    /// Its position among the signals about one person through one integration.
    pub position: i64,
    /// When the receiver accepted it.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    INSERT, DUE, SIGNED, DELIVERED, RETRY, DEAD, CANCEL, UNSIGN, LAST_TOLD, LIST, WAITING,
];

const INSERT: &str = "
    INSERT INTO signal (id, integration_id, person_id, risk_change_id, subject, previous, current, claims, state,
        attempts, next_attempt_at, created_at, position)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', 0, $9, $9,
        (SELECT COALESCE(MAX(position), 0) + 1 FROM signal WHERE integration_id = $2 AND person_id = $3))
    ON CONFLICT DO NOTHING";
// Only the oldest pending signal about a person is due: a receiver must see the levels in their order.
const DUE: &str = "
    SELECT s.* FROM signal s JOIN integration i ON i.id = s.integration_id
    WHERE s.state = 'pending' AND s.next_attempt_at <= $1 AND i.active AND i.deleted_at IS NULL
      AND i.suspended_reason IS NULL
      AND NOT EXISTS (SELECT 1 FROM signal e WHERE e.integration_id = s.integration_id
          AND e.person_id = s.person_id AND e.state = 'pending' AND e.position < s.position)
    ORDER BY s.next_attempt_at, s.id LIMIT $2";
const SIGNED: &str = "UPDATE signal SET token = $2 WHERE id = $1 AND token IS NULL";
const DELIVERED: &str = "
    UPDATE signal SET state = 'delivered', attempts = attempts + 1, last_status = $2, problem = NULL,
        delivered_at = $3
    WHERE id = $1 AND state = 'pending' RETURNING id";
const RETRY: &str = "
    UPDATE signal SET attempts = attempts + 1, last_status = $2, problem = $3, next_attempt_at = $4
    WHERE id = $1 AND state = 'pending'";
const DEAD: &str = "
    UPDATE signal SET state = 'dead', attempts = attempts + 1, last_status = $2, problem = $3
    WHERE id = $1 AND state = 'pending' RETURNING id";
const CANCEL: &str = "
    UPDATE signal SET state = 'cancelled', problem = $2 WHERE integration_id = $1 AND state = 'pending'";
const UNSIGN: &str = "UPDATE signal SET token = NULL WHERE integration_id = $1 AND state = 'pending'";
const LAST_TOLD: &str = "
    SELECT current FROM signal
    WHERE integration_id = $1 AND person_id = $2 AND state IN ('pending', 'delivered')
    ORDER BY position DESC LIMIT 1";
const LIST: &str = "
    SELECT * FROM signal
    WHERE (CAST($1 AS TEXT) IS NULL OR integration_id = $1) AND (CAST($2 AS TEXT) IS NULL OR person_id = $2)
      AND (CAST($3 AS TEXT) IS NULL OR state = $3)
    ORDER BY created_at DESC, id DESC LIMIT $4";
const WAITING: &str = "
    SELECT COUNT(*) FROM signal s JOIN integration i ON i.id = s.integration_id
    WHERE s.state = 'pending' AND i.active AND i.deleted_at IS NULL AND i.suspended_reason IS NULL";

impl Store {
    /// Stores the signals that follow from the journal up to `position`, together with that position. An existing
    /// signal is unchanged.
    pub async fn signal_decide(
        &self,
        consumer: &str,
        position: i64,
        signals: &[NewSignal],
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            for signal in signals {
                sqlx::query(INSERT)
                    .bind(&signal.id.0).bind(&signal.integration_id.0).bind(&signal.person_id.0)
                    .bind(&signal.risk_change_id).bind(&signal.subject).bind(signal.previous.as_str())
                    .bind(signal.current.as_str()).bind(&signal.claims).bind(signal.created_at)
                    .execute(&mut *tx).await?;
            }
            sqlx::query(POSITION_SET).bind(consumer).bind(position).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Signals that are due at `now`, at most one per person and integration.
    pub async fn signal_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<SignalRow>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(DUE).bind(now).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Stores the signed token, so that every attempt sends the same bytes.
    pub async fn signal_signed(&self, id: &SignalId, token: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(SIGNED).bind(&id.0).bind(token).execute(pool).await?; });
        Ok(())
    }

    /// Marks a signal as accepted by the receiver.
    pub async fn signal_delivered(
        &self,
        signal: &SignalRow,
        status: u16,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let ended: Option<String> = sqlx::query_scalar(DELIVERED)
                .bind(&signal.id.0).bind(i64::from(status)).bind(now).fetch_optional(&mut *tx).await?;
            if ended.is_some() {
                let entry = outcome_entry(signal, now, model::JournalKind::SignalDelivered, summary);
                journal_write!(tx, &entry);
            }
        });
        Ok(())
    }

    /// Schedules the next attempt at `next`.
    pub async fn signal_retry(
        &self,
        id: &SignalId,
        status: Option<u16>,
        problem: &str,
        next: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(RETRY).bind(&id.0).bind(status.map(i64::from)).bind(storable(problem).into_owned())
                .bind(next).execute(pool).await?;
        });
        Ok(())
    }

    /// Marks a signal as refused permanently by the receiver.
    pub async fn signal_dead(
        &self,
        signal: &SignalRow,
        status: Option<u16>,
        problem: &str,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let ended: Option<String> = sqlx::query_scalar(DEAD)
                .bind(&signal.id.0).bind(status.map(i64::from)).bind(storable(problem).into_owned())
                .fetch_optional(&mut *tx).await?;
            if ended.is_some() {
                let entry = outcome_entry(signal, now, model::JournalKind::SignalDead, summary);
                journal_write!(tx, &entry);
            }
        });
        Ok(())
    }

    /// Cancels the unsent signals of an integration that was disabled or removed.
    pub async fn signal_cancel(&self, integration: &IntegrationId, reason: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(CANCEL).bind(&integration.0).bind(reason).execute(pool).await?;
        });
        Ok(())
    }

    /// Deletes the signatures of an integration's unsent signals, because issuer or audience may have changed.
    pub async fn signal_unsign(&self, integration: &IntegrationId) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(UNSIGN).bind(&integration.0).execute(pool).await?;
        });
        Ok(())
    }

    /// The last level that an integration's receiver received for a person, or will receive from the pending signals;
    /// `None` if there is none.
    pub async fn signal_last_told(
        &self,
        integration: &IntegrationId,
        person: &PersonId,
    ) -> Result<Option<RiskLevel>, StoreError> {
        let level: Option<String> = on_engine!(self, pool => {
            sqlx::query_scalar(LAST_TOLD).bind(&integration.0).bind(&person.0).fetch_optional(pool).await?
        });
        Ok(level
            .map(RiskLevel::try_from)
            .transpose()
            .map_err(|error| sqlx::Error::Decode(error.into()))?)
    }

    /// Signals, newest first.
    pub async fn signal_list(
        &self,
        integration: Option<&IntegrationId>,
        person: Option<&PersonId>,
        state: Option<SignalState>,
        limit: i64,
    ) -> Result<Vec<SignalRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST)
                .bind(integration.map(IntegrationId::as_str)).bind(person.map(PersonId::as_str))
                .bind(state.map(SignalState::as_str)).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// The number of pending signals for enabled receivers.
    pub async fn signal_waiting(&self) -> Result<i64, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(WAITING).fetch_one(pool).await?))
    }
}

fn outcome_entry(
    signal: &SignalRow,
    now: DateTime<Utc>,
    kind: model::JournalKind,
    summary: &str,
) -> JournalEntry {
    JournalEntry {
        at: now,
        kind,
        person_id: Some(signal.person_id.clone()),
        connection_id: None,
        subject_id: Some(signal.id.0.clone()),
        summary: summary.to_owned(),
        data: serde_json::json!({ "integration_id": signal.integration_id, "attempts": signal.attempts + 1 }),
    }
}
