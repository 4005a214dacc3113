//! Running the rules again over records that were received before, for example after a rule was changed.
//!
//! Writes the audit log and marks `batch`; the stage that detects does the rest, in a server or in the command that
//! asked. Start reading at [`ask`].

use crate::app::App;
use crate::audit;
use crate::permission::Actor;
use crate::wake::Written;
use chrono::{DateTime, Utc};
use model::{AuditAction, AuditOutcome};
use rules::Dataset;
use serde_json::json;
use store::StoreError;

/// Which records.
#[derive(Debug, Clone)]
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

/// Marks the batches whose records the rules are to look at again. Answers which.
///
/// # Errors
///
/// See [`ReplayError`].
pub async fn ask(app: &App, request: &ReplayRequest, actor: &Actor) -> Result<Vec<String>, ReplayError> {
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
    audit::record(
        app,
        actor,
        AuditAction::EventsReplay,
        dataset.unwrap_or("all datasets"),
        AuditOutcome::Asked,
        json!({ "since": request.since, "until": until }),
    )
    .await?;
    let batches = app.store.batch_replay(request.since, until, dataset).await?;
    app.wake.call(Written::Undetected);
    Ok(batches)
}
