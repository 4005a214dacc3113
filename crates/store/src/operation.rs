//! Operations that take long: what was asked for, how far it is, and how it ended.

use crate::TimeCursor;
use crate::engine::{Store, StoreError, bounded, in_transaction, json_columns, on_engine, on_reader};
use chrono::{DateTime, Utc};
use model::{OperationKind, OperationOutcome};
use sqlx::FromRow;

/// One operation.
#[derive(Debug, Clone, FromRow)]
pub struct OperationRow {
    /// Flareward's id.
    pub id: String,
    /// Which operation.
    #[sqlx(try_from = "String")]
    pub kind: OperationKind,
    /// What it concerns, and what makes two requests the same.
    pub target: String,
    /// The request, a JSON object.
    pub request: String,
    /// The actor who requested it.
    pub actor: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// When it ended; `None` while it waits or runs.
    pub finished_at: Option<DateTime<Utc>>,
    /// Steps that are done.
    pub done: i64,
    /// All steps, where that is known.
    pub total: Option<i64>,
    /// How it ended: one of [`OperationOutcome`]'s words.
    pub outcome: Option<String>,
    /// The result, a JSON object.
    pub result: Option<String>,
    /// Why it failed.
    pub problem: Option<String>,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
}

json_columns! {
    OperationRow in "operation" by |row| &row.id;
    /// The request.
    request_json = request: serde_json::Value;
}

/// How an operation ended.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of OperationRow")]
pub struct OperationEnd {
    pub outcome: OperationOutcome,
    pub result: Option<String>,
    pub problem: Option<String>,
    pub at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[ASK, SAME, GET, LIST, OPEN, PROGRESS, CANCEL, PRUNE, FINISH];

const ASK: &str = "
    INSERT INTO operation (id, kind, target, request, actor, asked_at, total) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (kind, target) WHERE finished_at IS NULL AND cancelled_by IS NULL DO NOTHING";
const SAME: &str = "
    SELECT * FROM operation WHERE kind = $1 AND target = $2 AND finished_at IS NULL AND cancelled_by IS NULL";
const GET: &str = "SELECT * FROM operation WHERE id = $1";
const LIST: &str = "
    SELECT * FROM operation WHERE asked_at <= $1 AND (asked_at < $1 OR id < $2)
    ORDER BY asked_at DESC, id DESC LIMIT $3";
const OPEN: &str = "
    SELECT * FROM operation WHERE kind = $1 AND finished_at IS NULL ORDER BY asked_at, id LIMIT 100";
const PROGRESS: &str = "
    UPDATE operation SET done = $2, total = $3 WHERE id = $1 AND finished_at IS NULL
    RETURNING cancelled_by IS NULL";
const CANCEL: &str = "
    UPDATE operation SET cancelled_by = $2 WHERE id = $1 AND finished_at IS NULL AND cancelled_by IS NULL";
// What has ended is removed beyond a number of newer ones.
const PRUNE: &str = "
    DELETE FROM operation WHERE finished_at IS NOT NULL AND id NOT IN (
        SELECT id FROM operation ORDER BY asked_at DESC, id DESC LIMIT 1000)";
const FINISH: &str = "
    UPDATE operation SET finished_at = $2, outcome = $3, result = $4, problem = $5
    WHERE id = $1 AND finished_at IS NULL";

impl Store {
    /// Asks for an operation. Answers the one that waits or runs, if the same was asked for and not cancelled.
    pub async fn operation_ask(&self, new: &OperationRow) -> Result<OperationRow, StoreError> {
        loop {
            on_engine!(self, pool => {
                sqlx::query(ASK)
                    .bind(&new.id).bind(new.kind.as_str()).bind(&new.target).bind(&new.request).bind(&new.actor)
                    .bind(new.asked_at).bind(new.total).execute(pool).await?;
            });
            let found: Option<OperationRow> = on_engine!(self, pool => {
                sqlx::query_as(SAME).bind(new.kind.as_str()).bind(&new.target).fetch_optional(pool).await?
            });
            // The one that was found before may have ended since.
            match found {
                Some(found) => return Ok(found),
                None => match self.operation_get(&new.id).await? {
                    Some(ended) => return Ok(ended),
                    None => continue,
                },
            }
        }
    }

    /// One operation.
    pub async fn operation_get(&self, id: &str) -> Result<Option<OperationRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?))
    }

    /// Operations, newest first.
    pub async fn operation_list(
        &self,
        before: Option<TimeCursor>,
        limit: i64,
    ) -> Result<Vec<OperationRow>, StoreError> {
        let before = before.unwrap_or_else(TimeCursor::end);
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(before.at).bind(&before.id).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Operations of a kind that have not ended, oldest first, at most 100.
    pub async fn operation_open(&self, kind: OperationKind) -> Result<Vec<OperationRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(OPEN).bind(kind.as_str()).fetch_all(pool).await?))
    }

    /// Shows how far an operation is; `false` when it was cancelled or has ended.
    pub async fn operation_progress(
        &self,
        id: &str,
        done: i64,
        total: Option<i64>,
    ) -> Result<bool, StoreError> {
        let goes_on: Option<bool> = on_engine!(self, pool => {
            sqlx::query_scalar(PROGRESS).bind(id).bind(done).bind(total).fetch_optional(pool).await?
        });
        Ok(goes_on.unwrap_or(false))
    }

    /// Asks an operation to stop; `false` when it has ended, or was asked before.
    pub async fn operation_cancel(&self, id: &str, actor: &str) -> Result<bool, StoreError> {
        let changed = on_engine!(self, pool => {
            sqlx::query(CANCEL).bind(id).bind(actor).execute(pool).await?.rows_affected()
        });
        Ok(changed > 0)
    }

    /// Ends an operation. The newest 1,000 operations are kept.
    pub async fn operation_finish(&self, id: &str, end: &OperationEnd) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(FINISH)
                .bind(id).bind(end.at).bind(end.outcome.as_str()).bind(&end.result).bind(&end.problem)
                .execute(&mut *tx).await?;
            sqlx::query(PRUNE).execute(&mut *tx).await?;
        });
        Ok(())
    }
}
