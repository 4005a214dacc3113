//! Running the rules again over archived records.

use super::operations::OperationBody;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use hub::App;
use hub::detection::replay::{self, ReplayError, ReplayRequest};
use serde::{Deserialize, Serialize};
use store::{OperationRow, StoreError};
use utoipa::ToSchema;

/// The records to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayAskedBody {
    /// Only records from this time on.
    since: DateTime<Utc>,
    /// Only records before this time. Default: now.
    until: Option<DateTime<Utc>>,
    /// Only records of this dataset, for example `gateway_dns`.
    dataset: Option<String>,
}

/// A requested replay.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayBody {
    /// The operation: `GET /api/v1/operations/{id}` shows its progress and its result.
    pub operation: OperationBody,
}

impl ReplayBody {
    /// The body of a requested replay.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(operation: OperationRow) -> Result<Self, StoreError> {
        Ok(Self {
            operation: OperationBody::new(operation)?,
        })
    }
}

/// Runs the rules again on archived records, for example after a rule changed.
///
/// The replay runs in the background. Repeating a replay changes nothing.
#[utoipa::path(post, path = "/events/replay", tag = "events", operation_id = "event_replay",
    request_body = ReplayAskedBody,
    responses((status = 202, description = "Requested", body = ReplayBody), Problems))]
pub async fn ask(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<ReplayAskedBody>,
) -> Result<(StatusCode, Json<ReplayBody>), ApiError> {
    let request = ReplayRequest {
        since: body.since,
        until: body.until,
        dataset: body.dataset,
    };
    let asked = replay::ask(&app, &request, &caller.actor)
        .await
        .map_err(|error| match error {
            ReplayError::Dataset { .. } => ApiError::invalid("/dataset", error.to_string()),
            ReplayError::Time => ApiError::invalid("/since", error.to_string()),
            ReplayError::Store(error) => error.into(),
            // Only the stage that carries it out can meet this.
            ReplayError::Cancelled => ApiError::invalid("/since", error.to_string()),
        })?;
    Ok((StatusCode::ACCEPTED, Json(ReplayBody::new(asked)?)))
}
