//! Asking for a sync: by the API and the console, which a stage then does, and by a command, which does it itself.
//!
//! Reads `connection`, writes `sync_request` and the audit log. Start reading at [`ask`] and `run`.

use super::{Report, SyncError, SyncOptions, connection, could_not_begin, refuse_paused};
use crate::app::App;
use crate::audit;
use crate::permission::Actor;
use crate::progress::Progress;
use crate::wake::Written;
use model::{AuditAction, AuditOutcome, SyncOutcome};
use serde_json::json;
use std::time::Duration;
use store::{ConnectionRow, StoreError, SyncRequestRow, SyncRunRow};

/// How often a running sync looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks for a sync of a connection, which the server does. One that runs already is not begun a second time.
///
/// # Errors
///
/// [`SyncError::Paused`] unless `confirm` is set, and when the store refuses.
pub async fn ask(app: &App, row: &ConnectionRow, confirm: bool, actor: &Actor) -> Result<(), SyncError> {
    refuse_paused(row, confirm)?;
    write_down(app, row, confirm, actor).await?;
    // Also while the connection is said to be syncing: the process that synced it may have been killed.
    let request = SyncRequestRow {
        connection_id: row.id.clone(),
        confirm,
        actor: actor.to_string(),
        asked_at: app.clock.now(),
    };
    app.store.sync_request_put(&request).await?;
    app.wake.call(Written::Syncs);
    Ok(())
}

/// Syncs a connection here and now.
///
/// # Errors
///
/// When it cannot begin. What fails on the way is in the report.
pub async fn now(
    app: &App,
    row: &ConnectionRow,
    options: SyncOptions,
    actor: &Actor,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, SyncError> {
    refuse_paused(row, options.confirm)?;
    write_down(app, row, options.confirm, actor).await?;
    connection(app, row, options, progress).await
}

async fn write_down(app: &App, row: &ConnectionRow, confirm: bool, actor: &Actor) -> Result<(), StoreError> {
    let detail = json!({ "confirm": confirm });
    audit::record(
        app,
        actor,
        AuditAction::ConnectionSync,
        &row.label,
        AuditOutcome::Asked,
        detail,
    )
    .await
}

/// Why a sync cannot be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is none.
    #[error("no sync with ID \"{0}\"")]
    NotFound(String),
    /// It does not run.
    #[error("the sync is not running")]
    NotRunning,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks a running sync to stop, in whichever process it runs. What it has read stays; the next sync reads all lists.
///
/// # Errors
///
/// See [`CancelError`].
pub async fn cancel(app: &App, run: &str, actor: &Actor) -> Result<SyncRunRow, CancelError> {
    let find = async || {
        let row = app.store.sync_run_get(run).await?;
        row.ok_or_else(|| CancelError::NotFound(run.to_owned()))
    };
    let row = find().await?;
    if row.outcome != SyncOutcome::Running {
        return Err(CancelError::NotRunning);
    }
    let detail = json!({ "kind": "sync", "connection_id": row.connection_id });
    audit::record(
        app,
        actor,
        AuditAction::OperationCancel,
        run,
        AuditOutcome::Asked,
        detail,
    )
    .await?;
    app.store.sync_run_cancel(run, &actor.to_string()).await?;
    find().await
}

/// Resolves when the running sync of a connection is cancelled: who did it.
pub(super) async fn cancelled(app: &App, row: &ConnectionRow) -> String {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match app.store.sync_run_list(Some(&row.id), 1).await {
            Ok(mut newest) => {
                let running = newest.pop().filter(|run| run.outcome == SyncOutcome::Running);
                if let Some(by) = running.and_then(|run| run.cancelled_by) {
                    return by;
                }
            }
            Err(error) => tracing::warn!(
                connection = %row.label,
                "could not check whether the sync was cancelled: {}",
                crate::causes(&error)
            ),
        }
    }
}

/// Does the syncs that were asked for. Answers whether there was one.
///
/// # Errors
///
/// When the store refuses. A sync that cannot begin is shown at its connection.
pub(crate) async fn run(app: &App) -> Result<bool, StoreError> {
    let mut has_run = false;
    for request in app.store.sync_request_list().await? {
        let Some(row) = app.store.connection_get(&request.connection_id).await? else {
            continue;
        };
        // One that ran when it was asked for has done it.
        let last = app.store.sync_run_list(Some(&row.id), 1).await?.pop();
        let has_done = |run: &SyncRunRow| {
            matches!(run.outcome, SyncOutcome::Complete | SyncOutcome::Partial)
                && run.finished_at.is_some_and(|at| at > request.asked_at)
        };
        if last.as_ref().is_some_and(has_done) {
            app.store.sync_request_done(&request).await?;
            continue;
        }
        let options = SyncOptions {
            confirm: request.confirm,
            fresh: false,
        };
        match connection(app, &row, options, &|_| {}).await {
            Ok(_) => has_run = true,
            // Another process syncs it: what was asked for is done after that.
            Err(SyncError::Busy(_)) => continue,
            // It was paused after the request: a person must look at it first. Or someone cancelled it.
            Err(SyncError::Paused { .. } | SyncError::Cancelled { .. }) => {}
            Err(error) => could_not_begin(app, &row, &error).await?,
        }
        app.store.sync_request_done(&request).await?;
    }
    Ok(has_run)
}
