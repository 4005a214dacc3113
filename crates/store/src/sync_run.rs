//! The history of syncs.

use crate::engine::{Store, StoreError, bounded, in_transaction, json_columns, on_engine, on_reader};
use crate::journal::{JournalEntry, journal_write};
use chrono::{DateTime, Utc};
use model::{ConnectionId, ConnectionState, JournalKind, SyncOutcome};

/// One run of the sync of one connection.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SyncRunRow {
    /// Flareward's id.
    pub id: String,
    /// The connection.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while it runs or if it was killed.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its outcome, or that it is running.
    #[sqlx(try_from = "String")]
    pub outcome: SyncOutcome,
    /// The problem.
    pub problem: Option<String>,
    /// The number of requests to Cloudflare.
    pub requests: i64,
    /// A JSON object: seen, gone and total per kind, during and after the run.
    pub counts: String,
    /// The number of times it was started: more than one if it was killed or failed in part, and then resumed.
    pub attempts: i64,
    /// Whether the grants before and after it have been compared.
    pub compared: bool,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
}

json_columns! {
    SyncRunRow in "sync_run" by |row| &row.id;
    /// The counts, by kind.
    counts_json = counts: serde_json::Value;
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[INTERRUPTED, START, REOPEN, CANCEL, PROGRESS, FINISH, LIST, GET];

const INTERRUPTED: &str = "
    UPDATE sync_run SET outcome = CASE WHEN cancelled_by IS NULL THEN 'interrupted' ELSE 'cancelled' END,
        finished_at = $2
    WHERE connection_id = $1 AND outcome = 'running'";
const START: &str = "
    INSERT INTO sync_run (id, connection_id, started_at, outcome, requests, counts)
    VALUES ($1, $2, $3, 'running', 0, '{}')";
const REOPEN: &str = "
    UPDATE sync_run SET outcome = 'running', finished_at = NULL, cancelled_by = NULL, attempts = attempts + 1
    WHERE id = $1";
const CANCEL: &str = "
    UPDATE sync_run SET cancelled_by = $2 WHERE id = $1 AND outcome = 'running' AND cancelled_by IS NULL";
const PROGRESS: &str = "UPDATE sync_run SET requests = $2, counts = $3 WHERE id = $1";
const FINISH: &str = "
    UPDATE sync_run SET finished_at = $2, outcome = $3, problem = $4, requests = $5, counts = $6
    WHERE id = $1";
const GET: &str = "SELECT * FROM sync_run WHERE id = $1";
const LIST: &str = "
    SELECT * FROM sync_run WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1)
    ORDER BY started_at DESC, id DESC LIMIT $2";

impl Store {
    /// Starts a run. The caller holds the connection's sync lease, so an older run in state `running` was killed and is
    /// marked as interrupted.
    pub async fn sync_run_start(
        &self,
        id: &str,
        connection: &ConnectionId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            sqlx::query(INTERRUPTED).bind(&connection.0).bind(now).execute(&mut *tx).await?;
            sqlx::query(START).bind(id).bind(&connection.0).bind(now).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Marks the killed run of a connection as interrupted, and stores the reason with the connection. The caller holds
    /// the connection's sync lease.
    pub async fn sync_run_interrupt(
        &self,
        connection: &ConnectionId,
        reason: &str,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(INTERRUPTED).bind(&connection.0).bind(now).execute(pool).await?;
        });
        self.connection_state_set(connection, ConnectionState::Degraded, Some(reason), summary, now)
            .await
    }

    /// Resumes a run that was killed or failed in part.
    pub async fn sync_run_reopen(&self, id: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => { sqlx::query(REOPEN).bind(id).execute(pool).await?; });
        Ok(())
    }

    /// Asks a run to stop; `false` when it does not run, or was asked before.
    pub async fn sync_run_cancel(&self, id: &str, actor: &str) -> Result<bool, StoreError> {
        let changed = on_engine!(self, pool => {
            sqlx::query(CANCEL).bind(id).bind(actor).execute(pool).await?.rows_affected()
        });
        Ok(changed > 0)
    }

    /// One run.
    pub async fn sync_run_get(&self, id: &str) -> Result<Option<SyncRunRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?))
    }

    /// Stores the progress of a run.
    pub async fn sync_run_progress(&self, id: &str, requests: i64, counts: &str) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(PROGRESS).bind(id).bind(requests).bind(counts).execute(pool).await?;
        });
        Ok(())
    }

    /// Ends a run and writes its outcome to the journal, as `summary`.
    pub async fn sync_run_finish(&self, run: &SyncRunRow, summary: &str) -> Result<(), StoreError> {
        let at = run.finished_at.unwrap_or(run.started_at);
        let entry = JournalEntry {
            at,
            kind: JournalKind::SyncFinished,
            person_id: None,
            connection_id: Some(run.connection_id.clone()),
            subject_id: Some(run.id.clone()),
            summary: summary.to_owned(),
            data: serde_json::json!({ "outcome": run.outcome, "requests": run.requests }),
        };
        in_transaction!(self, tx => {
            sqlx::query(FINISH)
                .bind(&run.id).bind(at).bind(run.outcome.as_str()).bind(&run.problem).bind(run.requests)
                .bind(&run.counts).execute(&mut *tx).await?;
            journal_write!(tx, &entry);
        });
        Ok(())
    }

    /// Runs, newest first.
    pub async fn sync_run_list(
        &self,
        connection: Option<&ConnectionId>,
        limit: i64,
    ) -> Result<Vec<SyncRunRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(connection.map(ConnectionId::as_str)).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }
}
