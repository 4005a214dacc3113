//! Operations that take long: asked for as a row, worked on by a stage, followed and cancelled by whoever asks.
//!
//! Reads and writes `operation`, and the audit log. What an operation does is its stage's part
//! (`detection::backtest`, `detection::replay`, `baton::server`). Syncs and purges have rows of their own.

use crate::app::App;
use crate::audit;
use crate::permission::{Actor, Permission};
use crate::wake::Written;
use model::{AuditAction, AuditOutcome, OperationKind, OperationOutcome};
use serde::Serialize;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use store::{OperationEnd, OperationRow, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often the row shows how far an operation is, and whether it was cancelled is read.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// How often someone who waits for an operation looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why an operation cannot be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is none.
    #[error("no operation with ID \"{0}\"")]
    NotFound(String),
    /// It has ended.
    #[error("the operation has already ended")]
    Ended,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The permission that an operation requires, to ask for it and to cancel it.
pub fn permission(kind: OperationKind) -> Permission {
    match kind {
        OperationKind::Backtest | OperationKind::Export => Permission::Read,
        OperationKind::Replay => Permission::RulesWrite,
    }
}

/// Asks for an operation. Answers the one that waits or runs already, if the same was asked for.
pub(crate) async fn ask(
    app: &App,
    kind: OperationKind,
    target: String,
    request: &impl Serialize,
    actor: &Actor,
) -> Result<OperationRow, StoreError> {
    let now = app.clock.now();
    let new = OperationRow {
        id: app.ids.new_id(now),
        kind,
        target,
        request: json!(request).to_string(),
        actor: actor.to_string(),
        asked_at: now,
        finished_at: None,
        done: 0,
        total: None,
        outcome: None,
        result: None,
        problem: None,
        cancelled_by: None,
    };
    let row = app.store.operation_ask(&new).await?;
    app.wake.call(Written::Operations);
    Ok(row)
}

/// Asks an operation to stop. Its stage stops at its next step.
///
/// # Errors
///
/// See [`CancelError`].
pub async fn cancel(app: &App, id: &str, actor: &Actor) -> Result<OperationRow, CancelError> {
    let find = async || {
        let row = app.store.operation_get(id).await?;
        row.ok_or_else(|| CancelError::NotFound(id.to_owned()))
    };
    let row = find().await?;
    if row.finished_at.is_some() {
        return Err(CancelError::Ended);
    }
    let detail = json!({ "kind": row.kind, "target": row.target });
    audit::record(
        app,
        actor,
        AuditAction::OperationCancel,
        id,
        AuditOutcome::Asked,
        detail,
    )
    .await?;
    app.store.operation_cancel(id, &actor.to_string()).await?;
    app.wake.call(Written::Operations);
    find().await
}

/// The operation after it has ended, or as it is when `within` is over.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn wait(app: &App, row: OperationRow, within: Duration) -> Result<OperationRow, StoreError> {
    let until = Instant::now() + within;
    let mut row = row;
    while row.finished_at.is_none() && Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = app.store.operation_get(&row.id).await?;
        row = now.ok_or(StoreError::Gone("the operation"))?;
    }
    Ok(row)
}

/// Ends an operation.
pub(crate) async fn finish(
    app: &App,
    id: &str,
    outcome: OperationOutcome,
    result: Option<String>,
    problem: Option<String>,
) -> Result<(), StoreError> {
    let end = OperationEnd {
        outcome,
        result,
        problem,
        at: app.clock.now(),
    };
    app.store.operation_finish(id, &end).await
}

/// Shows how far an operation is while it runs, and notices when it is cancelled.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    done: AtomicUsize,
    total: AtomicUsize,
    is_cancelled: AtomicBool,
    cancelled: Notify,
}

impl Watch {
    /// Whether the operation was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Ends when the operation is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }

    /// Notes how many steps of how many are done.
    pub(crate) fn show(&self, done: usize, total: usize) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    async fn record(&self, app: &App, id: &str) -> Result<bool, StoreError> {
        let count = |of: &AtomicUsize| i64::try_from(of.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let total = Some(count(&self.total)).filter(|total| *total > 0);
        app.store.operation_progress(id, count(&self.done), total).await
    }

    /// Does `work`. Meanwhile, about once a second, and once more when it has succeeded, writes its progress to the row.
    pub(crate) async fn over<T, E: From<StoreError>>(
        &self,
        app: &App,
        id: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let show = async {
            loop {
                match self.record(app, id).await {
                    Ok(true) => {}
                    Ok(false) => {
                        self.is_cancelled.store(true, Ordering::Relaxed);
                        self.cancelled.notify_one();
                    }
                    Err(error) => tracing::warn!(
                        operation = id,
                        "could not record the progress: {}",
                        crate::causes(&error)
                    ),
                }
                tokio::time::sleep(SHOWN_EVERY).await;
            }
        };
        let result = tokio::select! {
            result = work => result?,
            () = show => unreachable!("the display loop never ends"),
        };
        self.record(app, id).await?;
        Ok(result)
    }
}
