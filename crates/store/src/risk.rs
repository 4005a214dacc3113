//! Risk levels of people, and every change of a level.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_reader, storable};
use crate::journal::{JournalEntry, POSITION_SET, journal_write};
use chrono::{DateTime, Utc};
use model::{PersonId, RiskLevel};

/// A change to apply if the person's level is still `previous`.
#[derive(Debug, Clone)]
pub struct NewRiskChange {
    /// The change's id; the same cause always gives the same id.
    pub id: String,
    /// The person.
    pub person_id: PersonId,
    /// Their address, for the text of the journal entry.
    pub email: String,
    /// The level that the caller read.
    pub previous: RiskLevel,
    /// The new level.
    pub current: RiskLevel,
    /// `policy` for a behaviour, `admin` for a reset.
    pub initiator: &'static str,
    /// The reason, in one sentence.
    pub reason: String,
    /// The behaviour that was triggered.
    pub behaviour: Option<String>,
    /// The detection that triggered it.
    pub detection_id: Option<String>,
    /// When Flareward changed the level.
    pub at: DateTime<Utc>,
    /// When the cause happened: earlier than `at` by the delay of the log record.
    pub happened_at: DateTime<Utc>,
    /// The journal's sentence.
    pub summary: String,
}

/// A stored change.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "the fields are those of NewRiskChange, without email and summary"
)]
pub struct RiskChangeRow {
    pub id: String,
    pub person_id: String,
    #[sqlx(try_from = "String")]
    pub previous: RiskLevel,
    #[sqlx(try_from = "String")]
    pub current: RiskLevel,
    pub initiator: String,
    pub reason: String,
    pub behaviour: Option<String>,
    pub detection_id: Option<String>,
    pub at: DateTime<Utc>,
    pub happened_at: DateTime<Utc>,
}

/// The number of people with a level.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RiskCount {
    /// The level.
    #[sqlx(try_from = "String")]
    pub risk_level: RiskLevel,
    /// The number of people.
    pub people: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[MOVE, RESET, INSERT, LIST_BY_PERSON, SINCE, COUNTS];

const MOVE: &str = "
    UPDATE person SET risk_level = $3, risk_since = $4, updated_at = $4
    WHERE id = $1 AND risk_level = $2 RETURNING id";
const RESET: &str = "
    UPDATE person SET risk_level = 'unscored', risk_since = $3, risk_reset_at = $3, updated_at = $3
    WHERE id = $1 AND risk_level = $2 RETURNING id";
const INSERT: &str = "
    INSERT INTO risk_change (id, person_id, previous, current, initiator, reason, behaviour, detection_id, at,
        happened_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const LIST_BY_PERSON: &str = "
    SELECT * FROM risk_change WHERE person_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
const SINCE: &str = "SELECT * FROM risk_change WHERE happened_at >= $1 ORDER BY happened_at, id LIMIT $2";
const COUNTS: &str = "
    SELECT risk_level, COUNT(*) AS people FROM person GROUP BY risk_level ORDER BY risk_level LIMIT 10";

impl Store {
    /// Changes a level and writes its journal entry, in one transaction. The entry contains everything that its readers
    /// need.
    ///
    /// Returns `false` without a change if the person's level is no longer `previous`: read it again.
    pub async fn risk_change(&self, change: &NewRiskChange) -> Result<bool, StoreError> {
        let is_reset = change.current == RiskLevel::Unscored;
        let entry = JournalEntry {
            at: change.at,
            kind: if is_reset {
                model::JournalKind::RiskReset
            } else {
                model::JournalKind::RiskChanged
            },
            person_id: Some(change.person_id.clone()),
            connection_id: None,
            subject_id: Some(change.id.clone()),
            summary: change.summary.clone(),
            data: serde_json::json!({
                "email": change.email, "previous": change.previous, "current": change.current,
                "initiator": change.initiator, "reason": change.reason, "behaviour": change.behaviour,
                "detection_id": change.detection_id,
            }),
        };
        let moved = in_transaction!(self, tx => {
            let moved: Option<String> = if is_reset {
                sqlx::query_scalar(RESET)
                    .bind(&change.person_id.0).bind(change.previous.as_str()).bind(change.at)
                    .fetch_optional(&mut *tx).await?
            } else {
                sqlx::query_scalar(MOVE)
                    .bind(&change.person_id.0).bind(change.previous.as_str()).bind(change.current.as_str())
                    .bind(change.at).fetch_optional(&mut *tx).await?
            };
            if moved.is_some() {
                sqlx::query(INSERT)
                    .bind(&change.id).bind(&change.person_id.0).bind(change.previous.as_str())
                    .bind(change.current.as_str()).bind(change.initiator)
                    .bind(storable(&change.reason).into_owned()).bind(&change.behaviour)
                    .bind(&change.detection_id).bind(change.at).bind(change.happened_at).execute(&mut *tx).await?;
                journal_write!(tx, &entry);
            }
            moved.is_some()
        });
        Ok(moved)
    }

    /// Stores the position of a consumer in the journal. It never moves back.
    pub async fn consumer_advance(&self, name: &str, position: i64) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(POSITION_SET).bind(name).bind(position).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// One person's changes, newest first.
    pub async fn risk_change_by_person(
        &self,
        person: &PersonId,
        limit: i64,
    ) -> Result<Vec<RiskChangeRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST_BY_PERSON).bind(&person.0).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// All changes since `from`, oldest first.
    pub async fn risk_change_since(
        &self,
        from: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<RiskChangeRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(SINCE).bind(from).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// The number of people with each level, without levels that nobody has.
    pub async fn risk_counts(&self) -> Result<Vec<RiskCount>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(COUNTS).fetch_all(pool).await?))
    }
}
