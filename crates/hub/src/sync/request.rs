//! Asking for a sync: by the API and the console, which a stage then does, and by a command, which does it itself.
//!
//! Reads `connection`, writes `sync_request` and the audit log. Start reading at [`ask`] and `run`.

use super::{Progress, Report, SyncError, SyncOptions, connection, could_not_begin, refuse_paused};
use crate::app::App;
use crate::audit;
use crate::permission::Actor;
use crate::wake::Written;
use model::{AuditAction, AuditOutcome, SyncOutcome};
use serde_json::json;
use store::{ConnectionRow, StoreError, SyncRequestRow, SyncRunRow};

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
            // It was paused after the request: a person must look at it first.
            Err(SyncError::Paused { .. }) => {}
            Err(error) => could_not_begin(app, &row, &error).await?,
        }
        app.store.sync_request_done(&request).await?;
    }
    Ok(has_run)
}
