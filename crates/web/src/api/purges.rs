//! Removing what the logs hold of one person.
//!
//! Looking through the archive takes longer than an answer may: a purge is written down, begun, and answered at once.
//! How far it has come, and what stopped it, stands in its row.

use super::people;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hub::App;
use hub::purge::{self, PurgeError};
use serde::{Deserialize, Serialize};
use store::PurgeRow;
use utoipa::{IntoParams, ToSchema};

/// Options of a purge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeAskedBody {
    /// Reason, recorded in the audit log.
    #[schema(example = "asked to be forgotten")]
    #[serde(default)]
    reason: String,
    /// Return the plan with counts, without removing anything. Reads the whole archive.
    #[serde(default)]
    plan_only: bool,
}

/// What a purge would remove.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgePlanBody {
    /// ID of the person.
    pub person_id: String,
    /// Email addresses and names that identify the person's records, in lower case.
    pub identifiers: Vec<String>,
    /// Number of batches searched.
    pub batches: i64,
    /// Number of archived objects (parts and kept batches) that would be rewritten.
    pub objects: i64,
    /// Number of records that would be removed from kept batches.
    pub records: i64,
    /// Number of records that would be removed from parts.
    pub events: i64,
    /// Whether there are unprocessed batches. Their records are not counted yet.
    pub pending: bool,
}

/// A purge: removal of one person's log records.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgeBody {
    /// Flareward's ID.
    pub id: String,
    /// ID of the person.
    pub person_id: String,
    /// Reason given by the actor.
    pub reason: String,
    /// Actor who requested the purge.
    pub actor: String,
    /// `changed` or `cancelled` when the purge has ended; null before.
    pub outcome: Option<&'static str>,
    /// Actor who cancelled the purge.
    pub cancelled_by: Option<String>,
    /// When the purge was first requested.
    pub started_at: DateTime<Utc>,
    /// When the purge ended; null until then. An interrupted purge resumes when the server runs again.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why the purge stopped. Flareward retries it after 10 minutes.
    pub problem: Option<String>,
    /// Number of batches searched.
    pub batches: i64,
    /// Number of archived objects (parts and kept batches) rewritten.
    pub objects: i64,
    /// Number of records removed from kept batches.
    pub records: i64,
    /// Number of records removed from parts.
    pub events: i64,
}

impl PurgeBody {
    /// Creates the response body.
    pub fn new(row: PurgeRow) -> Self {
        Self {
            id: row.id,
            person_id: row.person_id,
            outcome: row.finished_at.map(|_| {
                if row.cancelled_by.is_some() {
                    "cancelled"
                } else {
                    "changed"
                }
            }),
            cancelled_by: row.cancelled_by,
            reason: row.reason,
            actor: row.actor,
            started_at: row.started_at,
            finished_at: row.finished_at,
            problem: row.problem,
            batches: row.batches,
            objects: row.objects,
            records: row.records,
            events: row.events,
        }
    }
}

/// Filters for purges.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PurgesQuery {
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Removes all records of a person from the archive and the events. The purge runs in the background. If the person has
/// an unfinished purge that was not cancelled, the request resumes it and returns it.
///
/// Only one purge runs at a time; others wait. Detections are kept, and so are other people's records that mention the
/// person.
#[utoipa::path(post, path = "/people/{person}/purge", tag = "events", operation_id = "purge_begin",
    params(("person" = String, Path, description = "Email address or \
         ID of the person")),
    request_body = PurgeAskedBody,
    responses((status = 202, description = "Requested; `Location` is the path of the purge", body = PurgeBody),
        (status = 200, description = "The plan, with `plan_only`", body = PurgePlanBody), Problems))]
pub async fn begin(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<PurgeAskedBody>,
) -> Result<Response, ApiError> {
    let person = people::found(&app, &id).await?;
    if body.plan_only {
        let plan = purge::plan(&app, &person, &|_| {})
            .await
            .map_err(|error| ApiError::internal(&error))?;
        let plan = PurgePlanBody {
            person_id: person.id.0,
            identifiers: plan.identifiers,
            batches: plan.batches,
            objects: plan.objects,
            records: plan.records,
            events: plan.events,
            pending: plan.is_pending,
        };
        return Ok((StatusCode::OK, Json(plan)).into_response());
    }
    let row = purge::begin(&app, &person, &body.reason, &caller.actor)
        .await
        .map_err(|error| match error {
            PurgeError::Reason => ApiError::invalid("/reason", "is required"),
            PurgeError::Store(error) => error.into(),
            error => ApiError::internal(&error),
        })?;
    let at = format!("{}/purges/{}", super::BASE, row.id);
    let answer = PurgeBody::new(row.clone());
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, at)], Json(answer)).into_response())
}

/// Cancels a purge. It stops at its next batch; what it has removed stays removed.
#[utoipa::path(post, path = "/purges/{purge}/cancel", tag = "events", operation_id = "purge_cancel",
    params(("purge" = String, Path, description = "ID")),
    responses((status = 202, description = "Cancellation requested", body = PurgeBody), Problems))]
pub async fn cancel(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<PurgeBody>), ApiError> {
    let row = purge::cancel(&app, &id, &caller.actor)
        .await
        .map_err(|error| match error {
            PurgeError::NotFound(_) => ApiError::NotFound("purge"),
            PurgeError::Ended => ApiError::Conflict(error.to_string()),
            PurgeError::Store(error) => error.into(),
            error => ApiError::internal(&error),
        })?;
    Ok((StatusCode::ACCEPTED, Json(PurgeBody::new(row))))
}

/// Lists purges, newest first.
#[utoipa::path(get, path = "/purges", tag = "events", operation_id = "purge_list",
    params(PurgesQuery),
    responses((status = 200, description = "A page of purges", body = Page<PurgeBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<PurgesQuery>,
) -> Result<Json<Page<PurgeBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let before = paging::read_time(query.cursor.as_deref())?;
    let rows = app.store.purge_list(before, limit).await?;
    let cursor = |row: &PurgeRow| paging::time_cursor(row.started_at, &row.id);
    Ok(Json(Page::new(rows, limit, cursor, PurgeBody::new)))
}

/// Returns one purge with its progress and, if it stopped, the reason.
#[utoipa::path(get, path = "/purges/{purge}", tag = "events", operation_id = "purge_get",
    params(("purge" = String, Path, description = "ID")),
    responses((status = 200, description = "The purge", body = PurgeBody), Problems))]
pub async fn get_one(State(app): State<App>, Path(id): Path<String>) -> Result<Json<PurgeBody>, ApiError> {
    let row = app.store.purge_get(&id).await?;
    Ok(Json(PurgeBody::new(row.ok_or(ApiError::NotFound("purge"))?)))
}
