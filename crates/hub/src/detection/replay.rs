//! Running the rules again over records that were received before, for example after a rule was changed.
//!
//! Writes `operation` and the audit log and marks `batch`; the stage that detects does the rest, in a server or in the
//! command that asked. Start reading at [`ask`] and [`run`].

use crate::app::App;
use crate::audit;
use crate::operation;
use crate::permission::Actor;
use crate::wake::Written;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use model::{AuditAction, AuditOutcome, OperationKind, OperationOutcome};
use rules::Dataset;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{OperationRow, StoreError};

/// How long marking the batches of a replay may take. Chosen: far longer than it takes for a full store.
const MARKED_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// Which records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// Of batches that were received from this time on.
    pub since: DateTime<Utc>,
    /// Before this time; now when it is left out.
    pub until: Option<DateTime<Utc>>,
    /// Only of this dataset.
    pub dataset: Option<String>,
}

/// Why the rules cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such dataset.
    #[error("no dataset named \"{name}\"; the datasets are {}", Dataset::names())]
    Dataset {
        /// What was asked for.
        name: String,
    },
    /// The time ends before it begins.
    #[error("\"since\" must be before \"until\"")]
    Time,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A replay that was asked for, and the batches that were marked for it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The operation.
    pub operation: OperationRow,
    /// The batches.
    pub batches: Vec<String>,
}

/// Marks the batches whose records the rules are to look at again.
///
/// # Errors
///
/// See [`ReplayError`].
pub async fn ask(app: &App, request: &ReplayRequest, actor: &Actor) -> Result<Asked, ReplayError> {
    let dataset = request.dataset.as_deref();
    if let Some(name) = dataset
        && Dataset::named(name).is_none()
    {
        return Err(ReplayError::Dataset {
            name: name.to_owned(),
        });
    }
    let until = request.until.unwrap_or_else(|| app.clock.now());
    if request.since >= until {
        return Err(ReplayError::Time);
    }
    let target = dataset.unwrap_or("all datasets");
    audit::record(
        app,
        actor,
        AuditAction::EventsReplay,
        target,
        AuditOutcome::Asked,
        json!({ "since": request.since, "until": until }),
    )
    .await?;
    let same = format!(
        "{target} from {} to {}",
        written(Some(request.since)),
        written(request.until)
    );
    let bounded = ReplayRequest {
        until: Some(until),
        ..request.clone()
    };
    let operation = operation::ask(app, OperationKind::Replay, same, &bounded, actor).await?;
    let batches = app
        .store
        .batch_replay(&operation.id, request.since, until, dataset)
        .await?;
    app.wake.call(Written::Undetected);
    Ok(Asked { operation, batches })
}

fn written(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "now".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

/// Follows the replays that were asked for: shows how far each is, and ends those that are done or cancelled. The stage
/// that detects does the work. Answers whether one ended.
///
/// # Errors
///
/// When the store refuses.
pub async fn run(app: &App) -> Result<bool, StoreError> {
    let mut has_ended = false;
    for row in app.store.operation_open(OperationKind::Replay).await? {
        has_ended |= follow(app, &row).await?;
    }
    Ok(has_ended)
}

/// Returns whether the replay has ended.
async fn follow(app: &App, row: &OperationRow) -> Result<bool, StoreError> {
    let finish = async |outcome, result, problem| {
        operation::finish(app, &row.id, outcome, result, problem).await?;
        Ok(true)
    };
    if row.cancelled_by.is_some() {
        return match app.store.batch_replay_cancel(&row.id).await? {
            0 => finish(OperationOutcome::Cancelled, None, None).await,
            _ => Ok(false),
        };
    }
    let Some(total) = row.total else {
        // The row is written before its batches are marked.
        if app.clock.now() - row.asked_at <= MARKED_WITHIN {
            return Ok(false);
        }
        let words = "the process that requested the replay ended before it started: request it again";
        return finish(OperationOutcome::Failed, None, Some(words.to_owned())).await;
    };
    let request: ReplayRequest = store::stored("operation", &row.id, "request", &row.request)?;
    let until = request.until.unwrap_or(row.asked_at);
    let dataset = request.dataset.as_deref();
    let left = app.store.batch_replay_left(request.since, until, dataset).await?;
    let done = (total - left).max(0);
    app.store.operation_progress(&row.id, done, Some(total)).await?;
    if left > 0 {
        return Ok(false);
    }
    let result = json!({ "batches": total }).to_string();
    finish(OperationOutcome::Done, Some(result), None).await
}
